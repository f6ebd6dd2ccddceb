"""Where things lie: the checkout's folders, and the two environment variables that move them."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
PROFILES = NOTEBOOKS / "profiles"
WORLDFACTS = ROOT / "data" / "worldfacts"
PUBLISHED = ROOT / "data" / "published"


def output_root() -> Path:
    """Folder that receives data/runs, data/results and figures: HYBRIDIR_OUTPUT, or the checkout."""
    return Path(os.environ.get("HYBRIDIR_OUTPUT") or ROOT).resolve()


def data_folder(name: str, data_dir: str = "") -> Path:
    """Folder of a real data set below the profile's `data_dir`, or else below HYBRIDIR_DATA; raises InputError when absent."""
    base = data_dir or os.environ.get("HYBRIDIR_DATA", "")
    if not base:
        raise InputError(
            f"data set {name!r} is needed, but neither the profile's data_dir nor HYBRIDIR_DATA names a folder. See data/README.md."
        )
    folder = Path(base).expanduser() / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; data/README.md gives the command that puts {name!r} there.")
    return folder
