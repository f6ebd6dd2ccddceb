"""Encode texts once per encoder: every distinct text is tokenised and encoded a single time, in batches of like length."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.memory import forget_cached_blocks, is_out_of_memory
from ..base.token_budget import token_batches
from ..tasks.retrieval_task import RetrievalTask
from .opening import Opening, open_model
from .subwords import Subwords
from .token_rows import TokenRows, is_bag, tokenise

WINDOW = 65_536  # texts whose tokens are held at once, about 60 MB at 120 tokens a text
BAG_TOKENS = 16  # stands for the length of a text whose subword vectors are only added up: there tokenising is the cost
PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}  # the library's names, in its order
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskVectors:
    """queries [Q, d] and candidates [N, d]: fp32 rows of unit length, in the task's row order."""

    queries: np.ndarray
    candidates: np.ndarray


def open_encoder(folder, opening: Opening | None = None):
    """The SentenceTransformer in a folder or of a hub name, on the GPU where there is one. Raises InputError as `open_model`."""
    return open_model(folder, opening)


def encode_task(model, task: RetrievalTask, batch_tokens: int = 16384, precision: str = "fp32") -> TaskVectors:
    """Vectors of a task's queries and candidates; `model` is a SentenceTransformer, whose query and document prompts apply.

    batch_tokens, precision: as in `encode_texts`. Raises InputError when an embedding is not finite, naming the text's id.
    """
    sides = [
        encode_rows(model, frame["text"], role, frame["id"], batch_tokens, precision)
        for role, frame in (("query", task.queries), ("document", task.candidates))
    ]
    return TaskVectors(*sides)


def encode_rows(model, texts: Sequence[str], role: str, ids: Sequence, batch_tokens: int, precision: str) -> np.ndarray:
    """`encode_texts` of rows that have ids. Raises InputError naming the first id whose embedding is not finite."""
    vectors = encode_texts(model, texts, role, batch_tokens, precision)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        name, texts = list(ids)[broken[0]], list(texts)
        count = len({texts[row] for row in broken})
        raise InputError(f"the embedding of {name!r} is not finite ({count} such texts); the encoder is broken or diverged.")
    return vectors


def encode_texts(model, texts: Sequence[str], role: str, batch_tokens: int = 16384, precision: str = "fp32") -> np.ndarray:
    """[n, d] fp32 rows of unit length: what `model.encode_query` or `encode_document` gives (role query, document), faster.

    Equal texts are encoded once. Texts are tokenised once, then batched by like length and at most `batch_tokens` tokens,
    padding counted; the modules, prompts, lengths and routes are the model's own. A model whose input is not rows of tokens
    encodes by itself, in batches by the texts' lengths in characters. precision bf16: the modules run under autocast. When memory does not
    suffice the budget is halved until a single text is left; then raises InputError naming the parameters to lower.
    """
    codes, distinct = pd.factorize(np.asarray(texts, dtype=object))
    windows = (list(distinct[start : start + WINDOW]) for start in range(0, len(distinct), WINDOW))
    vectors = [_encode_window(model, window, role, batch_tokens, precision) for window in windows]
    vectors = np.concatenate(vectors)
    return vectors if len(vectors) == len(codes) else vectors[codes]


def _encode_window(model, texts: list[str], role: str, budget: int, precision: str) -> np.ndarray:
    tokens = tokenise(model, texts, role, _prompt(model, role))
    if tokens is None:
        lengths, run = _rough_lengths(model, texts), (_bag_batches if is_bag(model) else _own_batches)(model, texts, role)
    else:
        lengths, run = tokens.lengths, _module_batches(model, tokens, role)
    with _autocast(model, precision):
        return within_memory(lengths, budget, run)


def within_memory(lengths: np.ndarray, budget: int, run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[n, d] fp32: `run(rows)` of batches of at most `budget` tokens; the budget is halved when a batch does not fit into memory.

    lengths: [n] tokens of each row, n > 0. Raises InputError when not even a single row fits.
    """
    result, batches = None, token_batches(lengths, budget)
    while batches:
        rows = batches[0]
        try:
            vectors = run(rows)
        except (RuntimeError, MemoryError) as error:
            budget = _half(lengths[rows], error)
            left = np.concatenate(batches)
            batches = [left[batch] for batch in token_batches(lengths[left], budget)]
            continue
        result = np.empty((len(lengths), vectors.shape[1]), np.float32) if result is None else result
        result[rows] = vectors
        batches.pop(0)
    return result


def _half(lengths: np.ndarray, error: BaseException) -> int:
    """Half the tokens of a batch that did not fit; errors that are not about memory pass."""
    if not is_out_of_memory(error):
        raise error
    if len(lengths) == 1:
        raise InputError(
            f"no memory to encode a single text of {lengths[0]} tokens, and batch_tokens cannot go below one text. Lower "
            "max_passage_tokens (max_query_tokens for questions), take a smaller encoder, or free memory on the device."
        ) from error
    forget_cached_blocks()
    budget = int(lengths.max()) * len(lengths) // 2
    log.warning("no memory for a batch: going on with batch_tokens = %d; set it in the profile to begin there.", budget)
    return budget


def _module_batches(model, tokens: TokenRows, role: str) -> Callable[[np.ndarray], np.ndarray]:
    """Rows of tokens through the model's modules, as `SentenceTransformer.encode` sends them."""
    import torch

    model.eval()

    @torch.inference_mode()
    def run(rows: np.ndarray) -> np.ndarray:
        embeddings = model(tokens.batch(rows, model.device), task=role)["sentence_embedding"][:, : model.truncate_dim]
        return torch.nn.functional.normalize(embeddings.float(), dim=1).cpu().numpy()

    return run


def _bag_batches(model, texts: list[str], role: str) -> Callable[[np.ndarray], np.ndarray]:
    """Texts through a model whose first module is a bag of subwords, as `SentenceTransformer.encode` sends them."""
    import torch

    subwords, prompt = Subwords(model[0].tokenizer), _prompt(model, role) or ""
    model.eval()

    @torch.inference_mode()
    def run(rows: np.ndarray) -> np.ndarray:
        ids, starts = subwords([prompt + texts[row] for row in rows])
        features = {"input_ids": torch.from_numpy(ids).to(model.device), "offsets": torch.from_numpy(starts).to(model.device)}
        embeddings = model(features, task=role)["sentence_embedding"][:, : model.truncate_dim]
        return torch.nn.functional.normalize(embeddings.float(), dim=1).cpu().numpy()

    return run


def _own_batches(model, texts: list[str], role: str) -> Callable[[np.ndarray], np.ndarray]:
    encode = model.encode_query if role == "query" else model.encode_document
    options = {"normalize_embeddings": True, "convert_to_numpy": True, "show_progress_bar": False}
    return lambda rows: np.asarray(encode([texts[row] for row in rows], batch_size=len(rows), **options), dtype=np.float32)


def _rough_lengths(model, texts: list[str]) -> np.ndarray:
    """Tokens of texts nobody counted: rather too many, a token for two characters."""
    if is_bag(model):
        return np.full(len(texts), BAG_TOKENS)
    return np.array([1 + len(text) // 2 for text in texts])


def _prompt(model, role: str) -> str | None:
    prompts = getattr(model, "prompts", {})
    name = next((name for name in PROMPTS[role] if name in prompts), getattr(model, "default_prompt_name", None))
    return prompts.get(name)


def _autocast(model, precision: str):
    if precision == "fp32":
        return nullcontext()
    import torch

    return torch.autocast(model.device.type, dtype=torch.bfloat16)
