"""The tests' outputs go to a folder of their own, so that a checkout's results stay as they are."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HYBRIDIR_OUTPUT", str(Path(__file__).parent / "data" / "runs" / "tests"))
