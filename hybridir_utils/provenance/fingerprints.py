"""Fingerprints of values, files and the package's own code; what has the same fingerprint need not be computed again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ..base.files import ROOT, fingerprint
from .code_use import PACKAGE, Place, place_of, used_code

PINNED = ("torch", "transformers", "sentence-transformers", "datasets", "numpy", "babel", "tokenizers")


def sealed(record: dict) -> dict:
    """The record with the fingerprint of all it says, under the key `record`, so that an altered one is found."""
    said = {key: value for key, value in record.items() if key != "record"}
    return said | {"record": fingerprint(said)}


def is_sealed(record: object) -> bool:
    """Whether a record that was read says what it said when it was `sealed`."""
    return isinstance(record, dict) and "record" in record and record == sealed(record)


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
def code_fingerprint(*functions: Callable) -> str:
    """Fingerprint of functions and of all the package's code that they use (`code_use`); comments and layout do not count."""
    return fingerprint(module_fingerprints(*map(place_of, functions)))


def module_fingerprints(*places: Place) -> dict[str, str]:
    """File (below the checkout) -> fingerprint of those of its definitions that are used by the places: (module, definition or ALL)."""
    found = used_code(places)
    return {file.relative_to(PACKAGE.parent).as_posix(): fingerprint(found[file])[:16] for file in sorted(found)}


CHANGES = "+changes"
RESULTS = (":!data/results", ":!figures")  # what `run --write-back` writes, itself with the commit in it


@cache
def commit() -> str:
    """The checkout's commit, with "+changes" where files of it differ; "" where the package lies in no checkout (of a wheel)."""
    if _git("rev-parse", "--show-toplevel") != str(ROOT):  # a package installed below somebody else's checkout
        return ""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *RESULTS)
    return _git("rev-parse", "HEAD") + (CHANGES if changed else "")


def _git(*arguments: str) -> str:
    """What git says; "" where it fails or is not installed. Locks, which a mere look would take, are left alone."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
