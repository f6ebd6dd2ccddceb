"""HybridIR: hybrid batch training for multilingual retrieval, reproduced in notebooks (arXiv 2408.10536).

As a library, `import hybridir_utils as hy`:

read_pairs     parallel question-answer pairs from JSON lines
plan_batches   a batch plan over them: hybrid with its alpha, X-X, X-Y …, as a table
train_encoder  any sentence-transformers model, on the plan
open_encoder   a folder, a name on the hub, or a short name of the catalogue
read_task      a retrieval task: BEIR or SQuAD folder, or a known name
rank_task      full rankings of every pool from one encoding
scores         mAP, R@k, nDCG@10, MRR in the settings Mo., Cr. and Mul.
bias_scores    rank distance and six more measures of language bias
evaluate       all of this at once for any encoder, plain and with each language's mean taken off, shown as a table
compare        paired tests between encoders
mteb_tasks     a task's three settings as tasks of mteb

The functions are imported when they are first asked for (`library`); importing the package takes no time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .library import (
        Evaluation,
        bias_scores,
        compare,
        evaluate,
        mteb_tasks,
        open_encoder,
        plan_batches,
        rank_task,
        read_pairs,
        read_task,
        scores,
        train_encoder,
    )

__version__ = "0.1.0"
__all__ = [
    "Evaluation",
    "bias_scores",
    "compare",
    "evaluate",
    "mteb_tasks",
    "open_encoder",
    "plan_batches",
    "rank_task",
    "read_pairs",
    "read_task",
    "scores",
    "train_encoder",
]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
