"""The dask cluster of a sweep: this machine's processes or a scheduler's workers, and whether these see what the sweep sees."""

from __future__ import annotations

import os
import socket
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ..base.distributed import ONE_DISK, appears
from ..base.errors import InputError
from ..base.files import write_text_atomically
from ..base.fingerprints import PACKAGE, file_fingerprint, fingerprint, modules
from ..base.places import output_root
from .sweep_job import Ended, Job, in_process

PROGRAM = ("-m", "hybridir_utils.operate.sweep_job")
KILLED = -9  # exit status of a process that was killed
TRIES = 2  # of a job whose worker dies; a scheduler of one's own has its own number, `distributed.scheduler.allowed-failures`


@contextmanager
def sweep_cluster(scheduler: str, jobs: int) -> Iterator:
    """A client of `jobs` processes on this machine, or of a scheduler whose workers have been asked what they see.

    Raises InputError when none answers, or a worker has another output folder or another version of the package.
    """
    import dask

    from ..rank.dask_encoding import cluster_client

    with dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1}), cluster_client(scheduler, jobs) as client:
        if scheduler:
            _check_workers(client)
        yield client


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


def jobs_ended(client, jobs: dict[str, tuple[Job, Job | None]], environment: dict, gpus: int, say: Callable) -> Iterator[tuple[str, Ended]]:
    """Submit every job, each after the common one it needs, which is made once; (name, how it ended) as they end.

    jobs: name -> (job, common job or None). What has not ended when the caller stops is cancelled, and its process killed.
    """
    from distributed import as_completed

    commons, names, mark = {}, {}, uuid4().hex[:8]

    def submit(job: Job, common=None):
        key = f"{job.log}-{mark}"
        return client.submit(in_process, PROGRAM, job, environment, gpus, key, common, key=key, pure=False)

    for name, (job, common) in jobs.items():
        if common and common.log not in commons:
            commons[common.log] = submit(common)
            say(f"{Path(common.log).stem} (training pairs and base encoders): to be made, once for all runs with the same")
        names[submit(job, common and commons[common.log])] = name
    try:
        for future in as_completed(names):
            yield names[future], _result(future)
    finally:
        client.cancel([*names, *commons.values()])


def _result(future) -> Ended:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Ended(KILLED, 0.0, "its worker died again and again, most likely for want of memory; run fewer side by side")
    except (Exception, CancelledError) as error:
        return Ended(1, 0.0, f"{type(error).__name__}: {error}")


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
