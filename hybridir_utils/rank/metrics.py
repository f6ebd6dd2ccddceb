"""Retrieval measures of the three settings of LAReQA's protocol (PAPER §3), computed from ranks.

monolingual (Mo.): question and pool in language X. cross-lingual (Cr.): question in X, pool in Y != X, one run per ordered
pair; a question without a relevant candidate in Y is dropped from that run (`coverage` counts them). multilingual (Mul.):
the pool of all languages. Rankings are full: no measure has a cut-off unless its name says so.

For a question with R relevant candidates at ranks p_1 < ... < p_R:
AP = mean of i / p_i; R@k = share of the R with p_i <= k (so 1/R bounds R@1, and 10/11 bounds R@10 in XQuAD-R's mixed
pool); nDCG@10 = DCG / that of the ideal list, DCG the sum of gain / log2(1 + p_i) over p_i <= 10, gains 1 unless graded; RR = 1 / p_1.
Ties are resolved for the relevant items (`ranking.Places`): AP equals AP_best, and AP_worst is the other bound.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..tasks.retrieval_task import RetrievalTask
from .ranking import Places, Ranks

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
MEAN_NAMES = {"AP": "mAP", "AP_best": "mAP_best", "AP_worst": "mAP_worst", "RR": "MRR"}
RUN_COLUMNS = ["setting", "query", "group", "query_language", "candidate_language"]


def per_query(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """One row per (setting, question, pool): RUN_COLUMNS, then AP, AP_best, AP_worst, R@1, R@10, nDCG@10, RR.

    query: row of the task; candidate_language: the pool's, `all` for the mixed pool. Rows are sorted by setting, query and
    candidate language. Questions without a relevant candidate in the pool have no row.
    """
    table = pd.concat([pd.DataFrame(_measures(runs, task.gains)) for runs in (ranks.own_places, ranks.mixed_places)], ignore_index=True)
    order, identity = _identity(ranks, task)
    return pd.concat([identity, table.iloc[order].reset_index(drop=True)], axis=1)


def truncated_ap(ranks: Ranks, task: RetrievalTask, depth: int = 100) -> np.ndarray:
    """[rows of `per_query`] AP of the ranking cut at `depth`: later relevant items count 0, as in trec_eval's map_cut.

    Put it beside the full measure: `table["AP@100"] = truncated_ap(ranks, task)`; `scores` then gives mAP@100 as well.
    """
    values = [_run_mean(runs, (runs.best <= depth) * runs.hits / runs.best) for runs in (ranks.own_places, ranks.mixed_places)]
    order, _ = _identity(ranks, task)
    return np.concatenate(values)[order]


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Means of a `per_query` table: setting, query_language, candidate_language, metric, value, n.

    One row per language or ordered pair (n questions), then the macro-average of each setting (n languages or pairs), with
    query_language `macro` and candidate_language `macro`, or `all` in the mixed pool. Metrics: mAP, mAP_best, mAP_worst,
    R@1, R@10, nDCG@10, MRR, and the mean of any further column of `table`.
    """
    keys = ["setting", "query_language", "candidate_language"]
    metrics = [column for column in table.columns if column not in RUN_COLUMNS]
    grouped = table.groupby(keys, observed=True, sort=True)
    means = grouped[metrics].mean().assign(n=grouped.size())
    macro = means[metrics].groupby("setting", observed=True).mean().assign(n=means.groupby("setting", observed=True).size())
    macro = macro.reset_index().assign(query_language="macro")
    macro["candidate_language"] = np.where(macro["setting"] == "multilingual", "all", "macro")
    wide = pd.concat([means.reset_index().astype(dict.fromkeys(keys, str)), macro.astype({"setting": str})], ignore_index=True)
    wide = wide.rename(columns={name: MEAN_NAMES.get(name, f"m{name}" if name.startswith("AP@") else name) for name in metrics})
    return wide.melt([*keys, "n"], var_name="metric")[[*keys, "metric", "value", "n"]]


