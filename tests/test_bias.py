"""Bias measures against their definitions, written out query by query."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal, spearmanr
from test_ranking import from_matrix, make_task

from hybridir_utils.base.errors import InputError
from hybridir_utils.rank import bias
from hybridir_utils.rank.ranking import Ranks, rank_task
from hybridir_utils.tasks.retrieval_task import RetrievalTask

SIZES = {"de": 14, "en": 9, "th": 6, "zh": 8}


def make_scored(
    seed: int, relevance: float = 0.15, asked: tuple[str, ...] = (), depth: int = 30
) -> tuple[np.ndarray, RetrievalTask, Ranks]:
    task = make_task(SIZES, 7, relevance, seed, asked)
    rng, shape = np.random.default_rng(seed), (len(task.queries), len(task.candidates))
    scores = rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1).astype(np.float32)
    return scores, task, rank_task(from_matrix(scores), task, depth=depth)


def one_relevant_per_language(n_questions: int, lead: float, languages: int = 11) -> tuple[RetrievalTask, Ranks]:
    """XQuAD-R's shape; `lead` is added to the scores of the first language's candidates."""
    codes = [f"l{i:02}" for i in range(languages)]
    columns = ["id", "group", "language", "text"]
    candidates = pd.DataFrame([(f"c{x}{i}", str(i), x, "t") for x in codes for i in range(n_questions)], columns=columns)
    queries = pd.DataFrame([(f"q{i}", str(i), codes[0], "t") for i in range(n_questions)], columns=columns)
    relevance = pd.DataFrame([(f"q{i}", f"c{x}{i}") for i in range(n_questions) for x in codes], columns=["query", "candidate"])
    task = RetrievalTask("parallel", queries, candidates, relevance)
    scores = np.random.default_rng(0).standard_normal((n_questions, len(candidates))).astype(np.float32)
    scores += lead * (task.candidate_language == 0)
    return task, rank_task(from_matrix(scores), task)


def by_query(scores: np.ndarray, task: RetrievalTask) -> pd.DataFrame:
    """query, query language, relevant language and rank of every pair, by sorting."""
    rank = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    query, candidate = task.relevant_pairs.T
    return pd.DataFrame(
        {
            "query": query,
            "ql": np.array(task.languages)[task.query_language[query]],
            "cl": np.array(task.languages)[task.candidate_language[candidate]],
            "rank": rank[query, candidate],
        }
    )


def value_of(table: pd.DataFrame, measure: str) -> pd.Series:
    rows = table[table["measure"] == measure].set_index("query_language")["value"]
    assert rows["macro"] == pytest.approx(rows.drop("macro").mean())
    return rows.drop("macro").sort_index()


def assert_values(table: pd.DataFrame, measure: str, expected: pd.Series) -> None:
    found = value_of(table, measure)
    assert list(found.index) == list(expected.sort_index().index)
    np.testing.assert_allclose(found, expected.sort_index().astype(float), atol=1e-9, err_msg=measure)


@pytest.mark.parametrize(("seed", "relevance"), [(0, 0.15), (1, 0.5), (2, 0.04)])
def test_measures_of_relevant_items_equal_their_definition(seed, relevance):
    scores, task, ranks = make_scored(seed, relevance)
    table = bias.bias_scores(ranks, task, cutoffs=(5, 20))
    pairs = by_query(scores, task)
    per = pairs.groupby(["ql", "query"])["rank"].agg(["min", "max", "size"]).reset_index()
    several = per[per["size"] > 1].assign(distance=lambda t: t["max"] - t["min"])
    assert_values(table, "rank distance", several.groupby("ql")["distance"].mean())
    assert_values(table, "rank distance (median)", several.groupby("ql")["distance"].median())
    expected = (len(task.candidates) + 1) * (several["size"] - 1) / (several["size"] + 1)
    assert_values(table, "rank distance (random)", expected.groupby(several["ql"]).mean())
    assert_values(table, "rank distance (best)", (several["size"] - 1).groupby(several["ql"]).mean())
    assert_values(table, "Max@R", per.groupby("ql")["max"].mean())
    elsewhere = pairs[pairs["ql"] != pairs["cl"]]
    for k in (5, 20):
        assert_values(table, f"Complete@{k}", (per["max"] <= k).groupby(per["ql"]).mean())
        assert_values(table, f"TLR@{k}", (elsewhere["rank"] <= k).groupby(elsewhere["ql"]).mean())


def test_main_scores_are_the_rows_of_all_scores():
    _, task, ranks = make_scored(6, 0.3)
    every = bias.bias_scores(ranks, task, cutoffs=(5, 10)).query("query_language == 'macro' and measure in @bias.MAIN_MEASURES")
    main = bias.main_scores(ranks, task)
    assert len(main) == len(bias.MAIN_MEASURES)
    pd.testing.assert_frame_equal(main.sort_values("measure", ignore_index=True), every.sort_values("measure", ignore_index=True))


def test_lpr_counts_questions_whose_best_relevant_is_in_their_language():
    scores, task, ranks = make_scored(3, 0.2)
    shares: dict[str, list[bool]] = {}
    for _, rows in by_query(scores, task).groupby("query"):
        own = rows["ql"] == rows["cl"]
        if own.any() and not own.all():
            best = rows.loc[rows["rank"].idxmin()]
            shares.setdefault(best["ql"], []).append(best["ql"] == best["cl"])
    assert_values(bias.bias_scores(ranks, task, cutoffs=(5,)), "LPR", pd.Series({x: np.mean(v) for x, v in shares.items()}))


def test_the_first_hit_is_right_or_wrong_in_the_questions_language_or_another():
    scores, task, ranks = make_scored(7, 0.3, asked=("de", "zh", "fi"))
    table = bias.bias_scores(ranks, task, cutoffs=(5,))
    relevant, shares = set(map(tuple, task.relevant_pairs)), {}
    for query in np.unique(task.relevant_pairs[:, 0]):
        first = int(scores[query].argmax())
        kind = ("right" if (query, first) in relevant else "wrong", task.candidates["language"][first] == task.queries["language"][query])
        shares.setdefault(task.queries["language"][query], []).append(kind)
    for content in ("right", "wrong"):
        for where, same in (("same", True), ("other", False)):
            expected = pd.Series({x: np.mean([kind == (content, same) for kind in kinds]) for x, kinds in shares.items()})
            assert_values(table, f"first hit {content}, {where} language", expected)
    total = table[table["measure"].str.startswith("first hit")].groupby("query_language")["value"].sum()
    np.testing.assert_allclose(total, 1)


def test_a_relevant_candidate_that_ties_for_the_first_place_is_the_first_hit():
    task = small_task(pool=["de", "en", "en"], relevant=[1])
    table = bias.bias_scores(rank_task(from_matrix(np.array([[2.0, 2.0, 1.0]], np.float32)), task), task, cutoffs=(1,))
    assert value_of(table, "first hit right, other language")["de"] == 1 and value_of(table, "first hit wrong, same language")["de"] == 0


def small_task(pool: list[str], relevant: list[int]) -> RetrievalTask:
    """One German question and a candidate in each of the languages, given in the task's own order."""
    columns = ["id", "group", "language", "text"]
    candidates = pd.DataFrame([(f"c{i}", "g", language, "t") for i, language in enumerate(pool)], columns=columns)
    relevance = pd.DataFrame([("q", f"c{i}") for i in relevant], columns=["query", "candidate"])
    return RetrievalTask("small", pd.DataFrame([("q", "g", "de", "t")], columns=columns), candidates, relevance)


