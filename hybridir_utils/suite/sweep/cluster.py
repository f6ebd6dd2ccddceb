"""The dask cluster of a sweep (this machine's processes or a scheduler's workers), and the jobs that wait for its workers."""

from __future__ import annotations

import os
import socket
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from uuid import uuid4

from ...base.cluster import work_through
from ...base.distributed import ONE_DISK, appears
from ...base.errors import InputError
from ...base.files import file_fingerprint, fingerprint, output_root, write_text_atomically
from ...provenance.code_use import PACKAGE, modules
from .job import KILLED, Job, JobEnd, in_process

PROGRAM = ("-m", f"{__package__}.job")
DEATHS = 100  # of workers, after which dask gives up what they had been given; how often a run is tried is counted by `sweep_job`
CLOSING = 30  # seconds
INTERRUPTED = 130  # exit status of a command that was interrupted


@contextmanager
def sweep_cluster(scheduler: str, jobs: int) -> Iterator:
    """A client of `jobs` processes on this machine, or of a scheduler whose workers have been asked what they see.

    Raises InputError when none answers, or a worker has another output folder or another version of the package. After an interrupt this
    process ends at the latest after CLOSING seconds, and with it all it started: on a busy machine dask has been seen to wait for ever for
    workers that the interrupt reached, too. What is finished is on the disk.
    """
    import dask
    import distributed  # noqa: F401  (its defaults first: what is set before them goes with them)

    from ...base.cluster import cluster_client

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


def gpus_to_share(processes: int) -> int:
    """How many GPUs the workers of this machine share out, one each; 0 where a run trains with several processes, and needs them all."""
    import torch

    return torch.cuda.device_count() if processes == 1 else 0


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


class JobQueue:
    """Jobs by name, each with the common job it needs or None.

    environment, gpus: see `in_process`. say: called when a common job is begun.
    """

    def __init__(self, client, jobs: dict[str, tuple[Job, Job | None]], environment: dict, gpus: int, say: Callable[[str], None]):
        self.client, self.say, self.about = client, say, (environment, gpus)
        self.waiting, self.mark = dict(jobs), uuid4().hex[:8]
        self.commons: dict[str, JobEnd | None] = {}  # log -> how it ended; None while it is under way

    def ended(self) -> Iterator[tuple[str, JobEnd]]:
        """(name, how it ended) of every job, as they end; a common job that fails ends those that need it.

        What has not ended when the caller stops is cancelled, and its process killed.
        """
        for (name, job), future in work_through(self.client, self._ready, self._submit):
            end = _result(future)
            yield from [(name, end)] if name else self._common_ended(job, end)

    def _ready(self, most: int) -> Iterator[tuple[str, Job]]:
        """(name, job) of what waits for nothing, at most so many; a common job comes before those that need it, under no name."""
        return islice(self._waiting_for_nothing(), most)

    def _waiting_for_nothing(self) -> Iterator[tuple[str, Job]]:
        for name, (job, common) in list(self.waiting.items()):
            if common is None or self.commons.get(common.log):
                del self.waiting[name]
                yield name, job
            elif common.log not in self.commons:
                self.commons[common.log] = None
                self.say(f"{Path(common.log).stem}: training pairs and base encoders, made once for the runs that share them")
                yield "", common

    def _submit(self, named: tuple[str, Job]):
        key = f"{named[1].log}-{self.mark}"
        return self.client.submit(in_process, PROGRAM, named[1], *self.about, key, key=key, pure=False)

    def _common_ended(self, job: Job, end: JobEnd) -> Iterator[tuple[str, JobEnd]]:
        self.commons[job.log] = end
        if end.status:
            for name in [name for name, (_, common) in self.waiting.items() if common and common.log == job.log]:
                del self.waiting[name]
                yield name, replace(end, seconds=0.0)


def _result(future) -> JobEnd:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return JobEnd(KILLED, 0.0, str(error))
    except (Exception, CancelledError) as error:
        return JobEnd(1, 0.0, f"{type(error).__name__}: {error}")
