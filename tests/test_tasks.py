"""The retrieval task: row order, identity by id, a task from parallel pairs, what is refused and how."""

import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.tasks.retrieval_task import RetrievalTask, task_from_pairs

COLUMNS = ["id", "group", "language", "text"]


def frames(**changes):
    """Queries, candidates, relevance of a small task, with `changes` to any of the three."""
    rows = {
        "queries": [("q-vi", "q", "vi", "hỏi"), ("q-en", "q", "en", "ask")],
        "candidates": [("c-en", "c", "en", "answer"), ("c-de", "c", "de", "Antwort"), ("d-en", "d", "en", "answer")],
        "relevance": [("q-en", "c-de"), ("q-en", "c-en"), ("q-vi", "c-en")],
    } | changes
    judged = ["query", "candidate", "gain"][: max(map(len, rows["relevance"]), default=2)]
    return [pd.DataFrame(rows[kind], columns=COLUMNS if kind != "relevance" else judged) for kind in rows]


def test_rows_are_kept_in_language_order_and_equal_texts_stay_apart():
    task = RetrievalTask("t", *frames())
    assert task.languages == ("de", "en", "vi")  # the pool's, then those only queries have
    assert list(task.candidates["id"]) == ["c-de", "c-en", "d-en"] and list(task.queries["id"]) == ["q-en", "q-vi"]
    assert task.candidate_language.tolist() == [0, 1, 1] and task.query_language.tolist() == [1, 2]
    assert task.relevant_pairs.tolist() == [[0, 0], [0, 1], [1, 1]]


def test_summary_counts_per_language():
    summary = RetrievalTask("t", *frames()).summary()
    assert summary.loc["en"].to_dict() == {"questions": 1, "candidates": 2, "relevant": 2}
    assert summary.loc["vi"].to_dict() == {"questions": 1, "candidates": 0, "relevant": 0}


def test_task_from_pairs_takes_every_translation_as_relevant_and_a_shared_passage_once():
    """Questions a and b share passage p; b has no German; passages r and t, of equal text, stand in German only."""
    task = task_from_pairs(
        "t",
        pairs_from_rows(
            [
                ("a", "p", "en", "Where?", "Here.", "s"),
                ("a", "p", "de", "Wo?", "Hier.", "s"),
                ("b", "p", "en", "Which place?", "Here.", "s"),
                ("c", "r", "de", "Wer?", "Er.", "s"),
                ("d", "t", "de", "Er?", "Er.", "s"),
            ]
        ),
    )
    texts, groups = (dict(zip(f["id"], f[c], strict=True)) for f, c in ((task.candidates, "text"), (task.queries, "group")))
    assert texts == {
        "de:p": "Hier.",
        "en:p": "Here.",
        "de:r": "Er.",
        "de:t": "Er.",
    }
    assert groups == {
        "en:a": "a",
        "de:a": "a",
        "en:b": "b",
        "de:c": "c",
        "de:d": "d",
    }
    relevant = set(task.relevance.itertuples(index=False, name=None))
    assert relevant == {(q, c) for q in ("en:a", "de:a", "en:b") for c in ("en:p", "de:p")} | {("de:c", "de:r"), ("de:d", "de:t")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": []}, "task t: no queries"),
        ({"candidates": []}, "task t: no candidates"),
        ({"relevance": []}, "task t: no relevance judgements"),
        ({"queries": [("q-en", "q", "en", "ask"), ("q-en", "q", "de", "frag")]}, "queries id 'q-en' stands twice"),
        ({"candidates": [("c-en", "c", "en", "a"), ("c-de", "c", "de", " \n")]}, "candidates 'c-de' has no text .1 such"),
        ({"candidates": [("c-en", "c", "en", None), ("c-de", "c", "de", "a")]}, "candidates 'c-en' has no text"),
        ({"candidates": [("c-en", "c", float("nan"), "a"), ("c-de", "c", "de", "a")]}, "candidates 'c-en' has no language"),
        (
            {"relevance": [("q-en", "c-en", 1.0), ("q-en", "c-de", 0.0)]},
            r"relevance has {.*'c-de', 'gain': 0.0}; a gain is a number above 0",
        ),
        ({"relevance": [("q-en", "c-en", float("nan"))]}, "relevance has {.*'gain': nan}; a gain is a number above 0"),
        ({"relevance": [("q-en", "c-fr")]}, "relevance names candidate 'c-fr', which is not among its candidates"),
        ({"relevance": [("q-fr", "c-en")]}, "relevance names query 'q-fr', which is not among its queries"),
        ({"relevance": [("q-en", "c-en")] * 2}, r"relevance lists .'q-en', 'c-en'. twice"),
    ],
)
def test_a_broken_task_is_refused_naming_the_row(changes, message):
    with pytest.raises(InputError, match=message):
        RetrievalTask("t", *frames(**changes))
