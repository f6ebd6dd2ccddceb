"""How large a public training set is and what its English pairs look like, without fetching it (`base.set_files`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from ..base.set_files import SetFile, count_rows, first_rows, set_files
from .training_layouts import pair_features, pair_table, stretcher
from .training_sets import TRAINING_SETS, TrainingSet, table_pairs

SAMPLED = 2000  # rows of a set that are turned into pairs


@dataclass(frozen=True)
class SetSample:
    """ids: pairs a language. counted: False where they are reckoned. pairs: the English ones of its first rows, or None. bytes: of
    its files.
    """

    ids: int
    counted: bool
    pairs: Dataset | None
    bytes: int


def sample_set(
    name: str, languages: Sequence[str], data_dir: str = "", max_chars: int = 400, negatives: bool = False, pairs: bool = True
) -> SetSample:
    """Size of a set in some of its languages, and pairs of its first SAMPLED rows where `pairs` asks for some.

    Without them, file sizes are asked for, Parquet's footers, and LINES lines where there is none. With them, rows without a pair are
    taken off in the share in which the sample has them. Raises InputError as `set_files` and `first_rows`.
    """
    entry = TRAINING_SETS[name]
    names = [entry.languages[code] for code in languages]
    parts = {part: _files(name, entry, part, names, data_dir) for part in entry.files}
    size = sum(file.size for files in parts.values() for file in files)
    if entry.layout == "triples":
        rows, counted = count_rows(parts["triples"])
        return SetSample(rows, counted, _triple_pairs(name, entry, data_dir, max_chars, negatives) if pairs else None, size)
    counts = [count_rows(files) for files in parts.values()]
    rows, counted = sum(count for count, _ in counts), all(exact for _, exact in counts)
    if not pairs:
        return SetSample(rows, counted, None, size)
    seen = []

    def load(part: str, columns: Sequence[str]) -> Dataset:
        seen.append(first_rows(parts[part], SAMPLED, columns))
        return seen[-1]

    sample = table_pairs(name, entry, load, max_chars, negatives)
    read = sum(map(len, seen))
    return SetSample(round(rows * len(sample) / max(read, 1)), counted and read == rows, sample, size)


def _files(name: str, entry: TrainingSet, part: str, languages: Sequence[str], data_dir: str) -> list[SetFile]:
    patterns = dict.fromkeys(entry.files[part].format(language=language) for language in languages)
    return set_files(name, entry.hub, list(patterns), entry.revision, data_dir)


def _triple_pairs(name: str, entry: TrainingSet, data_dir: str, max_chars: int, negatives: bool) -> Dataset:
    """The first questions and passages side by side: they do not answer each other, but are as long as pairs are."""
    columns, stretch = ("id", "text"), stretcher(max_chars)
    english = [entry.languages["en"]]
    queries, passages = (
        first_rows(_files(name, entry, part, english, data_dir), SAMPLED, columns, columns)["text"] for part in ("queries", "collection")
    )
    rows = [
        (f"{name}:{i}", f"{name}:{i}", "en", question, stretch(passage, 0), name, stretch(passages[-1 - i], 0), f"{name}:-{i}")
        for i, (question, passage) in enumerate(zip(queries, passages, strict=False))
    ]
    features = pair_features(negatives)
    return Dataset.from_dict(pair_table(rows, features), features=features)
