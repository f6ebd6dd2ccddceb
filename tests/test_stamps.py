"""Saved tables know the code and parameters they come from; those of different origins are never read as one result."""

from __future__ import annotations

import ast
import json

import pandas as pd
import pytest

from hybridir_utils.base import files
from hybridir_utils.base.errors import InputError, MissingInput, did_you_mean
from hybridir_utils.base.files import file_fingerprint, fingerprint
from hybridir_utils.experiment import stamps
from hybridir_utils.experiment.profile import MEANS, load_profile
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.experiment.stamps import STAGES, STAMPS, check_one_origin, is_current, read_stamps, stamp
from hybridir_utils.provenance import reads
from hybridir_utils.provenance.artefacts import Artefact
from hybridir_utils.provenance.fingerprints import used_code
from hybridir_utils.suite import records
from hybridir_utils.suite.running import notebooks

LAST_STAGE = {"01": 1, "02": 2}  # of their tables; of later ones: the third
COMMAND = "python -m hybridir_utils run --profile sample"
TABLE = pd.DataFrame({"value": [1.0]})
OTHER_MEANS = {
    "jobs": 7, "processes": 2, "batch_tokens": 999, "shard_size": 10, "scheduler": "tcp://127.0.0.1:1", "translation_tokens": 99,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(reads, "_used", {})
    return open_run("sample")


def edited(monkeypatch, *changed: str) -> None:
    """The code of these stages counts as edited."""
    monkeypatch.setattr(stamps, "_code_of", lambda stage: f"edited {stage}" if stage in changed else stage)


def test_every_saved_table_is_stamped_beside_those_before(run):
    save_table(run, "scores", TABLE)
    save_table(run, "bias", TABLE)
    found = read_stamps(run.results)
    assert set(found) == {"scores", "bias"} and all(is_current(each, run.profile) for each in found.values())
    assert found["scores"]["code"] == found["bias"]["code"] and set(found["bias"]["code"]) == set(STAGES)
    check_one_origin(run.results, ["scores", "bias"], COMMAND)


def test_a_value_that_can_change_a_result_makes_a_stamp_old_and_no_other_does(run):
    save_table(run, "scores", TABLE)
    own = read_stamps(run.results)["scores"]
    for key, value in {"alpha": 0.4, "seeds": [1], "steps": 9, "near_duplicate": 0.8, "resamples": 10}.items():
        assert not is_current(own, load_profile("sample", {key: value})), key
    assert set(OTHER_MEANS) == set(MEANS)
    for key, value in OTHER_MEANS.items():
        assert is_current(own, load_profile("sample", {key: value})), key


@pytest.mark.parametrize(
    ("rooms", "stages"),
    [
        (("pairs",), 1), (("pairs", "bases"), 2), (("encoders", "pairs"), 2), (("evaluations", "pairs"), 3), (("questions",), 3), ((), 3),
    ],
)  # fmt: skip
def test_a_table_is_stamped_with_the_code_of_the_stages_it_hangs_on_and_is_old_when_that_is_edited(run, monkeypatch, rooms, stages):
    for room in rooms:
        Artefact(run.artefacts / room, room, {}, did_you_mean).make(lambda out: (out / "a").write_text("b"))
    save_table(run, "table", TABLE)
    own = read_stamps(run.results)["table"]
    assert set(own["code"]) == set(list(STAGES)[:stages])
    code = own["code"]
    for number, stage in enumerate(STAGES):
        monkeypatch.setattr(stamps, "_code_of", lambda other, stage=stage: "edited" if other == stage else code.get(other, other))
        assert is_current(own, run.profile) == (number >= stages), stage


def test_tables_before_an_edited_stage_agree_with_those_after_it(run, monkeypatch):
    """What `run` leaves as it is, because the edit does not concern it, must not be refused by what it runs again."""
    Artefact(run.artefacts / "pairs", "pairs", {}, did_you_mean).make(lambda out: (out / "a").write_text("b"))
    edited(monkeypatch)
    save_table(run, "coverage", TABLE)
    Artefact(run.artefacts / "evaluations", "e", {}, did_you_mean).make(lambda out: (out / "a").write_text("b"))
    save_table(run, "scores", TABLE)
    edited(monkeypatch, "evaluation")
    save_table(run, "bias", TABLE)
    check_one_origin(run.results, ["coverage", "bias"], COMMAND)
    with pytest.raises(InputError, match=r"\(scores; bias\).*--from 01"):
        check_one_origin(run.results, ["coverage", "scores", "bias"], COMMAND)
    edited(monkeypatch, *STAGES)
    save_table(run, "bias", TABLE)
    with pytest.raises(InputError, match=r"\(coverage; bias\)"):
        check_one_origin(run.results, ["coverage", "bias"], COMMAND)


def test_an_edit_that_makes_a_notebooks_tables_old_makes_the_notebook_run_again():
    """Else the plan would leave it, notebook 09 would refuse its tables, and `run` would never mend that."""
    for path in notebooks():
        own = used_code(records._used_places([ast.parse(cell) for cell in records.code_cells(path)]))
        for stage in list(STAGES)[: LAST_STAGE.get(path.stem[:2], 3)]:
            for file, definitions in used_code([(f"experiment.{stage}", STAGES[stage])]).items():
                assert definitions.items() <= own[file].items(), (path.stem, stage, file)


def test_committed_tables_hang_on_the_stages_of_their_notebooks():
    found = read_stamps(files.ROOT / "data" / "results" / "sample")
    assert {name: len(found[name]["code"]) for name in ("coverage", "losses", "scores", "claims")} == {
        "coverage": 1, "losses": 2, "scores": 3, "claims": 3,
    }  # fmt: skip
    assert all(len(stamp["code"]) <= LAST_STAGE.get(stamp["notebook"][:2], 3) for stamp in found.values())


def test_a_table_without_a_stamp_is_old(run):
    assert not is_current({}, run.profile)


def test_tables_of_different_parameters_or_code_are_refused_by_name_with_the_command(run, monkeypatch):
    save_table(run, "scores", TABLE)
    save_table(run, "bias", TABLE)
    stamp(run.results, "bias", load_profile("sample", {"alpha": 0.4}), {})
    with pytest.raises(
        InputError, match=rf"different versions of the code or of the profile \(scores; bias\).*again with: {COMMAND} --from 01"
    ):
        check_one_origin(run.results, ["scores", "bias"], COMMAND)
    check_one_origin(run.results, ["scores"], COMMAND)
    save_table(run, "bias", TABLE)
    check_one_origin(run.results, ["scores", "bias"], COMMAND)
    edited(monkeypatch, *STAGES)
    save_table(run, "tests", TABLE)
    with pytest.raises(InputError, match=r"\(scores, bias; tests\)"):
        check_one_origin(run.results, ["scores", "bias", "tests"], COMMAND)


def test_a_table_that_is_not_there_or_was_saved_by_hand_names_the_command(run):
    assert read_stamps(run.results) == {}
    save_table(run, "scores", TABLE)
    TABLE.to_csv(run.results / "bias.csv")
    for name in ("bias", "tests"):
        with pytest.raises(MissingInput, match=rf"{name}\.csv: not there yet, or saved by hand\. Make it with: {COMMAND}"):
            check_one_origin(run.results, ["scores", name], COMMAND)


@pytest.mark.parametrize("content", ["{", "", "not json"])
def test_broken_stamps_are_named_with_what_to_do(run, content):
    save_table(run, "scores", TABLE)
    (run.results / STAMPS).write_text(content)
    with pytest.raises(InputError, match=rf"{STAMPS}, line 1, column \d+: no valid JSON.*Delete it and run the notebooks again"):
        check_one_origin(run.results, ["scores"], COMMAND)


def test_stamps_are_text_that_keeps_its_order(run):
    for name in ("scores", "bias"):
        save_table(run, name, TABLE)
    text = (run.results / STAMPS).read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["bias", "record", "scores"] and text.endswith("}\n")
    save_table(run, "scores", TABLE)
    assert (run.results / STAMPS).read_text(encoding="utf-8") == text


def test_a_stamp_says_for_what_the_table_was_made_and_from_what(run, monkeypatch):
    monkeypatch.setattr(reads, "_used", {})
    monkeypatch.setattr(stamps, "commit", lambda: "c0ffee+changes")
    monkeypatch.setenv(reads.ORIGIN, json.dumps({"notebook": "03_retrieval_evaluation"}))
    made = Artefact(run.artefacts / "pairs", "pairs", {}, did_you_mean).make(lambda out: (out / "a").write_text("b"))
    changed = open_run("sample", alpha=0.3)
    save_table(changed, "scores", TABLE)
    found = read_stamps(changed.results)["scores"]
    assert {key: found[key] for key in ("notebook", "run", "profile", "changed", "commit")} == {
        "notebook": "03_retrieval_evaluation", "run": "sample+alpha=0.3", "profile": "sample", "changed": {"alpha": 0.3},
        "commit": "c0ffee+changes",
    }  # fmt: skip
    assert found["sha256"] == file_fingerprint(changed.results / "scores.csv")
    assert found["inputs"] == {"pairs": f"1 · {fingerprint({made.name: file_fingerprint(made / 'artefact.json')})}"}


def test_tables_of_one_code_saved_at_different_commits_are_one_result(run, monkeypatch):
    save_table(run, "scores", TABLE)
    monkeypatch.setattr(stamps, "commit", lambda: "another")
    save_table(run, "bias", TABLE)
    check_one_origin(run.results, ["scores", "bias"], COMMAND)
