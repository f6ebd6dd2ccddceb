"""What the suite records of each executed notebook, in `<executed>.run.json`, and whether that still holds or it has to run again.

A killed run never reads as one that ended well. What decides: the notebook's cells, the code and data that they use, the values, and what
it read and wrote.
"""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from difflib import SequenceMatcher
from pathlib import Path

import psutil

from ..base.errors import InputError
from ..base.files import file_fingerprint, fingerprint, output_root, read_json, write_json
from ..data.register import data_fingerprint
from ..encode.catalogue import ENCODERS, place_of
from ..encode.opening import origin
from ..experiment.profile import Profile
from ..experiment.run import Run, changes_of
from ..provenance.artefacts import RECORD, VERSIONS, changed_modules, changed_values
from ..provenance.fingerprints import Place, module_fingerprints, package_imports, read_sealed, sealed, used_places, versions
from ..results.figures import FIGURES

RUNNING, OK, FAILED, KILLED, TIMEOUT = ("running", "ok", "failed", "killed", "timeout")
AS_RECORDED, ALTERED, GONE = "as recorded", "altered", "missing"
PARAMETERS = "parameters"  # tag of a cell
SAME = 2.0  # seconds: the system's time of start wavers by so much when the clock is set


@dataclass(frozen=True)
class Record:
    """One execution of a notebook.

    parts: what decides whether it has to run again (`parts_of`). peak_memory_mb: of all its processes together. process,
    process_started: the suite that waits for it, and when that began, in seconds after the machine. inputs, outputs: path below the output
    folder -> SHA-256 (of an artefact, its record's). origin: run, profile, and the values that differ from its file. usual_seconds: of the
    last execution that ended well, without the training runs within. error: notebook, cell and last line.
    """

    notebook: str
    status: str
    parts: dict
    started: str
    process: int
    process_started: float
    host: str
    device: str = ""
    commit: str = ""
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    usual_seconds: float | None = None
    origin: dict = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    error: str = ""


def begun(notebook: str, parts: dict, **more) -> Record:
    """The record of an execution that begins now, in this process."""
    about = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
    return Record(notebook, RUNNING, parts, process=os.getpid(), process_started=_start_of(os.getpid()), **about, **more)


def write_record(path: Path, record: Record) -> None:
    """Write the record under a temporary name and rename it. Raises InputError where the disk is full or read-only."""
    write_json(path, sealed(asdict(record)))


def read_record(path: Path) -> Record | None:
    """The record; None where there is none, or it was altered. "running" reads as "killed" where the process that wrote it is gone."""
    try:
        record = Record(**read_sealed(path))
    except (InputError, TypeError):
        return None
    if record.status == RUNNING and _gone(record):
        return replace(record, status=KILLED, error=f"{record.notebook}: the run was killed (process {record.process})")
    return record


def _gone(record: Record) -> bool:
    """Of another machine's processes nothing is known."""
    if record.host != socket.gethostname():
        return False
    try:
        return abs(_start_of(record.process) - record.process_started) > SAME
    except psutil.Error:
        return True


def _start_of(process: int) -> float:
    """Seconds between the start of the machine and of a process: the clock may be set in between, and numbers are given again.

    Raises psutil.NoSuchProcess where it has ended, also where nobody has collected it yet.
    """
    found = psutil.Process(process)
    if found.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(process)
    return round(found.create_time() - psutil.boot_time(), 2)


def parts_of(notebook: Path, profile: Profile, data: dict[str, str]) -> dict:
    """Fingerprints of a notebook's code cells, of the package's files that they use, and the values, data (`data_parts`) and versions.

    Of the parameters cell the names alone count: the values of the run are put below it.
    """
    cells = [cell for cell in notebook_cells(notebook) if cell["cell_type"] == "code"]
    trees = [parsed(cell["source"]) for cell in cells]
    counted = [parameter_names(notebook) if _has_parameters(cell) else ast.dump(tree) for cell, tree in zip(cells, trees, strict=True)]
    return {
        "cells": [fingerprint(each)[:16] for each in counted],
        "code": module_fingerprints(*_used_places(trees)),
        "profile": profile.model_dump(mode="json"),
        "data": data,
        "versions": versions(),
    }


