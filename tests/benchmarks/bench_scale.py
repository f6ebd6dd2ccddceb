"""How time and memory grow with pairs, languages, candidates, passages and seeds, measured and drawn.

    python tests/benchmarks/bench_scale.py [--csv FILE] [--figure FOLDER] [--only planning,ranking,encoding,sweep]

Every size is measured in a process of its own: seconds, and the peak of its memory above what the imports take. Reported, not asserted.
The slope is that of a line through the logarithms: 1 is in proportion, 2 is quadratic. Pairs, tasks and texts are made up; sweeps run the
embedded corpus' first two notebooks (01, 02) on few steps, one run a seed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

IDS = (2_000, 20_000, 200_000)
LANGUAGES = (2, 11, 25, 50)
SCALES = (0.25, 0.5, 1.0, 2.0)  # of XQuAD-R's 13,090 questions and 13,014 candidates
PASSAGES = {"bag of subwords": (1_000, 10_000, 100_000), "BERT, 2 layers, 128 wide": (1_000, 4_000, 16_000)}
SEEDS = {1: (1, 2), 2: (2, 4)}  # runs at a time -> runs
SWEEP = {"steps": 60, "bases": '["unaligned"]', "strategies": '["X-X-mono", "X-Y", "hybrid"]', "alignment_steps": 20}


def planning(ids: int, languages: int) -> Callable[[], None]:
    """Index made-up pairs and plan 10,000 hybrid batches of 100."""
    from datasets import Dataset

    from hybridir_utils.data.batching import plan_batches
    from hybridir_utils.data.parallel_index import ParallelIndex

    numbers = np.repeat(np.arange(ids), languages)
    columns = {"id": numbers.astype(str), "passage_id": (numbers // 5).astype(str), "language": np.tile(codes(languages), ids)}
    pairs = Dataset.from_dict(columns | {"source": ["s"] * len(numbers)})
    return lambda: plan_batches(ParallelIndex(pairs), "hybrid", steps=10_000, batch_size=100, seed=0)


def ranking(questions: int, languages: int) -> Callable[[], None]:
    """Rank and measure, with every bias measure: `questions` in all languages together against as many candidates, 256 wide."""
    from hybridir_utils.rank import bias, metrics
    from hybridir_utils.rank.ranking import dot_scores, rank_task
    from hybridir_utils.tasks.retrieval_task import RetrievalTask

    count, rng = max(2, questions // languages), np.random.default_rng(0)
    names = [(language, str(number)) for language in codes(languages) for number in range(count)]
    rows = pd.DataFrame([(f"{language}:{group}", group, language, "text") for language, group in names])
    rows.columns = ["id", "group", "language", "text"]
    relevance = [(f"{a}:{n}", f"{b}:{n}") for n in range(count) for a in codes(languages) for b in codes(languages)]
    task = RetrievalTask("made up", rows, rows.copy(), pd.DataFrame(relevance, columns=["query", "candidate"]))
    answers = rng.normal(size=(count, 256)).astype(np.float32)
    queries, candidates = (
        unit(answers[frame["group"].astype(int)] + rng.normal(size=(len(frame), 256)).astype(np.float32))
        for frame in (task.queries, task.candidates)
    )

    def run() -> None:
        ranks = rank_task(dot_scores(queries, candidates), task)
        metrics.scores(metrics.per_query(ranks, task))
        bias.bias_scores(ranks, task)

    return run


def encoding(kind: str, passages: int) -> Callable[[], None]:
    """Encode made-up passages of some 30 words."""
    from bench_encoding import save_bert

    from hybridir_utils.encode.encoding import encode_texts
    from hybridir_utils.encode.opening import open_model
    from hybridir_utils.train.base_encoders import make_unaligned

    rng, words = np.random.default_rng(0), np.array([f"word{n}" for n in range(5_000)])
    texts = [" ".join(words[rng.integers(0, 5_000, rng.integers(20, 40))]) for _ in range(passages)]
    folder = Path(tempfile.mkdtemp())
    make_unaligned(folder / "bag", texts[:1_000], vocabulary=8_000, dimension=192, seed=0)
    save_bert(folder, texts[:1_000])
    model = open_model(folder / ("bag" if kind.startswith("bag") else "model"))
    return lambda: encode_texts(model, texts, "document")


def sweep(runs: int, jobs: int) -> Callable[[], None]:
    """One run a seed of notebooks 01 and 02, `jobs` side by side."""
    values = {**SWEEP, "seed": ",".join(map(str, range(1, runs + 1)))}
    settings = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "hybridir_utils", "run", "--only", "02", "--jobs", str(jobs), *settings]
    environment = {**os.environ, "HYBRIDIR_OUTPUT": tempfile.mkdtemp()}
    return lambda: subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


PARTS = {
    "planning": [
        *(("planning 10,000 x 100 pairs", "pairs in 11 languages", ids * 11, planning, (ids, 11)) for ids in IDS),
        *(("planning 10,000 x 100 pairs", "languages of 220,000 pairs", n, planning, (220_000 // n, n)) for n in LANGUAGES),
    ],
    "ranking": [
        *(("ranking and bias", "questions = candidates, 11 languages", int(13_000 * s), ranking, (int(13_000 * s), 11)) for s in SCALES),
        *(("ranking and bias", "languages of 13,000 candidates", n, ranking, (13_000, n)) for n in LANGUAGES),
    ],
    "encoding": [(f"encoding, {kind}", "passages", n, encoding, (kind, n)) for kind, sizes in PASSAGES.items() for n in sizes],
    "sweep": [(f"sweep, {jobs} at a time", "seeds", n, sweep, (n, jobs)) for jobs, runs in SEEDS.items() for n in runs],
}


def codes(languages: int) -> list[str]:
    """As many language codes as asked for."""
    from babel.localedata import locale_identifiers

    return sorted(code for code in locale_identifiers() if len(code) == 2)[:languages]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measured(make: Callable, arguments: tuple) -> tuple[float, float]:
    """(seconds, most MB held meanwhile, by this process and its children, above what it held when the work began)."""
    run = make(*arguments)
    before, peak, ended = memory(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            peak[0] = max(peak[0], memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    return seconds, max(0, peak[0] - before) / 2**20


def memory() -> int:
    """Bytes of this process and its children; what several share counts for each."""
    import psutil

    total, process = 0, psutil.Process()
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total


def measure(parts: list[str]) -> pd.DataFrame:
    """Rows (what, axis, size, seconds, peak_mb), one process each."""
    rows = []
    for what, axis, size, make, arguments in (point for part in parts for point in PARTS[part]):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, peak = pool.submit(measured, make, arguments).result()
        rows.append({"what": what, "axis": axis, "size": size, "seconds": round(seconds, 3), "peak_mb": round(peak)})
        print(f"{seconds:8.2f} s {peak:7,.0f} MB  {what}: {size:,} {axis}", flush=True)
    return pd.DataFrame(rows)


def slope(rows: pd.DataFrame) -> float:
    """Of a line through log(seconds) over log(size)."""
    return float(np.polyfit(np.log(rows["size"]), np.log(rows["seconds"]), 1)[0])


def draw(table: pd.DataFrame, folder: Path) -> None:
    """scale.png and scale.svg: seconds above, MB below, over size; a column for each thing that grows."""
    from hybridir_utils.results.style import new_figure, save_figure

    names = list(dict.fromkeys(table["axis"]))
    figure, axes = new_figure(2, len(names), height=2.5)
    figure.set_figwidth(2.9 * len(names))
    for column, name in enumerate(names):
        rows = table[table["axis"] == name]
        sizes = sorted(set(rows["size"]))
        ticks = [size for size, after in zip(sizes, [*sizes[1:], np.inf], strict=True) if after / size >= 1.8]  # so that numbers stay apart
        for ax, value in zip(axes[:, column], ("seconds", "peak_mb"), strict=True):
            for number, (what, own) in enumerate(rows.groupby("what", sort=False)):
                label = what.removeprefix("encoding, ") + (f": slope {slope(own):.2f}" if len(own) > 1 else "")
                ax.plot(own["size"], own[value].clip(lower=0.01), "o-", color=("#0072B2", "#D55E00")[number % 2], label=label)
            ax.set(xscale="log", yscale="log", ylim=(0.05, 2_000) if value == "seconds" else (0.5, 20_000))
            ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            ax.minorticks_off()
        axes[1, column].set_xlabel(name)
        axes[0, column].legend(fontsize="x-small", loc="upper left", frameon=False, borderaxespad=0.2)
        axes[0, column].set_title(rows["what"].iloc[0].split(", ")[0], fontsize="small")
    for ax, label in zip(axes[:, 0], ("seconds", "MB above the start"), strict=True):
        ax.set_ylabel(label)
    save_figure(figure, folder, "scale", "How time and memory grow; data/results/benchmarks/scale.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    table = measure(options.only.split(","))
    if options.csv:
        if options.csv.exists():  # what was not measured again stays
            before = pd.read_csv(options.csv)
            table = pd.concat([before[~before["axis"].isin(table["axis"])], table], ignore_index=True)
        table.to_csv(options.csv, index=False, lineterminator="\n")
    if options.figure:
        draw(table, options.figure)


if __name__ == "__main__":
    main()
