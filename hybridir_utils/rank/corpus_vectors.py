"""A corpus' vectors on disk: one .npy a shard and one record that knows every shard's hash."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..base.errors import InputError
from ..base.files import read_json, write_text_atomically
from ..base.fingerprints import file_fingerprint, is_sealed, sealed
from ..base.runs import writing

RECORD = "vectors.json"


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
        result, filled = np.empty((max(0, stop - start), self.width), np.float32), 0
        for (name, count), first in zip(self.shards, self._starts, strict=True):
            if first < stop and start < first + count:
                part = np.load(self.folder / name, mmap_mode="r")[max(start - first, 0) : stop - first]
                result[filled : filled + len(part)] = part
                filled += len(part)
        return result

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *np.cumsum([count for _, count in self.shards])[:-1].tolist()]


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
        """Write one shard under a temporary name, rename it, and enter it into the record. Raises InputError on a full disk."""
        path = self.folder / shard_name(number)
        temporary = path.with_suffix(".part")
        try:
            with writing(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                with open(temporary, "wb") as file:
                    np.save(file, vectors)
                    file.flush()
                    os.fsync(file.fileno())
                digest = file_fingerprint(temporary)
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self.record["width"] = vectors.shape[1]
        self.record["shards"][path.name] = {"rows": len(vectors), "texts": texts_hash, "file": digest}
        write_text_atomically(self.folder / RECORD, json.dumps(sealed(self.record), indent=1, sort_keys=True))

    def vectors(self, count: int) -> CorpusVectors:
        """The finished corpus of the first `count` shards."""
        names = [shard_name(number) for number in range(count)]
        return CorpusVectors(self.folder, tuple((name, self.record["shards"][name]["rows"]) for name in names), self.record["width"])


def _read_record(path: Path) -> dict | None:
    """The record, or None where there is none or it was altered, so that every shard is made again."""
    try:
        record = read_json(path) if path.exists() else None
    except InputError:
        record = False
    if record is None or is_sealed(record):
        return record and {key: value for key, value in record.items() if key != "record"}
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


DTYPES = {"fp32": "float32", "fp16": "float16"}
