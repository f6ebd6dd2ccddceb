"""Language-bias measures of a ranking of the mixed pool (PAPER §4, measures 1-7, and two newer protocols'), all from one pass of scores.

R_q = relevant candidates of question q, m = |R_q|, N = candidates of the mixed pool, rank 1-based in that pool with ties
resolved for the relevant items (`ranking.Places`). A value is a mean over the questions of one language, then a macro
average over question languages (query_language `macro`).

rank distance           max rank - min rank over R_q (m >= 2), mean; beside it the median, what a random ranking is expected
                        to give, (N + 1)(m - 1) / (m + 1), and the best possible, m - 1. Compare within one pool only.
Max@R, Complete@k       mean of max rank over R_q; share of q with all of R_q in the top k (0 where k < m).
same-language share@k   candidates of the question's language among the top k; `same-language pool share` is the unbiased value.
LPR                     share of q whose best-ranked relevant candidate is in q's language, over q with relevant candidates in
                        that language and in another: the Language Preference Rate of MLAIRE (Jang et al. 2026, arXiv 2605.07249) as others
                        tell it (its own wording could not be read), where these are translations of one passage. Its
                        Lang-nDCG is not computed here: no public text that we could read gives the gains.
first hit               MLAIRE's four-way split of the candidate ranked first: is it relevant (right) or not (wrong), and in q's
                        language (same) or another. The four shares add up to 1.
MLRS                    MultiLingualRankShift (Park and Lee 2025, arXiv 2502.11175): how much the ranks of passages gain when they stand
                        in q's language, sum max(rank - new rank, 0) / sum (rank - 1), 0 where nothing can be gained. There the best of a
                        list are translated by machine and ranked anew among each other; here the passages are the relevant ones in other
                        languages, and the new rank of each is that of the relevant candidate in q's language, its translation.
TLR@k                   relevant candidates not in q's language: share of them found in the top k.
MRC@k                   Spearman correlation of the top-k lists that parallel questions in two languages give, over the union
                        of both lists; candidates outside a list share its rank k + (n_unretrieved + 1) / 2.
PEER@k                  p-value of a Kruskal-Wallis test on the ranks of relevant candidates, grouped by their language, ranks
                        beyond k sharing k + (N - k + 1) / 2. The ranks of all questions of a language go into one test: per
                        question, with one relevant candidate a language, p is the same for any ranking (11 languages: .4405).
                        Published PEER differs: a test a question, then the mean; unretrieved ones share another rank. Do not compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..tasks.retrieval_task import RetrievalTask
from .ranking import Ranks, working_threads

OVERLAP_CELLS = 2**19  # bounds the tables of MRC@k to a few MiB
COLUMNS = ["measure", "query_language", "value", "n"]
MAIN_MEASURES = ("rank distance", "LPR", "same-language share@10")


def bias_scores(ranks: Ranks, task: RetrievalTask, cutoffs: Sequence[int] = (10, 100)) -> pd.DataFrame:
    """Every measure at every cut-off k: measure, query_language, value, n.

    n: questions (TLR@k, PEER@k: relevant candidates; MRC@k: pairs of lists); in `macro` rows: languages. Measures, and
    languages of a measure, that the task cannot give have no row; `not_computed` says why. Raises InputError for k above
    the depth that `ranks` was made with.
    """
    kept = ranks.top.shape[1]
    for k in cutoffs:
        if k < 1 or (k > kept and kept < len(task.candidate_language)):
            raise InputError(f"cut-off {k} needs 1 <= k <= depth, and these ranks keep the top {kept}; rank with depth={max(cutoffs)}.")
    pairs = _relevant(ranks, task)
    questions = rank_distances(ranks, task)
    values = [*_spread(questions), *_preferred_language(pairs), *_first_hit(ranks, task, pairs), *_rank_gain(pairs)]
    values += _reach(questions, pairs, cutoffs)
    values += _same_language(ranks, task, cutoffs)
    for k in cutoffs:
        values += [(f"MRC@{k}", _agreement(ranks, task, k)), (f"PEER@{k}", _parity(pairs, task, k))]
    return _with_macro(values, task)


def main_scores(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """The macro averages of MAIN_MEASURES alone, as `bias_scores` has them: what many rankings of one task are compared by."""
    values = [*_spread(rank_distances(ranks, task)), *_preferred_language(_relevant(ranks, task)), *_same_language(ranks, task, [10])]
    table = _with_macro(values, task)
    return table[(table["query_language"] == "macro") & table["measure"].isin(MAIN_MEASURES)]


def rank_distances(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """One row per question with a relevant candidate, for tests of significance.

    Columns: query (row), group, query_language, relevant (m), min_rank, max_rank, rank_distance, random (expected distance
    under a random ranking). With m = 1 there is no distance: it is nan.
    """
    pairs = _relevant(ranks, task)
    table = pairs.groupby("query")["rank"].agg(["size", "min", "max"]).reset_index()
    table.columns = ["query", "relevant", "min_rank", "max_rank"]
    table["rank_distance"] = (table["max_rank"] - table["min_rank"]).where(table["relevant"] > 1)
    table["random"] = (len(task.candidate_language) + 1) * (table["relevant"] - 1) / (table["relevant"] + 1)
    table.insert(1, "group", task.queries["group"].take(table["query"]).array)
    table.insert(2, "query_language", task.query_language[table["query"]])
    table["query_language"] = pd.Categorical.from_codes(table["query_language"], task.languages)
    return table


def not_computed(task: RetrievalTask) -> dict[str, str]:
    """Measures (without their cut-off) that `task` cannot give, and the reason."""
    query, candidate = task.relevant_pairs.T
    same = task.query_language[query] == task.candidate_language[candidate]
    n_languages = task.queries.groupby("group")["language"].nunique()
    reasons = {}
    if np.bincount(query).max() < 2:
        reasons["rank distance"] = "no question has two relevant candidates"
    if same.all():
        reasons["TLR"] = "no question has a relevant candidate in another language"
    if not set(query[same]) & set(query[~same]):
        reasons |= dict.fromkeys(("LPR", "MLRS"), "no question has relevant candidates both in its own and in another language")
    if not set(task.query_language) & set(task.candidate_language):
        reasons["same-language share"] = "no question is in a language of the pool"
    if n_languages.max() < 2:
        reasons["MRC"] = "no two questions in different languages share a group (the questions are not parallel)"
    by_question_language = pd.Series(task.candidate_language[candidate]).groupby(task.query_language[query]).nunique()
    if by_question_language.max() < 2:
        reasons["PEER"] = "the relevant candidates of each question language are all in one language"
    return reasons


def _relevant(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """One row per relevant pair: query, question and candidate language (codes), rank in the mixed pool."""
    languages = {"question": task.query_language[ranks.query], "language": ranks.language}
    return pd.DataFrame({"query": ranks.query, **languages, "rank": ranks.mixed_places.best})


def _with_macro(values: list[tuple[str, pd.DataFrame]], task: RetrievalTask) -> pd.DataFrame:
    """COLUMNS of the measures that have some of `value` and `n` per question language code, each followed by its macro average."""
    measures = {measure: by_language for measure, by_language in values if len(by_language)}
    rows = pd.concat(measures, names=["measure", "query_language"]).reset_index()
    rows["query_language"] = np.array(task.languages, dtype=object)[rows["query_language"]]
    of_measure = rows.groupby("measure", sort=False)["value"]
    macro = of_measure.agg(value="mean", n="size").reset_index().assign(query_language="macro")
    order = {measure: place for place, measure in enumerate(measures)}
    return pd.concat([rows, macro]).sort_values("measure", key=lambda names: names.map(order), kind="stable", ignore_index=True)[COLUMNS]


def _by_language(language: np.ndarray, value: np.ndarray, how: str = "mean") -> pd.DataFrame:
    """`value` and `n` per question language (index)."""
    return pd.Series(np.asarray(value, dtype=float)).groupby(np.asarray(language)).agg(value=how, n="size")


def _spread(questions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Measure 1 and the first half of 2."""
    language = questions["query_language"].cat.codes
    several = questions["relevant"] > 1
    part, part_language = questions[several], language[several]
    yield "rank distance", _by_language(part_language, part["rank_distance"])
    yield "rank distance (median)", _by_language(part_language, part["rank_distance"], "median")
    yield "rank distance (random)", _by_language(part_language, part["random"])
    yield "rank distance (best)", _by_language(part_language, part["relevant"] - 1)
    yield "Max@R", _by_language(language, questions["max_rank"])


