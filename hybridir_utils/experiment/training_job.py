"""One training run as an artefact: what a process of its own does for one encoder, from pairs and base to weights and card."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from functools import lru_cache
from math import isnan
from pathlib import Path

import numpy as np

from ..base.distributed import join, rank, wait
from ..base.files import fingerprint
from ..base.mapped import codes, keep_rows
from ..data.batching import STRATEGIES, BatchPlan, plan_batches
from ..data.pairs import read_split
from ..data.parallel_index import ParallelIndex
from ..encode.encoding import encode_task
from ..encode.opening import Opening
from ..provenance.artefacts import Artefact
from ..rank.metrics import per_query, scores
from ..rank.ranking import dot_scores, rank_task
from ..tasks.retrieval_task import RetrievalTask, task_from_pairs
from ..train.methods import DISTILLATION, distil, method_of
from ..train.training import MEMORY_ONLY, TrainingSettings, save_encoder, train_encoder

VALIDATION_STEPS = 4
VALIDATION_BATCH = 64
VALIDATION_QUESTIONS = 2000  # scored for an encoder's card, at most: in fifty languages, all would take as long as the training
# At most so many pairs are validated for each that is trained: half of them for the losses on the way, half for the card. To encode a pair
# takes about a third of what a training step takes for it, so validation costs at most a tenth of the training.
VALIDATED = 0.3


def encoder_artefact(root: Path, name: str, recipe: dict) -> Artefact:
    """A trained encoder below a run's artefacts."""
    return Artefact(Path(root) / "encoders", name, recipe, _make)


def train_one(encoder: Artefact) -> Path:
    """Make an encoder (`encoder_artefact`); returns its folder.

    Where several processes train together, every one calls this, and the first writes. Checkpoints lie in `checkpoints/` beside the
    artefacts until the encoder is finished, so that a killed run goes on from the last.
    """
    root, recipe = encoder.room.parent, encoder.recipe
    checkpoints = root / "checkpoints" / f"{encoder.name}-{_checkpoint_fingerprint(recipe)[:10]}"
    if rank() == 0:
        folder = encoder.make(lambda out: _make(out, recipe, root, checkpoints))
        shutil.rmtree(checkpoints, ignore_errors=True)
        return folder
    _train(root, recipe, checkpoints)
    return encoder.path


def train_together(jobs: list[tuple]) -> None:
    """Make one encoder after the other, all processes of the launcher training each together."""
    join()
    for job in jobs:
        train_one(*job)
    wait()  # the first process still writes when the others are done


def _checkpoint_fingerprint(recipe: dict) -> str:
    """Of what the weights depend on: with a lower mini_batch_size, say, a run that had no memory goes on from its checkpoint."""
    settings = {key: value for key, value in recipe["settings"].items() if key not in MEMORY_ONLY}
    return fingerprint({**recipe, "settings": settings})


def _make(out: Path, recipe: dict, root: Path, checkpoints: Path) -> None:
    started = time.perf_counter()
    model, history, plan, train = _train(root, recipe, checkpoints)
    cost = {"seconds": round(time.perf_counter() - started, 1), "peak memory in GB": round(_peak_memory() / 1e9, 2)}
    plan.save(out / "plan.parquet")
    task = _validation_task(root / "pairs" / recipe["pairs"], min(VALIDATION_QUESTIONS, _validated(recipe)))
    save_encoder(model, out, _card(recipe, train, plan, history, model, task, cost), history)


