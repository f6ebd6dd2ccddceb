"""Train an encoder on a batch plan: the library's trainer and losses, fed in plan order, on one device or several."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..base.distributed import join, processes, rank, wait
from ..base.errors import HybridIRError, InputError
from ..base.memory import is_out_of_memory
from ..data.batching import BatchPlan, has_negatives, in_plan_order
from ..encode.opening import Opening, default_device, open_model


class TrainingSettings(BaseModel):
    """How to optimise; the batches themselves are in the plan. Fields as in `profiles.Profile`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    warmup_share: float = 0.1
    scale: float = 20.0
    denominator: Literal["all", "in-batch", "hard-negatives"] = "all"
    mini_batch_size: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    compile: bool = False
    freeze_embeddings: bool = False  # the subwords' vectors stay as they are
    validate_every: int = 50
    patience: int = 0
    checkpoint_every: int = 0
    query_prefix: str = "Query: "
    passage_prefix: str = "Passage: "
    symmetric: bool = False  # rank in both directions (LaBSE)
    margin: float = 0.0  # taken off the positives' cosines (LaBSE)
    dropout: float = 0.0  # of the vectors, where the encoder has none of its own (SimCSE)


MEMORY_ONLY = {"mini_batch_size", "gradient_checkpointing", "compile"}  # settings that change what training costs, not what it computes

# as the system, safetensors and torch's writer of checkpoints say it
FULL_DISK = ("No space left on device", "failed writing file", "iostream error", "unexpected pos")
_NO_MEMORY = (
    "out of memory {step}. Set gradient_checkpointing = true or a lower mini_batch_size (now {now}): the same training goes on from its "
    "last checkpoint. Or lower max_passage_tokens or batch_size (now {batch} a process): a new training."
)
_NO_SPACE = "no space for a checkpoint {step}. Free some space in {place}, or set HYBRIDIR_OUTPUT to another folder; then run again."


def train_encoder(
    base: str | Path,
    pairs,
    plan: BatchPlan,
    settings: TrainingSettings,
    validation: dict | None = None,
    *,
    opening: Opening | None = None,
    checkpoints: Path | None = None,
):
    """Train `base` (a folder or hub name, see `opening.open_model`) on `plan` over `pairs`.

    pairs: datasets.Dataset with the columns of `plan_rows.in_plan_order`. validation: name -> (pairs, plan), scored every
    `validate_every` steps by the loss over in-batch passages, whatever the denominator. checkpoints: folder that takes one every
    `checkpoint_every` steps; where it holds one, training goes on from there to the weights an unbroken run has. Under a launcher
    (`distributed`) every process calls this; each takes its share of every batch. With `patience` the best weights are kept.

    Returns (SentenceTransformer, loss history with columns step, split, loss). Raises InputError, saying which parameter to lower and
    where the last good checkpoint is, when a logged loss is not a number or memory runs out; and for settings that do not fit.
    """
    from .trainer import PlanTrainer

    _check(pairs, settings)
    join()
    model, validation = open_model(base, opening), validation or {}
    model.prompts = {"query": settings.query_prefix, "document": settings.passage_prefix}
    if settings.freeze_embeddings:
        _word_vectors(model, base).requires_grad_(False)
    dropped = _with_dropout(model, settings)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trainer = PlanTrainer(
        model=model,
        args=trainer_arguments(plan, settings, validation, checkpoints),
        train_dataset=in_plan_order(pairs, plan, negatives=settings.denominator != "in-batch"),
        eval_dataset={name: in_plan_order(*given, negatives=False) for name, given in validation.items()} or None,
        data_collator=_collator(model, plan, settings),
        loss=_loss(model, settings),
        early_stopping=_early_stopping(settings, validation),
    )
    history = run_trainer(trainer, settings, checkpoints)
    if trainer.early_stopping:
        trainer.early_stopping.restore(model)
    model.requires_grad_(True)
    if dropped:
        model.pop(-1)
    return model, history


def _check(pairs, settings: TrainingSettings) -> None:
    if settings.denominator == "hard-negatives" and not has_negatives(pairs):
        raise InputError(
            "denominator = 'hard-negatives' needs hard negatives, and the pairs have none (no column 'negative'). "
            "Set hard_negatives to given, bm25 or dense, or denominator to all."
        )


def _word_vectors(model, base: str | Path):
    """The table of a transformer's subword vectors; in a multilingual one most weights lie there, and most of an optimiser's time."""
    from sentence_transformers.base.losses import has_static_embedding_input

    if has_static_embedding_input(model):
        raise InputError(f"{base}: freeze_embeddings is set, but an encoder of subword vectors has nothing else to train. Set it to false.")
    return model[0].auto_model.get_input_embeddings()


def _with_dropout(model, settings: TrainingSettings) -> bool:
    """Add dropout of the vectors, for the time of training, to an encoder of subword vectors; a transformer has its own."""
    from sentence_transformers.base.losses import has_static_embedding_input
    from sentence_transformers.sentence_transformer.modules import Dropout

    needed = bool(settings.dropout) and has_static_embedding_input(model)
    if needed:
        model.append(Dropout(settings.dropout))
    return needed


def _collator(model, plan: BatchPlan, settings: TrainingSettings):
    from .losses import CHUNK_TOKENS, TASKS, LengthSortedCollator, tokenise

    return LengthSortedCollator(
        preprocess_fn=tokenise(model),
        prompts={part: settings.query_prefix if task == "query" else settings.passage_prefix for part, task in TASKS.items()},
        router_mapping=TASKS,
        tokens=CHUNK_TOKENS[default_device()],
        most=settings.mini_batch_size or plan.batch_size * len(TASKS),
    )


