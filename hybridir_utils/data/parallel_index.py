"""Where the rows of parallel pairs stand, and which of them can meet in a batch."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..base.errors import InputError
from ..base.mapped import codes

BLOCK = 500_000  # ids looked at at once where more would take much memory
NEEDS = {"mono": "pairs", "cross": "pairs whose id stands in at least two languages", "mixed": "pairs", "en": "English pairs (language en)"}


class Stream(NamedTuple):
    """Batches that draw from the same ids: a data set, and one language of it where a batch keeps to one.

    source, language: numbers in `ParallelIndex`, language None where it varies inside the batch. ids: those that can stand in
    such a batch. passages: how many different ones these ids have, the largest batch. share: of the batches of this kind.
    """

    kind: str
    source: int
    language: int | None
    ids: np.ndarray
    passages: int
    share: float


class ParallelIndex:
    """Finds the row of an (id, language) in parallel pairs; built once, shared by every plan over the same pairs.

    pairs: datasets.Dataset with columns id, passage_id, language, source. `rows[i, l]` is the row number of id i in
    language l, or -1; `passages[i]` a number that ids with the same answer passage share. Raises InputError when there are
    no pairs, or when the translations of one pair name different passages or sources.
    """

    def __init__(self, pairs):
        if not len(pairs):
            raise InputError("no pairs to plan batches from; expected at least one row of id, language, question, passage.")
        ids, _ = codes(pairs, "id")
        first = np.flatnonzero(np.diff(np.maximum.accumulate(ids), prepend=-1))  # ids are numbered as they come
        language, self.languages = sorted_codes(pairs, "language")
        self.rows = np.full((len(first), len(self.languages)), -1, dtype=np.int32)
        self.rows[ids, language] = np.arange(len(pairs), dtype=np.int32)
        self.passages, self.sources = np.empty((2, len(first)), dtype=np.int32)
        for column, of_ids in (("passage_id", self.passages), ("source", self.sources)):
            of_rows, names = sorted_codes(pairs, column) if column == "source" else codes(pairs, column)
            of_ids[:] = of_rows[first]
            odd = np.flatnonzero(of_rows != of_ids[ids])
            if len(odd):
                _refuse_translations(pairs, column, int(odd[0]), int(first[ids[odd[0]]]))
        self.source_names = names

    @cached_property
    def has(self) -> np.ndarray:
        """[ids, languages] bool."""
        return self.rows >= 0

    @cached_property
    def count(self) -> np.ndarray:
        """[ids] int16 number of languages."""
        return self.has.sum(1, dtype=np.int16)

    @cached_property
    def languages_first(self) -> np.ndarray:
        """[ids, languages] language numbers, those the id has before those it lacks."""
        order = np.empty(self.has.shape, dtype=np.int16)
        for start in range(0, len(order), BLOCK):
            order[start : start + BLOCK] = np.argsort(~self.has[start : start + BLOCK], axis=1, kind="stable")
        return order

    def streams(self, kind: str) -> list[Stream]:
        """Every stream of a kind: data sets in proportion to their ids (pairs a language), their languages alike.

        A data set in one language takes no part in cross batches, one without English none in En-En.
        """
        found = []
        for source in range(len(self.source_names)):
            ids = np.flatnonzero(self._usable(kind) & (self.sources == source))
            languages = np.flatnonzero(self._in_english if kind == "en" else self.has[ids].any(0)) if kind in ("mono", "en") else [None]
            for language in languages if len(ids) else ():
                members = ids if language is None else ids[self.has[ids, language]]
                passages = np.count_nonzero(np.bincount(self.passages[members]))
                found.append(Stream(kind, source, language, members.astype(np.int32), passages, len(ids) / len(languages)))
        if not found:
            raise InputError(f"{kind} batches need {NEEDS[kind]}; found none. Languages there: {', '.join(self.languages)}.")
        total = sum(stream.share for stream in found)
        return [stream._replace(share=stream.share / total) for stream in found]

    def _usable(self, kind: str) -> np.ndarray:
        return self.has[:, self._in_english].any(1) if kind == "en" else self.count >= (2 if kind == "cross" else 1)

    @cached_property
    def _in_english(self) -> np.ndarray:
        return np.array([language == "en" for language in self.languages])


def sorted_codes(pairs, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """([rows] int32 numbers, names sorted): as `mapped.codes`, but numbered in the order of the alphabet."""
    numbers, names = codes(pairs, column)
    names, place = np.unique(np.array(names.to_pylist(), dtype=object), return_inverse=True)
    return place.astype(np.int32)[numbers], tuple(names)


def _refuse_translations(pairs, column: str, row: int, first: int) -> None:
    here, there = pairs[row], pairs[first]
    raise InputError(
        f"pair {here['id']!r} has {column} {here[column]!r} in language {here['language']}, but {there[column]!r} in "
        f"{there['language']}; translations of a pair share it. Give both rows the same {column}."
    )
