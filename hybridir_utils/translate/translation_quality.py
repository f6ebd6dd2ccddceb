"""How much of a text survives the way into a language and back: chrF of back-translations, on a sample.

chrF: Popović 2015 (WMT), as sacrebleu computes it, 0 to 100. A low value can be the fault of either direction: it ranks languages of
one translator and finds those it cannot write; it is no measure of the translation alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.mapped import codes
from .translation import Translator

if TYPE_CHECKING:
    from datasets import Dataset

RESAMPLES = 1000  # of the bootstrap
EXAMPLES = 3  # worst ones shown a language


@dataclass(frozen=True)
class BackTranslation:
    """scores: one row a language: language, chrF (mean over passages), low, high (95 % bootstrap interval), n.

    examples: the EXAMPLES passages of each language with the lowest chrF: language, id, chrF, source, translation, back.
    """

    scores: pd.DataFrame
    examples: pd.DataFrame


def back_translation(pairs: Dataset, translator: Translator, targets: list[str], n: int = 50, seed: int = 0) -> BackTranslation:
    """chrF of `n` passages of one source language after translation into each target language and back.

    pairs: rows in one language. The same passages, drawn by `seed`, are taken for every language. Raises UnknownName when the
    translator lacks a direction, which a translation memory into other languages always does.
    """
    from sacrebleu.metrics import CHRF

    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:n])
    sample, metric, tables = pairs.select(chosen), CHRF(), []
    source, passages = codes(sample, "language")[1][0].as_py(), sample["passage"][:]
    for target in targets:
        translations = translator.translate(passages, source, target)
        back = translator.translate(translations, target, source)
        values = [metric.sentence_score(text, [passage]).score for text, passage in zip(back, passages, strict=True)]
        columns = {"id": sample["id"][:], "chrF": values, "source": passages, "translation": translations, "back": back}
        tables.append(pd.DataFrame({"language": target, **columns}))
    rows = pd.concat(tables, ignore_index=True)
    scores = [_interval(language, group["chrF"].to_numpy(), seed) for language, group in rows.groupby("language", sort=False)]
    worst = rows.sort_values("chrF", kind="stable").groupby("language", sort=False).head(EXAMPLES)
    return BackTranslation(pd.DataFrame(scores), worst.sort_values(["language", "chrF"], kind="stable", ignore_index=True))


def _interval(language: str, values: np.ndarray, seed: int) -> dict:
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return {"language": language, "chrF": values.mean(), "low": low, "high": high, "n": len(values)}
