"""The dask cluster of a sweep: this machine's processes or a scheduler's workers, and whether these see what the sweep sees."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ..base.code_use import PACKAGE, modules
from ..base.distributed import ONE_DISK, appears
from ..base.errors import InputError
from ..base.files import write_text_atomically
from ..base.fingerprints import file_fingerprint, fingerprint
from ..base.places import output_root

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

    from ..rank.dask_encoding import cluster_client

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