def heat_map(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """mAP of question language (rows) x answer language (columns) in the mixed pool, less other answers (PAPER §4.8).

    The pool of a cell is all candidates but the question's relevant ones in other languages. NaN where no question of the
    row has a relevant candidate in the column's language.
    """
    own, mixed = ranks.own_places, ranks.mixed_places
    others_above = mixed.relevant_above - own.relevant_above
    nth_of_tie = own.hits - own.relevant_above
    rank = ranks.above_all - others_above + nth_of_tie
    languages = {"question language": task.query_language[ranks.query[own.start]], "answer language": ranks.language[own.start]}
    runs = pd.DataFrame({**languages, "mAP": _run_mean(own, own.hits / rank)})
    cells = runs.pivot_table(index="question language", columns="answer language", values="mAP")
    return cells.rename(index=dict(enumerate(task.languages)), columns=dict(enumerate(task.languages)))


def coverage(task: RetrievalTask) -> pd.DataFrame:
    """Questions evaluated and dropped per run: setting, query_language, candidate_language, questions, dropped.

    A question is dropped from a run when the pool holds no candidate relevant to it (PAPER §3, MLQA-R).
    """
    n = len(task.languages)
    asked = np.bincount(task.query_language, minlength=n)
    query, candidate = task.relevant_pairs.T
    answered = np.zeros((len(task.query_language), n), dtype=bool)
    answered[query, task.candidate_language[candidate]] = True
    kept = np.stack([answered[task.query_language == x].sum(axis=0) for x in range(n)])
    kept_mixed = np.bincount(task.query_language[answered.any(axis=1)], minlength=n)
    rows = [
        (SETTINGS[int(x != y)], task.languages[x], task.languages[y], kept[x, y], asked[x] - kept[x, y])
        for x in np.flatnonzero(asked)
        for y in np.unique(task.candidate_language)
    ]
    rows += [(SETTINGS[2], task.languages[x], "all", kept_mixed[x], asked[x] - kept_mixed[x]) for x in np.flatnonzero(asked)]
    table = pd.DataFrame(rows, columns=["setting", "query_language", "candidate_language", "questions", "dropped"])
    return table.sort_values("setting", key=lambda names: names.map(SETTINGS.index), kind="stable", ignore_index=True)


def _identity(ranks: Ranks, task: RetrievalTask) -> tuple[np.ndarray, pd.DataFrame]:
    """Order of the runs (own languages, then mixed) by setting, and RUN_COLUMNS in that order."""
    own, mixed = ranks.own_places.start, ranks.mixed_places.start
    query = ranks.query[np.r_[own, mixed]]
    pool = np.r_[ranks.language[own], np.full(len(mixed), len(task.languages))]
    language = task.query_language[query]
    setting = np.select([pool == len(task.languages), pool == language], [2, 0], 1)
    order = np.argsort(setting, kind="stable")
    query, pools = query[order], [*task.languages, "all"]
    return order, pd.DataFrame(
        {
            "setting": pd.Categorical.from_codes(setting[order], SETTINGS, ordered=True),
            "query": query,
            "group": task.queries["group"].take(query).array,
            "query_language": pd.Categorical.from_codes(language[order], task.languages),
            "candidate_language": pd.Categorical.from_codes(pool[order], pools),
        }
    )


def _measures(runs: Places, gains: np.ndarray | None) -> dict[str, np.ndarray]:
    """gains: [R] of each relevant pair, None where all are 1."""
    hits, best, worst = runs.hits, runs.best, runs.worst
    gain = (best <= 10) / np.log2(best + 1) * (1 if gains is None else gains)
    precision = _run_mean(runs, hits / best)
    return {
        "AP": precision,
        "AP_best": precision,
        "AP_worst": _run_mean(runs, hits / worst),
        "R@1": _run_mean(runs, best <= 1),
        "R@10": _run_mean(runs, best <= 10),
        "nDCG@10": np.add.reduceat(gain, runs.start) / _ideal(runs, gains),
        "RR": 1 / np.minimum.reduceat(best, runs.start),
    }


def _ideal(runs: Places, gains: np.ndarray | None) -> np.ndarray:
    """[runs] DCG@10 of the relevant items of each run, the most relevant first."""
    length = np.diff(np.r_[runs.start, len(runs.hits)])
    if gains is None:
        return np.cumsum(1 / np.log2(np.arange(2, 12)))[np.minimum(length, 10) - 1]
    number = np.repeat(np.arange(len(length)), length)
    place = np.arange(len(number)) - runs.start[number]
    ordered = gains[np.lexsort((-gains, number))]
    return np.add.reduceat(ordered * (place < 10) / np.log2(place + 2), runs.start)


def _run_mean(runs: Places, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(float), runs.start) / np.diff(np.r_[runs.start, len(values)])
