"""Every evaluation of a run on a user's own task: gathered once, read again, named by what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybridir_utils.base.errors import MissingInput
from hybridir_utils.experiment import evaluation
from hybridir_utils.experiment.encoders import EncoderKey
from hybridir_utils.experiment.evaluation import evaluate
from hybridir_utils.experiment.profile import make_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.results.tables import score_table
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import task_from_pairs


@pytest.fixture
def run(tiny_pairs, tiny_base, tmp_path, monkeypatch):
    """A run of one trained encoder and its base on a pool of 96 passages; jobs run in this process and are counted."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    (tmp_path / "pool").mkdir()
    write_beir(task_from_pairs("pool", tiny_pairs), tmp_path / "pool")
    trained = {EncoderKey("unaligned", "hybrid", 0.5, 1): tiny_base}
    monkeypatch.setattr(evaluation, "trained_encoders", lambda run, make: trained)
    monkeypatch.setattr(evaluation, "base_encoders", lambda run: {"unaligned": tiny_base})
    return open_run("sample", tasks=[f"beir:{tmp_path / 'pool'}"], seeds=[1])


@pytest.fixture
def jobs(monkeypatch) -> list:
    done = []

    def here(run_job, jobs, workers, label):
        done.extend(job[0].name for job in jobs)
        return [run_job(*job) for job in jobs]

    monkeypatch.setattr(evaluation, "run_jobs", here)
    return done


def test_encoders_bases_and_references_are_evaluated_once(run, jobs):
    evaluations = evaluate(run)
    assert len(jobs) == 4 and len({key for key, _ in evaluations.folders}) == 4
    assert all("/" not in name for name in jobs)
    scores = evaluations.table("scores")
    assert set(scores["strategy"]) == {"hybrid", "untrained", "BM25", "random"} and scores["value"].between(0, 1).all()
    evaluate(run)
    assert len(jobs) == 4, "what is there is read"
    (folder,) = [folder for (key, _), folder in evaluations.folders.items() if key.strategy == "BM25"]
    (folder / "scores.parquet").write_bytes(b"")
    assert evaluate(run).table("scores").equals(scores) and jobs[4:] == [job for job in jobs[:4] if "BM25" in job]


def test_every_part_has_its_encoder_and_agrees_with_the_others(run, jobs):
    evaluations = evaluate(run)
    scores, questions = evaluations.table("scores"), evaluations.table("questions")
    mixed = questions[questions["setting"] == "multilingual"]
    own = mixed.groupby(["strategy", "query_language"])["AP"].mean().groupby("strategy").mean()
    macro = scores.query("setting == 'multilingual' and query_language == 'macro' and metric == 'mAP'").set_index("strategy")["value"]
    assert np.allclose(own[macro.index], macro)
    key, task = next(item for item in evaluations.folders if item[0].strategy == "hybrid")
    assert evaluations.top(key, task).shape == (96, 10)
    assert set(evaluations.table("debiasing")["strategy"]) == {"hybrid"} and set(evaluations.table("debiasing")["method"]) == {
        "centring",
        "lir",
        "lsar",
    }
    assert set(evaluations.table("alignment")["strategy"]) == set(evaluations.table("map")["strategy"]) == {"hybrid", "untrained"}
    assert len(score_table(scores, evaluations.table("bias"))) == 4


