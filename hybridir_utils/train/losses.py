"""InfoNCE over the batches of all devices, false negatives masked by id (PAPER §1; arXiv 2408.10536, Eq. 1).

The library's two losses, plain and with cached gradients (GradCache, arXiv 2101.06983), get what parallel data need: passages with
the id of the query's answer are no negatives, on whatever device they lie. Labels are those ids: [batch, passage columns] integers,
the first column the positives', the others the hard negatives', NO_PASSAGE where a row has none.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim
from sentence_transformers.util.distributed import all_gather, get_rank, get_world_size
from torch import Tensor

from ..data.batching import NO_PASSAGE
from .chunks import in_columns, row_numbers


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
