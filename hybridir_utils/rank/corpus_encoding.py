"""Encode a corpus of any size: shard by shard, on one device, several, or several hosts; what is on disk is not made again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from ..base.errors import InputError
from ..base.fingerprints import fingerprint
from ..base.runs import hold
from .corpus_vectors import DTYPES, CorpusVectors, ShardFolder, check_space, shard_name
from .encoding import encode_rows, open_encoder
from .opening import Opening, origin

PROBE = -1  # number of the job that encodes one text before any shard


def encode_corpus(
    encoder: str | Path,
    texts,
    folder: Path,
    *,
    opening: Opening | None = None,
    shard_size: int = 50_000,
    vector_precision: str = "fp32",
    batch_tokens: int = 16384,
    precision: str = "fp32",
    scheduler: str = "",
    workers: int = 0,
) -> CorpusVectors:
    """The passages' unit vectors, encoded with the encoder's document prompt and kept in shards below `folder`.

    encoder, opening: as `opening.open_model` takes them. texts: datasets.Dataset with columns id and text; one shard of it is in
    memory at a time. vector_precision: fp32 or fp16, on disk. precision: fp32 or bf16, of the modules. scheduler: address of a dask
    scheduler (tcp://…) whose workers encode; the texts travel to them and the vectors back, so they need the package and the
    encoder, but no shared disk. Empty: this machine, with `workers` processes (0: one a GPU; one device needs no process).

    The vectors lie in a folder of their own for each encoder and precision. Shards that are there, whole and of the same texts are
    kept; a damaged one is named in a warning and made again alone. Raises InputError when the disk has no room, a shard cannot be
    written, memory does not suffice, an embedding is not finite or the scheduler does not answer, and Busy when another process
    fills the same folder.
    """
    encoder, opening = str(encoder), opening or Opening()
    if not len(texts) or not {"id", "text"} <= set(texts.column_names):
        found = f"{len(texts)} passages and columns {', '.join(texts.column_names) or 'none'}"
        raise InputError(f"{folder}: expected a corpus with columns id and text, found {found}; check the set it was read from.")
    texts = texts.select_columns(["id", "text"])
    recipe = {
        "encoder": origin(encoder),
        "opening": opening.model_dump(),
        "precision": precision,
        "vector_precision": vector_precision,
        "shard_size": shard_size,
    }
    place = Path(folder) / f"vectors-{fingerprint(recipe)[:10]}"
    n_shards = -(-len(texts) // shard_size)
    with hold(place):
        shards = ShardFolder(place, recipe)
        missing = {number: digest for number in range(n_shards) if (digest := _to_make(shards, number, *_rows(texts, number, shard_size)))}
        if missing:
            settings = (encoder, recipe["encoder"], opening, batch_tokens, precision, vector_precision)
            results = _results(texts, missing, shard_size, settings, scheduler, workers)
            _write(shards, missing, results, min(len(missing) * shard_size, len(texts)), vector_precision)
    return shards.vectors(n_shards)


def encode_shard(
    number: int,
    ids: list,
    texts: list[str],
    encoder: str,
    encoder_origin: str,
    opening: Opening,
    batch_tokens: int,
    precision: str,
    vector_precision: str,
) -> tuple[int, np.ndarray]:
    """(number, [n, width] in the precision of the disk): one shard's work, on whatever device this process has."""
    model = _open_once(encoder, encoder_origin, opening)
    return number, encode_rows(model, texts, "document", ids, batch_tokens, precision).astype(DTYPES[vector_precision])


@lru_cache(maxsize=1)
def _open_once(encoder: str, encoder_origin: str, opening: Opening):
    """The encoder, opened once a process; its origin is part of the key, as a folder may be filled anew."""
    return open_encoder(encoder, opening)


def _results(texts, missing: dict[int, str], shard_size: int, settings: tuple, scheduler: str, workers: int) -> Iterator:
    """First the vector of a single text, which tells the width and whether the encoder opens; then the shards, in any order."""
    ids, passages = _rows(texts, 0, 1)
    jobs = chain([(PROBE, ids, passages, *settings)], ((number, *_rows(texts, number, shard_size), *settings) for number in missing))
    workers = workers or _gpus()
    if not scheduler and workers == 1:
        return (encode_shard(*job) for job in jobs)
    from .dask_encoding import run_on_cluster

    return run_on_cluster(encode_shard, jobs, scheduler, workers)


def _write(shards: ShardFolder, missing: dict[int, str], results: Iterator, passages: int, vector_precision: str) -> None:
    from tqdm import tqdm

    with closing(results), tqdm(total=len(missing), desc="encoding", unit="shard", disable=len(missing) == 1) as bar:
        for number, vectors in results:
            if not bar.n:
                check_space(shards.folder, passages, vectors.shape[1], vector_precision)
            if number != PROBE:
                shards.write(number, vectors, missing[number])
                bar.update()


def _to_make(shards: ShardFolder, number: int, ids: list, passages: list[str]) -> str | None:
    """The hash of a shard's texts where it has to be made; None where it is there and whole."""
    digest = fingerprint([ids, passages])
    fault = shards.fault(number, digest)
    if fault not in (None, "missing"):
        warnings.warn(f"{shards.folder / shard_name(number)}: {fault}; this shard alone is encoded again.", stacklevel=4)
    return digest if fault else None


def _rows(texts, number: int, shard_size: int) -> tuple[list, list[str]]:
    """Ids and texts of a shard."""
    rows = texts[number * shard_size : (number + 1) * shard_size]
    return list(rows["id"]), list(rows["text"])


def _gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())
