"""Public training sets as parallel pairs (`data/training_sets.toml`), streamed from memory-mapped tables into memory-mapped tables.

Passages that equal each other, and the several right ones of one question, share a `passage_id`, so that none becomes another's
negative. With `negatives`, columns `negative` and `negative_id` hold the set's own hard negative, "" where a row has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ..base.catalogue import Catalogue
from ..base.errors import InputError
from ..base.files import fingerprint
from ..base.hub import HubSet, hub_errors, load_set
from ..provenance.fingerprints import code_fingerprint
from .pairs import draw_pairs
from .public_layouts import LAYOUTS, judged, pair_features, pair_table, stretcher, triple_pairs

if TYPE_CHECKING:
    from datasets import Dataset


class TrainingSet(HubSet):
    """layout: how a row tells question and passage (`public_layouts`). files: part -> pattern of files, `{language}` standing for a name
    in `languages`. columns: what -> the set's name of it. ids: about how many there are. checked: what of this entry was looked up.
    """

    layout: Literal["spans", "labels", "quoted", "answers", "contexts", "judged", "triples"]
    ids: int
    files: dict[str, str]
    languages: dict[str, str] = Field(default={"en": "english"})
    columns: dict[str, str] = Field(default_factory=dict)
    checked: str
    note: str = ""


TRAINING_SETS = Catalogue("training_sets.toml", TrainingSet)


def hub_pairs(
    name: str,
    languages: Sequence[str] = ("en",),
    data_dir: str = "",
    max_chars: int = 400,
    max_pairs: int = 0,
    share: float = 1.0,
    seed: int = 0,
    negatives: bool = False,
) -> Dataset:
    """Parallel pairs of a set of the catalogue, memory-mapped: columns PAIR_COLUMNS, and NEGATIVE_COLUMNS where asked for.

    languages: those of the set to read. max_pairs, share: of its ids (`drawn_size`), drawn by `seed`; 0 and 1: all. Rows without
    a question, a passage or an answer in it are left out. Raises InputError as `load_set`, and when nothing is left.
    """
    entry = TRAINING_SETS[name]
    load, limits = _loader(name, entry, data_dir), {"most": max_pairs, "share": share}
    with hub_errors(name):
        if entry.layout == "triples":
            pairs = triple_pairs(name, load, {code: entry.languages[code] for code in languages}, max_chars, limits, seed, negatives)
        else:
            pairs = table_pairs(name, entry, load, max_chars, negatives)
            pairs = draw_pairs(pairs, **limits, seed=seed)
    if not len(pairs):
        raise InputError(f"{name}: no row has a question and a passage with its answer; the set's columns may have changed their meaning.")
    return pairs


def squadshifts_pairs(data_dir: str = "", max_chars: int = 400) -> Dataset:
    """English pairs of SQuADShifts' four domains, on which the paper measures the validation loss (arXiv 2408.10536, §4)."""
    return hub_pairs("squadshifts", data_dir=data_dir, max_chars=max_chars)


def set_record(name: str, data_dir: str = "") -> dict[str, str]:
    """What a run records of a set (`HubSet.record`), whose files are those that are read."""
    entry = TRAINING_SETS[name]
    return entry.record(data_dir, [pattern.format(language="*") for pattern in entry.files.values()])


def place_fault(name: str, languages: Sequence[str] = ("en",), data_dir: str = "") -> str:
    """Why the files of a set cannot be read in these languages, with what to do; "" where they are there (`HubSet.fault`)."""
    entry = TRAINING_SETS[name]
    asked = [entry.languages[code] for code in languages if code in entry.languages]
    if not asked:
        return f"{name}: in none of the languages {', '.join(languages)}; it has {', '.join(sorted(entry.languages))}."
    patterns = dict.fromkeys(pattern.format(language=language) for pattern in entry.files.values() for language in asked)
    return entry.fault(data_dir, list(patterns))


def _loader(name: str, entry: TrainingSet, data_dir: str):
    """Part (and language) of the set -> its table."""

    def load(part: str, columns: Sequence[str], language: str = "", header: Sequence[str] = ()) -> Dataset:
        files = entry.files[part].format(language=language)
        return load_set(name, entry.hub, revision=entry.revision or None, columns=columns, data_dir=data_dir, files=files, header=header)

    return load


def table_pairs(name: str, entry: TrainingSet, load, max_chars: int, negatives: bool) -> Dataset:
    """Pairs of a set whose parts are one table each. load(part, columns): the table, or as many of its rows as are wanted."""
    from datasets import concatenate_datasets

    parts = []
    for part in entry.files:
        rows, columns = load(part, list(entry.columns.values())), entry.columns
        if entry.layout == "judged":
            rows = judged(rows, columns)
            columns = {column: column for column in rows.column_names}
        prefix = f"{name}:{part}:" if len(entry.files) > 1 else f"{name}:"
        parts.append(_convert(rows, name, prefix, entry.layout, columns, max_chars, negatives))
    return concatenate_datasets(parts)


def _convert(rows: Dataset, name: str, prefix: str, layout: str, columns: dict[str, str], max_chars: int, negatives: bool) -> Dataset:
    stretch, find, features = stretcher(max_chars), LAYOUTS[layout], pair_features(negatives)

    def pairs(batch: dict[str, list], numbers: list[int]) -> Iterator[tuple[str, ...]]:
        for number, *values in zip(numbers, *batch.values(), strict=True):
            row = dict(zip(batch, values, strict=True))
            there = all(row[columns[part]] is not None for part in ("question", "passage") if part in columns)
            question, passage, negative = (there and find(row, columns, stretch)) or ("", "", "")
            question = " ".join(question.split())
            if question and passage:
                id_ = f"{prefix}{row[columns['id']] if 'id' in columns else number}"
                passage_id = f"{name}:{row.get('group') or text_number(passage)}"
                negative_id = f"{name}:{row.get('negative_group') or text_number(negative)}"
                unfit = not negative or negative_id == passage_id
                yield id_, passage_id, "en", question, passage, name, *(("", "") if unfit else (negative, negative_id))

    recipe = [rows._fingerprint, name, prefix, layout, columns, max_chars, negatives, code_fingerprint(hub_pairs)]
    return rows.map(
        lambda batch, numbers: pair_table(pairs(batch, numbers), features),
        batched=True,
        with_indices=True,
        remove_columns=rows.column_names,
        features=features,
        new_fingerprint=fingerprint(recipe)[:16],
        desc=name,
    )


def text_number(text: str) -> str:
    """16 hexadecimal digits that equal texts share; two of 40 M different ones meet with probability 4e-5."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