def test_mlrs_by_hand():
    """Translations at the ranks 2 (German), 1, 4 and 6: of 0 + 3 + 5 places that could be gained, 0 + 2 + 4 are."""
    task = small_task(pool=["de", "de", "en", "en", "th", "zh"], relevant=[0, 2, 4, 5])
    score = dict(zip((2, 0, 1, 4, 3, 5), range(6, 0, -1), strict=True))  # candidate -> score, best first
    ranks = rank_task(from_matrix(np.array([[score[i] for i in range(6)]], np.float32)), task)
    assert list(ranks.mixed_places.best) == [2, 1, 4, 6]
    table = bias.bias_scores(ranks, task, cutoffs=(1,))
    assert value_of(table, "MLRS")["de"] == pytest.approx((0 + 2 + 4) / (0 + 3 + 5))
    assert value_of(table, "LPR")["de"] == 0


@pytest.mark.parametrize(("seed", "relevance"), [(3, 0.2), (8, 0.6)])
def test_mlrs_is_the_gain_of_every_passage_that_takes_the_place_of_its_translation(seed, relevance):
    scores, task, ranks = make_scored(seed, relevance)
    values: dict[str, list[float]] = {}
    for _, rows in by_query(scores, task).groupby("query"):
        own = rows["ql"] == rows["cl"]
        if own.any() and not own.all():
            new = rows.loc[own, "rank"].min()
            gains, possible = zip(*((max(rank - new, 0), rank - 1) for rank in rows.loc[~own, "rank"]), strict=True)
            values.setdefault(rows["ql"].iloc[0], []).append(sum(gains) / sum(possible) if sum(possible) else 0.0)
    assert_values(bias.bias_scores(ranks, task, cutoffs=(5,)), "MLRS", means(values))


