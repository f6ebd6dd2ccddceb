"""One pass of score blocks over a retrieval task: the rank of every relevant candidate and the top of every list.

Every measure of `metrics` and `bias` is a function of these ranks, so texts are encoded once and scores computed once.
A relevant candidate's score is compared with those of the whole pool, and the comparisons are counted there and in the part of its
language; no list is sorted but for its best. Where a question has many relevant candidates its scores are sorted, which then costs less.

Ties (PAPER §3): a relevant candidate's rank is 1 + the number of candidates that score higher, which is the best case;
relevant candidates that tie with each other take successive ranks. `Places` also gives the worst case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info, threadpool_limits

from ..base.errors import InputError
from ..base.progress import counted
from ..tasks.retrieval_task import RetrievalTask

ScoreBlock = Callable[[int, int], np.ndarray]

SCORES_PER_BLOCK = 3 * 2**20  # 12 MiB of float32: large enough for the product to run at full speed, small enough for the cache
GROUPS = 8  # of candidates, for each place of the list of the best: the highest of each group bound what must be ordered
COMPARED = 50  # relevant candidates of a question; with more, sorting its scores costs less than comparing all with each of them
MOST_WORKERS = 8  # each holds two blocks; more only queue for memory bandwidth


class Places(NamedTuple):
    """Ranks of relevant items with their ties resolved, aligned with the pairs and grouped in runs.

    A run is the relevant items of one question in one pool. start: [runs] the first pair of each. hits: [R] relevant items
    of the run placed up to and including this one. best, worst: [R] its 1-based rank when equal scores are ordered for and
    against the relevant items. relevant_above: [R] relevant items of the run that score higher.
    """

    start: np.ndarray
    hits: np.ndarray
    best: np.ndarray
    worst: np.ndarray
    relevant_above: np.ndarray


@dataclass(frozen=True)
class Ranks:
    """What one pass over the scores leaves of a task with Q queries, N candidates and R relevant pairs.

    query, candidate: [R] rows of the task, in the order of `task.relevant_pairs`; language: [R] code of the
    candidate's language; score: [R].
    above_own, tied_own: [R] candidates of the relevant candidate's language that score higher / equal (itself excluded).
    above_all, tied_all: [R] the same over the mixed pool.
    top: [Q, min(depth, N)] candidate rows of the mixed pool in descending score, ties by candidate row.
    """

    query: np.ndarray
    candidate: np.ndarray
    language: np.ndarray
    score: np.ndarray
    above_own: np.ndarray
    tied_own: np.ndarray
    above_all: np.ndarray
    tied_all: np.ndarray
    top: np.ndarray

    @cached_property
    def own_places(self) -> Places:
        """Ranks in the pool of the relevant candidate's language; a run is (question, language)."""
        run = self.query * (self.language.max() + 1) + self.language
        return _places(run, self.score, self.above_own, self.tied_own)

    @cached_property
    def mixed_places(self) -> Places:
        """Ranks in the pool of all languages; a run is a question."""
        return _places(self.query, self.score, self.above_all, self.tied_all)


def dot_scores(query_vectors: np.ndarray, candidate_vectors: np.ndarray) -> ScoreBlock:
    """A `score_block` of fp32 dot products (cosines when both sides have unit length).

    query_vectors: [Q, width]; candidate_vectors: [N, width]; other precisions are cast to fp32. BLAS rounds an element
    by its position in the product, so products are always taken over the same tiles of queries (scores do not depend on
    the block asked for) and a repeated candidate vector gets the scores of its first occurrence (equal vectors tie).
    Raises InputError on a wrong shape and on NaN or infinite embeddings, naming the row.
    """
    queries, candidates = finite_rows("query", query_vectors), finite_rows("candidate", candidate_vectors)
    if queries.shape[1] != candidates.shape[1]:
        raise InputError(f"query vectors are {queries.shape[1]} wide, candidate vectors {candidates.shape[1]}; use one encoder for both.")
    tile, (copies, originals) = rows_per_block(len(candidates)), _repeated_rows(candidates)

    def score_block(start: int, stop: int) -> np.ndarray:
        parts = []
        for first in range(start - start % tile, stop, tile):
            product = queries[first : first + tile] @ candidates.T
            parts.append(product[max(start - first, 0) : stop - first])
        scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
        scores[:, copies] = scores[:, originals]
        return scores

    return score_block


