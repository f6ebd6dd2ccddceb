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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..base.errors import InputError, need_known
from ..base.mapped import codes
from .parallel_index import BLOCK, ParallelIndex, Stream, sorted_codes

KINDS = ("mono", "cross", "mixed", "en")
SCHEDULES = ("mono-first", "cross-first", "annealed")  # hybrid with the same number of mono batches, in an order
STRATEGIES = {"En-En": "en", "X-X": "mixed", "X-X-mono": "mono", "X-Y": "cross", "hybrid": None} | dict.fromkeys(SCHEDULES)
SAVED_SLOTS = 1_000_000  # of a plan in one row group
PILE = 10_000  # ids taken off a shuffled pile at once
NO_PASSAGE = -1  # label of a slot without a hard negative


@dataclass(frozen=True, repr=False)
class BatchPlan:
    """question_rows, passage_rows: [steps, batch] row numbers of the parallel pairs; kinds: [steps] index into KINDS."""

    strategy: str
    alpha: float
    seed: int
    kinds: np.ndarray
    question_rows: np.ndarray
    passage_rows: np.ndarray

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {KINDS[kind]}" for kind, count in zip(*np.unique(self.kinds, return_counts=True), strict=True))
        return f"<BatchPlan {self.strategy}, seed {self.seed}: {self.steps:,} batches of {self.batch_size} pairs ({kinds})>"

    @property
    def steps(self) -> int:
        return len(self.kinds)

    @property
    def batch_size(self) -> int:
        return self.question_rows.shape[1]

    def table(self, start: int = 0, stop: int | None = None):
        """pyarrow.Table with a row per (step, slot) of the steps [start, stop): step, slot, kind, question_row, passage_row."""
        steps = np.arange(self.steps, dtype=np.int32)[start:stop]
        step = np.repeat(steps, self.batch_size)
        slot = np.tile(np.arange(self.batch_size, dtype=np.int32), len(steps))
        kind = pa.DictionaryArray.from_arrays(np.repeat(self.kinds[steps].astype(np.int8), self.batch_size), list(KINDS))
        rows = {"question_row": self.question_rows[start:stop].ravel(), "passage_row": self.passage_rows[start:stop].ravel()}
        table = pa.table({"step": step, "slot": slot, "kind": kind, **rows})
        return table.replace_schema_metadata({"strategy": self.strategy, "alpha": repr(self.alpha), "seed": str(self.seed)})

    def shard(self, rank: int, world: int) -> BatchPlan:
        """The plan of one of `world` ranks: of every step the slots [rank * b, (rank + 1) * b) with b = batch_size / world.

        All ranks of a step hold the same kind of batch, no id and no answer passage twice, and together the whole batch. Raises
        InputError when the batch size is no multiple of `world`, or the rank is not below it.
        """
        if world < 1 or self.batch_size % world:
            raise InputError(
                f"batches of {self.batch_size} cannot be shared by {world} processes in equal parts; "
                f"set batch_size to a multiple of {world}, or another number of processes."
            )
        if not 0 <= rank < world:
            raise InputError(f"rank {rank}: expected a number from 0 to {world - 1}.")
        share = self.batch_size // world
        slots = slice(rank * share, (rank + 1) * share)
        return replace(self, question_rows=self.question_rows[:, slots], passage_rows=self.passage_rows[:, slots])

    def save(self, path: Path) -> None:
        """Write the table as Parquet, about SAVED_SLOTS at a time."""
        block = max(1, SAVED_SLOTS // self.batch_size)  # steps: a row group holds whole ones
        with pq.ParquetWriter(path, self.table(0, 0).schema) as writer:
            for start in range(0, self.steps, block):
                writer.write_table(self.table(start, start + block))

    @classmethod
    def load(cls, path: Path) -> BatchPlan:
        """Read what `save` wrote, row group by row group."""
        with pq.ParquetFile(path) as file:
            about = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
            batch_size = 1 + file.read_row_group(0, ["slot"])["slot"].to_numpy().max()
            kinds, questions, passages = (np.empty(file.metadata.num_rows, kind) for kind in (np.int8, np.int32, np.int32))
            start = 0
            for batch in file.iter_batches(SAVED_SLOTS, columns=["kind", "question_row", "passage_row"]):
                stop = start + len(batch)
                kind = batch["kind"]
                kinds[start:stop] = np.array([KINDS.index(name) for name in kind.dictionary.to_pylist()], np.int8)[kind.indices]
                questions[start:stop], passages[start:stop] = batch["question_row"], batch["passage_row"]
                start = stop
        rows = (kinds[::batch_size].copy(), questions.reshape(-1, batch_size), passages.reshape(-1, batch_size))
        return cls(about["strategy"], float(about["alpha"]), int(about["seed"]), *rows)


def plan_batches(pairs, strategy: str, *, steps: int, batch_size: int, seed: int, alpha: float = 0.5) -> BatchPlan:
    """Draw a batch plan over parallel pairs (a datasets.Dataset, or a ParallelIndex of one).

    Every batch: its kind (hybrid: mono with probability alpha, else cross), its data set in proportion to size, its
    language or languages, then ids; batches of one kind, data set and language use all their ids before one comes again (of ids that share
    a passage one may come once more before another that had to wait for it).
    No batch holds an id or an answer passage twice, so no translation of a positive can become a negative. alpha counts only
    for "hybrid", where 1 equals X-X-mono and 0 equals X-Y, and for SCHEDULES (`mono_shares`). Raises UnknownName (strategy) and
    InputError (alpha outside [0, 1], a language or data set with fewer passages than `batch_size`, no pairs a kind of batch could use).
    """
    alpha = strategy_alpha(strategy, alpha)
    index = pairs if isinstance(pairs, ParallelIndex) else ParallelIndex(pairs)
    rng = np.random.default_rng(seed)
    shares = _kind_shares(strategy, alpha)
    streams = [stream for kind in shares for stream in index.streams(kind)]
    _check_sizes(index, streams, batch_size)
    if strategy in SCHEDULES:
        drawn = _scheduled(streams, mono_shares(strategy, alpha, steps), rng)
    else:
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
    """The share of mono batches a strategy means: `alpha` for hybrid and schedules, 1 for X-X-mono, 0 for X-Y, nan for the others."""
    need_known("strategy", [strategy], STRATEGIES)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; expected a share of monolingual batches between 0 and 1.")
    mixes = dict.fromkeys(("hybrid", *SCHEDULES), float(alpha))
    return {**mixes, "X-X-mono": 1.0, "X-Y": 0.0}.get(strategy, float("nan"))


def mono_shares(schedule: str, alpha: float, steps: int) -> np.ndarray:
    """[steps] probability of a mono batch at each step; its mean is alpha (mono-first, cross-first: to the nearest step).

    mono-first: all mono batches before all cross ones; cross-first: the reverse; annealed: falling in a straight line, from 1 to 0 over
    the run where alpha is 0.5, else as steep as alpha allows.
    """
    if schedule == "annealed":
        return alpha + min(alpha, 1 - alpha) * (1 - (2 * np.arange(steps) + 1) / steps)
    first = np.arange(steps) < round((alpha if schedule == "mono-first" else 1 - alpha) * steps)
    return (first if schedule == "mono-first" else ~first).astype(float)


def _scheduled(streams: list[Stream], mono: np.ndarray, rng) -> np.ndarray:
    """[steps] number of the stream each batch draws from, its kind by the step's share of mono batches."""
    is_mono, drawn = rng.random(len(mono)) < mono, np.empty(len(mono), dtype=np.int64)
    for kind, where in (("mono", is_mono), ("cross", ~is_mono)):
        numbers = [number for number, stream in enumerate(streams) if stream.kind == kind]
        if where.any():
            drawn[where] = rng.choice(numbers, size=where.sum(), p=[streams[number].share for number in numbers])
    return drawn


def _kind_shares(strategy: str, alpha: float) -> dict[str, float]:
    """Kind -> its share of the batches, without the kinds that have none."""
    if STRATEGIES[strategy] in ("mixed", "en"):
        return {STRATEGIES[strategy]: 1.0}
    return {kind: share for kind, share in (("mono", alpha), ("cross", 1 - alpha)) if share}


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

    An id whose passage already lies in the batch goes back on top of the pile, for the next batch; where the pile is made anew meanwhile,
    it is left out of the new one. Without shared passages every id is dealt once before any is dealt again.
    """
    pile, dealt = deque(), np.empty((n, batch_size), dtype=np.int32)
    shuffled = ids[:0]  # below the pile
    for row in dealt:
        batch, back = {}, []  # passage -> id
        while len(batch) < batch_size:
            if not pile:
                if not len(shuffled):
                    shuffled = rng.permutation(np.setdiff1d(ids, back))
                pile.extend(shuffled[:PILE].tolist())
                shuffled = shuffled[PILE:]
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
    index = ParallelIndex(pairs)
    language, names = sorted_codes(pairs, "language")
    together = language[plan.question_rows].astype(np.int64) * len(names) + language[plan.passage_rows]
    realised = np.bincount(together.ravel(), minlength=len(names) ** 2) / together.size
    columns = [(question, passage) for question in names for passage in names]
    table = pd.DataFrame(columns, columns=["question_language", "passage_language"])
    table["planned"], table["realised"] = _planned_shares(index, plan).ravel(), realised
    return table.assign(strategy=plan.strategy, alpha=plan.alpha)


def _planned_shares(index: ParallelIndex, plan: BatchPlan) -> np.ndarray:
    """Expected [L, L] share of each pair of languages."""
    kinds = _kind_shares(plan.strategy, plan.alpha)
    return sum(kinds[kind] * stream.share * _stream_shares(index, stream) for kind in kinds for stream in index.streams(kind))


def _stream_shares(index: ParallelIndex, stream: Stream) -> np.ndarray:
    """[L, L] share of each pair of languages in one stream: every id alike, its languages (cross: ordered pairs of them) alike."""
    if stream.language is not None:
        return np.diag(np.arange(len(index.languages)) == stream.language).astype(float)
    shares = np.zeros((len(index.languages),) * 2)
    for start in range(0, len(stream.ids), BLOCK):
        ids = stream.ids[start : start + BLOCK]
        has, count = index.has[ids].astype(float), index.count[ids, None].astype(float)
        shares += np.diag((has / count).sum(0)) if stream.kind == "mixed" else (has / (count * (count - 1))).T @ has
    if stream.kind == "cross":
        np.fill_diagonal(shares, 0.0)
    return shares / len(stream.ids)


def in_plan_order(pairs, plan: BatchPlan, negatives: bool = True):
    """datasets.Dataset with the plan's slots in order: question, passage, hard negative where `pairs` has any, and label.

    pairs: with columns question, passage, passage_id and, if there are hard negatives, negative and negative_id, both empty in rows
    that have none. A slot's hard negative is its passage row's. label: the number of the answer passage and of the hard negative,
    whose numbers agree where the ids do, NO_PASSAGE for none; the loss leaves such a slot out. Texts are looked up when a batch is
    asked for, so a plan of any length costs eight bytes a slot.
    """
    negatives = negatives and has_negatives(pairs)
    sides = {"question": "question", "passage": "passage", **({"negative": "passage"} if negatives else {})}
    parts = {part: pairs.select_columns([part]) for part in sides}
    labels = _passage_numbers(pairs, negatives)

    def texts(batch):
        found = {part: rows[batch[f"{sides[part]}_row"]][part] for part, rows in parts.items()}
        return {**found, "label": labels[batch["passage_row"]].tolist()}

    rows = {"question_row": plan.question_rows.ravel(), "passage_row": plan.passage_rows.ravel()}
    from datasets import Dataset

    return Dataset.from_dict(rows).with_transform(texts)


def has_negatives(pairs) -> bool:
    """Whether the pairs bring hard negatives."""
    return "negative" in pairs.column_names


def _passage_numbers(pairs, negatives: bool) -> np.ndarray:
    """[rows, 1 or 2] number of the row's passage and, with negatives, of its hard negative's passage."""
    numbers, names = codes(pairs, "passage_id")
    if not negatives:
        return numbers[:, None]
    others, other_names = codes(pairs, "negative_id")
    shared = pc.index_in(other_names, value_set=names).to_numpy(zero_copy_only=False)
    known = np.where(np.isnan(shared), len(names) + np.arange(len(shared)), shared).astype(np.int32)
    known[pc.equal(other_names, "").to_numpy(zero_copy_only=False)] = NO_PASSAGE
    return np.stack([numbers, known[others]], axis=1)
