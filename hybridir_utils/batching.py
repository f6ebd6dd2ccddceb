"""The batch plan: which question row meets which passage row at every step, drawn before training.

A plan is data. It can be printed, plotted, tested, saved with the run and fed to the trainer in its order. Kinds of
batches (PAPER §1, arXiv 2408.10536 §3; X-X and En-En are LAReQA's):

    mono   X-X-mono: one language, drawn uniformly; questions and passages are all in it
    cross  X-Y: in every pair the question's language differs from the passage's; languages vary inside the batch
    mixed  X-X: each pair in one language, languages vary inside the batch
    en     En-En: English only
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError, UnknownName

KINDS = ("mono", "cross", "mixed", "en")
STRATEGIES = {"En-En": "en", "X-X": "mixed", "X-X-mono": "mono", "X-Y": "cross", "hybrid": None}


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


class ParallelIndex:
    """Finds the row of an (id, language) in parallel pairs; built once, shared by every plan over the same pairs.

    pairs: datasets.Dataset with columns id, passage_id, language, source. `rows[i, l]` is the row number of id i in
    language l, or -1; `passages[i]` a number that ids with the same answer passage share.
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
        self.passages = pd.factorize(frame["passage_id"].iloc[first])[0]
        self.sources, self.source_names = pd.factorize(frame["source"].iloc[first], sort=True)

    @cached_property
    def has(self) -> np.ndarray:
        """[ids, languages] bool."""
        return self.rows >= 0

    def members(self, source: int, kind: str, language: int | None) -> np.ndarray:
        """Ids of a source that can stand in a batch of this kind (and language, for mono and en)."""
        ids = np.flatnonzero(self.sources == source)
        if kind in ("mono", "en"):
            return ids[self.has[ids, language]]
        return ids[self.has[ids].sum(1) >= 2] if kind == "cross" else ids


def plan_batches(pairs, strategy: str, *, steps: int, batch_size: int, seed: int, alpha: float = 0.5) -> BatchPlan:
    """Draw a batch plan over parallel pairs (a datasets.Dataset, or a ParallelIndex of one).

    Every batch: its kind (hybrid: mono with probability alpha, else cross), its data set in proportion to size, its
    language or languages, then ids without repeat until all of them were used once. No batch holds an id or an answer
    passage twice, so no translation of a positive can become a negative. alpha counts only for "hybrid"; 1 equals
    X-X-mono, 0 equals X-Y. Raises UnknownName (strategy) and InputError (alpha outside [0, 1], a language with fewer
    pairs than `batch_size`).
    """
    alpha = strategy_alpha(strategy, alpha)
    index = pairs if isinstance(pairs, ParallelIndex) else ParallelIndex(pairs)
    rng = np.random.default_rng(seed)
    kinds = _draw_kinds(strategy, alpha, steps, rng)
    questions, passages = (np.empty((steps, batch_size), dtype=np.int32) for _ in range(2))
    for bucket, kind, source, language in _buckets(index, kinds, rng):
        ids = _draw_ids(index, index.members(source, kind, language), len(bucket), batch_size, rng, _where(index, kind, source, language))
        question_language, passage_language = _draw_languages(index, kind, language, ids, rng)
        questions[bucket] = index.rows[ids, question_language]
        passages[bucket] = index.rows[ids, passage_language]
    return BatchPlan(strategy, alpha, seed, kinds, questions, passages)


def strategy_alpha(strategy: str, alpha: float) -> float:
    """The share of mono batches a strategy means: `alpha` for hybrid, 1 for X-X-mono, 0 for X-Y, nan for the others."""
    if strategy not in STRATEGIES:
        raise UnknownName("strategy", strategy, STRATEGIES)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; expected a share of monolingual batches between 0 and 1.")
    return {"hybrid": float(alpha), "X-X-mono": 1.0, "X-Y": 0.0}.get(strategy, float("nan"))


def _draw_kinds(strategy: str, alpha: float, steps: int, rng) -> np.ndarray:
    if STRATEGIES[strategy] in ("mixed", "en"):
        return np.full(steps, KINDS.index(STRATEGIES[strategy]), dtype=np.int8)
    return np.where(rng.random(steps) < alpha, KINDS.index("mono"), KINDS.index("cross")).astype(np.int8)


def _buckets(index: ParallelIndex, kinds: np.ndarray, rng) -> Iterator[tuple[np.ndarray, str, int, int | None]]:
    """Group the steps that draw from the same stream of ids: (steps, kind, source, language)."""
    for number, kind in enumerate(KINDS):
        steps = np.flatnonzero(kinds == number)
        if not len(steps):
            continue
        source = _draw_sources(index, kind, len(steps), rng)
        language = _draw_batch_language(index, kind, source, rng)
        for s, code in sorted(set(zip(source.tolist(), language.tolist(), strict=True))):
            yield steps[(source == s) & (language == code)], kind, s, None if code < 0 else code


