"""The library's trainer, fed in the order of a batch plan."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import DataLoader, SequentialSampler
from transformers.trainer_callback import PrinterCallback, TrainerCallback

from ..base.errors import InputError
from ..base.progress import new_bar
from .checkpoints import WEIGHTS, EarlyStopping, LogBeforeSaving, last_whole, seal

UNSHOWN = 10  # seconds before a training shows how far it is: most of the suite's own are over by then


class StepBar(TrainerCallback):
    """Counts the steps of a training, with the time that is left; removed at the end."""

    def on_train_begin(self, args, state, control, **_):
        about = {"total": state.max_steps, "initial": state.global_step, "desc": "training", "unit": "step", "leave": False}
        self.bar = new_bar(**about, delay=UNSHOWN, disable=not state.is_world_process_zero)

    def on_step_end(self, args, state, control, **_):
        self.bar.update()

    def on_train_end(self, args, state, control, **_):
        self.bar.close()


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
        for name, value in logs.items():
            if name.endswith(("loss", "grad_norm")) and not isfinite(float(value)):
                raise InputError(
                    f"{name} was not a number at step {self.state.global_step} of {self.state.max_steps}. "
                    f"Lower learning_rate (now {self.args.learning_rate}){self._scale()}.{self.last_good()}"
                )
        super().log(logs, *rest, **options)

    def _scale(self) -> str:
        return f" or scale (now {self.loss.scale})" if hasattr(self.loss, "scale") else ""

    def last_good(self) -> str:
        """A sentence that names the last good checkpoint, empty where none is kept."""
        checkpoint = last_whole(Path(self.args.output_dir)) if self.args.save_strategy != "no" else None
        return f" The last good checkpoint is {checkpoint}." if checkpoint else ""

    def _save(self, output_dir: str | None = None, state_dict=None) -> None:
        """Weights alone, as safetensors: what else an encoder's folder holds does not change in training."""
        from safetensors.torch import save_model

        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS))
        if self.early_stopping:
            self.early_stopping.save(folder)

    def _load_from_checkpoint(self, checkpoint: str) -> None:
        from safetensors.torch import load_model

        load_model(self.model, str(Path(checkpoint) / WEIGHTS))
        if self.early_stopping:
            self.early_stopping.load(Path(checkpoint))

    def _save_checkpoint(self, model, trial) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each rank writes the state of its random numbers
        if self.is_world_process_zero():
            seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")
