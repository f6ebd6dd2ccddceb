"""The library's trainer, fed in the order of a batch plan, and its checkpoints: sealed when whole, found again, the one before kept until
the next is sealed.

A checkpoint is the library trainer's folder `checkpoint-<step>`: weights in safetensors; optimizer.pt, scheduler.pt and rng_state*.pth,
which torch reads with weights_only; trainer_state.json with the loss history. They are this run's own files in this run's own folder,
never foreign ones. Last of all comes the seal, a hash of each file.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_model, save_file, save_model
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import DataLoader, SequentialSampler
from transformers.trainer_callback import PrinterCallback, TrainerCallback

from ..base.errors import InputError
from ..base.files import file_fingerprint, read_json, write_json
from ..base.progress import new_bar

UNSHOWN = 10  # seconds before a training shows how far it is: most of the suite's own are over by then
SEAL = "whole.json"
WEIGHTS, BEST = "model.safetensors", "best.safetensors"
KEPT = 2  # the last one, and the one before in case the last is damaged


class PlanTrainer(SentenceTransformerTrainer):
    """SentenceTransformerTrainer whose batches are the data set's rows in order: the plan has already drawn them.

    On several devices the library deals consecutive batches to consecutive ranks, so with a batch of 1 / ranks of the plan's each
    rank holds its share of the same step's slots (BatchPlan.shard). early_stopping: with its best weights, kept in checkpoints.
    """

    def __init__(self, early_stopping: EarlyStopping | None = None, **options):
        super().__init__(**options)
        self.remove_callback(PrinterCallback)  # the loss history is returned, not printed
        self.add_callback(LogBeforeSaving())
        self.add_callback(StepBar())
        self.early_stopping = early_stopping
        if early_stopping:
            self.add_callback(early_stopping)

    def get_batch_sampler(self, dataset, **options) -> DefaultBatchSampler:
        return DefaultBatchSampler(SequentialSampler(dataset), **{**options, "drop_last": False})

    def get_eval_dataloader(self, eval_dataset: str) -> DataLoader:
        """Whole validation batches on every rank, so that the validation loss is the same however many there are."""
        return self._build_dataloader(self.eval_dataset[eval_dataset], self.args.eval_batch_size, dataset_kind="eval")

    def add_model_card_callback(self, default_args_dict: dict) -> None:
        """The card is ours (training.save_encoder); the library's would tokenise examples for a second at every run."""

    def log(self, logs: dict[str, float], *rest, **options) -> None:
        """Every logged loss passes here; raises InputError with advice on the first that is not a number."""
        scale = f" or scale (now {self.loss.scale})" if hasattr(self.loss, "scale") else ""
        for name, value in logs.items():
            if name.endswith(("loss", "grad_norm")) and not math.isfinite(float(value)):
                raise InputError(
                    f"{name} was not a number at step {self.state.global_step} of {self.state.max_steps}. "
                    f"Lower learning_rate (now {self.args.learning_rate}){scale}.{self.last_good()}"
                )
        super().log(logs, *rest, **options)

    def last_good(self) -> str:
        """A sentence that names the last good checkpoint, empty where none is kept."""
        checkpoint = last_whole(Path(self.args.output_dir)) if self.args.save_strategy != "no" else None
        return f" The last good checkpoint is {checkpoint}." if checkpoint else ""

    def _save(self, output_dir: str | None = None, state_dict=None) -> None:
        """Weights alone, as safetensors: what else an encoder's folder holds does not change in training."""
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS))
        if self.early_stopping:
            self.early_stopping.save(folder)

    def _load_from_checkpoint(self, checkpoint: str) -> None:
        load_model(self.model, str(Path(checkpoint) / WEIGHTS))
        if self.early_stopping:
            self.early_stopping.load(Path(checkpoint))

    def _save_checkpoint(self, model, trial) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each rank writes the state of its random numbers
        if self.is_world_process_zero():
            seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")


class StepBar(TrainerCallback):
    """Counts the steps of a training, with the time that is left; removed at the end."""

    def on_train_begin(self, args, state, control, **_):
        about = {"total": state.max_steps, "initial": state.global_step, "desc": "training", "unit": "step", "leave": False}
        self.bar = new_bar(**about, delay=UNSHOWN, disable=not state.is_world_process_zero)

    def on_step_end(self, args, state, control, **_):
        self.bar.update()

    def on_train_end(self, args, state, control, **_):
        self.bar.close()


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
        if self.weights:
            save_file(self.weights, folder / BEST, metadata={"lowest": repr(self.lowest), "waited": str(self.waited)})

    def load(self, folder: Path) -> None:
        if (folder / BEST).exists():
            with safe_open(folder / BEST, framework="pt") as file:
                self.weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                self.lowest, self.waited = float(file.metadata()["lowest"]), int(file.metadata()["waited"])


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
