"""Put executed outputs into the committed notebooks: without times, ids of machines, progress bars or injected cells."""

from __future__ import annotations

import nbformat

from ..base.runs import writing
from .cells import INJECTED
from .suite import Step

KEPT_CELL_METADATA = ("tags",)


def write_back(steps: list[Step]) -> None:
    """Replace the outputs of each step's notebook by those of its executed copy."""
    for step in steps:
        notebook = cleaned(nbformat.read(step.executed, as_version=4))
        temporary = step.notebook.with_suffix(".tmp")
        with writing(step.notebook):
            nbformat.write(notebook, temporary)
            temporary.replace(step.notebook)


def cleaned(notebook):
    """The notebook without injected cells, standard error, widget state and metadata that change from run to run."""
    notebook.cells = [cell for cell in notebook.cells if INJECTED not in cell["metadata"].get("tags", [])]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    number = 0
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
        cell["metadata"] = {key: cell["metadata"][key] for key in KEPT_CELL_METADATA if cell["metadata"].get(key)}
        if cell["cell_type"] == "code":
            number += 1
            cell["outputs"] = [_clean(output, number) for output in cell["outputs"] if not _passing(output)]
            cell["execution_count"] = number
    return notebook


def _passing(output) -> bool:
    """Progress bars: standard error, and widgets, which without their state are empty on the web."""
    return output.get("name") == "stderr" or any(kind.startswith("application/vnd.jupyter.widget") for kind in output.get("data", {}))


def _clean(output, number: int):
    if "execution_count" in output:
        output["execution_count"] = number
    return output
