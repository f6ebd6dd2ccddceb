"""Tiny notebooks to stand for the suite's own, and executions of them without a kernel."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat

from hybridir_utils.base import files
from hybridir_utils.provenance import artefacts, fingerprints
from hybridir_utils.suite.child import Ended

CALLS = """
import os
from pathlib import Path
place = Path(os.environ["HYBRIDIR_OUTPUT"]).expanduser() / "calls.txt"
with place.open("a") as file:
    print("{name}", alpha, os.getpid(), os.getppid(), file=file)
"""


def notebook(folder: Path, name: str, *cells: str, parameters: str = 'profile = "sample"  # a profile\nalpha = 0.5  # a share') -> Path:
    """Write a notebook of a title, a parameters cell, a cell that notes the call, and the given ones."""
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in (CALLS.replace("{name}", name), *cells)]
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}"), tagged, *code])
    written.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(written, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def edit(path: Path, change: Callable) -> None:
    book = nbformat.read(path, as_version=4)
    change(book.cells)
    nbformat.write(book, path)


def add_code(path: Path, line: str = "more = 1") -> None:
    """Another line in the last cell."""
    edit(path, lambda cells: cells[-1].update(source=f"{cells[-1]['source']}\n{line}"))


class Executions(list):
    """Stands in place of `watch`: the numbers of the notebooks that ran. work: name of a notebook -> what it does in place of its cells;
    ends: name -> how it ended, where not well.
    """

    def __init__(self):
        self.work, self.ends = {}, {}

    def __call__(self, command: list[str], environment: dict, timeout: float | None = None) -> Ended:
        source, copy = map(Path, command[3:5])
        self.append(source.stem[:2])
        copy.write_bytes(source.read_bytes())
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            self.work.get(source.stem, lambda: None)()
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
        return self.ends.get(source.stem, Ended(0, 20.0, 100.0))


def edit_module(monkeypatch, file: str) -> None:
    """Every definition of the package's file (from its folder's parent) counts as edited."""
    known = fingerprints.source_of

    def source_of(module: str) -> fingerprints.Source:
        source = known(module)
        edited = fingerprints.modules()[module] == files.ROOT / file
        return replace(source, meanings=dict.fromkeys(source.meanings, "edited")) if edited else source

    assert (files.ROOT / file).is_file()
    monkeypatch.setattr(fingerprints, "source_of", source_of)
    monkeypatch.setattr(artefacts, "code_fingerprint", fingerprints.code_fingerprint.__wrapped__)  # not the one that was kept
