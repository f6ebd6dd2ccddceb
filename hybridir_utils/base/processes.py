"""Work shared by the processes of one job (`accelerate launch`, one a GPU): all get the same results and the same errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .distributed import join, processes, rank
from .errors import HybridIRError, InputError

T = TypeVar("T")


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def on_main(make: Callable[[], T]) -> T:
    """make() on the main process alone; every process gets its result, or raises its error."""
    if processes() == 1:
        return make()
    import torch

    join()
    box = [_outcome(make) if is_main() else None]
    torch.distributed.broadcast_object_list(box)
    return _results(box)[0]


def on_each(make: Callable[[int, int], T]) -> list[T]:
    """make(process, number of processes) on every process; all get all results, in the order of the processes.

    When one of them fails with an error of ours, all raise it: none is left waiting for the others.
    """
    if processes() == 1:
        return [make(0, 1)]
    import torch

    join()
    outcomes = [None] * processes()
    torch.distributed.all_gather_object(outcomes, _outcome(lambda: make(rank(), processes())))
    return _results(outcomes)


def _outcome(make: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return make(), None
    except HybridIRError as error:
        return None, str(error)


def _results(outcomes: list[tuple[T, str | None]]) -> list[T]:
    failed = next((error for _, error in outcomes if error is not None), None)
    if failed is not None:
        raise InputError(failed)
    return [value for value, _ in outcomes]
