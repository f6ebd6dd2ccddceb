"""Parallel questions: MKQA's and those of any task, which texts are translations of each other, and what is refused."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data.leakage import evaluated_texts
from hybridir_utils.data.register import Request, data_fingerprint, read_questions
from hybridir_utils.tasks.public_sets import mkqa_questions
from hybridir_utils.tasks.retrieval_task import ParallelQuestions, RetrievalTask, parallel_rows, task_from_pairs

LANGUAGES = {"en": "question", "zh_cn": "问题", "km": "សំណួរ"}


def write_questions(data_dir, missing=(), **changed):
    """Five questions in three languages, but those of `missing` (code, number)."""
    folder = data_dir / "mkqa-questions"
    folder.mkdir(parents=True, exist_ok=True)
    for code, word in LANGUAGES.items():
        there = [n for n in range(5) if (code, n) not in missing]
        rows = [{"id": f"{n - 2}_{code}", "lang": code, "question": f"{word} {n}", "answers": []} for n in there]
        (folder / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + changed.get(code, ""), encoding="utf-8")
    return str(data_dir)


def texts(rows):
    return pd.DataFrame(rows, columns=["id", "group", "language", "text"])


def test_the_id_before_the_language_is_the_questions_in_all_languages(tmp_path):
    asked = mkqa_questions(data_dir=write_questions(tmp_path))
    assert asked.languages == ("en", "km", "zh") and len(asked.texts) == 15
    first = asked.texts[asked.texts["group"] == "-2"]
    assert dict(zip(first["language"], first["text"], strict=True)) == {"en": "question 0", "km": "សំណួរ 0", "zh": "问题 0"}
    assert asked.texts["id"].is_unique and (asked.counts()["missing"] == 0).all()


def test_a_question_missing_in_a_language_is_counted_there(tmp_path):
    asked = mkqa_questions(data_dir=write_questions(tmp_path, missing={("km", 1), ("km", 3), ("zh_cn", 3)}))
    assert asked.counts().to_dict() == {"questions": {"en": 5, "km": 3, "zh": 4}, "missing": {"en": 0, "km": 2, "zh": 1}}


def test_languages_can_be_chosen_and_an_unknown_one_is_refused(tmp_path):
    data_dir = write_questions(tmp_path)
    for chinese in ("zh", "zh_cn"):
        assert mkqa_questions([chinese, "en"], data_dir).languages == ("en", "zh")
    with pytest.raises(UnknownName, match=r"unknown language of MKQA's questions 'fr'.*Known: en, km, zh"):
        mkqa_questions(["fr", "en"], data_dir)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "0_en", "question": "again"}\n', r"en\.jsonl, line 6: question '0' stands in line 3 already"),
        ('{"id": "9_en", "question": " "}\n', r"en\.jsonl, line 6: 'question' must be a text"),
        ('{"id": "9_en"}\n', r"en\.jsonl, line 6: key 'question' is missing"),
        ('{"id": "9_en", "quest', r"en\.jsonl, line 6.*no valid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        mkqa_questions(data_dir=write_questions(tmp_path, en=line))


def test_a_missing_folder_and_one_without_questions(tmp_path, monkeypatch):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    with pytest.raises(InputError, match=r"mkqa-questions: no such folder; data/README.md says how 'mkqa-questions' gets there"):
        mkqa_questions(data_dir=str(tmp_path))
    (tmp_path / "mkqa-questions").mkdir()
    with pytest.raises(InputError, match=r"no <language>.jsonl in it"):
        mkqa_questions(data_dir=str(tmp_path))


def test_ids_that_no_two_languages_share(tmp_path):
    data_dir = write_questions(tmp_path, missing={("zh_cn", n) for n in range(5)} | {("km", n) for n in range(5)})
    rows = "".join(json.dumps({"id": f"other{n}_km", "question": f"q {n}"}) + "\n" for n in range(5))
    (tmp_path / "mkqa-questions" / "km.jsonl").write_text(rows, encoding="utf-8")
    (tmp_path / "mkqa-questions" / "zh_cn.jsonl").unlink()
    with pytest.raises(InputError, match=r"no two languages share two questions.*Set question_task"):
        mkqa_questions(data_dir=data_dir)


def test_a_question_that_stands_twice_in_a_language():
    with pytest.raises(InputError, match="question 'a' stands twice in 'en'"):
        ParallelQuestions("mine", texts([("1", "a", "en", "x"), ("2", "a", "en", "y"), ("3", "a", "de", "z")]))


def test_any_tasks_questions_can_be_asked_in_some_of_its_languages(tiny_pairs):
    task = task_from_pairs("tiny", tiny_pairs)
    asked = ParallelQuestions(task.name, task.queries)
    assert asked.languages == task.languages and len(asked.texts) == len(task.queries)
    assert asked.only(["th", "de"]).languages == ("de", "th") and asked.only([]).languages == asked.languages
    with pytest.raises(UnknownName, match="unknown language of tiny 'fr'"):
        asked.only(["fr"])


def test_a_name_stands_for_mkqas_questions_or_a_tasks(tmp_path):
    data_dir = write_questions(tmp_path)
    assert read_questions("mkqa-questions", Request(question_languages=("zh", "en"), data_dir=data_dir)).languages == ("en", "zh")
    asked = read_questions("worldfacts-test", Request(("ar", "de", "en"), question_languages=("de", "en")))
    assert asked.languages == ("de", "en") and asked.name == "worldfacts-test"
    before, other = (data_fingerprint(("mkqa-questions",), place) for place in (data_dir, write_questions(tmp_path / "b", {("km", 1)})))
    assert before != other


def test_a_task_without_translations_is_refused_where_a_study_needs_them():
    queries = texts([(f"q{n}", f"q{n}", ("en", "de")[n % 2], f"text {n}") for n in range(6)])
    task = RetrievalTask("pool", queries, queries.assign(id="d" + queries["id"]), pd.DataFrame({"query": ["q1"], "candidate": ["dq1"]}))
    with pytest.raises(InputError, match="pool: no two languages share two questions"):
        ParallelQuestions(task.name, task.queries)
    assert parallel_rows(task, "question").empty and parallel_rows(task, "passage").empty


def test_training_is_checked_against_the_questions(tmp_path):
    asked = mkqa_questions(data_dir=write_questions(tmp_path))
    found = evaluated_texts(asked)
    assert len(found["question"]) == 15 and found["passage"].empty and set(found["question"]) == {"id", "language", "text"}


def test_passages_are_parallel_by_their_own_group(tiny_pairs):
    task = task_from_pairs("tiny", tiny_pairs)
    rows = parallel_rows(task, "passage")
    assert len(rows) == len(task.candidates) and rows.groupby("group")["language"].nunique().eq(4).all()
    assert (task.candidates["group"].to_numpy()[rows["row"]] == rows["group"]).all()


def test_passages_without_shared_groups_are_parallel_by_the_question_they_answer():
    """XQuAD-R: a sentence is its own group. One that answers two questions stands once; two answers in a language are no translation."""
    queries = texts([(f"{code}:q{n}", f"q{n}", code, f"q {n}") for code in ("de", "en") for n in range(4)])
    candidates = texts([(f"{code}:s{n}", f"{code}:s{n}", code, f"s {n}") for code in ("de", "en") for n in range(5)])
    answers = {"q0": ["s0"], "q1": ["s0"], "q2": ["s1"], "q3": ["s2", "s3"]}
    pairs = [
        (f"{a}:{q}", f"{b}:{s}") for q, found in answers.items() for s in found for a in ("de", "en") for b in ("de", "en")
    ]  # fmt: skip
    task = RetrievalTask("squad", queries, candidates, pd.DataFrame(pairs, columns=["query", "candidate"]))
    rows = parallel_rows(task, "passage")
    assert [(group, task.candidates["id"][row]) for group, row in zip(rows["group"], rows["row"], strict=True)] == [
        ("q0", "de:s0"), ("q0", "en:s0"), ("q2", "de:s1"), ("q2", "en:s1"),
    ]  # fmt: skip


def test_texts_that_stand_in_one_language_only_are_left_out(tiny_pairs):
    task = task_from_pairs("tiny", tiny_pairs)
    alone = task.queries.assign(group=[f"own{n}" if n < 3 else group for n, group in enumerate(task.queries["group"])])
    rows = parallel_rows(RetrievalTask("tiny", alone, task.candidates, task.relevance), "question")
    assert len(rows) == len(task.queries) - 3


def test_the_real_questions(real_data):
    asked = mkqa_questions(data_dir=str(real_data))
    assert asked.languages == ("ar", "en", "es", "fi", "ja", "km", "ko", "ms", "ru", "sv", "tr", "zh")
    assert (asked.counts() == [1758, 0]).all(axis=None)
    chinese = asked.texts[(asked.texts["language"] == "zh") & (asked.texts["group"] == "563260143484355911")]["text"].item()
    assert "谁" in chinese
