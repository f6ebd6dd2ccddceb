"""A run in a checkout of its own: it leaves the checkout clean, and `run --write-back` makes it the reference, all of it at once."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from committed import contradictions, stale_pages
from made_up import made_up_tables
from made_up_suite import notebook

from hybridir_utils.base import files
from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment import run as runs
from hybridir_utils.experiment import stamps
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.provenance import fingerprints
from hybridir_utils.results.figures import FIGURES, draw, draw_all
from hybridir_utils.suite import reference as of_reference
from hybridir_utils.suite import running
from hybridir_utils.suite.plan import as_text, plan
from hybridir_utils.suite.records import KILLED, OK, begun, parts_of, write_record
from hybridir_utils.suite.reference import cleaned, write_back
from hybridir_utils.suite.running import Step

COMMITTED = sorted(path.parent.name for path in files.ROOT.glob("data/results/*/tables.json"))
PAGE = """# Title

<!-- numbers: sample scores worldfacts-test aligned reference -->
old
<!-- end -->

Text.

<!-- numbers: sample claims -->
<!-- end -->
"""
COMMANDS = """
import sys
from hybridir_utils.__main__ import main
sys.exit(max(main(command.split()) for command in sys.argv[1:]))
"""
CELL = """
import hybridir_utils, pandas as pd
from hybridir_utils.suite import notebook
run = notebook.start(profile, alpha=alpha)
notebook.save(run, **{name: pd.read_csv(f"../tables/{name}.csv") for name in ("scores", "bias", "claims")})
notebook.show_figure(run, "03_scores")
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A repository of the package, its data, profiles, a page and one notebook; another checkout is what the environment has installed."""
    place = tmp_path_factory.mktemp("two")
    clone = place / "clone"
    shutil.copytree(files.ROOT / "data", clone / "data", ignore=shutil.ignore_patterns("runs", "results"))
    for name in ("hybridir_utils", "notebooks/profiles"):
        shutil.copytree(files.ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "carried"))
    shutil.copy(files.ROOT / ".gitignore", clone)
    (clone / "README.md").write_text(PAGE, encoding="utf-8")
    (place / "tables").mkdir()
    for name in ("scores", "bias", "claims"):
        made_up_tables()[name].to_csv(place / "tables" / f"{name}.csv", index=False)
    notebook(clone / "notebooks", "03_retrieval_evaluation", CELL, 'print(hybridir_utils.__file__)\nnotebook.say("**First**.", "Second.")')
    path = clone / "notebooks" / "03_retrieval_evaluation.ipynb"
    book = nbformat.read(path, as_version=4)
    del book.cells[2]  # notes the call below HYBRIDIR_OUTPUT, which is not set here
    nbformat.write(book, path)
    git(clone, "init", "-q"), git(clone, "add", "-A"), git(clone, "commit", "-qm", "begun")
    return clone


def commands(clone: Path, *wanted: str) -> subprocess.CompletedProcess:
    """The commands one after the other in the clone, with the other checkout's package on the path, as an editable install puts it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HYBRIDIR_")} | {"PYTHONPATH": str(files.ROOT)}
    return subprocess.run([sys.executable, "-c", COMMANDS, *wanted], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ran(clone) -> subprocess.CompletedProcess:
    return commands(clone, "run", "figures", "plan", "report", "whence data/runs/sample/figures/03_scores.png", "run")


def test_a_run_and_all_that_looks_at_it_leave_the_checkout_clean(clone, ran):
    assert ran.returncode == 0, ran.stderr
    assert git(clone, "status", "--porcelain") == ""
    left = {path.name for path in (clone / "data" / "runs" / "sample").iterdir() if not path.name.startswith(".")}
    assert left == {"results", "figures", "notebooks", "report.html"}


def test_after_a_notebook_stand_its_first_sentence_and_its_first_figure(ran):
    lines = ran.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("03_retrieval_evaluation: done in"))
    assert [line.strip() for line in lines[at + 1 : at + 3]] == ["First.", "data/runs/sample/figures/03_scores.png"]
    assert ran.stderr == "", "no warnings of libraries"


def test_kernels_use_the_package_of_the_command_where_another_checkouts_is_installed(clone, ran):
    outputs = (clone / "data" / "runs" / "sample" / "notebooks" / "03_retrieval_evaluation.ipynb").read_text(encoding="utf-8")
    assert f"{clone}/hybridir_utils/__init__.py" in outputs and str(files.ROOT) not in outputs


