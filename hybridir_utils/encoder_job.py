"""One training run, in a process of its own: plan, train, validate, save with a card."""

from __future__ import annotations

from math import isnan
from pathlib import Path

from .batching import BatchPlan, ParallelIndex, plan_batches
from .encoding import encode_task
from .metrics import per_query, scores
from .pairs import read_split
from .ranking import dot_scores, rank_task
from .runs import artefact
from .tasks import RetrievalTask, task_from_pairs
from .training import TrainingSettings, save_encoder, train_encoder

VALIDATION_STEPS = 4
VALIDATION_BATCH = 64


def run_job(root: str, name: str, recipe: dict) -> str:
    """Make the encoder artefact of a recipe (see encoders.trained_encoders) below the run's artefacts; returns its folder."""
    return str(artefact(Path(root) / "encoders", name, recipe, "encoder_job", lambda out: _train(Path(root), out, recipe)))


def _train(root: Path, out: Path, recipe: dict) -> None:
    pairs = root / "pairs" / recipe["pairs"]
    train, validation = (read_split(pairs, split) for split in ("train", "validation"))
    own = root / "bases" / recipe["base_folder"]
    alpha = 0.5 if isnan(recipe["alpha"]) else recipe["alpha"]  # nan where a strategy has no mix
    plan = plan_batches(train, recipe["strategy"], alpha=alpha, **{key: recipe[key] for key in ("steps", "batch_size", "seed")})
    settings = TrainingSettings(**recipe["settings"])
    model, history = train_encoder(own if own.is_dir() else recipe["base_folder"], train, plan, settings, validation_plans(validation))
    plan.save(out / "plan.parquet")
    save_encoder(model, out, _card(recipe, train, plan, history, model, task_from_pairs("validation", validation)), history)


def validation_plans(validation) -> dict:
    """Fixed batches, mono and cross, on which every strategy's loss is comparable; the data sets count as one, few pairs being held out."""
    index = ParallelIndex(validation.remove_columns("source").add_column("source", ["validation"] * len(validation)))
    size = max(2, min([VALIDATION_BATCH, *(stream.passages for kind in ("mono", "cross") for stream in index.streams(kind))]))
    common = {"steps": VALIDATION_STEPS, "batch_size": size, "seed": 0}
    return {name: (validation, plan_batches(index, strategy, **common)) for name, strategy in (("mono", "X-X-mono"), ("cross", "X-Y"))}


def _card(recipe: dict, train, plan: BatchPlan, history, model, task: RetrievalTask) -> dict:
    vectors = encode_task(model, task)
    table = scores(per_query(rank_task(dot_scores(vectors.queries, vectors.candidates), task), task))
    macro = table[table["query_language"] == "macro"]
    languages = sorted(train.unique("language"))
    return {
        "title": f"{recipe['strategy']} from {recipe['base_folder']}, seed {recipe['seed']}",
        "data": {"pairs": len(train), "sources": ", ".join(sorted(train.unique("source"))), "languages": " ".join(languages)},
        "plan": {"strategy": plan.strategy, "alpha": plan.alpha, "steps": plan.steps, "batch size": plan.batch_size, "seed": plan.seed},
        "training": {**recipe["settings"], "last training loss": round(float(history[history["split"] == "train"]["loss"].iloc[-1]), 4)},
        "scores": {
            f"validation {row.setting} {row.metric}": round(row.value, 4) for row in macro.itertuples() if row.metric in ("mAP", "R@1")
        },
    }
