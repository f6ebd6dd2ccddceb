"""Other pairs made of parallel pairs, for the methods that hybrid batches are compared with: translations, a text twice, two crops.

Each function takes parallel pairs (datasets.Dataset) and a seed and returns pairs of the same columns and ids, so that a batch plan
can be drawn over them and no batch holds two views of one passage as negatives of each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ..base.mapped import chunks, stored
from .pair_checks import PAIR_COLUMNS

LEAST, MOST = 0.3, 0.8  # share of a passage that a crop keeps; passages here have a sentence or a few, not Contriever's 256 tokens
FEW_WORDS = 6  # a text with fewer blanks is cropped by characters: Chinese, Japanese, Thai …


def passage_twice(pairs, seed: int = 0):
    """Question = passage: under X-Y batches a passage meets its translation (LaBSE, Feng et al. 2022), under X-X itself (SimCSE)."""
    return _with_texts(pairs, lambda texts: (texts, texts))


def two_crops(pairs, seed: int = 0):
    """Question and passage = two spans of the passage, drawn independently (Contriever, Izacard et al. 2022, §3.1)."""
    rng = np.random.default_rng(seed)
    return _with_texts(pairs, lambda texts: tuple([crop(text, rng) for text in texts] for _ in range(2)))


def crop(text: str, rng: np.random.Generator) -> str:
    """A span of LEAST to MOST of the text's words, or characters where it has few words; never empty."""
    words = text.split()
    units, glue = (words, " ") if len(words) >= FEW_WORDS else (list(text), "")
    length = max(1, round(rng.uniform(LEAST, MOST) * len(units)))
    start = rng.integers(0, len(units) - length + 1)
    return glue.join(units[start : start + length]).strip() or text


def _with_texts(pairs, views: Callable[[list[str]], tuple[list[str], list[str]]]):
    """The pairs, without hard negatives, with the two views of each passage in the place of question and passage."""
    return stored(_viewed(table, views) for table in chunks(pairs, PAIR_COLUMNS))


def _viewed(table: pa.Table, views: Callable) -> pa.Table:
    texts = dict(zip(("question", "passage"), views(table["passage"].to_pylist()), strict=True))
    return pa.table({name: texts.get(name, table[name]) for name in table.column_names}, schema=table.schema)
