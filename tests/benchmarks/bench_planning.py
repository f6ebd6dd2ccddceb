"""Time to plan 100,000 batches of 100 over 11 languages; run: python tests/benchmarks/bench_planning.py [--json FILE]

Reported, not asserted. The pairs are made up; planning looks at ids, languages and passages only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from datasets import Dataset

from hybridir_utils.data.batching import STRATEGIES, plan_batches
from hybridir_utils.data.parallel_index import ParallelIndex

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


def made_up_pairs(ids: int) -> Dataset:
    """`ids` ids in every language, in three data sets of different size, five questions to a passage."""
    numbers = [number for number in range(ids) for _ in LANGUAGES]
    return Dataset.from_dict(
        {
            "id": [str(number) for number in numbers],
            "passage_id": [str(number // 5) for number in numbers],
            "language": list(LANGUAGES) * ids,
            "source": [("large", "middle", "small")[min(2, number * 8 // (7 * ids) + number * 16 // (15 * ids))] for number in numbers],
        }
    )


def measure(ids: int, steps: int, batch_size: int) -> list[dict]:
    """Seconds per strategy, the index over the pairs made once."""
    started = time.perf_counter()
    index = ParallelIndex(made_up_pairs(ids))
    rows = [{"what": f"index over {ids:,} ids x {len(LANGUAGES)} languages, pairs made up", "seconds": time.perf_counter() - started}]
    for strategy in STRATEGIES:
        started = time.perf_counter()
        plan_batches(index, strategy, steps=steps, batch_size=batch_size, seed=0)
        rows.append({"what": f"{strategy}: {steps:,} batches of {batch_size}", "seconds": time.perf_counter() - started})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.ids, options.steps, options.batch_size)
    for row in rows:
        print(f"{row['seconds']:7.2f} s  {row['what']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
