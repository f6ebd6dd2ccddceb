"""Finished translations in one SQLite file, kept through a kill at any point; one that was altered later is found by its seal."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from ..base.errors import Busy, InputError

ASKED = 500  # texts looked up by one query
_TABLES = """
CREATE TABLE IF NOT EXISTS translators (number INTEGER PRIMARY KEY, name TEXT, source TEXT, target TEXT, UNIQUE (name, source, target));
CREATE TABLE IF NOT EXISTS translations (
    translator INTEGER, digest BLOB, translation TEXT NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (translator, digest)
) WITHOUT ROWID;
"""


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
