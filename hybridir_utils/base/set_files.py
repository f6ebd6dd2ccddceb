"""How large a data set is and what its rows look like, from file sizes, Parquet's footers and the first rows: no file is fetched whole.

Only JSON arrays, which have neither footer nor lines, are read as one: their first file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import InputError, did_you_mean
from .files import parse_json
from .hub import hub_errors
from .hub_data import local_folder

if TYPE_CHECKING:
    from datasets import Dataset

READ = 2**21  # packed bytes of a file of lines, from which its rows are reckoned
BUFFER = 2**20  # bytes of a column fetched at once


@dataclass(frozen=True)
class SetFile:
    """A file of a set: name, the file system it lies in (fsspec), bytes."""

    name: str
    system: Any
    size: int

    @property
    def kind(self) -> str:
        """parquet, json or lines."""
        last = self.name.removesuffix(".gz").rpartition(".")[2]
        return last if last in ("parquet", "json") else "lines"

    @contextmanager
    def opened(self):
        """(stream of the unpacked bytes, function: packed bytes read so far)."""
        try:
            with hub_errors(self.name), self.system.open(self.name, "rb") as raw:
                yield gzip.GzipFile(fileobj=raw) if self.name.endswith(".gz") else raw, raw.tell
        except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, pa.ArrowException) as error:
            raise InputError(f"{self.name}: cut off, or not what its name says ({error}). Delete it and fetch it again.") from error


def set_files(name: str, repo: str, patterns: Sequence[str], revision: str = "", data_dir: str = "") -> list[SetFile]:
    """The files of a set that fit the patterns: in its local folder, the hub, or the cache where the hub does not answer.

    Raises InputError as `hub_errors`, and where no file fits.
    """
    with hub_errors(f"{repo}@{revision}" if revision else repo):
        system, root = _place(name, repo, revision, data_dir)
        found = {path: info for pattern in patterns for path, info in system.glob(f"{root}/{pattern}", detail=True).items()}
    if not found:
        raise InputError(f"{name}: no file {' or '.join(patterns)} in {root}.")
    return [SetFile(path, system, info["size"] or 0) for path, info in sorted(found.items())]


def _place(name: str, repo: str, revision: str, data_dir: str):
    """(file system, root) of a set."""
    from fsspec.implementations.local import LocalFileSystem
    from huggingface_hub import HfFileSystem, constants, snapshot_download

    folder = local_folder(name, data_dir)
    if folder is None and constants.is_offline_mode():
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision or None, local_files_only=True))
    if folder is not None:
        return LocalFileSystem(), str(folder.resolve())
    return HfFileSystem(), f"datasets/{repo}{f'@{revision}' if revision else ''}"


def count_rows(files: Sequence[SetFile]) -> tuple[int, bool]:
    """(rows of all files together, whether they were counted): else reckoned from the first READ bytes of the first file."""
    if files[0].kind == "parquet":
        return sum(_footer_rows(file) for file in files), True
    if files[0].kind == "json":
        rows, read, whole = len(_array(files[0])), files[0].size, True
    else:
        rows, read, whole = _first_lines(files[0])
    if whole and len(files) == 1:
        return rows, True
    return round(sum(file.size for file in files) * rows / max(read, 1)), False


def first_rows(files: Sequence[SetFile], most: int, columns: Sequence[str], header: Sequence[str] = ()) -> Dataset:
    """The first rows of a set, at most so many, in memory; from file after file. header: columns of a table without a header line.

    Raises InputError where a column is not there.
    """
    from datasets import concatenate_datasets

    parts, count = [], 0
    for file in files:
        parts.append(_rows(file, most - count, header))
        count += len(parts[-1])
        missing = [column for column in columns if column not in parts[-1].column_names]
        if missing:
            near = did_you_mean(missing[0], parts[-1].column_names)
            raise InputError(f"{file.name}: its rows have no column {missing[0]!r}{near} Found: {', '.join(parts[-1].column_names)}.")
        if count >= most:
            break
    return concatenate_datasets([part.select_columns(list(columns)) for part in parts])


def _rows(file: SetFile, most: int, header: Sequence[str]) -> Dataset:
    from datasets import Dataset

    if file.kind != "parquet":
        rows = _array(file)[:most] if file.kind == "json" else _parsed_lines(file, most, header)
        try:
            return Dataset.from_list(rows)
        except pa.ArrowException as error:
            raise InputError(f"{file.name}: a column has values of different kinds ({error}).") from error
    with file.opened() as (stream, _):
        table = pq.ParquetFile(stream, buffer_size=BUFFER)  # else whole groups of rows are fetched
        return Dataset(pa.Table.from_batches(islice(table.iter_batches(batch_size=most), 1), schema=table.schema_arrow))


def _footer_rows(file: SetFile) -> int:
    with file.opened() as (stream, _):
        return pq.ParquetFile(stream).metadata.num_rows


def _array(file: SetFile) -> list:
    with file.opened() as (stream, _):
        rows = parse_json(stream.read().decode("utf-8"), file.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file.name}: expected a JSON array of objects.")
    return rows


def _first_lines(file: SetFile) -> tuple[int, int, bool]:
    """(lines, packed bytes they take, whether these are all). Packed bytes are read ahead, so that few of them tell little."""
    lines = 0
    with file.opened() as (stream, read):
        for _ in stream:
            lines += 1
            if read() >= READ and stream.read(1):
                return lines, read(), False
    return lines, file.size, True


def _parsed_lines(file: SetFile, most: int, header: Sequence[str]) -> list[dict]:
    with file.opened() as (stream, _), io.TextIOWrapper(stream, encoding="utf-8", newline="\n") as text:
        lines = [line.rstrip("\n") for line in islice(text, most)]
    if header:
        rows = [line.split("\t") for line in lines]
        odd = next((number for number, row in enumerate(rows, start=1) if len(row) != len(header)), None)
        if odd:
            raise InputError(f"{file.name}, line {odd}: {len(rows[odd - 1])} columns; expected {len(header)}: {', '.join(header)}.")
        return [dict(zip(header, row, strict=True)) for row in rows]
    rows = [parse_json(line, file.name, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file.name}: expected a JSON object in every line.")
    return rows
