"""The wheel, built offline and installed elsewhere: the package works without a checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybridir_utils.base.files import PROFILES, PUBLISHED, ROOT, WORLDFACTS, folder_fingerprint
from hybridir_utils.data.register import data_fingerprint
from hybridir_utils.encode.encoding import encode_task
from hybridir_utils.provenance.fingerprints import code_fingerprint
from hybridir_utils.rank.ranking import rank_task

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
LEFT_OUT = {"hybridir_utils": (), "data": ("runs", "results"), "notebooks": ("*.ipynb", ".ipynb_checkpoints")}

# Run by the wheel's package: what it reads of its own, and how it knows its code and data.
USE = """
import json, sys
from pathlib import Path
import numpy as np
import hybridir_utils as hy
from hybridir_utils.base.files import PUBLISHED, WORLDFACTS, folder_fingerprint
from hybridir_utils.data.register import data_fingerprint
from hybridir_utils.encode.catalogue import ENCODERS
from hybridir_utils.encode.encoding import encode_task
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.provenance.fingerprints import code_fingerprint, commit
from hybridir_utils.rank.ranking import rank_task
from hybridir_utils.results.paper import in_our_names

task = hy.read_task("worldfacts-test", ["de", "en"])
vectors = [np.random.default_rng(0).normal(size=(len(side), 8)).astype(np.float32) for side in (task.queries, task.candidates)]
print(json.dumps({
    "package": str(Path(hy.__file__).parent),
    "rows": list(hy.evaluate(tuple(vectors), task).table().index),
    "profile": load_profile("sample").name,
    "encoders": len(ENCODERS),
    "published": len(in_our_names()),
    "code": code_fingerprint(encode_task, rank_task),
    "data": [data_fingerprint(["worldfacts-test"]), *map(folder_fingerprint, (PUBLISHED, WORLDFACTS))],
    "commit": commit(),
    "modules": sorted({Path(module.__file__).as_posix().rpartition("/hybridir_utils/")[0]
                       for name, module in sys.modules.items() if name.startswith("hybridir_utils.")}),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the package of the wheel, which was built from a copy: a build in the checkout would take up files of earlier ones."""
    place = tmp_path_factory.mktemp("wheel")
    for name, left_out in LEFT_OUT.items():
        shutil.copytree(ROOT / name, place / "source" / name, ignore=shutil.ignore_patterns("__pycache__", *left_out))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source" / name)
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", place, place / "source"], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", place / "installed", wheel], check=True)
    shutil.rmtree(place / "source")
    return place / "installed"


def run(installed: Path, folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """A process in `folder` that finds the wheel's package before any other, and no checkout."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HYBRIDIR_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-P", *command],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(installed)} | environment,
        capture_output=True,
        text=True,
    )


def test_library_works_from_the_wheel_and_knows_the_same_code_and_data(installed, tmp_path):
    done = run(installed, tmp_path, "-c", USE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["package"] == str(installed / "hybridir_utils") and found["modules"] == [str(installed)]
    assert found["rows"] == ["plain", "centred"] and found["profile"] == "sample" and found["encoders"] > 5 and found["published"] > 500
    assert found["code"] == code_fingerprint(encode_task, rank_task)
    assert found["data"] == [data_fingerprint(["worldfacts-test"]), folder_fingerprint(PUBLISHED), folder_fingerprint(WORLDFACTS)]
    assert found["commit"] == ""
    assert {path.name for path in (installed / "hybridir_utils" / "carried" / "notebooks" / "profiles").iterdir()} == {
        path.name for path in PROFILES.glob("*.toml")
    }
    own = [path.relative_to(ROOT) for path in (ROOT / "hybridir_utils").rglob("*") if path.suffix in (".html", ".js", ".css")]
    assert len(own) >= 4 and [path for path in own if not (installed / path).is_file()] == []
    assert not list(tmp_path.iterdir()), "nothing is written by reading"


def test_commands_work_from_the_wheel_and_run_says_what_it_needs(installed, tmp_path):
    listed = run(installed, tmp_path, "-m", "hybridir_utils", "profiles")
    assert listed.returncode == 0 and "sample: trains on worldfacts" in listed.stdout, listed.stderr
    for command in ("run", "plan"):
        refused = run(installed, tmp_path, "-m", "hybridir_utils", command)
        assert refused.returncode == 1 and "get the repository (git clone" in refused.stderr and "Traceback" not in refused.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output", ["", "elsewhere"])
def test_outputs_go_below_the_working_folder_or_the_one_that_is_named(installed, tmp_path, output):
    code = "from hybridir_utils.experiment.run import open_run; print(open_run('sample').artefacts)"
    done = run(installed, tmp_path, "-c", code, **({"HYBRIDIR_OUTPUT": output} if output else {}))
    assert done.stdout.strip() == str(tmp_path.resolve() / output / "data" / "runs" / "sample"), done.stderr