def test_mlrs_is_zero_where_nothing_can_be_gained():
    task = small_task(pool=["de", "en"], relevant=[0, 1])
    table = bias.bias_scores(rank_task(from_matrix(np.array([[1.0, 2.0]], np.float32)), task), task, cutoffs=(1,))
    assert value_of(table, "MLRS")["de"] == 0


def test_same_language_share_stands_beside_the_share_of_the_pool():
    scores, task, ranks = make_scored(4, asked=("de", "zh", "fi"))
    table = bias.bias_scores(ranks, task, cutoffs=(5,))
    expected, pool = {}, {}
    for language in ("de", "zh"):  # the pool has no fi
        code = task.languages.index(language)
        top = np.argsort(-scores[task.query_language == code], axis=1)[:, :5]
        expected[language] = (task.candidate_language[top] == code).mean()
        pool[language] = SIZES[language] / sum(SIZES.values())
    assert_values(table, "same-language share@5", pd.Series(expected))
    assert_values(table, "same-language pool share", pd.Series(pool))


@pytest.mark.parametrize("k", [1, 5, 30, 100])
def test_mrc_is_spearman_over_the_union_of_both_lists(k):
    scores, task, ranks = make_scored(5)
    order = np.argsort(-scores, axis=1)[:, :k]
    correlations: dict[str, list[float]] = {}
    for a in range(len(scores)):
        for b in range(len(scores)):
            same_group = task.queries["group"][a] == task.queries["group"][b]
            if same_group and task.query_language[a] != task.query_language[b]:
                correlations.setdefault(task.queries["language"][a], []).append(spearman_of(list(order[a]), list(order[b])))
    assert_values(bias.bias_scores(ranks, task, cutoffs=(k,)) if k <= 30 else full_depth(scores, task, k), f"MRC@{k}", means(correlations))


def full_depth(scores: np.ndarray, task: RetrievalTask, k: int) -> pd.DataFrame:
    """k beyond the pool: the whole rankings are compared."""
    return bias.bias_scores(rank_task(from_matrix(scores), task, depth=k), task, cutoffs=(k,))


def spearman_of(a: list[int], b: list[int]) -> float:
    union = sorted({*a, *b})
    if len(union) == 1:
        return 1.0
    ranks = [[one.index(c) + 1 if c in one else len(one) + (len(union) - len(one) + 1) / 2 for c in union] for one in (a, b)]
    return float(spearmanr(*ranks).statistic)


def means(values: dict[str, list[float]]) -> pd.Series:
    return pd.Series({key: np.mean(value) for key, value in values.items()})


def test_mrc_takes_groups_of_unequal_size_and_is_bounded_in_memory(monkeypatch):
    _, task, _ = make_scored(6)
    keep = np.ones(len(task.queries), dtype=bool)
    keep[[0, 9, 15]] = False
    queries = task.queries[keep]
    relevance = task.relevance[task.relevance["query"].isin(queries["id"])]
    partial = RetrievalTask("partial", queries, task.candidates, relevance)
    scores = np.random.default_rng(6).permuted(np.tile(np.arange(37), (len(queries), 1)), axis=1).astype(np.float32)
    ranks = rank_task(from_matrix(scores), partial, depth=6)
    order, correlations = np.argsort(-scores, axis=1)[:, :6], {}
    frame = partial.queries
    for a in range(len(scores)):
        for b in range(len(scores)):
            if frame["group"][a] == frame["group"][b] and frame["language"][a] != frame["language"][b]:
                correlations.setdefault(frame["language"][a], []).append(spearman_of(list(order[a]), list(order[b])))
    expected = means(correlations)
    assert_values(bias.bias_scores(ranks, partial, cutoffs=(6,)), "MRC@6", expected)
    monkeypatch.setattr(bias, "OVERLAP_CELLS", 1)  # one group at a time
    assert_values(bias.bias_scores(ranks, partial, cutoffs=(6,)), "MRC@6", expected)


