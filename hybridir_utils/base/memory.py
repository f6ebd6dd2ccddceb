"""Memory: how many tokens a device takes at once, and what to do when it takes fewer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .errors import InputError

SIGNS = ("not enough memory", "can't allocate memory", "CUDA out of memory")  # what torch's allocators say in a plain RuntimeError
T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's MemoryError, torch's OutOfMemoryError, and a RuntimeError of torch's allocators."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in SIGNS)


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


def need_free(size: int, what: str, advice: str) -> None:
    """Raise InputError, before any work, where `what` takes more bytes than this machine has free; advice: what to do then."""
    import psutil

    if size > (free := psutil.virtual_memory().available):
        raise InputError(f"{what} needs {size / 1e9:,.1f} GB of memory; {free / 1e9:,.1f} GB are free. {advice}")


@dataclass
class TokenBudget:
    """How many tokens are worked on at once, padding counted; halved, for good, when a batch does not fit into memory.

    tokens: at first. key: the profile's name of it. advice: what to do where not even a single row fits.
    """

    tokens: int
    key: str
    advice: str

    def run(self, lengths: Sequence[int], work: Callable[[np.ndarray], T]) -> Iterator[tuple[np.ndarray, T]]:
        """(rows, work(rows)) of `token_batches`, until every row is done; lengths: tokens of each row.

        Raises InputError where a single row does not fit into memory; errors that are not about memory pass.
        """
        lengths = np.asarray(lengths)
        batches = token_batches(lengths, self.tokens)
        while batches:
            rows = batches[0]
            try:
                result = work(rows)
            except (RuntimeError, MemoryError) as error:
                self._halve(lengths[rows], error)
                left = np.concatenate(batches)
                batches = [left[batch] for batch in token_batches(lengths[left], self.tokens)]
            else:
                batches.pop(0)
                yield rows, result

    def _halve(self, lengths: np.ndarray, error: BaseException) -> None:
        import torch

        if not is_out_of_memory(error):
            raise error
        if len(lengths) == 1:
            said = f"out of memory with a single text of {lengths[0]} tokens ({self.key} was {self.tokens})"
            raise InputError(f"{said}. {self.advice}") from error
        self.tokens = int(lengths.max()) * len(lengths) // 2
        warnings.warn(f"out of memory: goes on with batches of {self.tokens} tokens; set {self.key} to that.", stacklevel=2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # so that smaller blocks fit
