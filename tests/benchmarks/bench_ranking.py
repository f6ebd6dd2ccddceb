"""Time and memory of the whole XQuAD-R protocol from given embeddings, against the score products alone.

    python tests/benchmarks/bench_ranking.py [--json FILE] [--repeat 3] [--scale 1.0]

The task has XQuAD-R's counts: 13,090 questions (1,190 in 11 languages), 13,014 candidates, one relevant candidate per
question and language, 768 dimensions. Two sets of embeddings: an encoder whose translations lie close together but carry
a language offset, and random vectors (where nearly every candidate outranks the relevant ones). The protocol is 11 Mo.,
110 Cr. and 11 Mul. runs, MAP@100 beside the full measure, the heat map and every bias measure. What the protocol's time goes into
is told in CPU seconds of all its threads, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import psutil

from hybridir_utils.rank import bias, metrics, ranking
from hybridir_utils.rank.ranking import dot_scores, rank_task
from hybridir_utils.tasks.retrieval_task import RetrievalTask

CANDIDATES = {
    "ar": 1222,
    "de": 1276,
    "el": 1234,
    "en": 1180,
    "es": 1215,
    "hi": 1244,
    "ru": 1219,
    "th": 852,
    "tr": 1167,
    "vi": 1209,
    "zh": 1196,
}
QUESTIONS = 1190
WIDTH = 768


def make_task(scale: float, seed: int = 0) -> tuple[RetrievalTask, np.ndarray, np.ndarray]:
    """The task, and the number of the answer (shared by translations) of each query and of each candidate."""
    counts = {language: max(2, int(n * scale)) for language, n in CANDIDATES.items()}
    n_questions, answers = max(2, int(QUESTIONS * scale)), min(counts.values())
    answer = np.random.default_rng(seed).integers(0, answers, n_questions)
    candidates = [(f"{language}-{i}", str(i), language, "sentence") for language, n in counts.items() for i in range(n)]
    queries = [(f"{language}-{i}", str(i), language, "question") for language in counts for i in range(n_questions)]
    relevance = [(f"{x}-{i}", f"{y}-{answer[i]}") for x in counts for i in range(n_questions) for y in counts]
    columns = ["id", "group", "language", "text"]
    task = RetrievalTask(
        "XQuAD-R's counts",
        pd.DataFrame(queries, columns=columns),
        pd.DataFrame(candidates, columns=columns),
        pd.DataFrame(relevance, columns=["query", "candidate"]),
    )
    return task, answer[task.queries["group"].astype(int)], task.candidates["group"].astype(int).to_numpy()


def embed(language: np.ndarray, meaning: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """[rows, WIDTH] unit vectors: meaning + offset of the language + noise."""
    shared, own = np.random.default_rng(1), np.random.default_rng(seed)
    meanings = shared.standard_normal((max(CANDIDATES.values()), WIDTH), dtype=np.float32)
    offsets = shared.standard_normal((len(CANDIDATES), WIDTH), dtype=np.float32)
    vectors = noise * own.standard_normal((len(meaning), WIDTH), dtype=np.float32)
    vectors += meanings[meaning] + offsets[language] / 2
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def products(queries: np.ndarray, candidates: np.ndarray, block: int = 512) -> None:
    """The floor: score products alone, in blocks, with all BLAS threads."""
    scores = np.empty((block, len(candidates)), dtype=np.float32)
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        np.matmul(part, candidates.T, out=scores[: len(part)])


def protocol(queries: np.ndarray, candidates: np.ndarray, task: RetrievalTask) -> pd.DataFrame:
    """Every score this suite reports of one encoder on one task."""
    ranks = rank_task(dot_scores(queries, candidates), task)
    table = metrics.per_query(ranks, task)
    table["AP@100"] = metrics.truncated_ap(ranks, task)
    metrics.heat_map(ranks, task)
    metrics.coverage(task)
    bias.bias_scores(ranks, task)
    bias.rank_distances(ranks, task)
    return metrics.scores(table)


STEPS = {  # of `rank_task`
    "_top": "the top 100",
    "_compared": "ranks, in the candidate's language and in the mixed pool",
}


def parts(queries: np.ndarray, candidates: np.ndarray, task: RetrievalTask) -> dict[str, float]:
    """CPU seconds of each part of the protocol, over all threads; the places are worked out with the first measure that asks for them."""
    spent, lock = Counter(), threading.Lock()

    def counted(name: str, work):
        def run(*arguments, **options):
            start = time.thread_time()
            try:
                return work(*arguments, **options)
            finally:
                with lock:
                    spent[name] += time.thread_time() - start

        return run

    score_block = counted("score products", dot_scores(queries, candidates))
    with ExitStack() as stack:
        for function, name in STEPS.items():
            stack.enter_context(patch.object(ranking, function, counted(name, getattr(ranking, function))))
        ranks = rank_task(score_block, task)
    table = counted("measures of retrieval", metrics.per_query)(ranks, task)
    for work in (metrics.truncated_ap, metrics.heat_map):
        counted("measures of retrieval", work)(ranks, task)
    counted("measures of retrieval", metrics.scores)(table)
    start = time.process_time()  # lists are compared in threads of their own
    bias.bias_scores(ranks, task), bias.rank_distances(ranks, task)
    spent["measures of bias"] = time.process_time() - start
    return {name: round(seconds, 2) for name, seconds in spent.items()}


def timed(work, *arguments) -> tuple[float, object]:
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


class PeakMemory:
    """Peak resident memory of this process above the memory at entry, in MB; sampled every 5 ms."""

    def __enter__(self):
        self._process, self._stop = psutil.Process(), threading.Event()
        self.peak_mb, self._before = 0.0, self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak_mb = max(self.peak_mb, (self._process.memory_info().rss - self._before) / 1e6)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def measure(name: str, noise: float, task: RetrievalTask, meanings: tuple[np.ndarray, np.ndarray], repeat: int) -> dict:
    """Best of `repeat` of both times, taken in turn. Memory is that of the first run in a fresh process."""
    queries = embed(task.query_language, meanings[0], noise, seed=2)
    candidates = embed(task.candidate_language, meanings[1], noise, seed=3)
    with PeakMemory() as memory:
        first, table = timed(protocol, queries, candidates, task)
    times = [(timed(products, queries, candidates)[0], timed(protocol, queries, candidates, task)[0]) for _ in range(repeat)]
    floor, full = np.min(times, axis=0)
    macro = table[(table["query_language"] == "macro") & (table["metric"] == "mAP")]
    return {
        "embeddings": name,
        "products_s": round(floor, 3),
        "protocol_s": round(full, 3),
        "ratio": round(full / floor, 2),
        "first_run_s": round(first, 3),
        "peak_mb_above_embeddings": round(memory.peak_mb),
        "parts_cpu_s": parts(queries, candidates, task),
        "mAP": {setting: round(value, 4) for setting, value in zip(macro["setting"], macro["value"], strict=True)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of XQuAD-R's questions and candidates")
    options = parser.parse_args()
    task, *meanings = make_task(options.scale)
    kinds = (("good encoder", 2.0), ("random", 1e6))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as fresh:
        results = [fresh.submit(measure, name, noise, task, tuple(meanings), options.repeat).result() for name, noise in kinds]
    report = {"queries": len(task.queries), "candidates": len(task.candidates), "width": WIDTH, "cpus": os.cpu_count(), "results": results}
    print(json.dumps(report, indent=2))
    if options.json:
        partial = options.json.with_suffix(".part")
        partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        partial.replace(options.json)


if __name__ == "__main__":
    main()
