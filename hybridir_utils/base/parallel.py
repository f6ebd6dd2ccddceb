"""Independent jobs in processes of their own: of this machine, with one progress bar, or over the workers of a dask cluster."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from itertools import islice
from multiprocessing import Pipe, connection, get_all_start_methods, get_context, parent_process, set_forkserver_preload
from typing import TypeVar

from .errors import InputError, Interrupted, once, warn_in_lines
from .progress import TICK, JobsBar, bars_told

# Variables that no library reads when it is imported (pytest changes one at each test), and those that libraries set then for themselves:
# where a process had imported them first, its workers were no forks, and imported them again.
UNREAD = ("HYBRIDIR_", "PYTEST_", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR")
NOTE = 2  # parts of what a worker tells: its number and a note; more: how far a bar is
PIPED = 3_000  # bytes of a note that a pipe takes at once (POSIX: 4,096 with all around it)
_pools: dict[tuple, tuple[ProcessPoolExecutor, connection.Connection]] = {}  # the one of the last call, and what its workers tell


def run_jobs(run_job: Callable, jobs: list[tuple], workers: int, label: str) -> list:
    """Call `run_job(*job)` for every job, `workers` side by side; results in the jobs' order.

    Each has the threads of `threads_of`, by the number of workers asked for, so that a job rounds the same when it is run again alone.
    The first error stops what has not begun. Raises Interrupted, with what is kept, at an interrupt.
    """
    if not jobs:
        return []
    pool, told = _pool(max(1, min(workers, os.cpu_count() or 1)), workers)
    futures = [pool.submit(_in_worker, run_job, *job) for job in jobs]
    for future in futures:
        future.add_done_callback(partial(_stop_at_error, futures))
    try:
        _watch(futures, told, label)
    except BrokenProcessPool as error:
        _end_pools()
        raise InputError(
            f"{label}: a worker was killed, most likely for want of memory. Lower jobs (now {workers}); {_kept(futures)}."
        ) from error
    except KeyboardInterrupt:
        print(f"{label}: stopping; what is under way ends first", file=sys.stderr, flush=True)
        _end_pools()
        raise Interrupted(f"{label} stopped; {_kept(futures)}") from None
    except BaseException:
        _end_pools()
        raise
    return [future.result() for future in futures]


def _watch(futures: list[Future], told: connection.Connection, label: str) -> None:
    """Wait for all, with a bar of what has ended and of what the workers tell; the first error is raised."""
    left = set(futures)
    with closing(JobsBar(label, len(futures))) as bar:
        while left:
            ended, left = wait_for(left, TICK, FIRST_COMPLETED)
            heard = list(iter(lambda: told.recv() if told.poll() else None, None))
            for note in (each[1] for each in heard if len(each) == NOTE):
                bar.say(once(note))
            for future in ended:
                if not future.cancelled():
                    future.result()
            bar.look(len(futures) - len(left), [each for each in heard if len(each) != NOTE])


def _stop_at_error(futures: list[Future], ended: Future) -> None:
    """Cancel what has not begun, at once: who waits may learn of the error when a worker has gone through all of it."""
    if not ended.cancelled() and ended.exception() and not isinstance(ended.exception(), BrokenProcessPool):  # that ends all by itself
        for future in futures:
            future.cancel()


def _kept(futures: list[Future]) -> str:
    well = sum(future.done() and not future.cancelled() and future.exception() is None for future in futures)
    return f"{well} of {len(futures)} are done and kept"


def _pool(workers: int, asked: int) -> tuple[ProcessPoolExecutor, connection.Connection]:
    """The last call's workers, where the environment is still the same: to start one takes as long as a small job."""
    key = (workers, asked, *sorted(os.environ.items()))
    if key not in _pools:
        _end_pools()
        told, teller = Pipe(duplex=False)
        about = {"initializer": _start_worker, "initargs": (asked, dict(os.environ), teller)}
        _pools[key] = ProcessPoolExecutor(workers, mp_context=get_context(_start_method()), **about), told
    return _pools[key]


