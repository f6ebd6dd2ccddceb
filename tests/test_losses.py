"""The masked losses, plain and cached: the library's where ids are distinct, a loop over rows where they repeat or are missing."""

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.nn.functional import normalize

from hybridir_utils.data.batching import NO_PASSAGE
from hybridir_utils.train.losses import (
    CachedMaskedMultipleNegativesRankingLoss,
    MaskedMultipleNegativesRankingLoss,
    MaskedSimilarity,
    negatives_mask,
)

SCALE, ROWS = 20.0, 6
IDS = {
    "distinct": [[0, 10], [1, 11], [2, 12], [3, 13], [4, 14], [5, 15]],
    "repeated": [[4, 10], [7, 11], [4, 12], [9, 13], [7, 14], [4, 15]],
    "negatives are others' positives": [[4, 7], [7, 4], [4, 9], [9, 20], [7, 7], [4, 21]],
    "some rows have no negative": [[4, NO_PASSAGE], [7, 4], [4, 9], [9, NO_PASSAGE], [8, 5], [6, NO_PASSAGE]],
    "no row has a negative": [[row, NO_PASSAGE] for row in (4, 7, 4, 9, 8, 6)],
}


class Linear(torch.nn.Module):
    """An encoder of numbers: features -> [rows, 5] embeddings."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(7, 5)

    def __getitem__(self, _):
        return self.layer

    def forward(self, features):
        return {"sentence_embedding": self.layer(features["input_values"])}


def columns(count, seed=0):
    """Questions, positives and, with three columns, hard negatives, as features."""
    generator = torch.Generator().manual_seed(seed)
    return [{"input_values": torch.randn(ROWS, 7, generator=generator)} for _ in range(count)]


def by_hand(embeddings, labels, only_hard_negatives):
    """Row by row: log of the sum over the positive and every passage that may be a negative, minus the positive."""
    queries, *passages = (normalize(part, dim=1) for part in embeddings)
    total = 0
    for i, query in enumerate(queries):
        allowed = []
        for c, column in enumerate(passages):
            for j in range(len(queries)):
                own_positive = c == 0 and j == i
                same_answer = labels[j][c] == labels[i][0]
                left_out = only_hard_negatives and c == 0 and len(passages) > 1
                if own_positive or not (same_answer or labels[j][c] == NO_PASSAGE or left_out):
                    allowed.append(query @ column[j] * SCALE)
        total = total + torch.logsumexp(torch.stack(allowed), 0) - query @ passages[0][i] * SCALE
    return total / len(queries)


def loss_and_gradient(loss, features, labels):
    loss.model.zero_grad()
    value = loss(features, labels)
    value.backward()
    return value.detach(), loss.model.layer.weight.grad.clone()


def make(kind, **options):
    if kind == "plain":
        return MaskedMultipleNegativesRankingLoss(Linear(), scale=SCALE, **options)
    return CachedMaskedMultipleNegativesRankingLoss(Linear(), scale=SCALE, mini_batch_size=4, **options)


@pytest.mark.parametrize("kind", ["plain", "cached"])
@pytest.mark.parametrize("only_hard_negatives", [False, True])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("ids", IDS)
def test_loss_and_gradient_equal_a_loop_over_rows(kind, only_hard_negatives, count, ids):
    labels, features = torch.tensor(IDS[ids])[:, : count - 1], columns(count)
    found, gradient = loss_and_gradient(make(kind, only_hard_negatives=only_hard_negatives), features, labels)
    model = Linear()
    expected = by_hand([model(part)["sentence_embedding"] for part in features], labels.tolist(), only_hard_negatives)
    expected.backward()
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, model.layer.weight.grad, atol=1e-5, rtol=1e-5)


def test_the_cases_differ():
    """Each set of ids and each denominator gives a loss of its own: no case above is another one in disguise."""
    values = {
        (ids, only): loss_and_gradient(make("plain", only_hard_negatives=only), columns(3), torch.tensor(labels))[0].item()
        for ids, labels in IDS.items()
        for only in (False, True)
    }
    assert values.pop(("no row has a negative", True)) == 0
    assert values.pop(("repeated", True)) == values[("distinct", True)]  # which differ in positives alone
    assert min(abs(a - b) for n, a in enumerate(values.values()) for b in list(values.values())[:n]) > 1e-4


@pytest.mark.parametrize("count", [2, 3])
def test_distinct_ids_give_the_librarys_loss(count):
    features = columns(count)
    found, gradient = loss_and_gradient(make("plain"), features, torch.tensor(IDS["distinct"])[:, : count - 1])
    expected, its_gradient = loss_and_gradient(MultipleNegativesRankingLoss(Linear(), scale=SCALE), features, None)
    assert torch.equal(found, expected) and torch.equal(gradient, its_gradient)


def test_the_temperature_is_the_scale():
    labels = torch.tensor(IDS["repeated"])
    one, other = (MaskedMultipleNegativesRankingLoss(Linear(), scale=scale)(columns(3), labels) for scale in (1.0, 20.0))
    queries, positives, negatives = (normalize(Linear()(part)["sentence_embedding"], dim=1) for part in columns(3))
    scores = queries @ torch.cat([positives, negatives]).T
    scores.masked_fill_(negatives_mask(labels[:, 0], labels, 0), -torch.inf)
    for found, scale in ((one, 1.0), (other, 20.0)):
        torch.testing.assert_close(found, torch.nn.functional.cross_entropy(scores * scale, torch.arange(ROWS)))


@pytest.mark.parametrize("kind", ["plain", "cached"])
def test_the_similarity_is_put_back_also_after_an_error(kind):
    loss = make(kind)
    before = loss.similarity_fct
    loss(columns(3), torch.tensor(IDS["repeated"]))
    assert loss.similarity_fct is before
    with pytest.raises(RuntimeError):
        loss(columns(3), torch.tensor(IDS["repeated"])[:4])
    assert loss.similarity_fct is before


def test_scores_are_fp32_under_autocast():
    queries, passages = torch.randn(3, 64, dtype=torch.bfloat16), torch.randn(3, 64, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = MaskedSimilarity(torch.zeros(3, 3, dtype=torch.bool))(queries, passages)
    exact = normalize(queries.double(), dim=1) @ normalize(passages.double(), dim=1).T
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 1e-6


def test_mask_by_hand():
    """Two rows of this device, the second and third of four; passages 7 and 8 are their answers."""
    queries = torch.tensor([7, 8])
    passages = torch.tensor([[5, 7], [7, NO_PASSAGE], [8, 7], [7, 9]])
    no, yes = False, True
    assert negatives_mask(queries, passages, first=1).tolist() == [
        [no, no, no, yes, yes, yes, yes, no],
        [no, no, no, no, no, yes, no, no],
    ]
    assert negatives_mask(queries, passages, first=1, only_hard_negatives=True).tolist() == [
        [yes, no, yes, yes, yes, yes, yes, no],
        [yes, yes, no, yes, no, yes, no, no],
    ]
