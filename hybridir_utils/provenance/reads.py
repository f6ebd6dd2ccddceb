"""What a notebook's processes read and write, noted as they do: for the stamps of its tables, and for the suite's record.

The suite names a file in the environment, which workers inherit; every process appends lines to it. Nothing is found by time, so a
clock that is set back does not matter.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..base.errors import InputError
from ..base.files import file_fingerprint

FILE, ORIGIN = "HYBRIDIR_TRACE", "HYBRIDIR_ORIGIN"
USED, WROTE, DEVICE = "used", "wrote", "device"
_used: dict[str, str] = {}  # file -> SHA-256, of this process


def used(*paths: Path) -> None:
    """Note files that are read; an artefact by its record, which holds the hashes of all its files."""
    for path in paths:
        _used[str(path)] = file_fingerprint(path)
        _append(USED, path, _used[str(path)])


def wrote(*paths: Path) -> None:
    """Note files that are finished."""
    for path in paths:
        _append(WROTE, path, file_fingerprint(path))


def device(name: str) -> None:
    """Note what computes."""
    _append(DEVICE, name)


def used_so_far() -> dict[str, str]:
    """Files -> SHA-256 that this process has read, as they were then."""
    return dict(_used)


def set_origin(**about) -> None:
    """Say for which notebook, run, profile and changed values this process and its workers work."""
    os.environ[ORIGIN] = json.dumps(about, sort_keys=True)


def origin() -> dict:
    """What `set_origin` said; empty where nobody did."""
    return json.loads(os.environ.get(ORIGIN, "{}"))


def read_trace(path: Path) -> tuple[dict[str, str], dict[str, str], str]:
    """(files used, files written, device) of all processes; each file with its last SHA-256. A line that was cut off is left out."""
    found = {USED: {}, WROTE: {}, DEVICE: {}}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            event, name, digest = json.loads(line)
            found[event][name] = digest
        except (ValueError, KeyError, TypeError):
            continue
    return found[USED], found[WROTE], next(iter(found[DEVICE]), "")


def _append(event: str, name: object, digest: str = "") -> None:
    """One line in one call, which other processes' lines do not tear."""
    if path := os.environ.get(FILE):
        try:
            with open(path, "ab", buffering=0) as file:
                file.write(json.dumps([event, str(name), digest]).encode() + b"\n")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}). Free space there; earlier results are untouched.") from error