def rank_task(
    score_block: ScoreBlock, task: RetrievalTask, depth: int = 100, block: int | None = None, threads: int | None = None
) -> Ranks:
    """Rank every relevant candidate of `task` and list the `depth` best candidates of every query.

    score_block(start, stop): scores [stop - start, N] of the queries start..stop, higher is better; it is called from
    several threads at once, each with one BLAS thread, and its result is not changed. block: queries at a time (default:
    `rows_per_block`, of which `dot_scores` wants a multiple, or it computes part of a tile in vain); threads: workers
    (default: as many as BLAS may use, at most 8). Neither changes the result; memory is about two blocks per worker.
    Raises InputError when a block has the wrong shape or a NaN.
    """
    n_queries, n_candidates = len(task.query_language), len(task.candidate_language)
    block = rows_per_block(n_candidates) if block is None else block
    if depth < 1 or block < 1:
        raise InputError(f"depth is {depth} and block {block}; both must be at least 1.")
    work = partial(_rank_block, score_block, task, task.relevant_pairs, min(depth, n_candidates))
    starts = range(0, n_queries, block)
    with working_threads(threads) as run:
        blocks = run(work, starts, (min(start + block, n_queries) for start in starts))
        parts = list(counted(blocks, f"ranking {task.name}", n_queries, "question", lambda part: len(part.top)))
    return Ranks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Ranks)))


