"""The plan: what would run, why, and for how long; nothing is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from made_up_suite import add_code, edit, edit_module, notebook

from hybridir_utils.base import files
from hybridir_utils.encode import catalogue
from hybridir_utils.experiment.encoders import base_artefact, encoder_artefacts, encoder_keys
from hybridir_utils.experiment.preparation import pairs_artefact
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.provenance import artefacts
from hybridir_utils.provenance.artefacts import RECORD, changed_modules, changed_values
from hybridir_utils.provenance.fingerprints import sealed, versions
from hybridir_utils.results import paper
from hybridir_utils.results.figures import read_result
from hybridir_utils.suite import records
from hybridir_utils.suite.child import Ended
from hybridir_utils.suite.plan import CACHED, RUN, STALE, STUDIES, as_text, duration, plan, trainings
from hybridir_utils.suite.records import begun, read_record, write_record
from hybridir_utils.suite.running import NotebookFailed, Step, run_suite

TABLE = pd.DataFrame({"value": [1.0]})


def silent(_: str) -> None:
    """No line a step."""


@pytest.fixture
def done(workplace, executions):
    """(notebooks folder, run) of a suite that has run: the first saves a table, the second reads it."""
    run = workplace[1]
    executions.work = {"01_first": lambda: save_table(run, "scores", TABLE), "02_second": lambda: read_result(run, "scores")}
    run_suite(run, say=silent)
    executions.clear()
    return workplace


def states(run) -> dict[str, tuple[str, ...]]:
    """Number of each notebook that would run -> its state and reasons."""
    return {each.notebook[:2]: (each.state, *each.reasons) for each in plan(run) if each.state != CACHED}


def test_before_the_first_run_nothing_is_known(workplace):
    assert states(workplace[1]) == {"01": (RUN, "never run"), "02": (RUN, "never run")}
    assert as_text(plan(workplace[1])).splitlines() == [
        "RUN    01_first  · never run · unknown time",
        "RUN    02_second · never run · unknown time",
        "expected: 2 notebooks of unknown time (see `run --cost`)",
    ]


def test_a_variant_that_never_ran_says_by_what_it_differs(done):
    assert states(open_run("sample", alpha=0.3, seeds=[4])) == dict.fromkeys(("01", "02"), (RUN, "never run with alpha 0.3, seeds [4]"))


def test_what_never_ran_takes_as_long_as_in_the_nearest_run_of_the_profile(done, executions):
    executions.ends["01_first"] = Ended(0, 30.0, 1.0)
    run_suite(open_run("sample", alpha=0.3), only="1", say=silent)
    lines = as_text(plan(open_run("sample", alpha=0.4))).splitlines()
    assert lines[-1] == "expected: about 40 s (as in run sample)", "of the profile's own run, not of its latest variant"
    for path in (done[1].notebooks).glob("*.run.json"):
        path.unlink()
    lines = as_text(plan(open_run("sample", alpha=0.4))).splitlines()
    said = "expected: about 30 s (as in run sample+alpha=0.3), and 1 notebooks of unknown time (see `run --cost`)"
    assert lines[-1] == said


def test_after_a_run_all_is_cached_and_a_plan_changes_nothing(done, executions):
    everything = {path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in done[0].parent.rglob("*")}
    assert as_text(plan(done[1])).splitlines() == ["CACHED 01_first", "CACHED 02_second", "nothing to run"]
    add_code(done[0] / "01_first.ipynb")
    everything = {path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in done[0].parent.rglob("*")}
    plan(done[1])
    assert everything == {path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in done[0].parent.rglob("*")}
    assert executions == []


def test_prose_and_comments_invalidate_nothing(done):
    edit(done[0] / "01_first.ipynb", lambda cells: cells[0].update(source="# Another title"))
    add_code(done[0] / "01_first.ipynb", "# a comment")
    assert states(done[1]) == {}


def test_a_changed_cell_is_named_and_so_is_what_follows(done):
    add_code(done[0] / "01_first.ipynb")
    assert states(done[1]) == {"01": (STALE, "code cell 2 changed"), "02": (STALE, "after 01, which runs again")}
    assert as_text(plan(done[1])).splitlines() == [
        "STALE  01_first  · code cell 2 changed · about 20 s",
        "STALE  02_second · after 01, which runs again · about 20 s",
        "expected: about 40 s",
    ]


def test_values_that_jupyterlab_saved_in_the_parameters_cell_invalidate_nothing(done):
    """The run's own are put below it."""
    edit(done[0] / "01_first.ipynb", lambda cells: cells[1].update(source='profile = "sample"\nalpha = 0.3  # tried'))
    assert states(done[1]) == {}
    edit(done[0] / "01_first.ipynb", lambda cells: cells[1].update(source='profile = "sample"\nalpha = 0.5\nsteps = 7'))
    assert states(done[1]) == {"01": (STALE, "code cell 1 changed"), "02": (STALE, "after 01, which runs again")}


