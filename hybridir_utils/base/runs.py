"""Artefacts that know where they came from: made once, found again by fingerprint, never half-written.

An artefact is a folder `<kind>/<name>-<fingerprint>`. Its fingerprint covers the recipe (parameters, seeds, fingerprints
of inputs), the package code that makes it, and the pinned versions; `artefact.json` inside records all of them, and for
which notebook it was made, with a hash of every file. The folder is filled under a temporary name and renamed, so a kill
leaves nothing that looks done.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from filelock import FileLock, Timeout

from . import trace
from .changes import changed_modules, changed_values, changed_versions
from .checkout import commit
from .code_use import ALL
from .errors import Busy, HybridIRError, InputError
from .files import read_json
from .fingerprints import code_fingerprint, file_fingerprint, fingerprint, is_sealed, module_fingerprints, sealed, versions

RECORD = "artefact.json"
DIGITS = 10  # of the fingerprint in a folder's name
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)


def artefact(folder: Path, name: str, recipe: dict, module: str, make: Callable[[Path], None]) -> Path:
    """Folder of the artefact `name`; `make(temporary folder)` fills it unless it is there, whole and up to date.

    folder: the room of its kind. recipe: JSON-able values that decide the content. module: the package module whose code
    (with all it imports) makes it. While another process makes the same one, this one waits, says so once on stderr, and takes what that
    one made. Raises InputError on a full or read-only disk.
    """
    final = artefact_path(folder, name, recipe, module)
    if not is_whole(final):
        with writing(final), hold(final, wait=True):
            if not is_whole(final):
                _make(final, name, recipe, module, make)
    trace.used(final / RECORD)
    return final


def _make(final: Path, name: str, recipe: dict, module: str, make: Callable[[Path], None]) -> None:
    temporary = final.with_name(f".{final.name}.part")  # what a killed process left under this name goes first
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    started = time.monotonic()
    try:
        make(temporary)
        _record(temporary, name, recipe, module, time.monotonic() - started)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    trace.wrote(final / RECORD)


def artefact_path(folder: Path, name: str, recipe: dict, module: str) -> Path:
    """Where the artefact of this recipe lies or would lie."""
    return Path(folder) / f"{name}-{_recipe_fingerprint(recipe, module)[:DIGITS]}"


def is_whole(folder: Path) -> bool:
    """Whether the artefact is finished and every file still has the hash it was written with."""
    try:
        record = read_json(folder / RECORD)
        return is_sealed(record) and all(file_fingerprint(folder / name) == digest for name, digest in record["files"].items())
    except (OSError, InputError):
        return False


def recipe_of(folder: Path) -> dict:
    """The record of a finished artefact: name, recipe, fingerprint, code, modules, versions, commit, origin, seconds, files, record."""
    return read_json(Path(folder) / RECORD)


def note_used(folders: Iterable[Path]) -> None:
    """Note that the finished ones of these artefacts are read, which `artefact` does by itself for what it returns."""
    trace.used(*(Path(folder) / RECORD for folder in folders if (Path(folder) / RECORD).is_file()))


def why_made(folder: Path, name: str, recipe: dict, module: str) -> list[str]:
    """Why `artefact` would make this one, compared with the likest of its name; none where it is there (its bytes are not looked at)."""
    records = records_of(folder, name)
    final = artefact_path(folder, name, recipe, module)
    if final in records:
        gone = [file for file in records[final]["files"] if not (final / file).is_file()]
        return [f"{file} missing" for file in gone[:1]]
    if final.is_dir():
        return [f"{RECORD} missing or altered"]
    if not records:
        return ["never made"]
    return min((_changes(old, recipe, module) for old in records.values()), key=len)


def _changes(old: dict, recipe: dict, module: str) -> list[str]:
    code = changed_modules(old["modules"], module_fingerprints((module, ALL))) if "modules" in old else ["code changed"]
    return changed_values(old["recipe"], recipe) + code + changed_versions(old["versions"], versions())


def records_of(folder: Path, name: str) -> dict[Path, dict]:
    """Folder -> record of every finished artefact of a name (`*`: of all) in the room."""
    found = {}
    for place in sorted(Path(folder).glob(f"{'*' if name == '*' else escape(name)}-{'?' * DIGITS}")):
        try:
            record = recipe_of(place)
            if is_sealed(record) and name in ("*", record["name"]):
                found[place] = record
        except (OSError, InputError):
            continue
    return found


def _record(folder: Path, name: str, recipe: dict, module: str, seconds: float) -> None:
    files = {str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    record = {
        "name": name,
        "recipe": recipe,
        "fingerprint": _recipe_fingerprint(recipe, module),
        "code": code_fingerprint(module),
        "modules": module_fingerprints((module, ALL)),
        "versions": versions(),
        "commit": commit(),
        "origin": trace.origin(),
        "seconds": round(seconds, 2),
        "files": files,
    }
    (folder / RECORD).write_text(json.dumps(sealed(record), indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def _recipe_fingerprint(recipe: dict, module: str) -> str:
    return fingerprint({"recipe": recipe, "code": code_fingerprint(module), "versions": versions()})


@contextmanager
def hold(path: Path, wait: bool = False):
    """Hold the lock beside `path`. When another process has it: raises Busy at once, or, with `wait`, says on whom it waits."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    owner = path.with_name(f".{path.name}.owner")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path, owner, wait)
    try:
        with writing(owner):
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, path: Path, owner: Path, wait: bool) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _text(owner) or "another process"
        if not wait:
            raise Busy(f"{path}: being written by {who}. Wait until it ends, or set HYBRIDIR_OUTPUT to another folder.") from None
        print(f"{path.name}: being made by {who}; waiting for it", file=sys.stderr, flush=True)
        lock.acquire()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:  # it has just ended
        return ""


@contextmanager
def writing(path: Path):
    """Turn the operating system's complaints about `path` (no space, no permission) into an InputError that says what to do."""
    try:
        yield
    except HybridIRError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number not in NO_SPACE + NO_ACCESS:  # a missing input, the network: not this folder's fault
            raise
        advice = "Free some space" if number in NO_SPACE else "Check the permissions"
        where = getattr(error, "filename", None) or path
        raise InputError(
            f"{where}: cannot be written ({os.strerror(number)}). {advice}, or set HYBRIDIR_OUTPUT to another folder. "
            "Earlier results are untouched."
        ) from error


def _system_error(error: Exception) -> int | None:
    """The system's number of an error; safetensors and numpy tell a full disk in words only."""
    full = any(words in str(error) for words in ("No space left on device", " requested and "))
    return getattr(error, "errno", None) or (errno.ENOSPC if full else None)
