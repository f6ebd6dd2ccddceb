"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def wait_for(condition: Callable, tries: int = 1200):
    """The condition's value once it is true; False after a minute."""
    for _ in range(tries):
        if found := condition():
            return found
        time.sleep(0.05)
    return False


def written(path: Path) -> str:
    """The text of a file; empty while there is none, or one that is open for its first write."""
    return path.read_text() if path.exists() else ""


def alive(process: int) -> bool:
    """Whether a process of that number runs: one that has ended and that nobody has waited for does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
