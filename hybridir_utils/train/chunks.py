"""The texts of a batch in chunks of like length, so that little of what is computed is padding.

The library pads a column to its longest text. Here the columns that are tokenised alike (passages and hard negatives) are put
together, sorted by length and cut by token budget; the loss puts the embeddings back in order. Nothing but the padding changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor

from ..base.memory import token_batches
from ..encode.encoding import Subwords

TASKS = {"question": "query", "passage": "document", "negative": "document"}
# A pass over fewer keeps the device no busier, over more pads more. A GPU waits for each pass to be started: on an H200 a step of BERT-base
# took 188 ms in five passes of 8,192 tokens, and 144 in the stock trainer's two (data/results/benchmarks/training_h200.json).
CHUNK_TOKENS = {"cpu": 1024, "cuda": 65_536}


@dataclass
class LengthSortedCollator(SentenceTransformerDataCollator):
    """The library's collator, followed by `chunked`. tokens: of a chunk, padding counted; most: rows of one."""

    tokens: int = CHUNK_TOKENS["cpu"]
    most: int = 1024

    def __call__(self, features: list[dict]) -> dict:
        batch = super().__call__(features)
        columns = [_features_of(batch, column) for column in features[0] if column != "label"]
        if not all(_padded(column, len(features)) for column in columns):
            return batch  # subwords in one row without padding (StaticEmbedding, unpadded attention)
        chunks = [chunk for group in _alike(columns) for chunk in _cut(*group, self.tokens, self.most)]
        return {"label": batch["label"]} | {f"chunk{n}_{key}": value for n, chunk in enumerate(chunks) for key, value in chunk.items()}


def tokenise(model) -> Callable[..., dict]:
    """What the model's own preprocess makes of texts, without its search of every text for the address of a picture or a film."""
    if isinstance(model[0], StaticEmbedding):
        return partial(_subwords, Subwords(model[0].tokenizer))
    return model[0].preprocess


def _subwords(subwords: Subwords, texts: list[str], prompt: str | None = None, **_) -> dict[str, Tensor]:
    ids, starts = subwords([(prompt or "") + text for text in texts])
    return {"input_ids": torch.from_numpy(ids), "offsets": torch.from_numpy(starts)}


def row_numbers(features: list[dict]) -> Tensor | None:
    """[texts] number of each embedding's text, column by column, in the order of chunks; None where the batch was not cut."""
    return torch.cat([chunk["rows"] for chunk in features]) if "rows" in features[0] else None


def in_columns(embeddings: Tensor, rows: Tensor | None, batch: int) -> list[Tensor]:
    """[texts, d] embeddings in the order of `rows` as one [batch, d] tensor a column."""
    ordered = embeddings if rows is None else embeddings.index_select(0, torch.argsort(rows))
    return list(ordered.view(-1, batch, embeddings.shape[1]).unbind(0))


def _features_of(batch: dict, column: str) -> dict:
    return {key[len(column) + 1 :]: value for key, value in batch.items() if key.startswith(f"{column}_")}


def _padded(features: dict, batch: int) -> bool:
    tensors = [value for value in features.values() if isinstance(value, Tensor)]
    return "attention_mask" in features and all(tensor.ndim == 2 and len(tensor) == batch for tensor in tensors)


def _alike(columns: list[dict]) -> list[tuple[dict, Tensor]]:
    """Columns with the same keys and the same settings (task, prompt) put together: (features, number of each text)."""
    groups, batch = {}, len(columns[0]["attention_mask"])
    for number, column in enumerate(columns):
        settings = {key: None if isinstance(value, Tensor) else value for key, value in column.items()}
        groups.setdefault(repr(settings), []).append((number, column))
    for members in groups.values():
        rows = torch.cat([torch.arange(number * batch, (number + 1) * batch) for number, _ in members])
        yield _together([column for _, column in members]), rows


def _together(columns: list[dict]) -> dict:
    width = max(column["attention_mask"].shape[1] for column in columns)

    def wide(value: Tensor) -> Tensor:
        return torch.nn.functional.pad(value, (0, width - value.shape[1]))  # with zeros, which the attention mask hides

    return {
        key: torch.cat([wide(column[key]) for column in columns]) if isinstance(value, Tensor) else value
        for key, value in columns[0].items()
    }


def _cut(features: dict, rows: Tensor, tokens: int, most: int):
    """Chunks of at most `tokens`, the longest texts first, without the padding that a whole chunk shares at its end."""
    mask = features["attention_mask"].bool()
    ends = mask.shape[1] - mask.flip(1).int().argmax(1)  # one past the last token: the length, where padding is on the right
    for chosen in token_batches(ends.numpy(), tokens, most):
        picked, width = torch.from_numpy(chosen), int(ends[chosen].max())
        cut = {key: value[picked, :width].contiguous() if isinstance(value, Tensor) else value for key, value in features.items()}
        yield {**cut, "rows": rows[picked]}
