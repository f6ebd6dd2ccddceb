"""Opening a translation model: a local folder or a name on the hub, its family, its languages, the length it can read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from ..base.distributed import join
from ..base.errors import InputError
from ..base.fingerprints import folder_fingerprint
from ..base.hub import hub_errors
from .mt_languages import PROBES, language_tokens


class Seq2Seq:
    """A sequence-to-sequence model: configuration and tokenizer are read now, the weights when `model` is first asked for.

    place: local folder or hub name. family: m2m100, nllb, marian or madlad, told from model type and vocabulary, never from the name.
    languages: {our code: its token}. positions: tokens of the longest input. Raises InputError when the place cannot be read, the
    tokenizer has no pad token or no family fits.
    """

    def __init__(self, place: str, revision: str | None, precision: str, trust_remote_code: bool):
        from transformers import AutoConfig, AutoTokenizer

        self.folder = _local(place)
        self.label = self.folder.name if self.folder else place
        self.precision = precision
        self._source = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
        self.config = self._read(AutoConfig.from_pretrained)
        self.tokenizer = self._read(AutoTokenizer.from_pretrained)
        if self.tokenizer.pad_token_id is None:
            raise InputError(f'{self.label}: its tokenizer has no pad token, which batches need; set "pad_token" in tokenizer_config.json.')
        vocabulary = self.tokenizer.get_vocab() | getattr(self.tokenizer, "lang_token_to_id", {})  # M2M-100 keeps these apart
        self.family = self._family(vocabulary)
        self.languages = language_tokens(vocabulary, self.family)
        table = getattr(self.config, "max_position_embeddings", None) or getattr(self.config, "n_positions", None)
        self.positions = min(table or 512, self.tokenizer.model_max_length)  # T5 has no position table

    @cached_property
    def version(self) -> str:
        """Commit on the hub, or a hash of the folder's files."""
        return f"files-{folder_fingerprint(self.folder)[:16]}" if self.folder else self.config._commit_hash

    @cached_property
    def model(self):
        """The network on this process's device, from safetensors only."""
        from accelerate import PartialState
        from transformers import AutoModelForSeq2SeqLM

        join()
        state = PartialState()
        with state.main_process_first():  # one process fetches the weights, the others find them
            model = self._read(AutoModelForSeq2SeqLM.from_pretrained, use_safetensors=True, dtype=self.dtype)
        model.generation_config.max_length = None  # a fixed length would cut long translations; ours goes with the source,
        model.generation_config.forced_eos_token_id = None  # and so does the end of a translation that runs on
        return model.to(state.device).eval()

    @property
    def dtype(self):
        """bf16 where the precision asks for it and there is a GPU; CPUs compute in fp32."""
        import torch
        from accelerate import PartialState

        return torch.bfloat16 if self.precision == "bf16" and PartialState().device.type == "cuda" else torch.float32

    def _read(self, opener: Callable, **options):
        with hub_errors(str(self.folder or self.label)):
            try:
                return opener(str(self.folder or self.label), **self._source, **options)
            except (OSError, ValueError, KeyError) as error:
                if self.folder or "safetensors" in str(error):
                    raise InputError(f"{self.folder or self.label}: {_explained(str(error))}") from error
                raise

    def _family(self, vocabulary: dict[str, int]) -> str:
        if self.config.model_type == "marian":
            return "marian"
        found = next((family for family, token in PROBES.items() if token in vocabulary), None)
        if found is None:
            raise InputError(
                f"{self.label}: a model of type {self.config.model_type!r} without the language tokens of M2M-100, NLLB-200 or MADLAD-400, "
                "and no Marian model. Name a translation model of one of these families."
            )
        return found


def _local(place: str) -> Path | None:
    """The folder, or None for a hub name (`owner/name`)."""
    path = Path(place).expanduser()
    if path.is_dir():
        return path.resolve()
    if place.startswith((".", "/", "~")) or place.count("/") > 1:
        raise InputError(f"{place}: no such folder; expected a translation model's folder, or its name on the hub (owner/name).")
    return None


def _explained(reason: str) -> str:
    if "safetensors" in reason:
        return (
            "has no weights as safetensors, and no other kind is opened, since it may run code. Name a revision that has them "
            "(NAME@refs/pr/N where the hub's conversion bot added them), or convert it once with save_pretrained()."
        )
    return f"cannot be opened as a translation model ({reason.splitlines()[0]}). Fetch or save the whole folder again."
