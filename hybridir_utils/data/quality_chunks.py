"""The quality of any number of pairs: checked some hundred thousand at a time, those together that are compared with each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from datasets import Dataset
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..base.mapped import chunks, codes
from .quality import check_pairs_quality

CHECKED_TOGETHER = 100_000  # pairs; fewer are checked as a whole


def rejected(pairs: Dataset) -> pd.DataFrame:
    """What `quality.check_pairs_quality` refuses, in the same columns; at most CHECKED_TOGETHER rows, or one group of ids that ask the
    same questions, are in memory at once.
    """
    return pd.concat([check_pairs_quality(pairs.select(rows)) for rows in _checked_together(pairs)], ignore_index=True)


def _checked_together(pairs: Dataset) -> Iterator[np.ndarray]:
    """Rows whose quality is checked at once: all those of an id, and of ids that ask the same question in some language.

    Such groups are taken together up to CHECKED_TOGETHER rows; the median length of a language is then that of the rows at hand.
    """
    if len(pairs) <= CHECKED_TOGETHER:
        yield np.arange(len(pairs))
        return
    ids, names = codes(pairs, "id")
    group = _linked(ids, len(names), _question_numbers(pairs))[ids]
    part = (np.cumsum(np.bincount(group)) - 1) // CHECKED_TOGETHER
    order = np.argsort(part[group], kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(part[group[order]])) + 1)


def _question_numbers(pairs: Dataset) -> np.ndarray:
    """[rows] 64-bit number that equal questions of a language share; when others do by chance, they are checked together, no more."""
    language, numbers, start = codes(pairs, "language")[0].astype(np.uint64), np.empty(len(pairs), np.uint64), 0
    for table in chunks(pairs, ["question"]):
        texts = pc.utf8_trim_whitespace(table["question"]).to_numpy()
        numbers[start : start + len(texts)] = pd.util.hash_array(texts, categorize=False)
        start += len(texts)
    return numbers + language * np.uint64(0x9E3779B97F4A7C15)


def _linked(ids: np.ndarray, count: int, questions: np.ndarray) -> np.ndarray:
    """[count] group of every id: ids that share a question, also through others, share a group."""
    ordered = np.sort(questions)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows = np.flatnonzero(np.isin(questions, repeated))
    edges = (np.ones(len(rows), np.int8), (ids[rows], count + np.searchsorted(repeated, questions[rows])))
    return connected_components(coo_array(edges, shape=(count + len(repeated),) * 2), directed=False)[1][:count]
