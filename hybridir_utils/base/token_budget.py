"""Batches by token budget: texts of like length together, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def token_batches(lengths: Sequence[int], budget: int, most: int = 1024) -> list[np.ndarray]:
    """Rows in batches of at most `budget` tokens, padding counted, and at most `most` rows; the longest first.

    lengths: tokens of each row. A row longer than the budget gets a batch of its own. Longest first, so that a batch that does not
    fit into memory fails at once and an estimate of the time left errs on the safe side. Every row is in exactly one batch.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        fits = max(1, budget // max(1, int(lengths[order[start]])))
        stop = start + min(fits, most)
        batches.append(order[start:stop])
        start = stop
    return batches
