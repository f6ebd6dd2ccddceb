"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that HYBRIDIR_DATA names; see data/README.md."""
    folder = os.environ.get("HYBRIDIR_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HYBRIDIR_DATA names no folder with the real data sets (data/README.md tells how to get them)")
    return Path(folder)
