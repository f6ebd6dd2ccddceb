"""A run's tables for readers: in Markdown beside its figures, in lines at the end of the command, and on the page of its report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.files import file_safe, write_text_atomically
from ..experiment.evaluation import REFERENCE
from ..experiment.run import Run
from ..results.figures import provenance, read_result
from ..results.show import best_of_columns, parts
from ..results.tables import (
    LOWER_IS_BETTER,
    MISSING,
    PAPER_TASKS,
    as_texts,
    bias_table,
    language_table,
    markdown,
    paper_by_language,
    paper_table,
    score_table,
    search_table,
    with_alpha,
)
from ..studies.claims.judging import claims_markdown, evidence_markdown

MOST_LANGUAGES = 16  # columns that a page can show; larger tables are named by their file


def markdown_tables(run: Run) -> dict[str, str]:
    """File name -> text of the tables of scores, bias, the paper's numbers and the judged claims, as far as the run has saved them."""
    texts = {}
    if run.has("scores") and run.has("bias"):
        scores, bias = read_result(run, "scores"), read_result(run, "bias")
        texts["scores"] = markdown(score_table(scores, bias)), ["scores", "bias"]
        texts["paper"] = markdown(paper_table(scores, bias)), ["scores", "bias"]
        texts |= {f"bias_{task}": (markdown(bias_table(bias, task)), ["bias"]) for task in dict.fromkeys(bias["task"])}
    if run.has("claims"):
        claims = read_result(run, "claims")
        texts["claims"] = f"{claims_markdown(claims)}\n{evidence_markdown(claims)}", ["claims"]
    return {f"{file_safe(name)}.md": f"{text}\n<!-- {provenance(run, read)} -->\n" for name, (text, read) in texts.items()}


def write_tables(run: Run) -> list[Path]:
    """Write the Markdown tables beside the figures."""
    texts = markdown_tables(run)
    for name, text in texts.items():
        write_text_atomically(run.figures / name, text)
    return [run.figures / name for name in texts]


def summarise(run: Run) -> str:
    """The score table of the run, and where its figures and executed notebooks lie."""
    parts = []
    if run.has("scores"):
        bias = read_result(run, "bias") if run.has("bias") else None
        parts.append(with_alpha(score_table(read_result(run, "scores"), bias), run).to_string(na_rep=MISSING) + "\n")
    return "\n".join([*parts, f"figures: {run.figures}", f"executed notebooks: {run.notebooks}"])


# On the page


def table_of(frame: pd.DataFrame, caption: str, best: bool = False) -> dict:
    """A frame with one or two levels of columns; the levels of its index become row headers, of which the first spans its group.

    best: the best value of each column is marked (`show.best_of_columns`).
    """
    marks = best_of_columns(frame).to_numpy() if best else np.zeros(frame.shape, bool)
    cells = [[*zip(*row, strict=True)] for row in zip(as_texts(frame).to_numpy(), marks, strict=True)]
    rows = list(zip(_labels(frame.index), cells, strict=True))
    several, columns = frame.index.nlevels > 1, _labels(frame.columns)
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0][0])] if several else [[row] for row in rows]
    upper = [[_header(text, len(list(same))) for text, same in groupby(level)] for level in list(zip(*columns, strict=True))[:-1]]
    return {
        "caption": caption,
        "names": [str(name or "") for name in frame.index.names],
        "columns": [*upper, [_header(label[-1]) for label in columns]],
        "groups": list(map(_group, groups)),
    }


def _labels(index: pd.Index) -> list[tuple[str, ...]]:
    return [tuple(map(str, label)) if isinstance(label, tuple) else (str(label),) for label in index]


def _header(text: str, span: int = 1) -> dict:
    """A heading cell over `span` columns or beside `span` rows."""
    return {"text": text, "span": span}


def _group(rows: list[tuple]) -> list[dict]:
    """Rows that share their first header, which stands in the first of them."""
    first = [_header(rows[0][0][0], len(rows))]
    return [
        {"headers": (first if not number else []) + list(map(_header, label[1:])), "cells": cells}
        for number, (label, cells) in enumerate(rows)
    ]


def page_tables(run: Run) -> dict[str, list[dict]]:
    """The tables of scores, of the paper beside ours, and of both by language, the paper's tasks first; none before notebooks 03 and 04
    have saved theirs.
    """
    if not (run.has("scores") and run.has("bias")):
        return {"scores": [], "further": [], "measures": [], "paper": [], "languages": []}
    tables = (read_result(run, name) for name in ("scores", "bias"))
    scores, bias = (table.sort_values("task", key=lambda task: ~task.isin(PAPER_TASKS), kind="stable") for table in tables)
    scored = [*score_tables(scores, bias)]
    paper = paper_table(scores, bias).groupby(level=0, sort=False)
    return {
        "scores": [table for table, is_first in scored if is_first],
        "further": [table for table, is_first in scored if not is_first],
        "measures": [*bias_tables(bias)],
        "paper": [table_of(rows.droplevel(0), f"{task}: mean over languages, the paper's encoders and ours") for task, rows in paper],
        "languages": [*language_tables(scores), *paper_languages(scores, bias)],
    }


def score_tables(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[tuple[dict, bool]]:
    """For each task and base, as in the notebooks, the scores and the rank distance; and whether it is the first task."""
    for frame, how in ((score_table(scores, bias), "mean"), (search_table(scores), "searched to a depth, mean")):
        for name, places, is_first in parts(frame):
            rows = frame.iloc[places].droplevel([*name]).dropna(axis=1, how="all")
            yield table_of(rows, f"{', '.join(name.values())}: {how} over seeds ± standard deviation", best=True), is_first


def bias_tables(bias: pd.DataFrame) -> Iterator[dict]:
    """For each task and base: every measure of language bias."""
    for task in dict.fromkeys(bias["task"]):
        measures = bias_table(bias, task).droplevel("task").T
        for base in dict.fromkeys(measures.columns.get_level_values("base").drop(REFERENCE, errors="ignore")):
            shown = measures[[base, *({REFERENCE} & {*measures.columns.get_level_values("base")})]]
            yield table_of(shown, f"{task}, from {base}: every measure of language bias, mean over question languages and seeds")


def paper_languages(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[dict]:
    """The paper's numbers by question language, and ours beside them on tasks that both have."""
    frame = paper_by_language(scores, bias)
    for (task, measure), rows in frame.groupby(level=[0, 1], sort=False):
        rows = rows.droplevel([0, 1]).dropna(axis=1, how="all")
        rows = rows.round(0) if measure in LOWER_IS_BETTER else rows
        yield table_of(rows, f"{task}: {measure} by question language, the paper's encoders and ours")


def language_tables(scores: pd.DataFrame) -> Iterator[dict]:
    """mAP by question language, for each task and base; none where there are more languages than a page is wide."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")]
    for task in dict.fromkeys(rows["task"]):
        for base in dict.fromkeys(rows.loc[(rows["task"] == task) & (rows["base"] != REFERENCE), "base"]):
            frame = language_table(scores, task, base)
            if frame.shape[1] <= MOST_LANGUAGES:
                yield table_of(frame, f"{task}, from {base}: mAP by question language, mean over seeds")