def _draw_sources(index: ParallelIndex, kind: str, n: int, rng) -> np.ndarray:
    """Data sets in proportion to their number of pairs; a data set in one language takes no part in cross batches."""
    english = index.languages.index("en") if kind == "en" and "en" in index.languages else None
    if kind == "en" and english is None:
        raise InputError(f"strategy En-En needs English pairs; found languages {', '.join(index.languages)}.")
    usable = index.has[:, english] if kind == "en" else index.has.sum(1) >= (2 if kind == "cross" else 1)
    sizes = np.bincount(index.sources[usable], weights=index.has[usable].sum(1), minlength=len(index.source_names))
    if not sizes.sum():
        raise InputError("cross batches need pairs whose id stands in at least two languages; found none.")
    return rng.choice(len(sizes), size=n, p=sizes / sizes.sum())


def _draw_batch_language(index: ParallelIndex, kind: str, source: np.ndarray, rng) -> np.ndarray:
    """One language a batch for mono (uniform over the data set's languages) and en; -1 where languages vary inside."""
    if kind == "en":
        return np.full(len(source), index.languages.index("en"))
    language = np.full(len(source), -1)
    for s in np.unique(source) if kind == "mono" else ():
        choices = np.flatnonzero(index.has[index.sources == s].any(0))
        language[source == s] = rng.choice(choices, size=int((source == s).sum()))
    return language


def _draw_ids(index: ParallelIndex, members: np.ndarray, n: int, batch_size: int, rng, where: str) -> np.ndarray:
    """[n, batch_size] ids from shuffled passes over `members`; the rest of a pass that fills no batch is left out."""
    distinct = len(np.unique(index.passages[members]))
    if distinct < batch_size:
        raise InputError(
            f"{where}: {len(members)} pairs with {distinct} different passages, but batch_size is {batch_size}, and a batch holds no passage "
            f"twice. Lower batch_size to at most {distinct}, or leave that language or data set out."
        )
    per_pass = len(members) // batch_size
    passes = [rng.permutation(members)[: per_pass * batch_size].reshape(per_pass, batch_size) for _ in range(-(-n // per_pass))]
    ids = np.concatenate(passes)[:n]
    return _without_shared_passages(index, members, ids, rng)


def _without_shared_passages(index: ParallelIndex, members: np.ndarray, ids: np.ndarray, rng) -> np.ndarray:
    """Replace every id whose answer passage already stands in its batch by one whose passage does not."""
    if len(np.unique(index.passages[members])) == len(members):
        return ids
    keys = np.sort(index.passages[ids], axis=1)
    for b in np.flatnonzero((keys[:, 1:] == keys[:, :-1]).any(1)):
        _, first = np.unique(index.passages[ids[b]], return_index=True)
        kept = ids[b, np.sort(first)]
        free = rng.permutation(members[~np.isin(index.passages[members], index.passages[kept])])
        _, first = np.unique(index.passages[free], return_index=True)
        ids[b] = np.concatenate([kept, free[np.sort(first)][: len(ids[b]) - len(kept)]])
    return ids


def _draw_languages(index: ParallelIndex, kind: str, language: int | None, ids: np.ndarray, rng):
    """Question and passage language of every slot, uniform over the languages the id has (cross: two different ones)."""
    if language is not None:
        return language, language
    count = index.has.sum(1)[ids]
    order = np.argsort(~index.has, axis=1, kind="stable").astype(np.int16)  # languages an id has come first
    first = (rng.random(ids.shape) * count).astype(np.int16)
    question = order[ids, first]
    if kind == "mixed":
        return question, question
    second = (rng.random(ids.shape) * (count - 1)).astype(np.int16)
    return question, order[ids, second + (second >= first)]


def _where(index: ParallelIndex, kind: str, source: int, language: int | None) -> str:
    place = f"language {index.languages[language]} of " if language is not None else ""
    return f"{kind} batches, {place}data set {index.source_names[source]!r}"


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
    """Expected [L, L] share: mono spreads alpha over each data set's languages, cross 1 - alpha over ordered pairs an id has."""
    if plan.strategy == "En-En":
        english = np.array([language == "en" for language in index.languages], dtype=float)
        return np.outer(english, english)
    sizes = np.bincount(index.sources, weights=index.has.sum(1))
    mono = sum(size * _uniform(index.has[index.sources == s].any(0)) for s, size in enumerate(sizes)) / sizes.sum()
    if plan.strategy == "X-X":
        per_id = index.has / index.has.sum(1, keepdims=True)
        weight = (sizes / np.bincount(index.sources))[index.sources]
        return np.diag(weight @ per_id / weight.sum())
    return np.diag(plan.alpha * mono) + (1 - plan.alpha) * _cross_shares(index)


def _cross_shares(index: ParallelIndex) -> np.ndarray:
    count = index.has.sum(1)
    usable = count >= 2
    sizes = np.bincount(index.sources[usable], weights=count[usable], minlength=len(index.source_names))
    members = np.bincount(index.sources[usable], minlength=len(index.source_names))
    weight = np.where(usable, (sizes / np.maximum(members, 1))[index.sources] / np.maximum(count * (count - 1), 1), 0.0)
    shares = (index.has * weight[:, None]).T @ index.has.astype(float)
    np.fill_diagonal(shares, 0.0)
    return shares / shares.sum() if shares.sum() else shares


def _uniform(mask: np.ndarray) -> np.ndarray:
    return mask / mask.sum()
