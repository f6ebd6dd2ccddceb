"""Training runs in processes of their own, for the tests that kill them or let several share a batch."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np

from hybridir_utils.base.parallel import preload_libraries

preload_libraries()  # once for all runs


def run_alone(*arguments, **options) -> int:
    """Exit code of `train` in one new process; -9 where it was killed."""
    process = multiprocessing.get_context("forkserver").Process(target=train, args=arguments, kwargs=options)
    process.start()
    process.join(120)
    return process.exitcode


def train(
    out: Path, base: Path, pairs: Path, plan: Path, settings: dict, checkpoints: Path | None = None, kill: tuple | None = None
) -> None:
    """Train as told and save weights, history and the labels each step saw as `<out>-<rank>.npz`. kill: (rank, step) to die at."""
    import torch
    from datasets import Dataset

    from hybridir_utils.base.distributed import rank
    from hybridir_utils.data.batching import BatchPlan, plan_batches
    from hybridir_utils.train import trainer
    from hybridir_utils.train.training import TrainingSettings, train_encoder

    torch.set_num_threads(1)
    rows, seen = Dataset.from_parquet(str(pairs), cache_dir=str(Path(pairs).parent / "arrow")), []
    usual = trainer.PlanTrainer.training_step

    def step(self, model, inputs, *rest):
        if kill == (rank(), self.state.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(inputs["label"].numpy())
        return usual(self, model, inputs, *rest)

    trainer.PlanTrainer.training_step = step
    validation = {"mono": (rows, plan_batches(rows, "X-X-mono", steps=2, batch_size=5, seed=0))}
    try:
        model, history = train_encoder(
            base, rows, BatchPlan.load(plan), TrainingSettings(**settings), validation, checkpoints=checkpoints and Path(checkpoints)
        )
    finally:
        trainer.PlanTrainer.training_step = usual
    weights = {f"weight {name}": value.numpy() for name, value in model.state_dict().items()}
    losses = {f"history {column}": history[column].to_numpy().astype(str if column == "split" else float) for column in history}
    np.savez(f"{out}-{rank()}.npz", labels=np.stack(seen) if seen else [], **weights, **losses)


def train_all(runs: list[dict]) -> None:
    """Several trainings, one after the other, in the processes of one launcher."""
    for options in runs:
        train(**options)


def gathered_losses(out: Path, labels: list, embeddings: list, size: int) -> None:
    """Plain and cached loss of this rank's half of the rows, and the gradient of its embeddings."""
    import torch

    from hybridir_utils.base.distributed import join, rank
    from hybridir_utils.train.losses import CachedMaskedMultipleNegativesRankingLoss, MaskedMultipleNegativesRankingLoss

    join()
    own, found = slice(rank() * size, (rank() + 1) * size), {}
    for name, loss in (
        ("plain", MaskedMultipleNegativesRankingLoss(Passing(), scale=20.0)),
        ("cached", CachedMaskedMultipleNegativesRankingLoss(Passing(), scale=20.0, mini_batch_size=2)),
    ):
        leaves = [torch.tensor(column)[own].requires_grad_() for column in embeddings]
        value = loss([{"input_values": leaf} for leaf in leaves], torch.tensor(labels)[own])
        value.backward()
        found |= {name: value.detach().numpy()} | {f"{name} {c}": leaf.grad.numpy() for c, leaf in enumerate(leaves)}
    np.savez(f"{out}-{rank()}.npz", **found)


def Passing():
    """An encoder whose features are its embeddings already."""
    import torch

    class _Passing(torch.nn.Module):
        def __getitem__(self, _):
            return self

        def forward(self, features):
            return {"sentence_embedding": features["input_values"] * 1.0}

    return _Passing()
