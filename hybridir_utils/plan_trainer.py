"""The library's trainer, fed in the order of a batch plan."""

from __future__ import annotations

from math import isfinite

from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler
from transformers.trainer_callback import PrinterCallback

from .errors import InputError


class PlanTrainer(SentenceTransformerTrainer):
    """SentenceTransformerTrainer whose batches are the data set's rows in order: the plan has already drawn them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.remove_callback(PrinterCallback)  # the loss history is returned, not printed

    def get_batch_sampler(self, dataset, **options) -> DefaultBatchSampler:
        return DefaultBatchSampler(SequentialSampler(dataset), **options)

    def add_model_card_callback(self, default_args_dict: dict) -> None:
        """The card is ours (training.save_encoder); the library's would tokenise examples for a second at every run."""

    def log(self, logs: dict[str, float], *rest, **options) -> None:
        """Every logged loss passes here; raises InputError with advice on the first that is not a number."""
        for name, loss in logs.items():
            if name.endswith("loss") and not isfinite(float(loss)):
                raise InputError(
                    f"{name} was not a number at step {self.state.global_step} of {self.state.max_steps}. "
                    f"Lower learning_rate (now {self.args.learning_rate}) or scale (now {self.loss.scale})."
                )
        super().log(logs, *rest, **options)
