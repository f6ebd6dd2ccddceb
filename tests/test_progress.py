"""What a person sees of a run: the running cell's file, the bars of a terminal, the lines of a log."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import nbformat
import pytest
from made_up_suite import notebook
from waiting import wait_for

from hybridir_utils.suite import progress
from hybridir_utils.suite.cells import Cell, _first_line, cell_file, forget_cells, own_code_cells, running_cells
from hybridir_utils.suite.progress import Watch, run_shown, shown
from hybridir_utils.suite.records import FAILED, KILLED, OK, RUNNING, begun, data_parts, parts_of, read_record, write_record
from hybridir_utils.suite.running import Step

LOOKS = """
# what the suite tells of this cell while it runs
told = [path.read_text() for path in (place.parent / "data").rglob(".*.cell.json")]
(place.parent / "told.txt").write_text("\\n".join(told), encoding="utf-8")
"""


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(progress, "_in_terminal", lambda: True)


def test_a_running_cell_is_told_beside_the_executed_copy_and_the_bars_show_it(workplace, terminal, tmp_path, capsys):
    """One real execution: papermill's injected cell and the Markdown are not counted."""
    folder, run = workplace
    (folder / "02_second.ipynb").unlink()
    notebook(folder, "01_first", LOOKS, "'ü'\nimport time; time.sleep(1.5)")
    (step,) = run_shown(run)
    told = json.loads((tmp_path / "out" / "told.txt").read_text(encoding="utf-8"))
    line = 'told = [path.read_text() for path in (place.parent / "data").rglob(".*.cell.json")]'
    assert told == {"notebook": "01_first", "number": 3, "of": 4, "code": line[:80]}
    assert not list(step.executed.parent.glob(".*.cell.json")), "nothing is left when the notebook has ended"
    printed = capsys.readouterr()
    assert "01_first: running (never run)" in printed.out and "01_first: done in" in printed.out
    assert "notebooks 0/1" in printed.err and "notebooks 1/1" in printed.err and "cell 4/4" in printed.err and "'ü'" in printed.err
    assert "Executing" not in printed.err, "papermill draws no bar of its own"
    run_shown(run)
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


def begin(step: Step) -> None:
    step.record.parent.mkdir(parents=True, exist_ok=True)
    parts = parts_of(step.notebook, step.run.profile, data_parts(step.run.profile))
    write_record(step.record, begun(step.notebook.name, "f", parts))


def end(step: Step, status: str, seconds: float) -> None:
    write_record(step.record, replace(read_record(step.record), status=status, seconds=seconds))


def test_events_are_those_since_the_watch_began(workplace):
    _, run = workplace
    first, second = (Step(path, run) for path in sorted(workplace[0].iterdir()))
    begin(first)
    end(first, FAILED, 1.0)
    watch = Watch(run, label="sample")
    see = lambda: [(step.notebook.stem, status, seconds) for step, status, seconds in watch.events()]  # noqa: E731
    assert see() == [] and watch.due == [first, second] and not watch.ended
    write_record(first.record, replace(read_record(first.record), started="2026-01-01T00:00:00+00:00", status=RUNNING))
    assert see() == [("01_first", RUNNING, 0.0)] and see() == []
    end(first, OK, 5.0)
    begin(second)
    assert see() == [("01_first", OK, 5.0), ("02_second", RUNNING, 0.0)] and watch.ended == {first}
    end(second, FAILED, 2.0)
    write_record(second.record, replace(read_record(second.record), started="2026-01-02T00:00:00+00:00", status=KILLED))
    assert see() == [("02_second", RUNNING, 0.0), ("02_second", KILLED, 2.0)], "one that began and ended between two looks"


@pytest.mark.parametrize("tell", [True, False])
def test_a_log_gets_a_line_at_each_start_and_end_and_no_bars(workplace, monkeypatch, capsys, tell):
    monkeypatch.setattr(progress, "TICK", 0.01)
    _, run = workplace
    first, second = (Step(path, run) for path in sorted(workplace[0].iterdir()))
    with shown([Watch(run, label="sample+alpha=0.3")], tell=tell) as say:
        say("two notebooks")
        begin(first)
        cell_file(first.executed.with_name(".part.ipynb")).write_text(json.dumps(Cell("01_first", 1, 2, "x = 1").__dict__))
        end(first, OK, 61.2)
        begin(second)
        end(second, FAILED, 3.0)
    lines = [f"01_first: {RUNNING}", "01_first: done in 61 s", f"02_second: {RUNNING}", "02_second: failed after 3 s"]
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["two notebooks", *(f"sample+alpha=0.3 {line}" for line in lines if tell)] and printed.err == ""


def test_bars_follow_cells_of_several_runs(workplace, terminal, monkeypatch, capsys):
    monkeypatch.setattr(progress, "TICK", 0.01)
    _, run = workplace
    steps = [Step(path, run) for path in sorted(workplace[0].iterdir())]
    drawn, draw = threading.Event(), progress.Bars.draw

    def drawing(self, ended, cells):
        draw(self, ended, cells)
        if len(self.running) == 2:
            drawn.set()

    monkeypatch.setattr(progress.Bars, "draw", drawing)
    with shown([Watch(run, label="a"), Watch(run, label="b")], tell=False):
        steps[0].executed.parent.mkdir(parents=True)
        cell_file(steps[0].executed.with_name(".part.ipynb")).write_text(json.dumps(Cell("01_first", 2, 7, "x = 1").__dict__))
        assert wait_for(drawn.is_set)
    printed = capsys.readouterr().err
    assert all(part in printed for part in ("notebooks 0/4", "a 01_first", "b 01_first", "cell 2/7", "x = 1"))
