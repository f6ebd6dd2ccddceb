"""Several processes on one training run: which one am I, wait for the first, start them, share work and errors.

`accelerate launch` and `torchrun` tell a process its place by environment variables (RANK, WORLD_SIZE); `launch` starts processes in the
same way from a notebook.
"""

from __future__ import annotations

import atexit
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from .errors import HybridIRError, InputError
from .files import output_root, write_text_atomically
from .parallel import preload_libraries

PATIENCE = timedelta(days=7)  # the first process may prepare data for days; a dead one is noticed by the launcher, not by a timeout
SLOW_DISK = 2.0  # seconds
ONE_DISK = "HYBRIDIR_OUTPUT must name one folder on a disk that all hosts share: mount it on each host, and set HYBRIDIR_OUTPUT to it."
PLACE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
T = TypeVar("T")


def rank() -> int:
    """This process' number; 0 where it is alone."""
    return int(os.environ.get("RANK", 0))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def processes() -> int:
    """How many processes were launched together; 1 where this one is alone."""
    return int(os.environ.get("WORLD_SIZE", 1))


def join() -> None:
    """Meet the other processes (NCCL on GPUs, else gloo) and take this one's GPU; nothing to do when alone or already joined."""
    import torch

    if processes() == 1 or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    atexit.register(torch.distributed.destroy_process_group)


def wait() -> None:
    """Go on when every process is here."""
    import torch

    if processes() > 1:
        torch.distributed.barrier()


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first process runs the block before it joins, as if there were no other; the others follow, and find what it made.

    Raises InputError in every process when one of them has another output folder than the first, and so would not find it.
    """
    if rank() == 0 and processes() > 1:
        with _alone():
            yield
        join()
        _check_one_disk()
    else:
        join()
        _check_one_disk()
        yield


def _check_one_disk() -> None:
    """All processes see the file that the first one writes: on several hosts they share the disk of the output folder."""
    if processes() == 1:
        return
    folder = output_root() / "data" / "runs"
    sign = folder / on_main(lambda: _leave_sign(folder))
    seen = on_each(lambda *_: (appears(sign), f"{output_root()} on {socket.gethostname()}"))
    if rank() == 0:
        sign.unlink(missing_ok=True)
    odd = [(number, place) for number, (there, place) in enumerate(seen) if not there]
    if odd:
        raise InputError(
            f"process {odd[0][0]} of {processes()} writes to {odd[0][1]}, where it does not see what the first wrote to {seen[0][1]}. "
            f"{ONE_DISK}"
        )


def _leave_sign(folder: Path) -> str:
    """A new file's name."""
    name = f".one-disk-{uuid4().hex}"
    write_text_atomically(folder / name, "")
    return name


def appears(path: Path) -> bool:
    """Whether the file is there, now or within SLOW_DISK: a network's disk may show a new file late."""
    deadline = time.monotonic() + SLOW_DISK
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return path.exists()


@contextmanager
def _alone() -> Iterator[None]:
    place = {key: os.environ.pop(key) for key in PLACE if key in os.environ}
    try:
        yield
    finally:
        os.environ.update(place)


def launch(function: Callable, arguments: tuple, count: int) -> None:
    """Call `function(*arguments)` in `count` new processes of this machine that train together; one that fails ends the others.

    The launcher is torch's, as in accelerate's notebook_launcher, which forks the notebook itself: that fails once it has used torch's
    threads or the GPU. Here a fresh process is forked that has the library imported. function: importable by name. Raises InputError
    with the first failure's message.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        run_id="hybridir",
        nproc_per_node=count,
        start_method="forkserver",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    preload_libraries()
    try:
        elastic_launch(config, function)(*arguments)
    except ChildFailedError as error:
        raise InputError(_explain(*error.get_first_failure())) from error


def _explain(number: int, failure) -> str:
    """The launcher reports one failure: that of a killed process, or that of one which missed it."""
    again = "What is finished is kept; run it again, and it goes on from the last checkpoint."
    said = str(failure.message.get("message", "") if isinstance(failure.message, dict) else failure.message)
    words = said.strip().splitlines()[-1] if said.strip() else f"exit code {failure.exitcode}"
    if failure.exitcode < 0 or "by peer" in words:
        return f"process {number} of the training, or one it waited for, was killed ({words}), most likely for want of memory. {again}"
    return f"process {number} of the training failed: {words} {again}"


def on_main(make: Callable[[], T]) -> T:
    """make() on the main process alone; every process gets its result, or raises its error."""
    return on_each(lambda number, _: make() if number == 0 else None)[0]


def on_each(make: Callable[[int, int], T]) -> list[T]:
    """make(process, number of processes) on every process; all get all results, in the order of the processes.

    When one of them fails with an error of ours, all raise it: none is left waiting for the others.
    """
    if processes() == 1:
        return [make(0, 1)]
    import torch

    join()
    outcomes = [None] * processes()
    torch.distributed.all_gather_object(outcomes, _outcome(make))
    failed = next((error for _, error in outcomes if error is not None), None)
    if failed is not None:
        raise InputError(failed)
    return [value for value, _ in outcomes]


def _outcome(make: Callable[[int, int], T]) -> tuple[T | None, str | None]:
    try:
        return make(rank(), processes()), None
    except HybridIRError as error:
        return None, str(error)
