"""The batch plan: which question row meets which passage row at every step, drawn before training.

A plan is data. It can be printed, plotted, tested, saved with the run and fed to the trainer in its order. Kinds of
batches (PAPER §1, arXiv 2408.10536 §3; X-X and En-En are LAReQA's):

    mono   X-X-mono: one language, drawn uniformly; questions and passages are all in it
    cross  X-Y: in every pair the question's language differs from the passage's; languages vary inside the batch
    mixed  X-X: each pair in one language, languages vary inside the batch
    en     En-En: English only
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .errors import InputError, UnknownName

KINDS = ("mono", "cross", "mixed", "en")
STRATEGIES = {"En-En": "en", "X-X": "mixed", "X-X-mono": "mono", "X-Y": "cross", "hybrid": None}
NEEDS = {
    "mono": "pairs",
    "cross": "pairs whose id stands in at least two languages",
    "mixed": "pairs",
    "en": "English pairs (language en)",
}


@dataclass(frozen=True)
class BatchPlan:
    """question_rows, passage_rows: [steps, batch] row numbers of the parallel pairs; kinds: [steps] index into KINDS."""

    strategy: str
    alpha: float
    seed: int
    kinds: np.ndarray
    question_rows: np.ndarray
    passage_rows: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.kinds)

    @property
    def batch_size(self) -> int:
        return self.question_rows.shape[1]

    def table(self):
        """pyarrow.Table with a row per (step, slot): step, slot, kind, question_row, passage_row."""
        import pyarrow as pa

        step = np.repeat(np.arange(self.steps, dtype=np.int32), self.batch_size)
        slot = np.tile(np.arange(self.batch_size, dtype=np.int32), self.steps)
        kind = pa.DictionaryArray.from_arrays(np.repeat(self.kinds.astype(np.int8), self.batch_size), list(KINDS))
        rows = {"question_row": self.question_rows.ravel(), "passage_row": self.passage_rows.ravel()}
        table = pa.table({"step": step, "slot": slot, "kind": kind, **rows})
        return table.replace_schema_metadata({"strategy": self.strategy, "alpha": repr(self.alpha), "seed": str(self.seed)})

    def save(self, path: Path) -> None:
        import pyarrow.parquet as pq

        pq.write_table(self.table(), path)

    @classmethod
    def load(cls, path: Path) -> BatchPlan:
        """Read what `save` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        about = {key.decode(): value.decode() for key, value in table.schema.metadata.items() if not key.startswith(b"ARROW")}
        steps = int(table["step"][-1].as_py()) + 1
        question_rows, passage_rows = (table[f"{part}_row"].to_numpy().reshape(steps, -1) for part in ("question", "passage"))
        names = np.asarray(table["kind"].combine_chunks().cast("string").to_pylist()[:: question_rows.shape[1]])
        kinds = np.array([KINDS.index(name) for name in names], dtype=np.int8)
        return cls(about["strategy"], float(about["alpha"]), int(about["seed"]), kinds, question_rows, passage_rows)


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
        frame = pairs.select_columns(["id", "passage_id", "language", "source"]).to_pandas()
        if frame.empty:
            raise InputError("no pairs to plan batches from; expected at least one row of id, language, question, passage.")
        ids, id_names = pd.factorize(frame["id"])
        language, names = pd.factorize(frame["language"], sort=True)
        self.id_names, self.languages = id_names, tuple(names)
        self.rows = np.full((len(id_names), len(names)), -1, dtype=np.int32)
        self.rows[ids, language] = np.arange(len(frame), dtype=np.int32)
        first = np.unique(ids, return_index=True)[1]
        _check_translations_agree(frame, first[ids])
        self.passages = pd.factorize(frame["passage_id"].iloc[first])[0]
        self.sources, self.source_names = pd.factorize(frame["source"].iloc[first], sort=True)

    @cached_property
    def has(self) -> np.ndarray:
        """[ids, languages] bool."""
        return self.rows >= 0

    @cached_property
    def count(self) -> np.ndarray:
        """[ids] number of languages."""
        return self.has.sum(1)

    @cached_property
    def languages_first(self) -> np.ndarray:
        """[ids, languages] language numbers, those the id has before those it lacks."""
        return np.argsort(~self.has, axis=1, kind="stable").astype(np.int16)

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
                passages = len(np.unique(self.passages[members]))
                found.append(Stream(kind, source, language, members, passages, len(ids) / len(languages)))
        if not found:
            raise InputError(f"{kind} batches need {NEEDS[kind]}; found none. Languages there: {', '.join(self.languages)}.")
        total = sum(stream.share for stream in found)
        return [stream._replace(share=stream.share / total) for stream in found]

    def _usable(self, kind: str) -> np.ndarray:
        return self.has[:, self._in_english].any(1) if kind == "en" else self.count >= (2 if kind == "cross" else 1)

    @cached_property
    def _in_english(self) -> np.ndarray:
        return np.array([language == "en" for language in self.languages])


