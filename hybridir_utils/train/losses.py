"""InfoNCE over the batches of all devices, false negatives masked by id (PAPER §1; arXiv 2408.10536, Eq. 1).

The library's two losses, plain and with cached gradients (GradCache, arXiv 2101.06983), get what parallel data need: passages with
the id of the query's answer are no negatives, on whatever device they lie. Labels are those ids: [batch, passage columns] integers,
the first column the positives', the others the hard negatives', NO_PASSAGE where a row has none.

Both take the texts of a batch in chunks of like length, so that little of what is computed is padding. The library pads a column to its
longest text; here the columns that are tokenised alike (passages and hard negatives) are put together, sorted by length and cut by token
budget, and the loss puts the embeddings back in order. Nothing but the padding changes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import cos_sim
from sentence_transformers.util.distributed import all_gather, get_rank, get_world_size
from torch import Tensor

from ..base.memory import token_batches
from ..data.batching import NO_PASSAGE
from ..encode.encoding import Subwords

TASKS = {"question": "query", "passage": "document", "negative": "document"}
# A pass over fewer keeps the device no busier, over more pads more. A GPU waits for each pass to be started: on an H200 a step of BERT-base
# took 188 ms in five passes of 8,192 tokens, and 144 in the stock trainer's two (data/results/benchmarks/training_h200.json).
CHUNK_TOKENS = {"cpu": 1024, "cuda": 65_536}


class MaskedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """MultipleNegativesRankingLoss without false negatives.

    only_hard_negatives: Eq. 1 as printed, with no negatives but the batch's hard ones. Batches that have none (validation) keep the
    other rows' positives. symmetric: the mean of ranking passages for queries and queries for passages; margin: taken off the cosine
    of each positive (both: Feng et al. 2022, §2.1, Eq. 2 and 3).
    """

    def __init__(self, model, scale: float, only_hard_negatives: bool = False, symmetric: bool = False, margin: float = 0.0):
        directions = ("query_to_doc", "doc_to_query") if symmetric else ("query_to_doc",)
        super().__init__(model, scale=scale, directions=directions, partition_mode="per_direction" if symmetric else "joint")
        self.only_hard_negatives, self.margin = only_hard_negatives, margin

    def forward(self, sentence_features, labels: Tensor) -> Tensor:
        features = list(sentence_features)
        rows = row_numbers(features)
        if rows is None:
            return super().forward(features, labels)
        parts = [self.model(chunk)["sentence_embedding"] for chunk in features]
        return self.compute_loss_from_embeddings(in_columns(torch.cat(parts), rows, len(labels)), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        with _masked(self, labels):
            return super().compute_loss_from_embeddings(embeddings, labels)


class CachedMaskedMultipleNegativesRankingLoss(CachedMultipleNegativesRankingLoss):
    """The same loss and gradients with the activations of `mini_batch_size` rows in memory, for a second forward pass."""

    def __init__(self, model, scale: float, mini_batch_size: int, only_hard_negatives: bool = False):
        super().__init__(model, scale=scale, mini_batch_size=mini_batch_size)
        self.only_hard_negatives, self.margin = only_hard_negatives, 0.0

    def forward(self, sentence_features, labels: Tensor) -> Tensor:
        features = list(sentence_features)
        return self.forward_cached(features, (labels, row_numbers(features)))

    def calculate_loss(self, reps: list[list[Tensor]], labels: tuple, *, with_backward: bool = False) -> Tensor:
        """As the library's; the embeddings come in chunks by length and go to it in columns, leaves of which it fills the gradients."""
        labels, rows = labels
        columns = in_columns(torch.cat([part for chunk in reps for part in chunk]), rows, len(labels))
        leaves = [column.detach().requires_grad_(with_backward) for column in columns]
        with _masked(self, labels):
            loss = super().calculate_loss([[leaf] for leaf in leaves], None, with_backward=with_backward)
        if with_backward:
            torch.autograd.backward(columns, [leaf.grad for leaf in leaves])
        return loss


class MaskedSimilarity:
    """Cosine in fp32, also under autocast, with masked passages at -inf; called for consecutive rows of the mask.

    Once all rows are done, the next call has the directions changed: all queries for this device's passages, the mask's transpose.
    The margin is taken off the positives, row i's in column `first` + i.
    """

    def __init__(self, mask: Tensor, first: int = 0, margin: float = 0.0):
        self.mask, self.done, self.first, self.margin = mask, 0, first, margin

    def __call__(self, queries: Tensor, passages: Tensor) -> Tensor:
        turned = self.done == len(self.mask)
        mask = self.mask.T if turned else self.mask[self.done : self.done + len(queries)]
        with torch.autocast(queries.device.type, enabled=False):
            cosines = cos_sim(queries.float(), passages.float()).masked_fill(mask, -torch.inf)
        if self.margin:
            own = torch.arange(min(cosines.shape), device=cosines.device)
            rows, columns = (self.first + own, own) if turned else (own, self.first + self.done + own)
            cosines[rows, columns] = cosines[rows, columns] - self.margin
        self.done += len(queries)
        return cosines


@contextmanager
def _masked(loss, labels: Tensor):
    """Let the loss score with the mask of these labels; while it trains (with gradients), against the passages of all devices."""
    across, plain = get_world_size() > 1 and torch.is_grad_enabled(), loss.similarity_fct
    ids, first = (all_gather(labels), get_rank() * len(labels)) if across else (labels, 0)
    loss.gather_across_devices = across
    loss.similarity_fct = MaskedSimilarity(negatives_mask(labels[:, 0], ids, first, loss.only_hard_negatives), first, loss.margin)
    try:
        yield
    finally:
        loss.similarity_fct = plain


def negatives_mask(queries: Tensor, passages: Tensor, first: int, only_hard_negatives: bool = False) -> Tensor:
    """[queries, columns * rows] bool: True where a passage is left out of a query's denominator. Own positives stay.

    queries: [queries] ids of this device's positives, rows `first` and on of `passages`, the [rows, columns] ids of all devices.
    """
    flat = passages.T.reshape(-1)
    mask = (queries[:, None] == flat[None, :]) | (flat == NO_PASSAGE)[None, :]
    if only_hard_negatives and passages.shape[1] > 1:
        mask[:, : len(passages)] = True
    own = torch.arange(len(queries), device=mask.device)
    mask[own, first + own] = False
    return mask


# The chunks


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
