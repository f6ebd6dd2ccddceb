"""The masked loss: the library's where ids are distinct, hand-written cross entropy where they repeat."""

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.nn.functional import normalize

from hybridir_utils.losses import MaskedMultipleNegativesRankingLoss, same_id_mask

SCALE = 20.0
REPEATED = torch.tensor([4, 7, 4, 9, 7, 4])


def embeddings(columns=2, seed=0):
    """Queries, positives and, with three columns, hard negatives: [6, 5] each."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(6, 5, generator=generator, requires_grad=True) for _ in range(columns)]


@pytest.fixture(scope="module")
def masked():
    return MaskedMultipleNegativesRankingLoss(torch.nn.Identity(), scale=SCALE)


def by_hand(given, labels):
    """Row by row: log of the sum over the positive and every passage of another id, and the row's own hard negative."""
    queries, *passages = (normalize(part, dim=1) for part in given)
    total = 0
    for i, query in enumerate(queries):
        allowed = [query @ column[j] * SCALE for column in passages for j in range(len(queries)) if j == i or labels[j] != labels[i]]
        total = total + torch.logsumexp(torch.stack(allowed), 0) - query @ passages[0][i] * SCALE
    return total / len(queries)


@pytest.mark.parametrize("columns", [2, 3])
def test_distinct_ids_give_the_librarys_loss(masked, columns):
    plain = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=SCALE)
    given = embeddings(columns)
    for labels in (torch.arange(6), None):
        found = masked.compute_loss_from_embeddings(given, labels)
        torch.testing.assert_close(found, plain.compute_loss_from_embeddings(given, labels))


@pytest.mark.parametrize("columns", [2, 3])
def test_repeated_ids_give_the_loss_by_hand_and_its_gradient(masked, columns):
    given, again = embeddings(columns), embeddings(columns)
    found, expected = masked.compute_loss_from_embeddings(given, REPEATED), by_hand(again, REPEATED)
    torch.testing.assert_close(found, expected)
    assert (found - by_hand(again, torch.arange(6))).abs() > 1e-3  # the mask matters here
    found.backward(), expected.backward()
    for one, other in zip(given, again, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("columns", [2, 3])
def test_masked_negatives_get_no_gradient(masked, columns):
    """All rows of one id: nothing but own positives (and own hard negatives) is left to learn from."""
    given = embeddings(columns)
    loss = masked.compute_loss_from_embeddings(given, torch.zeros(6, dtype=torch.long))
    loss.backward()
    if columns == 2:
        assert loss == 0 and all((part.grad == 0).all() for part in given)
    moved = [part.detach().clone().requires_grad_() for part in given]
    with torch.no_grad():
        for part in moved[1:]:
            part[1:] += 1.0  # passages of the other rows
    masked.compute_loss_from_embeddings(moved, torch.zeros(6, dtype=torch.long)).backward()
    assert torch.equal(moved[0].grad[0], given[0].grad[0])


def test_the_similarity_is_put_back_also_after_an_error(masked):
    before = masked.similarity_fct
    masked.compute_loss_from_embeddings(embeddings(), REPEATED)
    assert masked.similarity_fct is before
    with pytest.raises(RuntimeError):
        masked.compute_loss_from_embeddings(embeddings(), REPEATED[:3])
    assert masked.similarity_fct is before


def test_mask_by_hand():
    mask = same_id_mask(torch.tensor([1, 2, 1]), columns=2)
    assert mask.int().tolist() == [[0, 0, 1] * 2, [0, 0, 0] * 2, [1, 0, 0] * 2]
