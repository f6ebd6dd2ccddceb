"""A child process: run to its end or to a time limit, its memory watched, and all that it started ended with it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

TICK = 1.0  # seconds between two looks at the memory
PATIENCE = 5.0  # seconds that a killed process gets to go


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: its exit status, negative for a signal; None where it took too long. peak_memory_mb: of it and all below."""

    code: int | None
    seconds: float
    peak_memory_mb: float


def watch(command: list[str], environment: Mapping[str, str], timeout: float | None = None) -> Ended:
    """Run a command to its end, or to `timeout` seconds; whatever it started ends with it, also when this process is interrupted."""
    started, peak, seen = time.monotonic(), 0, {}
    child = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        while (code := _status(child, timeout, started)) is None and not _late(timeout, started):
            peak = max(peak, _memory(child.pid, seen))
    finally:
        _end(child, seen)
    return Ended(code, round(time.monotonic() - started, 1), round(peak / 1e6, 1))


def _late(timeout: float | None, started: float) -> bool:
    return timeout is not None and time.monotonic() - started >= timeout


def _status(child: subprocess.Popen, timeout: float | None, started: float) -> int | None:
    left = TICK if timeout is None else min(TICK, max(0.0, timeout - time.monotonic() + started))
    try:
        return child.wait(left)
    except subprocess.TimeoutExpired:
        return None


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