def rows_per_block(n_candidates: int) -> int:
    """Queries whose scores against `n_candidates` make one block of about 12 MiB."""
    return max(16, SCORES_PER_BLOCK // n_candidates)


def _places(run: np.ndarray, score: np.ndarray, above: np.ndarray, tied: np.ndarray) -> Places:
    """run: [R] non-decreasing number of the question and pool; score, above, tied: [R] as in `Ranks`."""
    key = np.empty(len(run), np.complex128)  # ordered by the real part, then by the other; as runs come in order, a stable sort is quick
    key.real, key.imag = run, -score
    order = np.argsort(key, kind="stable")
    run, score, position = run[order], score[order], np.arange(len(order))
    run_starts = np.r_[True, run[1:] != run[:-1]]
    tie_starts = run_starts | np.r_[True, score[1:] != score[:-1]]
    first_of_run = np.maximum.accumulate(np.where(run_starts, position, 0))
    first_of_tie = np.maximum.accumulate(np.where(tie_starts, position, 0))
    tie_size = np.diff(np.flatnonzero(np.r_[tie_starts, True]))[np.cumsum(tie_starts) - 1]
    best = above[order] + 1 + position - first_of_tie
    irrelevant_ties = tied[order] + 1 - tie_size
    result = np.empty((4, len(order)), dtype=np.int64)
    result[:, order] = position - first_of_run + 1, best, best + irrelevant_ties, first_of_tie - first_of_run
    return Places(np.flatnonzero(run_starts), *result)


def _rank_block(score_block: ScoreBlock, task: RetrievalTask, pairs: np.ndarray, depth: int, start: int, stop: int) -> Ranks:
    scores = _without_own(np.asarray(score_block(start, stop)), task, start, stop)
    top = _top(scores, depth, task, start)
    query, candidate = pairs[slice(*np.searchsorted(pairs[:, 0], [start, stop]))].T
    row, language = query - start, task.candidate_language[candidate]
    pools = np.searchsorted(task.candidate_language, [language, language + 1]).T
    score, counts = scores[row, candidate], np.empty((4, len(row)), np.int32)
    few = min(COMPARED, 4 * SCORES_PER_BLOCK // scores.shape[1])  # whose comparisons take no more memory than the block
    for part in _questions(row):
        count = _compared if part.stop - part.start <= few else _sorted
        counts[:, part] = count(scores[row[part.start]], score[part], pools[part])
    above_own, tied_own, above_all, tied_all = counts
    return Ranks(query, candidate, language, score, above_own, tied_own, above_all, tied_all, top)


def _questions(row: np.ndarray) -> Iterator[slice]:
    """The relevant pairs of one row after the other."""
    edges = np.flatnonzero(np.r_[True, row[1:] != row[:-1], True]) if len(row) else ()
    return (slice(first, end) for first, end in pairwise(edges))


def _compared(scores: np.ndarray, score: np.ndarray, pools: np.ndarray) -> tuple[list[int], list[int], list[int], list[int]]:
    """Candidates that score higher / equal (itself excluded) in a relevant candidate's own pool, and the same over all.

    scores: [N] of one question; score: [k] of its relevant candidates; pools: [k, 2] begin and end of the candidates of their languages.
    """
    higher, equal = scores > score[:, None], scores == score[:, None]
    above_own = [np.count_nonzero(each[begin:end]) for each, (begin, end) in zip(higher, pools, strict=True)]
    above_all = [np.count_nonzero(each) for each in higher]
    if np.count_nonzero(equal) == len(score):  # each equals itself alone, as nearly always
        return above_own, [0] * len(score), above_all, [0] * len(score)
    tied_own = [np.count_nonzero(each[begin:end]) - 1 for each, (begin, end) in zip(equal, pools, strict=True)]
    return above_own, tied_own, above_all, [np.count_nonzero(each) - 1 for each in equal]


def _sorted(scores: np.ndarray, score: np.ndarray, pools: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As `_compared`, each pool sorted once."""
    above_own, tied_own = np.empty((2, len(score)), np.int32)
    for begin, end in np.unique(pools, axis=0):
        own = pools[:, 0] == begin
        above_own[own], tied_own[own] = _above_and_tied(scores[begin:end], score[own])
    return above_own, tied_own, *_above_and_tied(scores, score)


def _above_and_tied(pool: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[k] scores of the pool that are higher, and equal but for the candidate itself."""
    pool = np.sort(pool)
    first, end = (np.searchsorted(pool, score, side) for side in ("left", "right"))
    return len(pool) - end, end - first - 1


def _top(scores: np.ndarray, depth: int, task: RetrievalTask, start: int) -> np.ndarray:
    """[rows, depth] candidates in descending score, ties by candidate row.

    Of the highest scores of many groups of candidates, the `depth` best tell a bound that as many candidates reach, and few more; only
    these are ordered. Raises InputError for a NaN.
    """
    n_rows, n_candidates = scores.shape
    size = max(1, n_candidates // (GROUPS * depth))
    whole = n_candidates // size * size
    highest = scores[:, :whole].reshape(n_rows, size, -1).max(axis=1)
    _check_nan(np.concatenate([highest, scores[:, whole:]], axis=1), task, start)
    bounds = np.partition(highest, highest.shape[1] - depth, axis=1)[:, highest.shape[1] - depth]
    top = np.empty((n_rows, depth), np.int32)
    for row, (own, bound) in enumerate(zip(scores, bounds, strict=True)):
        reached = np.flatnonzero(own >= bound)
        top[row] = reached[np.argsort(-own[reached], kind="stable")[:depth]]
    return top


def finite_rows(kind: str, vectors: np.ndarray) -> np.ndarray:
    """The vectors in fp32. Raises InputError where they are no rows, or not all finite, naming the first."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise InputError(f"{kind} vectors have shape {vectors.shape}; expected [rows, width] with at least one row and column.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InputError(f"{kind} vectors: row {bad[0]} holds NaN or infinite values ({len(bad)} such rows); encode it again in fp32.")
    return vectors


def _repeated_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that repeat an earlier row, and the first row each of them repeats; only those that begin alike are looked at whole."""
    start = np.ascontiguousarray(vectors[:, :2]).view(np.int64 if vectors.shape[1] > 1 else np.int32)[:, 0]
    _, code, count = np.unique(start, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(count[code] > 1)
    codes, _ = pd.factorize(np.array([hashlib.blake2b(vectors[row], digest_size=16).hexdigest() for row in alike], dtype=object))
    _, first = np.unique(codes, return_index=True)
    originals = alike[first[codes]]
    return alike[originals != alike], originals[originals != alike]


@contextmanager
def working_threads(count: int | None = None) -> Iterator[Callable]:
    """A map over `count` threads (as many as BLAS may use, at most MOST_WORKERS) with one BLAS thread each: the products of one part
    then overlap with the counting of another.
    """
    allowed = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count or min(MOST_WORKERS, allowed)) as pool:
        yield pool.map


def _without_own(scores: np.ndarray, task: RetrievalTask, start: int, stop: int) -> np.ndarray:
    """The checked scores, those of `own_pairs` below all others: such a candidate is above none, and at the end of a list at most."""
    _check_block(scores, task, start, stop)
    query, candidate = task.own_pairs[slice(*np.searchsorted(task.own_pairs[:, 0], [start, stop]))].T
    if len(query):
        scores = scores.copy()
        scores[query - start, candidate] = -np.inf
    return scores


def _check_block(scores: np.ndarray, task: RetrievalTask, start: int, stop: int) -> None:
    expected = (stop - start, len(task.candidate_language))
    if scores.shape != expected or scores.dtype.kind != "f":
        raise InputError(
            f"task {task.name}: the scores of queries {start} to {stop} are {scores.dtype} {scores.shape}; expected floats {expected}, "
            "a row per query and a column per candidate. Check that queries and candidates were scored in the order of the task."
        )


def _check_nan(scores: np.ndarray, task: RetrievalTask, start: int) -> None:
    bad = np.flatnonzero(np.isnan(scores).any(axis=1))
    if len(bad):
        query = start + bad[0]
        raise InputError(f"task {task.name}: query row {query} ({task.queries['id'].iloc[query]!r}) has NaN scores; check its embedding.")
