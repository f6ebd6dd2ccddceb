"""A worker that is killed ends the work with advice instead of a broken pool."""

from __future__ import annotations

import os
import signal

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.parallel import run_jobs


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_told_with_advice():
    with pytest.raises(InputError, match="Lower jobs"):
        run_jobs(kill_self, [()], 1, "training")
