"""kill -9 at any moment of a run: the next one goes on, and ends in the results of a run that nothing stopped, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from fault_pipeline import STAGES
from made_up_suite import notebook

from hybridir_utils.base import files
from hybridir_utils.experiment.run import open_run
from hybridir_utils.provenance.artefacts import Artefact
from hybridir_utils.suite.records import KILLED, OK, read_record
from hybridir_utils.suite.running import Step

SEED = 0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="attempts are forked")
@pytest.mark.parametrize("kills, seed", [(50, SEED), pytest.param(200, 1, marks=pytest.mark.slow)])
def test_kills_in_all_stages_end_in_the_results_of_an_unbroken_run(tmp_path, kills, seed):
    """Tables, figures, pairs, weights, loss histories, vectors and evaluations, compared after the run that follows each kill."""
    environment = {**os.environ, **ONE_THREAD, "HYBRIDIR_OUTPUT": str(tmp_path / "out")}
    command = [sys.executable, Path(__file__).with_name("fault_pipeline.py"), tmp_path, str(kills), str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (tmp_path / "log.txt").read_text()[-4000:] + done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["differing"] == [] and told["compared"] > 50
    assert sum(told["kills"].values()) >= kills and all(told["kills"].get(stage, 0) >= 4 for stage in STAGES), told["kills"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="attempts are forked")
def test_a_kill_at_any_call_that_ends_a_write_leaves_nothing_beside_a_whole_artefact(tmp_path):
    """At each opening, renaming and removing, the one after the artefact has its name among them."""
    left, fill = [], lambda folder: (folder / "file.txt").write_text("whole")
    for kill in range(1, 200):
        artefact = Artefact(tmp_path / str(kill), "thing", {}, files.write_json)
        if not (pid := os.fork()):
            end_at(kill)
            artefact.make(fill)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        left.append({path.name for path in artefact.room.glob("*")})
        artefact.make(fill)
        expected = {f".{artefact.path.name}.lock", artefact.path.name}
        assert {path.name for path in artefact.room.iterdir()} == expected, f"after a kill at call {kill}"
        assert artefact.is_whole() and (artefact.path / "file.txt").read_text() == "whole"
        if status == 0:
            break
    assert status == 0 and kill > 10
    assert {*expected, f".{artefact.path.name}.owner"} in left, "the moment that was missed: whole, and its note still there"


ENDING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def end_at(kill: int) -> None:
    """Kill this process at the kill-th call of ENDING from now on."""
    calls = iter(range(kill - 1))
    sys.addaudithook(lambda event, _: event in ENDING and next(calls, None) is None and os.kill(os.getpid(), signal.SIGKILL))


RUN = """
import sys
from pathlib import Path
from hybridir_utils.__main__ import main
from hybridir_utils.suite import running
running.NOTEBOOKS = Path(sys.argv[1])
sys.exit(main(["run"]))
"""
SAVES = """
import time
import pandas as pd
from hybridir_utils.experiment.run import open_run, save_table
for number in range(8):
    save_table(open_run(profile), f"table{number}", pd.DataFrame({"value": range(number, number + 500)}))
    time.sleep(0.1)
"""


def test_the_command_killed_three_times_goes_on_and_no_killed_run_reads_as_one_that_ended(tmp_path, monkeypatch):
    """While it starts, and twice while its notebook writes tables."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    (tmp_path / "notebooks").mkdir()
    step = Step(notebook(tmp_path / "notebooks", "01_first", SAVES), open_run("sample"))
    command, draw, calls = [sys.executable, "-c", RUN, tmp_path / "notebooks"], random.Random(SEED), tmp_path / "out" / "calls.txt"
    for kill in range(3):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while kill and run.poll() is None and _lines(calls) < kill:
            time.sleep(0.02)
        time.sleep(draw.random())
        os.killpg(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        record = read_record(step.record)
        assert (record is None and not kill) or record.status == KILLED
        assert not step.executed.exists()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    assert read_record(step.record).status == OK and step.executed.exists() and _lines(calls) == 3
    for number in range(8):
        expected = pd.DataFrame({"value": range(number, number + 500)}).to_csv(index=False)
        assert (step.run.results / f"table{number}.csv").read_text() == expected
    left = [path.name for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name or ".part" in path.name]
    assert left == [], "a killed attempt's files stay"


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
