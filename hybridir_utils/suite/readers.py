"""What readers get at the end of a run: Markdown tables beside the figures, the scores, and how it compares with the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.files import file_safe, write_text_atomically
from ..experiment.run import Run, reference_tables
from ..results.figures import provenance, read_result
from ..results.findings import verdict
from ..results.tables import MISSING, bias_table, markdown, paper_table, score_table, with_alpha
from ..studies.claims.judging import claims_markdown, evidence_markdown

EQUAL, WITHIN, DIFFERS = "equal", "within the spread", "differing"
SMALL = 0.01  # of what a column spans: so far a value may move whose spread over seeds is not known, or is nothing
TESTED = ["mean_difference", "p_holm", "seed_low", "seed_high"]  # what `findings.verdict` reads
NAMING = ("seed", "alpha", "step", "steps", "percentile", "languages", "claim")  # numbers that say which row it is
IN_WORDS = ("evidence", "command", "note")  # sentences around numbers that stand in other columns, and how the run was called


def markdown_tables(run: Run) -> dict[str, str]:
    """File name -> text of the tables of scores, bias, the paper's numbers and the judged claims, as far as the run has saved them."""
    has = {table for table in ("scores", "bias", "claims") if run.has(table)}
    texts = {f"{file_safe(name)}.md": (text, read) for name, text, read in _texts(has, lambda table: read_result(run, table))}
    return {name: f"{text}\n<!-- {provenance(run, read)} -->\n" for name, (text, read) in texts.items()}


def _texts(has: set[str], read: Callable[[str], pd.DataFrame]) -> Iterator[tuple[str, str, list[str]]]:
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


def summarise(run: Run) -> str:
    """The score table of the run, and where its figures and executed notebooks lie."""
    parts = []
    if run.has("scores"):
        bias = read_result(run, "bias") if run.has("bias") else None
        parts.append(with_alpha(score_table(read_result(run, "scores"), bias), run).to_string(na_rep=MISSING) + "\n")
    return "\n".join([*parts, f"figures: {run.figures}", f"executed notebooks: {run.notebooks}"])


# Beside the reference


@dataclass(frozen=True)
class TableDifference:
    """state: EQUAL, WITHIN or DIFFERS. largest: difference of a value, that furthest beyond its spread first; where: its row and column."""

    table: str
    state: str
    largest: float = 0.0
    where: str = ""


@dataclass(frozen=True)
class Comparison:
    """Of all tables that the reference has, and the verdicts that are others: `where: before → now`."""

    tables: tuple[TableDifference, ...]
    verdicts: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        return not self.verdicts and not any(table.state == DIFFERS for table in self.tables)

    def lines(self) -> list[str]:
        """What a person reads: one line where the reference is reproduced, else each table that differs, and each verdict."""
        states = {state: [table for table in self.tables if table.state == state] for state in (EQUAL, WITHIN, DIFFERS)}
        counts = ", ".join(f"{len(tables)} {state}" for state, tables in states.items() if tables)
        if not self.reproduced:
            others = [f"{table.table}: {f'{table.largest:.3g} in ' if table.largest else ''}{table.where}" for table in states[DIFFERS]]
            return [f"not the reference: of {len(self.tables)} tables {counts}", *others, *(self.verdicts or ("no verdict changed",))]
        largest = max(states[WITHIN], key=lambda table: table.largest, default=None)
        about = f"; largest difference {largest.largest:.2g} ({largest.table}: {largest.where})" if largest else ""
        return [f"reproduced: of {len(self.tables)} tables {counts}{about}; no verdict changed"]


def compare_with_reference(run: Run) -> Comparison | None:
    """The run's tables beside the reference of its name; None where the checkout has none.

    Times are of the machine and left out, and so are tables that the reference is older than.
    """
    reference = reference_tables(run.name)
    if run.committed or not any(reference.glob("*.csv")):
        return None
    names = sorted({path.name for path in reference.glob("*.csv")} - {"check.csv"})
    found = [_compare_files(reference / name, run.results / name) for name in names]
    return Comparison(tuple(table for table, _ in found), tuple(line for _, verdicts in found for line in verdicts))


