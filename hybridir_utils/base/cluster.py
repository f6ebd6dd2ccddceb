"""Jobs over the workers of a dask cluster: this machine's processes, or the hosts of a scheduler."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TypeVar

from .errors import InputError

PATIENCE = 60  # seconds to wait for the scheduler and its first worker
LOOK = 10  # seconds after which workers that have joined are given jobs
WAITING = 2  # shards a worker has been given: one to encode and one that waits, so that it never idles
T = TypeVar("T")


def run_on_cluster(function: Callable, jobs: Iterable[tuple], scheduler: str, workers: int) -> Iterator:
    """Results of `function(*job)` in the order in which they come; jobs are drawn as workers get free.

    scheduler: its address (start one with `dask scheduler`, and on every host a worker for each GPU with
    `CUDA_VISIBLE_DEVICES=… dask worker ADDRESS --nthreads 1`). Empty: `workers` processes on this machine, each on a GPU of its own.
    The job of a worker that dies is done by another. Raises InputError when no scheduler or worker answers, or a
    job's workers died again and again; errors of `function` come as they are.
    """
    with cluster_client(scheduler, workers) as client:
        from distributed import KilledWorker

        def submit(job: tuple):
            return client.submit(_on_own_device, function, job, pure=False)

        jobs = iter(jobs)
        for _, future in work_through(client, lambda free: islice(jobs, free), submit, WAITING):
            try:
                yield future.result()
            except KilledWorker as error:
                raise InputError(
                    "one shard's workers died several times in a row, most likely for want of memory. Lower batch_tokens or shard_size; "
                    "finished shards are kept."
                ) from error


def work_through(client, ready: Callable[[int], Iterable[T]], submit: Callable[[T], object], each: int = 1) -> Iterator[tuple[T, object]]:
    """(job, its ended future), as they end, until none is under way and none is ready.

    ready: gives up to so many further jobs; it is asked whenever places are free, and after the caller has looked at what ended, on
    which it may depend. each: jobs a worker's thread is given at once; with more than one, dask blames all of them when it dies. What
    has not ended when the caller stops is cancelled.
    """
    under_way = {}
    try:
        while True:
            threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
            free = max(0, each * max(1, threads) - len(under_way))
            for job in ready(free):
                under_way[submit(job)] = job
            if not under_way:
                return
            for future in _ended(list(under_way)):
                yield under_way.pop(future), future
    finally:
        client.cancel(list(under_way))


def _ended(futures: list) -> list:
    from distributed import wait

    with suppress(TimeoutError, CancelledError):  # each future tells by itself
        wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED")
    return [future for future in futures if future.done()]


def _on_own_device(function: Callable, job: tuple):
    """Run a job on the worker's GPU: workers of a local cluster are numbered, others see one GPU only (CUDA_VISIBLE_DEVICES)."""
    import torch
    from distributed import get_worker

    number = get_worker().name
    if torch.cuda.is_available() and isinstance(number, int):
        torch.cuda.set_device(number % torch.cuda.device_count())
    return function(*job)


@contextmanager
def cluster_client(scheduler: str, workers: int):
    """A client of the scheduler, or where that is empty of `workers` processes on this machine, which end with the block.

    Raises InputError when no scheduler or worker answers.
    """
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):  # a shard's texts travel with its job
        try:
            cluster = None if scheduler else LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            client = Client(cluster or scheduler, timeout=PATIENCE)
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"scheduler {scheduler or 'on this machine'}: no answer, or no worker within {PATIENCE} s ({error}). Start it with `dask "
                "scheduler` and workers with `dask worker ADDRESS --nthreads 1`, or leave scheduler empty to work on this machine."
            ) from error
        try:
            yield client
        finally:
            client.close()
            if cluster:
                cluster.close()
