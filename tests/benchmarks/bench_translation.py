"""What the suite adds to a translation model's own time: cache, streaming to disk, language identification.

    python tests/benchmarks/bench_translation.py [--pairs 500000] [--json FILE]

Pairs of generated words go through a translator that only upper-cases them: all time and memory is the suite's. The second run finds
every text in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset

from hybridir_utils.data.quality import other_languages
from hybridir_utils.data.translation import CachedTranslator, translate_pairs
from hybridir_utils.provenance.fingerprints import versions

CHUNK = 50_000


class Upper:
    name = "upper"

    def translate(self, texts, source, target):
        return [text.upper() for text in texts]


def generated(count: int, folder: Path) -> Dataset:
    """Pairs with questions of 6 and passages of 40 words, memory-mapped."""

    def rows():
        draw, words = np.random.default_rng(0), np.array([f"word{n}" for n in range(20_000)])
        for start in range(0, count, CHUNK):
            for n, numbers in enumerate(draw.integers(len(words), size=(min(CHUNK, count - start), 46)), start):
                texts = {"question": " ".join(words[numbers[:6]]), "passage": " ".join(words[numbers[6:]])}
                yield {"id": f"i{n}", "passage_id": f"i{n}", "language": "en", "source": "generated", **texts}

    return Dataset.from_generator(rows, cache_dir=str(folder / "generated"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count, result = options.pairs, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs, cached = generated(count, folder), CachedTranslator(Upper(), folder / "cache.sqlite")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for run in ("new", "all cached"):
            started = time.perf_counter()
            translate_pairs(pairs, cached, ["de"], folder / run)
            result[f"texts a second, {run}"] = round(2 * count / (time.perf_counter() - started))
        result["MB of RAM added at the most"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        result["bytes of cache a text"] = round((folder / "cache.sqlite").stat().st_size / (2 * count))
        texts = pairs["passage"][:5000]
        started = time.perf_counter()
        other_languages(texts, "de")
        result["texts a second, language identification"] = round(len(texts) / (time.perf_counter() - started))
    hardware = {"machine": platform.machine(), "cores": os.cpu_count()}
    if options.json:
        options.json.write_text(json.dumps({"pairs": count, **result, "hardware": hardware, "versions": versions()}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
