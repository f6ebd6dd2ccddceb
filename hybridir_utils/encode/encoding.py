"""Encode texts once per encoder: every distinct text is tokenised and encoded a single time, in batches of like length."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.memory import TokenBudget, need_free
from ..tasks.retrieval_task import RetrievalTask

WINDOW = 65_536  # texts whose tokens are held at once, about 60 MB at 120 tokens a text
BAG_TOKENS = 16  # stands for the length of a text whose subword vectors are only added up: there tokenising is the cost
REMEMBERED = 100_000  # texts whose subwords are kept, about 60 MB at 40 subwords a text; where they would be more, memory begins anew
BLOCK = 1024  # texts tokenised at once: enough for every thread of the tokenizer
UNPADDED = {"text": {"padding": False}, "common": {"return_tensors": None}}
PER_TOKEN = ("input_ids", "token_type_ids")
PER_BATCH = ("modality", "prompt_length", "task")
PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}  # the library's names, in its order
NO_MEMORY = "Lower max_passage_tokens (max_query_tokens for questions), take a smaller encoder, or free memory on the device."


@dataclass(frozen=True)
class TaskVectors:
    """queries [Q, d] and candidates [N, d]: fp32 rows of unit length, in the task's row order."""

    queries: np.ndarray
    candidates: np.ndarray


def need_room(task: RetrievalTask, width: int) -> None:
    """Raise InputError where memory does not hold a task's vectors of this width: as they are, centred, and between the two."""
    texts = len(task.queries) + len(task.candidates)
    advice = "Take fewer languages of the task, or an encoder of narrower vectors."
    need_free(3 * 4 * texts * width, f"task {task.name}: {texts:,} vectors, {width:,} wide,", advice)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """[n, d] fp32 rows of unit length; a row of zeros stays and scores 0. Raises InputError for what is no table of numbers."""
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise InputError(f"vectors: expected an array [texts, width], found shape {list(vectors.shape)}.")
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)  # in fp32 those of 1e20 are infinite, those of 1e-23 nothing
    return vectors / np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny).astype(np.float32)[:, None]


def encode_task(model, task: RetrievalTask) -> TaskVectors:
    """Vectors of a task's queries and candidates; `model` is a SentenceTransformer, whose query and document prompts apply.

    Raises InputError when an embedding is not finite, naming the text's id.
    """
    sides = (("query", task.queries), ("document", task.candidates))
    return TaskVectors(*(encode_rows(model, frame["text"], role, frame["id"]) for role, frame in sides))


