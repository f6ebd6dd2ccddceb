"""Exact search: the k best passages of every query, in one pass over a corpus of any size, on the CPU or the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ..base.errors import InputError
from ..encode.corpora import CorpusVectors
from ..encode.opening import default_device

QUERY_TILE = 512  # queries scored at once; with the default block 40 MiB of room for a thread
MOST_WORKERS = 8  # more only queue for memory bandwidth
PAIRS = 512  # pairs scored in double precision at once: few enough to stay in the processor's cache


def search(
    query_vectors: np.ndarray, corpus: CorpusVectors | np.ndarray, k: int, *, block: int = 16_384, device: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(scores [Q, min(k, N)] fp32, rows [Q, min(k, N)] int64) of the passages with the highest dot products, best first.

    query_vectors: [Q, width]; corpus: vectors on disk, or [N, width]. A score is the dot product of the fp32 vectors in double
    precision, rounded to fp32; equal scores are ordered by row. Neither `block` (passages scored at once, at least k) nor the
    device changes the result: products in single precision, off by at most width x 2^-24 x both vectors' lengths (Higham 2002,
    section 3.1), only choose the pairs that are scored in double precision. Memory beside the vectors: the block in fp32, 40 MB a
    thread (at most eight) for scores, and 12 bytes a kept passage. Raises InputError on wrong shapes and vectors that are not finite.
    """
    queries = torch.from_numpy(_checked(query_vectors, corpus, k, block)).to(device or default_device())
    best = torch.full((len(queries), min(k, len(corpus))), -torch.inf, device=queries.device)
    rows = torch.zeros(best.shape, dtype=torch.int64, device=queries.device)
    lengths, tiles = queries.double().norm(dim=1), range(0, len(queries), QUERY_TILE)
    size = min(max(block, k), len(corpus))
    with _workers(1 if queries.is_cuda else min(MOST_WORKERS, torch.get_num_threads())) as (count, run):
        rooms = [tuple(queries.new_empty(QUERY_TILE * size, dtype=kind) for kind in (torch.float32, torch.bool)) for _ in range(count)]
        for start, passages in _blocks(corpus, size):
            passages = torch.from_numpy(passages).to(queries.device)
            error = lengths * _longest(passages, start) * (queries.shape[1] + 2) * 2.0**-24

            def work(number: int, start: int = start, passages=passages, error=error) -> None:
                for part in (slice(first, first + QUERY_TILE) for first in tiles[number::count]):
                    _merge(queries[part], passages, start, best[part], rows[part], error[part], *rooms[number])

            list(run(work, range(count)))
    return best.cpu().numpy(), rows.cpu().numpy()


@torch.inference_mode()
def _merge(queries, passages, start: int, best, rows, error, scores, found) -> None:
    """Put into `best` and `rows` of a tile of queries what a block has that is better; `scores` and `found` are room to work in."""
    shape = len(queries), len(passages)
    scores, found = (room[: shape[0] * shape[1]].view(shape) for room in (scores, found))
    _products(queries, passages, scores)
    floor = best[:, -1] - error
    if start == 0:  # nothing kept yet: the block's own k-th best is a bound as good
        floor = scores.topk(best.shape[1], dim=1).values[:, -1] - 2 * error
    floor = torch.nextafter(floor.float(), floor.new_tensor(-torch.inf, dtype=torch.float32))
    found = torch.ge(scores, floor[:, None], out=found).view(-1).nonzero()[:, 0]
    query, column = found // len(passages), found % len(passages)
    if not len(found):
        return
    double = queries.double()
    pairs = ((query[i : i + PAIRS], column[i : i + PAIRS]) for i in range(0, len(found), PAIRS))
    exact = torch.cat([(double[q] * passages[c]).sum(1).float() for q, c in pairs])
    touched, index, counts = query.unique_consecutive(return_inverse=True, return_counts=True)
    place = best.shape[1] + torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[index]
    # Kept passages stand first and have lower rows, so a stable sort orders equal scores by row.
    score_table = best.new_full((len(touched), best.shape[1] + int(counts.max())), -torch.inf)
    row_table = rows.new_zeros(score_table.shape)
    score_table[:, : best.shape[1]], row_table[:, : best.shape[1]] = best[touched], rows[touched]
    score_table[index, place], row_table[index, place] = exact, column + start
    order = score_table.sort(dim=1, descending=True, stable=True).indices[:, : best.shape[1]]
    best[touched], rows[touched] = score_table.gather(1, order), row_table.gather(1, order)


def _products(queries, passages, out) -> None:
    """fp32 dot products: torch's on a GPU, numpy's on a CPU, whose BLAS is faster there on AMD."""
    if out.is_cuda:
        torch.mm(queries, passages.T, out=out)
    else:
        np.matmul(queries.numpy(), passages.numpy().T, out=out.numpy())


def _longest(passages, start: int) -> float:
    """Length of the block's longest vector."""
    lengths = passages.norm(dim=1)
    bad = (~torch.isfinite(lengths)).nonzero()
    if len(bad):
        raise InputError(f"corpus vectors: row {start + int(bad[0])} holds NaN or infinite values; encode it again.")
    return float(lengths.max())


def _blocks(corpus: CorpusVectors | np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    if isinstance(corpus, CorpusVectors):
        return corpus.blocks(size)
    return ((start, np.ascontiguousarray(corpus[start : start + size], np.float32)) for start in range(0, len(corpus), size))


def _checked(query_vectors: np.ndarray, corpus, k: int, block: int) -> np.ndarray:
    width = corpus.shape[1] if isinstance(corpus, np.ndarray) else corpus.width
    queries = np.ascontiguousarray(query_vectors, np.float32)
    if queries.ndim != 2 or queries.shape[1] != width:
        raise InputError(f"query vectors have shape {queries.shape}, corpus vectors are {width} wide; use one encoder for both.")
    if not np.isfinite(queries).all():
        raise InputError(f"query vectors: row {np.flatnonzero(~np.isfinite(queries).all(axis=1))[0]} holds NaN or infinite values.")
    if k < 1 or block < 1 or not len(corpus):
        raise InputError(f"k is {k}, block {block}, and the corpus has {len(corpus)} passages; all must be at least 1.")
    return queries


@contextmanager
def _workers(count: int):
    """(count, map over as many threads): each works on its own queries with one thread of the libraries, so that no two kinds of
    thread wait for each other; products in fp32 proper, as TensorFloat-32, which keeps ten bits, would break the bound on the error.
    """
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count) as pool:
            yield count, pool.map
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)
