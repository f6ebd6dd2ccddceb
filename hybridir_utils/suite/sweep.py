"""A sweep: a run for each combination of several values, each the command `run` in a process of its own, on a dask cluster.

The cluster is this machine's processes, or a scheduler's workers. What runs have in common (pairs, base encoders) is made by the first of
them, and the others wait for it (`artefacts.Artefact.make`).
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path
from uuid import uuid4

import pandas as pd

from ..base.distributed import ONE_DISK, appears
from ..base.errors import InputError
from ..base.files import file_fingerprint, fingerprint, output_root, write_csv, write_json, write_text_atomically
from ..base.parallel import cluster_client, work_through
from ..experiment.run import Run, open_run, run_folder, settings_of
from ..experiment.settings import Setting, read_settings
from ..experiment.sources import check_places
from ..experiment.stamps import is_current, read_stamps
from ..provenance.fingerprints import PACKAGE, modules
from ..results.figures import read_result
from .cells import UP_TO_DATE, shown
from .child import COMMAND, Ended, run_on_worker
from .plan import step_reasons
from .records import FAILED, KILLED, OK, read_record
from .running import Step, chosen_steps

WELL = (OK, UP_TO_DATE)
OF_NOTEBOOK = re.compile(r"\d\d_\w+: |error: ")  # lines of a run's log that the sweep shows, too
SCORE = ["base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]
DEATHS = 100  # of workers, after which dask gives up what they had been given; how often a run is tried is counted by `child`
CLOSING = 30  # seconds
INTERRUPTED = 130  # exit status of a command that was interrupted


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


def _as_text(values: dict[str, str]) -> str:
    return " ".join(f"{key}={text}" for key, text in values.items())


def run_sweep(
    sweep: Sweep, jobs: int = 1, scheduler: str = "", start_at: str = "", only: str = "", timeout: float | None = None
) -> list[Outcome]:
    """Execute what is not up to date, `jobs` runs side by side, or as many as a scheduler's workers take; how each run ended.

    A run that fails does not stop the others. Raises InputError before the first when a model or data set is not there, no worker answers,
    or a worker sees another folder or another version of the package.
    """
    for run in sweep.runs:
        check_places(run.profile)
    steps = {run.name: chosen_steps(run, start_at, only) for run in sweep.runs}
    due = [run for run in sweep.runs if start_at or only or any(reasons for _, _, reasons in step_reasons(run, steps[run.name]))]
    options = {"--from": start_at, "--only": only, "--timeout": timeout}
    asked = [part for option, value in options.items() if value for part in (option, str(value))]
    ended = _run_due(due, asked, sum(len(steps[run.name]) for run in due), jobs, scheduler) if due else {}
    return [outcome_of(run.name, steps[run.name], ended.get(run.name)) for run in sweep.runs]


def _run_due(due: list[Run], options: list[str], total: int, jobs: int, scheduler: str) -> dict[str, Ended]:
    """How the process of each run ended, by the run's name. total: notebooks of all of them."""
    import torch

    logs = {run.name: str(run_folder(run.name).relative_to(output_root()) / "sweep.log") for run in due}
    threads = thread_environment()  # before dask changes it
    wanted = {run.name: (["run", "--profile", run.source, *options], logs[run.name], threads | settings_of(run)) for run in due}
    one_device = all(run.profile.processes == 1 for run in due)  # else a run needs all GPUs
    gpus = torch.cuda.device_count() if one_device and not scheduler else 0
    with shown(total, due, Logs(logs).look), sweep_cluster(scheduler, min(jobs, len(due))) as client:
        return dict(ended_jobs(client, wanted, gpus))


def ended_jobs(client, jobs: Mapping[str, tuple], gpus: int = 0, program: str = COMMAND) -> Iterator[tuple[str, Ended]]:
    """(name, how it ended) of every job, as they end. What has not ended when the caller stops is cancelled, and its process killed.

    jobs: name -> arguments, log and environment of `child.run_on_worker`.
    """
    waiting = iter(jobs)

    def submit(name: str):
        return client.submit(run_on_worker, program, *jobs[name], gpus, pure=False)

    for name, future in work_through(client, lambda free: islice(waiting, free), submit):
        yield name, _result(future)


def _result(future) -> Ended:
    try:
        return future.result()
    except (Exception, CancelledError) as error:
        return Ended(1, 0.0, last_line=f"{type(error).__name__}: {error}")


