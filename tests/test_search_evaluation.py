"""Ranked lists of search tasks are measured as trec_eval and BGE-M3's protocol measure them."""

import math

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hub_sets import FACTS, retrieval_parts, write_mkqa, write_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.register import Request, read_task
from hybridir_utils.rank.metrics import scores
from hybridir_utils.rank.search import answered_measures, encoder_ranker, evaluate_search, judged_measures, vector_ranker
from hybridir_utils.tasks.searched_task import Search, SearchTask

WIDTH = len(FACTS)


def bag(texts) -> np.ndarray:
    """[n, WIDTH] fp32: which of FACTS a text names, with a little less weight for the later ones."""
    return np.array([[(fact in text) * (1 - i / 100) for i, fact in enumerate(FACTS)] for text in texts], np.float32)


def bag_ranker():
    return vector_ranker(lambda queries: bag(queries["text"]), lambda name, corpus: bag(corpus["text"]))


def test_hand_made_values():
    """nDCG with linear gains and the log2 discount; recall of the relevant; trec_eval's reciprocal rank."""
    relevant = pd.DataFrame({"query": ["a", "a", "a", "b"], "row": [7, 3, 5, 1], "relevance": [2, 1, 0, 1]})
    rows = np.array([[5, 3, 7, 0], [0, 2, 3, 4]])
    table = judged_measures(["nDCG@3", "nDCG@2", "R@2", "RR@10"], relevant, ["b", "a"], rows[::-1])
    ideal = 2 + 1 / math.log2(3)
    assert table.loc[0].tolist() == [0, 0, 0, 0]
    assert table.loc[1].tolist() == pytest.approx([(1 / math.log2(3) + 2 / 2) / ideal, 1 / math.log2(3) / ideal, 0.5, 0.5], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.permutations(range(12)), st.lists(st.integers(0, 3), min_size=12, max_size=12)), min_size=1, max_size=4))
def test_equal_to_the_formulas_on_any_lists(cases):
    cases = [(order, gains) for order, gains in cases if any(gains)]
    if not cases:
        return
    names = [f"q{i}" for i in range(len(cases))]
    rows = np.array([order for order, _ in cases])
    judged = [(name, row, gain) for name, (_, gains) in zip(names, cases, strict=True) for row, gain in enumerate(gains)]
    table = judged_measures(["nDCG@5", "R@5"], pd.DataFrame(judged, columns=["query", "row", "relevance"]), names, rows)
    discount = 1 / np.log2(np.arange(2, 7))
    for i, (order, gains) in enumerate(cases):
        gains = np.array(gains)
        expected = (gains[list(order)[:5]] @ discount) / (np.sort(gains)[::-1][:5] @ discount)
        assert table["nDCG@5"][i] == pytest.approx(expected, abs=1e-9)
        assert table["R@5"][i] == pytest.approx((gains[list(order)[:5]] > 0).sum() / (gains > 0).sum(), abs=1e-9)


def test_a_question_counts_from_the_first_passage_with_an_answer(monkeypatch):
    monkeypatch.setattr("hybridir_utils.rank.search.BATCH", 2)
    texts = [f"passage {i}" for i in range(6)] + ["by Dave Edmunds .", "the Sly Fox"]
    rows = np.array([[0, 1, 6], [7, 6, 1], [1, 2, 3]])
    answers = {"x": ["nobody", "dave edmunds"], "y": ["Sly Fox"], "z": ["Edmunds"]}
    table = answered_measures(["Recall@1", "Recall@2", "Recall@3"], answers, ["x", "y", "z"], rows, lambda found: [texts[i] for i in found])
    assert table.to_numpy().tolist() == [[0, 0, 1], [1, 1, 1], [0, 0, 0]]


def test_miracl_from_the_folder_to_the_table(tmp_path):
    """Question 1 finds its two passages in the order of their grades; question 2 its one."""
    write_parts(tmp_path / "miracl", retrieval_parts("sw", "dev", "maji") | retrieval_parts("yo", "dev", "omi"))
    per_query = evaluate_search(read_task("miracl", Request(task_languages=["sw", "yo"], data_dir=str(tmp_path))), bag_ranker())
    assert per_query["query"].tolist() == ["1", "2"] * 2 and per_query["group"].is_unique
    ideal = 2 + 1 / math.log2(3)
    assert per_query["nDCG@10"].tolist() == pytest.approx([(2 + 1 / math.log2(3)) / ideal, 1] * 2, abs=1e-12)
    table = scores(per_query).set_index(["query_language", "metric"])
    assert set(table.index.get_level_values("query_language")) == {"sw", "yo", "macro"}
    assert table.loc[("sw", "R@100")].to_dict() == {"setting": "monolingual", "candidate_language": "sw", "n": 2, "value": 1.0}
    assert table.loc[("macro", "nDCG@10"), ["candidate_language", "n"]].tolist() == ["macro", 2]


