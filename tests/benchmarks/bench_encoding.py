"""How often texts are tokenised, and how long a task takes to encode; run: python tests/benchmarks/bench_encoding.py [--json FILE]

Reported, not asserted: the world-facts test task through a fresh bag-of-subwords encoder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from hybridir_utils.base_encoders import make_unaligned
from hybridir_utils.encoding import encode_task, open_encoder
from hybridir_utils.worldfacts import retrieval_task, template_languages


def measure() -> dict:
    """Texts, distinct texts, texts tokenised, seconds."""
    task = retrieval_task("test", template_languages())
    with tempfile.TemporaryDirectory() as folder:
        make_unaligned(Path(folder), task.candidates["text"], vocabulary=20_000, dimension=192, seed=0)
        model = open_encoder(folder)
    counted, tokenise = [], model[0].preprocess
    model[0].preprocess = lambda texts, *rest, **options: counted.append(len(texts)) or tokenise(texts, *rest, **options)
    started = time.perf_counter()
    encode_task(model, task)
    seconds = time.perf_counter() - started
    return {
        "texts": len(task.queries) + len(task.candidates),
        "distinct": task.queries["text"].nunique() + task.candidates["text"].nunique(),
        "tokenised": sum(counted),
        "seconds": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    row = measure()
    print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(row), encoding="utf-8")


if __name__ == "__main__":
    main()
