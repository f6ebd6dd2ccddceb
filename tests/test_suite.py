"""The suite over two tiny notebooks: order, what is skipped, what runs again, failures, kills."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from made_up import made_up_tables
from made_up_suite import add_code, edit, notebook
from waiting import alive, wait_for

from hybridir_utils.base import files
from hybridir_utils.base.errors import Busy, UnknownName, did_you_mean
from hybridir_utils.base.files import file_fingerprint
from hybridir_utils.experiment.run import open_run, run_folder, save_table
from hybridir_utils.provenance.artefacts import Artefact, recipe_of
from hybridir_utils.provenance.fingerprints import ALL, module_fingerprints
from hybridir_utils.results.figures import draw, read_result
from hybridir_utils.suite import running
from hybridir_utils.suite.child import Ended
from hybridir_utils.suite.records import FAILED, KILLED, OK, TIMEOUT, parameter_names, parts_of, read_record
from hybridir_utils.suite.running import NotebookFailed, Step, declared_values, run_suite


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
    assert [line.split(" in ")[0] for line in said] == [
        "01_first: running (never run)", "01_first: done", "02_second: running (never run)", "02_second: done",
    ]  # fmt: skip
    for step in steps:
        record = read_record(step.record)
        assert (
            record.status == OK and record.notebook == step.notebook.name and record.parts["profile"]["alpha"] == 0.5 and record.error == ""
        )
        assert record.outputs == {step.executed.relative_to(files.output_root()).as_posix(): file_fingerprint(step.executed)}
        assert record.seconds > 0 and record.peak_memory_mb > 30 and record.process == os.getpid() and record.parts["cells"]
        left = sorted(path.name for path in step.executed.parent.glob(f"*{step.notebook.stem}*"))
        assert left == [step.executed.name, step.record.name], "nothing else stays"
        assert nbformat.read(step.executed, as_version=4).cells[-1]["execution_count"]
    said.clear()
    run_suite(run, say=said.append)
    assert said == ["01_first: up to date", "02_second: up to date"] and len(calls()) == 2
    changed = open_run("sample", alpha=0.25)
    run_suite(changed, only="01", say=silent)
    assert calls()[-1][:2] == ["01_first", "0.25"]
    run_suite(run, say=said.append)
    assert said[2:] == ["01_first: up to date", "02_second: up to date"], "the variant has executed copies of its own"


SLOW_TO_ANSWER = """
import time
handlers = get_ipython().kernel.shell_handlers
answer = handlers["kernel_info_request"]

async def answer_and_rest(*message):
    await answer(*message)
    time.sleep(2)

