"""Every evaluation of a run on a user's own task: gathered once, read again, named by what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybridir_utils.base.errors import Busy, MissingInput
from hybridir_utils.base.mapped import write_parquet
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.experiment import evaluation
from hybridir_utils.experiment.encoders import EncoderKey
from hybridir_utils.experiment.evaluation import evaluate
from hybridir_utils.experiment.profile import make_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.provenance.artefacts import hold
from hybridir_utils.rank.bias import MAIN_MEASURES
from hybridir_utils.results.tables import debiasing_tests, score_table
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import task_from_pairs


@pytest.fixture
def run(tiny_pairs, tiny_base, prepared, tmp_path, monkeypatch):
    """A run of one trained encoder and its base on a pool of 96 passages; jobs run in this process and are counted."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    (tmp_path / "pool").mkdir()
    write_beir(task_from_pairs("pool", tiny_pairs), tmp_path / "pool")
    trained = {EncoderKey("unaligned", "hybrid", 0.5, 1): tiny_base}
    monkeypatch.setattr(evaluation, "trained_encoders", lambda run, make: trained)
    monkeypatch.setattr(evaluation, "base_encoders", lambda run: {"unaligned": tiny_base})
    monkeypatch.setattr(evaluation, "prepare_pairs", lambda run: prepared)
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
    assert set(evaluations.table("alignment")["strategy"]) == set(evaluations.table("map")["strategy"]) == {"hybrid", "untrained"}
    assert len(score_table(scores, evaluations.table("bias"))) == 4


def test_comparators_stand_beside_the_encoder_as_it_is(run, jobs):
    """Method `none` is what the scores and bias tables say; centring, by question too, is what its vectors give."""
    evaluations = evaluate(run)
    table = evaluations.table("debiasing", strategy="hybrid")
    tried = table[["method", "fitted_on", "question_language"]].drop_duplicates().apply(tuple, axis=1).to_list()
    fitted = [("centring", "given"), ("centring", "identified"), ("lir", "given"), ("lsar", "given"), ("shift", "-")]
    assert tried == [("none", "-", "-"), *((m, on, known) for on in ("pool", "training") for m, known in fitted)]
    values = table.set_index(["method", "fitted_on", "question_language", "setting", "metric"])["value"]
    of_macro = "strategy == 'hybrid' and query_language == 'macro'"
    plain = evaluations.table("scores").query(of_macro).set_index(["setting", "metric"])["value"]
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        assert values["none", "-", "-", setting, "mAP"] == plain[setting, "mAP"]
    assert values["none", "-", "-", "multilingual", "R@10"] == plain["multilingual", "R@10"]
    bias = evaluations.table("bias").query(of_macro).set_index("measure")["value"]
    for measure in MAIN_MEASURES:
        assert values["none", "-", "-", "multilingual", measure] == bias[measure]
    by_question = evaluations.table("debiasing_questions", strategy="hybrid").query("setting == 'multilingual'")
    means = by_question.groupby("query_language", observed=True)[["AP", "rank_distance"]].mean().mean()
    tests = debiasing_tests(evaluations, questions := evaluations.table("questions"), 20).set_index(["strategy", "measure"])
    assert set(tests.index.unique("strategy")) == {"centred untrained", "centred hybrid"}
    was = questions.query("strategy == 'hybrid' and setting == 'multilingual'")[["AP", "rank_distance"]].mean()
    for measure in means.index:
        assert tests["mean_difference"]["centred hybrid", measure] == pytest.approx(by_question[measure].mean() - was[measure])
    centred = means["AP"]
    assert values["centring", "pool", "given", "multilingual", "mAP"] == pytest.approx(centred) != plain["multilingual", "mAP"]


def test_pretrained_encoders_are_debiased_on_every_task_and_those_made_here_on_the_first(run, tiny_base, tmp_path, jobs, monkeypatch):
    (tmp_path / "second").symlink_to(tmp_path / "pool")
    trained = {EncoderKey(base, "hybrid", 0.5, seed): tiny_base for base in ("unaligned", "st:other") for seed in (1, 2)}
    monkeypatch.setattr(evaluation, "trained_encoders", lambda run, make: trained)
    monkeypatch.setattr(evaluation, "base_encoders", lambda run: {"unaligned": tiny_base, "st:other": tiny_base})
    tasks = [*run.profile.tasks, f"beir:{tmp_path / 'second'}"]
    evaluations = evaluate(open_run("sample", tasks=tasks, seeds=[1, 2], bases=["unaligned", "st:other"]))
    keys = evaluations.table("debiasing")[["base", "strategy", "seed", "task"]].drop_duplicates()
    made_here = keys[keys["base"] == "unaligned"]
    assert set(zip(made_here["strategy"], made_here["seed"], made_here["task"], strict=True)) == {
        ("hybrid", 1, tasks[0]), ("untrained", 0, tasks[0])
    }  # fmt: skip
    assert len(keys[keys["base"] == "st:other"]) == 3 * 2, "two seeds and the base, on both tasks"


