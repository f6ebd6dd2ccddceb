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

from hybridir_utils.experiment.run import open_run
from hybridir_utils.suite.records import KILLED, OK, read_record
from hybridir_utils.suite.running import Step

KILLS, SEED = 50, 0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="attempts are forked")
def test_fifty_kills_in_all_stages_end_in_the_results_of_an_unbroken_run(tmp_path):
    """Tables, figures, pairs, weights, loss histories, vectors and evaluations, compared after the run that follows each kill."""
    environment = {**os.environ, **ONE_THREAD, "HYBRIDIR_OUTPUT": str(tmp_path / "out")}
    command = [sys.executable, Path(__file__).with_name("fault_pipeline.py"), tmp_path, str(KILLS), str(SEED)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (tmp_path / "log.txt").read_text()[-4000:] + done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["differing"] == [] and told["compared"] > 50
    assert sum(told["kills"].values()) >= KILLS and all(told["kills"].get(stage, 0) >= 4 for stage in STAGES), told["kills"]


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
