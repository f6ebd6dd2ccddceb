"""Sweeps over tiny notebooks: which runs there are, failures beside good ones, what is made once, going on, workers that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from made_up import made_up_tables
from made_up_suite import notebook
from test_preparation import Setup
from waiting import alive, wait_for, written

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment import stamps
from hybridir_utils.experiment.run import save_table
from hybridir_utils.suite import running
from hybridir_utils.suite import sweep as sweeps
from hybridir_utils.suite.sweep import Outcome, announcement, ended_jobs, outcome_table, sweep_head, sweep_of, write_sweep

TINY_SUITE = """
from pathlib import Path
from hybridir_utils.suite import running
running.NOTEBOOKS = Path({!r})
"""
FAILS = """
import os
print(os.environ.get("OMP_NUM_THREADS"), file=(place.parent / "threads.txt").open("a"))
if alpha == 0.25 and not (place.parent / "repaired").exists():
    {}["absent"]
"""


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_the_runs_are_the_product_of_the_values():
    sweep = sweep_of("sample", ["alpha=0,0.5,1", "seed=1,2", "steps=20"])
    assert [run.name for run in sweep.runs] == [
        f"sample+alpha={alpha}+seeds={seed}+steps=20".replace("+alpha=0.5", "") for alpha in ("0.0", "0.5", "1.0") for seed in (1, 2)
    ]
    assert [(run.profile.alpha, run.profile.seeds, run.profile.steps) for run in sweep.runs[:3]] == [
        (0, (1,), 20), (0, (2,), 20), (0.5, (1,), 20)
    ]  # fmt: skip
    assert sweep.values[1] == {"alpha": "0", "seed": "2"}, "what all runs have in common is no axis"
    assert announcement(sweep).startswith("6 runs of sample, alpha=0,0.5,1 x seed=1,2:\n  sample+alpha=0.0+seeds=1+steps=20\n")
    assert sweep.name == sweep_of("sample", ["alpha=0,0.5,1", "seed=1,2", "steps=20"]).name != sweep_of("sample", ["alpha=0,0.5"]).name


def test_names_that_do_not_tell_their_values_are_explained():
    sweep = sweep_of("sample", ['query_prefix="ask: ","say: "', "alpha=0.5"])
    assert "(query_prefix=ask: )" in announcement(sweep) and announcement(sweep).startswith("2 runs of sample, query_prefix=ask: ,say: :")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--set", "alhpa=0,1"], "did you mean 'alpha'?"),
        (["run", "--set", "alpha=0,2"], "alpha = 2"),
        (["run", "--set", "alpha=0.5,0.50"], "alpha=0.5 and alpha=0.5 are one run, sample: a value stands twice"),
        (["run", "--set", "jobs=1,2"], "jobs=1 and jobs=2 are one run, sample: a value stands twice, or changes no result"),
        (["run", "--set", "seeds=1,2,3"], "or seeds=[1],[2],[3] for a run with each (in short seed=1,2,3)"),
        (["run", "--set", "alpha=0,1", "--only", "O2_hybrid_batch_training"], "did you mean '02_hybrid_batch_training'?"),
        (["run", "--set", "alpha=0,1", "--write-back"], "--write-back is about one run at a time"),
        (["run", "--set", "alpha=0,1", "--cost"], "--cost is about one run at a time"),
        (["run", "--jobs", "2"], "--jobs: runs side by side, and this is one run"),
        (["run", "--set", "alpha=0,1", "--jobs", "0"], "--jobs: expected 1 or more"),
        (["figures", "--set", "alpha=0,1"], "2 values; `figures` is about one run at a time"),
        (["train", "--set", "seed=1,2"], "2 values; `train` is about one run at a time"),
    ],
)
def test_what_is_refused_before_anything_starts(arguments, said, output, capsys):
    assert main(arguments) == 1
    assert said in capsys.readouterr().err and not list(output.iterdir())


def test_a_set_that_is_not_there_is_told_before_anything_starts(output, capsys):
    assert main(["run", "--set", "alpha=0,1", "--set", 'pair_sets=["jsonl:/nowhere.jsonl"]']) == 1
    assert "found before anything was started" in capsys.readouterr().err and not list(output.iterdir())


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> list[str]:
    """`run` of a tiny profile over a suite of one tiny notebook, which fails for one value of alpha until it is repaired."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook(folder, "01_first", FAILS, parameters="alpha = 0.5")
    monkeypatch.setattr(running, "NOTEBOOKS", folder)
    small = partial(ended_jobs, program=TINY_SUITE.format(str(folder)) + sweeps.COMMAND)
    monkeypatch.setattr(sweeps, "ended_jobs", small)
    (tmp_path / "data").mkdir()
    setup = Setup(tmp_path / "data")
    return ["run", "--profile", str(setup.profile), "--set", "dimension=8", "--set", "vocabulary=300", "--jobs", "2"]


