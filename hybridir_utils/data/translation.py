"""Translating English question-passage pairs into parallel pairs; every finished batch survives a kill."""

from __future__ import annotations

import sqlite3
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..base import mapped
from ..base.distributed import is_main, on_main, processes
from ..base.errors import Busy, InputError
from ..base.memory import token_batches
from ..base.progress import new_bar

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1024  # most texts given to a translator at once, a process; a kill loses at most one such batch
BATCH_CHARS = 100_000  # most characters of a batch, padding to its longest text counted
CHUNK = 8192  # pairs held in memory at once
TEXT_COLUMNS = ("question", "passage", "negative")
RESAMPLES = 1000  # of the bootstrap of back-translations
ASKED = 500  # texts looked up by one query
_TABLES = """
CREATE TABLE IF NOT EXISTS translators (number INTEGER PRIMARY KEY, name TEXT, source TEXT, target TEXT, UNIQUE (name, source, target));
CREATE TABLE IF NOT EXISTS translations (
    translator INTEGER, digest BLOB, translation TEXT NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (translator, digest)
) WITHOUT ROWID;
"""


class Translator(Protocol):
    """Anything that translates: a translation memory (`worldfacts.FactsMemory`), an MT model, a service.

    name identifies it together with all that changes its output (model, revision, decoding): cached translations are
    kept under that name. `translate` returns one translation a text, in order; it batches as suits its hardware.
    A translator with a model a language pair also has `for_pair(source, target)`, the translator of that pair.
    """

    name: str

    def translate(self, texts: list[str], source: str, target: str) -> list[str]: ...


@dataclass(frozen=True)
class CachedTranslator:
    """A translator that keeps its translations in the SQLite file `path` and asks only for missing ones.

    Equal texts are translated once, texts of like length together, the longest first. Each batch is committed as it is
    done, so that after a kill at any point a restart translates only what is missing. Of several processes the main one
    reads and writes the file, and all get the translations. Raises InputError naming the file when it cannot be read or
    written, and Busy when another process keeps it locked.
    """

    translator: Translator
    path: Path

    @property
    def name(self) -> str:
        return self.translator.name

    def for_pair(self, source: str, target: str) -> Translator:
        """The translator behind the cache for one language pair."""
        of_pair = getattr(self.translator, "for_pair", None)
        return of_pair(source, target) if of_pair else self.translator

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        translator = self.for_pair(source, target)
        known = self.known(texts, source, target)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for translations in _in_batches(translator, missing, source, target):
            on_main(lambda done=translations: self._in_cache(TranslationCache.keep, done, source, target))
            known |= translations
        return [known[text] for text in texts]

    def known(self, texts: list[str], source: str, target: str) -> dict[str, str]:
        """{text: translation} of the texts that are translated already."""
        return on_main(lambda: self._in_cache(TranslationCache.find, texts, source, target))

    def _in_cache(self, work: Callable, what, source: str, target: str):
        with open_cache(self.path, self.for_pair(source, target).name, source, target) as cache:
            return work(cache, what)


def _in_batches(translator: Translator, texts: list[str], source: str, target: str) -> Iterator[dict[str, str]]:
    """{text: translation} batch by batch, with a bar that counts characters: the time a text takes goes with its length."""
    lengths, share = [len(text) for text in texts], processes()
    label = f"{source} -> {target}"
    with _bar(label, sum(lengths)) as progress:
        for rows in token_batches(lengths, BATCH_CHARS * share, BATCH * share):
            batch = [texts[row] for row in rows]
            translations = translator.translate(batch, source, target)
            if len(translations) != len(batch):
                raise InputError(
                    f"translator {translator.name}: {len(batch)} texts given, {len(translations)} returned ({label}); "
                    "its translate() must return one translation a text, in order."
                )
            yield dict(zip(batch, translations, strict=True))
            progress.update(sum(map(len, batch)))


def _bar(label: str, characters: int):
    return new_bar(desc=label, total=characters, unit="character", unit_scale=True, disable=not characters or not is_main(), leave=False)


def translate_pairs(pairs: Dataset, translator: Translator, targets: list[str], folder: Path | None = None) -> Dataset:
    """Parallel pairs: the given rows and, for every target language, their translation with the same ids.

    pairs: columns id, passage_id, language, question, passage, source and, where there are hard negatives, negative ("" for none,
    which stays ""); all rows in one language, which is no target. Returns len(pairs) x (1 + len(targets)) rows, language after
    language. With `folder`, each language is written to an Arrow file below it and memory-mapped, so that CHUNK pairs are in memory at
    once, whatever their number.
    """
    from datasets import concatenate_datasets

    language = mapped.codes(pairs, "language")[1][0].as_py()
    fields = [column for column in TEXT_COLUMNS if column in pairs.column_names]
    parallel, total = [pairs], _characters(pairs, fields) * len(targets)
    label = f"{language} -> {len(targets)} languages"
    with _bar(label, total) as progress:
        for target in targets:
            chunks = _translated_chunks(pairs, fields, translator, language, target, progress)
            parallel.append(_kept(chunks, None if folder is None else Path(folder) / f"{target}.arrow"))
    return concatenate_datasets(parallel)


