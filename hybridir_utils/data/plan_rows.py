"""The rows of a batch plan as a data set that the trainer reads in order."""

from __future__ import annotations

import numpy as np

from ..base.mapped import codes
from .batching import BatchPlan

NO_PASSAGE = -1


def in_plan_order(pairs, plan: BatchPlan, negatives: bool = True):
    """datasets.Dataset with the plan's slots in order: question, passage, hard negative where `pairs` has any, and label.

    pairs: with columns question, passage, passage_id and, if there are hard negatives, negative and negative_id, both empty in rows
    that have none. A slot's hard negative is its passage row's. label: the number of the answer passage and of the hard negative,
    whose numbers agree where the ids do, NO_PASSAGE for none; the loss leaves such a slot out. Texts are looked up when a batch is
    asked for, so a plan of any length costs eight bytes a slot.
    """
    from datasets import Dataset

    negatives = negatives and has_negatives(pairs)
    sides = {"question": "question", "passage": "passage", **({"negative": "passage"} if negatives else {})}
    parts = {part: pairs.select_columns([part]) for part in sides}
    labels = _passage_numbers(pairs, negatives)

    def texts(batch):
        found = {part: rows[batch[f"{sides[part]}_row"]][part] for part, rows in parts.items()}
        return {**found, "label": labels[batch["passage_row"]].tolist()}

    rows = {"question_row": plan.question_rows.ravel(), "passage_row": plan.passage_rows.ravel()}
    return Dataset.from_dict(rows).with_transform(texts)


def has_negatives(pairs) -> bool:
    """Whether the pairs bring hard negatives."""
    return "negative" in pairs.column_names


def _passage_numbers(pairs, negatives: bool) -> np.ndarray:
    """[rows, 1 or 2] number of the row's passage and, with negatives, of its hard negative's passage."""
    import pyarrow.compute as pc

    numbers, names = codes(pairs, "passage_id")
    if not negatives:
        return numbers[:, None]
    others, other_names = codes(pairs, "negative_id")
    shared = pc.index_in(other_names, value_set=names).to_numpy(zero_copy_only=False)
    known = np.where(np.isnan(shared), len(names) + np.arange(len(shared)), shared).astype(np.int32)
    known[pc.equal(other_names, "").to_numpy(zero_copy_only=False)] = NO_PASSAGE
    return np.stack([numbers, known[others]], axis=1)
