"""The tests' outputs go to a folder of their own, so that a checkout's results stay as they are; notebooks run on less, in their order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

# What people's machines set for the hub is not what the tests ask of it.
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))]:
    del os.environ[name]
os.environ.setdefault("HYBRIDIR_OUTPUT", str(Path(__file__).parent / "data" / "runs" / "tests"))
# Three processes of several threads share two cores: a thread that waits by spinning takes them from the others, which changes no result.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# What nbval's run of the notebooks changes in the sample profile: every cell and every method, on fewer seeds, steps and languages.
SMALLER = {
    "seeds": [1, 2],
    "steps": 20,
    "alignment_steps": 30,
    "dimension": 64,
    "vocabulary": 4000,
    "bases": ["aligned"],
    "alphas": [0.0, 0.5, 1.0],
    "schedules": ["annealed"],
    "many_languages": ["ar", "de", "en", "zh", "ca", "gu"],
    "many_unseen": ["ca"],
    "many_counts": [3, 6],
    "many_pairs": 150,
    "many_steps": 10,
    "resamples": 500,
}

# The longest files first, so that no process is left alone with one of them at the end.
FIRST = (
    "test_faults_kill.py",
    "test_writeback.py",
    "test_paper_profile.py",
    "test_figures.py",
    "test_mt.py",
    "test_corpus_vectors.py",
    "test_training.py",
)


def pytest_collection_modifyitems(items) -> None:
    """Notebooks, then the files of FIRST, then the others as they come."""
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: -1 if item.path.suffix == ".ipynb" else order.get(item.path.name, len(order)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item) -> None:
    """A notebook's kernel, which starts with its first cell, finds the smaller values; other tests do not. No test is of another's run."""
    os.environ.pop("HYBRIDIR_ORIGIN", None)
    if item.path.suffix == ".ipynb":
        os.environ["HYBRIDIR_SET"] = json.dumps(SMALLER)
    else:
        os.environ.pop("HYBRIDIR_SET", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of the processes that share the tests, one has all notebooks, which read each other's results; a test file stays whole."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "notebooks" if file.endswith(".ipynb") else file

    return ByFile(config, log)