def _preferred_language(pairs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Measure 4."""
    own = pairs["language"] == pairs["question"]
    both = pairs[pairs["query"].isin(pairs["query"][own]) & pairs["query"].isin(pairs["query"][~own])]
    best = both.loc[both.groupby("query")["rank"].idxmin()]
    yield "LPR", _by_language(best["question"], best["language"] == best["question"])


def _first_hit(ranks: Ranks, task: RetrievalTask, pairs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """MLAIRE's split; a relevant candidate that ties for the first place has it, as in every measure."""
    query, first = np.unique(ranks.query), pairs[pairs["rank"] == 1]
    right, language = np.isin(query, first["query"]), task.candidate_language[ranks.top[query, 0]]
    language[right] = first["language"]
    asked = task.query_language[query]
    for content, of_content in (("right", right), ("wrong", ~right)):
        for where, there in (("same", language == asked), ("other", language != asked)):
            yield f"first hit {content}, {where} language", _by_language(asked, of_content & there)


def _rank_gain(pairs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """MLRS, of the questions that LPR is computed of."""
    own = pairs["language"] == pairs["question"]
    translated = pairs["query"].map(pairs[own].groupby("query")["rank"].min())
    others = pairs.assign(gain=(pairs["rank"] - translated).clip(lower=0), possible=pairs["rank"] - 1)[~own & translated.notna()]
    sums = others.groupby(["question", "query"])[["gain", "possible"]].sum()
    yield "MLRS", _by_language(sums.index.get_level_values("question"), sums["gain"] / sums["possible"].clip(lower=1))


def _reach(questions: pd.DataFrame, pairs: pd.DataFrame, cutoffs: Sequence[int]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The second half of measure 2, and 5."""
    elsewhere = pairs[pairs["language"] != pairs["question"]]
    for k in cutoffs:
        yield f"Complete@{k}", _by_language(questions["query_language"].cat.codes, questions["max_rank"] <= k)
        yield f"TLR@{k}", _by_language(elsewhere["question"], elsewhere["rank"] <= k)


def _same_language(ranks: Ranks, task: RetrievalTask, cutoffs: Sequence[int]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Measure 3, for the question languages that the pool holds."""
    share = np.bincount(task.candidate_language, minlength=len(task.languages)) / len(task.candidate_language)
    asked = share[task.query_language] > 0
    language = task.query_language[asked]
    same = task.candidate_language[ranks.top[asked]] == language[:, None]
    for k in cutoffs:
        yield f"same-language share@{k}", _by_language(language, same[:, :k].mean(axis=1))
    yield "same-language pool share", _by_language(language, share[language])


def _parity(pairs: pd.DataFrame, task: RetrievalTask, k: int) -> pd.DataFrame:
    """Measure 7: one Kruskal-Wallis test per question language."""
    n_unretrieved = max(len(task.candidate_language) - k, 0)
    rank = pairs["rank"].where(pairs["rank"] <= k, k + (n_unretrieved + 1) / 2)
    values = {}
    for question, rows in pairs.groupby("question").indices.items():
        language, ranked = np.unique(pairs["language"].to_numpy()[rows], return_inverse=True)[1], rank.to_numpy()[rows]
        if language.max() > 0:
            values[question] = (_kruskal_p(ranked, language), len(rows))
    return pd.DataFrame.from_dict(values, orient="index", columns=["value", "n"])


def _kruskal_p(values: np.ndarray, sample: np.ndarray) -> float:
    """p of the Kruskal-Wallis test of samples numbered 0, 1 … (Kruskal and Wallis 1952), as scipy.stats.kruskal gives it.

    Written out because that function goes through each of fifty samples many times to look for nan, a third of an evaluation. p = 1 when
    all values are equal (nothing found in the top k): no language is ahead.
    """
    from scipy.special import chdtrc

    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    n, ranks = len(values), (np.cumsum(ties) - (ties - 1) / 2)[place]
    untied = 1 - (ties.astype(float) ** 3 - ties).sum() / (float(n) ** 3 - n)
    if untied == 0:
        return 1.0
    sums, sizes = np.bincount(sample, ranks), np.bincount(sample)
    statistic = 12 / (n * (n + 1)) * (sums**2 / sizes).sum() - 3 * (n + 1)
    return float(chdtrc(len(sizes) - 1, statistic / untied))


def _agreement(ranks: Ranks, task: RetrievalTask, k: int) -> pd.DataFrame:
    """Measure 6: per question language, the mean over all pairs of lists with a parallel question in another language."""
    groups = _parallel_questions(task)
    step = max(1, OVERLAP_CELLS // (groups.shape[1] ** 2 * k))
    with working_threads() as run:
        parts = run(partial(_agreements, ranks.top[:, :k], task), (groups[start : start + step] for start in range(0, len(groups), step)))
        total, n = sum(parts, start=np.zeros((2, len(task.languages))))
    kept = np.flatnonzero(n)
    return pd.DataFrame({"value": total[kept] / n[kept], "n": n[kept].astype(int)}, index=kept)


def _agreements(top: np.ndarray, task: RetrievalTask, groups: np.ndarray) -> np.ndarray:
    """[2, languages]: sum of the correlations of each question language's lists with those of others, and how many these are."""
    present = groups >= 0
    language = np.where(present, task.query_language[groups], -1)
    other = (language[:, :, None] != language[:, None, :]) & present[:, :, None] & present[:, None, :]
    sums = np.where(other, _spearman(top[groups]), 0).sum(axis=2), other.sum(axis=2)
    return np.stack([np.bincount(language[present], values[present], minlength=len(task.languages)) for values in sums])


def _parallel_questions(task: RetrievalTask) -> np.ndarray:
    """[groups, questions] rows of the queries that share a group, for groups in several languages; -1 where there is none."""
    group, _ = pd.factorize(task.queries["group"])
    slot = pd.Series(group).groupby(group).cumcount().to_numpy()
    table = np.full((group.max() + 1, slot.max() + 1), -1)
    table[group, slot] = np.arange(len(group))
    several = task.queries.groupby(group)["language"].nunique().to_numpy() > 1
    return table[several]


def _spearman(lists: np.ndarray) -> np.ndarray:
    """[groups, M, M] Spearman correlations of M lists of k candidates each, over the union of every two lists.

    lists: [groups, M, k] distinct candidates. Both rankings of a union of U have the ranks 1..k and U - k times the shared
    rank, so mean and variance are known, and only sums over the common candidates remain: products of two small tables
    per list (is it there, at which rank). Two lists of one and the same candidate count as 1.
    """
    k = lists.shape[2]
    common, rank_sum, rank_product = _overlaps(lists)
    unretrieved = k - common
    shared_rank = k + (unretrieved + 1) / 2
    all_ranks = k * (k + 1) / 2
    outside = 2 * all_ranks - rank_sum - rank_sum.transpose(0, 2, 1)  # ranks of candidates that only one list holds
    mean_square = (k + unretrieved) * ((k + unretrieved + 1) / 2) ** 2
    variance = k * (k + 1) * (2 * k + 1) / 6 + unretrieved * shared_rank**2 - mean_square
    covariance = rank_product + shared_rank * outside - mean_square
    return np.divide(covariance, variance, out=np.ones_like(covariance), where=variance > 0)


def _overlaps(lists: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[groups, M, M] for lists i, j: common candidates, sum of their ranks in i, sum of the products of their ranks."""
    n_groups, n_lists, k = lists.shape
    size = n_lists * k
    ordered = np.sort(lists.reshape(n_groups, size).astype(np.int64) * size + np.arange(size), axis=1)
    candidate, place = np.divmod(ordered, size)
    column = np.cumsum(np.diff(candidate, axis=1, prepend=candidate[:, :1]) > 0, axis=1)
    exact = np.float32 if k**3 < 2**24 else np.float64  # all sums are whole numbers up to k³
    table = np.zeros((n_groups, 2, n_lists, column.max(initial=0) + 1), exact)  # is it there, at which rank
    group, (member, position) = np.arange(n_groups)[:, None], np.divmod(place, k)
    table[group, 0, member, column] = 1
    table[group, 1, member, column] = position + 1
    both = table.reshape(n_groups, 2 * n_lists, -1)
    products = (both @ both.transpose(0, 2, 1)).astype(np.float64)
    return products[:, :n_lists, :n_lists], products[:, n_lists:, :n_lists], products[:, n_lists:, n_lists:]
