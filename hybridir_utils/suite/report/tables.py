"""Result tables as the report shows them: headers with their scope, numbers in few digits, one table for each task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from ...experiment.evaluation import REFERENCE
from ...experiment.run import Run
from ...results.figures import read_result
from ...results.tables import bias_table, language_table, paper_by_language, paper_table, score_table, search_table

MOST_LANGUAGES = 16  # columns that a page can show; larger tables are named by their file
NONE = "–"


@dataclass(frozen=True)
class Header:
    """A heading cell over `span` columns or beside `span` rows."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Row:
    """headers: those that begin with this row; cells: what follows."""

    headers: tuple[Header, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """caption; names of the row headers; one or two rows of column headers; groups of rows that share their first header."""

    caption: str
    names: tuple[str, ...]
    columns: tuple[tuple[Header, ...], ...]
    groups: tuple[tuple[Row, ...], ...]


def table_of(frame: pd.DataFrame, caption: str) -> Table:
    """A frame with one or two levels of columns; the levels of its index become row headers, of which the first spans its group."""
    names = tuple(str(name or "") for name in frame.index.names)
    labels = [tuple(map(str, label)) if isinstance(label, tuple) else (str(label),) for label in frame.index]
    cells = [tuple(map(as_text, row)) for row in frame.itertuples(index=False, name=None)]
    groups = [list(rows) for _, rows in groupby(zip(labels, cells, strict=True), key=lambda row: row[0][0])]
    return Table(caption, names, _columns(frame.columns), tuple(_group(rows) for rows in groups))


def _columns(columns: pd.Index) -> tuple[tuple[Header, ...], ...]:
    labels = [tuple(map(str, label)) if isinstance(label, tuple) else (str(label),) for label in columns]
    levels = [[label[level] for label in labels] for level in range(columns.nlevels)]
    upper = [tuple(Header(text, len(list(same))) for text, same in groupby(level)) for level in levels[:-1]]
    return (*upper, tuple(Header(text) for text in levels[-1]))


def _group(rows: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> tuple[Row, ...]:
    """The first header stands beside all rows of its group; a table of one level has it in every row."""
    if len(rows[0][0]) == 1:
        return tuple(Row((Header(label[0]),), cells) for label, cells in rows)
    shared = (Header(rows[0][0][0], len(rows)),)
    return tuple(Row((shared if i == 0 else ()) + tuple(map(Header, label[1:])), cells) for i, (label, cells) in enumerate(rows))


def as_text(value: object) -> str:
    """A cell: three decimals below ten, one below a hundred, none from there on; a dash for nothing."""
    if not isinstance(value, float):
        return str(value)
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return NONE if pd.isna(value) else f"{value:,.{digits}f}"


def page_tables(run: Run) -> dict[str, list[Table]]:
    """The tables of scores, of the paper beside ours, and of both by language; none before notebooks 03 and 04 have saved theirs."""
    if not all((run.results / f"{table}.csv").is_file() for table in ("scores", "bias")):
        return {"scores": [], "paper": [], "languages": []}
    scores, bias = read_result(run, "scores"), read_result(run, "bias")
    paper = _by_task(paper_table(scores, bias), "{}: mean over languages, the paper's encoders and ours")
    return {
        "scores": [*score_tables(scores, bias)],
        "paper": [*paper],
        "languages": [*language_tables(scores), *paper_languages(scores, bias)],
    }


def score_tables(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[Table]:
    """For each task: the scores, and the measures of language bias."""
    yield from _by_task(score_table(scores, bias), "{}: mean over seeds ± standard deviation")
    yield from _by_task(search_table(scores), "{}: searched to a depth, mean over seeds ± standard deviation")
    for task in dict.fromkeys(bias["task"]):
        measures = bias_table(bias, task).droplevel("task").T
        for base in dict.fromkeys(measures.columns.get_level_values("base").drop(REFERENCE, errors="ignore")):
            shown = measures[[base, *({REFERENCE} & {*measures.columns.get_level_values("base")})]]
            yield table_of(shown, f"{task}, from {base}: every measure of language bias, mean over question languages and seeds")


def paper_languages(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[Table]:
    """The paper's numbers by question language, and ours beside them on tasks that both have."""
    frame = paper_by_language(scores, bias)
    for (task, measure), rows in frame.groupby(level=[0, 1], sort=False):
        rows = rows.droplevel([0, 1]).dropna(axis=1, how="all")
        yield table_of(rows, f"{task}: {measure} by question language, the paper's encoders and ours")


def language_tables(scores: pd.DataFrame) -> Iterator[Table]:
    """mAP by question language, for each task and base; none where there are more languages than a page is wide."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")]
    for task in dict.fromkeys(rows["task"]):
        for base in dict.fromkeys(rows.loc[(rows["task"] == task) & (rows["base"] != REFERENCE), "base"]):
            frame = language_table(scores, task, base)
            if frame.shape[1] <= MOST_LANGUAGES:
                yield table_of(frame, f"{task}, from {base}: mAP by question language, mean over seeds")


def _by_task(frame: pd.DataFrame, caption: str) -> Iterator[Table]:
    for task, rows in frame.groupby(level=0, sort=False):
        yield table_of(rows.droplevel(0), caption.format(task))