def test_cells_that_came_or_went_are_told_as_such(done):
    folder, run = done
    notebook(folder, "02_second", "new = 1")
    assert states(run) == {"02": (STALE, "code cell 3 added")}
    edit(folder / "02_second.ipynb", lambda cells: cells.__delitem__(slice(2, 4)))
    assert states(run) == {"02": (STALE, "code cell 2 removed")}


def test_a_changed_module_is_named_by_its_file(workplace, executions, monkeypatch):
    folder, run = workplace
    notebook(folder, "02_second", "from hybridir_utils.data import batching\nbatching.plan_batches")
    run_suite(run, say=silent)
    edit_module(monkeypatch, "hybridir_utils/data/batching.py")
    assert states(run) == {"02": (STALE, "hybridir_utils/data/batching.py changed")}


def test_changed_values_are_told_by_name_old_and_new(workplace, executions, tmp_path):
    profile = tmp_path / "mine.toml"
    sample = (files.PROFILES / "sample.toml").read_text(encoding="utf-8").replace('name = "sample"', 'name = "mine"')
    profile.write_text(sample)
    run_suite(open_run(str(profile)), say=silent)
    profile.write_text(sample.replace("alpha = 0.5", "alpha = 0.3").replace("seeds = [1, 2, 3]", "seeds = [1]"))
    reasons = (STALE, "profile: alpha 0.5 → 0.3", "profile: seeds [1, 2, 3] → [1]")
    assert states(open_run(str(profile))) == dict.fromkeys(("01", "02"), reasons)


def test_changed_data_are_named(done, monkeypatch):
    monkeypatch.setattr(records, "data_fingerprint", lambda names, place: f"other {names}")
    names = done[1].profile.data_names
    assert states(done[1])["01"] == (STALE, *(f"data {name} changed" for name in names)) and "worldfacts" in names


