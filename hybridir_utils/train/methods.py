"""Contrastive methods that hybrid batches are compared with (PAPER §7): the pairs each trains on, the mix of its batches, its loss.

Every method sees the same parallel pairs, starts from the same base, and takes the same steps and batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..data.code_switching import code_switched
from ..data.pair_views import passage_twice, two_crops

DISTILLATION = "distillation"
TEACHER = "En-En"  # strategy of the monolingual encoder that distillation learns from


def as_they_are(pairs, seed: int):
    return pairs


@dataclass(frozen=True)
class Method:
    """strategy: of its batches (`batching.STRATEGIES`); what: its pairs and loss in words; source: where it was published; pairs: what is
    made of (parallel pairs, seed); settings: changes to `TrainingSettings`."""

    strategy: str
    what: str = "a question and its passage; InfoNCE"
    source: str = "arXiv 2408.10536, §3"
    pairs: Callable = as_they_are
    settings: dict = field(default_factory=dict)


MARGIN, DROPOUT = 0.3, 0.1  # as published: LaBSE's margin, SimCSE's dropout
METHODS = {
    "translation ranking": Method(
        "X-Y",
        f"a passage and its translation; InfoNCE in both directions, margin {MARGIN}",
        "LaBSE: Feng et al. 2022, §2.1",
        passage_twice,
        {"symmetric": True, "margin": MARGIN},
    ),
    DISTILLATION: Method(
        "X-Y", f"a text in English and its translation; MSE to the vector of an {TEACHER} teacher", "Reimers and Gurevych 2020, §2"
    ),
    "dropout": Method(
        "X-X", f"a passage twice, dropout {DROPOUT}; InfoNCE", "SimCSE: Gao et al. 2021, §3", passage_twice, {"dropout": DROPOUT}
    ),
    "crop": Method("X-X", "two spans of a passage; InfoNCE", "Contriever: Izacard et al. 2022, §3.1", two_crops),
    "code-switched": Method(
        "En-En", "an English question and passage, names switched by a lexicon; InfoNCE", "Litschko et al. 2023, §3.2", code_switched
    ),
}


def method_of(name: str) -> Method:
    """The method of a name of METHODS; any other name is a strategy, trained on the parallel pairs themselves."""
    return METHODS.get(name) or Method(name)
