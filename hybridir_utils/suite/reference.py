"""The committed reference: a finished run beside it, and a finished run in its place, all at once: tables, figures, Markdown tables,
notebook outputs, and the numbers in the pages.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.files import NOTEBOOKS, ROOT, file_fingerprint, fingerprint, replacing, write_text_atomically
from ..experiment.run import Run, reference_figures, reference_tables, run_command
from ..experiment.stamps import STAMPS, check_unaltered, is_current, read_stamps
from ..provenance.fingerprints import CHANGES, sealed
from ..results.figures import FIGURES, can_be_drawn
from ..results.findings import on_beside_a_mean, on_mean_tested, on_order, verdict
from ..results.tables import markdown, score_table
from ..studies.claims.judging import claims_markdown
from ..studies.claims.rules import LEFT_OPEN
from ..studies.languages import on_highest, on_languages
from .cells import INJECTED
from .plan import plan
from .readers import markdown_tables
from .records import OK, read_record
from .running import Step, notebooks
from .whence import WRITTEN, embedded

SHOWN = "sample"  # the run whose outputs the notebooks carry
PAGES = ("README.md", "data/results/README.md", "notebooks/profiles/README.md")
ABOUT = "about.json"
KEPT_CELL_METADATA = ("tags",)
BLOCK = re.compile(r"(<!-- numbers: (\S+) (\S+)([^\n]*?) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
EQUAL, WITHIN, DIFFERS, NOT_MADE = "equal", "within the spread", "differing", "not made yet"
SMALL = 0.01  # of what a column spans: so far a value may move whose spread over seeds is not known, or is nothing
TESTED = ["p_holm", "seed_low", "seed_high"]  # what `findings.verdict` reads beside a mean difference, or one of shares kept
NAMING = ("seed", "alpha", "step", "steps", "percentile", "languages", "claim")  # numbers that say which row it is
IN_WORDS = ("evidence", "command", "note", *LEFT_OPEN)  # told of numbers that stand in other tables, and how the run was called
SENTENCES = {
    "beside-a-mean": ("debiasing", on_beside_a_mean),
    "mean-tested": ("debiasing_tests", on_mean_tested),
    "order": ("tests", on_order),
    "methods": ("many_scores", on_highest),
    "many-languages": ("many_languages", on_languages),
    "many-beside-a-mean": ("many_debiasing", on_beside_a_mean),
}
SCORES = ["Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance"]


def write_back(run: Run) -> list[Path]:
    """Replace the reference of the run's name by the run; returns what was written.

    Nothing is written before everything is there. Raises InputError where a table was made by other code or values than the ones in use
    now or by code that no commit holds, a figure was drawn from other tables, or, in the run whose outputs the notebooks carry, a notebook
    has not ended well.
    """
    import nbformat

    _check_current(run)
    tables = {path.name: path.read_bytes() for path in (*sorted(run.results.glob("*.csv")), run.results / STAMPS, run.results / ABOUT)}
    pictures = _figures(run) | {name: text.encode() for name, text in markdown_tables(run).items()}
    books = {path.name: cleaned(_executed(Step(path, run))) for path in (notebooks() if run.name == SHOWN else ())}
    books = {name: (nbformat.writes(book) + "\n").encode() for name, book in books.items()}
    outputs = {name: outputs_fingerprint(json.loads(content)) for name, content in books.items()}
    record = {"tables": _digests(tables), "figures": _digests(pictures), "notebooks": outputs}
    record["seconds"] = {each.notebook: each.whole for each in plan(run) if each.whole is not None and not each.source}
    tables[WRITTEN] = (json.dumps(sealed(record), indent=1, sort_keys=True) + "\n").encode()
    written = _fill(reference_tables(run.name), tables) + _fill(reference_figures(run.name), pictures)
    return [*written, *(_replace(NOTEBOOKS / name, content) for name, content in books.items()), *_fill_pages()]


def _fill(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Make the folder hold these files and no others."""
    written = [_replace(folder / name, content) for name, content in files.items()]
    for path in set(folder.glob("*")) - set(written):
        path.unlink()
    return written