def ready_workers() -> None:
    """Start the process that workers are forks of, which imports the libraries while the caller does what must be done before its jobs."""
    if _start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def _start_method() -> str:
    """Where there are forks, workers are those of a process that has imported the libraries, which takes longer than a small job.

    What that process read from the environment when it imported them must hold for its forks, too; else workers import for themselves.
    """
    forks = "forkserver" in get_all_start_methods() and preload_libraries() == _for_libraries()
    return "forkserver" if forks else "spawn"


@cache
def preload_libraries() -> dict[str, str]:
    """Have this process's forks made by one that has imported the libraries. Returns the environment in which it did."""
    set_forkserver_preload(["sentence_transformers"])
    return _for_libraries()


def _for_libraries() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(UNREAD)}


def _end_pools() -> None:
    """Let what is under way end, and nothing else begin."""
    while _pools:
        _pools.popitem()[1][0].shutdown(cancel_futures=True)


def threads_of(workers: int) -> int:
    """Threads of each of so many workers: one where several share CPUs, which keeps results the same whatever the number of cores.

    A single worker has all cores, and its results round with their number; beside a GPU, which computes, workers share the cores.
    """
    import torch

    return max(1, (os.cpu_count() or 1) // max(1, workers)) if workers == 1 or torch.cuda.is_available() else 1


def _in_worker(run_job: Callable, *job):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run_job(*job)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _tell()
        _keep_for_good()


@cache
def _keep_for_good() -> None:
    """After a worker's first job: what that imported stays, and need not be gone through whenever a library asks for a collection."""
    gc.collect()
    gc.freeze()


_told = ExitStack()  # of a worker: its bars are told for as long as it lives
_teller: list[connection.Connection] = []  # of a worker


def _tell(*what) -> bool:
    """Let the parent know a note, or its bar how far this worker's job is; nothing: it has ended. Never waits: whether it could be told."""
    try:
        _teller[0].send((os.getpid(), *what))
    except OSError:
        return False
    return True


def _pass_on(message: Warning, category: type, filename: str, *place) -> None:
    """A note goes to the parent, which tells it once for all workers; one that the pipe does not take whole is told here."""
    line = warnings.formatwarning(message, category, filename, place[0])
    if line and (len(line.encode()) > PIPED or not _tell(line)):
        sys.stderr.write(line)


def _start_worker(asked: int, environment: dict[str, str], teller: connection.Connection) -> None:
    os.environ.clear()  # a fork has that of the process it was forked from
    os.environ.update(environment)
    import logging

    import torch
    from threadpoolctl import threadpool_limits

    os.set_blocking(teller.fileno(), False)  # what is written at once and is this short reaches the pipe whole, or not at all
    _teller.append(teller)
    _told.enter_context(bars_told(_tell))
    warnings.simplefilter("ignore")  # of libraries: they would go through the parent's bar
    warnings.filterwarnings("default", module="hybridir_utils")
    warn_in_lines()
    warnings.showwarning = _pass_on
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt reaches the workers, too, and must not end those that wait for a job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threads = threads_of(asked)
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # BLAS, too: workers would fight over the cores
    os.environ["TOKENIZERS_PARALLELISM"] = str(threads > 1).lower()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)


def _end_with_parent() -> None:
    """A worker whose parent was killed would hold its locks for ever; it leaves at once, and what it made half is redone."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


PATIENCE = 60  # seconds to wait for the scheduler, its first worker, and another when all are gone
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
    has not ended when the caller stops is cancelled. Raises InputError when no worker has been there for PATIENCE seconds.
    """
    under_way, alone = {}, None
    try:
        while True:
            threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
            alone = None if threads else _alone_since(alone)
            free = max(0, each * max(1, threads) - len(under_way))
            for job in ready(free):
                under_way[submit(job)] = job
            if not under_way:
                return
            for future in _ended(list(under_way)):
                yield under_way.pop(future), future
    finally:
        client.cancel(list(under_way))


def _alone_since(began: float | None) -> float:
    now = time.monotonic()
    if began is not None and now - began > PATIENCE:
        raise InputError(
            f"no worker is left, and none came within {PATIENCE} s: they died, most likely for want of memory, or were stopped. Start "
            "workers again, or take fewer side by side; what is finished is kept, and the same command goes on from there."
        )
    return now if began is None else began


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
