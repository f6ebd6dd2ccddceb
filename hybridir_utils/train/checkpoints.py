"""Checkpoints of a training run: sealed when whole, found again, the one before kept until the next is sealed.

A checkpoint is the library trainer's folder `checkpoint-<step>`: weights in safetensors; optimizer.pt, scheduler.pt and rng_state*.pth,
which torch reads with weights_only; trainer_state.json with the loss history. They are this run's own files in this run's own folder,
never foreign ones. Last of all comes the seal, a hash of each file.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from transformers import TrainerCallback

from ..base.errors import InputError
from ..base.files import file_fingerprint, read_json, write_json

SEAL = "whole.json"
WEIGHTS, BEST = "model.safetensors", "best.safetensors"
KEPT = 2  # the last one, and the one before in case the last is damaged


def seal(folder: Path) -> None:
    """Declare the checkpoint whole."""
    files = {str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name != SEAL}
    write_json(folder / SEAL, files)


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint whose files are as they were sealed, or None where there is none."""
    return next((checkpoint for checkpoint in _newest_first(folder) if _is_whole(checkpoint)), None)


def drop_broken(folder: Path) -> None:
    """Remove checkpoints that a kill left half-written or that were damaged later."""
    for checkpoint in _newest_first(folder):
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _newest_first(folder: Path) -> list[Path]:
    return sorted(Path(folder).glob("checkpoint-*"), key=step_of, reverse=True)


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = read_json(checkpoint / SEAL)
        return bool(files) and all(file_fingerprint(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, InputError, AttributeError):
        return False


class LogBeforeSaving(TrainerCallback):
    """A loss that is no number is noticed before a checkpoint is made of it, and a resumed run logs at the steps an unbroken one does."""

    def on_step_end(self, args, state, control, **_):
        control.should_log |= control.should_save
        return control


class EarlyStopping(TrainerCallback):
    """Stop after `patience` validations without a lower loss, the mean over `sets` validation sets; keep the weights of the lowest.

    The library's own callback takes one set's loss and finds its best weights in checkpoints alone.
    """

    def __init__(self, patience: int, sets: int):
        self.patience, self.sets = patience, sets
        self.lowest, self.waited, self.weights, self._losses = math.inf, 0, {}, []

    def on_evaluate(self, args, state, control, metrics, model, **_):
        self._losses += [value for name, value in metrics.items() if name.endswith("_loss")]
        if len(self._losses) == self.sets:
            self._judge(sum(self._losses) / self.sets, model)
            self._losses = []
        if self.waited >= self.patience:
            control.should_training_stop, control.should_save = True, False  # resumed from here it would take one step more
        return control

    def _judge(self, loss: float, model) -> None:
        if loss < self.lowest:
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
            self.lowest, self.waited = loss, 0
        else:
            self.waited += 1

    def restore(self, model) -> None:
        """Give the model its best weights, if a validation has seen any."""
        if self.weights:
            model.load_state_dict(self.weights)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        if self.weights:
            save_file(self.weights, folder / BEST, metadata={"lowest": repr(self.lowest), "waited": str(self.waited)})

    def load(self, folder: Path) -> None:
        from safetensors import safe_open

        if (folder / BEST).exists():
            with safe_open(folder / BEST, framework="pt") as file:
                self.weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                self.lowest, self.waited = float(file.metadata()["lowest"]), int(file.metadata()["waited"])
