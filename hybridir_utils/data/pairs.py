"""Parallel pairs: one row per (id, language), the question and the passage that answers it. The same id is the same pair in
every language. Pairs whose passage is the same share `passage_id`, so that a batch never takes one as the other's negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..base.errors import InputError
from ..base.files import file_fingerprint, fingerprint, output_root, read_jsonl, texts_of
from ..base.languages import our_code
from ..base.mapped import CHUNK, chunks, codes, keep_rows, read_parquet, stored, text_hashes
from ..provenance.fingerprints import code_fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

PAIR_COLUMNS = ["id", "passage_id", "language", "question", "passage", "source"]
NEEDED = ("id", "language", "question", "passage")  # on each line of a user's own file
NEGATIVE_COLUMNS = ["negative", "negative_id"]  # a hard negative passage and its passage_id; both or neither; "" where a pair has none
SMALL = 10_000  # ids of a set that are always drawn
IN_MEMORY = 50_000_000  # bytes of a file of pairs


def pairs_from_rows(rows: Iterable[Iterable[str]], path: Path | None = None) -> Dataset:
    """Tuples in the order of PAIR_COLUMNS as an Arrow table of strings, checked by `check_pairs`.

    path: the Arrow file that holds the table, memory-mapped; without one it is in memory.
    """
    return check_pairs(stored(_tables(rows, PAIR_COLUMNS), path))


def read_pairs_jsonl(path: Path) -> Dataset:
    """A user's own pairs: one object a line (`.gz` too) with id, language, question, passage; passage_id and source may be left out,
    the first is then the id, the second the file's name. Equal passages get one passage_id (`one_passage`). `negative` and `negative_id`
    may be given on any line.

    A file of more than IN_MEMORY bytes is memory-mapped through a table below the runs' folder, written anew at each
    reading. Raises InputError naming file and line, UnknownName for a language.
    """
    path, given = Path(path), set()
    large = path.is_file() and path.stat().st_size > IN_MEMORY
    store = output_root() / "data" / "runs" / "own_pairs" / f"{file_fingerprint(path)[:16]}.arrow" if large else None
    pairs = stored(_tables(_own_rows(path, given), PAIR_COLUMNS + NEGATIVE_COLUMNS), store)
    return one_passage(check_pairs(pairs if given else pairs.remove_columns(NEGATIVE_COLUMNS), str(path)))


def drawn_size(count: int, most: int = 0, share: float = 1.0) -> int:
    """How many of a set's ids are drawn: a share of them, but all of up to SMALL, and `most` at most (0: no limit).

    A share leaves the sets' proportions as they are, by which batches are drawn; a limit alone favours the smaller ones.
    """
    wanted = max(round(share * count), min(count, SMALL))
    return min(wanted, most or wanted)


def chosen(count: int, most: int, seed: int) -> np.ndarray:
    """[min(count, most)] rows in order, drawn without repetition."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw_pairs(pairs: Dataset, most: int = 0, share: float = 1.0, seed: int = 0) -> Dataset:
    """As many ids as `drawn_size` says, each in all its languages."""
    ids, names = codes(pairs, "id")
    drawn = np.zeros(len(names), dtype=bool)
    drawn[chosen(len(names), drawn_size(len(names), most, share), seed)] = True
    return keep_rows(pairs, drawn[ids])


def one_passage(pairs: Dataset) -> Dataset:
    """The pairs with one `passage_id` for passages that are equal in some language, whatever ids they had, and for their translations.

    Blanks around a passage and the form of its Unicode tell none apart (`text_hashes`).
    """
    (given, names), (language, _) = codes(pairs, "passage_id"), codes(pairs, "language")
    of_text = pd.factorize(text_hashes(pairs, "passage") + language.astype(np.uint64))[0]
    group_of_id = np.empty(len(names), dtype=np.int64)
    group_of_id[given] = answer_groups(given, of_text)
    _, first, place = np.unique(group_of_id, return_index=True, return_inverse=True)
    if len(first) == len(names):
        return pairs
    shared = names.take(pa.array(first[place]))

    def rename(table: pa.Table) -> pa.Table:
        for column in ("passage_id", *({"negative_id"} & set(table.column_names))):
            new = pc.coalesce(shared.take(pc.index_in(table[column], value_set=names)), table[column])
            table = table.set_column(table.column_names.index(column), column, new)
        return table

    key = fingerprint([pairs._fingerprint, code_fingerprint(one_passage)])[:16]
    return (
        pairs.with_format("arrow")
        .map(rename, batched=True, batch_size=CHUNK, new_fingerprint=key, desc="one id a passage")
        .with_format(None)
    )


def holds_passages(pairs: Dataset, others: Dataset) -> np.ndarray:
    """[rows] bool: whether the passage of a pair, in some language, is one of the others' (`one_passage`)."""
    from datasets import concatenate_datasets

    joined = concatenate_datasets([part.select_columns(["passage_id", "language", "passage"]) for part in (pairs, others)])
    numbers, _ = codes(one_passage(joined), "passage_id")
    return np.isin(numbers[: len(pairs)], numbers[len(pairs) :])


