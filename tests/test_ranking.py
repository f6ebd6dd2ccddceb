"""The ranking pass: exact counts of higher and equal scores, whatever the block, the threads and the ties."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridir_utils.base.errors import InputError
from hybridir_utils.rank import ranking
from hybridir_utils.rank.ranking import Ranks, dot_scores, rank_task, rows_per_block
from hybridir_utils.tasks.retrieval_task import RetrievalTask


def make_task(
    candidates_per_language: dict[str, int], n_questions: int, relevance: float, seed: int, asked: tuple[str, ...] = ()
) -> RetrievalTask:
    """Parallel questions in every language; every (question, candidate) pair is relevant with probability `relevance`."""
    rng = np.random.default_rng(seed)
    asked = asked or tuple(candidates_per_language)
    candidates = [(f"c-{x}-{i}", f"p{i}", x, "text") for x, n in candidates_per_language.items() for i in range(n)]
    queries = [(f"q-{x}-{i}", f"q{i}", x, "text") for x in asked for i in range(n_questions)]
    pairs = [(q[0], c[0]) for q in queries for c in candidates if rng.random() < relevance]
    pairs = pairs or [(queries[0][0], candidates[0][0])]
    columns = ["id", "group", "language", "text"]
    frames = pd.DataFrame(queries, columns=columns), pd.DataFrame(candidates, columns=columns)
    return RetrievalTask("made", *frames, pd.DataFrame(pairs, columns=["query", "candidate"]))


def from_matrix(scores: np.ndarray):
    return lambda start, stop: scores[start:stop]


def assert_same(left: Ranks, right: Ranks) -> None:
    for field in fields(Ranks):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), err_msg=field.name)


def assert_brute_force(ranks: Ranks, scores: np.ndarray, task: RetrievalTask, depth: int) -> None:
    language = task.candidate_language
    for i, (query, candidate) in enumerate(task.relevant_pairs):
        row, own, score = scores[query], language == language[candidate], scores[query, candidate]
        assert (ranks.query[i], ranks.candidate[i], ranks.language[i]) == (query, candidate, language[candidate])
        assert (ranks.above_all[i], ranks.tied_all[i]) == ((row > score).sum(), (row == score).sum() - 1)
        assert (ranks.above_own[i], ranks.tied_own[i]) == ((row[own] > score).sum(), (row[own] == score).sum() - 1)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    np.testing.assert_array_equal(ranks.top, expected)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    n_questions=st.integers(1, 4),
    relevance=st.sampled_from([0.02, 0.3, 1.0]),
    levels=st.sampled_from([1, 2, 5, 1000]),
    depth=st.integers(1, 12),
    block=st.integers(1, 7),
    seed=st.integers(0, 10**6),
)
def test_counts_and_top_equal_brute_force_with_ties(sizes, n_questions, relevance, levels, depth, block, seed):
    task = make_task({f"l{i}": n for i, n in enumerate(sizes)}, n_questions, relevance, seed)
    shape = len(task.queries), len(task.candidates)
    scores = np.random.default_rng(seed).integers(-levels, levels, shape).astype(np.float32)
    ranks = rank_task(from_matrix(scores), task, depth=depth, block=block, threads=2)
    assert_brute_force(ranks, scores, task, depth)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(60, 200),
    levels=st.sampled_from([1, 3, 40, 10**6]),
    depth=st.integers(1, 3),
    most=st.integers(1, 80),
    seed=st.integers(0, 99),
)
def test_the_same_in_groups_with_a_rest_and_for_many_relevant_candidates(size, levels, depth, most, seed):
    """Pools of many times the list's length, and questions with so many relevant candidates that their scores are sorted."""
    task = make_task({"de": size, "en": size // 2}, 2, 0.2, seed)
    scores = np.random.default_rng(seed).integers(-levels, levels, (len(task.queries), len(task.candidates))).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "SCORES_PER_BLOCK", most * scores.shape[1] // 4)
        ranks = rank_task(from_matrix(scores), task, depth=depth, block=3)
    assert_brute_force(ranks, scores, task, depth)


def test_places_bound_every_order_of_equal_scores():
    task = make_task({"de": 6, "en": 5}, 3, 0.4, seed=1)
    scores = np.random.default_rng(1).integers(0, 3, (len(task.queries), len(task.candidates))).astype(np.float32)
    ranks = rank_task(from_matrix(scores), task)
    for query in np.unique(ranks.query):
        mine = ranks.query == query
        relevant = np.isin(np.arange(len(task.candidates)), ranks.candidate[mine])
        for name, prefer in (("best", relevant), ("worst", ~relevant)):
            order = np.lexsort((~prefer, -scores[query]))
            expected = np.flatnonzero(relevant[order]) + 1
            assert sorted(getattr(ranks.mixed_places, name)[mine]) == list(expected)
        assert sorted(ranks.mixed_places.hits[mine]) == list(range(1, mine.sum() + 1))


def test_places_in_the_own_pool_run_by_question_and_language():
    task = make_task({"de": 6, "en": 5}, 3, 0.5, seed=2)
    scores = np.random.default_rng(2).integers(0, 3, (len(task.queries), len(task.candidates))).astype(np.float32)
    ranks = rank_task(from_matrix(scores), task)
    for query, language in {*zip(ranks.query, ranks.language, strict=True)}:
        mine = (ranks.query == query) & (ranks.language == language)
        pool = np.flatnonzero(task.candidate_language == language)
        relevant = np.isin(pool, ranks.candidate[mine])
        order = np.lexsort((~relevant, -scores[query, pool]))
        assert sorted(ranks.own_places.best[mine]) == list(np.flatnonzero(relevant[order]) + 1)


def test_block_and_threads_do_not_change_the_result(monkeypatch):
    monkeypatch.setattr("hybridir_utils.rank.ranking.SCORES_PER_BLOCK", 37 * 331)  # several tiles in a small task
    task = make_task({"de": 150, "en": 181}, 60, 0.03, seed=3)
    rng = np.random.default_rng(3)
    queries = rng.standard_normal((len(task.queries), 96), dtype=np.float32)
    candidates = rng.standard_normal((len(task.candidates), 96), dtype=np.float32)
    assert rows_per_block(len(task.candidates)) == 37
    expected = rank_task(dot_scores(queries, candidates), task, threads=1)
    for block in (1, 16, 37, 64, 1000):
        for threads in (1, 3):
            assert_same(rank_task(dot_scores(queries, candidates), task, block=block, threads=threads), expected)


@pytest.mark.parametrize(("queries", "pool", "width"), [(300, 1003, 100), (1, 1003, 100), (7, 17, 1000), (7, 33, 100)])
def test_equal_vectors_tie_exactly_wherever_they_stand(queries, pool, width):
    """Shapes in which BLAS rounds one of three equal columns otherwise, on some machines: without the repair a test here fails."""
    rng = np.random.default_rng(4)
    candidates = rng.standard_normal((pool, width), dtype=np.float32)
    candidates[[pool // 2, pool - 1]] = candidates[0]
    scores = dot_scores(rng.standard_normal((queries, width), dtype=np.float32), candidates)(0, queries)
    np.testing.assert_array_equal(scores[:, 0], scores[:, pool // 2])
    np.testing.assert_array_equal(scores[:, 0], scores[:, pool - 1])


@pytest.mark.parametrize("block", [1, 4, 100])
def test_a_questions_own_text_is_below_all_others_in_every_block_and_scores_stay_as_they_were(block):
    made = make_task({"de": 9, "en": 8}, 3, 0.2, seed=8)
    queries = made.queries.assign(id=[made.candidates["id"][2 * row] for row in range(len(made.queries))])
    new = dict(zip(made.queries["id"], queries["id"], strict=True))
    task = RetrievalTask("own", queries, made.candidates, made.relevance.assign(query=made.relevance["query"].map(new)), skip_own=True)
    assert len(task.own_pairs) > 2
    scores = -1 - np.random.default_rng(8).random((len(queries), len(made.candidates)), dtype=np.float32)
    scores[tuple(task.own_pairs.T)] = -0.5
    given, expected = scores.copy(), scores.copy()
    expected[tuple(task.own_pairs.T)] = -np.inf
    ranks = rank_task(from_matrix(given), task, block=block)
    assert_brute_force(ranks, expected, task, len(made.candidates))
    np.testing.assert_array_equal(given, scores)


def test_two_candidates_with_equal_text_stay_two_and_tie():
    columns = ["id", "group", "language", "text"]
    candidates = pd.DataFrame([("a", "1", "en", "same"), ("b", "2", "en", "same"), ("c", "3", "en", "other")], columns=columns)
    queries = pd.DataFrame([("q", "1", "en", "?")], columns=columns)
    task = RetrievalTask("equal", queries, candidates, pd.DataFrame({"query": ["q"], "candidate": ["b"]}))
    ranks = rank_task(dot_scores(np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]])), task)
    assert (ranks.above_all[0], ranks.tied_all[0]) == (0, 1)
    assert (ranks.mixed_places.best[0], ranks.mixed_places.worst[0]) == (1, 2)
    assert ranks.top.tolist() == [[0, 1, 2]]


def test_scores_are_dot_products_in_fp32():
    rng = np.random.default_rng(5)
    queries, candidates = rng.standard_normal((7, 12)), rng.standard_normal((9, 12))
    scores = dot_scores(queries.astype(np.float16), candidates.astype(np.float16))(2, 6)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(
        scores, (queries.astype(np.float16).astype(float) @ candidates.astype(np.float16).astype(float).T)[2:6], rtol=1e-5
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["query", "candidate"])
def test_embeddings_that_are_not_finite_are_refused_with_their_row(side, value):
    vectors = {"query": np.ones((4, 3)), "candidate": np.ones((5, 3))}
    vectors[side][2, 1] = value
    with pytest.raises(InputError, match=f"{side} vectors: row 2 "):
        dot_scores(vectors["query"], vectors["candidate"])


def test_vectors_without_a_number_are_refused():
    with pytest.raises(InputError, match=r"query vectors have shape \(4, 0\); expected .* at least one row and column"):
        dot_scores(np.ones((4, 0)), np.ones((5, 0)))


def test_vectors_of_two_widths_are_refused():
    with pytest.raises(InputError, match="3 wide, candidate vectors 4"):
        dot_scores(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        dot_scores(np.ones(3), np.ones((2, 3)))


def test_nan_scores_and_wrong_shapes_name_their_place():
    task = make_task({"de": 4, "en": 4}, 3, 0.5, seed=6)
    scores = np.zeros((len(task.queries), len(task.candidates)), dtype=np.float32)
    for column, depth in ((1, 1), (0, 100), (7, 1)):
        wrong = scores.copy()
        wrong[4, column] = np.nan
        with pytest.raises(InputError, match=rf"query row 4 \('{task.queries['id'][4]}'\) has NaN"):
            rank_task(from_matrix(wrong), task, depth, block=2)
    with pytest.raises(InputError, match=r"expected floats \(6, 8\)"):
        rank_task(from_matrix(scores[:, :-1]), task)
    with pytest.raises(InputError, match="at least 1"):
        rank_task(from_matrix(scores), task, depth=0)


def test_memory_is_bounded_by_the_block():
    task = make_task({"de": 1000, "en": 1000}, 1000, 0.0005, seed=7)
    assert len(task.relevant_pairs) > 1000  # cached before the measurement
    rng = np.random.default_rng(7)
    block, n_candidates = 64, len(task.candidates)

    def score_block(start: int, stop: int) -> np.ndarray:
        return rng.standard_normal((stop - start, n_candidates), dtype=np.float32)

    tracemalloc.start()
    ranks = rank_task(score_block, task, depth=1, block=block, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = sum(getattr(ranks, field.name).nbytes for field in fields(Ranks))
    assert peak - 2 * kept < 4 * block * n_candidates * 4  # all scores at once would be 31 blocks


def test_the_benchmark_measures_the_parts_that_ranking_has(tmp_path):
    """On a fiftieth of XQuAD-R: it names functions of `ranking`, and what they take is no part of any other test."""
    bench = Path(__file__).parent / "benchmarks" / "bench_ranking.py"
    command = [sys.executable, str(bench), "--scale", "0.02", "--repeat", "1", "--json", str(tmp_path / "ranking.json")]
    subprocess.run(command, check=True, capture_output=True)
    for result in json.loads((tmp_path / "ranking.json").read_text())["results"]:
        assert result["parts_cpu_s"].keys() >= {"score products", "the top 100", "measures of retrieval", "measures of bias"}