def plan_batches(pairs, strategy: str, *, steps: int, batch_size: int, seed: int, alpha: float = 0.5) -> BatchPlan:
    """Draw a batch plan over parallel pairs (a datasets.Dataset, or a ParallelIndex of one).

    Every batch: its kind (hybrid: mono with probability alpha, else cross), its data set in proportion to size, its
    language or languages, then ids; batches of one kind, data set and language use all their ids before one comes again.
    No batch holds an id or an answer passage twice, so no translation of a positive can become a negative. alpha counts only
    for "hybrid"; 1 equals X-X-mono, 0 equals X-Y. Raises UnknownName (strategy) and InputError (alpha outside [0, 1], a
    language or data set with fewer passages than `batch_size`, no pairs a kind of batch could use).
    """
    alpha = strategy_alpha(strategy, alpha)
    index = pairs if isinstance(pairs, ParallelIndex) else ParallelIndex(pairs)
    rng = np.random.default_rng(seed)
    shares = _kind_shares(strategy, alpha)
    streams = [stream for kind in shares for stream in index.streams(kind)]
    _check_sizes(index, streams, batch_size)
    drawn = rng.choice(len(streams), size=steps, p=[shares[stream.kind] * stream.share for stream in streams])
    questions, passages = (np.empty((steps, batch_size), dtype=np.int32) for _ in range(2))
    for number in np.unique(drawn):
        stream, where = streams[number], drawn == number
        ids = _deal(stream.ids, index.passages, where.sum(), batch_size, rng)
        question_language, passage_language = _draw_languages(index, stream, ids, rng)
        questions[where] = index.rows[ids, question_language]
        passages[where] = index.rows[ids, passage_language]
    kinds = np.array([KINDS.index(stream.kind) for stream in streams], dtype=np.int8)[drawn]
    return BatchPlan(strategy, alpha, seed, kinds, questions, passages)


def strategy_alpha(strategy: str, alpha: float) -> float:
    """The share of mono batches a strategy means: `alpha` for hybrid, 1 for X-X-mono, 0 for X-Y, nan for the others."""
    if strategy not in STRATEGIES:
        raise UnknownName("strategy", strategy, STRATEGIES)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; expected a share of monolingual batches between 0 and 1.")
    return {"hybrid": float(alpha), "X-X-mono": 1.0, "X-Y": 0.0}.get(strategy, float("nan"))


def _kind_shares(strategy: str, alpha: float) -> dict[str, float]:
    """Kind -> its share of the batches, without the kinds that have none."""
    if STRATEGIES[strategy] in ("mixed", "en"):
        return {STRATEGIES[strategy]: 1.0}
    return {kind: share for kind, share in (("mono", alpha), ("cross", 1 - alpha)) if share}


def _check_translations_agree(frame: pd.DataFrame, first: np.ndarray) -> None:
    """first: for every row the row that names its id first."""
    for column in ("passage_id", "source"):
        odd = np.flatnonzero(frame[column].to_numpy() != frame[column].to_numpy()[first])
        if len(odd):
            here, there = frame.iloc[odd[0]], frame.iloc[first[odd[0]]]
            raise InputError(
                f"pair {here['id']!r} has {column} {here[column]!r} in language {here['language']}, but {there[column]!r} in "
                f"{there['language']}; translations of a pair share it. Give both rows the same {column}."
            )