def _check_current(run: Run) -> None:
    stamps, again = read_stamps(run.results), f"{run_command(run.source, {})} --from 01"
    old = [name for name, stamp in stamps.items() if not is_current(stamp, run.profile)]
    if old or not stamps:
        what = f"tables of other code or values than the ones in use now ({', '.join(old)})" if old else "no saved tables"
        raise InputError(f"{run.results}: {what}. Make them with: {again}")
    if changed := [name for name, stamp in stamps.items() if stamp["commit"].endswith(CHANGES)]:
        raise InputError(f"{run.results}: no commit holds what made {', '.join(changed)}. Commit, then make them again with: {again}")
    for path in run.results.glob("*.csv"):
        check_unaltered(path, again)


def _figures(run: Run) -> dict[str, bytes]:
    """File name -> content of every figure that `can_be_drawn`, all of them drawn from the saved tables."""
    found = {}
    for name, recipe in FIGURES.items():
        if can_be_drawn(run, name):
            now = {table: file_fingerprint(run.results / f"{table}.csv") for table in recipe.tables}
            for path in (run.figures / f"{name}.png", run.figures / f"{name}.svg"):
                if embedded(path).get("tables") != now:
                    again = run_command(run.source, {}, verb="figures")
                    raise InputError(f"{path}: not there, or drawn from other tables. Draw it with: {again}")
                found[path.name] = path.read_bytes()
    return found


def _executed(step: Step):
    import nbformat

    record = read_record(step.record)
    if record is None or record.status != OK:
        state = record.status if record else "never run"
        raise InputError(f"{step.notebook.name}: {state}. The outputs are written back of all notebooks together: leave --only out.")
    return nbformat.read(step.executed, as_version=4)


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
            cell["outputs"] = [output for output in cell["outputs"] if not _passing(output)]
            for numbered in (cell, *(output for output in cell["outputs"] if "execution_count" in output)):
                numbered["execution_count"] = number
    return notebook


def _passing(output) -> bool:
    """Progress bars: standard error, and widgets, which without their state are empty on the web."""
    return output.get("name") == "stderr" or any(kind.startswith("application/vnd.jupyter.widget") for kind in output.get("data", {}))


def outputs_fingerprint(notebook: Mapping) -> str:
    """Of all outputs of a notebook's file."""
    return fingerprint([cell.get("outputs") for cell in notebook["cells"]])


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _replace(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _fill_pages() -> list[Path]:
    pages = [ROOT / page for page in PAGES if (ROOT / page).is_file()]
    for page in pages:
        write_text_atomically(page, filled(page.read_text(encoding="utf-8"), _reference_table))
    return pages


def filled(page: str, read: Callable[[str, str], pd.DataFrame]) -> str:
    """A page whose blocks `<!-- numbers: RUN WHAT … -->` to `<!-- end -->` hold what the tables say now.

    WHAT: `scores TASK [BASE …]`, `claims [SOURCE …]` or `SENTENCE [TASK …]`, one of SENTENCES. read: the saved table of a run, by
    both names. Raises InputError for another block.
    """
    return BLOCK.sub(
        lambda found: f"{found[1]}{readme_block(found[3], found[4].split(), lambda table: read(found[2], table))}{found[5]}", page
    )


def readme_block(what: str, which: list[str], read: Callable[[str], pd.DataFrame]) -> str:
    """The Markdown of a block; which: task and bases of the scores (`reference`: BM25 and random order), sources of the claims, or tasks of
    a sentence; all where none is named.
    """
    if what == "claims":
        claims = read("claims")
        return claims_markdown(claims[claims["source"].isin(which or claims["source"])])
    if what in SENTENCES:
        table, say = SENTENCES[what]
        rows = read(table)
        return "\n".join(say(rows[rows["task"].isin(which)] if which else rows)) + "\n"
    if what != "scores" or not which:
        known = ", ".join(["`scores TASK [BASE …]`", "`claims [SOURCE …]`", *(f"`{name} [TASK …]`" for name in SENTENCES)])
        raise InputError(f"numbers: {what} {' '.join(which)}: expected {known}.")
    rows = score_table(read("scores"), read("bias")).loc[which[0]]
    rows = rows.loc[rows.index.isin(which[1:] or rows.index.unique("base"), level="base"), SCORES]
    return markdown(rows if rows.index.unique("base").size > 1 else rows.droplevel("base"))


def _reference_table(run: str, table: str) -> pd.DataFrame:
    path = reference_tables(run) / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"{path}: a page names its numbers, and it is not there.")
    return _read(path)


