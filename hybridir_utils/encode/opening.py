"""Open any encoder: a folder or a hub name, with the pooling, lengths and attention kernel a profile asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..base.errors import InputError
from ..base.files import folder_fingerprint
from ..base.hub import NO_WEIGHTS, hub_errors, model_fault, split_place
from .packaged import PLACE, opened_place, packaged_fault, packaged_origin

NOT_THERE = "no such folder, and no such model on the hub or in the cache. Check the path or the name."


class Opening(BaseModel):
    """How a model is opened; fields as in `profiles.Profile`. Lengths in tokens, 0: the model's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Literal["own", "mean", "cls", "max", "lasttoken"] = "own"
    max_query_tokens: int = 0
    max_passage_tokens: int = 0
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    trust_remote_code: bool = False
    prompts: tuple[str, str] | None = None  # before questions and before passages; None: the model's own


def open_model(name: str | Path, opening: Opening | None = None, device: str | None = None):
    """The SentenceTransformer in a folder, on the hub (`NAME` or `NAME@REVISION`) or in a package; weights from safetensors only.

    A plain transformers model gets mean pooling unless `opening` says otherwise. Its question and passage lengths are kept with the
    model when it is saved. Raises InputError, with what to do, when the hub cannot be reached, the name, revision or weights are
    not there, the repository brings code that was not allowed, the tokenizer has no pad token, or pooling does not apply.
    """
    from sentence_transformers import SentenceTransformer

    opening = opening or Opening()
    with _without_bars():
        place, revision = split_place(opened_place(name))
    _refuse_pickles(Path(place))
    with _model_errors(str(name)), hub_errors(str(name)), _without_bars():
        model = SentenceTransformer(
            place,
            revision=revision,
            device=device or default_device(),
            trust_remote_code=opening.trust_remote_code,
            model_kwargs={"attn_implementation": opening.attention, "use_safetensors": True},
        )
    if opening.prompts:
        model.prompts = dict(zip(("query", "document"), opening.prompts, strict=True))
    _set_pooling(model, opening.pooling, name)
    _set_lengths(model, opening, name)
    return model


def encoder_fault(place: str) -> str:
    """Why the model of a place cannot be opened, with what to do; "" where it has what is needed. No weights are fetched or made."""
    return packaged_fault() if place == PLACE else model_fault(place)


def origin(name: str | Path) -> str:
    """What a name stands for at this moment: the fingerprint of a folder's files, `NAME@COMMIT` on the hub, or a package's version."""
    if str(name) == PLACE:
        return packaged_origin()
    place, revision = split_place(name)
    if Path(place).is_dir():
        return folder_fingerprint(Path(place))
    if revision and len(revision) == 40:
        return f"{place}@{revision}"
    from huggingface_hub import hf_hub_download

    with hub_errors(str(name)):
        return f"{place}@{Path(hf_hub_download(place, 'config.json', revision=revision)).parent.name}"


def default_device() -> str:
    """cuda where torch finds a GPU, else cpu; a build of torch for CPUs alone is known by its version and takes no time to import."""
    if version("torch").endswith("+cpu"):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _refuse_pickles(folder: Path) -> None:
    """Some modules of the library open pickled weights where there are no others."""
    for pickled in sorted(folder.rglob("pytorch_model*")) if folder.is_dir() else ():
        if not list(pickled.parent.glob("*.safetensors")):
            raise InputError(f"{pickled}: {NO_WEIGHTS}")


@contextmanager
def _model_errors(name: str) -> Iterator[None]:
    """Turn what loaders say about a model's files into advice."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise InputError(f"{name}: its weights are cut off or no safetensors ({error}). Fetch or train it again.") from error
    except (OSError, ValueError, ImportError) as error:
        advice = next((said for sign, said in _SIGNS.items() if sign in str(error)), None)
        if advice is None:
            raise
        raise InputError(f"{name}: {advice}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """The library draws a bar for the second that reading the weights takes."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


_SIGNS = {
    "safetensors": NO_WEIGHTS,
    "trust_remote_code": (
        "its repository brings Python code of its own. Read that code, then set trust_remote_code = true in the profile, "
        "or take another model."
    ),
    "FlashAttention": "attention flash_attention_2 needs the package flash-attn and a GPU; set attention to sdpa.",
    "not found": NOT_THERE,
    "is not a valid model identifier": NOT_THERE,
}


def _set_pooling(model, pooling: str, name: str | Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    if pooling == "own":
        return
    found = [key for key, module in model.named_children() if isinstance(module, Pooling)]
    if len(found) != 1:
        raise InputError(f"{name}: pooling = {pooling!r} was asked for, but the model has {len(found)} pooling layers; set it to 'own'.")
    old = model._modules[found[0]]
    model._modules[found[0]] = Pooling(old.embedding_dimension, pooling_mode=pooling, include_prompt=old.include_prompt)


def _set_lengths(model, opening: Opening, name: str | Path) -> None:
    """Cut questions and passages at their own lengths; a model of subword vectors (StaticEmbedding) has no positions to save."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    if not isinstance(model[0], Transformer):
        return
    if model.tokenizer.pad_token is None:
        raise InputError(
            f"{name}: its tokenizer has no pad token, so texts cannot be put in one batch. Name one in its tokenizer_config.json."
        )
    longest = model.max_seq_length or opening.max_passage_tokens
    for side, asked in (("query_length", opening.max_query_tokens), ("document_length", opening.max_passage_tokens)):
        if asked:
            setattr(model[0], side, min(asked, longest))