def test_every_encoder_and_task_has_the_alignment_of_questions_and_passages(run, jobs, tiny_base, tmp_path, monkeypatch):
    """All seeds and tasks, not only what is mapped; seeds of one encoder have one alignment."""
    trained = {EncoderKey("unaligned", "hybrid", 0.5, seed): tiny_base for seed in (1, 2)}
    monkeypatch.setattr(evaluation, "trained_encoders", lambda run, make: trained)
    (tmp_path / "second").symlink_to(tmp_path / "pool")
    evaluations = evaluate(open_run("sample", tasks=[*run.profile.tasks, f"beir:{tmp_path / 'second'}"], seeds=[1, 2]))
    alignment = evaluations.table("alignment")
    keys = alignment.groupby(["task", "strategy", "seed", "side"])["measure"].nunique()
    assert len(keys) == 2 * 3 * 2 and (keys == 5).all(), "tasks x (two seeds, untrained) x sides"
    gaps = alignment[alignment["measure"] == "alignment_gap"].groupby(["side", "strategy", "seed"])["value"].mean()
    assert gaps["passage", "hybrid", 1] == gaps["passage", "hybrid", 2] == gaps["passage", "untrained", 0]
    assert gaps["passage"].iloc[0] != gaps["question"].iloc[0]
    assert len(evaluations.table("map")["seed"].unique()) == 2, "one seed and the base"


def test_a_task_without_translations_has_no_alignment_and_the_rest_of_its_measures(run, jobs, tiny_pairs, tmp_path):
    english = tiny_pairs.filter(lambda row: row["language"] == "en")
    write_beir(task_from_pairs("mono", english), tmp_path / "mono")
    evaluations = evaluate(open_run("sample", tasks=[*run.profile.tasks, f"beir:{tmp_path / 'mono'}"], seeds=[1]))
    task = f"beir:{tmp_path / 'mono'}"
    assert len(evaluations.table("scores", task=task)) and evaluations.table("alignment", task=task).empty
    both = evaluations.table("alignment")
    assert set(both["task"]) == set(run.profile.tasks) and both["value"].dtype == float


def test_a_process_opens_each_task_once(run, jobs, monkeypatch):
    opened, task_of = [], evaluation.read_task
    monkeypatch.setattr(evaluation, "read_task", lambda *given: (opened.append(given), task_of(*given))[1])
    evaluate(run)
    assert len(jobs) == 4 and len(opened) == 1


def test_profiles_that_do_not_train_in_place_say_what_to_run(run, jobs, monkeypatch):
    asked = []

    def missing(run, make):
        asked.append(make)
        raise MissingInput("train first")

    monkeypatch.setattr(evaluation, "trained_encoders", missing)
    with pytest.raises(MissingInput):
        evaluate(open_run("sample", train_in_place=False))
    assert asked == [False] and jobs == []


def test_encoders_that_are_missing_are_told_with_notebook_and_command(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from hybridir_utils.experiment import encoders
    from hybridir_utils.experiment.run import open_run

    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(encoders, "prepare_pairs", lambda run: SimpleNamespace(folder=tmp_path / "pairs"))
    monkeypatch.setattr(encoders, "base_encoders", lambda run: dict.fromkeys(run.profile.bases, tmp_path / "base"))
    with pytest.raises(MissingInput, match=r"30 of 30 encoders.*02_hybrid_batch_training.*run --profile xquad --only 02"):
        encoders.trained_encoders(open_run("xquad"), make=False)


def test_a_public_retriever_is_read_with_its_own_prompts(run, jobs, tiny_base, monkeypatch):
    """Beside the same folder without prompts: the prompts of the catalogue go before questions and passages."""
    monkeypatch.setattr(evaluation, "prompts_of", lambda name: ("Query: ", "Passage: ") if name == "st:named" else None)
    monkeypatch.setattr(evaluation, "place_of", lambda name: str(tiny_base))
    changed = {**run.profile.model_dump(), "retrievers": ("st:named", "st:plain")}
    evaluations = evaluate(replace(run, profile=make_profile(changed, "test")))
    scores = evaluations.table("scores").query("strategy == 'zero-shot' and metric == 'mAP' and query_language == 'macro'")
    named, plain = (scores[scores["base"] == base]["value"].to_numpy() for base in ("st:named", "st:plain"))
    untrained = evaluations.table("scores").query("strategy == 'untrained' and metric == 'mAP' and query_language == 'macro'")
    assert not np.allclose(named, plain) and np.array_equal(plain, untrained["value"].to_numpy())