def _compare_files(old: Path, new: Path) -> tuple[TableDifference, list[str]]:
    """(difference of a table, its verdicts that changed); files of the same bytes are not read as tables."""
    if not new.is_file():
        return TableDifference(old.stem, DIFFERS, where="the run has no such table"), []
    if old.read_bytes() == new.read_bytes():
        return TableDifference(old.stem, EQUAL), []
    tables = _read(old), _read(new)
    return compare_tables(old.stem, *tables), list(changed_verdicts(old.stem, *tables))


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def compare_tables(name: str, old: pd.DataFrame, new: pd.DataFrame) -> TableDifference:
    """A table of the run beside the reference's.

    A value is within the spread where it moved by no more than the range over the seeds of its row in the reference, the width of its
    interval over seeds, or SMALL of what its column spans.
    """
    old, new = (table.drop(columns=[column for column in table if "seconds" in column or column in IN_WORDS]) for table in (old, new))
    if list(old) != list(new) or len(old) != len(new):
        return TableDifference(name, DIFFERS, where=f"{len(new)} rows of {len(list(new))} columns, expected {len(old)} of {len(list(old))}")
    if old.equals(new):
        return TableDifference(name, EQUAL)
    numbers = [column for column in old if pd.api.types.is_numeric_dtype(old[column]) and column not in NAMING]
    others = old.drop(columns=numbers).astype(str) != new.drop(columns=numbers).astype(str)
    if others.any(axis=None):
        row, column = np.argwhere(others.to_numpy())[0]
        return TableDifference(name, DIFFERS, where=f"{others.columns[column]} of {_row(new, row, numbers)}")
    moved = (new[numbers].astype(float) - old[numbers].astype(float)).abs()
    moved = moved.mask(new[numbers].isna() != old[numbers].isna(), np.inf).fillna(0.0).to_numpy()
    beyond = moved - _spread(old, numbers).to_numpy()
    row, column = np.unravel_index(np.argmax(beyond if (beyond > 0).any() else moved), moved.shape)
    state = DIFFERS if (beyond > 0).any() else WITHIN if moved.any() else EQUAL
    return TableDifference(name, state, float(moved[row, column]), f"{numbers[column]} of {_row(new, row, numbers)}")


def _row(table: pd.DataFrame, row: int, numbers: list[str]) -> str:
    return " ".join(str(value) for key, value in table.drop(columns=numbers).iloc[row].items() if value == value) or f"row {row + 1}"


def _spread(old: pd.DataFrame, numbers: list[str]) -> pd.DataFrame:
    values = old[numbers].astype(float)
    spread = pd.DataFrame(np.broadcast_to(SMALL * (values.max() - values.min()).to_numpy(), values.shape), old.index, numbers)
    if "seed" in old:
        names = [old[column] for column in old if column not in numbers and column != "seed"]
        groups = values.groupby(names or [pd.Series(0, old.index)], dropna=False, sort=False)
        spread = np.maximum(spread, groups.transform("max") - groups.transform("min"))
    if {"seed_low", "seed_high"} <= set(old):
        width = (old["seed_high"] - old["seed_low"]).fillna(0.0)
        own = [name for name in numbers if name in ("mean_difference", "difference", "low", "high", "seed_low", "seed_high")]
        spread[own] = spread[own].apply(lambda column: np.maximum(column, width))
    return spread.fillna(0.0)


def changed_verdicts(name: str, old: pd.DataFrame, new: pd.DataFrame) -> Iterator[str]:
    """`table, row: before → now` for every verdict on a claim, and of every test, that is another."""
    before, now = _verdicts(old), _verdicts(new)
    for key in before:
        if key in now and before[key] != now[key]:
            yield f"{name}, {' '.join(map(str, key))}: {before[key]} → {now[key]}"


def _verdicts(table: pd.DataFrame) -> dict[tuple, str]:
    if "verdict" in table:
        return {("claim", row.claim, row.source): row.verdict for row in table.itertuples()}
    if not set(TESTED) <= set(table):
        return {}
    keys = [column for column in table if not pd.api.types.is_float_dtype(table[column]) and column not in ("n_groups", "n_seeds", "note")]
    return {tuple(row[key] for key in keys): verdict(row) for _, row in table.iterrows()}