def test_write_back_changes_the_reference_and_all_that_hangs_on_it(clone, ran):
    done = commands(clone, "run --write-back", "run")
    assert done.returncode == 0, done.stderr
    changed = {line[3:].strip('"') for line in git(clone, "status", "--porcelain", "-uall").splitlines()}
    tables = {"about.json", "bias.csv", "claims.csv", "reference.json", "scores.csv", "tables.json"}
    pictures = {name for name, recipe in FIGURES.items() if set(recipe.tables) <= {"scores", "bias", "claims"}}
    marks = {"scores", "paper", "claims", "bias_worldfacts-test", "bias_worldfacts-shifted"}
    figures = {f"{name}.{kind}" for name in pictures for kind in ("png", "svg")} | {f"{mark}.md" for mark in marks}
    folders = {f"data/results/sample/{name}" for name in tables} | {f"figures/sample/{name}" for name in figures}
    assert changed == {"README.md", "notebooks/03_retrieval_evaluation.ipynb"} | folders
    page = (clone / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Title\n\n<!-- numbers: ") and "old" not in page and "\nText.\n" in page and "| aligned | hybrid |" in page
    assert "| claim | statement |" in page and "| unaligned |" not in page
    assert "reproduced: of 3 tables 3 equal; no verdict changed" in done.stdout, "the second run, beside what the first one wrote"
    assert commands(clone, "run --write-back").returncode == 0, "what the first one wrote is no change that should be committed before"
    git(clone, "checkout", "-q", "README.md"), (clone / "hybridir_utils" / "__main__.py").open("a").write("# more")
    refused = commands(clone, "run --write-back")
    assert refused.returncode == 1 and "changes that no commit holds" in refused.stderr and refused.stdout == "", "before it runs anything"
    assert (clone / "README.md").read_text(encoding="utf-8") == PAGE


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The output folder of a made-up run of `sample`: its tables, and its figures, which take long to draw."""
    output = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(output))
        patch.setattr(stamps, "commit", lambda: "c0ffee")
        run, tables = open_run("sample"), made_up_tables()
        for name in ("coverage", "scores", "bias", "claims"):
            save_table(run, name, tables[name])
        draw_all(run)
    return output


@pytest.fixture
def reference(tmp_path, monkeypatch, workplace, saved):
    """A checkout whose reference of `sample` is a made-up run that has been written back, with two notebooks and a page."""
    folder, run = workplace
    monkeypatch.setattr(stamps, "commit", lambda: "c0ffee")
    for module in (runs, of_reference):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(of_reference, "NOTEBOOKS", folder)
    (tmp_path / "README.md").write_text(PAGE, encoding="utf-8")
    shutil.copytree(saved, tmp_path / "out", dirs_exist_ok=True)
    (run.results / "about.json").write_text("{}")
    for path in sorted(folder.iterdir()):
        step = Step(path, run)
        step.executed.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(executed_copy(), step.executed)
        write_record(step.record, replace(begun(path.name, parts_of(path, run.profile, {})), status=OK, usual_seconds=7.0))
    return run


def executed_copy() -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook()
    book.metadata = {"papermill": {"start_time": "now"}, "kernelspec": {"name": "other", "display_name": "Other"}, "widgets": {"state": {}}}
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


ALTERED = {
    "a table": ("data/results/sample/scores.csv", "0.", "1."),
    "stamps": ("data/results/sample/tables.json", "a", "b"),
    "a Markdown table": ("figures/sample/scores.md", "0.", "1."),
    "a figure": ("figures/sample/03_scores.svg", "a", "b"),
    "its record": ("data/results/sample/reference.json", "a", "b"),
    "the outputs of a notebook": ("notebooks/01_first.ipynb", '"1\\n"', '"2\\n"'),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_contradicts_the_committed_tables_is_named(reference, tmp_path, what):
    written = write_back(reference)
    assert list(contradictions(reference)) == [] and stale_pages() == [] and tmp_path / "README.md" in written
    name, old, new = ALTERED[what]
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert {Path(line.split(": ")[0]).name for line in contradictions(reference)} == {Path(name).name}


def test_a_file_left_from_before_and_a_page_of_other_numbers_are_named(reference, tmp_path):
    write_back(reference)
    (tmp_path / "figures" / "sample" / "old.md").write_text("x")
    assert any("old.md: altered, missing, or left from before" in line for line in contradictions(reference))
    write_back(reference)
    assert not (tmp_path / "figures" / "sample" / "old.md").exists(), "the next one removes it"
    page = tmp_path / "README.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| hybrid | 0.", "| hybrid | 1.", 1), encoding="utf-8")
    assert stale_pages() == [page]


def test_tables_of_other_code_figures_of_other_tables_and_unfinished_notebooks_are_refused(reference, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"other code or values than the ones in use now \(bias, claims"):
        patch.setattr("hybridir_utils.experiment.stamps._code_of", lambda stage: "edited")
        write_back(reference)
    step = Step(running.notebooks()[1], reference)
    write_record(step.record, replace(begun(step.notebook.name, {}), status=KILLED))
    with pytest.raises(InputError, match=r"02_second\.ipynb: killed\. The outputs are written back of all notebooks together"):
        write_back(reference)
    save_table(reference, "coverage", made_up_tables()["coverage"].head(3))
    with pytest.raises(InputError, match=r"01_coverage\.png: not there, or drawn from other tables\. Draw it with: .* figures"):
        write_back(reference)
    assert not (tmp_path / "data" / "results").exists(), "nothing was written"


def test_a_plan_where_nothing_has_run_takes_the_times_of_the_reference(reference, tmp_path, monkeypatch):
    write_back(reference)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "elsewhere"))
    lines = as_text(plan(open_run("sample", alpha=0.3))).splitlines()
    assert lines[0] == "RUN    01_first  · never run with alpha 0.3 · about 7 s"
    assert lines[-1] == "expected: about 14 s (as in the committed reference)"


def test_tables_whose_code_no_commit_holds_are_refused(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "commit", lambda: "c0ffee+changes")
    save_table(reference, "bias", made_up_tables()["bias"])
    with pytest.raises(InputError, match=r"no commit holds what made bias\. Commit, then make them again with: .* --from 01"):
        write_back(reference)
    assert not (tmp_path / "data" / "results").exists(), "nothing was written"


def test_a_run_that_reads_the_reference_saves_nothing_into_it(reference, monkeypatch, tmp_path):
    write_back(reference)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "elsewhere"))
    run = runs.saved_run(open_run("sample"))
    assert run.committed and run.results == tmp_path / "data" / "results" / "sample"
    with pytest.raises(InputError, match="the reference is written by `run --write-back` alone"):
        save_table(run, "scores", made_up_tables()["scores"])
    assert draw(run, "03_scores").is_relative_to(tmp_path / "elsewhere"), "figures of the reference are the run's own"
    save_table(open_run("sample"), "coverage", made_up_tables()["coverage"])
    assert not runs.saved_run(open_run("sample")).committed, "a run's own tables are never mixed with the reference's"


@pytest.mark.parametrize("block", ["sample scores", "sample bias"])
def test_a_block_of_unknown_numbers_is_refused(block):
    with pytest.raises(InputError, match="expected `scores TASK"):
        of_reference.filled(f"<!-- numbers: {block} -->\n<!-- end -->", lambda run, table: made_up_tables()[table])


READERS = {"experiment.run", "studies.claims.sources", "suite.notebook", "suite.report", "suite.whence", "suite.reference"}


def test_only_write_back_writes_where_the_reference_lies():
    """The places are named by two functions of one module; those who ask for them are known, and all but write-back only read."""
    texts = {module: path.read_text(encoding="utf-8") for module, path in fingerprints.modules().items()}
    assert {module for module, text in texts.items() if re.search("reference_(tables|figures)", text)} == READERS
    assert [module for module, text in texts.items() if re.search(r'ROOT / "(figures|data" / "results)', text)] == ["experiment.run"]
    writes = re.compile(r"\b(write_\w+|replacing|to_csv|mkdir|unlink|savefig|save_table|save_figure)\(")
    asks = {
        f"{module}.{definition.name}": ast.unparse(definition)
        for module in READERS - {"experiment.run"}
        for definition in ast.parse(texts[module]).body
        if isinstance(definition, ast.FunctionDef) and re.search("reference_(tables|figures)", ast.unparse(definition))
    }
    assert len(asks) >= 4 and {name for name, text in asks.items() if writes.search(text)} == {"suite.reference.write_back"}


# The state that is committed


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_reference_does_not_contradict_itself(name):
    assert list(contradictions(open_run(name))) == []


def test_the_numbers_of_the_committed_pages_are_those_of_the_committed_tables():
    assert stale_pages() == []
    assert "<!-- numbers: pretrained scores xquad-r" in (files.ROOT / "README.md").read_text(encoding="utf-8")
