"""Saved tables know the code and parameters they come from; those of different origins are never read as one result."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from hybridir_utils.base import trace
from hybridir_utils.base.errors import InputError, MissingInput
from hybridir_utils.base.fingerprints import file_fingerprint, fingerprint
from hybridir_utils.base.runs import artefact
from hybridir_utils.steps import stamps
from hybridir_utils.steps.profiles import MEANS, load_profile
from hybridir_utils.steps.session import open_run, save_table
from hybridir_utils.steps.stamps import STAMPS, check_one_origin, current, deciding, read_stamps, stamp

COMMAND = "python -m hybridir_utils run --profile sample"
TABLE = pd.DataFrame({"value": [1.0]})
OTHER_MEANS = {
    "jobs": 7, "processes": 2, "batch_tokens": 999, "shard_size": 10, "scheduler": "tcp://127.0.0.1:1", "translation_tokens": 99,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    return open_run("sample")


def test_every_saved_table_is_stamped_beside_those_before(run):
    save_table(run, "scores", TABLE)
    save_table(run, "bias", TABLE)
    stamps = read_stamps(run.results)
    assert set(stamps) == {"scores", "bias"} and {str(deciding(each)) for each in stamps.values()} == {str(current(run.profile))}
    assert set(current(run.profile)) == {"code", "parameters"}
    check_one_origin(run.results, ["scores", "bias"], COMMAND)


def test_a_value_that_can_change_a_result_changes_the_stamp_and_no_other(run):
    before = current(run.profile)
    for key, value in {"alpha": 0.4, "seeds": [1], "steps": 9, "near_duplicate": 0.8, "resamples": 10}.items():
        changed = current(load_profile("sample", {key: value}))
        assert changed["parameters"] != before["parameters"] and changed["code"] == before["code"], key
    assert set(OTHER_MEANS) == set(MEANS)
    for key, value in OTHER_MEANS.items():
        assert current(load_profile("sample", {key: value})) == before, key


def test_other_code_is_another_stamp(run, monkeypatch):
    before = current(run.profile)
    monkeypatch.setattr(stamps, "code_fingerprint", lambda module: f"other {module}")
    assert current(run.profile)["code"] == "other evaluation" != before["code"]


def test_tables_of_different_parameters_or_code_are_refused_by_name_with_the_command(run, monkeypatch):
    save_table(run, "scores", TABLE)
    save_table(run, "bias", TABLE)
    stamp(run.results, "bias", load_profile("sample", {"alpha": 0.4}))
    with pytest.raises(InputError, match=rf"different versions of the code or of the profile \(scores; bias\).*again with: {COMMAND}"):
        check_one_origin(run.results, ["scores", "bias"], COMMAND)
    check_one_origin(run.results, ["scores"], COMMAND)
    save_table(run, "bias", TABLE)
    check_one_origin(run.results, ["scores", "bias"], COMMAND)
    monkeypatch.setattr(stamps, "code_fingerprint", lambda module: "other")
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
    with pytest.raises(InputError, match=rf"{STAMPS}, line 1, column \d+: no valid JSON.*delete it and run the notebooks again"):
        check_one_origin(run.results, ["scores"], COMMAND)


def test_stamps_are_text_that_keeps_its_order(run):
    for name in ("scores", "bias"):
        save_table(run, name, TABLE)
    text = (run.results / STAMPS).read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["bias", "record", "scores"] and text.endswith("}\n")
    save_table(run, "scores", TABLE)
    assert (run.results / STAMPS).read_text(encoding="utf-8") == text


def test_a_stamp_says_for_what_the_table_was_made_and_from_what(run, monkeypatch):
    monkeypatch.setattr(trace, "_used", {})
    monkeypatch.setattr(stamps, "commit", lambda: "c0ffee+changes")
    monkeypatch.setenv(trace.ORIGIN, json.dumps({"notebook": "03_retrieval_evaluation"}))
    made = artefact(run.artefacts / "pairs", "pairs", {}, "errors", lambda out: (out / "a").write_text("b"))
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
