"""Seconds and memory of each step from 5 M parallel pairs to training batches; run: python tests/benchmarks/bench_pairs.py [--json FILE]

Memory is the peak of the process's anonymous memory (RssAnon in /proc/self/status): what memory-mapped files have in the page cache can
be dropped by the system at any time and does not count. Every size runs in a process of its own; the peak for 40 M pairs follows
the line through the two sizes. Quality and leak checks, which read each text, are measured on fewer pairs.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
SOURCES = {"large": 0.8, "middle": 0.15, "small": 0.05}  # shares of the ids
QUESTION_WORDS, PASSAGE_WORDS = 5, 27  # names of CLDR: about 60 and 350 bytes
PER_PASSAGE = 3  # questions
BLOCK = 30_000  # ids made at once
GOAL = 40_000_000
TASK_TEXTS = 1200  # questions, and relevant passages, of the evaluation task: about XQuAD-R's in a language


def names(language: str) -> np.ndarray:
    """Words of a language: its names of territories, languages and currencies."""
    from babel import Locale

    locale = Locale.parse(language)
    return np.array(sorted({*locale.territories.values(), *locale.languages.values(), *locale.currencies.values()}), dtype=object)


def texts(words: np.ndarray, count: int, length: int, rng) -> list[str]:
    """Distinct made-up texts of some `length` words."""
    drawn = words[rng.integers(len(words), size=(count, length + 4))]
    lengths = rng.integers(length - 3, length + 4, size=count)
    return [" ".join(row[:n]) for row, n in zip(drawn, lengths, strict=True)]


def made_up(rows: int) -> Iterator[pa.Table]:
    """Pairs, language after language as `translate_pairs` leaves them; every hundredth question is that of the id before."""
    ids = rows // len(LANGUAGES)
    bounds = np.cumsum(list(SOURCES.values())) * ids
    for number, language in enumerate(LANGUAGES):
        words = names(language)
        for start in range(0, ids, BLOCK):
            rng, here = np.random.default_rng((number, start)), np.arange(start, min(start + BLOCK, ids))
            questions = texts(words, len(here), QUESTION_WORDS, rng)
            questions[100::100] = questions[99:-1:100]
            passages = np.repeat(np.array(texts(words, len(here) // PER_PASSAGE + 1, PASSAGE_WORDS, rng), dtype=object), PER_PASSAGE)
            columns = {
                "id": [f"set:{i}" for i in here],
                "passage_id": [f"set:{i // PER_PASSAGE}" for i in here],
                "language": [language] * len(here),
                "question": questions,
                "passage": passages[: len(here)].tolist(),
                "source": np.array(list(SOURCES))[np.searchsorted(bounds, here, side="right").clip(max=2)].tolist(),
            }
            yield pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()})


def made_up_task():
    """A parallel task of TASK_TEXTS questions, each with one relevant passage, in every language."""
    from hybridir_utils.tasks.retrieval_task import RetrievalTask

    sides = {}
    for part, length in (("q", QUESTION_WORDS), ("c", PASSAGE_WORDS // 2)):
        made = [(code, texts(names(code), TASK_TEXTS, length, np.random.default_rng((99, n)))) for n, code in enumerate(LANGUAGES)]
        rows = [(f"{part}{code}{i}", f"{part}{i}", code, text) for code, column in made for i, text in enumerate(column)]
        sides[part] = pd.DataFrame(rows, columns=["id", "group", "language", "text"])
    relevance = pd.DataFrame({"query": sides["q"]["id"], "candidate": sides["c"]["id"]})
    return RetrievalTask("made up", sides["q"], sides["c"], relevance)


def anonymous() -> float:
    """MB of anonymous memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


class Meter:
    """Rows (step, seconds, peak MB), the peak looked at every 20 ms."""

    def __init__(self):
        self.rows = [{"step": "imports", "seconds": 0.0, "peak_mb": anonymous()}]

    @contextmanager
    def step(self, name: str):
        done, peak = threading.Event(), [anonymous()]

        def watch():
            while not done.wait(0.02):
                peak[0] = max(peak[0], anonymous())

        watcher, started = threading.Thread(target=watch, daemon=True), time.perf_counter()
        watcher.start()
        yield
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
        self.rows.append({"step": name, "seconds": round(seconds, 2), "peak_mb": round(max(peak[0], anonymous()))})
        print(f"{seconds:8.1f} s {self.rows[-1]['peak_mb']:7,} MB  {name}", file=sys.stderr, flush=True)