def test_a_failed_run_stops_no_other_and_the_same_command_goes_on(tiny, output, capsys):
    """Two runs of which one fails, and one run again: each in a process of its own."""
    command = [*tiny, "--set", "alpha=0,0.25"]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("2 runs of tiny, alpha=0,0.25:\n")
    assert " 01_first: running" in printed
    (failed,) = [line.split() for line in printed.splitlines() if " failed " in line and "after" not in line]
    assert failed[0].endswith("+alpha=0.25") and failed[1:5] == ["failed", "01_first", "3", "KeyError:"]
    calls = [line.split() for line in (output / "calls.txt").read_text().splitlines()]
    assert sorted(call[1] for call in calls) == ["0.0", "0.25"] and len({call[3] for call in calls}) == 2
    assert (output / "threads.txt").read_text().split() == ["None", "None"], "a run computes with the threads it has without a sweep"

    (output / "repaired").touch()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert len((output / "calls.txt").read_text().splitlines()) == 3
    table = printed.split("status")[1]
    assert [line.split()[1:3] for line in table.splitlines() if "alpha" in line] == [["up", "to"], ["ok", table.split()[-1]]]
    assert main(command) == 0 and "running" not in capsys.readouterr().out, "nothing is left to do, and no cluster is started"


def jobs(*names: str) -> dict[str, tuple]:
    """Jobs for small programs, which get their name and write into the output folder."""
    return {name: ([name], f"{name}.log", {}) for name in names}


DIES = """
import os, signal, sys, time
from pathlib import Path
name = sys.argv[1]
tries = Path(os.environ["HYBRIDIR_OUTPUT"], name + ".tries")
with tries.open("a") as file:
    print(os.getpid(), file=file)
if name == "bad" or name == "once" and len(tries.read_text().split()) == 1:
    time.sleep(1)  # what the worker did before has been told by then
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
if name == "itself":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(print("error: no such luck\\nwhatever is next") or 3 if name == "fails" else 0)
"""


def test_workers_and_processes_that_die(output):
    """A run whose worker dies is begun once more, and reported as killed when that dies, too."""
    names = ("good", "once", "bad", "itself", "fails")
    with sweeps.sweep_cluster("", 2) as client:
        found = dict(ended_jobs(client, jobs(*names), program=DIES))
    assert {name: found[name].code for name in names} == {"good": 0, "once": 0, "bad": -9, "itself": -9, "fails": 3}
    tries = {name: len((output / f"{name}.tries").read_text().split()) for name in names}
    assert tries["once"] == tries["bad"] == 2, "once more, and no more"
    assert all(tries[name] <= 2 for name in names), "one more only where the worker died before it could tell"
    assert found["fails"].last_line == "no such luck" and found["bad"].last_line.startswith("its worker died 2 times")


STAYS = """
import os, sys, time
from pathlib import Path
from hybridir_utils.suite.cells import end_with_parent
end_with_parent()
Path(os.environ["HYBRIDIR_OUTPUT"], sys.argv[1] + ".running").write_text(f"{os.getpid()} {os.getppid()}")
time.sleep(600 if "stay" in sys.argv[1] else 0)
"""


@pytest.fixture
def cluster(output, tmp_path):
    """Address of a scheduler that is a process of its own, with two workers that are others; and where one of them writes elsewhere."""
    file, started = tmp_path / "scheduler.json", []

    def start(*command: str, **environment: str) -> None:
        env = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", **environment}
        started.append(
            subprocess.Popen([sys.executable, "-m", "dask", *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file), "--host", "127.0.0.1")
    assert wait_for(lambda: written(file))
    address = json.loads(file.read_text())["address"]
    for _ in range(2):
        start("worker", address, "--nthreads", "1", "--no-dashboard")
    yield address
    for process in started:
        process.kill()
        process.wait()


def test_two_workers_of_a_scheduler_do_the_runs_and_end_them_with_the_sweep(cluster, output, monkeypatch, tmp_path):
    with sweeps.sweep_cluster(cluster, 1) as client:
        client.wait_for_workers(2)
        found = dict(ended_jobs(client, jobs(*"abcd"), program=STAYS))
        assert [one.code for one in found.values()] == [0] * 4
        assert len({(output / f"{name}.running").read_text().split()[1] for name in "abcd"}) == 2, "both workers took some"

        running = ended_jobs(client, jobs("stay", "short"), program=STAYS)
        assert next(running)[0] == "short"
        process = int(wait_for(lambda: written(output / "stay.running")).split()[0])
        running.close()  # as an interrupt does
        assert wait_for(lambda: not alive(process)), "the sweep has ended and its run goes on"
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=rf"writes to {output} on .* written here to {tmp_path}/elsewhere.*mount it on each host"):
        sweeps.sweep_cluster(cluster, 1).__enter__()
    assert not list((tmp_path / "elsewhere" / "data" / "runs").iterdir())
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(output))
    monkeypatch.setattr(sweeps, "_package_fingerprint", lambda: "another")
    with pytest.raises(InputError, match=r"another version than the one here. Bring all hosts to one commit"):
        sweeps.sweep_cluster(cluster, 1).__enter__()