def test_an_encoder_is_known_by_its_files_or_by_what_the_catalogue_says_of_it(monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    run = open_run("sample", bases=["labse", f"st:{tmp_path}/mine", "aligned"])
    before = records.data_parts(run.profile)
    monkeypatch.setitem(catalogue.ENCODERS, "labse", catalogue.ENCODERS["labse"].model_copy(update={"revision": "another"}))
    (tmp_path / "mine" / "config.json").write_text("{ }")
    after = records.data_parts(run.profile)
    assert [name for name in before if before[name] != after[name]] == ["encoder labse", f"encoder st:{tmp_path}/mine"]


def test_published_numbers_that_a_notebook_shows_count_as_what_it_read(workplace, executions, tmp_path, monkeypatch):
    shutil.copytree(files.PUBLISHED, tmp_path / "published")
    monkeypatch.setattr(paper, "PUBLISHED", tmp_path / "published")
    executions.work = {"02_second": paper.paper_scores}
    run_suite(workplace[1], say=silent)
    assert states(workplace[1]) == {}
    with (tmp_path / "published" / "elmahdy2024.csv").open("a") as file:
        file.write("\n")
    assert states(workplace[1]) == {"02": (STALE, f"input {tmp_path}/published/elmahdy2024.csv altered")}


def test_changed_versions_are_named(workplace, executions, monkeypatch):
    monkeypatch.setattr(records, "versions", lambda: {"torch": "2.12", "numpy": "2"})
    run_suite(workplace[1], say=silent)
    monkeypatch.setattr(records, "versions", lambda: {"torch": "2.13", "numpy": "2"})
    assert states(workplace[1]) == dict.fromkeys(("01", "02"), (STALE, "version of torch 2.12 → 2.13"))


@pytest.mark.parametrize(("code", "status"), [(1, "failed"), (-9, "killed"), (None, "timeout")])
def test_what_did_not_end_well_runs_again(done, executions, code, status):
    executions.ends["02_second"] = Ended(code, 300.0, 1.0)
    with pytest.raises(NotebookFailed):
        run_suite(done[1], only="02", say=silent)
    assert states(done[1]) == {"02": (RUN, f"last time {status}")}
    assert plan(done[1])[1].seconds == 20.0, "of the last time that it ended well"


def test_a_notebook_that_runs_meanwhile_is_named_with_its_process(done):
    path = Step(done[0] / "02_second.ipynb", done[1]).record
    mine = begun("02_second.ipynb", read_record(path).parts)
    write_record(path, mine)
    assert states(done[1]) == {"02": (RUN, f"process {mine.process} on {mine.host} runs it")}


def test_files_that_are_not_as_they_were_are_named(done):
    table = done[1].results / "scores.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[:-2])
    name = "data/runs/sample/results/scores.csv"
    assert states(done[1]) == {"01": (STALE, f"output {name} altered"), "02": (STALE, "after 01, which runs again")}
    table.unlink()
    assert states(done[1])["01"] == (STALE, f"output {name} missing")
    Step(done[0] / "01_first.ipynb", done[1]).record.unlink()
    assert states(done[1]) == {"01": (RUN, "never run"), "02": (STALE, f"input {name} missing")}
    table.write_bytes(whole + b"\n")
    assert states(done[1])["02"] == (STALE, f"input {name} altered")


def test_values_read_well():
    assert changed_values({"a": 0.5, "b": {"c": 1}}, {"a": 0.3, "b": {"c": 1}}) == ["a 0.5 → 0.3"]
    assert changed_values({"b": {"c": "x"}}, {"b": {"c": ""}}) == ['b.c x → ""']
    assert changed_values({}, {"a": (1, 2)}) == ["a nothing → [1, 2]"] and changed_values({"a": [1]}, {"a": (1,)}) == []
    assert changed_values({"a": float("nan")}, {"a": float("nan")}) == []
    long = [f"language {i}" for i in range(9)]
    assert changed_values({"a": long}, {"a": [*long[1:], "new"]}) == ["a changed (+new −language 0)"]
    assert changed_values({"a": long}, {"a": long[::-1]}) == ["a changed (another order)"]
    assert changed_values({"data": "a" * 64}, {"data": "b" * 64}) == ["data aaaaaaaa → bbbbbbbb"]


def test_many_modules_are_counted():
    old = {f"m{i}.py": "1" for i in range(6)}
    assert changed_modules(old, dict.fromkeys(old, "2")) == ["m0.py changed", "m1.py changed", "m2.py changed", "3 more modules changed"]
    assert changed_modules({"a.py": "1"}, {"b.py": "1"}) == ["b.py newly used", "a.py no longer used"]


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")])
def test_durations_are_rounded_as_people_say_them(seconds, words):
    assert duration(seconds) == words


TINY = {"steps": 20, "bases": ["aligned"], "strategies": ["X-Y", "hybrid"], "seeds": [1, 2], "jobs": 2}
TINY |= {"learning_rate": 0.01, "batch_size": 128, "near_duplicate": 0.9, "alignment_steps": 300, "dimension": 192}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A function that opens the run with changed values and, where asked, makes its pairs, bases and encoders, of 10 s each."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))

    def opened(make: bool = False, **changes):
        run = open_run("sample", **TINY | changes)
        pairs = pairs_artefact(run)
        bases = [base_artefact(run, base, pairs.path.name) for base in ("unaligned", "aligned")]
        encoders = encoder_artefacts(run, encoder_keys(run)).values()
        for made in [pairs, *bases, *encoders] if make else ():
            record = made.make(lambda out: (out / "content").write_text("x")) / RECORD
            values = {key: value for key, value in json.loads(record.read_text()).items() if key != "record"}
            record.write_text(json.dumps(sealed(values | {"seconds": 10.0})))
        return run

    return opened


def reasons(run, notebook: str = "02_hybrid_batch_training") -> list[tuple[str, ...]]:
    return [training.reasons for training in trainings(run, notebook)]


def test_training_runs_are_found_without_making_anything(study, tmp_path):
    run = study()
    found = trainings(run, "02_hybrid_batch_training")
    assert [training.name for training in found] == [key.name for key in encoder_keys(run)]
    assert {(training.reasons, training.seconds) for training in found} == {(("never made",), None)}
    assert not list(tmp_path.iterdir())


def test_training_runs_that_are_there_are_cached_where_training_would_look(study):
    run = study(make=True)
    assert reasons(run) == [()] * 4
    folders = {training.folder for training in trainings(run, "02_hybrid_batch_training")}
    assert folders == set((run.artefacts / "encoders").glob("aligned-*"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"learning_rate": 0.02}, "settings.learning_rate 0.01 → 0.02"),
        ({"batch_size": 64}, "batch_size 128 → 64"),
        ({"near_duplicate": 0.8}, "other pairs (near_duplicate 0.9 → 0.8)"),
        ({"alignment_steps": 7}, "another base (steps 300 → 7)"),
        ({"dimension": 8}, "another base (another start (dimension 192 → 8))"),
    ],
)
def test_what_changed_is_named_also_where_it_is_in_the_pairs_or_the_base(study, changes, reason):
    study(make=True)
    found = reasons(study(**changes))
    assert len(found) == 4 and all(reason in each for each in found)


