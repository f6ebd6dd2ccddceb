"""The suite over two tiny notebooks: order, what is skipped, what runs again, failures, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest

from hybridir_utils.base import places
from hybridir_utils.base.errors import Busy, UnknownName
from hybridir_utils.base.fingerprints import code_fingerprint
from hybridir_utils.operate import suite
from hybridir_utils.operate.suite import NotebookFailed, Step, declared_values, parameter_names, run_suite, step_fingerprint
from hybridir_utils.operate.writeback import cleaned, write_back
from hybridir_utils.steps.session import open_run

CALLS = """
import os
from pathlib import Path
place = Path(os.environ["HYBRIDIR_OUTPUT"]) / "calls.txt"
with place.open("a") as file:
    print("{name}", alpha, os.getpid(), os.getppid(), file=file)
"""


def notebook(folder: Path, name: str, *cells: str, parameters: str = 'profile = "sample"  # a profile\nalpha = 0.5  # a share') -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in (CALLS.replace("{name}", name), *cells)]
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}"), tagged, *code])
    written.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(written, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def edit(path: Path, change) -> None:
    book = nbformat.read(path, as_version=4)
    change(book.cells)
    nbformat.write(book, path)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """(notebooks folder, run): two notebooks of one working cell each."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setattr(suite, "NOTEBOOKS", folder)
    for name in ("01_first", "02_second"):
        notebook(folder, name)
    return folder, open_run("sample")


@pytest.fixture
def without_kernels(monkeypatch):
    """Notebooks count as executed without a kernel: for the tests of what is chosen."""
    ran = []

    def execute(step: Step, digest: str) -> float:
        ran.append(step.notebook.stem[:2])
        step.executed.parent.mkdir(parents=True, exist_ok=True)
        step.executed.write_bytes(step.notebook.read_bytes())
        suite._write_record(step, "ok", digest, 0.0, [])
        return 0.0

    monkeypatch.setattr(suite, "execute", execute)
    return ran


def calls() -> list[list[str]]:
    return [line.split() for line in Path(os.environ["HYBRIDIR_OUTPUT"], "calls.txt").read_text().splitlines()]


def silent(_: str) -> None:
    """No line a step."""


def test_notebooks_run_in_order_in_processes_of_their_own_and_only_once(workplace):
    _, run = workplace
    said = []
    steps = run_suite(run, say=said.append)
    first, second = calls()
    assert (first[:2], second[:2]) == (["01_first", "0.5"], ["02_second", "0.5"])
    assert len({first[2], second[2], str(os.getpid())}) == 3, "each notebook has a kernel of its own"
    assert len({first[3], second[3], str(os.getpid())}) == 3, "and papermill a process of its own"
    assert [line.split(" in ")[0] for line in said] == ["01_first: running", "01_first: done", "02_second: running", "02_second: done"]
    for step in steps:
        record = json.loads(step.record.read_text(encoding="utf-8"))
        assert record["status"] == "ok" and record["notebook"] == step.notebook.name and record["parameters"]["alpha"] == 0.5
        assert nbformat.read(step.executed, as_version=4).cells[-1]["execution_count"]
    said.clear()
    run_suite(run, say=said.append)
    assert said == ["01_first: up to date", "02_second: up to date"] and len(calls()) == 2
    changed = open_run("sample", alpha=0.25)
    run_suite(changed, only="01", say=silent)
    assert calls()[-1][:2] == ["01_first", "0.25"]
    run_suite(run, say=said.append)
    assert said[2:] == ["01_first: up to date", "02_second: up to date"], "the variant has executed copies of its own"


def test_what_decides_that_a_notebook_runs_again(workplace, without_kernels):
    folder, run = workplace
    ran = without_kernels

    def again(**options) -> str:
        ran.clear()
        run_suite(open_run("sample", **options), say=silent)
        return " ".join(ran)

    assert again() == "01 02"
    assert again() == ""
    edit(folder / "01_first.ipynb", lambda cells: cells[0].update(source="# Another title"))
    assert again() == "", "prose"
    edit(folder / "01_first.ipynb", lambda cells: cells[-1].update(source=cells[-1]["source"] + "\n\n# a comment"))
    assert again() == "", "a comment"
    edit(folder / "02_second.ipynb", lambda cells: cells[-1].update(source=cells[-1]["source"] + "\nmore = 1"))
    assert again() == "02", "code of the last one"
    edit(folder / "01_first.ipynb", lambda cells: cells[-1].update(source=cells[-1]["source"] + "\nmore = 1"))
    assert again() == "01 02", "code of the first: what follows reads what it made"
    assert again(alpha=0.3) == "01 02", "another value"
    assert again(steps=7) == "01 02", "a value the notebooks do not declare"
    assert again() == "", "the first value's copies are still there"
    Step(folder / "01_first.ipynb", run).executed.unlink()
    assert again() == "01", "the executed copy is gone"
    Step(folder / "02_second.ipynb", run).record.write_text("{")
    assert again() == "02", "the record is damaged"


