"""A truncated or bit-flipped file of every kind that a run keeps: found by its hash, made again or refused by name, never used.

The artefacts are those of a tiny run that is made once; each test damages a file in its copy and makes, or reads, the results again.
"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from fault_bytes import damage_flip, damage_truncate
from fault_pipeline import results
from fault_run import copied, everything, shown

from hybridir_utils.base.errors import InputError
from hybridir_utils.encode.corpora import encode_corpus
from hybridir_utils.experiment.preparation import fill_translations, prepare_pairs, translator
from hybridir_utils.experiment.run import save_table
from hybridir_utils.experiment.stamps import STAMPS, check_one_origin
from hybridir_utils.provenance.artefacts import RECORD, recipe_of
from hybridir_utils.results.figures import draw, read_result
from hybridir_utils.studies.claims.sources import saved_source
from hybridir_utils.suite import running
from hybridir_utils.suite.running import Step, run_suite
from hybridir_utils.train.trainer import last_whole, seal, step_of

DAMAGES = {"truncated": damage_truncate, "flipped": damage_flip}
TABLE = pd.DataFrame({"strategy": [f"s{n}" for n in range(40)], "value": np.arange(40) / 64})


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """The finished run in a copy of its output folder."""
    return copied(finished, tmp_path / "out", monkeypatch)


def artefacts(root) -> dict[str, str]:
    return {name: digest for name, digest in results(root).items() if not name.startswith(("results", "figures", "notebooks"))}


KINDS = {
    "pairs": "pairs/pairs-*/train.parquet",
    "rejections": "pairs/pairs-*/rejections.parquet",
    "base encoder": "bases/unaligned-*/model.safetensors",
    "tokenizer": "bases/unaligned-*/tokenizer.json",
    "encoder": "encoders/*/model.safetensors",
    "batch plan": "encoders/*/plan.parquet",
    "losses": "encoders/*/loss.csv",
    "evaluation": "evaluations/*hybrid*/scores.parquet",
    "ranked lists": "evaluations/*hybrid*/top.npy",
    "record of pairs": f"pairs/pairs-*/{RECORD}",
    "record of an encoder": f"encoders/*/{RECORD}",
    "record of an evaluation": f"evaluations/*hybrid*/{RECORD}",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_artefact_is_made_again_to_the_same_bytes(run, finished, kind, damage):
    (file,) = run.artefacts.glob(KINDS[kind])
    before = file.read_bytes()
    DAMAGES[damage](file)
    assert file.read_bytes() != before
    everything(run)
    assert artefacts(run.artefacts) == artefacts(finished / "out" / "data" / "runs" / "killed")
    assert file.name == RECORD or file.read_bytes() == before
    assert recipe_of(file.parent)["files"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_copy_that_pairs_are_read_through_is_never_read_when_damaged(run, finished, damage):
    expected = prepare_pairs(run).train[:]
    (copy,) = run.artefacts.glob("arrow/pairs-*/train-*.arrow")
    DAMAGES[damage](copy)
    assert prepare_pairs(run).train[:] == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_altered_translations_are_never_used(run, damage):
    """Bytes of texts, of keys and of the structure, one after the other."""
    cached, texts = translator(run), sorted(set(prepare_pairs(run).train.filter(lambda row: row["language"] == "en")["passage"]))
    fill_translations(run)
    expected = {text: cached.translator.translate([text], "en", "de")[0] for text in texts}
    whole = cached.path.read_bytes()
    assert cached.known(texts, "en", "de") == expected
    places = range(100, len(whole), 997) if damage == "flipped" else range(4096, len(whole), 8192)
    refused = found = 0
    for place in places:
        for beside in cached.path.parent.glob("translations.sqlite-*"):
            beside.unlink()
        spoilt = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :] if damage == "flipped" else whole[:place]
        cached.path.write_bytes(spoilt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                known = cached.known(texts, "en", "de")
            except InputError as error:
                assert str(cached.path) in str(error) and "Move the file away" in str(error)
                refused += 1
                continue
        assert all(expected[text] == translation for text, translation in known.items())
        found += len(known) < len(expected)
    assert refused + found, "no damage met what is read: the test shows nothing"


def test_an_altered_translation_is_told_and_made_again(run):
    cached, (text,) = translator(run), prepare_pairs(run).train.select([0])["passage"]
    whole, translation = cached.path.read_bytes(), cached.translate([text], "en", "de")[0]
    place = whole.index(translation.encode()) + len(translation.encode()) // 2
    cached.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.warns(UserWarning, match=r"translations\.sqlite: 1 translations were altered; they are made again"):
        assert cached.translate([text], "en", "de") == [translation]
    assert cached.known([text], "en", "de") == {text: translation}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["000001.npy", "vectors.json"])
def test_damaged_vectors_are_named_and_made_again(run, tiny_base, tmp_path, name, damage):
    corpus = Dataset.from_dict({"id": [str(n) for n in range(9)], "text": [f"fire {n}" for n in range(9)]})
    vectors = encode_corpus(tiny_base, corpus, tmp_path, shard_size=4)
    before = vectors[0:9].copy()
    DAMAGES[damage](vectors.folder / name)
    with pytest.warns(UserWarning, match=rf"{name}: damaged"):
        again = encode_corpus(tiny_base, corpus, tmp_path, shard_size=4)
    assert np.array_equal(again[0:9], before)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "whole.json"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, damage):
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for file in ("model.safetensors", "trainer_state.json"):
            (tmp_path / f"checkpoint-{step}" / file).write_bytes(bytes(range(100)))
        seal(tmp_path / f"checkpoint-{step}")
    DAMAGES[damage](tmp_path / "checkpoint-10" / name)
    assert step_of(last_whole(tmp_path)) == 5


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["scores.csv", STAMPS])
def test_a_damaged_table_or_stamp_is_refused_by_name_with_the_command(run, name, damage):
    save_table(run, "scores", TABLE)
    file = run.results / name
    DAMAGES[damage](file)
    with pytest.raises(InputError, match=name) as refused:
        read_result(run, "scores")
    assert "again" in str(refused.value) and "run" in str(refused.value)
    with pytest.raises(InputError, match=name):
        draw(run, "03_scores")
    if name == STAMPS:
        with pytest.raises(InputError, match=name):
            check_one_origin(run.results, ["scores"], "the command")
        with pytest.raises(InputError, match=name):
            save_table(run, "bias", TABLE)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_of_another_run_is_no_evidence(run, damage):
    save_table(run, "scores", TABLE)
    about = {"run": "other", "command": "the command", "parameters": {}, "versions": {}, "machine": "m"}
    (run.results / "about.json").write_text(json.dumps(about))
    assert saved_source(run.results, ("scores",)).tables["scores"].equals(TABLE)
    DAMAGES[damage](run.results / "scores.csv")
    with pytest.raises(InputError, match=r"scores\.csv: was altered since it was saved.*Make it again with: the command"):
        saved_source(run.results, ("scores",))


KEPT = {
    "executed notebook": lambda step: step.executed,
    "run.json": lambda step: step.record,
    "table": lambda step: step.run.results / "scores.csv",
    "figure": lambda step: step.run.figures / "03_scores.svg",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KEPT)
def test_a_notebook_whose_record_or_output_is_damaged_runs_again(run, finished, kind, damage):
    """An artefact that it has read is none of these: it is made again where it is read the next time."""
    step, executions = Step(finished / "notebooks" / "01_first.ipynb", run), running.watch
    executions.work = {"01_first": lambda: shown(run)}
    run_suite(run, say=lambda _: None)
    assert executions == []
    file = KEPT[kind](step)
    before = file.read_bytes()
    DAMAGES[damage](file)
    run_suite(run, say=lambda _: None)
    assert executions == ["01"] and (kind == "run.json" or file.read_bytes() == before)
    run_suite(run, say=lambda _: None)
    assert executions == ["01"]