def test_tasks_of_one_encoder_side_by_side_wait_for_its_training_passages(prepared, tmp_path, monkeypatch):
    busy = []

    def vectors(encoder, texts, role, folder):
        with pytest.raises(Busy), hold(folder):
            pass
        busy.append((encoder, role, folder))
        return np.eye(len(texts))

    monkeypatch.setattr(evaluation, "kept_vectors", vectors)
    text = evaluation._training_text("/runs/hybrid-s1", {"pairs": prepared.folder, "vectors": tmp_path}, {})
    assert busy == [("/runs/hybrid-s1", "document", tmp_path / "pairs-tiny" / "hybrid-s1")]
    assert len(text.languages) == len(text.vectors) == len(text.parallel) == 96, "every passage of the pairs, each with its translations"


def test_methods_are_fitted_on_the_training_passages_that_stand_in_most_languages(tmp_path, monkeypatch):
    """p0 and p1 stand in three languages, the others in one or two; two passages a language are drawn."""
    rows = [(f"{n}{code}", f"p{n}", code) for n in range(6) for code in ("de", "en", "th")[: 3 if n < 2 else 1 + n % 2]]
    pairs = pairs_from_rows((i, passage, code, "q", f"{passage} {code}", "s") for i, passage, code in [*rows, ("again", "p0", "de")])
    (tmp_path / "pairs" / "made").mkdir(parents=True)
    write_parquet(pairs, tmp_path / "pairs" / "made" / "train.parquet")
    monkeypatch.setattr(evaluation, "FITTED_PASSAGES", 2)
    chosen = evaluation._training_passages.__wrapped__(tmp_path / "pairs" / "made")
    assert sorted(chosen["text"]) == [f"p{n} {code}" for n in range(2) for code in ("de", "en", "th")]
    assert (
        chosen.groupby("group")["text"].agg(lambda texts: {text[:2] for text in texts}).map(len).eq(1).all()
        and chosen["group"].nunique() == 2
    )
    monkeypatch.setattr(evaluation, "FITTED_PASSAGES", 4)
    more = evaluation._training_passages.__wrapped__(tmp_path / "pairs" / "made")
    assert more["language"].value_counts().to_dict() == {"de": 4, "en": 4, "th": 2} and more["id"].is_unique


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


def test_encoders_that_are_missing_are_told_with_notebook_and_command(tmp_path, monkeypatch, real_data):
    from types import SimpleNamespace

    from hybridir_utils.experiment import encoders
    from hybridir_utils.experiment.run import open_run

    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(encoders, "prepare_pairs", lambda run: SimpleNamespace(folder=tmp_path / "pairs"))
    monkeypatch.setattr(encoders, "base_encoders", lambda run: dict.fromkeys(run.profile.bases, tmp_path / "base"))
    with pytest.raises(MissingInput, match=r"30 of 30 encoders.*02_hybrid_batch_training.*run --profile sample --only 02"):
        encoders.trained_encoders(open_run("sample"), make=False)


def test_a_retriever_is_read_with_the_prompts_of_the_profile(run, jobs, tiny_base, monkeypatch):
    """Beside the same folder without: they go before questions and passages."""
    monkeypatch.setattr(evaluation, "place_of", lambda name: str(tiny_base))
    changed = {
        **run.profile.model_dump(),
        "retrievers": ("st:named", "st:plain"),
        "encoder_prompts": {"st:named": ("Query: ", "Passage: ")},
    }
    evaluations = evaluate(replace(run, profile=make_profile(changed, "test")))
    scores = evaluations.table("scores").query("strategy == 'zero-shot' and metric == 'mAP' and query_language == 'macro'")
    named, plain = (scores[scores["base"] == base]["value"].to_numpy() for base in ("st:named", "st:plain"))
    untrained = evaluations.table("scores").query("strategy == 'untrained' and metric == 'mAP' and query_language == 'macro'")
    assert not np.allclose(named, plain) and np.array_equal(plain, untrained["value"].to_numpy())
