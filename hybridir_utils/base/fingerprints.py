"""Fingerprints of values, files and the package's own code; what has the same fingerprint need not be computed again."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .code_use import ALL, PACKAGE, Place, used_code

PINNED = ("torch", "transformers", "sentence-transformers", "datasets", "numpy", "babel", "tokenizers")


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def sealed(record: dict) -> dict:
    """The record with the fingerprint of all it says, under the key `record`, so that an altered one is found."""
    said = {key: value for key, value in record.items() if key != "record"}
    return said | {"record": fingerprint(said)}


def is_sealed(record: object) -> bool:
    """Whether a record that was read says what it said when it was `sealed`."""
    return isinstance(record, dict) and "record" in record and record == sealed(record)


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below a folder."""
    return fingerprint({str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(Path(folder).rglob("*")) if p.is_file()})


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that decide results."""
    found = {}
    for name in PINNED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def code_fingerprint(module: str) -> str:
    """Fingerprint of a package module and of all the package's code that it uses (`code_use`); comments and layout do not count."""
    return fingerprint(module_fingerprints((module, ALL)))


def module_fingerprints(*places: Place) -> dict[str, str]:
    """File (below the checkout) -> fingerprint of those of its definitions that are used by the places: (module, definition or ALL)."""
    found = used_code(places)
    return {file.relative_to(PACKAGE.parent).as_posix(): fingerprint(found[file])[:16] for file in sorted(found)}