def answer_groups(questions: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """[n] group number of each (question, passage): rows that share a question or a passage, also through others, share a group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(questions.max()) + 1
    size = count + int(passages.max()) + 1
    edges = coo_array((np.ones(len(questions), dtype=np.int8), (questions, passages + count)), shape=(size, size))
    return connected_components(edges, directed=False)[1][questions]


def join_pairs(parts: list[Dataset]) -> Dataset:
    """One data set of pairs from several; parts without hard negatives get empty ones when another part has some.

    Raises InputError when an (id, language) stands twice. Texts may be empty: a translator may return none, which the quality checks find.
    """
    from datasets import concatenate_datasets

    parts = [part for part in parts if len(part)]
    there = {column for part in parts for column in part.column_names}
    filled = [_with_empty(part, [column for column in NEGATIVE_COLUMNS if column in there]) for part in parts]
    joined = concatenate_datasets(filled)
    _check_once(joined)
    return joined


def read_split(folder: Path, split: str) -> Dataset:
    """The pairs a run saved as `<split>.parquet`, memory-mapped through a copy beside the folder."""
    path = Path(folder) / f"{split}.parquet"
    return read_parquet(path, path.parents[2] / "arrow" / path.parent.name / f"{split}-{file_fingerprint(path)[:16]}.arrow")


def _tables(rows: Iterable[Iterable[str]], columns: list[str]) -> Iterator[pa.Table]:
    """Tables of CHUNK rows; one without rows when there are none."""
    rows, schema = iter(rows), pa.schema([(column, pa.string()) for column in columns])
    part = list(islice(rows, CHUNK))
    while True:
        values = zip(*part, strict=True) if part else ([] for _ in columns)
        yield pa.table([pa.array(texts, pa.string()) for texts in values], schema=schema)
        part = list(islice(rows, CHUNK))
        if not part:
            return


def _own_rows(path: Path, given: set[str]) -> Iterator[list[str]]:
    """Rows of a user's file, checked; the names of the negative columns that some line has are added to `given`."""
    for number, row in read_jsonl(path, required=NEEDED):
        given.update(column for column in NEGATIVE_COLUMNS if column in row)
        where = f"{path}, line {number}"
        row = texts_of(row, where, NEEDED, passage_id="", source=path.name.split(".")[0], negative="", negative_id="")
        row |= {"language": our_code(row["language"], where), "passage_id": row["passage_id"] or row["id"]}
        yield [row[column] for column in PAIR_COLUMNS + NEGATIVE_COLUMNS]


def _with_empty(part: Dataset, columns: list[str]) -> Dataset:
    """The part with an empty text in each of the columns it lacks; written beside the part's own file where it has one."""
    lacking = [column for column in columns if column not in part.column_names]

    def add(table: pa.Table) -> pa.Table:
        for column in lacking:
            table = table.append_column(column, pa.array([""] * len(table), pa.string()))
        return table

    return part.with_format("arrow").map(add, batched=True, batch_size=CHUNK).with_format(None) if lacking else part


def check_pairs(pairs: Dataset, where: str = "parallel pairs") -> Dataset:
    """The same pairs; raises InputError naming the row when a text is empty, or (id, language) stands twice.

    where: what they were read from. Hard negatives (NEGATIVE_COLUMNS) may be there, and may be empty texts, but not null.
    """
    if not len(pairs):
        raise InputError(f"{where}: no rows; check the file or folder they were read from.")
    _check_texts(pairs, where)
    _check_once(pairs, where)
    return pairs


def _check_texts(pairs: Dataset, where: str) -> None:
    """Raise InputError with the first row that lacks a text, column by column."""
    columns = [*PAIR_COLUMNS, *(column for column in NEGATIVE_COLUMNS if column in pairs.column_names)]
    for column in columns:
        lacks = _is_blank if column in PAIR_COLUMNS else pc.is_null
        faulty = np.concatenate([lacks(chunk[column]).to_numpy() for chunk in chunks(pairs, [column])])
        if faulty.any():
            row = int(faulty.argmax())
            raise InputError(f"{where}: row {row} (id {pairs[row]['id']!r}) has no {column}; {faulty.sum()} such rows.")


def _is_blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = texts.cast(pa.string())
    return pc.or_(pc.equal(pc.binary_length(texts), 0), pc.utf8_is_space(texts)).fill_null(True)


def _check_once(pairs: Dataset, where: str = "parallel pairs") -> None:
    """Raise InputError when an (id, language) stands twice."""
    (ids, _), (languages, names) = codes(pairs, "id"), codes(pairs, "language")
    keys = ids * np.int64(len(names)) + languages
    ordered = np.sort(keys)
    if (ordered[1:] == ordered[:-1]).any():
        first, again = np.flatnonzero(keys == keys[pd.Series(keys).duplicated().argmax()])[:2]
        row = f"{where}: ({pairs[int(first)]['id']!r}, {pairs[int(first)]['language']!r})"
        raise InputError(f"{row} stands twice; an id has one pair a language (pairs {first + 1} and {again + 1} of it).")
