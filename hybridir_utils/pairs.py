"""Parallel pairs: one row per (id, language), the question and the passage that answers it. The same id is the same pair in
every language. Pairs whose passage is the same share `passage_id`, so that a batch never takes one as the other's negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from datasets import Dataset, Features, Value, concatenate_datasets

from .errors import InputError
from .files import read_jsonl
from .languages import check_languages
from .sentences import sentence_spans

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 100_000  # rows read at once from a memory-mapped table
PAIR_COLUMNS = ["id", "passage_id", "language", "question", "passage", "source"]
MIN_BYTES = 60  # of UTF-8: about 60 Latin letters or 20 Han or Thai ones; shorter sections answer nothing
MIN_TEXT_SHARE = 0.8  # letters and spaces among all characters of an English section; below it is code or a list of numbers
MAX_BARS = 20  # a section with more `|` is a list of links, such as the languages a document was translated into
REGIONS = {"zh": ("zh-CN", "zh_CN"), "pt": ("pt-BR", "pt_BR")}  # the file of a language that has one a region


def pairs_from_rows(rows: Iterable[Iterable[str]]) -> Dataset:
    """Tuples in the order of PAIR_COLUMNS as an Arrow table of strings, checked by `check_pairs`."""
    frame = pd.DataFrame(list(rows), columns=PAIR_COLUMNS, dtype=object)
    features = Features({column: Value("string") for column in PAIR_COLUMNS})
    return check_pairs(Dataset.from_pandas(frame, features=features, preserve_index=False))


def check_pairs(pairs: Dataset) -> Dataset:
    """The same pairs; raises InputError naming the row when a column is missing, a text is empty, or (id, language) stands twice."""
    missing = [column for column in PAIR_COLUMNS if column not in pairs.column_names]
    if missing:
        raise InputError(f"parallel pairs: column {missing[0]!r} is missing; expected {', '.join(PAIR_COLUMNS)}.")
    if not len(pairs):
        raise InputError("parallel pairs: no rows; check the file or folder they were read from.")
    frame = pairs.select_columns(PAIR_COLUMNS).to_pandas()
    for column in PAIR_COLUMNS:
        empty = frame.index[frame[column].isna() | (frame[column].fillna("").str.strip() == "")]
        if len(empty):
            raise InputError(f"parallel pairs: row {empty[0]} (id {frame['id'][empty[0]]!r}) has no {column}; {len(empty)} such rows.")
    repeated = frame[frame.duplicated(["id", "language"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise InputError(f"parallel pairs: ({row['id']!r}, {row['language']!r}) stands twice; an id has one pair a language.")
    return pairs


def codes(pairs: Dataset, column: str) -> tuple[np.ndarray, pa.Array]:
    """([rows] int32 numbers, names): the column's texts numbered in order of first appearance, `names[number]` the text.

    Reads the column chunk by chunk from the memory-mapped table: four bytes a row, and each distinct text once.
    """
    import pyarrow as pa

    table = pairs.select_columns([column]).with_format("arrow")
    chunks = [batch[column].combine_chunks().cast(pa.string()).dictionary_encode() for batch in table.iter(CHUNK)]
    unified = pa.chunked_array(chunks).unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in unified.chunks]), unified.chunk(0).dictionary


def read_pairs_jsonl(path: Path) -> Dataset:
    """A user's own pairs: one object a line (`.gz` too) with id, language, question, passage; passage_id and source may be left out,
    the first is then the id, the second the file's name. Raises InputError naming file and line, UnknownName for a language.
    """
    rows = []
    for number, row in read_jsonl(path, required=("id", "language", "question", "passage")):
        row = {"passage_id": row["id"], "source": Path(path).name.split(".")[0]} | row
        odd = [column for column in PAIR_COLUMNS if not isinstance(row[column], str) or not row[column].strip()]
        if odd:
            raise InputError(f"{path}, line {number}: {odd[0]!r} must be a text that is not empty, found {row[odd[0]]!r}.")
        rows.append([row[column] for column in PAIR_COLUMNS])
    check_languages({row[2] for row in rows})
    return pairs_from_rows(rows)


def read_sections(folder: Path, languages: Iterable[str], source: str, max_chars: int = 1200) -> Dataset:
    """Pairs from aligned document sections: `<language>.jsonl.gz` with id, heading, text and, in some sets, title.

    The question is title and heading, the passage the text, cut at a sentence boundary to at most `max_chars` characters. The id
    becomes `<source>:<id>`. Sections with the same English text share a passage_id. What is dropped, and why: `section_counts`.
    Raises InputError when a language has no file; `section_languages` tells which have one.
    """
    rows, english = [], _english(Path(folder))
    home = {}
    passage_id = {id_: home.setdefault(_passage(row, "en", max_chars), id_) for id_, row in english.items()}
    for language, row, reason in _judged(Path(folder), languages, english):
        if reason is None:
            ids = (f"{source}:{row['id']}", f"{source}:{passage_id.get(row['id'], row['id'])}")
            rows.append((*ids, language, _question(row), _passage(row, language, max_chars), source))
    return pairs_from_rows(rows)


def section_counts(folder: Path, languages: Iterable[str]) -> pd.DataFrame:
    """Sections kept and dropped (by reason) per language, as `read_sections` decides."""
    counts = {}
    for language, _, reason in _judged(Path(folder), languages, _english(Path(folder))):
        counts.setdefault(language, Counter())[reason or "kept"] += 1
    table = pd.DataFrame.from_dict(counts, orient="index").fillna(0).astype(int)
    return table[["kept", *sorted(set(table.columns) - {"kept"})]].rename_axis("language")


def section_languages(folder: Path) -> tuple[str, ...]:
    """Codes of the languages a folder of sections has a file for, sorted; regional files other than REGIONS' are left out."""
    stems = {path.name.removesuffix(".jsonl.gz") for path in Path(folder).glob("*.jsonl.gz")}
    regional = {code for code, names in REGIONS.items() if stems & set(names)}
    return tuple(sorted({stem for stem in stems if stem.isalpha()} | regional))


