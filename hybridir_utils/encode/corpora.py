"""Encode texts of any number: shard by shard, on one device, several, or several hosts; what is on disk is not made again."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.files import file_fingerprint, fingerprint, replacing, write_json
from ..base.progress import new_bar, texts_counted
from ..provenance.artefacts import hold
from ..provenance.fingerprints import code_fingerprint, read_sealed, sealed, versions
from ..tasks.retrieval_task import RetrievalTask
from .encoding import TaskVectors, encode_rows, is_bag
from .opening import Opening, open_model, origin

RECORD = "vectors.json"
DTYPES = {"fp32": "float32", "fp16": "float16"}
PROBE = -1  # number of the job that encodes one text before any shard
TASK_SHARD = 2048  # texts of a task between two writes: about a minute on two CPU cores, for a transformer of 118 million weights


def encode_corpus(
    encoder: str | Path,
    texts,
    folder: Path,
    *,
    role: str = "document",
    opening: Opening | None = None,
    shard_size: int = 50_000,
    vector_precision: str = "fp32",
    batch_tokens: int = 16384,
    precision: str = "fp32",
    scheduler: str = "",
    workers: int = 0,
) -> CorpusVectors:
    """The texts' unit vectors, encoded with the encoder's prompt for `role` (document, query) and kept in shards below `folder`.

    encoder, opening: as `opening.open_model` takes them. texts: datasets.Dataset with columns id and text; one shard of it is in
    memory at a time. vector_precision: fp32 or fp16, on disk. precision: fp32 or bf16, of the modules. scheduler: address of a dask
    scheduler (tcp://…) whose workers encode; the texts travel to them and the vectors back, so they need the package and the
    encoder, but no shared disk. Empty: this machine, with `workers` processes (0: one a GPU; one device needs no process).

    The vectors lie in a folder of their own for each encoder, role, precision, and state of this code and of the libraries. Shards that
    are there, whole and of the same texts are kept; a damaged one is named in a warning and made again alone. Raises InputError when the
    disk has no room, a shard cannot be written, memory does not suffice, an embedding is not finite or the scheduler does not answer, and
    Busy when another process fills the same folder.
    """
    encoder, opening = str(encoder), opening or Opening()
    if not len(texts) or not {"id", "text"} <= set(texts.column_names):
        found = f"{len(texts)} passages and columns {', '.join(texts.column_names) or 'none'}"
        raise InputError(f"{folder}: expected a corpus with columns id and text, found {found}; check the set it was read from.")
    texts = texts.select_columns(["id", "text"])
    recipe = {
        "encoder": origin(encoder),
        "opening": opening.model_dump(),
        "role": role,
        "precision": precision,
        "vector_precision": vector_precision,
        "shard_size": shard_size,
        "code": code_fingerprint(open_model, encode_rows),
        "versions": versions(),
    }
    place = Path(folder) / f"vectors-{fingerprint(recipe)[:10]}"
    n_shards = -(-len(texts) // shard_size)
    with hold(place):
        shards = ShardFolder(place, recipe)
        missing = {number: digest for number in range(n_shards) if (digest := _to_make(shards, number, *_rows(texts, number, shard_size)))}
        if missing:
            results = _results(texts, missing, shard_size, (encoder, recipe, batch_tokens), scheduler, workers)
            _write(shards, missing, results, min(len(missing) * shard_size, len(texts)), vector_precision)
    return shards.vectors(n_shards)


def task_vectors(encoder: str | Path, task: RetrievalTask, folder: Path, **how) -> TaskVectors:
    """The vectors of `encode_task`, kept in shards below `folder`, so that what was encoded before, or before a kill, is read.

    how: opening, batch_tokens and precision, and errors as of `kept_vectors`.
    """
    queries = kept_vectors(encoder, task.queries, "query", Path(folder) / "queries", **how)
    return TaskVectors(queries, kept_vectors(encoder, task.candidates, "document", Path(folder) / "candidates", **how))


def kept_vectors(
    encoder: str | Path, texts: pd.DataFrame, role: str, folder: Path, *, opening: Opening, batch_tokens: int, precision: str
) -> np.ndarray:
    """[n, width] vectors of a frame's texts (columns id and text), kept in shards below `folder`.

    Parameters and errors as of `encode_corpus`. Vectors of a bag of subwords are not kept: they are made faster than they are read.
    """
    model = open_once(str(encoder), origin(encoder), opening)
    with texts_counted(model, Path(folder).name, len(texts)):
        if is_bag(model):
            return encode_rows(model, texts["text"], role, texts["id"], batch_tokens, precision)
        from datasets import Dataset

        rows = Dataset.from_pandas(texts[["id", "text"]], preserve_index=False)
        how = {"opening": opening, "batch_tokens": batch_tokens, "precision": precision, "shard_size": TASK_SHARD, "workers": 1}
        return encode_corpus(encoder, rows, folder, role=role, **how)[:]


def encode_shard(number: int, ids: list, texts: list[str], encoder: str, recipe: dict, batch_tokens: int) -> tuple[int, np.ndarray]:
    """(number, [n, width] in the precision of the disk): one shard's work, on whatever device this process has."""
    model = open_once(encoder, recipe["encoder"], Opening(**recipe["opening"]))
    vectors = encode_rows(model, texts, recipe["role"], ids, batch_tokens, recipe["precision"])
    return number, vectors.astype(DTYPES[recipe["vector_precision"]])


@lru_cache(maxsize=1)
def open_once(encoder: str, encoder_origin: str, opening: Opening):
    """The encoder, opened once a process; its origin is part of the key, as a folder may be filled anew."""
    return open_model(encoder, opening)


def _results(texts, missing: dict[int, str], shard_size: int, how: tuple, scheduler: str, workers: int) -> Iterator:
    """First the vector of a single text, which tells the width and whether the encoder opens; then the shards, in any order."""
    ids, passages = _rows(texts, 0, 1)
    jobs = chain([(PROBE, ids, passages, *how)], ((number, *_rows(texts, number, shard_size), *how) for number in missing))
    workers = workers or _gpus()
    if not scheduler and workers == 1:
        return (encode_shard(*job) for job in jobs)
    from ..base.parallel import run_on_cluster

    return run_on_cluster(encode_shard, jobs, scheduler, workers)


def _write(shards: ShardFolder, missing: dict[int, str], results: Iterator, passages: int, vector_precision: str) -> None:
    with (
        closing(results),
        new_bar(total=len(missing), desc=f"encoding ({shards.folder.parent.name})", unit="shard", disable=len(missing) == 1) as bar,
    ):
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


@dataclass(frozen=True)
class CorpusVectors:
    """Unit vectors of N passages in a folder, in the corpus' order; fp16 or fp32 on disk, fp32 when read."""

    folder: Path
    shards: tuple[tuple[str, int], ...]  # file name and passages of each
    width: int

    def __len__(self) -> int:
        return sum(count for _, count in self.shards)

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, fp32 [at most size, width]) from the first passage to the last; memory-mapped, so that one block is in memory.

        Blocks are full except for the last one, also over the borders of shards.
        """
        for start in range(0, len(self), size):
            yield start, self[start : start + size]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """fp32 [rows, width] of a slice of consecutive passages."""
        start, stop, _ = rows.indices(len(self))
        parts, first = [np.empty((0, self.width), np.float32)], 0
        for name, count in self.shards:
            if first < stop and start < first + count:
                parts.append(np.load(self.folder / name, mmap_mode="r")[max(start - first, 0) : stop - first])
            first += count
        return np.concatenate(parts, dtype=np.float32)


class ShardFolder:
    """The folder while it is filled: which shards are there, whole and of these texts, and where new ones go.

    The record holds the recipe and, for every finished shard, the hash of its texts and of its file. It is written after the
    shard, so a kill at any point costs at most the shards under way.
    """

    def __init__(self, folder: Path, recipe: dict):
        self.folder = Path(folder)
        self.record = _read_record(self.folder / RECORD) or {"recipe": recipe, "width": None, "shards": {}}

    def fault(self, number: int, texts_hash: str) -> str | None:
        """Why a shard has to be made (again): "missing", "damaged" or "of other texts"; None where it is whole."""
        name = shard_name(number)
        known = self.record["shards"].get(name)
        if known is None:
            return "missing"
        if known["texts"] != texts_hash:
            return "of other texts"
        path = self.folder / name
        return None if path.is_file() and file_fingerprint(path) == known["file"] else "damaged"

    def write(self, number: int, vectors: np.ndarray, texts_hash: str) -> None:
        """Write one shard and enter it into the record. Raises InputError on a full disk."""
        path = self.folder / shard_name(number)
        with replacing(path) as temporary:
            with open(temporary, "wb") as file:  # by its name alone, numpy would add a suffix
                np.save(file, vectors)
            digest = file_fingerprint(temporary)
        self.record["width"] = vectors.shape[1]
        self.record["shards"][path.name] = {"rows": len(vectors), "texts": texts_hash, "file": digest}
        write_json(self.folder / RECORD, sealed(self.record), sort_keys=True)

    def vectors(self, count: int) -> CorpusVectors:
        """The finished corpus of the first `count` shards."""
        names = [shard_name(number) for number in range(count)]
        return CorpusVectors(self.folder, tuple((name, self.record["shards"][name]["rows"]) for name in names), self.record["width"])


def _read_record(path: Path) -> dict | None:
    """The record, or None where there is none or it was altered, so that every shard is made again."""
    if not path.exists():
        return None
    try:
        return read_sealed(path)
    except InputError:
        warnings.warn(f"{path}: damaged; all shards are encoded again.", stacklevel=4)
        return None


def shard_name(number: int) -> str:
    return f"{number:06d}.npy"


def check_space(folder: Path, passages: int, width: int, precision: str) -> None:
    """Raises InputError when the disk of `folder` has no room for so many vectors: place, need and what is free."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    need, free = passages * width * np.dtype(DTYPES[precision]).itemsize, shutil.disk_usage(place).free
    if need > free:
        raise InputError(
            f"{folder}: {passages:,} vectors of {width} numbers in {precision} need {need / 1e9:,.2f} GB; {free / 1e9:,.2f} GB are free "
            "there. Free space, set HYBRIDIR_OUTPUT to another disk, or halve the need with vector_precision = 'fp16'."
        )
