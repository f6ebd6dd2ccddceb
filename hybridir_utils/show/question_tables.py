"""Tables of notebook 07: recall of translated questions and the alignment of their vectors, before and after training."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ..rank.question_recall import ALL_PAIRS, MEASURES, PAIR_KINDS, pair_kinds
from ..steps.evaluation import NOT_TRAINED, UNTRAINED
from .style import in_order
from .tables import test_table

ENCODER = ["base", "strategy", "alpha", "seed", "task"]
KINDS = (ALL_PAIRS, *PAIR_KINDS)
MAIN = MEASURES[0]


def apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of all pairs, and of each kind of pair where there is more than one kind: a single one is all pairs once more."""
    return rows if rows["setting"].nunique() > 2 else rows[rows["setting"] == ALL_PAIRS]


def recall_means(recall: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Recall@k of each encoder, macro-averaged over the ordered pairs of languages of each of KINDS (`apart`).

    recall: ENCODER, query_language, candidate_language, metric, value. Returns ENCODER, setting, metric, value, n (pairs).
    """
    kinds = recall.assign(setting=pair_kinds(recall, trained))
    rows = apart(pd.concat([recall.assign(setting=ALL_PAIRS), kinds]))
    grouped = rows.groupby([*ENCODER, "setting", "metric"], sort=False, dropna=False)["value"]
    return grouped.agg(value="mean", n="size").reset_index()


def pair_means(recall: pd.DataFrame) -> pd.DataFrame:
    """Recall@1 of each ordered pair of languages, mean over seeds: base, strategy, query_language, candidate_language, value."""
    rows = recall[recall["metric"] == MAIN]
    return rows.groupby(["base", "strategy", "query_language", "candidate_language"], sort=False)["value"].mean().reset_index()


def recall_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: Recall@k by kind of language pair, mean over seeds ± standard deviation."""
    cells = means.groupby(["base", "strategy", "setting", "metric"], sort=False)["value"].agg(["mean", "std", "size"])
    texts = [f"{row.mean:.3f}" + (f" ± {row.std:.3f}" if row.size > 1 else "") for row in cells.rename(columns=str).itertuples()]
    wide = pd.Series(texts, index=cells.index).unstack(["setting", "metric"])
    rank = in_order(means["strategy"])
    order = sorted(wide.index, key=lambda key: (key[0], rank.index(key[1])))
    return wide.loc[order, [(kind, metric) for kind in KINDS for metric in MEASURES if (kind, metric) in wide]]


def question_tests(questions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Paired tests over the parallel questions, for each kind of language pair and MEASURES: every trained strategy against the untrained
    base (baseline untrained), and against hybrid (baseline hybrid). Columns as of `tables.test_table`; Holm's correction in each family.

    questions: task, base, strategy, seed, setting, group and MEASURES. The untrained base has no seeds of its own: it stands beside every
    seed as it is, so that the interval over seeds is that of the training runs.
    """
    trained = questions[~questions["strategy"].isin(NOT_TRAINED)]
    runs = trained[["base", "seed"]].drop_duplicates()
    before = questions[questions["strategy"] == UNTRAINED].drop(columns="seed").merge(runs, on="base")
    rows = apart(pd.concat([trained, before], ignore_index=True))
    tables = [test_table(rows, value, resamples, baseline) for baseline in (UNTRAINED, "hybrid") for value in MEASURES]
    return pd.concat(tables, ignore_index=True)


def alignment_means(alignment: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Alignment measures of each encoder: the mean over the ordered pairs of each of KINDS, or of the whole set (kind `all pairs`).

    Returns base, strategy, seed, setting, measure, value.
    """
    pairs = alignment[alignment["other_language"] != ""]
    kinds = pairs.assign(setting=pair_kinds(pairs, trained, ("language", "other_language")))
    rows = apart(pd.concat([alignment.assign(setting=ALL_PAIRS), kinds]))
    return rows.groupby(["base", "strategy", "seed", "setting", "measure"], sort=False)["value"].mean().reset_index()


def alignment_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: mean over seeds of every measure, by kind of language pair where it is one of pairs."""
    wide = means.pivot_table(index=["base", "strategy"], columns=["measure", "setting"], values="value", sort=False)
    rank = in_order(means["strategy"])
    return wide.loc[sorted(wide.index, key=lambda key: (key[0], rank.index(key[1])))].round(3)
