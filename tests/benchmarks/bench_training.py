"""Training steps per second against the stock sentence-transformers trainer; run: python tests/benchmarks/bench_training.py [options]

The same model, pairs, batches, optimiser and precision on both sides: SentenceTransformerTrainer with MultipleNegativesRankingLoss, fed the
plan's slots in order, and train_encoder. Pairs are the course sections of HYBRIDIR_DATA (data/README.md). Two encoders: a small BERT with
a tokenizer trained on the spot, and the suite's bag of subwords. Both trainers take turns, and the best of the rounds counts: what else
runs on the machine can only cost time. On a GPU add --precision bf16 --layers 12 --width 768 --batch-size 128, and --compile.
Reported, not asserted, but for one thing: the losses of both must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    options = _options()
    _set_threads(options.threads)
    pairs = _pairs(options)
    rows = {kind: _compare(kind, pairs, options) for kind in options.encoders}
    result = {"machine": _machine(options), "data": _about(pairs, options), "encoders": rows}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=["bert", "static"], choices=["bert", "static"])
    parser.add_argument("--languages", nargs="+", default=["ar", "de", "en", "es", "hi", "ru", "th", "zh"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--max-chars", type=int, default=1200)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _set_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _pairs(options):
    from hybridir_utils.data.sections import read_sections

    return read_sections(Path(os.environ["HYBRIDIR_DATA"]) / "mscourses", options.languages, "mscourses", options.max_chars)


def _compare(kind: str, pairs, options) -> dict:
    """Seconds a step and losses of both trainers on the same plan."""
    from hybridir_utils.data.batching import plan_batches
    from hybridir_utils.train.training import TrainingSettings

    steps = options.steps * (10 if kind == "static" else 1)  # a step of the bag of subwords is short
    plan = plan_batches(pairs, "hybrid", steps=steps, batch_size=options.batch_size, seed=0)
    rate = 1e-2 if kind == "static" else 1e-4
    settings = TrainingSettings(learning_rate=rate, precision=options.precision, compile=options.compile)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / kind
        base = _make(kind, base, pairs, options)
        runs = {"stock": [], "ours": []}
        for _ in range(options.rounds + 1):
            for name, train in (("stock", _stock), ("ours", _ours)):
                runs[name].append(train(base, pairs, plan, settings))
    seconds = {name: min(spent for spent, _ in timed[1:]) for name, timed in runs.items()}  # the first one warms up
    losses = {name: timed[0][1] for name, timed in runs.items()}
    apart = float(np.abs(np.subtract(*losses.values())).max())
    assert apart < (1e-3 if options.precision == "fp32" else 0.2), losses
    return {
        "stock_steps_per_second": round(1 / seconds["stock"], 3),
        "ours_steps_per_second": round(1 / seconds["ours"], 3),
        "ratio": round(seconds["stock"] / seconds["ours"], 3),
        "rounds": options.rounds,
        "steps": steps,
        "largest_difference_of_losses": apart,
    }


def _make(kind: str, folder: Path, pairs, options) -> Path:
    """The encoder's folder; transformers without dropout, whose draws would differ between the two trainers."""
    from bench_encoding import save_bert

    from hybridir_utils.train.base_encoders import make_unaligned

    texts = [*pairs["question"], *pairs["passage"]]
    if kind == "static":
        make_unaligned(folder, texts, vocabulary=20_000, dimension=192, seed=0)
        return folder
    save_bert(folder, texts, options.layers, options.width, options.max_tokens, dropout=0.0)
    return folder / "model"


def _ours(base: Path, pairs, plan, settings) -> tuple[float, list[float]]:
    """(seconds a step without set-up and the first two steps, losses)."""
    from hybridir_utils.train import trainer
    from hybridir_utils.train.training import train_encoder

    clock, usual = Clock(), trainer.PlanTrainer.__init__

    def timed(self, *rest, **given):
        usual(self, *rest, **given)
        self.add_callback(clock)

    trainer.PlanTrainer.__init__ = timed
    try:
        _, history = train_encoder(base, pairs, plan, settings)
    finally:
        trainer.PlanTrainer.__init__ = usual
    return clock.seconds, list(history["loss"])


def _stock(base: Path, pairs, plan, settings) -> tuple[float, list[float]]:
    """The library's trainer, loss and collator as they come; only the order of the batches is the plan's."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import SequentialSampler
    from transformers.trainer_callback import PrinterCallback

    model = SentenceTransformer(str(base))
    rows = {"question": plan.question_rows.ravel(), "passage": plan.passage_rows.ravel()}
    data = Dataset.from_dict({column: pairs.select(numbers)[column][:] for column, numbers in rows.items()})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=plan.batch_size,
        max_steps=plan.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=int(settings.warmup_share * plan.steps),
        prompts={"question": settings.query_prefix, "passage": settings.passage_prefix},
        bf16=settings.precision == "bf16",
        use_cpu=model.device.type == "cpu",
        batch_sampler=lambda dataset, **given: DefaultBatchSampler(SequentialSampler(dataset), **given),
        logging_steps=max(1, plan.steps // 10),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    clock = Clock()
    loss = MultipleNegativesRankingLoss(model, scale=settings.scale)
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


class Clock:
    """Trainer callback: seconds a step from the end of the second step on."""

    def __getattr__(self, event: str):
        return lambda *_, **__: None

    def on_step_end(self, args, state, control, **_) -> None:
        if state.global_step == 2:
            _wait()
            self.started = time.perf_counter()

    def on_train_end(self, args, state, control, **_) -> None:
        _wait()
        self.seconds = (time.perf_counter() - self.started) / (state.global_step - 2)


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _about(pairs, options) -> dict:
    return {"set": "mscourses", "pairs": len(pairs), "languages": len(options.languages), "batch_size": options.batch_size}


def _machine(options) -> dict:
    import sentence_transformers
    import torch
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU, {options.threads} threads"
    versions = {module.__name__: module.__version__ for module in (torch, transformers, sentence_transformers)}
    given = {"precision": options.precision, "layers": options.layers, "width": options.width, "max_tokens": options.max_tokens}
    return {"device": device, **given, "compile": options.compile, **versions}


if __name__ == "__main__":
    main()
