"""Exact search against the score products alone: time, and memory above the vectors.

    python tests/benchmarks/bench_search.py [--json FILE] [--queries 13090] [--passages 1000000] [--width 768] [--depth 100]

Random unit vectors, all in memory. The floor is the products alone, numpy and torch each in blocks, the faster one counts; FAISS's
own exact search (`faiss.knn` over blocks, merged) stands beside where it is installed (`pip install faiss-cpu`). One pass each, the
floor before and after: with the defaults this takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from bench_ranking import PeakMemory, timed

from hybridir_utils.provenance.fingerprints import versions
from hybridir_utils.rank.search import search

BLOCK = 16_384
TILE = 512


def unit_vectors(rows: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, width), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        vectors[start : start + BLOCK] /= np.linalg.norm(vectors[start : start + BLOCK], axis=1, keepdims=True)
    return vectors


def numpy_products(queries: np.ndarray, passages: np.ndarray) -> None:
    room = np.empty(TILE * BLOCK, np.float32)
    for start in range(0, len(passages), BLOCK):
        block = passages[start : start + BLOCK]
        for first in range(0, len(queries), TILE):
            tile = queries[first : first + TILE]
            np.matmul(tile, block.T, out=room[: len(tile) * len(block)].reshape(len(tile), len(block)))


def torch_products(queries: np.ndarray, passages: np.ndarray) -> None:
    room = torch.empty(TILE * BLOCK)
    for start in range(0, len(passages), BLOCK):
        block = torch.from_numpy(passages[start : start + BLOCK])
        for tile in torch.from_numpy(queries).split(TILE):
            torch.mm(tile, block.T, out=room[: len(tile) * len(block)].view(len(tile), len(block)))


def faiss_search(queries: np.ndarray, passages: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    results = faiss.ResultHeap(len(queries), depth, keep_max=True)
    for start in range(0, len(passages), 4 * BLOCK):
        scores, rows = faiss.knn(queries, passages[start : start + 4 * BLOCK], depth, metric=faiss.METRIC_INNER_PRODUCT)
        results.add_result(scores, rows + start)
    results.finalize()
    return results.D, results.I


def measure(n_queries: int, n_passages: int, width: int, depth: int) -> dict:
    queries, passages = unit_vectors(n_queries, width, 0), unit_vectors(n_passages, width, 1)
    floors = {"numpy": [timed(numpy_products, queries, passages)[0]], "torch": [timed(torch_products, queries, passages)[0]]}
    with PeakMemory() as memory:
        seconds, (scores, rows) = timed(search, queries, passages, depth)
    floors["numpy"].append(timed(numpy_products, queries, passages)[0])
    floor = min(min(times) for times in floors.values())
    return {
        "queries": n_queries,
        "passages": n_passages,
        "width": width,
        "depth": depth,
        "products_s": {kind: [round(t, 2) for t in times] for kind, times in floors.items()},
        "search_s": round(seconds, 2),
        "ratio": round(seconds / floor, 2),
        "peak_mb_above_vectors": round(memory.peak_mb),
        **(beside_faiss(queries, passages, scores, rows, floor) if find_spec("faiss") else {}),
    }


def beside_faiss(queries: np.ndarray, passages: np.ndarray, scores: np.ndarray, rows: np.ndarray, floor: float) -> dict:
    """FAISS's time and memory, and how its results compare with ours."""
    with PeakMemory() as memory:
        seconds, (faiss_scores, faiss_rows) = timed(faiss_search, queries, passages, rows.shape[1])
    return {
        "faiss_s": round(seconds, 2),
        "faiss_ratio": round(seconds / floor, 2),
        "faiss_peak_mb_above_vectors": round(memory.peak_mb),
        "rows_as_faiss": round(float((rows == faiss_rows).mean()), 6),
        "largest_score_difference_to_faiss": float(np.abs(scores - faiss_scores).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    for name, value in (("queries", 13_090), ("passages", 1_000_000), ("width", 768), ("depth", 100)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    if not find_spec("faiss"):
        print("faiss is not installed (pip install faiss-cpu): its part is left out.", file=sys.stderr)
    report = measure(options.queries, options.passages, options.width, options.depth)
    report |= {"cpus": os.cpu_count(), "machine": platform.machine(), "torch_threads": torch.get_num_threads(), "versions": versions()}
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
