"""What a person sees of a run: the running cell's file, the bar of a terminal, the lines of a log."""

from __future__ import annotations

import json

import nbformat
import pytest
from made_up_suite import notebook
from waiting import wait_for

from hybridir_utils.experiment.run import open_run
from hybridir_utils.suite import cells
from hybridir_utils.suite.cells import Cell, _first_line, cell_file, forget_cells, own_code_cells, running_cells, shown
from hybridir_utils.suite.running import run_suite

LOOKS = """
# what the suite says of this cell while it runs
found = [path.read_text() for path in (place.parent / "data").rglob(".*.cell.json")]
(place.parent / "found.txt").write_text("\\n".join(found), encoding="utf-8")
"""


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(cells, "_in_terminal", lambda: True)


def test_a_running_cell_is_named_beside_the_executed_copy_and_the_bar_shows_it(workplace, terminal, tmp_path, capsys):
    """One real execution: papermill's injected cell and the Markdown are not counted."""
    folder, run = workplace
    (folder / "02_second.ipynb").unlink()
    notebook(folder, "01_first", LOOKS, "'ü'\nimport time; time.sleep(1.5)")
    (step,) = run_suite(run)
    found = json.loads((tmp_path / "out" / "found.txt").read_text(encoding="utf-8"))
    line = 'found = [path.read_text() for path in (place.parent / "data").rglob(".*.cell.json")]'
    assert found == {"notebook": "01_first", "number": 3, "of": 4, "code": line[:80]}
    assert not list(step.executed.parent.glob(".*.cell.json")), "nothing is left when the notebook has ended"
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
    assert own_code_cells([nbformat.v4.new_markdown_cell("a"), code("b"), code("c", metadata=injected), code("d")]) == [1, 3]


def test_files_that_are_no_cells_are_left_out_and_old_ones_removed(tmp_path):
    good = Cell("01_first", 2, 3, "x = 1")
    for name, text in (("good", json.dumps(good.__dict__)), ("cut", "{"), ("other", '{"a": 1}')):
        cell_file(tmp_path / f".{name}.ipynb").write_text(text)
    assert running_cells(tmp_path) == [good]
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


def test_the_bar_follows_cells_of_several_runs_and_counts_what_has_ended(workplace, terminal, monkeypatch, capsys):
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
    cell_file(run.notebooks / ".part.ipynb").write_text(json.dumps(Cell("01_first", 2, 7, "x = 1").__dict__))
