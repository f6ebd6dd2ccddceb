"""Whether an error says that there was no memory, on a GPU or on the host."""

from __future__ import annotations

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
