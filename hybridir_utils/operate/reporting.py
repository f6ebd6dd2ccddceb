"""What a run ends with: the summary table and where everything lies; and the result tables as Markdown files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..base.files import file_safe, write_text_atomically
from ..show.claim_text import claims_markdown, evidence_markdown
from ..show.figures import provenance, read_result
from ..show.tables import bias_table, markdown, paper_table, score_table
from ..steps.session import Run
from .suite import Step


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