class Logs:
    """What the runs of a sweep print of their notebooks, read from their logs (name -> file below the output folder) as it comes."""

    def __init__(self, logs: dict[str, str]):
        self.logs, self.read = {name: output_root() / log for name, log in logs.items()}, dict.fromkeys(logs, 0)
        for log in self.logs.values():
            log.unlink(missing_ok=True)

    def look(self, say: Callable[[str], None]) -> None:
        """Say every whole line that has come since the last look, after the name of its run."""
        for name, log in self.logs.items():
            if log.is_file() and len(new := log.read_bytes()[self.read[name] :].rpartition(b"\n")[0]):
                self.read[name] += len(new) + 1
                for line in filter(OF_NOTEBOOK.match, new.decode("utf-8", "replace").splitlines()):
                    say(f"{name} {line}")


@contextmanager
def sweep_cluster(scheduler: str, jobs: int) -> Iterator:
    """A client of `jobs` processes on this machine, or of a scheduler whose workers have been asked what they see.

    Raises InputError when none answers, or a worker has another output folder or another version of the package. After an interrupt this
    process ends at the latest after CLOSING seconds, and with it all it started: on a busy machine dask has been seen to wait for ever for
    workers that the interrupt reached, too. What is finished is on the disk.
    """
    import dask
    import distributed  # noqa: F401  (its defaults first: what is set before them goes with them)

    in_time = threading.Timer(CLOSING, os._exit, [INTERRUPTED])
    in_time.daemon = True
    try:
        with dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}), cluster_client(scheduler, jobs) as client:
            if scheduler:
                _check_workers(client)
            try:
                yield client
            except KeyboardInterrupt:
                in_time.start()
                raise
    finally:
        in_time.cancel()


def thread_environment() -> dict[str, str | None]:
    """The variables that dask sets for its workers, numbers of threads among them, as they are in this process; None: unset.

    Runs get them back, so that they compute as a run without a sweep does.
    """
    import dask
    import distributed  # noqa: F401  (which knows the variables)

    return {name: os.environ.get(name) for name in (*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED")}


def _check_workers(client) -> None:
    sign = Path("data", "runs", f".one-disk-{uuid4().hex}")
    write_text_atomically(output_root() / sign, "")
    try:
        seen = client.run(_seen, str(sign))
    except ImportError as error:
        raise InputError(f"a worker has not the package ({error}). Install it on every host, as in README.md.") from error
    finally:
        (output_root() / sign).unlink(missing_ok=True)
    for worker, (there, place, version) in seen.items():
        if not there:
            raise InputError(
                f"worker {worker} writes to {place}, where it does not see what is written here to {output_root()}. {ONE_DISK}"
            )
        if version != _package_fingerprint():
            raise InputError(
                f"worker {worker}: its package, {PACKAGE} on {socket.gethostname()}, is another version than the one here. Bring all hosts "
                "to one commit."
            )


def _seen(sign: str) -> tuple[bool, str, str]:
    """(whether the file is there, where this worker writes, fingerprint of its package)."""
    return appears(output_root() / sign), f"{output_root()} on {socket.gethostname()}", _package_fingerprint()


def _package_fingerprint() -> str:
    return fingerprint({name: file_fingerprint(path) for name, path in modules().items()})


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended; notebook, cell and error (its last line) where it did not end well."""

    run: str
    status: str
    notebook: str = ""
    cell: str = ""
    error: str = ""
    seconds: float = 0.0


def outcome_of(run: str, steps: list[Step], ended: Ended | None) -> Outcome:
    """From how the run's process ended (None: nothing was to be done) and what it recorded of its notebooks."""
    if ended is None:
        return Outcome(run, UP_TO_DATE)
    if ended.code == 0:
        return Outcome(run, OK, seconds=ended.seconds)
    records = filter(None, (read_record(step.record) for step in steps))
    broken = next((record for record in records if record.status != OK), None)
    if broken is None:
        return Outcome(run, KILLED if ended.code < 0 else FAILED, error=ended.last_line, seconds=ended.seconds)
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
        if is_current(read_stamps(run.results).get("scores", {}), run.profile)
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


def _macro_rows(run: Run) -> pd.DataFrame:
    scores = read_result(run, "scores")
    parts = [scores[scores["query_language"] == "macro"]]
    if run.has("bias"):
        bias = read_result(run, "bias").rename(columns={"measure": "metric"})
        parts.append(bias[bias["query_language"] == "macro"].assign(setting=""))
    return pd.concat(parts, ignore_index=True)


def _text(table: pd.DataFrame) -> str:
    """Without an index, texts to the left."""
    texts = [name for name in table.columns if table[name].map(type).eq(str).all()]
    left = {name: f"{{:<{max(map(len, [name, *table[name]]))}}}".format for name in texts}
    return table.to_string(index=False, na_rep="", formatters=left, justify="left")
