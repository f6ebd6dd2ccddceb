"""Where files come from: what a figure, table, artefact and executed notebook say, and what is not recorded of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_up import made_up_tables
from made_up_suite import notebook

from hybridir_utils.__main__ import main
from hybridir_utils.base import files
from hybridir_utils.base.errors import InputError, did_you_mean
from hybridir_utils.base.files import file_fingerprint
from hybridir_utils.experiment import run as runs
from hybridir_utils.experiment import stamps
from hybridir_utils.experiment.run import open_run, run_command, save_table
from hybridir_utils.provenance import fingerprints
from hybridir_utils.provenance.artefacts import RECORD, Artefact
from hybridir_utils.results.figures import draw, read_result
from hybridir_utils.results.style import note_figure, save_figure
from hybridir_utils.suite.readers import write_tables
from hybridir_utils.suite.running import Step, run_suite
from hybridir_utils.suite.whence import (
    ALTERED,
    AS_RECORDED,
    GONE,
    NOT_RECORDED,
    SHOWN,
    UNCHECKED,
    Input,
    Provenance,
    as_text,
    embedded,
    keeper,
    provenance_of,
)

TABLES = made_up_tables()
COMMAND = "python -m hybridir_utils run --profile sample --set alpha=0.3 --only 03"


@pytest.fixture
def suite_run(workplace, executions, monkeypatch):
    """A run of a notebook 03 that makes an artefact, reads a table of another, and keeps a table and a figure."""
    folder, _ = workplace
    for name in ("01_first.ipynb", "02_second.ipynb"):
        (folder / name).unlink()
    notebook(folder, "03_retrieval_evaluation", "notebook.save(run, scores=1, heat=2)")
    run = open_run("sample", alpha=0.3)
    save_table(run, "leaks", TABLES["coverage"])

    def work() -> None:
        read_result(run, "leaks")
        Artefact(run.artefacts / "pairs", "pairs", {"seed": 1, "data": "d" * 64}, did_you_mean).make(
            lambda out: (out / "a").write_text("b")
        )
        save_table(run, "scores", TABLES["scores"])
        draw(run, "03_scores")

    executions.work["03_retrieval_evaluation"] = work
    run_suite(run, say=lambda _: None)
    return run


def test_a_figure_of_the_suite_tells_notebook_parameters_commit_inputs_and_command(suite_run):
    for kind in ("png", "svg"):
        found = provenance_of(suite_run.figures / f"03_scores.{kind}")
        assert (found.kind, found.state, found.status) == ("figure", AS_RECORDED, "ok")
        assert (found.notebook, found.run, found.profile) == ("03_retrieval_evaluation", "sample+alpha=0.3", "sample")
        assert dict(found.parameters) == {"alpha": 0.3} and found.commit == fingerprints.commit() and found.command == COMMAND
        table = suite_run.results / "scores.csv"
        assert found.inputs == (Input("data/runs/sample+alpha=0.3/results/scores.csv", file_fingerprint(table), AS_RECORDED),)


def test_a_table_of_the_suite_tells_all_that_its_notebook_read(suite_run):
    found = provenance_of(suite_run.results / "scores.csv")
    assert (found.kind, found.state, found.notebook, found.command) == ("table", AS_RECORDED, "03_retrieval_evaluation", COMMAND)
    inputs = {each.name: each.state for each in found.inputs}
    assert inputs["data/runs/sample+alpha=0.3/results/leaks.csv"] == AS_RECORDED and inputs["data worldfacts"] == UNCHECKED
    (suite_run.results / "leaks.csv").write_text("a\n1\n")
    assert {each.state for each in provenance_of(suite_run.results / "scores.csv").inputs if "leaks" in each.name} == {ALTERED}
    (suite_run.results / "leaks.csv").unlink()
    assert {each.state for each in provenance_of(suite_run.results / "scores.csv").inputs if "leaks" in each.name} == {GONE}


def test_files_altered_since_are_told_as_such(suite_run):
    figure, table = suite_run.figures / "03_scores.svg", suite_run.results / "scores.csv"
    table.write_text(table.read_text() + "\n")
    assert (
        provenance_of(table).state == ALTERED
        and provenance_of(figure).inputs[0].state == ALTERED
        and provenance_of(figure).state == AS_RECORDED
    )
    figure.write_text(figure.read_text() + "\n")
    assert provenance_of(figure).state == ALTERED


def test_a_table_saved_anew_by_hand_is_the_stamps_not_the_older_records(suite_run, monkeypatch):
    monkeypatch.setattr(stamps, "commit", lambda: "by hand")
    save_table(suite_run, "scores", TABLES["scores"].head(3))
    found = provenance_of(suite_run.results / "scores.csv")
    assert (found.state, found.commit, found.status) == (AS_RECORDED, "by hand", "")


def test_without_a_suite_the_figure_and_the_stamp_still_tell_notebook_and_run(workplace):
    run = workplace[1]
    notebook(workplace[0], "03_retrieval_evaluation", "notebook.save(run, scores=1)")
    save_table(run, "scores", TABLES["scores"])
    draw(run, "03_scores")
    for place in (run.figures / "03_scores.png", run.results / "scores.csv"):
        found = provenance_of(place)
        assert (found.notebook, found.run, found.profile) == ("03_retrieval_evaluation", "sample", "sample")
        assert found.commit == fingerprints.commit() and found.command.endswith("--profile sample --only 03")
    assert (
        provenance_of(run.results / "scores.csv").state == AS_RECORDED
        and provenance_of(run.figures / "03_scores.png").state == NOT_RECORDED
    )


def test_tables_for_readers_carry_their_origin_out_of_sight(workplace):
    run = workplace[1]
    for name in ("scores", "bias", "claims"):
        save_table(run, name, TABLES[name])
    before = {path: path.read_bytes() for path in write_tables(run)}
    assert before == {path: path.read_bytes() for path in write_tables(run)}
    for path, reads in ((run.figures / "paper.md", {"scores", "bias"}), (run.figures / "claims.md", {"claims"})):
        found = provenance_of(path)
        assert {Path(each.name).stem for each in found.inputs} == reads and {each.state for each in found.inputs} == {AS_RECORDED}
        assert found.command == "python -m hybridir_utils figures --profile sample" and found.kind == "table"


def test_an_artefact_tells_its_recipe_and_what_it_was_made_from(suite_run):
    (folder,) = (suite_run.artefacts / "pairs").glob("pairs-*")
    found = provenance_of(folder)
    assert (found.kind, found.state, found.notebook, found.command) == ("artefact", AS_RECORDED, "03_retrieval_evaluation", COMMAND)
    assert found.recipe["seed"] == 1 and found.inputs == (Input("data", "d" * 64, UNCHECKED),) and found.commit == fingerprints.commit()
    encoder = Artefact(suite_run.artefacts / "encoders", "x", {"pairs": folder.name}, did_you_mean).make(
        lambda out: (out / "w").write_text("1")
    )
    assert provenance_of(encoder / "w").inputs == (Input(f"pairs/{folder.name}", file_fingerprint(folder / RECORD), AS_RECORDED),)
    assert provenance_of(encoder).command == "", "made by no run"
    (folder / "a").write_text("c")
    assert provenance_of(folder).state == ALTERED and provenance_of(encoder).inputs[0].state == ALTERED
    shutil.rmtree(folder)
    assert provenance_of(encoder).inputs[0].state == GONE


def test_an_executed_notebook_and_its_record_tell_the_same(suite_run, workplace):
    step = Step(workplace[0] / "03_retrieval_evaluation.ipynb", suite_run)
    copy, record = provenance_of(step.executed), provenance_of(step.record)
    assert (copy.state, copy.status, copy.command) == (AS_RECORDED, "ok", COMMAND)
    assert copy.inputs == record.inputs and record.command == COMMAND and dict(record.parameters) == {"alpha": 0.3}


@pytest.mark.parametrize("name", ["README.md", "data/README.md", "hybridir_utils", "LICENSE", "data/published/elmahdy2024.csv"])
def test_files_without_a_record_say_so(name):
    with pytest.raises(InputError, match=f"{name}: nothing is recorded of it"):
        provenance_of(files.ROOT / name)


def test_a_path_that_is_not_there_offers_the_nearest(suite_run):
    with pytest.raises(InputError, match=r"03_scores\.sgv: no such file \(did you mean '03_scores\.svg'\?\)"):
        provenance_of(suite_run.figures / "03_scores.sgv")
    with pytest.raises(InputError, match=r"no such file \(did you mean 'scores\.csv'\?\)\. Figures and tables lie below"):
        provenance_of("nowhere/scorse.csv")


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"recipe": [1]}', '{"recipe": "text"}'])
def test_a_damaged_record_of_an_artefact_is_named(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(InputError, match=rf"{RECORD}: no record of an artefact.*Delete the folder"):
        provenance_of(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.md"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<svg>", b"\xff\xfe"])
def test_a_damaged_picture_carries_nothing(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert embedded(tmp_path / name) == {}


@pytest.mark.parametrize(
    "source",
    [
        {"notebook": "03", "run": "../../etc", "tables": {}},
        {"notebook": "03", "run": "a", "tables": {"/etc/passwd": "0"}},
        {"notebook": "\x1b[31m", "run": "a", "tables": {}},
        {"notebook": "03", "run": "a", "tables": ["scores"]},
        {"run": 7},
        "text",
    ],
)
def test_an_origin_that_leads_elsewhere_is_none(tmp_path, source):
    save_figure(note_figure("x"), tmp_path, "x", "about", json.dumps(source))
    assert embedded(tmp_path / "x.png") == embedded(tmp_path / "x.svg") == {}


def test_the_notebook_that_keeps_a_table_is_found_from_its_cells():
    assert (keeper("scores"), keeper("losses"), keeper("nothing")) == ("03_retrieval_evaluation", "02_hybrid_batch_training", "")


def test_the_command_prints_the_trace(suite_run, capsys):
    assert main(["whence", str(suite_run.figures / "03_scores.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("03_scores.png: figure, as recorded; its tables as recorded") and lines[-1] == f"rebuild     {COMMAND}"
    assert "parameters  alpha = 0.3" in lines and "run         sample+alpha=0.3, profile sample" in lines


def test_a_committed_figure_is_told_as_such_with_the_state_of_its_tables(workplace, monkeypatch, tmp_path):
    root = tmp_path / "checkout"
    for name in ("data/results/sample", "figures/sample"):
        shutil.copytree(files.ROOT / name, root / name)
    monkeypatch.setattr(runs, "ROOT", root)
    figure, table = root / "figures" / "sample" / "03_scores.svg", root / "data" / "results" / "sample" / "scores.csv"
    assert as_text(provenance_of(figure)).splitlines()[0] == f"{figure}: figure, as committed; its tables as recorded"
    table.write_text(table.read_text() + "\n")
    assert as_text(provenance_of(figure)).splitlines()[0] == f"{figure}: figure, as committed; its tables altered"
    figure.write_text(figure.read_text() + "\n")
    assert provenance_of(figure).state == ALTERED


def test_of_many_inputs_those_that_changed_come_first():
    many = tuple(Input(f"i{n}", "0" * 64, ALTERED if n == 90 else AS_RECORDED) for n in range(100))
    lines = as_text(Provenance(Path("x"), "table", inputs=many)).splitlines()
    assert lines[5].split() == ["inputs", "i90", "0" * 16, "altered"] and f"and {100 - SHOWN} more" in lines[-2]


def test_commands_survive_the_shell():
    assert run_command("my file.toml", {"languages": ["ar", "de"], "data_dir": "a b"}, "02_x") == (
        "python -m hybridir_utils run --profile 'my file.toml' --set 'languages=[\"ar\", \"de\"]' --set 'data_dir=\"a b\"' --only 02"
    )