def encode_rows(model, texts: Sequence[str], role: str, ids: Sequence, batch_tokens: int = 16384, precision: str = "fp32") -> np.ndarray:
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
    if tokens is not None:
        lengths, run = tokens.lengths, _batches(model, role, lambda rows: tokens.batch(rows, model.device))
    elif is_bag(model):
        lengths, run = np.full(len(texts), BAG_TOKENS), _batches(model, role, _bag_features(model, texts, role))
    else:  # nobody counted its tokens: rather too many, one for two characters
        lengths, run = np.array([1 + len(text) // 2 for text in texts]), _own_batches(model, texts, role)
    with _autocast(model, precision):
        return in_row_order(len(texts), TokenBudget(budget, "batch_tokens", NO_MEMORY).run(lengths, run))


def in_row_order(count: int, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """[count, d] fp32 of the (rows, vectors) that together are all rows; count > 0."""
    result = None
    for rows, vectors in parts:
        result = np.empty((count, vectors.shape[1]), np.float32) if result is None else result
        result[rows] = vectors
    return result


def _batches(model, role: str, features: Callable[[np.ndarray], dict]) -> Callable[[np.ndarray], np.ndarray]:
    """Rows through the model's modules, as `SentenceTransformer.encode` sends them. features: of rows, what the modules take."""
    import torch

    model.eval()

    @torch.inference_mode()
    def run(rows: np.ndarray) -> np.ndarray:
        embeddings = model(features(rows), task=role)["sentence_embedding"][:, : model.truncate_dim]
        return torch.nn.functional.normalize(embeddings.float(), dim=1).cpu().numpy()

    return run


def _bag_features(model, texts: list[str], role: str) -> Callable[[np.ndarray], dict]:
    """Of rows of the texts, for a model whose first module is a bag of subwords."""
    import torch

    subwords, prompt = Subwords(model[0].tokenizer), _prompt(model, role) or ""

    def features(rows: np.ndarray) -> dict:
        ids, starts = subwords([prompt + texts[row] for row in rows])
        return {"input_ids": torch.from_numpy(ids).to(model.device), "offsets": torch.from_numpy(starts).to(model.device)}

    return features


def _own_batches(model, texts: list[str], role: str) -> Callable[[np.ndarray], np.ndarray]:
    encode = model.encode_query if role == "query" else model.encode_document
    options = {"normalize_embeddings": True, "convert_to_numpy": True, "show_progress_bar": False}
    return lambda rows: np.asarray(encode([texts[row] for row in rows], batch_size=len(rows), **options), dtype=np.float32)


def _prompt(model, role: str) -> str | None:
    prompts = getattr(model, "prompts", {})
    name = next((name for name in PROMPTS[role] if name in prompts), getattr(model, "default_prompt_name", None))
    return prompts.get(name)


def _autocast(model, precision: str):
    if precision == "fp32":
        return nullcontext()
    import torch

    return torch.autocast(model.device.type, dtype=torch.bfloat16)


class Subwords:
    """A tokenizer (of the tokenizers library) with a memory that all of the same content share."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        self.known = _memory(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(ids [all subwords] int64, starts [n] int64: where each text's subwords begin), without special tokens."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if len(self.known) + len(new) > REMEMBERED:
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


@dataclass(frozen=True)
class TokenRows:
    """Tokens of n texts. columns: name -> [all tokens] int32; starts: [n + 1]; padding: name -> value of a padded place;
    shared: features that are the same for every batch (modality, prompt length, role); left: whether padding comes first.
    masked: whether the model wants an attention mask.
    """

    columns: dict[str, np.ndarray]
    starts: np.ndarray
    padding: dict[str, int]
    shared: dict
    left: bool
    masked: bool

    @property
    def lengths(self) -> np.ndarray:
        """[n] tokens of each text."""
        return np.diff(self.starts)

    def batch(self, rows: np.ndarray, device) -> dict:
        """Features of these rows, padded to the longest of them, as the model's own `preprocess` gives them."""
        import torch

        lengths = self.lengths[rows][:, None]
        longest = max(1, lengths.max())  # a model takes no batch without a place
        place = np.arange(longest) - (longest - lengths if self.left else 0)
        real = (place >= 0) & (place < lengths)
        index = np.where(real, self.starts[rows][:, None] + place, 0)
        filled = {name: np.where(real, tokens[index], self.padding[name]) for name, tokens in self.columns.items()}
        if self.masked:
            filled["attention_mask"] = real
        return self.shared | {name: torch.from_numpy(rows.astype(np.int64)).to(device) for name, rows in filled.items()}


def tokenise(model, texts: list[str], role: str, prompt: str | None) -> TokenRows | None:
    """The tokens of `texts`, cut and with the prompt as `model.encode_query` or `encode_document` would; role: query or document.

    None where the model's first module gives no plain rows of tokens (subword bags, flash attention's packed rows, query
    expansion, chat templates): such a model batches its texts itself.
    """
    if not texts or not _gives_rows(model, role):
        return None
    columns, lengths, shared, masked = {}, [], {}, False
    for start in range(0, len(texts), BLOCK):
        features = dict(model.preprocess(texts[start : start + BLOCK], prompt=prompt, task=role, processing_kwargs=UNPADDED))
        shared = {name: features.pop(name) for name in PER_BATCH if name in features}
        masked = features.pop("attention_mask", None) is not None
        if not set(features) <= set(PER_TOKEN):
            return None
        lengths += [len(row) for row in features["input_ids"]]
        for name, rows in features.items():
            columns.setdefault(name, []).append(np.fromiter(chain.from_iterable(rows), np.int32))
    tokenizer = _input_module(model, role).tokenizer
    return TokenRows(
        {name: np.concatenate(parts) for name, parts in columns.items()},
        np.concatenate([[0], np.cumsum(lengths)]),
        {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id},
        shared,
        left=tokenizer.padding_side == "left",
        masked=masked,
    )


def is_bag(model) -> bool:
    """Whether a text's vector is the mean of its subwords' vectors, whatever stands beside it."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return hasattr(model, "modules") and isinstance(model[0], StaticEmbedding)


def _gives_rows(model, role: str) -> bool:
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import PreTrainedTokenizerBase

    first = _input_module(model, role)
    return (
        isinstance(first, Transformer)
        and isinstance(first.processor, PreTrainedTokenizerBase)
        and first.processor.pad_token_id is not None
        and first.transformer_task == "feature-extraction"
        and "message" not in first.modality_config
        and not (first.query_expansion and role == "query")
        and not first.can_flatten_inputs
    )


def _input_module(model, role: str):
    """The module that tokenises texts of this role; None for a stand-in without modules."""
    from sentence_transformers.sentence_transformer.modules import Router

    if not hasattr(model, "modules"):
        return None
    first = model[0]
    return first.sub_modules[role][0] if isinstance(first, Router) and role in first.sub_modules else first
