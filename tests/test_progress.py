"""What a person sees of a run: the running cell, the bar of a terminal, the lines of a log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import nbformat
import pytest
from made_up_suite import notebook
from waiting import wait_for

from hybridir_utils.base import files
from hybridir_utils.experiment.run import open_run
from hybridir_utils.suite import cells
from hybridir_utils.suite.cells import _first_line, forget_cells, own_code_cells, part_of, running_cells, shown
from hybridir_utils.suite.running import run_suite

LOOKS = """
# what the suite says of this cell while it runs
from hybridir_utils.suite.cells import running_cells
(place.parent / "found.txt").write_text("\\n".join(running_cells(place.parent / "data" / "runs" / "sample" / "notebooks")))
"""


def in_terminal(monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_a_running_cell_is_named_beside_the_executed_copy_and_the_bar_shows_it(workplace, monkeypatch, tmp_path, capsys):
    """One real execution: papermill's injected cell and the Markdown are not counted."""
    in_terminal(monkeypatch)
    folder, run = workplace
    (folder / "02_second.ipynb").unlink()
    notebook(folder, "01_first", LOOKS, "'ü'\nimport time; time.sleep(1.5)")
    (step,) = run_suite(run)
    found = (tmp_path / "out" / "found.txt").read_text(encoding="utf-8")
    assert found == "01_first cell 3/4: from hybridir_utils.suite.cells import running_cells"
    assert not part_of(step.executed).exists(), "nothing is left when the notebook has ended"
    printed = capsys.readouterr()
    assert "01_first: running (never run)" in printed.out and "01_first: done in" in printed.out
    assert "notebooks 0/1" in printed.err and "notebooks 1/1" in printed.err and "01_first cell 4/4: 'ü'" in printed.err
    assert "Executing" not in printed.err, "papermill draws no bar of its own"
    run_suite(run)
    assert "notebooks 1/1" in capsys.readouterr().err, "what is up to date counts"


def test_the_first_line_with_code_is_shown_as_text():
    assert _first_line("# why\n\n  run = start('\x1b[2J')\nmore") == "run = start('[2J')"
    assert _first_line("# only words") == "# only words" and _first_line(" \n") == "" and len(_first_line("x" * 999)) == 80


def test_injected_and_written_cells_are_not_counted():
    code, injected = nbformat.v4.new_code_cell, {"tags": ["injected-parameters"]}
    own = own_code_cells([nbformat.v4.new_markdown_cell("a"), code("b"), code("c", metadata=injected), code("d")])
    assert [cell["source"] for cell in own] == ["b", "d"]


def test_copies_that_cannot_be_read_are_left_out_and_old_ones_removed(tmp_path):
    for name, text in (("01_first", copy()), ("cut", "{"), ("other", '{"a": 1}'), ("begun", copy().replace("papermill", "x"))):
        part_of(tmp_path / f"{name}.ipynb").write_text(text)
    assert running_cells(tmp_path) == ["01_first cell 2/7: x = 1"]
    forget_cells(tmp_path)
    assert running_cells(tmp_path) == [] and not list(tmp_path.iterdir())


def test_a_log_gets_lines_and_no_bar(workplace, monkeypatch, capsys):
    monkeypatch.setattr(cells, "TICK", 0.01)
    begin(workplace[1])
    with shown(2, [workplace[1]], look=lambda say: seen.append(say)) as say:
        seen = []
        say("01_first: done in 3 s")
        assert wait_for(lambda: len(seen) > 2)
    printed = capsys.readouterr()
    assert printed.out == "01_first: done in 3 s\n" and printed.err == ""


def test_a_log_names_the_running_cell_now_and_then(workplace, monkeypatch, capsys):
    monkeypatch.setattr(cells, "TICK", 0.01)
    monkeypatch.setattr(cells, "LOGGED", 0.05)
    begin(workplace[1])
    ticks = []
    with shown(2, [workplace[1]], look=ticks.append):
        assert wait_for(lambda: len(ticks) > 30)
    lines = capsys.readouterr().out.splitlines()
    assert 0 < len(lines) < len(ticks) / 2 and all(re.fullmatch(r"    \d\d:\d\d 01_first cell 2/7: x = 1", line) for line in lines)


DRAWN = """
from hybridir_utils.base.progress import new_bar
with new_bar(total=2, desc="training", unit="step") as bar, new_bar(total=2, desc="notebooks", dynamic_ncols=True, disable=None) as other:
    bar.update(2), other.update(1)
"""


@pytest.mark.parametrize("size", [(0, 0), (24, 80)])
def test_a_terminal_that_tells_no_size_shows_bars(size):
    """As the pseudo-terminal of `script`."""
    shown_at, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    subprocess.run([sys.executable, "-c", DRAWN], stderr=terminal, cwd=files.ROOT, check=True)
    seen = os.read(shown_at, 10_000).decode()
    os.close(terminal), os.close(shown_at)
    assert "training 0/2 steps |" in seen and "notebooks 0/2" in seen


def test_the_bar_follows_cells_of_several_runs_and_counts_what_has_ended(workplace, monkeypatch, capsys):
    in_terminal(monkeypatch)
    monkeypatch.setattr(cells, "TICK", 0.01)
    runs = [workplace[1], open_run("sample", alpha=0.3)]
    for run in runs:
        begin(run)
    ticks = []
    with shown(4, runs, look=ticks.append) as say:
        assert wait_for(lambda: len(ticks) > 3)
        for line in ("sample 01_first: up to date", "sample 02_second: running (never run)", "sample 02_second: done in 4 s"):
            say(line)
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 3 and "notebooks 0/4" in printed.err and "notebooks 2/4" in printed.err
    assert "sample 01_first cell 2/7: x = 1 · sample+alpha=0.3 01_first cell 2/7: x = 1" in printed.err


def begin(run) -> None:
    run.notebooks.mkdir(parents=True)
    part_of(run.notebooks / "01_first.ipynb").write_text(copy())


def copy() -> str:
    """A notebook of seven cells as papermill saves it while the second runs."""
    states = ["completed", "running", *["pending"] * 5]
    cells = [nbformat.v4.new_code_cell("x = 1", metadata={"papermill": {"status": state}}) for state in states]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))