def test_mrc_compares_no_two_questions_of_one_language():
    """A group with two German questions and an English one: the two German lists meet the English one, not each other."""
    columns = ["id", "group", "language", "text"]
    candidates = pd.DataFrame([(f"c{n}", f"p{n}", "de" if n < 6 else "en", "t") for n in range(12)], columns=columns)
    queries = pd.DataFrame([("q0", "g", "de", "t"), ("q1", "g", "de", "t"), ("q2", "g", "en", "t")], columns=columns)
    task = RetrievalTask("two", queries, candidates, pd.DataFrame({"query": ["q0"], "candidate": ["c0"]}))
    scores = np.random.default_rng(1).permuted(np.tile(np.arange(12), (3, 1)), axis=1).astype(np.float32)
    first, second, third = np.argsort(-scores, axis=1)[:, :5].tolist()
    table = bias.bias_scores(rank_task(from_matrix(scores), task), task, cutoffs=(5,))
    mean = (spearman_of(first, third) + spearman_of(second, third)) / 2
    assert_values(table, "MRC@5", pd.Series({"de": mean, "en": mean}))
    assert table[table["measure"] == "MRC@5"]["n"].tolist() == [2, 2, 2]


def test_mrc_of_long_lists_loses_no_digit():
    """Sums of products of ranks beyond 2**24, which single precision would round."""
    lists = np.stack([np.random.default_rng(seed).permutation(1000)[:600] for seed in range(2)])[None]
    exact = bias._overlaps(lists)[2][0]
    place = [{candidate: rank for rank, candidate in enumerate(row, 1)} for row in lists[0].tolist()]
    assert exact.tolist() == [[sum(one[c] * other[c] for c in one.keys() & other.keys()) for other in place] for one in place]


def test_peer_pools_the_ranks_of_all_questions_of_a_language():
    scores, task, ranks = make_scored(7, 0.3)
    pairs, k, n = by_query(scores, task), 8, len(task.candidates)
    pairs["rank"] = pairs["rank"].where(pairs["rank"] <= k, k + (n - k + 1) / 2)
    expected = {ql: kruskal(*[part["rank"] for _, part in rows.groupby("cl")]).pvalue for ql, rows in pairs.groupby("ql")}
    assert_values(bias.bias_scores(ranks, task, cutoffs=(k,)), f"PEER@{k}", pd.Series(expected))


def test_peer_per_question_is_blind_with_one_relevant_per_language_and_pooled_is_not():
    fair_task, fair = one_relevant_per_language(40, lead=0.0)
    _, biased = one_relevant_per_language(40, lead=2.0)
    for ranks in (fair, biased):  # the trap: any ranking of one question gives the same p
        for query in range(40):
            place = ranks.mixed_places.best[ranks.query == query]
            assert kruskal(*[[p] for p in place]).pvalue == pytest.approx(0.4405, abs=5e-5)
    assert value_of(bias.bias_scores(fair, fair_task, cutoffs=(100,)), "PEER@100").iloc[0] > 0.05
    assert value_of(bias.bias_scores(biased, fair_task, cutoffs=(100,)), "PEER@100").iloc[0] < 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_the_test_behind_peer_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    sample = np.sort(np.r_[0, 1, rng.integers(0, 2 + 6 * seed, size=40)])
    sample = np.unique(sample, return_inverse=True)[1]
    values = rng.integers(1, 3 + 9 * seed, size=len(sample)).astype(float)
    expected = kruskal(*[values[sample == number] for number in range(sample.max() + 1)]).pvalue
    assert bias._kruskal_p(values, sample) == pytest.approx(expected, rel=1e-10)


def test_peer_is_one_when_nothing_is_found_in_the_top():
    task, _ = one_relevant_per_language(20, lead=0.0, languages=2)
    relevant = np.zeros((20, 40), dtype=np.float32)
    relevant[tuple(task.relevant_pairs.T)] = -1
    ranks = rank_task(from_matrix(relevant), task, depth=5)
    assert value_of(bias.bias_scores(ranks, task, cutoffs=(5,)), "PEER@5").iloc[0] == 1.0


