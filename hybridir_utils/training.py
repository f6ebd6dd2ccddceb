"""Train an encoder on a batch plan: the library's trainer and loss, fed in plan order."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from .batching import BatchPlan


class TrainingSettings(BaseModel):
    """How to optimise; the batches themselves are in the plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    warmup_share: float = 0.1
    scale: float = 20.0
    validate_every: int = 50
    query_prefix: str = "Query: "
    passage_prefix: str = "Passage: "


def train_encoder(base: str | Path, pairs, plan: BatchPlan, settings: TrainingSettings, validation: dict | None = None):
    """Train `base` (a folder or hub name that SentenceTransformer opens) on `plan` over `pairs`.

    pairs: datasets.Dataset with columns question, passage, passage_id. validation: name -> (pairs, plan), scored by the
    same loss every `validate_every` steps. Returns (SentenceTransformer, loss history with columns step, split, loss).
    Raises InputError as soon as a logged loss is not a number, saying at which step and which parameter to lower.
    """
    from sentence_transformers import SentenceTransformer

    from .losses import MaskedMultipleNegativesRankingLoss
    from .plan_trainer import PlanTrainer

    model = SentenceTransformer(str(base), device=default_device())
    model.prompts = {"query": settings.query_prefix, "document": settings.passage_prefix}
    validation = validation or {}
    trainer = PlanTrainer(
        model=model,
        args=_arguments(plan, settings, bool(validation)),
        train_dataset=in_plan_order(pairs, plan),
        eval_dataset={name: in_plan_order(*given) for name, given in validation.items()} or None,
        loss=MaskedMultipleNegativesRankingLoss(model, scale=settings.scale),
    )
    trainer.train()
    return model, loss_history(trainer.state.log_history)


def in_plan_order(pairs, plan: BatchPlan):
    """datasets.Dataset with the plan's slots in order: question, passage and, as label, the number of the answer passage.

    Texts are looked up when a batch is asked for, so a plan of any length costs eight bytes a slot.
    """
    from datasets import Dataset

    labels = pd.factorize(pairs.select_columns(["passage_id"]).to_pandas()["passage_id"])[0]
    parts = {part: pairs.select_columns([part]) for part in ("question", "passage")}

    def texts(batch):
        questions, passages = (rows[batch[f"{part}_row"]][part] for part, rows in parts.items())
        return {"question": questions, "passage": passages, "label": [int(labels[row]) for row in batch["question_row"]]}

    rows = {"question_row": plan.question_rows.ravel(), "passage_row": plan.passage_rows.ravel()}
    return Dataset.from_dict(rows).with_transform(texts)


def loss_history(log: list[dict]) -> pd.DataFrame:
    """The trainer's log as rows (step, split, loss); split is train or the validation set's name."""
    rows = [(entry["step"], "train", float(entry["loss"])) for entry in log if "loss" in entry]
    for entry in log:
        rows += [(entry["step"], key[5:-5], float(v)) for key, v in entry.items() if key.startswith("eval_") and key.endswith("_loss")]
    return pd.DataFrame(rows, columns=["step", "split", "loss"])


def _arguments(plan: BatchPlan, settings: TrainingSettings, validate: bool):
    import tempfile

    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=plan.batch_size,
        per_device_eval_batch_size=plan.batch_size,
        max_steps=plan.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup_share * plan.steps),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        prompts={"question": settings.query_prefix, "passage": settings.passage_prefix},
        logging_nan_inf_filter=False,  # which would write the mean of the losses before in place of nan
        logging_steps=max(1, min(settings.validate_every, plan.steps // 10)),
        eval_strategy="steps" if validate else "no",
        eval_steps=settings.validate_every,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=plan.seed,
    )


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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
    for heading in ("data", "plan", "training", "scores"):
        rows = "\n".join(f"| {key} | {value} |" for key, value in card[heading].items())
        parts.append(f"\n## {heading.capitalize()}\n\n| | |\n|---|---|\n{rows}\n")
    return header + "".join(parts)
