"""The measures equal the field's libraries where scores differ, and their bounds equal every order where scores tie."""

from __future__ import annotations

from itertools import permutations

import ir_measures
import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from sklearn.metrics import average_precision_score
from test_ranking import from_matrix, make_task

from hybridir_utils.rank import metrics
from hybridir_utils.rank.ranking import Ranks, rank_task
from hybridir_utils.tasks.retrieval_task import RetrievalTask

SIZES = {"de": 17, "en": 13, "th": 5, "zh": 1}


def make_scored(seed: int, relevance: float, asked: tuple[str, ...] = (), levels: int = 0) -> tuple[np.ndarray, RetrievalTask, Ranks]:
    """A task with several, one or no relevant candidates per language; all scores differ unless `levels` are given."""
    task = make_task(SIZES, 6, relevance, seed, asked)
    rng, shape = np.random.default_rng(seed), (len(task.queries), len(task.candidates))
    scores = rng.integers(0, levels, shape) if levels else rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
    scores = scores.astype(np.float32)
    return scores, task, rank_task(from_matrix(scores), task)


def runs_of(task: RetrievalTask):
    """(setting, query, pool name, pool rows, relevant mask of the pool) of every run of the protocol, by its definition."""
    relevant = np.zeros((len(task.queries), len(task.candidates)), dtype=bool)
    relevant[tuple(task.relevant_pairs.T)] = True
    everything = np.arange(len(task.candidates))
    for query in range(len(task.queries)):
        for code, language in enumerate(task.languages):
            pool = everything[task.candidate_language == code]
            if relevant[query, pool].any():
                own = task.query_language[query] == code
                yield "monolingual" if own else "cross-lingual", query, language, pool, relevant[query, pool]
        if relevant[query].any():
            yield "multilingual", query, "all", everything, relevant[query]


def oracle(task: RetrievalTask, scores: np.ndarray) -> pd.DataFrame:
    rows = []
    for setting, query, name, pool, relevant in runs_of(task):
        run = {"q": {str(c): float(s) for c, s in zip(pool, scores[query, pool], strict=True)}}
        qrels = {"q": {str(c): 1 for c in pool[relevant]}}
        found = pytrec_eval.RelevanceEvaluator(qrels, {"map", "recall_1,10", "ndcg_cut_10", "recip_rank", "map_cut_5"}).evaluate(run)["q"]
        other = ir_measures.calc_aggregate([ir_measures.parse_measure(m) for m in ("AP", "nDCG@10", "RR", "R@10")], qrels, run)
        assert {str(m): pytest.approx(v, abs=1e-9) for m, v in other.items()} == {
            "AP": found["map"],
            "nDCG@10": found["ndcg_cut_10"],
            "RR": found["recip_rank"],
            "R@10": found["recall_10"],
        }
        assert found["map"] == pytest.approx(average_precision_score(relevant, scores[query, pool]), abs=1e-9)
        rows.append(
            (
                setting,
                query,
                name,
                found["map"],
                found["recall_1"],
                found["recall_10"],
                found["ndcg_cut_10"],
                found["recip_rank"],
                found["map_cut_5"],
            )
        )
    return pd.DataFrame(rows, columns=["setting", "query", "candidate_language", "AP", "R@1", "R@10", "nDCG@10", "RR", "AP@5"])


@pytest.mark.parametrize(("seed", "relevance", "asked"), [(0, 0.08, ()), (1, 0.6, ()), (2, 0.03, ("de", "fi")), (3, 1.0, ("th",))])
def test_every_run_equals_trec_eval_ir_measures_and_scikit_learn(seed, relevance, asked):
    scores, task, ranks = make_scored(seed, relevance, asked)
    found = metrics.per_query(ranks, task)
    found["AP@5"] = metrics.truncated_ap(ranks, task, depth=5)
    expected = oracle(task, scores)
    keys = ["setting", "query", "candidate_language"]
    both = expected.merge(found.astype({"setting": str, "candidate_language": str}), on=keys, suffixes=("_oracle", ""), how="outer")
    assert len(both) == len(expected) == len(found)
    for metric in ("AP", "R@1", "R@10", "nDCG@10", "RR", "AP@5"):
        np.testing.assert_allclose(both[metric], both[f"{metric}_oracle"], atol=1e-9, rtol=0, err_msg=metric)
    for bound in ("AP_best", "AP_worst"):
        np.testing.assert_array_equal(found[bound], found["AP"])


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_tie_bounds_equal_the_extremes_over_orders_of_equal_scores(levels):
    scores, task, ranks = make_scored(5, 0.2, levels=levels)
    found = metrics.per_query(ranks, task).set_index(["query", "candidate_language"])
    rng, seen = np.random.default_rng(0), 0
    for _, query, name, pool, relevant in runs_of(task):
        row, values = scores[query, pool], found.loc[(query, name)]
        orders = permutations(range(len(pool))) if len(pool) <= 5 else (rng.permutation(len(pool)) for _ in range(30))
        orders = [np.lexsort((np.asarray(order), -row)) for order in orders]
        extremes = [np.lexsort((~relevant, -row)), np.lexsort((relevant, -row))]
        aps = [average_precision(relevant[order]) for order in [*orders, *extremes]]
        assert values["AP_best"] == pytest.approx(max(aps), abs=1e-12)
        assert values["AP_worst"] == pytest.approx(min(aps), abs=1e-12)
        assert values["AP"] == values["AP_best"]
        seen += values["AP_worst"] < values["AP_best"]
    assert seen > 5