handlers["kernel_info_request"] = answer_and_rest
"""


def test_a_kernel_that_is_slow_to_leave_its_last_message_ends_without_a_word(workplace, capfd):
    """papermill has its answer, and ends the kernel, before that is through with it: so it is wherever a machine is busy."""
    folder, run = workplace
    notebook(folder, "01_first", SLOW_TO_ANSWER)
    run_suite(run, only="01", say=silent)
    assert capfd.readouterr().err == ""


def test_what_decides_that_a_notebook_runs_again(workplace, executions):
    folder, run = workplace
    ran = executions

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
    add_code(folder / "01_first.ipynb")
    assert again() == "01", "the second reads nothing of the first"
    assert again(alpha=0.3) == "01 02", "another value"
    assert again(steps=7) == "01 02", "a value the notebooks do not declare"
    assert again() == "", "the first value's copies are still there"
    Step(folder / "01_first.ipynb", run).executed.unlink()
    assert again() == "01", "the executed copy is gone"
    Step(folder / "02_second.ipynb", run).record.write_text("{")
    assert again() == "02", "the record is damaged"


@pytest.mark.parametrize(
    "line", ["from hybridir_utils.results import tables\ntables.stack", "from hybridir_utils.results.tables import stack\nstack"]
)
def test_package_code_that_a_notebook_uses_counts(workplace, line):
    folder, run = workplace
    code = parts_of(notebook(folder, "03_third", line), run.profile, {})["code"]
    assert code == module_fingerprints(("results.tables", "stack")) and "hybridir_utils/results/tables.py" in code
    assert code != module_fingerprints(("results.tables", ALL)), "what it does not use counts for nothing"
    assert parts_of(folder / "01_first.ipynb", run.profile, {})["code"] == {}


def test_a_notebook_that_reads_what_another_wrote_follows_where_it_wrote_something_else(workplace, executions):
    folder, run = workplace
    table = pd.DataFrame({"value": [1.0]})
    executions.work["01_first"] = lambda: save_table(run, "scores", table)
    executions.work["02_second"] = lambda: read_result(run, "scores")
    run_suite(run, say=silent)
    add_code(folder / "01_first.ipynb")
    executions.clear()
    run_suite(run, say=silent)
    assert executions == ["01"], "it wrote the same again"
    executions.work["01_first"] = lambda: save_table(run, "scores", table + 1)
    add_code(folder / "01_first.ipynb", "other = 2")
    executions.clear()
    run_suite(run, say=silent)
    assert executions == ["01", "02"]


def test_from_and_only_run_again_what_they_name(workplace, executions):
    folder, run = workplace
    notebook(folder, "03_third")
    run_suite(run, say=silent)
    for options, expected in (({"start_at": "02"}, "02 03"), ({"only": "02"}, "02"), ({"only": "3"}, "03"), ({"only": "03_third"}, "03")):
        executions.clear()
        steps = run_suite(run, say=silent, **options)
        assert " ".join(executions) == expected == " ".join(step.notebook.stem[:2] for step in steps)
    executions.clear()
    run_suite(run, say=silent)
    assert executions == []


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
    record = read_record(step.record)
    assert record.status == FAILED and record.error == "02_second.ipynb, code cell 4: KeyError: 'absent'"
    assert read_record(Step(folder / "01_first.ipynb", run).record).status == OK
    notebook(folder, "02_second", "repaired = 1")
    said = []
    run_suite(run, say=said.append)
    assert said[:2] == [
        "01_first: up to date",
        "02_second: running (last time failed; code cell 3 changed)",
    ]


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
    assert running._failure(step, FAILED, Ended(1, 1.0, 1.0)) == "01_first.ipynb, code cell 2: ValueError: no"


SUITE = """
import sys
from pathlib import Path
from hybridir_utils.suite import running
from hybridir_utils.experiment.run import open_run
running.NOTEBOOKS = Path(sys.argv[1])
running.run_suite(open_run("sample"))
"""
WAIT = """
import time
if not (place.parent / "go").exists():
    (place.parent / "waiting").write_text("")
    time.sleep(600)
"""


def test_a_killed_suite_goes_on_where_it_was(workplace):
    folder, run = workplace
    notebook(folder, "02_second", WAIT)
    out = Path(os.environ["HYBRIDIR_OUTPUT"])
    killed = subprocess.Popen([sys.executable, "-c", SUITE, folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: (out / "waiting").exists())
        with pytest.raises(Busy, match=rf"runs/sample/notebooks: being written by process {killed.pid} on"):
            run_suite(run, say=silent)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    kernel, papermill = (int(process) for process in calls()[-1][2:])
    assert wait_for(lambda: not any(alive(process) for process in (kernel, papermill))), "the killed suite's notebook runs on"
    record = read_record(Step(folder / "02_second.ipynb", run).record)
    assert record.status == KILLED and record.process == killed.pid, "never completed"
    (out / "go").write_text("")
    said = []
    run_suite(run, say=said.append)
    assert said[:2] == ["01_first: up to date", "02_second: running (last time killed)"]
    assert [call[0] for call in calls()] == ["01_first", "02_second", "02_second"]


def test_an_output_folder_that_cannot_be_written_is_named(workplace, monkeypatch):
    from hybridir_utils.base.errors import InputError

    out = Path(os.environ["HYBRIDIR_OUTPUT"])
    out.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot be written.*HYBRIDIR_OUTPUT"):
        run_suite(workplace[1], say=silent)


def test_the_suites_own_notebooks_are_found_in_order():
    assert running.notebooks() == sorted(files.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    assert [path.stem[:2] for path in running.notebooks()][:4] == ["01", "02", "03", "04"]


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [spoil_truncate, Path.unlink], ids=["truncated", "deleted"])
@pytest.mark.parametrize("name", ["figures/01_coverage.svg", "results/coverage.csv", "01_first.ipynb"])
def test_a_figure_table_or_copy_that_is_not_as_written_is_made_again(workplace, executions, name, spoil):
    folder, run = workplace
    executions.work["01_first"] = lambda: (save_table(run, "coverage", made_up_tables()["coverage"]), draw(run, "01_coverage"))
    run_suite(run, say=silent)
    step = Step(folder / "01_first.ipynb", run)
    place = run_folder("sample") / name if "/" in name else step.executed
    whole, outputs = place.read_bytes(), read_record(step.record).outputs
    assert {Path(path).name for path in outputs} == {"01_coverage.png", "01_coverage.svg", "coverage.csv", "01_first.ipynb"}
    executions.clear()
    spoil(place)
    run_suite(run, say=silent)
    assert executions == ["01"] and place.read_bytes() == whole and read_record(step.record).outputs == outputs


def test_artefacts_are_told_by_their_records_and_stay_the_makers(workplace, executions):
    folder, run = workplace
    make = partial(
        Artefact(run.artefacts / "encoders", "x", {"a": 1}, did_you_mean).make, lambda out: (out / "model").write_text("weights")
    )
    executions.work = {"01_first": make, "02_second": make}
    run_suite(run, say=silent)
    first, second = (read_record(Step(folder / name, run).record) for name in ("01_first.ipynb", "02_second.ipynb"))
    (made,) = [path for path in first.outputs if path.endswith("artefact.json")]
    assert second.inputs == {made: file_fingerprint(files.output_root() / made)} == {made: first.outputs[made]} and first.inputs == {}
    origin = recipe_of((files.output_root() / made).parent)["origin"]
    assert origin == {"notebook": "01_first", "run": "sample", "profile": "sample", "changed": {}}
    run_suite(run, start_at="01", say=silent)
    assert made in read_record(Step(folder / "01_first.ipynb", run).record).outputs, "found again, still its own"
    executions.clear()
    (files.output_root() / made).unlink()
    run_suite(run, say=silent)
    assert executions == ["01"]


def test_what_workers_write_is_recorded_whatever_the_clock_says(workplace):
    """A notebook whose worker saves a table dated years ago."""
    folder, run = workplace
    notebook(folder, "02_second", WORKER)
    run_suite(run, only="02", say=silent)
    record = read_record(Step(folder / "02_second.ipynb", run).record)
    assert "data/runs/sample/results/of_worker.csv" in record.outputs


WORKER = """
import pandas as pd
from hybridir_utils.base.parallel import run_jobs
from hybridir_utils.experiment.run import open_run, run_folder, save_table

