"""Subwords of texts for bags of subword vectors, whose cost is tokenising: done once a text, for all encoders of one tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

MOST = 100_000  # texts remembered, about 60 MB at 40 subwords a text; where they would be more, memory begins anew


class Subwords:
    """A tokenizer (of the tokenizers library) with a memory that all of the same content share."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        self.known = _memory(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(ids [all subwords] int64, starts [n] int64: where each text's subwords begin), without special tokens."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if len(self.known) + len(new) > MOST:
            self.known.clear()
            new = list(dict.fromkeys(texts))
        encoded = self.tokenizer.encode_batch_fast(new, add_special_tokens=False)
        self.known.update(zip(new, (np.array(text.ids, np.int64) for text in encoded), strict=True))
        rows = [self.known[text] for text in texts]
        starts = np.cumsum([0, *(len(row) for row in rows)])[:-1]
        return np.concatenate([np.empty(0, np.int64), *rows]), starts


@lru_cache(maxsize=1)
def _memory(_tokenizer: str) -> dict[str, np.ndarray]:
    """Text -> subwords, of the tokenizer used last."""
    return {}