def test_equal_scores_are_ordered_for_the_relevant_item_in_every_measure_but_the_worst():
    task = make_task({"de": 20}, 1, 0.0, seed=0)
    found = (
        metrics.per_query(rank_task(from_matrix(np.zeros((1, 20), dtype=np.float32)), task), task).set_index("setting").loc["multilingual"]
    )
    assert found[["AP", "AP_best", "R@1", "R@10", "nDCG@10", "RR"]].tolist() == [1.0] * 6
    assert found["AP_worst"] == pytest.approx(1 / 20)


@pytest.mark.parametrize("relevance", [0.1, 0.6])
def test_graded_ndcg_equals_trec_eval_with_less_and_more_than_ten_relevant(relevance):
    plain = make_task(SIZES, 6, relevance, seed=7)
    gains = np.random.default_rng(7).integers(1, 6, len(plain.relevance))
    task = RetrievalTask("graded", plain.queries, plain.candidates, plain.relevance.assign(gain=gains))
    scores = np.random.default_rng(8).standard_normal((len(task.queries), len(task.candidates))).astype(np.float32)
    found = metrics.per_query(rank_task(from_matrix(scores), task), task).set_index("setting").loc["multilingual"]
    names, pool = task.queries["id"], task.candidates["id"]
    qrels = {query: dict(zip(rows["candidate"], map(int, rows["gain"]), strict=True)) for query, rows in task.relevance.groupby("query")}
    run = {names[row]: dict(zip(pool, map(float, scores[row]), strict=True)) for row in found["query"]}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(run)
    assert max(map(len, qrels.values())) > 10 or relevance < 0.5
    np.testing.assert_allclose(found["nDCG@10"], [expected[names[row]]["ndcg_cut_10"] for row in found["query"]], atol=1e-9)


def average_precision(relevant_in_order: np.ndarray) -> float:
    places = np.flatnonzero(relevant_in_order) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def test_rows_carry_the_question_and_come_by_setting():
    _, task, ranks = make_scored(0, 0.1)
    table = metrics.per_query(ranks, task)
    np.testing.assert_array_equal(table["group"].astype(str), task.queries["group"].iloc[table["query"]].astype(str))
    np.testing.assert_array_equal(table["query_language"].astype(str), task.queries["language"].iloc[table["query"]].astype(str))
    assert list(dict.fromkeys(table["setting"])) == list(metrics.SETTINGS)
    mono = table[table["setting"] == "monolingual"]
    assert (mono["query_language"].astype(str) == mono["candidate_language"].astype(str)).all()


def test_scores_average_over_questions_then_over_languages_or_pairs():
    _, task, ranks = make_scored(0, 0.08)
    table = metrics.per_query(ranks, task)
    found = metrics.scores(table)
    assert set(found["metric"]) == {"mAP", "mAP_best", "mAP_worst", "R@1", "R@10", "nDCG@10", "MRR"}
    plain = table.astype({"setting": str, "query_language": str, "candidate_language": str})
    for setting, rows in plain.groupby("setting"):
        cells = rows.groupby(["query_language", "candidate_language"])["AP"].agg(["mean", "size"])
        mine = found[(found["setting"] == setting) & (found["metric"] == "mAP")]
        macro = mine[mine["query_language"] == "macro"].iloc[0]
        single = mine[mine["query_language"] != "macro"].set_index(["query_language", "candidate_language"])
        np.testing.assert_allclose(single.loc[cells.index, "value"], cells["mean"], atol=1e-12)
        np.testing.assert_array_equal(single.loc[cells.index, "n"], cells["size"])
        assert (macro["value"], macro["n"]) == (pytest.approx(cells["mean"].mean()), len(cells))
        assert macro["candidate_language"] == ("all" if setting == "multilingual" else "macro")


def test_scores_give_the_truncated_mean_beside_the_full_one():
    _, task, ranks = make_scored(1, 0.6)
    table = metrics.per_query(ranks, task)
    table["AP@3"] = metrics.truncated_ap(ranks, task, depth=3)
    wide = metrics.scores(table).pivot(index=["setting", "query_language", "candidate_language"], columns="metric", values="value")
    assert (wide["mAP@3"] < wide["mAP"]).any() and (wide["mAP@3"] <= wide["mAP"]).all()
    np.testing.assert_array_equal(metrics.truncated_ap(ranks, task, depth=len(task.candidates)), table["AP"])


def test_coverage_counts_the_dropped_questions():
    _, task, ranks = make_scored(2, 0.03, asked=("de", "fi"))
    table = metrics.coverage(task).set_index(["setting", "query_language", "candidate_language"])
    counts = metrics.per_query(ranks, task).groupby(["setting", "query_language", "candidate_language"], observed=True).size()
    assert table["dropped"].sum() > 0
    assert ((table["questions"] + table["dropped"]) == 6).all()
    assert table["questions"][table["questions"] > 0].to_dict() == counts.to_dict()
    assert set(table.loc["monolingual"].index) == {("de", "de")}


def test_heat_map_removes_the_relevant_sentences_of_other_languages():
    for levels in (0, 3):
        scores, task, ranks = make_scored(4, 0.15, levels=levels)
        found = metrics.heat_map(ranks, task)
        relevant = np.zeros(scores.shape, dtype=bool)
        relevant[tuple(task.relevant_pairs.T)] = True
        cells: dict[tuple[str, str], list[float]] = {}
        for query in range(len(scores)):
            for code, answer in enumerate(task.languages):
                own = relevant[query] & (task.candidate_language == code)
                pool = own | ~relevant[query]
                if own.any():
                    order = np.lexsort((~own[pool], -scores[query, pool]))
                    cells.setdefault((task.languages[task.query_language[query]], answer), []).append(average_precision(own[pool][order]))
        for (question, answer), values in cells.items():
            assert found.loc[question, answer] == pytest.approx(np.mean(values), abs=1e-12)
        assert found.notna().to_numpy().sum() == len(cells)