def test_changed_code_and_versions_of_a_training_run_are_named(study, monkeypatch):
    run = study(make=True)
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "versions", lambda: versions() | {"torch": "9.9"})
        assert all(each[-1] == f"version of torch {versions()['torch']} → 9.9" for each in reasons(run))
    edit_module(monkeypatch, "hybridir_utils/train/losses.py")
    assert all("hybridir_utils/train/losses.py changed" in each for each in reasons(run))


def test_a_training_run_whose_files_are_gone_is_made_again(study):
    run = study(make=True)
    first, second = (training.folder for training in trainings(run, "02_hybrid_batch_training")[:2])
    (first / "content").unlink()
    (second / RECORD).write_text("{")
    assert reasons(run) == [("content missing",), (f"{RECORD} missing or altered",), (), ()]


def test_every_study_names_what_it_trains(study):
    run = study(many_counts=[4], many_languages=["ar", "de", "en", "es"], many_unseen=[], methods=["hybrid", "distillation"])
    names = {notebook: [training.name for training in trainings(run, notebook)] for notebook in STUDIES}
    assert names["06_domain_shift"] == names["07_mkqa_alignment"] == names["02_hybrid_batch_training"]
    assert "aligned-hybrid-a0.25-s1" in names["05_mixing_ratio"] and "aligned-annealed-a0.5-s2" in names["05_mixing_ratio"]
    assert {name.split("-")[1] for name in names["08_fifty_languages"]} == {"En", "hybrid", "distillation"}, "the teacher is one of them"
    assert trainings(run, "01_data_translation") == [] == trainings(study(train_in_place=False), "06_domain_shift")


