"""What a sweep ends with: how each run ended, and one table of all runs' scores."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ..base.files import write_text_atomically
from ..base.places import output_root
from ..base.runs import writing
from ..show.figures import read_result
from ..steps.session import Run
from ..steps.stamps import is_current, read_stamps
from .records import FAILED, KILLED, OK, read_record
from .suite import Step
from .sweep_job import JobEnd

UP_TO_DATE = "up to date"
WELL = (OK, UP_TO_DATE)
SCORE = ["base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended; notebook, cell and error (its last line) where it did not end well."""

    run: str
    status: str
    notebook: str = ""
    cell: str = ""
    error: str = ""
    seconds: float = 0.0


def outcome_of(run: str, steps: list[Step], ended: JobEnd | None) -> Outcome:
    """From how the run's process ended (None: nothing was to be done) and what it recorded of its notebooks."""
    if ended is None:
        return Outcome(run, UP_TO_DATE)
    if ended.status == 0:
        return Outcome(run, OK, seconds=ended.seconds)
    records = filter(None, (read_record(step.record) for step in steps))
    broken = next((record for record in records if record.status != OK), None)
    if broken is None:
        return Outcome(run, KILLED if ended.status < 0 else FAILED, error=ended.last_line, seconds=ended.seconds)
    found = re.search(r"code cell (\d+): (.*)", broken.error)
    cell, line = found.groups() if found else ("", broken.error or ended.last_line)
    return Outcome(run, broken.status, broken.notebook.removesuffix(".ipynb"), cell, line, ended.seconds)


def outcome_table(outcomes: list[Outcome]) -> str:
    """A line for each run; columns that would be empty are left out."""
    table = pd.DataFrame([asdict(outcome) for outcome in outcomes])
    table["seconds"] = [f"{seconds:.0f}" if seconds else "" for seconds in table["seconds"]]
    table = table[[column for column in table.columns if (table[column] != "").any()]]
    return _text(table)


def write_sweep(name: str, command: str, runs: list[tuple[Run, dict[str, str]]]) -> tuple[Path, pd.DataFrame] | None:
    """Write data/results/<name>/sweep.csv, the macro averages of every run that has them, and what it was made of beside it.

    runs: those that ended well, with their values as written. Columns: run, `run_<key>` for each of these values, then base, strategy,
    alpha, seed, task, setting, metric, value (bias measures have no setting). Runs whose tables are of other code or parameters than the
    ones in use now are left out. None where no run has scores.
    """
    parts = [
        _macro_rows(run).assign(run=run.name, **{f"run_{key}": text for key, text in told.items()}) for run, told in runs if _current(run)
    ]
    if not parts:
        return None
    table, path = pd.concat(parts, ignore_index=True), output_root() / "data" / "results" / name / "sweep.csv"
    table = table[[*(column for column in table.columns if column.startswith("run")), *SCORE]]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        temporary.replace(path)
    about = {"command": command, "runs": {run.name: told for run, told in runs}}
    write_text_atomically(path.with_suffix(".json"), json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return path, table


def sweep_head(table: pd.DataFrame, rows: int = 20) -> str:
    """The first mAP by setting of each run, base and strategy, for the end of the command."""
    wide = table[table["metric"] == "mAP"]
    keys = [column for column in table.columns if column.startswith("run_")] + ["base", "strategy", "task"]
    wide = wide.pivot_table(index=keys, columns="setting", values="value", sort=False).round(3).reset_index()
    return _text(wide.head(rows)) + (f"\n… {len(wide) - rows} more" if len(wide) > rows else "")


def _current(run: Run) -> bool:
    return is_current(read_stamps(run.results).get("scores", {}), run.profile)


def _macro_rows(run: Run) -> pd.DataFrame:
    scores = read_result(run, "scores")
    parts = [scores[scores["query_language"] == "macro"]]
    if (run.results / "bias.csv").is_file():
        bias = read_result(run, "bias").rename(columns={"measure": "metric"})
        parts.append(bias[bias["query_language"] == "macro"].assign(setting=""))
    return pd.concat(parts, ignore_index=True)


def _text(table: pd.DataFrame) -> str:
    """Without an index, texts to the left."""
    texts = [name for name in table.columns if table[name].map(type).eq(str).all()]
    left = {name: f"{{:<{max(map(len, [name, *table[name]]))}}}".format for name in texts}
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.max_rows", None, "display.max_colwidth", 120):
        return table.to_string(index=False, na_rep="", formatters=left, justify="left")
