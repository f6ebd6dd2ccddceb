"""Contrastive methods that hybrid batches are compared with (PAPER §7): the pairs each trains on, the mix of its batches, its loss.

Every method sees the same parallel pairs, starts from the same base, and takes the same steps and batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..base.errors import InputError
from ..base.mapped import codes
from ..data.batching import BatchPlan
from ..data.pair_views import code_switched, passage_twice, two_crops
from ..encode.encoding import encode_texts
from ..encode.opening import Opening, open_model
from .training import TrainingSettings, advice, loss_history, resumable, trainer_arguments

DISTILLATION = "distillation"
TEACHER = "En-En"  # strategy of the monolingual encoder that distillation learns from
PARTS = {"question": "query", "passage": "document"}  # of a pair, by which a text is drawn for distillation -> its role


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


def distil(
    base, teacher, pairs, plan: BatchPlan, settings: TrainingSettings, *, opening: Opening | None = None, checkpoints: Path | None = None
):
    """Train `base` towards `teacher` (folders or hub names, see `opening.open_model`) on the slots of an X-Y plan.

    Of each slot, the passage row's question or passage (drawn by the plan's seed) is the translation, the same part of its id's
    English row the English text; prefixes as in `settings`. Returns (SentenceTransformer, loss history). Raises InputError when an id
    has no English row, or the two encoders differ in width.
    """
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from sentence_transformers.sentence_transformer.losses import MSELoss

    from .chunks import tokenise
    from .trainer import PlanTrainer

    student, source = open_model(base, opening), open_model(teacher, opening)
    if student.get_embedding_dimension() != source.get_embedding_dimension():
        raise InputError(
            f"the teacher's vectors are {source.get_embedding_dimension()} wide, the student's {student.get_embedding_dimension()}; "
            "distillation needs two encoders of one width."
        )
    student.prompts = {"query": settings.query_prefix, "document": settings.passage_prefix}
    trainer = PlanTrainer(
        model=student,
        args=trainer_arguments(plan, settings, {}, checkpoints),
        train_dataset=_taught(pairs, plan, source, settings),
        data_collator=SentenceTransformerDataCollator(preprocess_fn=tokenise(student)),
        loss=MSELoss(student),
    )
    with advice(trainer, settings):
        trainer.train(resume_from_checkpoint=resumable(checkpoints))
    return student, loss_history(trainer.state.log_history)


def _taught(pairs, plan: BatchPlan, teacher, settings: TrainingSettings):
    """datasets.Dataset of the plan's slots in order: english, translation, label (the teacher's vector)."""
    from datasets import Dataset

    rows = plan.passage_rows.ravel()
    english, part = _english_rows(pairs)[rows], np.random.default_rng(plan.seed).integers(0, 2, rows.size)
    prefix = {"question": settings.query_prefix, "passage": settings.passage_prefix}
    used, place = np.unique(english, return_inverse=True)
    vectors = np.stack([encode_texts(teacher, pairs[used][name], role) for name, role in PARTS.items()])
    texts, parts = pairs.select_columns(list(PARTS)), list(PARTS)

    def look_up(batch: dict) -> dict:
        chosen, found = [parts[number] for number in batch["part"]], {}
        for side in ("english", "translation"):
            columns = texts[batch[side]]
            found[side] = [prefix[name] + columns[name][slot] for slot, name in enumerate(chosen)]
        return found | {"label": vectors[batch["part"], batch["place"]].tolist()}

    return Dataset.from_dict({"english": english, "translation": rows, "part": part, "place": place}).with_transform(look_up)


def _english_rows(pairs) -> np.ndarray:
    """[rows] row number of the English version of each row's pair."""
    (ids, names), (language, languages) = codes(pairs, "id"), codes(pairs, "language")
    of_id, known = np.full(len(names), -1), languages.to_pylist()
    if "en" in known:
        in_english = np.flatnonzero(language == known.index("en"))
        of_id[ids[in_english]] = in_english
    if (of_id < 0).any():
        raise InputError(
            f"distillation learns from English texts, and pair {names[int(np.argmin(of_id))].as_py()!r} has none. "
            "Leave the pair out, or the method."
        )
    return of_id[ids]