def _judged(folder: Path, languages: Iterable[str], english: dict[str, dict]) -> Iterator[tuple[str, dict, str | None]]:
    """(language, section, reason to drop it or None). What is wrong in English drops the section in every language."""
    unfit = {id_: _flaw(row) or _code_flaw(row) for id_, row in english.items()}
    ambiguous = _ambiguous(english)
    for language in check_languages(languages):
        for row in _read_language(folder, language):
            reason = unfit.get(row["id"]) or _flaw(row) or ("question stands for several passages" if row["id"] in ambiguous else None)
            if reason is None and language != "en" and row["id"] in english and row["text"] == english[row["id"]]["text"]:
                reason = "not translated"
            yield language, row, reason


def _flaw(row: dict) -> str | None:
    if not row["heading"]:
        return "no heading"
    if row["text"].count("|") > MAX_BARS or "style=for-the-badge" in row["text"]:
        return "list of links"
    return "too short" if len(row["text"].encode()) < MIN_BYTES else None


def _code_flaw(row: dict) -> str | None:
    """Judged in English alone: vowel signs of other scripts are no letters to `str.isalpha`."""
    share = sum(character.isalpha() or character.isspace() for character in row["text"]) / len(row["text"])
    return "code or numbers" if share < MIN_TEXT_SHARE else None


def _ambiguous(english: dict[str, dict]) -> set[str]:
    """Ids whose question (`Overview`, `Size` …) also heads another passage: it asks for neither."""
    passages = {}
    for row in english.values():
        passages.setdefault(_question(row), set()).add(row["text"])
    return {id_ for id_, row in english.items() if len(passages[_question(row)]) > 1}


def _question(row: dict) -> str:
    title, heading = row.get("title", ""), row["heading"]
    return f"{title}: {heading}" if title and title != heading else heading


def _passage(row: dict, language: str, max_chars: int) -> str:
    """The text up to the last sentence that ends within `max_chars`; a longer first sentence is cut at white space."""
    text = row["text"]
    if len(text) <= max_chars:
        return text
    ends = [end for _, end in sentence_spans(text, language) if len(text[:end].rstrip()) <= max_chars]
    head = text[: ends[-1]] if ends else text[: max_chars + 1].rpartition(" ")[0] or text[:max_chars]
    return head.strip()


def _english(folder: Path) -> dict[str, dict]:
    """English sections by id, or none where the set has no English file."""
    return {row["id"]: row for row in _read_language(folder, "en")} if (folder / "en.jsonl.gz").exists() else {}


def _read_language(folder: Path, language: str) -> list[dict]:
    """Sections of one language with white space runs made single blanks."""
    names = [name for name in (language, *REGIONS.get(language, ())) if (folder / f"{name}.jsonl.gz").exists()]
    if not names:
        there = ", ".join(section_languages(folder)) or "none"
        raise InputError(f"{folder}: no {language}.jsonl.gz; languages there: {there}.")
    path, rows = folder / f"{names[0]}.jsonl.gz", []
    for number, row in read_jsonl(path, required=("id", "heading", "text")):
        odd = [key for key, value in row.items() if not isinstance(value, str)]
        if odd:
            raise InputError(f"{path}, line {number}: {odd[0]!r} must be a text, found {row[odd[0]]!r}.")
        rows.append({key: " ".join(value.split()) for key, value in row.items()})
    return rows


def join_pairs(parts: list[Dataset]) -> Dataset:
    """One data set of pairs from several, checked as a whole."""
    return check_pairs(concatenate_datasets([part for part in parts if len(part)]))


def read_split(folder: Path, split: str) -> Dataset:
    """The pairs a run saved as `<split>.parquet`, memory-mapped through a cache beside the folder."""
    return Dataset.from_parquet(str(Path(folder) / f"{split}.parquet"), cache_dir=str(Path(folder).parents[1] / "arrow"))
