"""Child processes: a notebook's, its memory watched and its time limited, and a sweep's run, which a dask worker waits for."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from ..base.files import ROOT, output_root

TICK = 1.0  # seconds between two looks at the memory
LOOK = 0.3  # seconds between two looks at the child of a dask worker
TRIES = 2  # of a child whose worker dies
BEGUN = "begun by a worker\n"  # in the log
PATIENCE = 5.0  # seconds that a killed process gets to go
# The command line, in a process that ends with the worker that started it.
COMMAND = """
import sys
from hybridir_utils.__main__ import main
from hybridir_utils.suite.cells import end_with_parent
end_with_parent()
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: its exit status, negative for a signal; None where it took too long. peak_memory_mb: of it and all below.

    last_line: that it printed, where that was read.
    """

    code: int | None
    seconds: float
    peak_memory_mb: float = 0.0
    last_line: str = ""


def watch(command: list[str], environment: Mapping[str, str], timeout: float | None = None) -> Ended:
    """Run a command to its end, or to `timeout` seconds; whatever it started ends with it, also when this process is interrupted."""
    started, peak, seen, code = time.monotonic(), 0, {}, None
    child = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        while code is None and (left := (timeout or math.inf) - time.monotonic() + started) > 0:
            with suppress(subprocess.TimeoutExpired):
                code = child.wait(min(TICK, left))
            peak = max(peak, _memory(child.pid, seen))
    finally:
        _end(child, seen)
    return Ended(code, round(time.monotonic() - started, 1), round(peak / 1e6, 1))


def _memory(process: int, seen: dict[int, psutil.Process]) -> int:
    """Bytes in memory of a process and all below it; adds them to `seen`.

    What a process shares (libraries, files mapped by several) counts once, as the largest of them has it: the exact share of each, which
    the system can tell, takes a hundred times as long to ask for.
    """
    try:
        parent = psutil.Process(process)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0
    seen |= {found.pid: found for found in tree}
    sizes = list(map(_resident, tree))
    return sum(own for own, _ in sizes) + max(shared for _, shared in sizes)


def _resident(process: psutil.Process) -> tuple[int, int]:
    """(bytes of its own, bytes that it shares); on systems that do not tell these apart all are its own."""
    try:
        found = process.memory_info()
    except psutil.Error:
        return 0, 0
    shared = getattr(found, "shared", 0)
    return found.rss - shared, shared


def _end(child: subprocess.Popen, seen: dict[int, psutil.Process]) -> None:
    """Kill what is left: the child first, which would start a kernel anew; what had already lost its parent is in `seen`."""
    _memory(child.pid, seen)
    for process in sorted(seen.values(), key=lambda found: found.pid != child.pid):
        try:
            process.kill()  # psutil looks first whether the number belongs to another process by now
        except psutil.Error:
            continue
    if child.poll() is None:
        child.kill()
        child.wait()
    psutil.wait_procs([process for process in seen.values() if process.pid != child.pid], PATIENCE)


def run_on_worker(program: str, arguments: list[str], log: str, environment: Mapping[str, str | None], gpus: int) -> Ended:
    """Run a Python program with arguments and wait for it; called on a dask worker. When its task is cancelled, the child is killed.

    Of a child whose worker died TRIES times the log says so, and it counts as killed.

    A process of its own runs the code that lies in the checkout now, also under a worker that was started last week. log: file, below the
    output folder, that gets what it prints. environment: variables to set; None: unset. gpus: of a local cluster, whose workers each take
    one; 0: the child sees what the worker sees.
    """
    place, started = output_root() / log, time.monotonic()
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and place.read_text(encoding="utf-8", errors="replace").count(BEGUN) == TRIES:
        return Ended(-signal.SIGKILL, 0.0, last_line=f"its worker died {TRIES} times, most likely for want of memory")
    given = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": ROOT, "env": _changed(environment, gpus)}
    with open(place, "a", encoding="utf-8") as printed:
        print(BEGUN, end="", file=printed, flush=True)
        command = [sys.executable, "-c", program, *arguments]
        child = subprocess.Popen(command, stdout=printed, start_new_session=True, **given)  # Ctrl-C goes to the sweep alone
        try:
            while child.poll() is None and not _cancelled():
                time.sleep(LOOK)
        finally:
            child.kill()  # its own children see it gone, and end
            child.wait()
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    return Ended(child.returncode, time.monotonic() - started, last_line=_last_of(lines))


def _changed(environment: Mapping[str, str | None], gpus: int) -> dict[str, str]:
    """The worker's variables with the changes, and with the GPU of this worker's number where a local cluster's workers share several."""
    from distributed import get_worker

    changed, number = {**os.environ, **environment}, get_worker().name
    if gpus > 1 and isinstance(number, int):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        changed["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % gpus]
    return {name: value for name, value in changed.items() if value is not None}


def _cancelled() -> bool:
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return task is None or task.state == "cancelled"


def _last_of(lines: list[str]) -> str:
    """The last line that says something, or where there is an "error: …" the first of its lines."""
    said = [line.strip() for line in lines if line.strip() not in ("", BEGUN.strip())] or [""]
    return next((line.removeprefix("error: ") for line in reversed(said) if line.startswith("error: ")), said[-1])
