"""The jobs of a sweep over a dask cluster's workers: what several runs share first and once, one job a worker, results as they come."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from .sweep_job import KILLED, Job, JobEnd, in_process

PROGRAM = ("-m", "hybridir_utils.operate.sweep_job")
PATIENCE = 10  # seconds after which workers that have joined are given jobs


class JobQueue:
    """Jobs by name, each with the common job it needs or None.

    environment, gpus: see `in_process`. say: is told what common job is begun.
    """

    def __init__(self, client, jobs: dict[str, tuple[Job, Job | None]], environment: dict, gpus: int, say: Callable[[str], None]):
        self.client, self.say, self.about = client, say, (environment, gpus)
        self.waiting, self.mark = dict(jobs), uuid4().hex[:8]
        self.commons: dict[str, JobEnd | None] = {}  # log -> how it ended; None while it is under way
        self.under_way: dict[object, tuple[str, Job]] = {}  # future -> name and job

    def ended(self) -> Iterator[tuple[str, JobEnd]]:
        """(name, how it ended) of every job, as they end; a common job that fails ends those that need it.

        What has not ended when the caller stops is cancelled, and its process killed.
        """
        try:
            while self.waiting or self.under_way:
                self._fill()
                for future in self._done():
                    name, job = self.under_way.pop(future)
                    end = _result(future)
                    yield from [(name, end)] if name else self._common_ended(job, end)
        finally:
            self.client.cancel(list(self.under_way))

    def _fill(self) -> None:
        """Give each worker thread one job and no more: when a worker dies, dask blames all that it has been given."""
        threads = sum(worker["nthreads"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values())
        for name, (job, common) in list(self.waiting.items()):
            if len(self.under_way) >= max(1, threads):
                return
            if common is None or self.commons.get(common.log):
                del self.waiting[name]
                self._submit(name, job)
            elif common.log not in self.commons:
                self.commons[common.log] = None
                self.say(f"{Path(common.log).stem}: training pairs and base encoders, made once for the runs that share them")
                self._submit("", common)

    def _submit(self, name: str, job: Job) -> None:
        key = f"{job.log}-{self.mark}"
        future = self.client.submit(in_process, PROGRAM, job, *self.about, key, key=key, pure=False)
        self.under_way[future] = name, job

    def _done(self) -> list:
        from distributed import wait

        with suppress(TimeoutError, CancelledError):  # each future tells by itself
            wait(list(self.under_way), timeout=PATIENCE, return_when="FIRST_COMPLETED")
        return [future for future in self.under_way if future.done()]

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