# Beside the reference


@dataclass(frozen=True)
class TableDifference:
    """state: EQUAL, WITHIN, DIFFERS or NOT_MADE. largest: difference of a value, that furthest beyond its spread first; where: its row and
    column.
    """

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
    def differs(self) -> bool:
        return bool(self.verdicts) or any(table.state == DIFFERS for table in self.tables)

    def lines(self) -> list[str]:
        """What a person reads: one line where nothing differs, else each table that does, and each verdict."""
        states = {state: [table for table in self.tables if table.state == state] for state in (EQUAL, WITHIN, DIFFERS, NOT_MADE)}
        counts = ", ".join(f"{len(tables)} {state}" for state, tables in states.items() if tables)
        if self.differs:
            others = [f"{table.table}: {f'{table.largest:.3g} in ' if table.largest else ''}{table.where}" for table in states[DIFFERS]]
            return [f"not the reference: of {len(self.tables)} tables {counts}", *others, *(self.verdicts or ("no verdict changed",))]
        largest = max(states[WITHIN], key=lambda table: table.largest, default=None)
        about = f"; largest difference {largest.largest:.2g} ({largest.table}: {largest.where})" if largest else ""
        head = "beside the reference" if states[NOT_MADE] else "reproduced"
        return [f"{head}: of {len(self.tables)} tables {counts}{about}; no verdict changed"]


def compare_with_reference(run: Run, partial: bool = False) -> Comparison | None:
    """The run's tables beside the reference of its name; None where the checkout has none.

    Times are of the machine and left out, and so are tables that the reference is older than. partial: those that the run has alone.
    """
    reference = reference_tables(run.name)
    names = sorted({path.name for path in reference.glob("*.csv") if not partial or (run.results / path.name).is_file()} - {"check.csv"})
    if run.committed or not names:
        return None
    found = [_compare_files(reference / name, run.results / name) for name in names]
    return Comparison(tuple(table for table, _ in found), tuple(line for _, verdicts in found for line in verdicts))


def _compare_files(old: Path, new: Path) -> tuple[TableDifference, list[str]]:
    """(difference of a table, its verdicts that changed); files of the same bytes are not read as tables."""
    if not new.is_file():
        return TableDifference(old.stem, NOT_MADE), []
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
    is_number = pd.api.types.is_numeric_dtype  # which an empty column is, too
    numbers = [column for column in old if is_number(old[column]) and is_number(new[column]) and column not in NAMING]
    others = _as_words(old.drop(columns=numbers)) != _as_words(new.drop(columns=numbers))
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


def _as_words(table: pd.DataFrame) -> pd.DataFrame:
    """Texts and names as they compare; a missing one is like another, which NaN is not."""
    return table.astype(object).where(table.notna(), "").astype(str)


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
        keys = table.drop(columns=["verdict", "statement", *IN_WORDS], errors="ignore")  # of a claim, or of one comparison of it
        return {("claim", *key[key.notna()]): word for (_, key), word in zip(keys.iterrows(), table["verdict"], strict=True)}
    if not set(TESTED) <= set(table) or not {"mean_difference", "difference"} & set(table):
        return {}
    keys = [column for column in table if not pd.api.types.is_float_dtype(table[column]) and column not in ("n_groups", "n_seeds", "note")]
    return {tuple(row[key] for key in keys): verdict(row) for _, row in table.iterrows()}