@pytest.mark.parametrize("line", ["from hybridir_utils import reading", "from hybridir_utils.show.reading import stack"])
def test_package_code_that_a_notebook_imports_counts(workplace, monkeypatch, line):
    folder, run = workplace
    step = Step(notebook(folder, "03_third", line), run)
    before = step_fingerprint(step, "")
    monkeypatch.setattr(suite, "code_fingerprint", lambda module: "edited" if module == "reading" else code_fingerprint(module))
    assert step_fingerprint(step, "") != before
    assert step_fingerprint(Step(folder / "01_first.ipynb", run), "") == step_fingerprint(Step(folder / "01_first.ipynb", run), "")


def test_from_and_only_run_again_what_they_name(workplace, without_kernels):
    folder, run = workplace
    notebook(folder, "03_third")
    run_suite(run, say=silent)
    for options, expected in (({"start_at": "02"}, "02 03"), ({"only": "02"}, "02"), ({"only": "03_third"}, "03")):
        without_kernels.clear()
        steps = run_suite(run, say=silent, **options)
        assert " ".join(without_kernels) == expected == " ".join(step.notebook.stem[:2] for step in steps)
    without_kernels.clear()
    run_suite(run, say=silent)
    assert without_kernels == []


@pytest.mark.parametrize("option", ["start_at", "only"])
def test_an_unknown_notebook_offers_the_nearest(workplace, option):
    with pytest.raises(UnknownName, match=r"unknown notebook '02_secnod' \(did you mean '02_second'\?\)"):
        run_suite(workplace[1], say=silent, **{option: "02_secnod"})


def test_declared_parameters_get_the_runs_values_and_unknown_ones_are_refused(workplace):
    folder, _ = workplace
    step = Step(folder / "01_first.ipynb", open_run("sample", alpha=0.25))
    assert parameter_names(step.notebook) == ["profile", "alpha"]
    assert declared_values(step) == {"profile": "sample", "alpha": 0.25}
    odd = Step(notebook(folder, "03_odd", parameters="aplha = 0.5"), step.run)
    with pytest.raises(UnknownName, match=r"03_odd\.ipynb.*'aplha' \(did you mean 'alpha'\?\)"):
        declared_values(odd)


def test_a_failing_cell_is_named_and_earlier_copies_stay(workplace):
    folder, run = workplace
    notebook(folder, "02_second", "good = 1", "%%time\n{}['absent']", "never = 1")
    with pytest.raises(NotebookFailed) as caught:
        run_suite(run, say=silent)
    step = Step(folder / "02_second.ipynb", run)
    message = str(caught.value)
    assert "02_second.ipynb, code cell 4: KeyError: 'absent'" in message and str(step.failed) in message and step.failed.exists()
    assert json.loads(step.record.read_text())["status"] == "failed"
    assert json.loads(Step(folder / "01_first.ipynb", run).record.read_text())["status"] == "ok"
    notebook(folder, "02_second", "repaired = 1")
    said = []
    run_suite(run, say=said.append)
    assert said[0] == "01_first: up to date" and said[1] == "02_second: running"


def test_the_cell_number_counts_the_notebooks_own_cells(workplace):
    """Papermill puts a cell of injected parameters into the executed copy; the reader counts the notebook's."""
    folder, run = workplace
    step = Step(folder / "01_first.ipynb", run)
    book = nbformat.read(step.notebook, as_version=4)
    injected = nbformat.v4.new_code_cell("alpha = 0.5", metadata={"tags": ["injected-parameters"]})
    book.cells.insert(2, injected)
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    book.cells[-1]["outputs"] = [nbformat.from_dict(error)]
    step.failed.parent.mkdir(parents=True)
    nbformat.write(book, step.failed)
    assert "01_first.ipynb, code cell 2: ValueError: no" in suite._failure(step, 1)


SUITE = """
import sys
from pathlib import Path
from hybridir_utils.operate import suite
from hybridir_utils.steps.session import open_run
suite.NOTEBOOKS = Path(sys.argv[1])
suite.run_suite(open_run("sample"))
"""
WAIT = """
import time
if not (place.parent / "go").exists():
    (place.parent / "waiting").write_text("")
    time.sleep(600)
"""


