"""What encoding and searching a corpus will cost, before anything starts: tokens, GPU-hours, disk, memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError, UnknownName
from ..base.places import PUBLISHED
from ..tasks.mteb_tasks import PREFIX, mteb_sizes
from .opening import Opening

LETTERS_PER_TOKEN = 4.0  # of a multilingual subword tokenizer on Wikipedia, roughly; `tokens_per_passage` counts a sample
CHARACTERS_PER_TOKEN = {"zh": 2.0, "ja": 2.0, "ko": 2.0}  # scripts whose characters say more
PEAK = {"fp32": 19.5e12, "bf16": 312e12}  # FLOP/s of one A100 or A800 (NVIDIA's data sheet; fp32 without TensorFloat-32)
# Share of the peak that is reached. fp32: from the published 155 GPU-hours for the 106 M passages of MIRACL and 3.6 for the 2.45 M of its
# hard-negative pools, base-size encoder, A800: .15 and .18. bf16: assumed, not measured.
UTILISATION = {"fp32": 0.165, "bf16": 0.3}
BYTES = {"fp32": 4, "fp16": 2}


def corpus_sizes(task: str, languages: Sequence[str] = ()) -> pd.DataFrame:
    """language, passages, mean_chars, source of a task's corpora (miracl, miracl-full, mkqa, neuclir, mteb:NAME); no languages: all.

    MKQA's passages are English whatever the questions' languages. Raises UnknownName for a task whose sizes are not known.
    """
    if task.startswith(PREFIX):
        return mteb_sizes(task, languages)
    table = pd.read_csv(PUBLISHED / "corpus_sizes.csv")
    if task not in set(table["task"]):
        raise UnknownName("task with a large corpus", task, table["task"].unique())
    rows = table[table["task"] == task].drop(columns="task").reset_index(drop=True)
    if not languages or set(rows["language"]) == {"en"}:
        return rows
    return rows[rows["language"].isin(languages)].reset_index(drop=True)


def estimated_tokens(sizes: pd.DataFrame, max_tokens: int = 512) -> pd.Series:
    """Tokens of each row of `corpus_sizes`: four characters a token (two in Chinese, Japanese, Korean), at most `max_tokens` a passage."""
    per_token = sizes["language"].map(CHARACTERS_PER_TOKEN).fillna(LETTERS_PER_TOKEN)
    return (sizes["passages"] * (sizes["mean_chars"] / per_token).clip(upper=max_tokens)).round().astype("int64")


def tokens_per_passage(model, texts: Sequence[str]) -> float:
    """Mean tokens of a sample of texts, cut as the model cuts them. Raises InputError where the model gives no rows of tokens."""
    from .token_rows import tokenise

    tokens = tokenise(model, list(texts), "document", None)
    if tokens is None:
        raise InputError("this encoder's tokens cannot be counted beforehand; give the number of tokens a passage.")
    return float(tokens.lengths.mean())


def encoder_shape(name: str | Path, opening: Opening | None = None) -> tuple[int, int]:
    """(parameters that every token passes through, width of a vector), from the model's configuration alone, without its weights.

    A transformer layer has 4 width² parameters of attention and 2 x width x inner ones (Vaswani et al. 2017, section 3); the table of
    subwords costs no products. Raises InputError as `open_model`, or when the configuration does not tell its sizes.
    """
    from transformers import AutoConfig

    from ..base.hub import hub_errors, split_place

    place, revision = split_place(name)
    with hub_errors(str(name)), _no_configuration(name):
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=(opening or Opening()).trust_remote_code)
    width, layers, inner = (getattr(config, key, None) for key in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    if None in (width, layers, inner):
        raise InputError(f"{name}: its config.json does not tell hidden_size, num_hidden_layers and intermediate_size.")
    return layers * (4 * width**2 + 2 * width * inner), width


@contextmanager
def _no_configuration(name: str | Path):
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise InputError(f"{name}: no configuration of a transformer there; a bag of subwords costs next to nothing.") from error
        raise


def encoding_cost(
    passages: int,
    tokens: int,
    body_parameters: int,
    width: int,
    *,
    precision: str = "fp32",
    vector_precision: str = "fp32",
    queries: int = 10_000,
    depth: int = 100,
    block: int = 16_384,
    threads: int = 8,
) -> dict[str, float]:
    """passages, tokens, gpu_hours (one A100 or A800), disk_gb (vectors), ram_gb (search beside the memory-mapped vectors).

    gpu_hours = 2 x body_parameters x tokens / (peak x share reached): one multiplication and one addition a parameter and token
    (Kaplan et al. 2020, section 2.1). body_parameters: without the table of subwords, as `encoder_shape` gives them. ram_gb is that
    of `search.search`: a block of passages in fp32, 5 bytes for each of a thread's 512 x block scores, the queries and their lists.
    """
    flops = 2 * body_parameters * tokens
    ram = block * width * 4 + threads * 512 * block * 5 + queries * (width * 12 + depth * 12)
    return {
        "passages": passages,
        "tokens": tokens,
        "gpu_hours": flops / (PEAK[precision] * UTILISATION[precision]) / 3600,
        "disk_gb": passages * width * BYTES[vector_precision] / 1e9,
        "ram_gb": ram / 1e9,
    }


def task_cost(task: str, languages: Sequence[str], body_parameters: int, width: int, max_tokens: int = 512, **options) -> pd.DataFrame:
    """`encoding_cost` of one encoder on a task's corpora, a row per language and the sum as `all`; options: as of `encoding_cost`."""
    sizes = corpus_sizes(task, languages)
    tokens = estimated_tokens(sizes, max_tokens)
    pairs = zip(sizes["passages"], tokens, strict=True)
    table = pd.DataFrame([encoding_cost(int(p), int(t), body_parameters, width, **options) for p, t in pairs], index=sizes["language"])
    total = table.sum()
    total["ram_gb"] = table["ram_gb"].max()  # corpora are searched one after the other
    table.loc["all"] = total
    return table.astype({"passages": np.int64, "tokens": np.int64}).rename_axis("language")
