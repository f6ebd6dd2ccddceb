"""Put executed outputs into the committed notebooks: without times, ids of machines, progress bars or injected cells."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pandas as pd

from ..base.files import file_safe, replacing, write_text_atomically
from ..experiment.run import Run
from ..results.figures import provenance, read_result
from ..results.tables import bias_table, markdown, paper_table, score_table
from ..studies.claims.claims import claims_markdown, evidence_markdown
from .cells import INJECTED
from .running import Step

KEPT_CELL_METADATA = ("tags",)


def write_back(steps: list[Step]) -> None:
    """Replace the outputs of each step's notebook by those of its executed copy."""
    for step in steps:
        notebook = cleaned(nbformat.read(step.executed, as_version=4))
        with replacing(step.notebook) as temporary:
            nbformat.write(notebook, temporary)


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


def summarise(run: Run, steps: list[Step]) -> str:
    """Score table of the run, then the paths of figures and executed notebooks."""
    parts = []
    if (run.results / "scores.csv").is_file():
        bias = read_result(run, "bias") if (run.results / "bias.csv").is_file() else None
        with pd.option_context("display.width", 200, "display.max_columns", 20, "display.max_rows", 100):
            parts.append(score_table(read_result(run, "scores"), bias).to_string())
    parts.append("\n".join(["", "figures:", *(f"  {path}" for path in sorted(run.figures.glob("*.png")))]))
    parts.append("\n".join(["executed notebooks:", *(f"  {step.executed}" for step in steps)]))
    return "\n".join(parts)


def write_tables(run: Run) -> list[Path]:
    """Write the score, bias and paper tables, and the judged claims once there are any, as Markdown beside the figures.

    None before notebooks 03 and 04 have saved theirs.
    """
    if not all((run.results / f"{table}.csv").is_file() for table in ("scores", "bias")):
        return []
    scores, bias = read_result(run, "scores"), read_result(run, "bias")
    tables = {"scores": score_table(scores, bias), "paper": paper_table(scores, bias)}
    tables |= {f"bias_{task}": bias_table(bias, task) for task in dict.fromkeys(bias["task"])}
    texts = {name: markdown(table) for name, table in tables.items()}
    if (run.results / "claims.csv").is_file():
        claims = read_result(run, "claims")
        texts["claims"] = f"{claims_markdown(claims)}\n{evidence_markdown(claims)}"
    paths = []
    for name, text in texts.items():
        read = [table for table in ("claims", "bias", "scores") if name.startswith(table)] or ["scores", "bias"]
        paths.append(run.figures / f"{file_safe(name)}.md")
        write_text_atomically(paths[-1], f"{text}\n<!-- {provenance(run, read)} -->\n")
    return paths
