"""Rows of memory-mapped Arrow tables: written, read, numbered and chosen chunk by chunk; no column of texts is in memory as a whole.

In memory stand four bytes a row for each numbered column and eight a row for each choice of rows: some hundred MB for 40 M pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from .files import file_fingerprint, replacing, write_text_atomically, writing

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.table import Table

CHUNK = 100_000  # rows of texts in memory at once
NEAR = 50  # rows apart at most in one stretch of a choice
NUMBERED = 10  # chunks of a numbered column (short texts) in memory at once


def stored(tables: Iterable[pa.Table], path: Path | None = None) -> Dataset:
    """The tables one below the other: memory-mapped from the Arrow file `path`, which they are written to, or in memory without one.

    Raises InputError when the disk is full or the folder cannot be written to; the file has its name only once it is complete.
    """
    from datasets import Dataset

    if path is None:
        return Dataset(pa.concat_tables(tables))
    tables = iter(tables)
    with replacing(path) as temporary:
        first = next(tables)
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, first.schema) as writer:
            for table in chain([first], tables):
                writer.write_table(table, max_chunksize=CHUNK)
    return Dataset.from_file(str(path))


def chunks(pairs: Dataset, columns: Sequence[str], together: int = 1) -> Iterator[pa.Table]:
    """The columns' rows in order, `together` times CHUNK at a time."""
    chosen, table, size = pairs._indices, pairs.data.select(list(columns)), CHUNK * together
    for start in range(0, len(pairs), size):
        if chosen is None:
            yield table.fast_slice(start, min(size, len(pairs) - start))
        else:  # the library takes chosen rows one by one, which costs ten times as much
            yield _rows(table, chosen.column(0)[start : start + size].to_numpy().astype(np.int64))


def _rows(table: Table, rows: np.ndarray) -> pa.Table:
    """The rows of a table in the order asked for, a stretch of near ones at a time."""
    steps = np.diff(rows)
    ends = np.flatnonzero((steps < 1) | (steps > NEAR)) + 1
    if len(ends) * NEAR > len(rows):
        return table.fast_gather(rows).combine_chunks()
    stretches = np.split(rows, ends)
    return pa.concat_tables(table.fast_slice(near[0], near[-1] - near[0] + 1).take(near - near[0]) for near in stretches)


def write_parquet(pairs: Dataset, path: Path) -> None:
    """The pairs as a Parquet file with a row group for each chunk."""
    with pq.ParquetWriter(path, pairs.features.arrow_schema) as writer:
        for table in chunks(pairs, pairs.column_names):
            writer.write_table(table)


def read_parquet(path: Path, store: Path) -> Dataset:
    """A Parquet file, memory-mapped through its copy `store`, which is made, row group by row group, unless it is there with the bytes
    that it was written with.

    Processes that ask for the same copy at the same time wait for the first.
    """
    from datasets import Dataset

    if not _is_copy(store):
        with writing(store):
            store.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(store.with_suffix(".lock")):
                _copy(path, store)
    return Dataset.from_file(str(store))


def _copy(path: Path, store: Path) -> None:
    if _is_copy(store):  # another process has just made it
        return
    with pq.ParquetFile(path, pre_buffer=False) as file:  # else the whole file is held in memory
        groups = (file.read_row_group(group) for group in range(file.num_row_groups))
        stored(chain([file.schema_arrow.empty_table()], groups), store)
    write_text_atomically(_seal(store), file_fingerprint(store))


def _is_copy(store: Path) -> bool:
    """Whether the copy is there with the bytes that it was written with."""
    return store.exists() and _seal(store).exists() and _seal(store).read_bytes() == file_fingerprint(store).encode()


def _seal(store: Path) -> Path:
    return store.with_suffix(".sha256")


def codes(pairs: Dataset, column: str) -> tuple[np.ndarray, pa.Array]:
    """([rows] int32 numbers, names): the column's texts numbered in order of first appearance, `names[number]` the text.

    Four bytes a row, and each distinct text once. No text may be null (check_pairs sees to it).
    """
    names, numbers = pa.array([], pa.string()), [np.empty(0, np.int32)]
    for part in chunks(pairs, [column], NUMBERED):  # one table of names for what came before and what is new
        known = pa.chunked_array([names, *part[column].cast(pa.string()).chunks]).dictionary_encode().combine_chunks()
        numbers.append(known.indices[len(names) :].to_numpy())
        names = known.dictionary
    return np.concatenate(numbers), names


def text_hashes(pairs: Dataset, column: str) -> np.ndarray:
    """[rows] uint64 that equal texts of the column share, blanks around them and the form of their Unicode left aside.

    Of 64 bits: no two of 40 M different texts meet by chance.
    """
    plain = (pc.utf8_normalize(pc.utf8_trim_whitespace(chunk[column]), "NFC") for chunk in chunks(pairs, [column]))
    return np.concatenate([pd.util.hash_array(texts.to_numpy(), categorize=False) for texts in plain])


def counts(pairs: Dataset, column: str) -> dict[str, int]:
    """Rows of each text of the column, sorted by text."""
    numbers, names = codes(pairs, column)
    return dict(sorted(zip(names.to_pylist(), np.bincount(numbers, minlength=len(names)).tolist(), strict=True)))


def holds(pairs: Dataset, keys: pd.DataFrame) -> np.ndarray:
    """[rows] bool: whether a row of `keys` has the same texts in all its columns."""
    ours, theirs = np.zeros(len(pairs), np.int64), np.zeros(len(keys), np.int64)
    there = np.ones(len(keys), bool)
    for column in keys:
        numbers, names = codes(pairs, column)
        found = pc.index_in(pa.array(keys[column], pa.string()), names).fill_null(-1).to_numpy()
        there &= found >= 0
        ours, theirs = ours * len(names) + numbers, theirs * len(names) + found
    return np.isin(ours, theirs[there])


def keep_rows(pairs: Dataset, kept: np.ndarray) -> Dataset:
    """The rows that the [rows] bool mask keeps; their texts stay where they lie."""
    return pairs if kept.all() else pairs.select(np.flatnonzero(kept))
