"""The command line: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from made_up import made_up_tables

from hybridir_utils.__main__ import main
from hybridir_utils.base import files
from hybridir_utils.experiment.run import open_run, save_table, settings_of
from hybridir_utils.suite import running
from hybridir_utils.suite.child import Ended


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    return tmp_path / "out"


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "hybridir_utils", *arguments], capture_output=True, text=True, cwd=files.ROOT)


def test_as_a_module_it_prints_one_error_line_and_no_traceback():
    done = command("figures", "--profile", "sampel")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: unknown profile 'sampel' (did you mean 'sample'?)") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_whoever_stops_reading_gets_no_traceback(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "hybridir_utils", "profiles"], stdout=writer, stderr=subprocess.PIPE, cwd=files.ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_pipe_that_breaks_elsewhere_is_told(monkeypatch):
    def broken(_):
        raise BrokenPipeError("of a worker")

    monkeypatch.setattr("hybridir_utils.__main__._profiles", broken)
    with pytest.raises(BrokenPipeError, match="of a worker"):
        main(["profiles"])


def test_what_a_terminal_cannot_write_is_replaced(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    done = command("figures", "--profile", "α→β")
    assert done.returncode == 1 and done.stderr.startswith("error: unknown profile '???'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--profile", "nowhere.toml"], "nowhere.toml: no such profile file"),
        (["run", "--profile", f"{'a' * 300}.toml"], "no such profile file"),
        (["plan", "--profile", "a" * 300], "unknown profile"),
        (["run", "--set", "alpha"], "expected key=value"),
        (["run", "--set", "alhpa=0.3"], "did you mean 'alpha'?"),
        (["run", "--set", "alpha=2"], "alpha = 2"),
        (["run", "--set", "profile=xquad"], "unknown parameter"),
        (["run", "--set", "strategies=['hybird']"], "did you mean 'hybrid'?"),
        (["run", "--only", "O2_hybrid_batch_training"], "did you mean '02_hybrid_batch_training'?"),
        (["run", "--from", "11"], "unknown notebook '11'"),
        (["plan", "--profile", "sampel"], "did you mean 'sample'?"),
        (["whence", "figures/sample/02_losses.sgv"], "no such file (did you mean '02_losses.svg'?)"),
        (["figures", "--set", "alpha=0.3"], "no saved results. Run the notebooks first: python -m hybridir_utils run --profile sample"),
    ],
)
def test_wrong_values_end_with_an_error_and_status_one(arguments, said, capsys):
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and said in printed.err and "Traceback" not in printed.err and printed.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["run", "--alpha", "0.3"],
        ["figures", "--only", "02"],
        ["run", "--timeout", "0"],
        ["whence"],
        ["run", "--from", "02", "--only", "03"],
        ["run", "--cost", "--write-back"],
    ],
)
def test_wrong_calls_end_with_the_usage_and_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "usage: python -m hybridir_utils" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["figures", "--help"]])
def test_help_is_there(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out


def test_profiles_are_listed(capsys):
    assert main(["profiles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(path.stem for path in files.PROFILES.glob("*.toml"))
    assert "sample: trains on worldfacts; evaluates worldfacts-test, worldfacts-shifted" in lines


def test_figures_are_drawn_for_the_changed_run_and_their_paths_printed(output, capsys):
    run = open_run("sample", alpha=0.3)
    save_table(run, "coverage", made_up_tables()["coverage"])
    assert main(["figures", "--set", "alpha=0.3"]) == 0
    assert capsys.readouterr().out.split() == [str(output / "data" / "runs" / "sample+alpha=0.3" / "figures" / "01_coverage.png")]


@pytest.fixture
def one_notebook(tmp_path, monkeypatch) -> Path:
    """A suite of one notebook, taken for executed without a kernel."""
    monkeypatch.setattr(running, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    cells = [nbformat.v4.new_code_cell("alpha = 0.5  # share", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell("alpha")]
    path = tmp_path / "notebooks" / "01_only.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    def watch(command, environment, timeout) -> Ended:
        book, copy = nbformat.read(command[3], as_version=4), command[4]
        book.cells[1]["outputs"] = [nbformat.v4.new_output("stream", text=f"alpha is {json.loads(command[5])['alpha']}")]
        nbformat.write(book, copy)
        return Ended(0, 1.0, 1.0)

    monkeypatch.setattr(running, "watch", watch)
    return path


def test_a_run_ends_with_the_scores_and_where_everything_lies(one_notebook, output, capsys):
    tables = made_up_tables()
    for name in ("scores", "bias"):
        save_table(open_run("sample"), name, tables[name])
    before = one_notebook.read_bytes()
    assert main(["run"]) == 0
    printed = capsys.readouterr().out
    assert "01_only: running" in printed and "Mul. mAP" in printed and "rank distance" in printed
    assert str(output / "data" / "runs" / "sample" / "notebooks") in printed
    assert one_notebook.read_bytes() == before, "a run leaves the notebooks alone"
    assert main(["run"]) == 0 and "01_only: up to date" in capsys.readouterr().out
    assert main(["run", "--only", "01"]) == 0
    printed = capsys.readouterr().out
    assert "of 2 tables" in printed and "no such table" not in printed, "one notebook's run is not held against all of the reference"


def test_the_address_of_a_scheduler_reaches_every_notebook(one_notebook, monkeypatch):
    """As a value of the run, and in the environment of the notebook's process, from which `open_run` takes it."""
    ran, usual = [], running.execute
    monkeypatch.setattr(running, "execute", lambda step, *more: ran.append(step.run) or usual(step, *more))
    assert main(["run", "--scheduler", "tcp://10.0.0.1:8786"]) == 0
    assert ran[0].profile.scheduler == "tcp://10.0.0.1:8786" and ran[0].name == "sample", "it changes no result"
    for name, value in settings_of(ran[0]).items():
        monkeypatch.setenv(name, value)
    assert open_run("sample").profile.scheduler == "tcp://10.0.0.1:8786"


def test_an_interrupt_ends_with_status_130_and_says_how_to_go_on(one_notebook, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "execute", interrupted)
    assert main(["run"]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_the_same_command_works_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hybridir_utils", "profiles"], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.returncode == 0 and "sample:" in done.stdout


def test_outputs_of_another_profile_are_not_written_into_the_notebooks(capsys):
    assert main(["run", "--write-back", "--set", "alpha=0.3"]) == 1
    assert "a reference is of a profile as it stands, not of alpha" in capsys.readouterr().err