def test_mkqa_from_the_folder_to_the_table(tmp_path):
    facts = [{"id": i, "question": f"what is {fact}", "answers": [f"{fact.upper()} is wet"]} for i, fact in enumerate(FACTS[:3])]
    write_mkqa(tmp_path / "mkqa", {"th": facts, "ar": [*facts[:2], facts[2] | {"answers": ["dry"]}]})
    corpus = retrieval_parts("", "corpus")["corpus", "corpus"]
    write_parts(tmp_path / "nq", {("corpus", "corpus"): corpus})
    per_query = evaluate_search(read_task("mkqa", Request(task_languages=["th", "ar"], data_dir=str(tmp_path))), bag_ranker())
    assert per_query.groupby("query_language")["Recall@20"].mean().to_dict() == {"ar": pytest.approx(2 / 3), "th": 1.0}
    assert set(per_query["group"]) == {"0", "1", "2"} and set(per_query["candidate_language"]) == {"en"}
    assert set(scores(per_query)["setting"]) == {"cross-lingual"}


def test_an_encoder_from_a_folder(tmp_path, tiny_base):
    """The encoder's own cosines, fully sorted, give the same table; the vectors lie on disk."""
    from hybridir_utils.encode.encoding import encode_rows
    from hybridir_utils.encode.opening import open_model

    write_parts(tmp_path / "miracl", retrieval_parts("sw", "dev", "maji"))
    task = read_task("miracl", Request(task_languages=["sw"], data_dir=str(tmp_path)))
    found = evaluate_search(task, encoder_ranker(str(tiny_base), tmp_path / "vectors", shard_size=4))
    model, corpus, queries = open_model(tiny_base), task.open_corpus("sw"), task.searches[0].queries
    sides = [
        encode_rows(model, rows["text"][:], role, rows["id"][:], 512, "fp32") for rows, role in ((queries, "query"), (corpus, "document"))
    ]
    sorted_ = np.argsort(-(sides[0] @ sides[1].T), axis=1, kind="stable")
    expected = evaluate_search(task, lambda *_: [sorted_])
    pd.testing.assert_frame_equal(found, expected)
    assert len(list((tmp_path / "vectors" / "sw").rglob("*.npy"))) == 2


def test_a_corpus_is_made_ready_once_for_all_languages(tmp_path):
    rows = [{"id": 1, "question": "water", "answers": ["water"]}]
    write_mkqa(tmp_path / "mkqa", {code: rows for code in ("th", "ar", "de")})
    write_parts(tmp_path / "nq", {("corpus", "corpus"): retrieval_parts("", "corpus")["corpus", "corpus"]})
    made = []
    rank = vector_ranker(lambda queries: bag(queries["text"]), lambda name, corpus: made.append(name) or bag(corpus["text"]))
    assert len(
        evaluate_search(read_task("mkqa", Request(task_languages=["th", "ar", "de"], data_dir=str(tmp_path))), rank)
    ) == 3 and made == ["nq"]


def own_task(skip_own: bool) -> SearchTask:
    """Question d0 stands in the corpus itself, and d1 is relevant to it."""
    corpus = Dataset.from_dict({"id": [f"d{i}" for i in range(4)], "text": ["water", "water fire", "stone", "tree"]})
    queries = pd.DataFrame({"id": ["d0"], "group": ["d0"], "language": ["en"], "text": ["water"]})
    qrels = pd.DataFrame({"query": ["d0"], "candidate": ["d1"], "relevance": [1]})
    return SearchTask("own", ("R@1", "nDCG@10"), (Search("en", "en", "c", queries, qrels),), lambda name: corpus, skip_own)


def test_a_question_of_the_corpus_does_not_find_itself():
    """One passage more is asked for, so that as many are left."""
    depths = []

    def rank(name, corpus, searches, depth):
        depths.append(depth)
        return [np.arange(4)[None]]

    assert evaluate_search(own_task(False), rank, 10)["R@1"].tolist() == [0]
    assert evaluate_search(own_task(True), rank, 10)[["R@1", "nDCG@10"]].to_numpy().tolist() == [[1, 1]]
    assert depths == [10, 11]


def test_a_depth_that_does_not_reach():
    with pytest.raises(InputError, match=r"own: depth = 5 is less than 10, the largest k of R@1, nDCG@10"):
        evaluate_search(own_task(False), bag_ranker(), 5)


def test_nothing_is_encoded_when_the_corpus_lacks_a_relevant_passage():
    task = own_task(False)
    task.searches[0].qrels["candidate"] = "elsewhere"
    with pytest.raises(InputError, match="1 passages judged relevant are not in the corpus, such as 'elsewhere'"):
        evaluate_search(task, lambda *_: pytest.fail("ranked"), 10)


def test_equal_scores_keep_the_order_of_the_corpus():
    """trec_eval alone would sort equal scores by descending name, and row 10 would come before row 9."""
    relevant = pd.DataFrame({"query": ["a"], "row": [9], "relevance": [1]})
    assert judged_measures(["RR@10"], relevant, ["a"], np.array([[9, 10]]))["RR@10"].tolist() == [1]
