"""A sweep: a run for each combination of several values, each in a process of its own, on a dask cluster."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from ...base.errors import InputError
from ...base.files import fingerprint, output_root, write_csv, write_json
from ...experiment.encoders import common_places
from ...experiment.run import Run, Setting, changes_of, open_run, read_settings, run_folder
from ...experiment.sources import check_places
from ...experiment.stamps import is_current, read_stamps
from ...provenance.artefacts import is_whole
from ...results.figures import read_result
from ..plan import step_reasons
from ..progress import shown
from ..records import FAILED, KILLED, OK, read_record
from ..running import UP_TO_DATE, Step, chosen_steps
from .cluster import JobQueue, gpus_to_share, sweep_cluster, thread_environment
from .job import Job, JobEnd

WELL = (OK, UP_TO_DATE)
OF_NOTEBOOK = re.compile(r"\d\d_\w+: |error: ")  # lines of a run's log that the sweep shows, too
SCORE = ["base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]


@dataclass(frozen=True)
class Sweep:
    """The runs of all combinations, in the order of the values, the last setting's the fastest; and each one's values as written."""

    command: str  # that makes it
    axes: tuple[Setting, ...]  # the settings with several values
    runs: tuple[Run, ...]
    values: tuple[dict[str, str], ...]

    @property
    def name(self) -> str:
        """Names the folder of the sweep's own table: the profile, and a fingerprint of the runs."""
        return f"{self.runs[0].profile.name}+sweep-{fingerprint([run.name for run in self.runs])[:10]}"


def sweep_of(profile: str, texts: Sequence[str]) -> Sweep:
    """The sweep of a profile and its `--set` texts; every combination is checked. Raises InputError where two of them are one run."""
    settings, runs, values = read_settings(texts), {}, []
    axes = tuple(setting for setting in settings if len(setting.values) > 1)
    for choice in product(*(zip(setting.values, setting.texts, strict=True) for setting in settings)):
        run = open_run(profile, **{setting.key: value for setting, (value, _) in zip(settings, choice, strict=True)})
        written = {setting.name: text for setting, (_, text) in zip(settings, choice, strict=True) if setting in axes}
        if run.name in runs:
            other = values[list(runs).index(run.name)]
            raise InputError(
                f"{_as_text(other)} and {_as_text(written)} are one run, {run.name}: a value stands twice, or changes no result. "
                "Leave one out."
            )
        runs[run.name] = run
        values.append(written)
    command = shlex.join(
        ["python", "-m", "hybridir_utils", "run", "--profile", profile, *(part for text in texts for part in ("--set", text))]
    )
    return Sweep(command, axes, tuple(runs.values()), tuple(values))


def announcement(sweep: Sweep) -> str:
    """How many runs there are, over which values, and their names; the values, too, where a name does not tell them."""
    axes = " x ".join(f"{axis.name}={','.join(axis.texts)}" for axis in sweep.axes)
    names = [
        f"  {run.name}" + ("" if "=" in run.name else f" ({_as_text(values)})")
        for run, values in zip(sweep.runs, sweep.values, strict=True)
    ]
    return "\n".join([f"{len(names)} runs of {sweep.runs[0].profile.name}, {axes}:", *names])


def run_sweep(
    sweep: Sweep, jobs: int = 1, scheduler: str = "", start_at: str = "", only: str = "", timeout: float | None = None
) -> list[Outcome]:
    """Execute what is not up to date, `jobs` runs side by side, or as many as a scheduler's workers take; how each run ended.

    What runs have in common is made once, before them. A run that fails does not stop the others. Raises InputError before the first
    when a model or data set is not there, no worker answers, or a worker sees another folder or another version of the package.
    """
    for run in sweep.runs:
        check_places(run.profile)
    steps = {run.name: chosen_steps(run, start_at, only) for run in sweep.runs}
    due = [run for run in sweep.runs if start_at or only or any(reasons for _, _, reasons in step_reasons(run, steps[run.name]))]
    ended = _run_due(due, {"start_at": start_at, "only": only, "timeout": timeout}, jobs, scheduler) if due else {}
    return [outcome_of(run.name, steps[run.name], ended.get(run.name)) for run in sweep.runs]


def _run_due(due: list[Run], options: dict, jobs: int, scheduler: str) -> dict[str, JobEnd]:
    """How the process of each run ended, by the run's name."""
    wanted = {run.name: (_run_job(run, **options), _common_job(run)) for run in due}
    gpus = 0 if scheduler else gpus_to_share(max(run.profile.processes for run in due))
    total = sum(len(chosen_steps(run, options["start_at"], options["only"])) for run in due)
    look = Logs({run.name: output_root() / wanted[run.name][0].log for run in due}).look
    environment = thread_environment()  # before dask changes it
    with shown(total, due, look) as say, sweep_cluster(scheduler, min(jobs, len(due))) as client:
        return dict(JobQueue(client, wanted, environment, gpus, say).ended())


class Logs:
    """What the runs of a sweep print of their notebooks, read from their logs (name of a run -> its file) as it comes."""

    def __init__(self, logs: dict[str, Path]):
        self.logs, self.read = logs, dict.fromkeys(logs, 0)
        for log in logs.values():
            log.unlink(missing_ok=True)

    def look(self, say: Callable[[str], None]) -> None:
        """Say every whole line that has come since the last look, after the name of its run."""
        for name, log in self.logs.items():
            if log.is_file() and len(new := log.read_bytes()[self.read[name] :].rpartition(b"\n")[0]):
                self.read[name] += len(new) + 1
                for line in filter(OF_NOTEBOOK.match, new.decode("utf-8", "replace").splitlines()):
                    say(f"{name} {line}")


def _run_job(run: Run, **options) -> Job:
    return _job("run", run, run_folder(run.name) / "sweep.log", **options)


def _common_job(run: Run) -> Job | None:
    """What makes the run's pairs and bases; None where they are there. Runs that share them get the same job, by the name of its log."""
    places = common_places(run)
    if all(map(is_whole, places)):
        return None
    shared = fingerprint([place.name for place in places])[:10]
    return _job("common", run, run.artefacts / f"common-{shared}.log")


def _job(part: str, run: Run, log: Path, **options) -> Job:
    return Job(part, run.source, changes_of(run), str(log.relative_to(output_root())), **options)


def _as_text(values: dict[str, str]) -> str:
    return " ".join(f"{key}={text}" for key, text in values.items())


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
    """Write data/runs/<name>/sweep.csv, the macro averages of every run that has them, and what it was made of beside it.

    runs: those that ended well, with their values as written. Columns: run, `run_<key>` for each of these values, then base, strategy,
    alpha, seed, task, setting, metric, value (bias measures have no setting). Runs whose tables are of other code or parameters than the
    ones in use now are left out. None where no run has scores.
    """
    parts = [
        _macro_rows(run).assign(run=run.name, **{f"run_{key}": text for key, text in values.items()})
        for run, values in runs
        if _current(run)
    ]
    if not parts:
        return None
    table, path = pd.concat(parts, ignore_index=True), run_folder(name) / "sweep.csv"
    table = table[[*(column for column in table.columns if column.startswith("run")), *SCORE]]
    write_csv(path, table)
    about = {"command": command, "runs": {run.name: values for run, values in runs}}
    write_json(path.with_suffix(".json"), about)
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