def data_parts(profile: Profile) -> dict[str, str]:
    """`data NAME` or `encoder NAME` -> fingerprint of every data set that a notebook reads, and of every encoder: of the files where it
    is a folder of the user's, else of what the catalogue says of it.
    """
    found = {f"data {name}": data_fingerprint((name,), profile.data_dir) for name in profile.data_names}
    for name in (*profile.bases, *profile.retrievers, profile.many_base):
        if name in ENCODERS:
            found[f"encoder {name}"] = fingerprint(repr(ENCODERS[name]))
        elif name.startswith("st:") and Path(place_of(name)).is_dir():
            found[f"encoder {name}"] = origin(place_of(name))
    return found


def why(record: Record | None, parts: Mapping, run: Run, again: Mapping[str, str] | None = None) -> list[str]:
    """Why a notebook has to run, in words; nothing where it is up to date.

    record: of its last execution. parts: what decides it now. again: outputs of earlier notebooks that run again -> their numbers.
    """
    again = again or {}
    if record is None:
        changed = ", ".join(changed_values({}, changes_of(run))).replace("nothing → ", "")
        return [f"never run with {changed}" if changed else "never run"]
    ended = {OK: [], RUNNING: [f"process {record.process} on {record.host} runs it"]}
    found = ended.get(record.status, [f"last time {record.status}"]) + _changes(record.parts, parts)
    read = [path for path in record.inputs if not path.endswith(RECORD)]  # the name of an artefact says what decides it
    after = sorted({again[path] for path in read if path in again})
    found += [f"after {' and '.join(after)}, which run{'s' * (len(after) == 1)} again"] if after else []
    read = [path for path in read if path not in again]
    states = {f"input {path}": state_of(output_root() / path, record.inputs[path]) for path in read}
    states |= {f"output {path}": state_of(output_root() / path, digest) for path, digest in record.outputs.items()}
    return found + [f"{file} {state}" for file, state in states.items() if state != AS_RECORDED]


def state_of(path: Path, digest: str) -> str:
    """AS_RECORDED where the file's SHA-256 is the one that was recorded, else ALTERED or GONE."""
    try:
        return AS_RECORDED if file_fingerprint(path) == digest else ALTERED
    except OSError:
        return GONE


def _changes(old: Mapping, new: Mapping) -> list[str]:
    data = [f"{name} changed" for name in new["data"] if new["data"][name] != old["data"].get(name, new["data"][name])]
    values = changed_values(old["profile"], new["profile"], "profile: ")
    code = changed_modules(old["code"], new["code"])
    return _changed_cells(old["cells"], new["cells"]) + code + values + data + changed_values(old["versions"], new["versions"], VERSIONS)


def _changed_cells(old: list[str], new: list[str]) -> list[str]:
    said = []
    for kind, first, last, at, end in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind == "delete":
            said += [f"code cell {number + 1} removed" for number in range(first, last)]
        elif kind != "equal":
            said += [f"code cell {number + 1} {'added' if kind == 'insert' else 'changed'}" for number in range(at, end)]
    return said


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells."""
    return [cell["source"] for cell in notebook_cells(notebook) if cell["cell_type"] == "code"]


def parameter_names(notebook: Path) -> list[str]:
    """Names assigned in the notebook's parameters cell."""
    for cell in notebook_cells(notebook):
        if _has_parameters(cell):
            return [node.targets[0].id for node in ast.parse(cell["source"]).body if isinstance(node, ast.Assign)]
    return []


def _has_parameters(cell: Mapping) -> bool:
    return PARAMETERS in cell["metadata"].get("tags", [])


def notebook_cells(notebook: Path) -> list[dict]:
    """The cells, read as the JSON that they are: to import nbformat takes longer than all else of a run with nothing to do."""
    book = read_json(notebook)
    if not isinstance(book, dict) or "cells" not in book:
        raise InputError(f"{notebook}: no notebook of version 4; save it again with Jupyter.")
    return [cell | {"source": "".join(cell["source"])} for cell in book["cells"]]  # files have a list of lines


def _used_places(trees: list[ast.AST]) -> set[Place]:
    """What the cells use of the package, the plots of the figures that they name included."""
    names = {name: place for tree in trees for name, place in package_imports(tree).items()}
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return used_places(trees, names) | {FIGURES[name].place for name in texts & FIGURES.keys()}


def parsed(cell: str) -> ast.AST:
    """The cell's syntax tree, or its text as a constant: a cell that is no plain Python fails, or not, when it is run."""
    try:
        return ast.parse(cell)
    except SyntaxError:
        return ast.Constant(cell)
