"""A notebook's cells executed in this process, where a kernel of its own would spend seconds on imports: what each shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from hybridir_utils.suite.records import PARAMETERS


def shown_by(notebook: Path, values: dict) -> Iterator[tuple[str, list[dict], str]]:
    """Of each code cell its source, what it displays (kind -> text), and what it writes to stderr. values: parameter -> value.

    Raises what a cell raises.
    """
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "code":
                source = _given(cell.source, values) if PARAMETERS in cell.metadata.get("tags", []) else cell.source
                with capture_output() as captured:
                    ended = shell.run_cell(source, store_history=True)
                ended.raise_error()
                result = [] if ended.result is None else [shell.display_formatter.format(ended.result)[0]]
                yield source, [*(output.data for output in captured.outputs), *result], captured.stderr
    finally:
        InteractiveShell.clear_instance()


def _given(parameters: str, values: dict) -> str:
    return "\n".join(f"{line.targets[0].id} = {values[line.targets[0].id]!r}" for line in ast.parse(parameters).body)
