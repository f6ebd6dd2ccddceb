"""Memory: what this process and its children take, and how many tokens a device takes at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIGNS = ("not enough memory", "can't allocate memory", "CUDA out of memory")  # what torch's allocators say in a plain RuntimeError


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's MemoryError, torch's OutOfMemoryError, and a RuntimeError of torch's allocators."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in SIGNS)


def forget_cached_blocks() -> None:
    """Give the GPU's freed blocks back, so that smaller ones fit."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
