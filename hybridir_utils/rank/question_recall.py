"""Question-to-question retrieval: does a question find its translation among all questions of another language?

Both sides are questions, encoded as questions; every ordered pair of languages is one run (the cross-lingual setting, Cr.). A question has
one relevant candidate, so Recall@k is the share of questions whose translation is among the k best. A question that the other language
lacks is not asked there, but stands in the pools of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from .ranking import dot_scores

DEPTHS = (1, 10, 100)
MEASURES = tuple(f"Recall@{k}" for k in DEPTHS)
RANK_COLUMNS = ["group", "query_language", "candidate_language", "rank"]
PAIR_KINDS = ("both trained", "one untrained", "both untrained")
ALL_PAIRS = "all pairs"


def translation_ranks(vectors: np.ndarray, groups: Sequence, languages: Sequence[str]) -> pd.DataFrame:
    """Rank of each question's translation in each other language: columns RANK_COLUMNS.

    vectors: [N, d] of unit length; groups: [N], translations share one; languages: [N]. rank: 1 + the number of other questions that
    score as high or higher: equal scores count against the encoder, as in `alignment.translation_accuracy`. Raises InputError as
    `dot_scores`.
    """
    frame = pd.DataFrame({"group": np.asarray(groups), "language": np.asarray(languages)})
    rows = {language: np.flatnonzero(frame["language"] == language) for language in sorted(frame["language"].unique())}
    tables = []
    for language, other in itertools.permutations(rows, 2):
        theirs = pd.Index(frame["group"].iloc[rows[other]])
        own = theirs.get_indexer(frame["group"].iloc[rows[language]])
        asked = np.flatnonzero(own >= 0)
        if len(asked):
            rank = _ranks(vectors[rows[language][asked]], vectors[rows[other]], own[asked])
            about = {"group": theirs[own[asked]], "query_language": language, "candidate_language": other}
            tables.append(pd.DataFrame({**about, "rank": rank}))
    return pd.concat(tables, ignore_index=True)[RANK_COLUMNS]


def _ranks(questions: np.ndarray, pool: np.ndarray, own: np.ndarray) -> np.ndarray:
    scores = dot_scores(questions, pool)(0, len(questions))
    return (scores >= scores[np.arange(len(own)), own][:, None]).sum(axis=1)


def pair_recall(ranks: pd.DataFrame) -> pd.DataFrame:
    """Recall@k of every ordered pair: query_language, candidate_language, metric, value, n (questions asked)."""
    keys = ["query_language", "candidate_language"]
    hits = _hits(ranks)
    means = hits.groupby(keys, sort=False)[list(MEASURES)].mean().reset_index()
    sizes = hits.groupby(keys, sort=False).size().rename("n").reset_index()
    return means.merge(sizes, on=keys).melt([*keys, "n"], var_name="metric")[[*keys, "metric", "value", "n"]]


def recall_by_question(ranks: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Recall@k of each parallel question, the unit of the paired tests: setting, group, then MEASURES.

    setting: ALL_PAIRS, or one of PAIR_KINDS: the ordered pairs of languages whose mean a row is. trained: languages of training batches.
    """
    hits = _hits(ranks)
    kinds = hits.assign(setting=pair_kinds(hits, trained))
    tables = [hits.assign(setting=ALL_PAIRS), kinds]
    return pd.concat([table.groupby(["setting", "group"], sort=False)[list(MEASURES)].mean().reset_index() for table in tables])


def pair_kinds(pairs: pd.DataFrame, trained: Collection[str], columns=("query_language", "candidate_language")) -> np.ndarray:
    """[rows] of PAIR_KINDS: how many of a row's two languages no training batch holds."""
    untrained = sum((~pairs[column].isin(list(trained))).to_numpy().astype(int) for column in columns)
    return np.array(PAIR_KINDS, dtype=object)[untrained]


def _hits(ranks: pd.DataFrame) -> pd.DataFrame:
    return ranks.assign(**{name: (ranks["rank"] <= k).astype(float) for name, k in zip(MEASURES, DEPTHS, strict=True)})
