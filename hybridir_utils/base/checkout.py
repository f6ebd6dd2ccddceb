"""The commit of the code in use, for records and stamps; never part of a fingerprint."""

from __future__ import annotations

import subprocess
from functools import cache

from .places import ROOT

CHANGES = "+changes"
RESULTS = (":!data/results", ":!figures")  # what runs write


@cache
def commit() -> str:
    """The checkout's commit, with "+changes" where files of it differ; "" where the package lies in no checkout."""
    if _git("rev-parse", "--show-toplevel") != str(ROOT):  # a package installed below somebody else's checkout
        return ""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *RESULTS)
    return _git("rev-parse", "HEAD") + (CHANGES if changed else "")


def _git(*arguments: str) -> str:
    """What git says; "" where it fails or is not installed. Locks, which a mere look would take, are left alone."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
