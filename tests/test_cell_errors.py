"""What a cell shows when it stops: one good line, the traceback on request; headless, the same line and a failure."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from made_up_suite import notebook
from nbclient import NotebookClient

START = "from hybridir_utils.suite import notebook\nrun = notebook.start(profile, alpha=alpha)"
WRONG = "from hybridir_utils.base.errors import InputError\ndef read():\n    raise InputError('x.jsonl, line 3: no id')\nread()"
AGAIN = "notebook.start(profile, alpha=1.5)"
STOPPED = "from hybridir_utils.base.errors import Interrupted\nraise Interrupted('training stopped; 4 of 6 are done and kept')"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The error output of each cell after the start, by its source."""
    folder = tmp_path_factory.mktemp("errors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder / "out"))
        place = notebook(folder, "01_first", START, WRONG, "%tb", STOPPED, "raise KeyboardInterrupt", "1 / 0", AGAIN, "run.name")
        book = nbformat.read(place, as_version=4)
        del book.cells[2]  # which notes the call of a suite
        NotebookClient(book, allow_errors=True, timeout=120).execute()
    return {cell.source: output for cell in book.cells[3:] for output in cell.outputs if output.output_type == "error"}


def test_an_error_of_the_package_is_one_line_and_how_to_see_more(shown):
    assert (shown[WRONG].ename, shown[WRONG].evalue) == ("InputError", "x.jsonl, line 3: no id")
    assert "\n".join(shown[WRONG].traceback).splitlines() == [
        "InputError: x.jsonl, line 3: no id",
        "(`%tb` in a cell shows where.)",
    ]


def test_the_traceback_comes_on_request(shown):
    lines = "\n".join(shown["%tb"].traceback)
    assert "read()" in lines and "x.jsonl, line 3" in lines and lines.count("\n") > 5


def test_an_interrupt_says_what_is_kept_and_what_to_do(shown):
    again = "Run the cell again: it goes on from there."
    assert shown[STOPPED].traceback[0].startswith(f"Interrupted: training stopped; 4 of 6 are done and kept. {again}")
    plain = shown["raise KeyboardInterrupt"].traceback[0]
    assert plain.startswith(f"KeyboardInterrupt: stopped; what was finished is kept. {again}")


def test_other_errors_keep_their_traceback(shown):
    assert "\n".join(shown["1 / 0"].traceback).count("\n") > 3


def test_no_cell_goes_on_with_the_run_of_before_where_the_start_fails(shown):
    assert "alpha = 1.5" in shown[AGAIN].evalue and shown["run.name"].ename == "NameError"


def test_papermill_fails_with_the_same_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    place = notebook(tmp_path, "01_first", START)
    command = [sys.executable, "-m", "papermill", str(place), str(tmp_path / "o.ipynb"), "-p", "alpha", "1.5"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line][-2:]
    assert said[0].endswith("sample.toml: alpha = 1.5: expected at most 1") and "%tb" in said[1]
    assert "preparation" not in ended.stderr and "profile.py" not in ended.stderr