def _check_sizes(index: ParallelIndex, streams: list[Stream], batch_size: int) -> None:
    """All streams, drawn or not, so that a plan fails for every seed or for none."""
    smallest = min(streams, key=lambda stream: stream.passages)
    if smallest.passages < batch_size:
        place = f"language {index.languages[smallest.language]} of " if smallest.language is not None else ""
        raise InputError(
            f"{smallest.kind} batches, {place}data set {index.source_names[smallest.source]!r}: {len(smallest.ids)} pairs with "
            f"{smallest.passages} different passages, but batch_size is {batch_size}, and a batch holds no passage twice. "
            f"Lower batch_size to at most {smallest.passages}, or leave that language or data set out."
        )


def _deal(ids: np.ndarray, passages: np.ndarray, n: int, batch_size: int, rng) -> np.ndarray:
    """[n, batch_size] ids, dealt from a shuffled pile that is made anew when it is used up.

    An id whose passage already lies in the batch goes back on top of the pile, for the next batch.
    """
    pile, dealt = deque(), np.empty((n, batch_size), dtype=np.int64)
    for row in dealt:
        batch, back = {}, []  # passage -> id
        while len(batch) < batch_size:
            if not pile:
                pile.extend(rng.permutation(np.setdiff1d(ids, back)).tolist())
            id_ = pile.popleft()
            if (passage := passages[id_]) in batch:
                back.append(id_)
            else:
                batch[passage] = id_
        pile.extendleft(reversed(back))
        row[:] = list(batch.values())
    return dealt


def _draw_languages(index: ParallelIndex, stream: Stream, ids: np.ndarray, rng):
    """Question and passage language of every slot, uniform over the languages the id has (cross: two different ones)."""
    if stream.language is not None:
        return stream.language, stream.language
    first = (rng.random(ids.shape) * index.count[ids]).astype(np.int16)
    question = index.languages_first[ids, first]
    if stream.kind == "mixed":
        return question, question
    second = (rng.random(ids.shape) * (index.count[ids] - 1)).astype(np.int16)
    return question, index.languages_first[ids, second + (second >= first)]


def language_shares(plan: BatchPlan, pairs) -> pd.DataFrame:
    """Question language x passage language: share of the plan's pairs that meet so, realised beside planned."""
    languages = np.asarray(pairs["language"])
    realised = pd.crosstab(languages[plan.question_rows.ravel()], languages[plan.passage_rows.ravel()], normalize=True)
    index = ParallelIndex(pairs)
    table = realised.reindex(index=index.languages, columns=index.languages, fill_value=0.0).stack().rename("realised").reset_index()
    table.columns = ["question_language", "passage_language", "realised"]
    table.insert(2, "planned", _planned_shares(index, plan).ravel())
    return table.assign(strategy=plan.strategy, alpha=plan.alpha)


def _planned_shares(index: ParallelIndex, plan: BatchPlan) -> np.ndarray:
    """Expected [L, L] share of each pair of languages."""
    kinds = _kind_shares(plan.strategy, plan.alpha)
    return sum(kinds[kind] * stream.share * _stream_shares(index, stream) for kind in kinds for stream in index.streams(kind))


def _stream_shares(index: ParallelIndex, stream: Stream) -> np.ndarray:
    """[L, L] share of each pair of languages in one stream: every id alike, its languages (cross: ordered pairs of them) alike."""
    if stream.language is not None:
        return np.diag(np.arange(len(index.languages)) == stream.language).astype(float)
    has, count = index.has[stream.ids].astype(float), index.count[stream.ids, None]
    if stream.kind == "mixed":
        return np.diag((has / count).mean(0))
    shares = (has / (count * (count - 1))).T @ has / len(has)
    np.fill_diagonal(shares, 0.0)
    return shares