def test_random_scores_come_near_the_expected_distance_and_an_ideal_ranking_is_best():
    task, ranks = one_relevant_per_language(300, lead=0.0)
    table = bias.bias_scores(ranks, task, cutoffs=(10,))
    assert value_of(table, "rank distance").iloc[0] == pytest.approx(value_of(table, "rank distance (random)").iloc[0], rel=0.03)
    ideal = np.zeros((300, 3300), dtype=np.float32)
    ideal[tuple(task.relevant_pairs.T)] = 1  # all relevant candidates tie at the top and take successive ranks
    table = bias.bias_scores(rank_task(from_matrix(ideal), task), task, cutoffs=(10, 11))
    assert value_of(table, "rank distance").iloc[0] == value_of(table, "rank distance (best)").iloc[0] == 10
    assert value_of(table, "Complete@10").iloc[0] == 0 and value_of(table, "Complete@11").iloc[0] == 1


def test_rank_distances_are_the_values_behind_the_mean():
    scores, task, ranks = make_scored(8)
    table = bias.rank_distances(ranks, task)
    per = by_query(scores, task).groupby("query")["rank"].agg(["min", "max", "size"])
    np.testing.assert_array_equal(table["query"], per.index)
    np.testing.assert_array_equal(table["rank_distance"], per["max"] - per["min"])
    np.testing.assert_array_equal(table["relevant"], per["size"])
    np.testing.assert_array_equal(table["group"], task.queries["group"].iloc[table["query"]])
    assert list(table["query_language"]) == [task.queries["language"][q] for q in table["query"]]


def test_a_question_with_one_answer_has_no_rank_distance():
    """Its distance of 0 would count as the best there is."""
    about = {"group": ["1", "2", "3"], "language": "en", "text": "t"}
    queries = pd.DataFrame({"id": ["q1", "q2", "q3"], **about})
    candidates = pd.DataFrame({"id": [f"c{i}" for i in range(5)], "group": [*"12233"], "language": [*"aabbb"], "text": "t"})
    relevant = pd.DataFrame({"query": ["q1", "q2", "q2", "q3", "q3"], "candidate": candidates["id"]})
    task = RetrievalTask("three", queries, candidates, relevant)
    scores = np.array([[5, 1, 1, 1, 1], [0, 9, 4, 5, 6], [3, 4, 0, 9, 8]], dtype=np.float32)
    assert bias.rank_distances(rank_task(from_matrix(scores), task), task)["rank_distance"].fillna(-1).tolist() == [-1, 3, 1]


def test_what_a_task_cannot_give_has_no_row_and_a_reason():
    columns = ["id", "group", "language", "text"]
    queries = pd.DataFrame([("q1", "1", "en", "t"), ("q2", "2", "en", "t")], columns=columns)
    candidates = pd.DataFrame([(f"c{i}", str(i), "en", "t") for i in range(4)], columns=columns)
    task = RetrievalTask("english", queries, candidates, pd.DataFrame({"query": ["q1", "q2"], "candidate": ["c0", "c1"]}))
    ranks = rank_task(from_matrix(np.arange(8, dtype=np.float32).reshape(2, 4)), task)
    table = bias.bias_scores(ranks, task, cutoffs=(2,))
    assert set(bias.not_computed(task)) == {"rank distance", "TLR", "LPR", "MLRS", "MRC", "PEER"}
    computed = table[~table["measure"].str.startswith("first hit")]
    assert set(computed["measure"]) == {"Max@R", "Complete@2", "same-language share@2", "same-language pool share"}
    assert table["value"].notna().all()


@pytest.mark.parametrize("seed", range(6))
def test_measures_are_missing_exactly_when_a_reason_is_given(seed):
    _, task, ranks = make_scored(seed, relevance=0.01, asked=[(), ("de",), ("fi",), ("de", "fi"), ("fi", "sw"), ("zh", "th")][seed])
    table = bias.bias_scores(ranks, task, cutoffs=(5,))
    for measure in ("rank distance", "TLR", "LPR", "MLRS", "same-language share", "MRC", "PEER"):
        assert table["measure"].str.startswith(measure).any() != (measure in bias.not_computed(task)), measure
    assert table["value"].notna().all()


def test_a_cutoff_beyond_the_kept_depth_is_refused():
    _, task, ranks = make_scored(9, depth=10)
    for beyond in (11, 20):
        with pytest.raises(InputError, match=f"depth={beyond}"):
            bias.bias_scores(ranks, task, cutoffs=(5, beyond))
    with pytest.raises(InputError, match="cut-off 0"):
        bias.bias_scores(ranks, task, cutoffs=(0,))
