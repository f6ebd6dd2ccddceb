"""Bootstrap weights: how often each group of parallel queries is drawn in every resample, for one table or for two that share groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .significance import BLOCK_CELLS


def group_counts(first: pd.Index, second: pd.Index, resamples: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of ([r, G1], [r, G2]) counts; r adds up to `resamples`.

    A group that both indices hold is drawn once for both (the same facts asked in two domains vary together); groups of one index only
    are drawn by themselves. Each of the three kinds keeps its size in every resample. Memory is bounded by BLOCK_CELLS.
    """
    union = first.union(second, sort=False)
    kind = union.isin(first) + 2 * union.isin(second)
    strata = [np.flatnonzero(kind == k) for k in (1, 2, 3)]
    place, other = union.get_indexer(first), union.get_indexer(second)
    step = max(1, BLOCK_CELLS // len(union))
    for start in range(0, resamples, step):
        counts = np.zeros((min(step, resamples - start), len(union)))
        for members in strata:
            counts[:, members] = draw_counts(len(counts), len(members), rng)
        yield counts[:, place], counts[:, other]


def draw_counts(rows: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """[rows, size] how often each of `size` things comes in `size` draws with replacement."""
    drawn = rng.integers(0, max(size, 1), size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)
