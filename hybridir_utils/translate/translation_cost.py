"""What a translation will take, said before it starts: texts, tokens, what is in the cache already, hours, memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.mapped import codes
from .mt import ModelTranslator
from .translation import TEXT_COLUMNS, CachedTranslator

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLE = 2000  # pairs whose texts are counted; fewer are counted in full
TIMED = 64  # texts that are translated to measure the speed
GIB = 2**30
COUNTS = ["texts", "cached", "tokens", "hours"]
MEMORY = ["weights_gib", "batch_gib"]


def translation_cost(
    pairs: Dataset,
    targets: list[str],
    translator: CachedTranslator,
    tokens_per_second: float | None = None,
    seed: int = 0,
    total: int | None = None,
) -> pd.DataFrame:
    """One row a target language, and `all`: language, texts, cached, tokens, hours, weights_gib, batch_gib, sampled.

    pairs: rows in one language. total: how many there are altogether, where `pairs` are some of them. texts: to be translated altogether;
    cached: of these, done already; tokens: source tokens of the rest. They are counted on `sampled` pairs, drawn by `seed`, and
    extrapolated where these are not all; equal texts count each time, though they are translated once. hours: of one process at the
    given source tokens a second (see `measured_speed`), nan without. weights_gib, batch_gib: memory of the weights and of one batch
    (ModelTranslator.memory). No weights are loaded. A translation memory takes no tokens, hours or memory. Raises UnknownName for a
    language that the model lacks.
    """
    source, texts, count = _sample(pairs, SAMPLE, seed)
    scale = (len(pairs) if total is None else total) / count
    rows = [_row(texts, scale, source, target, translator, tokens_per_second) for target in targets]
    table = pd.DataFrame(rows, columns=["language", *COUNTS, *MEMORY]).assign(sampled=count)
    whole = {"language": "all", **table[COUNTS].sum(skipna=False), **table[MEMORY].max(), "sampled": count}
    counted = {"texts": int, "cached": int, "tokens": int}
    return pd.concat([table, pd.DataFrame([whole])], ignore_index=True).astype(counted)


def measured_speed(pairs: Dataset, target: str, translator: CachedTranslator, seed: int = 0) -> float:
    """Source tokens a second of one process, on TIMED texts drawn by `seed`, after a first batch that is not counted.

    The model itself translates them, past the cache. They are of all lengths and fewer than a full batch: a real run is rather faster.
    A translation memory has infinite speed.
    """
    source, texts, _ = _sample(pairs, TIMED, seed)
    model, texts = translator.for_pair(source, target), texts[:TIMED]
    if not isinstance(model, ModelTranslator):
        return float("inf")
    model.translate(texts[:4], source, target)
    started = time.perf_counter()
    model.translate(texts, source, target)
    return sum(model.count_tokens(texts, source, target)) / (time.perf_counter() - started)


def _sample(pairs: Dataset, most: int, seed: int) -> tuple[str, list[str], int]:
    """(language, texts, number of pairs) of pairs drawn by `seed`; a pair's texts stand together."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:most])
    sample = pairs.select(chosen)
    fields = [sample[column][:] for column in TEXT_COLUMNS if column in pairs.column_names]
    texts = [text for row in zip(*fields, strict=True) for text in row if text]
    return codes(sample, "language")[1][0].as_py(), texts, len(sample)


def _row(texts: list[str], scale: float, source: str, target: str, translator: CachedTranslator, speed: float | None) -> dict:
    known = translator.known(texts, source, target)
    missing = [text for text in texts if text not in known]
    row = {"language": target, "texts": round(len(texts) * scale), "cached": round((len(texts) - len(missing)) * scale)}
    model = translator.for_pair(source, target)
    if not isinstance(model, ModelTranslator):
        return row | dict.fromkeys(["tokens", "hours", *MEMORY], 0)
    tokens = round(sum(model.count_tokens(missing, source, target)) * scale)
    hours = np.nan if speed is None else tokens / speed / 3600
    return row | {"tokens": tokens, "hours": hours} | {name: size / GIB for name, size in zip(MEMORY, model.memory(), strict=True)}