def test_a_killed_suite_goes_on_where_it_was(workplace):
    psutil = pytest.importorskip("psutil")
    folder, run = workplace
    notebook(folder, "02_second", WAIT)
    out = Path(os.environ["HYBRIDIR_OUTPUT"])
    killed = subprocess.Popen([sys.executable, "-c", SUITE, folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: (out / "waiting").exists())
        with pytest.raises(Busy, match=rf"executed/sample: being written by process {killed.pid} on"):
            run_suite(run, say=silent)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    kernel, papermill = (int(process) for process in calls()[-1][2:])
    assert wait_for(lambda: not any(alive(psutil, process) for process in (kernel, papermill))), "the killed suite's notebook runs on"
    assert not Step(folder / "02_second.ipynb", run).record.exists()
    (out / "go").write_text("")
    said = []
    run_suite(run, say=said.append)
    assert said[0] == "01_first: up to date" and said[1] == "02_second: running"
    assert [call[0] for call in calls()] == ["01_first", "02_second", "02_second"]


def alive(psutil, process: int) -> bool:
    try:
        return psutil.Process(process).status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, tries: int = 1200) -> bool:
    """Whether the condition came true within a minute."""
    for _ in range(tries):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_an_output_folder_that_cannot_be_written_is_named(workplace, monkeypatch):
    from hybridir_utils.base.errors import InputError

    out = Path(os.environ["HYBRIDIR_OUTPUT"])
    out.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot be written.*HYBRIDIR_OUTPUT"):
        run_suite(workplace[1], say=silent)


def executed_copy() -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook()
    book.metadata = {"papermill": {"start_time": "now"}, "kernelspec": {"name": "other"}, "widgets": {"state": {}}}
    code = nbformat.v4.new_code_cell
    book.cells = [
        nbformat.v4.new_markdown_cell("# Title", metadata={"papermill": {}}),
        code("alpha = 0.5", metadata={"tags": ["parameters"], "papermill": {"duration": 1}}, execution_count=5),
        code("alpha = 0.5", metadata={"tags": ["injected-parameters"]}, execution_count=6),
        code(
            "print(1); 2",
            execution_count=9,
            outputs=[
                nbformat.v4.new_output("stream", name="stderr", text="100%|####|"),
                nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}),
                nbformat.v4.new_output("stream", name="stdout", text="1\n"),
                nbformat.v4.new_output("execute_result", data={"text/plain": "2"}, execution_count=9),
            ],
        ),
    ]
    return book


def test_written_back_notebooks_have_outputs_but_nothing_that_changes_from_run_to_run():
    book = cleaned(executed_copy())
    nbformat.validate(book)
    assert [cell["source"] for cell in book.cells] == ["# Title", "alpha = 0.5", "print(1); 2"]
    assert [cell.get("execution_count") for cell in book.cells] == [None, 1, 2]
    assert [dict(cell["metadata"]) for cell in book.cells] == [{}, {"tags": ["parameters"]}, {}]
    assert [output["output_type"] for output in book.cells[2]["outputs"]] == ["stream", "execute_result"]
    assert book.cells[2]["outputs"][1]["execution_count"] == 2
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert nbformat.writes(book) == nbformat.writes(cleaned(executed_copy())) == nbformat.writes(cleaned(book))


def test_write_back_replaces_the_notebook(workplace):
    folder, run = workplace
    step = Step(folder / "01_first.ipynb", run)
    step.executed.parent.mkdir(parents=True)
    nbformat.write(executed_copy(), step.executed)
    write_back([step])
    assert nbformat.read(step.notebook, as_version=4).cells[2]["outputs"][0]["text"] == "1\n"
    assert sorted(path.name for path in folder.iterdir()) == ["01_first.ipynb", "02_second.ipynb"]


def test_the_suites_own_notebooks_are_found_in_order():
    assert suite.notebooks() == sorted(places.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    assert [path.stem[:2] for path in suite.notebooks()][:4] == ["01", "02", "03", "04"]


def test_a_deleted_figure_or_table_makes_its_notebook_run_again(workplace):
    run = open_run("sample")
    run_suite(run)
    step = suite.Step(suite.notebooks()[0], run)
    record = json.loads(step.record.read_text(encoding="utf-8"))
    digest = record["fingerprint"]
    gone = run.figures / "01_gone.png"
    gone.parent.mkdir(parents=True, exist_ok=True)
    gone.write_bytes(b"")
    step.record.write_text(json.dumps({**record, "outputs": [str(gone.relative_to(places.output_root()))]}), encoding="utf-8")
    assert suite.is_up_to_date(step, digest)
    gone.unlink()
    assert not suite.is_up_to_date(step, digest)