def _train(root: Path, recipe: dict, checkpoints: Path):
    """(model, loss history, plan, training pairs)."""
    train, validation = (read_split(root / "pairs" / recipe["pairs"], split) for split in ("train", "validation"))
    method = method_of(recipe["strategy"])
    train = method.pairs(train, recipe["seed"])
    alpha = 0.5 if isnan(recipe["alpha"]) else recipe["alpha"]  # nan where a strategy has no mix
    plan = plan_batches(train, method.strategy, alpha=alpha, **{key: recipe[key] for key in ("steps", "batch_size", "seed")})
    own, plain = root / "bases" / recipe["base_folder"], recipe["strategy"] in STRATEGIES
    settings = TrainingSettings(**recipe["settings"] | ({} if plain else {"patience": 0, **method.settings}))
    base = own if own.is_dir() else recipe["base_folder"]
    options = {"opening": Opening(**recipe["opening"]), "checkpoints": checkpoints if settings.checkpoint_every else None}
    if recipe["strategy"] == DISTILLATION:
        trained = distil(base, root / "encoders" / recipe["teacher"], train, plan, settings, **options)
    else:  # the validation loss of another kind of pair compares with nothing
        most = _validated(recipe) // max(1, recipe["steps"] // settings.validate_every)
        trained = train_encoder(base, train, plan, settings, validation_plans(validation, most) if plain else None, **options)
    return *trained, plan, train


def _validated(recipe: dict) -> int:
    """Pairs that may be validated on the way, and again for the card."""
    return max(2, int(VALIDATED / 2 * recipe["steps"] * recipe["batch_size"]))


@lru_cache(maxsize=1)
def _validation_task(pairs: Path, most: int) -> RetrievalTask:
    """The first pairs in all their languages, `most` or a few more. One process trains many encoders on the same pairs."""
    validation = read_split(pairs, "validation")
    ids = codes(validation, "id")[0]  # numbered in the order in which they come
    kept = np.searchsorted(np.cumsum(np.bincount(ids)), most) + 1
    return task_from_pairs("validation", keep_rows(validation, ids < kept))


def _peak_memory() -> int:
    """Bytes: of the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def validation_plans(validation, most: int = VALIDATION_STEPS * VALIDATION_BATCH * 2) -> dict:
    """Fixed batches on which every strategy's loss is comparable: mono, and cross where the pairs stand in several languages.

    most: pairs in all batches, at least two in each. The data sets count as one, few pairs being held out.
    """
    index = ParallelIndex(validation.remove_columns("source").add_column("source", ["validation"] * len(validation)))
    kinds = {"mono": "X-X-mono", "cross": "X-Y"} if index.count.max() > 1 else {"mono": "X-X-mono"}
    most //= len(kinds)
    size = max(2, min([VALIDATION_BATCH, most, *(stream.passages for kind in kinds for stream in index.streams(kind))]))
    common = {"steps": max(1, min(VALIDATION_STEPS, most // size)), "batch_size": size, "seed": 0}
    return {kind: (validation, plan_batches(index, strategy, **common)) for kind, strategy in kinds.items()}


def _card(recipe: dict, train, plan: BatchPlan, history, model, task: RetrievalTask, cost: dict) -> dict:
    vectors = encode_task(model, task)
    table = scores(per_query(rank_task(dot_scores(vectors.queries, vectors.candidates), task), task))
    macro = table[table["query_language"] == "macro"]
    languages = sorted(train.unique("language"))
    return {
        "title": f"{recipe['strategy']} from {recipe['base_folder']}, seed {recipe['seed']}",
        "data": {"pairs": len(train), "sources": ", ".join(sorted(train.unique("source"))), "languages": " ".join(languages)},
        "plan": {"strategy": plan.strategy, "alpha": plan.alpha, "steps": plan.steps, "batch size": plan.batch_size, "seed": plan.seed},
        "base": {"origin": recipe["base_origin"], **recipe["opening"]},
        "training": {**recipe["settings"], "last training loss": _last_loss(history), **cost},
        "scores": {"validation questions": len(task.queries)}
        | {f"validation {row.setting} {row.metric}": round(row.value, 4) for row in macro.itertuples() if row.metric in ("mAP", "R@1")},
    }


def _last_loss(history) -> float:
    return round(float(history[history["split"] == "train"]["loss"].iloc[-1]), 4)