def _loss(model, settings: TrainingSettings):
    from sentence_transformers.base.losses import has_static_embedding_input

    from .losses import CachedMaskedMultipleNegativesRankingLoss, MaskedMultipleNegativesRankingLoss

    options = {"scale": settings.scale, "only_hard_negatives": settings.denominator == "hard-negatives"}
    if not settings.mini_batch_size:
        return MaskedMultipleNegativesRankingLoss(model, **options, symmetric=settings.symmetric, margin=settings.margin)
    if settings.symmetric or settings.margin:
        raise InputError("symmetric ranking with a margin has no loss with cached gradients. Set mini_batch_size = 0.")
    if has_static_embedding_input(model):
        raise InputError(
            f"mini_batch_size is {settings.mini_batch_size}, but an encoder of subword vectors (StaticEmbedding) cannot be split into "
            "mini-batches and needs no memory for it. Set mini_batch_size = 0."
        )
    return CachedMaskedMultipleNegativesRankingLoss(model, mini_batch_size=settings.mini_batch_size, **options)


def _early_stopping(settings: TrainingSettings, validation: dict):
    from .trainer import EarlyStopping

    if settings.patience and not validation:
        raise InputError(f"patience is {settings.patience}, but there is no validation set to stop by. Set patience = 0.")
    return EarlyStopping(settings.patience, len(validation)) if settings.patience else None


def run_trainer(trainer, settings: TrainingSettings, checkpoints: Path | None) -> pd.DataFrame:
    """Train to the end, from the newest whole checkpoint where there is one; returns the loss history (step, split, loss)."""
    with _advice(trainer, settings):
        trainer.train(resume_from_checkpoint=_resumable(checkpoints))
    return _loss_history(trainer.state.log_history)


def _resumable(checkpoints: Path | None) -> str | None:
    """The checkpoint to go on from; what a kill left half-written is removed."""
    from .trainer import drop_broken, last_whole

    if checkpoints is None:
        return None
    if rank() == 0:
        drop_broken(checkpoints)
    wait()
    found = last_whole(checkpoints)
    return str(found) if found else None


@contextmanager
def _advice(trainer, settings: TrainingSettings) -> Iterator[None]:
    """Turn what stops a training into an InputError that says what to lower and what is kept."""
    try:
        yield
    except HybridIRError:
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        full = any(sign in str(error) for sign in FULL_DISK)
        if not (full or is_out_of_memory(error)):
            raise
        text = (_NO_SPACE if full else _NO_MEMORY).format(
            step=f"at step {trainer.state.global_step + 1} of {trainer.state.max_steps}",
            now=settings.mini_batch_size or "0, the whole batch",
            batch=trainer.args.train_batch_size,
            place=trainer.args.output_dir,
        )
        raise InputError(f"{text}{trainer.last_good()}") from error


def trainer_arguments(plan: BatchPlan, settings: TrainingSettings, validation: dict, checkpoints: Path | None):
    """The library's arguments of a training on `plan`; other parameters as in `train_encoder`."""
    from sentence_transformers import SentenceTransformerTrainingArguments

    from .trainer import KEPT

    gpu = default_device() == "cuda"
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints or tempfile.gettempdir()),
        use_cpu=not gpu,
        per_device_train_batch_size=plan.shard(rank(), processes()).batch_size,
        per_device_eval_batch_size=min((given.batch_size for _, given in validation.values()), default=plan.batch_size),
        max_steps=plan.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup_share * plan.steps),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        bf16=settings.precision == "bf16",
        torch_compile=settings.compile,
        logging_nan_inf_filter=False,  # which would write the mean of the losses before in place of nan
        logging_steps=max(1, min(settings.validate_every, plan.steps // 10)),
        eval_strategy="steps" if validation else "no",
        eval_steps=settings.validate_every,
        save_strategy="steps" if checkpoints and settings.checkpoint_every else "no",
        save_steps=settings.checkpoint_every or plan.steps,
        save_total_limit=KEPT,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
        accelerator_config={"non_blocking": gpu},
        seed=plan.seed,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # a process to each GPU; the library would split the plan's batches over all it sees
    return arguments


def _loss_history(log: list[dict]) -> pd.DataFrame:
    """The trainer's log as rows; split is train or the validation set's name."""
    rows = [(entry["step"], "train", float(entry["loss"])) for entry in log if "loss" in entry]
    for entry in log:
        rows += [(entry["step"], key[5:-5], float(v)) for key, v in entry.items() if key.startswith("eval_") and key.endswith("_loss")]
    return pd.DataFrame(rows, columns=["step", "split", "loss"])


def save_encoder(model, folder: Path, card: dict, history: pd.DataFrame) -> None:
    """Write the encoder so that SentenceTransformer(folder) opens it, with card.json, README.md and the loss history."""
    model.save(str(folder), create_model_card=False, safe_serialization=True)
    history.to_csv(Path(folder) / "loss.csv", index=False)
    (Path(folder) / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
    (Path(folder) / "README.md").write_text(_card_text(card), encoding="utf-8")


def _card_text(card: dict) -> str:
    """The card for people: what the encoder was trained on, how its batches were mixed, how it scored."""
    header = "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\n---\n\n"
    parts = [f"# {card['title']}\n\nOpen it with `SentenceTransformer(folder)`; encode with `encode_query` and `encode_document`.\n"]
    for heading in ("data", "plan", "base", "training", "scores"):
        rows = "\n".join(f"| {key} | {value} |" for key, value in card[heading].items())
        parts.append(f"\n## {heading.capitalize()}\n\n| | |\n|---|---|\n{rows}\n")
    return header + "".join(parts)
