"""Jobs over the workers of a dask cluster: this machine's devices, or the hosts of a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from .errors import InputError

PATIENCE = 60  # seconds to wait for the scheduler and its first worker
WAITING = 2  # jobs a worker has been given: one to do and one that waits, so that it never idles


def run_on_cluster(function: Callable, jobs: Iterable[tuple], scheduler: str, workers: int) -> Iterator:
    """Results of `function(*job)` in the order in which they come; jobs are drawn as workers get free.

    scheduler: its address (start one with `dask scheduler`, and on every host a worker for each GPU with
    `CUDA_VISIBLE_DEVICES=… dask worker ADDRESS --nthreads 1`). Empty: `workers` processes on this machine, each on a GPU of its own.
    The job of a worker that dies is done by another. Raises InputError when no scheduler or worker answers, or a
    job's workers died again and again; errors of `function` come as they are.
    """
    with cluster_client(scheduler, workers) as client:
        from distributed import KilledWorker, as_completed

        jobs = iter(jobs)
        places = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
        running = as_completed([_submit(client, function, job) for job in islice(jobs, WAITING * places)])
        for future in running:
            try:
                yield future.result()
            except KilledWorker as error:
                raise InputError(
                    "one shard's workers died several times in a row, most likely for want of memory. Lower batch_tokens or shard_size; "
                    "finished shards are kept."
                ) from error
            for job in islice(jobs, 1):
                running.add(_submit(client, function, job))


def _submit(client, function: Callable, job: tuple):
    return client.submit(_on_own_device, function, job, pure=False)


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
