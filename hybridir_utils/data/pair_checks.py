"""What parallel pairs consist of, and the check that every table of them passes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..base.errors import InputError
from ..base.mapped import chunks, codes

PAIR_COLUMNS = ["id", "passage_id", "language", "question", "passage", "source"]
NEGATIVE_COLUMNS = ["negative", "negative_id"]  # a hard negative passage and its passage_id; both or neither; "" where a pair has none


def check_pairs(pairs: Dataset) -> Dataset:
    """The same pairs; raises InputError naming the row when a column is missing, a text is empty, or (id, language) stands twice.

    Hard negatives (NEGATIVE_COLUMNS) may be there, and may be empty texts, but not null.
    """
    missing = [column for column in PAIR_COLUMNS if column not in pairs.column_names]
    if missing:
        raise InputError(f"parallel pairs: column {missing[0]!r} is missing; expected {', '.join(PAIR_COLUMNS)}.")
    if not len(pairs):
        raise InputError("parallel pairs: no rows; check the file or folder they were read from.")
    _check_texts(pairs)
    _check_once(pairs)
    return pairs


def _check_texts(pairs: Dataset) -> None:
    """Raise InputError with the first row that lacks a text, column by column."""
    columns = [*PAIR_COLUMNS, *(column for column in NEGATIVE_COLUMNS if column in pairs.column_names)]
    first, faults, start = {}, Counter(), 0
    for chunk in chunks(pairs, columns):
        for column in columns:
            faulty = np.flatnonzero((_is_blank if column in PAIR_COLUMNS else pc.is_null)(chunk[column]))
            if len(faulty):
                first.setdefault(column, start + int(faulty[0]))
                faults[column] += len(faulty)
        start += len(chunk)
    column = next((column for column in columns if column in first), None)
    if column:
        row = first[column]
        raise InputError(f"parallel pairs: row {row} (id {pairs[row]['id']!r}) has no {column}; {faults[column]} such rows.")


def _is_blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = texts.cast(pa.string())
    return pc.or_(pc.equal(pc.binary_length(texts), 0), pc.utf8_is_space(texts)).fill_null(True)


def _check_once(pairs: Dataset) -> None:
    """Raise InputError when an (id, language) stands twice."""
    (ids, _), (languages, names) = codes(pairs, "id"), codes(pairs, "language")
    keys = ids * np.int64(len(names)) + languages
    ordered = np.sort(keys)
    if (ordered[1:] == ordered[:-1]).any():
        row = pairs[int(pd.Series(keys).duplicated().argmax())]
        raise InputError(f"parallel pairs: ({row['id']!r}, {row['language']!r}) stands twice; an id has one pair a language.")
