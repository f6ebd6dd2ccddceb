"""English pairs with names switched into other languages by a bilingual lexicon (Litschko et al. 2023, arXiv 2305.05295, §3.2).

The lexicon is CLDR's names of territories, languages, scripts, currencies, weekdays, time zones and cities. Whatever stands between the
names stays English, so only the names carry the other languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from ..base.errors import InputError
from ..base.mapped import keep_rows
from .pairs import pairs_from_rows
from .worldnames import name_of, named_items

SHARE = 0.5  # probability that a name is switched, as in the paper
COPIES = 4  # switched versions of each English pair
SHORTEST = 3  # letters of an English name; shorter ones are ordinary words too often


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
    """The text with each name of the lexicon, whole words only, put into another language with probability SHARE."""

    def draw(match: re.Match) -> str:
        names = found[match.group().lower()]
        return names[rng.integers(len(names))] if rng.random() < SHARE else match.group()

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