def read_and_plan(rows: int, folder: Path, meter: Meter) -> None:
    """From sources to batches in plan order, without the two checks that read every text."""
    from hybridir_utils.base.mapped import codes, counts, holds, keep_rows, stored, write_parquet
    from hybridir_utils.data.batching import BatchPlan, in_plan_order, plan_batches
    from hybridir_utils.data.leakage import drop_leaks
    from hybridir_utils.data.pairs import check_pairs, join_pairs, read_split
    from hybridir_utils.data.parallel_index import ParallelIndex
    from hybridir_utils.data.quality import accepted
    from hybridir_utils.experiment.preparation import enough_for_a_batch
    from hybridir_utils.experiment.sources import hold_out

    with meter.step("make up the pairs and write them"):
        pairs = stored(made_up(rows), folder / "work" / "pairs.arrow")
    with meter.step("check_pairs"):
        check_pairs(pairs)
    with meter.step("choose two of three data sets, join them with the third"):
        number, sources = codes(pairs, "source")
        small = np.array(sources.to_pylist())[number] == "small"
        joined = join_pairs([keep_rows(pairs, ~small), keep_rows(pairs, small)])
    with meter.step("hold_out"):
        train, _ = hold_out(joined, seed=0)
    rejections = pd.DataFrame({"id": [f"set:{i}" for i in range(0, rows // 11, 20)], "language": "de"})
    with meter.step(f"accepted ({len(rejections):,} rejections)"):
        train = accepted(train, rejections)
    with meter.step("drop_leaks (1,000 ids)"):
        train = drop_leaks(train, pd.DataFrame({"pair": [f"set:{i}" for i in range(1, 10_000, 10)]}))
    with meter.step("enough_for_a_batch, unseen language, coverage"):
        train = enough_for_a_batch(train, 100)
        train = keep_rows(train, ~holds(train, pd.DataFrame({"language": ["vi"]})))
        counts(train, "language")
    place = folder / "pairs" / "p"
    place.mkdir(parents=True)
    with meter.step("write_parquet"):
        write_parquet(train, place / "train.parquet")
    with meter.step("read_split"):
        train = read_split(place, "train")
    with meter.step("ParallelIndex"):
        index = ParallelIndex(train)
    with meter.step("plan of 10,000 x 100"):
        plan = plan_batches(index, "hybrid", steps=10_000, batch_size=100, seed=0)
    with meter.step("200 batches in plan order"):
        ordered = in_plan_order(train, plan)
        for start in range(0, 20_000, 100):
            ordered[start : start + 100]
    with meter.step("plan of 400,000 x 100"):
        plan = plan_batches(index, "hybrid", steps=400_000, batch_size=100, seed=0)
    with meter.step("save that plan"):
        plan.save(folder / "plan.parquet")
    del plan
    with meter.step("load that plan"):
        BatchPlan.load(folder / "plan.parquet")


def check_quality(rows: int, folder: Path, meter: Meter) -> None:
    from hybridir_utils.base.mapped import stored
    from hybridir_utils.data.quality import rejected

    pairs = stored(made_up(rows), folder / "pairs.arrow")
    with meter.step("quality checks"):
        rejected(pairs)


def find_leaks(rows: int, folder: Path, meter: Meter) -> None:
    from hybridir_utils.base.mapped import stored
    from hybridir_utils.data.leakage import leaks

    pairs, task = stored(made_up(rows), folder / "pairs.arrow"), made_up_task()
    with meter.step(f"leaks against {TASK_TEXTS:,} questions and passages a language"):
        leaks(pairs, task, 0.9)


PARTS = {"plan": read_and_plan, "quality": check_quality, "leaks": find_leaks}


def in_a_process(part: str, rows: int, folder: Path | None) -> list[dict]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        command = [sys.executable, __file__, "--part", part, "--rows", str(rows), "--folder", own]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def compared(part: str, rows: int, folder: Path | None) -> list[dict]:
    """A row a step: seconds and peak of `rows` pairs and of a fifth of them, and the peak that follows for GOAL pairs."""
    few, many = (in_a_process(part, n, folder) for n in (rows // 5, rows))
    table = []
    for small, large in zip(few, many, strict=True):
        slope = max(0.0, large["peak_mb"] - small["peak_mb"]) / (rows - rows // 5)
        reckoned = {"peak_mb_of_40M": round(large["peak_mb"] + slope * (GOAL - rows))}
        table.append(large | {"pairs": rows, "peak_mb_of_a_fifth": round(small["peak_mb"])} | reckoned)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--text-rows", type=int, default=1_000_000, help="pairs of the quality and leak checks")
    parser.add_argument("--folder", type=Path, help="where the pairs are written: 1.3 KB a pair")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # one size, in the process of its own
    options = parser.parse_args()
    if options.part:
        import hybridir_utils.experiment.preparation  # noqa: F401 - its memory is not a step's

        meter = Meter()
        PARTS[options.part](options.rows, options.folder, meter)
        print(json.dumps(meter.rows))
        return
    sizes = {"plan": options.rows, "quality": options.text_rows, "leaks": options.text_rows}
    rows = [row for part, size in sizes.items() for row in compared(part, size, options.folder)]
    for row in rows:
        print(f"{row['seconds']:8.1f} s {row['peak_mb']:7,.0f} MB, for 40 M pairs {row['peak_mb_of_40M']:7,} MB  {row['step']}")
    if options.json:
        packages = {name: version(name) for name in ("datasets", "numpy", "pandas", "pyarrow", "scipy")}
        hardware = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        options.json.write_text(json.dumps({"steps": rows, "versions": packages, "hardware": hardware}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
