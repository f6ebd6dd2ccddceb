"""A worker that is killed ends the work with advice instead of a broken pool, or one that waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
from waiting import wait_for

from hybridir_utils.base import parallel
from hybridir_utils.base.errors import InputError, Interrupted
from hybridir_utils.base.parallel import cluster_client, run_jobs, work_through


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_told_with_advice():
    with pytest.raises(InputError, match=r"training: a worker was killed.*Lower jobs .now 1.; 0 of 1 are done and kept"):
        run_jobs(kill_self, [()], 1, "training")


def wait_long(place: str) -> None:
    Path(place).touch()
    time.sleep(60)


def test_an_interrupt_says_at_once_that_it_stops_and_then_what_is_kept(tmp_path, monkeypatch, capsys):
    """As a kernel's: the worker gets it, too."""

    def interrupt() -> None:
        assert wait_for((tmp_path / "long").exists)
        for pool, _ in parallel._pools.values():
            for process in pool._processes:
                os.kill(process, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    jobs = [(touch, str(tmp_path / "a")), (wait_long, str(tmp_path / "long")), *((touch, str(tmp_path / f"{n}")) for n in range(9))]
    end_pools, said = parallel._end_pools, []
    monkeypatch.setattr(parallel, "_end_pools", lambda: said.append(capsys.readouterr().err) or end_pools())
    with pytest.raises(Interrupted) as stopped:
        run_jobs(call, jobs, 1, "training")
    assert said[-1].endswith("training: stopping; what is under way ends first\n"), "before it waits for that"
    done = len(list(tmp_path.iterdir())) - 1
    assert 1 <= done < 10 and str(stopped.value) == f"training stopped; {done} of 11 are done and kept"


def call(function, *given) -> None:
    function(*given)


def touch(place: str) -> None:
    Path(place).touch()


def test_when_no_worker_is_left_the_work_ends_with_an_error_and_what_was_finished_has_come(monkeypatch):
    """Workers without a nanny, whom nobody starts again: each dies of the second job."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "PATIENCE", 20)
    monkeypatch.setattr(parallel, "LOOK", 0.5)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny", "--nthreads", "1"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        worker = subprocess.Popen([*command, "--no-dashboard"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with cluster_client(cluster.scheduler_address, 0) as client:
                monkeypatch.setattr(parallel, "PATIENCE", 2)
                jobs, found = iter([os.getpid, kill_self]), []
                with pytest.raises(InputError, match=r"no worker is left.*what is finished is kept"):
                    for _, ended in work_through(client, lambda free: islice(jobs, free), lambda job: client.submit(job, pure=False)):
                        found.append(ended.result())
                assert found == [worker.pid]
        finally:
            worker.kill()
            worker.wait()
