"""Translating English question-passage pairs into parallel pairs; every finished batch survives a kill."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .errors import Busy, InputError, UnknownName
from .pairs import PAIR_COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 256  # texts given to a translator at once; a kill loses at most one such batch

_TABLE = """CREATE TABLE IF NOT EXISTS translations (translator TEXT, source TEXT, target TEXT, text TEXT, translation TEXT NOT NULL,
PRIMARY KEY (translator, source, target, text)) WITHOUT ROWID"""
_FIND = "SELECT translation FROM translations WHERE translator = ? AND source = ? AND target = ? AND text = ?"


class Translator(Protocol):
    """Anything that translates: a translation memory, an MT model, a service.

    name identifies it together with all that changes its output (model, revision, decoding): cached translations are
    kept under that name. `translate` returns one translation a text, in order; it batches as suits its hardware.
    """

    name: str

    def translate(self, texts: list[str], source: str, target: str) -> list[str]: ...


@dataclass(frozen=True)
class MemoryTranslator:
    """A translation memory: memories[target][source text] is the translation.

    A text the memory does not hold is returned unchanged, as MT systems do, for the quality checks to find. An
    unknown target language raises UnknownName.
    """

    memories: dict[str, dict[str, str]]

    @cached_property
    def name(self) -> str:
        """Carries a fingerprint of the memories, so that a changed memory never meets an old cache."""
        content = json.dumps(self.memories, sort_keys=True, ensure_ascii=False)
        return f"memory-{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        if target not in self.memories:
            raise UnknownName("target language of the translation memory", target, self.memories)
        memory = self.memories[target]
        return [memory.get(text, text) for text in texts]


@dataclass(frozen=True)
class CachedTranslator:
    """A translator that keeps its translations in the SQLite file `path` and asks only for missing ones.

    Equal texts are translated once. Each batch is committed as it is done (write-ahead log), so that after a kill at
    any point a restart translates only what is missing. Raises InputError naming the file when it cannot be read or
    written, and Busy when another process keeps it locked.
    """

    translator: Translator
    path: Path

    @property
    def name(self) -> str:
        return self.translator.name

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        key = (self.name, source, target)
        with _cache(self.path) as cache:
            known = {}
            for text in dict.fromkeys(texts):
                row = cache.execute(_FIND, (*key, text)).fetchone()
                if row:
                    known[text] = row[0]
            missing = [text for text in dict.fromkeys(texts) if text not in known]
            for batch, translations in self._translated(missing, source, target):
                rows = [(*key, text, translation) for text, translation in zip(batch, translations, strict=True)]
                with cache:  # commits
                    cache.executemany("INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)", rows)
                known.update(zip(batch, translations, strict=True))
        return [known[text] for text in texts]

    def _translated(self, texts: list[str], source: str, target: str) -> Iterator[tuple[list[str], list[str]]]:
        from tqdm.auto import tqdm

        with tqdm(total=len(texts), desc=f"{source} -> {target}", unit="text", disable=not texts, leave=False) as progress:
            for start in range(0, len(texts), BATCH):
                batch = texts[start : start + BATCH]
                translations = self.translator.translate(batch, source, target)
                if len(translations) != len(batch):
                    raise InputError(
                        f"translator {self.name}: {len(batch)} texts given, {len(translations)} returned ({source} -> {target}); "
                        "its translate() must return one translation a text, in order."
                    )
                yield batch, translations
                progress.update(len(batch))


def translate_pairs(pairs: Dataset, translator: Translator, targets: list[str]) -> Dataset:
    """Parallel pairs: the given rows and, for every target language, their translation with the same ids.

    pairs: columns id, passage_id, language, question, passage, source, all rows in one language. Returns
    len(pairs) x (1 + len(targets)) rows, language after language. Raises InputError when a column is missing, rows
    are in several languages, or a target repeats or is the source language.
    """
    from datasets import Dataset, concatenate_datasets

    language = _source_language(pairs, targets)
    columns = pairs[:]
    parallel = [pairs]
    for target in targets:
        translated = translator.translate([*columns["question"], *columns["passage"]], language, target)
        rows = {"language": [target] * len(pairs), "question": translated[: len(pairs)], "passage": translated[len(pairs) :]}
        parallel.append(Dataset.from_dict({**columns, **rows}, features=pairs.features))
    return concatenate_datasets(parallel)


def _source_language(pairs: Dataset, targets: list[str]) -> str:
    missing = [column for column in PAIR_COLUMNS if column not in pairs.column_names]
    if missing:
        raise InputError(f"translation: pairs have no column {missing[0]!r}; expected {PAIR_COLUMNS}, found {pairs.column_names}.")
    languages = sorted(set(pairs["language"]))
    if len(languages) != 1:
        raise InputError(f"translation: expected pairs in one source language, found {languages}; select one before translating.")
    if languages[0] in targets or len(set(targets)) < len(targets):
        raise InputError(f"translation: targets {targets} repeat a language or hold the source {languages[0]!r}; name each target once.")
    return languages[0]


@contextmanager
def _cache(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=60)) as cache:
            cache.execute("PRAGMA journal_mode = WAL")
            cache.execute("PRAGMA synchronous = NORMAL")  # a committed batch survives a killed process, and costs no disk flush
            cache.execute(_TABLE)
            yield cache
    except sqlite3.DatabaseError as error:
        raise _explained(error, path) from error


def _explained(error: sqlite3.DatabaseError, path: Path) -> Exception:
    reason = str(error)
    if "locked" in reason:
        return Busy(f"translation cache {path}: another process keeps it locked; wait for it or use another file.")
    if isinstance(error, sqlite3.OperationalError) and any(word in reason for word in ("unable to open", "readonly", "disk")):
        return InputError(f"translation cache {path}: cannot be written ({reason}); check the folder, its permissions and free space.")
    return InputError(
        f"translation cache {path}: is not a usable translation cache ({reason}). Move the file away and run again: "
        "its texts are then translated anew."
    )
