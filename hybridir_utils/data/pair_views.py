"""Other pairs made of parallel pairs, for the methods that hybrid batches are compared with: a text twice, two crops, names switched
into other languages.

Each function takes parallel pairs (datasets.Dataset) and a seed and returns pairs of the same columns and ids, so that a batch plan
can be drawn over them and no batch holds two views of one passage as negatives of each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from ..base.errors import InputError
from ..base.mapped import chunks, keep_rows, stored
from .pairs import PAIR_COLUMNS, pairs_from_rows
from .worldnames import name_of, named_items

LEAST, MOST = 0.3, 0.8  # share of a passage that a crop keeps; passages here have a sentence or a few, not Contriever's 256 tokens
FEW_WORDS = 6  # a text with fewer blanks is cropped by characters: Chinese, Japanese, Thai …
SWITCHED = 0.5  # probability that a name is switched, as in the paper
COPIES = 4  # switched versions of each English pair
SHORTEST = 3  # letters of an English name; shorter ones are ordinary words too often


def passage_twice(pairs, seed: int = 0):
    """Question = passage: under X-Y batches a passage meets its translation (LaBSE, Feng et al. 2022), under X-X itself (SimCSE)."""
    return _with_texts(pairs, lambda texts: (texts, texts))


def two_crops(pairs, seed: int = 0):
    """Question and passage = two spans of the passage, drawn independently (Contriever, Izacard et al. 2022, §3.1)."""
    rng = np.random.default_rng(seed)
    return _with_texts(pairs, lambda texts: tuple([crop(text, rng) for text in texts] for _ in range(2)))


def crop(text: str, rng: np.random.Generator) -> str:
    """A span of LEAST to MOST of the text's words, or characters where it has few words; never empty."""
    words = text.split()
    units, glue = (words, " ") if len(words) >= FEW_WORDS else (list(text), "")
    length = max(1, round(rng.uniform(LEAST, MOST) * len(units)))
    start = rng.integers(0, len(units) - length + 1)
    return glue.join(units[start : start + length]).strip() or text


def _with_texts(pairs, views: Callable[[list[str]], tuple[list[str], list[str]]]):
    """The pairs, without hard negatives, with the two views of each passage in the place of question and passage."""
    return stored(_viewed(table, views) for table in chunks(pairs, PAIR_COLUMNS))


def _viewed(table: pa.Table, views: Callable) -> pa.Table:
    texts = dict(zip(("question", "passage"), views(table["passage"].to_pylist()), strict=True))
    return pa.table({name: texts.get(name, table[name]) for name in table.column_names}, schema=table.schema)


def code_switched(pairs, seed: int = 0):
    """COPIES of each English pair, each with the names in question and passage switched, every name into a language drawn anew.

    The languages are those of the pairs; copies share the passage_id, so that no batch holds two. Raises InputError without English
    pairs.
    """
    languages = sorted(set(pairs.unique("language")) - {"en"})
    english = keep_rows(pairs, np.array(pairs["language"]) == "en")
    if not len(english):
        raise InputError(f"code-switching needs English pairs (language en); the pairs have {', '.join(languages)}.")
    rng, found = np.random.default_rng(seed), lexicon(tuple(languages))
    rows = [
        (
            f"{row['id']}~{copy}",
            row["passage_id"],
            "en",
            *(switch(row[part], found, rng) for part in ("question", "passage")),
            row["source"],
        )
        for row in english
        for copy in range(COPIES)
    ]
    return pairs_from_rows(rows)


def switch(text: str, found: dict[str, Sequence[str]], rng: np.random.Generator) -> str:
    """The text with each name of the lexicon, whole words only, put into another language with probability SWITCHED."""

    def draw(match: re.Match) -> str:
        names = found[match.group().lower()]
        return names[rng.integers(len(names))] if rng.random() < SWITCHED else match.group()

    return _pattern(tuple(found)).sub(draw, text)


@cache
def lexicon(languages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """English name in lower case -> its names in the languages, those equal to the English one left out."""
    names = {}
    for item in named_items():
        english = name_of("en", *item)
        others = {name for language in languages if (name := name_of(language, *item)) and name != english}
        if len(english) >= SHORTEST and others:
            names.setdefault(english.lower(), tuple(sorted(others)))
    return names


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern:
    """Longer names first, so that `Central European Time` is found before `Central`."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", flags=re.IGNORECASE)
