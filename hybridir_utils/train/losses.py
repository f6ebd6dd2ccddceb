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

from ..data.plan_rows import NO_PASSAGE
from .chunks import in_columns, row_numbers


class MaskedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """MultipleNegativesRankingLoss without false negatives.

    only_hard_negatives: Eq. 1 as printed, with no negatives but the batch's hard ones. Batches that have none (validation) keep the
    other rows' positives.
    """

    def __init__(self, model, scale: float, only_hard_negatives: bool = False):
        super().__init__(model, scale=scale)
        self.only_hard_negatives = only_hard_negatives

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
        self.only_hard_negatives = only_hard_negatives

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
    """Cosine in fp32, also under autocast, with masked passages at -inf; called for consecutive rows of the mask."""

    def __init__(self, mask: Tensor):
        self.mask, self.done = mask, 0

    def __call__(self, queries: Tensor, passages: Tensor) -> Tensor:
        mask = self.mask[self.done : self.done + len(queries)]
        self.done += len(queries)
        with torch.autocast(queries.device.type, enabled=False):
            return cos_sim(queries.float(), passages.float()).masked_fill(mask, -torch.inf)


@contextmanager
def _masked(loss, labels: Tensor):
    """Let the loss score with the mask of these labels; while it trains (with gradients), against the passages of all devices."""
    across, plain = get_world_size() > 1 and torch.is_grad_enabled(), loss.similarity_fct
    ids, first = (all_gather(labels), get_rank() * len(labels)) if across else (labels, 0)
    loss.gather_across_devices = across
    loss.similarity_fct = MaskedSimilarity(negatives_mask(labels[:, 0], ids, first, loss.only_hard_negatives))
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
