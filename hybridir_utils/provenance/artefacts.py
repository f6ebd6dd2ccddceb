"""Artefacts that know where they came from: made once, found again by fingerprint, never half-written.

An artefact is a folder `<kind>/<name>-<fingerprint>`. Its fingerprint covers the recipe (parameters, seeds, fingerprints
of inputs), the package code that makes it, and the pinned versions; `artefact.json` inside records all of them, and for
which notebook it was made, with a hash of every file. The folder is filled under a temporary name and renamed, so a kill
leaves nothing that looks done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from filelock import FileLock, Timeout

from ..base.errors import Busy, InputError
from ..base.files import file_fingerprint, fingerprint, read_json, writing
from . import reads
from .fingerprints import code_fingerprint, commit, module_fingerprints, place_of, read_sealed, sealed, versions

RECORD = "artefact.json"
DIGITS = 10  # of the fingerprint in a folder's name
MOST = 3  # changed modules named one by one
SHORT = 48  # characters of a changed value
VERSIONS = "version of "  # before what changed
ABSENT = object()


@dataclass(frozen=True)
class Artefact:
    """An artefact, made or not. room: the folder of its kind. recipe: JSON-able values that decide its content. maker: the function
    whose code, with all that it reaches, makes it.
    """

    room: Path
    name: str
    recipe: dict
    maker: Callable

    @property
    def path(self) -> Path:
        """Where it lies or would lie."""
        return Path(self.room) / f"{self.name}-{self.fingerprint[:DIGITS]}"

    @property
    def fingerprint(self) -> str:
        return fingerprint({"recipe": self.recipe, "code": code_fingerprint(self.maker), "versions": versions()})

    def is_whole(self) -> bool:
        """Whether it is finished and every file still has the hash it was written with."""
        return is_whole(self.path)

    def make(self, fill: Callable[[Path], None]) -> Path:
        """Its folder; `fill(temporary folder)` makes it unless it is there, whole and up to date.

        While another process makes the same one, this one waits, says so once on stderr, and takes what that one made. Raises InputError
        on a full or read-only disk.
        """
        final = self.path
        if not is_whole(final):
            with writing(final), hold(final, wait=True):
                if not is_whole(final):
                    self._fill(final, fill)
        elif _owner(final).exists():  # a process was killed when the artefact was whole: holding it once takes its note away
            with suppress(InputError), hold(final, wait=True):
                pass
        reads.used(final / RECORD)
        return final

    def _fill(self, final: Path, fill: Callable[[Path], None]) -> None:
        started = time.monotonic()
        with replacing_folder(final) as temporary:
            fill(temporary)
            self._record(temporary, time.monotonic() - started)
        reads.wrote(final / RECORD)

    def _record(self, folder: Path, seconds: float) -> None:
        files = {str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        record = {
            "name": self.name,
            "recipe": self.recipe,
            "fingerprint": self.fingerprint,
            "code": code_fingerprint(self.maker),
            "modules": module_fingerprints(place_of(self.maker)),
            "versions": versions(),
            "commit": commit(),
            "origin": reads.origin(),
            "seconds": round(seconds, 2),
            "files": files,
        }
        (folder / RECORD).write_text(json.dumps(sealed(record), indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")

    def reasons(self) -> list[str]:
        """Why it would be made, compared with the likest of its name; none where it is there (its bytes are not looked at)."""
        records, final = records_of(self.room, self.name), self.path
        if final in records:
            gone = [file for file in records[final]["files"] if not (final / file).is_file()]
            return [f"{file} missing" for file in gone[:1]]
        if final.is_dir():
            return [f"{RECORD} missing or altered"]
        return min((self._changes(old) for old in records.values()), key=len, default=["never made"])

    def _changes(self, old: dict) -> list[str]:
        code = changed_modules(old["modules"], module_fingerprints(place_of(self.maker)))
        return changed_values(old["recipe"], self.recipe) + code + changed_values(old["versions"], versions(), VERSIONS)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill in the block, which takes the folder's place at the end; until then the old one stays."""
    temporary = folder.with_name(f".{folder.name}.part")  # what a killed process left under this name goes first
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether the artefact is finished and every file still has the hash it was written with."""
    try:
        return all(file_fingerprint(folder / name) == digest for name, digest in read_sealed(folder / RECORD)["files"].items())
    except (OSError, InputError):
        return False


def recipe_of(folder: Path) -> dict:
    """The record of a finished artefact: name, recipe, fingerprint, code, modules, versions, commit, origin, seconds, files, record."""
    return read_json(Path(folder) / RECORD)


def records_of(folder: Path, name: str) -> dict[Path, dict]:
    """Folder -> record of every finished artefact of a name (`*`: of all) in the room."""
    found = {}
    for place in sorted(Path(folder).glob(f"{'*' if name == '*' else escape(name)}-{'?' * DIGITS}")):
        with suppress(InputError):
            record = read_sealed(place / RECORD)
            if name in ("*", record["name"]):
                found[place] = record
    return found


@contextmanager
def hold(path: Path, wait: bool = False):
    """Hold the lock beside `path`. When another process has it: raises Busy at once, or, with `wait`, says on whom it waits."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    owner = _owner(path)
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


def _owner(path: Path) -> Path:
    """The note beside a path of who holds its lock."""
    return path.with_name(f".{path.name}.owner")


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


def changed_values(old: Mapping, new: Mapping, kind: str = "") -> list[str]:
    """`alpha 0.5 → 0.3` for every key that differs, inner ones as `settings.scale`; kind goes before each."""
    before, after = _flat(old), _flat(new)
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key, ABSENT) != after.get(key, ABSENT)]
    return [f"{kind}{key} {_change(before.get(key, ABSENT), after.get(key, ABSENT))}" for key in keys]


def changed_modules(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """`hybridir_utils/data/batching.py changed`: the first MOST files, then how many more."""
    files = [f"{path} changed" for path in new if path in old and old[path] != new[path]]
    files += [f"{path} newly used" for path in new if path not in old] + [f"{path} no longer used" for path in old if path not in new]
    return files if len(files) <= MOST else [*files[:MOST], f"{len(files) - MOST} more modules changed"]


def _flat(values: Mapping, prefix: str = "") -> dict:
    found = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": _plain(value)}
    return found


def _plain(value: object) -> object:
    """As JSON gives it back: tuples are lists, and nan equals itself."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def _change(old: object, new: object) -> str:
    """Of long lists, what came and what went; their order alone is told as such."""
    if isinstance(old, list) and isinstance(new, list) and max(len(json.dumps(old)), len(json.dumps(new))) > SHORT:
        moves = [f"+{_shown(item)}" for item in new if item not in old] + [f"−{_shown(item)}" for item in old if item not in new]
        return f"changed ({cut(' '.join(moves)) or 'another order'})"
    return f"{_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40,64}", value):  # a fingerprint
        return value[:8]
    return cut(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def cut(text: str, most: int = SHORT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