run = open_run(profile)
run_jobs(save_table, [(run, "of_worker", pd.DataFrame({"a": [1]}))], 1, "saving")
os.utime(run.results / "of_worker.csv", (0, 0))
"""
SLOW = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
(place.parent / "child").write_text(str(child.pid))
block = bytearray(300_000_000)
time.sleep(600)
"""


def test_a_notebook_that_takes_too_long_ends_with_all_it_started(workplace):
    folder, run = workplace
    notebook(folder, "02_second", SLOW)
    with pytest.raises(NotebookFailed, match=r"02_second\.ipynb, code cell 3: stopped after \d+ s \(--timeout\)"):
        run_suite(run, only="02", say=silent, timeout=12)
    record = read_record(Step(folder / "02_second.ipynb", run).record)
    assert record.status == TIMEOUT and record.error.startswith("02_second.ipynb, code cell 3: stopped after")
    assert record.peak_memory_mb > 300, "the kernel's memory counts"
    kernel, papermill = (int(process) for process in calls()[-1][2:])
    child = int((Path(os.environ["HYBRIDIR_OUTPUT"]) / "child").read_text())
    assert not any(alive(process) for process in (kernel, papermill, child))


def test_a_kernel_that_is_killed_is_no_failure_of_a_cell(workplace):
    folder, run = workplace
    notebook(folder, "02_second", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookFailed, match=r"02_second\.ipynb, code cell 3: its kernel was killed, most likely for want of memory"):
        run_suite(run, only="02", say=silent)
    assert read_record(Step(folder / "02_second.ipynb", run).record).status == KILLED


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        (Ended(-9, 3.0, 1.0), KILLED, "01_first.ipynb: killed by signal 9"),
        (Ended(1, 3.0, 1.0), FAILED, "01_first.ipynb: ended with exit status 1"),
        (Ended(None, 3.0, 1.0), TIMEOUT, "01_first.ipynb: stopped after 3 s (--timeout)"),
    ],
)
def test_how_the_process_ended_is_how_the_record_reads(workplace, executions, ended, status, error):
    folder, run = workplace
    executions.ends["01_first"] = ended
    with pytest.raises(NotebookFailed, match=re.escape(error)):
        run_suite(run, say=silent)
    record = read_record(Step(folder / "01_first.ipynb", run).record)
    assert (record.status, record.error, record.seconds) == (status, error, 3.0) and executions == ["01"]


def test_an_interrupted_notebook_counts_as_killed(workplace, executions):
    folder, run = workplace

    def interrupt():
        assert read_record(Step(folder / "01_first.ipynb", run).record).status == "running"
        raise KeyboardInterrupt

    executions.work["01_first"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_suite(run, say=silent)
    record = read_record(Step(folder / "01_first.ipynb", run).record)
    assert record.status == KILLED and record.error == "01_first.ipynb: interrupted"
