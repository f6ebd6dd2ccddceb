"""What decides whether a notebook has to run: its cells, the code and data that they use, the values, what it read and wrote."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path

from ..base.errors import InputError
from ..base.files import file_fingerprint, fingerprint, output_root, read_json
from ..data.register import data_fingerprint
from ..encode.catalogue import ENCODERS, place_of
from ..encode.opening import origin
from ..experiment.profile import Profile
from ..experiment.run import Run, changes_of
from ..provenance.artefacts import RECORD, changed_modules, changed_values, changed_versions
from ..provenance.code_use import Place, package_imports, used_places
from ..provenance.fingerprints import module_fingerprints, versions
from ..results.figures import FIGURES
from .records import OK, RUNNING, Record

PARAMETERS = "parameters"


def parts_of(notebook: Path, profile: Profile, data: dict[str, str]) -> dict:
    """Fingerprints of a notebook's code cells, of the package's files that they use, and the values, data (`data_parts`) and versions."""
    trees = [_parsed(cell) for cell in code_cells(notebook)]
    return {
        "cells": [fingerprint(ast.dump(tree))[:16] for tree in trees],
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
    found += [f"input {path} {state}" for path in read if (state := state_of(path, record.inputs[path]))]
    return found + [f"output {path} {state}" for path in record.outputs if (state := state_of(path, record.outputs[path]))]


def state_of(path: str, digest: str) -> str:
    """ "" where the file (below the output folder) is as it was, else "missing" or "altered"."""
    try:
        return "" if file_fingerprint(output_root() / path) == digest else "altered"
    except OSError:
        return "missing"


def _changes(old: Mapping, new: Mapping) -> list[str]:
    data = [f"{name} changed" for name in new["data"] if new["data"][name] != old["data"].get(name, new["data"][name])]
    values = changed_values(old["profile"], new["profile"], "profile: ")
    code = changed_modules(old["code"], new["code"])
    return _changed_cells(old["cells"], new["cells"]) + code + values + data + changed_versions(old["versions"], new["versions"])


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
    return [_source(cell) for cell in _cells(notebook) if cell["cell_type"] == "code"]


def parameter_names(notebook: Path) -> list[str]:
    """Names assigned in the notebook's parameters cell."""
    for cell in _cells(notebook):
        if PARAMETERS in cell["metadata"].get("tags", []):
            return [node.targets[0].id for node in ast.parse(_source(cell)).body if isinstance(node, ast.Assign)]
    return []


def _cells(notebook: Path) -> list[dict]:
    """Read as the JSON that it is: to import nbformat takes longer than all else of a run with nothing to do."""
    book = read_json(notebook)
    if not isinstance(book, dict) or "cells" not in book:
        raise InputError(f"{notebook}: no notebook of version 4; save it again with Jupyter.")
    return book["cells"]


def _source(cell: dict) -> str:
    """Files have a list of lines."""
    return "".join(cell["source"])


def _used_places(trees: list[ast.AST]) -> set[Place]:
    """What the cells use of the package, the plots of the figures that they name included."""
    names = {name: place for tree in trees for name, place in package_imports(tree).items()}
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return used_places(trees, names) | {FIGURES[name].place for name in texts & FIGURES.keys()}


def _parsed(cell: str) -> ast.AST:
    """The cell's syntax tree, or its text as a constant: a cell that is no plain Python fails, or not, when it is run."""
    try:
        return ast.parse(cell)
    except SyntaxError:
        return ast.Constant(cell)