def _translated_chunks(pairs: Dataset, fields: list[str], translator, source: str, target: str, progress) -> Iterator[pa.Table]:
    parts = (
        part.slice(start, CHUNK).combine_chunks()
        for part in mapped.chunks(pairs, pairs.column_names)
        for start in range(0, len(part), CHUNK)
    )
    for chunk in parts:
        texts = [text for field in fields for text in chunk[field].to_pylist()]
        asked = [text for text in texts if text]
        translations = iter(translator.translate(asked, source, target))
        rows = [next(translations) if text else text for text in texts]
        new = {field: rows[i * len(chunk) : (i + 1) * len(chunk)] for i, field in enumerate(fields)}
        for column, values in {"language": [target] * len(chunk), **new}.items():
            place = chunk.column_names.index(column)
            chunk = chunk.set_column(place, chunk.schema.field(place), pa.array(values, chunk.schema.field(place).type))
        yield chunk
        progress.update(sum(map(len, asked)))


def _kept(chunks: Iterator[pa.Table], path: Path | None) -> Dataset:
    """The chunks, which all processes make together, in memory or in the file that the main one writes and all read."""
    from datasets import Dataset

    if path is None:
        return mapped.stored(chunks)
    if is_main():
        mapped.stored(chunks, path)
    else:
        deque(chunks, maxlen=0)
    on_main(lambda: None)  # the file is complete
    return Dataset.from_file(str(path))


def _characters(pairs: Dataset, columns: list[str]) -> int:
    return sum(pc.sum(pc.utf8_length(chunk[column])).as_py() or 0 for chunk in mapped.chunks(pairs, columns) for column in columns)


@dataclass(frozen=True)
class TranslationCache:
    """Translations by (translator, source language, target language, text), in an open file; see `open_cache`.

    A text stands in the table as its 128-bit BLAKE2 digest: rows stay short and as quick to find among millions, whatever its length.
    A row's seal is the digest of all that it says, as SQLite does not see whether the bytes of a file are still those it wrote.
    """

    connection: sqlite3.Connection
    path: Path
    key: tuple[str, str, str]
    number: int

    def find(self, texts: Sequence[str]) -> dict[str, str]:
        """{text: translation} of those that are there; altered ones count as missing, and a warning says how many there are."""
        texts_of = {_digest(text): text for text in texts}
        digests, found, altered = iter(sorted(texts_of)), {}, 0
        while asked := list(islice(digests, ASKED)):
            query = f"SELECT digest, translation, seal FROM translations WHERE translator = ? AND digest IN ({', '.join('?' * len(asked))})"
            for digest, translation, seal in self.connection.execute(query, (self.number, *asked)):
                whole = isinstance(translation, str) and seal == self._seal(digest, translation)
                altered += not whole
                if whole:
                    found[texts_of[digest]] = translation
        if altered:
            warnings.warn(f"translation cache {self.path}: {altered} translations were altered; they are made again.", stacklevel=2)
        return found

    def keep(self, translations: dict[str, str]) -> None:
        """Add {text: translation}; committed when this returns."""
        digests = sorted((_digest(text), translation) for text, translation in translations.items())
        rows = [(self.number, digest, translation, self._seal(digest, translation)) for digest, translation in digests]
        with self.connection:  # commits
            self.connection.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?)", rows)

    def _seal(self, digest: bytes, translation: str) -> bytes:
        said = b"\0".join([*(part.encode() for part in self.key), digest, translation.encode()])
        return blake2b(said, digest_size=8).digest()


@contextmanager
def open_cache(path: Path, translator: str, source: str, target: str) -> Iterator[TranslationCache]:
    """The cache of one translator and language pair in the file `path`, which is made when absent.

    Raises InputError naming the file when it cannot be read or written, and Busy when another process keeps it locked.
    """
    key = (translator, source, target)
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # a committed batch survives a killed process, and costs no disk flush
            connection.executescript(_TABLES)
            with connection:
                connection.execute("INSERT OR IGNORE INTO translators (name, source, target) VALUES (?, ?, ?)", key)
            row = connection.execute("SELECT number FROM translators WHERE name = ? AND source = ? AND target = ?", key).fetchone()
            yield TranslationCache(connection, Path(path), key, row[0])
    except sqlite3.DatabaseError as error:
        raise _explained(error, path) from error


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _explained(error: sqlite3.DatabaseError, path: Path) -> Exception:
    reason = str(error)
    if "locked" in reason:
        return Busy(f"translation cache {path}: another process keeps it locked; wait for it or use another file.")
    if isinstance(error, sqlite3.OperationalError) and any(word in reason for word in ("unable to open", "readonly", "disk")):
        return InputError(
            f"translation cache {path}: cannot be written ({reason}); check the folder, its permissions and free space. Translations "
            "made before are kept, and the same command goes on from there."
        )
    return InputError(
        f"translation cache {path}: is not a usable translation cache ({reason}). Move the file away and run again: "
        "its texts are then translated anew."
    )


def back_translation(pairs: Dataset, translator: Translator, targets: list[str], n: int = 50, seed: int = 0) -> pd.DataFrame:
    """chrF of `n` passages of one source language after translation into each target language and back.

    One row a language: language, chrF (mean over passages), low, high (95 % bootstrap interval), n. pairs: rows in one language. The same
    passages, drawn by `seed`, are taken for every language. Raises UnknownName when the translator lacks a direction, which a translation
    memory into other languages always does.
    """
    from sacrebleu.metrics import CHRF

    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:n])
    sample, metric, rows = pairs.select(chosen), CHRF(), []
    source, passages = mapped.codes(sample, "language")[1][0].as_py(), sample["passage"][:]
    for target in targets:
        back = translator.translate(translator.translate(passages, source, target), target, source)
        values = np.array([metric.sentence_score(text, [passage]).score for text, passage in zip(back, passages, strict=True)])
        means = values[np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        rows.append({"language": target, "chrF": values.mean(), "low": low, "high": high, "n": len(values)})
    return pd.DataFrame(rows)