def test_names_of_the_studies_are_those_of_the_notebooks():
    assert set(STUDIES) <= {path.stem for path in files.NOTEBOOKS.glob("*.ipynb")}


def test_training_runs_stand_below_their_notebook_with_the_time_they_take(study, workplace, executions):
    folder, _ = workplace
    for name in ("02_hybrid_batch_training", "06_domain_shift"):
        notebook(folder, name)
    run = study(make=True)
    run_suite(run, say=silent)
    assert "       CACHED 4 training runs" in as_text(plan(run)).splitlines()
    changed = study(learning_rate=0.02)
    lines = as_text(plan(changed)).splitlines()
    assert lines[1].startswith("RUN    02_hybrid_batch_training") and "· about " in lines[1], "as the run beside it"
    names = [f"aligned-{name} (2 seeds)" for name in ("X-Y", "hybrid-a0.5")]
    said = "settings.learning_rate 0.01 → 0.02 · about 20 s one by one"
    assert lines[2:4] == [f"       RUN {name} · {said}" for name in names]
    assert len([line for line in lines if line.startswith("       RUN")]) == 2, "the later notebook finds them trained"
    assert as_text(plan(study(learning_rate=0.02, seeds=[1]))).splitlines()[2].startswith("       RUN aligned-X-Y-s1 · settings")
    many = as_text(plan(study(learning_rate=0.02, seeds=[1, 2, 3, 4]))).splitlines()[2]
    head = "       RUN 8 training runs (aligned-X-Y-s1, aligned-X-Y-s2 …)"
    assert many == f"{head} · settings.learning_rate 0.01 → 0.02 · about 1 min 20 s one by one" or "never made" in many


def test_what_a_notebook_takes_is_its_own_time_and_its_training_runs_side_by_side(study, workplace, executions, monkeypatch):
    notebook(workplace[0], "02_hybrid_batch_training")
    executions.work["02_hybrid_batch_training"] = lambda: study(make=True)
    executions.ends["02_hybrid_batch_training"] = Ended(0, 50.0, 1.0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    run = study()
    run_suite(run, say=silent)
    record = read_record(Step(workplace[0] / "02_hybrid_batch_training.ipynb", run).record)
    trained = sum(json.loads((files.output_root() / path).read_text())["seconds"] for path in record.outputs if "/encoders/" in path)
    assert trained == 40.0 and record.usual_seconds == 50.0 - trained / 2
    run_suite(run, only="02_h", say=silent)
    again = read_record(Step(workplace[0] / "02_hybrid_batch_training.ipynb", run).record)
    assert again.usual_seconds == 50.0, "all were there"
    for place in (run.artefacts / "encoders").glob("aligned-*"):
        (place / "content").unlink()
    (found,) = [each for each in plan(run) if each.notebook == "02_hybrid_batch_training"]
    assert found.state == CACHED and len(found.trainings) == 4, "its tables are there; who needs an encoder makes it again"
    add_code(workplace[0] / "02_hybrid_batch_training.ipynb")
    (found,) = [each for each in plan(run) if each.notebook == "02_hybrid_batch_training"]
    assert found.state == STALE and found.seconds == 50.0 + 4 * 10.0 / 2


LIGHT = """
import sys
from hybridir_utils.__main__ import main
assert main(["plan"]) == 0
print([name for name in ("torch", "nbformat", "matplotlib", "sentence_transformers") if name in sys.modules])
"""


def test_a_plan_loads_no_library_that_takes_long(tmp_path, monkeypatch):
    """Pairs that are not made yet are counted, by the library that reads them."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, cwd=files.ROOT)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert done.stdout.startswith("RUN    01_data_translation") and not (tmp_path / "out").exists()
    assert all(len(line) < 160 for line in done.stdout.splitlines()) and done.stdout.count("\n") < 30
