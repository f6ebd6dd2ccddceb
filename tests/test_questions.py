"""Every encoder of a run on its parallel questions: made once, read again, refused where the questions are not parallel."""

from __future__ import annotations

import json

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment import evaluation
from hybridir_utils.experiment.encoders import EncoderKey
from hybridir_utils.experiment.run import open_run
from hybridir_utils.studies import questions
from hybridir_utils.studies.questions import evaluate_questions, trained_languages
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import task_from_pairs


@pytest.fixture
def pool(tiny_pairs, tmp_path):
    write_beir(task_from_pairs("pool", tiny_pairs), tmp_path / "pool")
    return f"beir:{tmp_path / 'pool'}"


@pytest.fixture
def jobs(tiny_base, tmp_path, monkeypatch) -> list:
    """Jobs run in this process and are counted; the run has one trained encoder, which is its base once more."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    trained = {EncoderKey("unaligned", "hybrid", 0.5, seed): tiny_base for seed in (1, 2)}
    monkeypatch.setattr(questions, "trained_encoders", lambda run, make: trained)
    monkeypatch.setattr(evaluation, "base_encoders", lambda run: {"unaligned": tiny_base})
    done = []

    def here(run_job, jobs, workers, label):
        done.extend(job[1] for job in jobs)
        return [run_job(*job) for job in jobs]

    monkeypatch.setattr(questions, "run_jobs", here)
    return done


def test_the_first_tasks_questions_are_asked_once_for_every_encoder(pool, jobs):
    run = open_run("sample", tasks=[pool], languages=["ar", "de", "en", "th"], unseen_languages=["th"])
    found = evaluate_questions(run)
    assert len(jobs) == 3 and trained_languages(run) == ("ar", "de", "en")
    recall, per, alignment = (found.table(part) for part in ("recall", "questions", "alignment"))
    assert set(recall["strategy"]) == {"hybrid", "untrained"} and len(recall) == 3 * 12 * 3
    assert set(per["setting"]) == {"all pairs", "both trained", "one untrained"} and per["group"].nunique() == 24
    assert {"alignment_gap", "translation_accuracy", "uniformity", "language_identity"} <= set(alignment["measure"])
    evaluate_questions(run)
    assert len(jobs) == 3, "what is there is read"
    evaluate_questions(open_run("sample", tasks=[pool], languages=["ar", "de", "en", "th"]))
    assert len(jobs) == 6, "other training languages, other kinds of pairs"


def test_tables_average_pairs_and_seeds(pool, jobs):
    run = open_run("sample", tasks=[pool], languages=["ar", "de", "en", "th"], unseen_languages=["th"])
    found, trained = evaluate_questions(run), trained_languages(run)
    recall = found.table("recall")
    means = questions.recall_means(recall, trained)
    one = means.query("strategy == 'hybrid' and seed == 1 and metric == 'Recall@1'").set_index("setting")
    pairs = recall.query("strategy == 'hybrid' and seed == 1 and metric == 'Recall@1'")
    assert one.loc["all pairs", "value"] == pytest.approx(pairs["value"].mean()) and one["n"].to_dict() == {
        "all pairs": 12, "both trained": 6, "one untrained": 6,
    }  # fmt: skip
    wide = questions.recall_wide(means)
    assert list(wide.index) == [("unaligned", "hybrid"), ("unaligned", "untrained")]
    assert wide.loc[("unaligned", "hybrid"), ("all pairs", "Recall@1")].endswith("± 0.000"), "two seeds of one encoder"
    tests = questions.question_tests(found.table("questions"), resamples=50)
    assert set(tests["baseline"]) == {"untrained"} and (tests["mean_difference"] == 0).all() and (tests["n_seeds"] == 2).all()
    one_group = found.table("questions").assign(group="q")
    none = questions.question_tests(one_group, resamples=50)
    assert none.empty and set(none) == set(tests), "a table of tests has its columns also where nothing can be tested"
    assert questions.on_recall(means, none) == [] and questions.main_tests(none).empty


def test_some_languages_of_the_questions(pool, jobs):
    run = open_run("sample", tasks=[pool], languages=["ar", "de", "en", "th"], question_languages=["th", "en"])
    assert set(evaluate_questions(run).table("recall")["query_language"]) == {"en", "th"}


def test_questions_of_their_own_folder(jobs, tmp_path):
    folder = tmp_path / "mkqa-questions"
    folder.mkdir()
    for code in ("en", "km"):
        rows = [json.dumps({"id": f"{n}_{code}", "question": f"water fire {n}"}) for n in range(6)]
        (folder / f"{code}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    found = evaluate_questions(open_run("sample", question_task="mkqa-questions", data_dir=str(tmp_path)))
    assert set(found.table("recall")["query_language"]) == {"en", "km"} and set(found.table("recall")["task"]) == {"mkqa-questions"}


def test_questions_without_translations_stop_before_any_encoder_is_opened(tiny_pairs, jobs, tmp_path):
    english = tiny_pairs.filter(lambda row: row["language"] == "en")
    write_beir(task_from_pairs("mono", english), tmp_path / "mono")
    with pytest.raises(InputError, match=r"mono: no two languages share two questions.*Set question_task"):
        evaluate_questions(open_run("sample", tasks=[f"beir:{tmp_path / 'mono'}"]))
    assert jobs == []
