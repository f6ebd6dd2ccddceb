"""What readers get of saved tables beside the figures: Markdown tables, the numbers in the pages of the checkout, the end of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.files import file_safe, write_text_atomically
from ..experiment.run import Run
from ..results.figures import provenance, read_result
from ..results.tables import bias_table, markdown, paper_table, score_table
from ..studies.claims.judging import claims_markdown, evidence_markdown

BLOCK = re.compile(r"(<!-- numbers: (\S+) (\S+)([^\n]*?) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
SCORES = ["Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance"]
REFERENCE = "reference"  # base of what is not trained from one

Read = Callable[[str], pd.DataFrame]


def markdown_tables(run: Run) -> dict[str, str]:
    """File name -> text of the tables of scores, bias, the paper's numbers and the judged claims, as far as the run has saved them."""
    has = {table for table in ("scores", "bias", "claims") if (run.results / f"{table}.csv").is_file()}
    texts = {f"{file_safe(name)}.md": (text, read) for name, text, read in _texts(has, lambda table: read_result(run, table))}
    return {name: f"{text}\n<!-- {provenance(run, read)} -->\n" for name, (text, read) in texts.items()}


def _texts(has: set[str], read: Read) -> Iterator[tuple[str, str, list[str]]]:
    """(name, text, tables that it was made from)."""
    if {"scores", "bias"} <= has:
        scores, bias = read("scores"), read("bias")
        yield "scores", markdown(score_table(scores, bias)), ["scores", "bias"]
        yield "paper", markdown(paper_table(scores, bias)), ["scores", "bias"]
        for task in dict.fromkeys(bias["task"]):
            yield f"bias_{task}", markdown(bias_table(bias, task)), ["bias"]
    if "claims" in has:
        claims = read("claims")
        yield "claims", f"{claims_markdown(claims)}\n{evidence_markdown(claims)}", ["claims"]


def write_tables(run: Run) -> list[Path]:
    """Write the Markdown tables beside the figures."""
    texts = markdown_tables(run)
    for name, text in texts.items():
        write_text_atomically(run.figures / name, text)
    return [run.figures / name for name in texts]


def filled(page: str, read: Callable[[str, str], pd.DataFrame]) -> str:
    """A page whose blocks `<!-- numbers: RUN WHAT … -->` to `<!-- end -->` hold what the tables say now.

    WHAT: `scores TASK [BASE …]` or `claims [SOURCE …]`. read: the saved table of a run, by both names. Raises InputError for another block.
    """
    return BLOCK.sub(
        lambda found: f"{found[1]}{readme_block(found[3], found[4].split(), lambda table: read(found[2], table))}{found[5]}", page
    )


def readme_block(what: str, which: list[str], read: Read) -> str:
    """The Markdown table of a block; which: task and bases of the scores, or sources of the claims; all where none is named."""
    if what == "claims":
        claims = read("claims")
        return claims_markdown(claims[claims["source"].isin(which or claims["source"])])
    if what != "scores" or not which:
        raise InputError(f"numbers: {what} {' '.join(which)}: expected `scores TASK [BASE …]` or `claims [SOURCE …]`.")
    rows = score_table(read("scores"), read("bias")).loc[which[0]]
    bases = rows.index.get_level_values("base")
    return markdown(rows.loc[bases.isin([*(which[1:] or bases), REFERENCE]), SCORES])


def summarise(run: Run) -> str:
    """The score table of the run, and where its figures and executed notebooks lie."""
    parts = []
    if (run.results / "scores.csv").is_file():
        bias = read_result(run, "bias") if (run.results / "bias.csv").is_file() else None
        with pd.option_context("display.width", 200, "display.max_columns", 20, "display.max_rows", 100):
            parts.append(score_table(read_result(run, "scores"), bias).to_string() + "\n")
    return "\n".join([*parts, f"figures: {run.figures}", f"executed notebooks: {run.notebooks}"])
