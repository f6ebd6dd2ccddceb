"""InfoNCE over the batch with false negatives masked by id (PAPER §1; arXiv 2408.10536, Eq. 1)."""

from __future__ import annotations

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor


class MaskedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """MultipleNegativesRankingLoss that leaves out negatives which are translations of the positive.

    Labels are ids: rows of the batch with equal labels share their answer passage in some language, so none of them is a
    negative of the other. The library has no such mask, and parallel data need it.
    """

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is None:
            return super().compute_loss_from_embeddings(embeddings, labels)
        plain, mask = self.similarity_fct, same_id_mask(labels, columns=len(embeddings) - 1)
        self.similarity_fct = lambda queries, passages: plain(queries, passages).masked_fill(mask, -torch.inf)
        try:
            return super().compute_loss_from_embeddings(embeddings, labels)
        finally:
            self.similarity_fct = plain


def same_id_mask(labels: Tensor, columns: int) -> Tensor:
    """[batch, batch * columns] bool: True where a passage of another row carries the query's id. Own passages stay."""
    same = labels[:, None] == labels[None, :]
    same.fill_diagonal_(False)
    return same.repeat(1, columns)
