"""A sweep: a run for each combination of several values, each in a process of its own, on a dask cluster."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..base.errors import InputError
from ..base.fingerprints import fingerprint
from ..base.places import output_root
from ..base.runs import is_whole
from ..steps.encoders import common_places
from ..steps.readiness import check_places
from ..steps.session import Run, changed_values, open_run
from ..steps.settings import Setting, read_settings
from .progress import Watch, shown
from .sweep_cluster import gpus_to_share, sweep_cluster, thread_environment
from .sweep_job import Job
from .sweep_queue import JobQueue
from .sweep_table import Outcome, outcome_of


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
        told = {setting.told: text for setting, (_, text) in zip(settings, choice, strict=True) if setting in axes}
        if run.name in runs:
            other = values[list(runs).index(run.name)]
            raise InputError(
                f"{_told(other)} and {_told(told)} are one run, {run.name}: a value stands twice, or changes no result. Leave one out."
            )
        runs[run.name] = run
        values.append(told)
    command = shlex.join(
        ["python", "-m", "hybridir_utils", "run", "--profile", profile, *(part for text in texts for part in ("--set", text))]
    )
    return Sweep(command, axes, tuple(runs.values()), tuple(values))


def announcement(sweep: Sweep) -> str:
    """How many runs there are, over which values, and their names; the values, too, where a name does not tell them."""
    axes = " x ".join(f"{axis.told}={','.join(axis.texts)}" for axis in sweep.axes)
    names = [
        f"  {run.name}" + ("" if "=" in run.name else f" ({_told(values)})") for run, values in zip(sweep.runs, sweep.values, strict=True)
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
    watches = {run.name: Watch(run, start_at, only, label=run.name) for run in sweep.runs}
    due, ended = [run for run in sweep.runs if watches[run.name].due], {}
    if due:
        wanted = {run.name: (_run_job(run, start_at=start_at, only=only, timeout=timeout), _common_job(run)) for run in due}
        gpus = 0 if scheduler else gpus_to_share(max(run.profile.processes for run in due))
        environment = thread_environment()  # before dask changes it
        with shown(list(watches.values()), tell=True) as say, sweep_cluster(scheduler, min(jobs, len(due))) as client:
            ended = dict(JobQueue(client, wanted, environment, gpus, say).ended())
    return [outcome_of(run.name, watches[run.name].steps, ended.get(run.name)) for run in sweep.runs]


def _run_job(run: Run, **options) -> Job:
    return _job("run", run, run.artefacts / "executed" / run.name / "sweep.log", **options)


def _common_job(run: Run) -> Job | None:
    """What makes the run's pairs and bases; None where they are there. Runs that share them get the same job, by the name of its log."""
    places = common_places(run)
    if all(map(is_whole, places)):
        return None
    shared = fingerprint([place.name for place in places])[:10]
    return _job("common", run, run.artefacts / "executed" / f"common-{shared}.log")


def _job(part: str, run: Run, log: Path, **options) -> Job:
    return Job(part, run.source, changed_values(run), str(log.relative_to(output_root())), **options)


def _told(values: dict[str, str]) -> str:
    return " ".join(f"{key}={text}" for key, text in values.items())
