"""Encode a task once per encoder: every distinct text is tokenised and encoded a single time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import InputError
from .tasks import RetrievalTask


@dataclass(frozen=True)
class TaskVectors:
    """queries [Q, d] and candidates [N, d]: fp32 rows of unit length, in the task's row order."""

    queries: np.ndarray
    candidates: np.ndarray


def encode_task(model, task: RetrievalTask, batch_size: int = 256) -> TaskVectors:
    """Vectors of a task's queries and candidates; `model` is a SentenceTransformer, whose query and document prompts apply.

    Raises InputError when an embedding is not finite, naming the text's id.
    """
    queries = _encode(model.encode_query, task.queries, batch_size)
    return TaskVectors(queries, _encode(model.encode_document, task.candidates, batch_size))


def _encode(encode, frame: pd.DataFrame, batch_size: int) -> np.ndarray:
    codes, texts = pd.factorize(frame["text"])
    vectors = encode(list(texts), batch_size=batch_size, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
    vectors = np.asarray(vectors, dtype=np.float32)
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        row = int(np.flatnonzero(broken[codes])[0])
        raise InputError(
            f"the embedding of {frame['id'].iloc[row]!r} is not finite ({int(broken.sum())} such texts); the encoder is broken or diverged."
        )
    return vectors[codes]


def open_encoder(folder):
    """The SentenceTransformer in a folder, on the GPU where there is one."""
    from sentence_transformers import SentenceTransformer

    from .training import default_device

    return SentenceTransformer(str(folder), device=default_device())
