"""One job of a sweep, in a process of its own: `python -m hybridir_utils.suite.sweep.job JOB_AS_JSON`, started by a dask worker.

A fresh process each: it runs the code that lies in the checkout now, also under a worker that was started last week.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ...base.errors import HybridIRError
from ...base.files import ROOT, output_root

TICK = 0.3  # seconds between two looks at the child
TRIES = 2  # of a job whose worker dies
KILLED = -9  # exit status of a process that was killed
HEAD = "begun for "


@dataclass(frozen=True)
class Job:
    """What a child process makes: the common part of several runs, or one run.

    log: file that gets what it prints, below the output folder, which another host may have mounted elsewhere.
    """

    part: str  # "common" or "run"
    source: str  # name or file of the profile
    settings: dict
    log: str
    start_at: str = ""
    only: str = ""
    timeout: float | None = None


@dataclass(frozen=True)
class JobEnd:
    """How a child process ended: exit status (minus the signal that killed it), seconds, and the last line it printed."""

    status: int
    seconds: float
    last_line: str


def in_process(program: tuple[str, ...], job: Job, environment: dict[str, str | None], gpus: int, key: str) -> JobEnd:
    """Run `python PROGRAM JOB` and wait for it; called on a dask worker. A job whose worker died TRIES times counts as killed.

    environment: variables as the process that started the sweep has them; None: unset there. gpus: of a local cluster, whose workers each
    take one; 0: the child sees what the worker sees. key: of the dask task; when the sweep ends or is killed the task is cancelled, and
    the child is killed.
    """
    log, started = output_root() / job.log, time.monotonic()
    tries = log.read_text(encoding="utf-8", errors="replace").count(HEAD + key) if log.exists() else 0
    if tries == TRIES:
        return JobEnd(KILLED, 0.0, f"its worker died {TRIES} times, most likely for want of memory")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *program, json.dumps(asdict(job))]
    given = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": ROOT, "env": _environment(environment, gpus)}
    with open(log, "a" if tries else "w", encoding="utf-8") as printed:
        print(HEAD + key, file=printed, flush=True)
        child = subprocess.Popen(command, stdout=printed, start_new_session=True, **given)  # Ctrl-C goes to the sweep alone
        try:
            while child.poll() is None and not _cancelled(key):
                time.sleep(TICK)
        finally:
            child.kill()  # its own children see it gone, and end
            child.wait()
    return JobEnd(child.returncode, time.monotonic() - started, _last_line(log))


def main(job: str) -> int:
    """The child process: 0 when it ended well, 1 with a message when it did not."""
    from ..cells import end_with_parent

    end_with_parent()
    try:
        _do(Job(**json.loads(job)))
    except HybridIRError as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


def _do(job: Job) -> None:
    from ...experiment.encoders import base_encoders
    from ...experiment.run import SET_VARIABLE, open_run, origin_of
    from ...provenance import reads
    from ..running import run_suite

    os.environ.pop(SET_VARIABLE, None)  # of a suite that started the sweep, or the worker: the job's settings are complete
    run = open_run(job.source, **job.settings)
    if job.part == "common":
        reads.set_origin(notebook="", **origin_of(run))
        base_encoders(run)  # and the pairs, which have asked for all data of the tasks
    else:
        run_suite(run, job.start_at, job.only, partial(print, flush=True), job.timeout)


def _environment(changes: dict[str, str | None], gpus: int) -> dict[str, str]:
    """The worker's, with the changes; where a local cluster's workers share several GPUs, with the one of this worker's number."""
    from distributed import get_worker

    changed = {**os.environ, **changes}
    number = get_worker().name
    if gpus > 1 and isinstance(number, int):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        changed["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % gpus]
    return {name: value for name, value in changed.items() if value is not None}


def _cancelled(key: str) -> bool:
    from distributed import get_worker

    task = get_worker().state.tasks.get(key)
    return task is None or task.state == "cancelled"


def _last_line(log: Path) -> str:
    """The last line that was printed, or where there is an "error: …" the first of its lines."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith(HEAD)] or [""]
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), lines[-1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
