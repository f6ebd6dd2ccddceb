"""Texts tokenised once, by the model's own first module, and put together into batches of any rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

BLOCK = 1024  # texts tokenised at once: enough for every thread of the tokenizer
UNPADDED = {"text": {"padding": False}, "common": {"return_tensors": None}}
PER_TOKEN = ("input_ids", "token_type_ids")
PER_BATCH = ("modality", "prompt_length", "task")


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