SWEEP = """
import sys
from hybridir_utils.suite.sweep import ended_jobs, sweep_cluster
if __name__ == "__main__":
    with sweep_cluster("", 2) as client:
        list(ended_jobs(client, {name: ([name], f"{name}.log", {}) for name in ("stay-1", "stay-2")}, program=sys.argv[1]))
"""


def interrupted(sweep: subprocess.Popen) -> bool:
    """Whether the sweep ends within a minute of an interrupt, which goes to the whole process group, as from a terminal."""
    os.killpg(sweep.pid, signal.SIGINT)
    return wait_for(lambda: sweep.poll() is not None)


HANGS = """
import contextlib, os, signal, time
from hybridir_utils.suite import sweep

@contextlib.contextmanager
def hanging(scheduler, jobs):
    try:
        yield "client"
    finally:
        time.sleep(600)

sweep.CLOSING, sweep.cluster_client = 0.5, hanging
with sweep.sweep_cluster("", 2):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)
"""


def test_an_interrupted_sweep_ends_though_its_cluster_does_not_close():
    assert subprocess.run([sys.executable, "-c", HANGS], timeout=120).returncode == sweeps.INTERRUPTED


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_sweep_takes_its_processes_with_it(output, tmp_path, how):
    script, told = tmp_path / "sweep.py", [output / f"stay-{number}.running" for number in (1, 2)]
    script.write_text(SWEEP)
    sweep = subprocess.Popen([sys.executable, script, STAYS], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: all(written(path) for path in told))
        started = [int(process) for path in told for process in path.read_text().split()]  # two runs and their workers
        if how == signal.SIGINT:
            assert wait_for(lambda: interrupted(sweep), 3)  # up to three times, as a person does where dask takes its time to close
        else:
            sweep.kill()
        assert sweep.wait(60)
        assert len(set(started)) == 4
        assert wait_for(lambda: not any(alive(process) for process in started)), "processes of the sweep go on"
    finally:
        os.killpg(sweep.pid, signal.SIGKILL) if sweep.poll() is None else None


def test_the_table_at_the_end_names_run_notebook_cell_and_last_line():
    failed = Outcome("b", "failed", "02_second", "4", "KeyError: 'absent'", 12.4)
    outcomes = [Outcome("a", "up to date"), failed, Outcome("c", "ok", seconds=3)]
    lines = [line.split() for line in outcome_table(outcomes).splitlines()]
    assert lines == [
        ["run", "status", "notebook", "cell", "error", "seconds"],
        ["a", "up", "to", "date"],
        ["b", "failed", "02_second", "4", "KeyError:", "'absent'", "12"],
        ["c", "ok", "3"],
    ]
    assert outcome_table(outcomes[:1]).split() == ["run", "status", "a", "up", "to", "date"], "no empty columns"


def test_one_table_holds_the_scores_of_all_runs_beside_their_values(output, monkeypatch):
    sweep, tables = sweep_of("sample", ["alpha=0.25,0.5,1", "seed=1,2"]), made_up_tables()
    runs = list(zip(sweep.runs, sweep.values, strict=True))
    assert write_sweep(sweep.name, sweep.command, runs) is None, "no run has saved anything"
    for number, run in enumerate(sweep.runs[:3]):
        save_table(run, "scores", tables["scores"].assign(value=number / 10))
    save_table(sweep.runs[0], "bias", tables["bias"])
    with monkeypatch.context() as earlier:
        earlier.setattr(stamps, "_code_of", lambda stage: "an earlier version")
        save_table(sweep.runs[3], "scores", tables["scores"])
    path, table = write_sweep(sweep.name, sweep.command, runs)
    assert path == output / "data" / "runs" / sweep.name / "sweep.csv" and not (path.parent / "about.json").exists(), "no run's folder"
    read = pd.read_csv(path, dtype={"run_alpha": str, "run_seed": str})
    assert list(read.columns) == ["run", "run_alpha", "run_seed", "base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]
    scores = read[read["metric"] == "mAP"].groupby(["run", "run_alpha", "run_seed"], sort=False)["value"].agg(["min", "max"])
    assert list(scores.index) == [(run.name, values["alpha"], values["seed"]) for run, values in runs[:3]]
    assert scores["min"].tolist() == scores["max"].tolist() == [0.0, 0.1, 0.2]
    bias = read[read["metric"] == "rank distance"]
    assert set(bias["run"]) == {sweep.runs[0].name} and bias["setting"].isna().all()
    before = path.read_bytes()
    write_sweep(sweep.name, sweep.command, runs)
    assert path.read_bytes() == before
    head = sweep_head(table, rows=2)
    assert head.splitlines()[0].split()[:5] == ["run_alpha", "run_seed", "base", "strategy", "task"] and " more" in head.splitlines()[-1]
