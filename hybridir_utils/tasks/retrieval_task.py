"""The retrieval task: queries, candidates and which candidate is relevant to which query.

A task may be parallel: the same question (or passage) in several languages shares a `group`. Identity of a row is
its `id`, so two candidates with equal text stay two candidates (LAReQA, PAPER §3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError

TEXT_COLUMNS = ["id", "group", "language", "text"]


@dataclass(frozen=True)
class RetrievalTask:
    """Queries, candidates and relevance of one evaluation set.

    name: shown in tables. queries, candidates: frames with columns id (unique), group, language, text.
    relevance: frame with columns query, candidate (ids). Rows are kept in language order of `languages`, so that the
    candidates of one language are contiguous. Raises InputError naming the row when ids repeat, a text is empty, or
    relevance names an unknown id.
    """

    name: str
    queries: pd.DataFrame
    candidates: pd.DataFrame
    relevance: pd.DataFrame

    def __post_init__(self):
        order = {language: i for i, language in enumerate(self.languages)}
        for kind in ("queries", "candidates"):
            frame = getattr(self, kind)[TEXT_COLUMNS]
            _check_rows(self.name, kind, frame)
            frame = frame.iloc[np.argsort(frame["language"].map(order).to_numpy(), kind="stable")]
            object.__setattr__(self, kind, frame.reset_index(drop=True))
        _check_relevance(self)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages of the candidates, then those only queries have; sorted within each."""
        pool = sorted(set(self.candidates["language"]))
        return tuple(pool + sorted(set(self.queries["language"]) - set(pool)))

    @cached_property
    def query_language(self) -> np.ndarray:
        """[Q] int: index into `languages` of each query."""
        return _codes(self.queries["language"], self.languages)

    @cached_property
    def candidate_language(self) -> np.ndarray:
        """[N] int: index into `languages` of each candidate; non-decreasing."""
        return _codes(self.candidates["language"], self.languages)

    @cached_property
    def relevant_pairs(self) -> np.ndarray:
        """[R, 2] int: (query row, candidate row), sorted by query then candidate."""
        query_row = pd.Index(self.queries["id"]).get_indexer(self.relevance["query"])
        candidate_row = pd.Index(self.candidates["id"]).get_indexer(self.relevance["candidate"])
        pairs = np.stack([query_row, candidate_row], axis=1)
        return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]

    def summary(self) -> pd.DataFrame:
        """Questions, candidates and relevant candidates per language (a table for readers)."""
        language_of = self.candidates.set_index("id")["language"]
        return (
            pd.DataFrame(
                {
                    "questions": self.queries["language"].value_counts(),
                    "candidates": self.candidates["language"].value_counts(),
                    "relevant": language_of.loc[self.relevance["candidate"]].value_counts(),
                }
            )
            .reindex(self.languages)
            .fillna(0)
            .astype(int)
        )

    def save(self, folder: Path) -> None:
        """Write queries, candidates and relevance as parquet into an existing folder."""
        for kind in ("queries", "candidates", "relevance"):
            getattr(self, kind).to_parquet(Path(folder) / f"{kind}.parquet", index=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> RetrievalTask:
        """Read what `save` wrote."""
        frames = (pd.read_parquet(Path(folder) / f"{kind}.parquet") for kind in ("queries", "candidates", "relevance"))
        return cls(name, *frames)


def task_from_pairs(name: str, pairs) -> RetrievalTask:
    """Questions of parallel pairs against their own passages; every translation of the answer passage is relevant."""
    frame = pairs.to_pandas()
    queries = pd.DataFrame(
        {"id": frame["language"] + ":" + frame["id"], "group": frame["id"], "language": frame["language"], "text": frame["question"]}
    )
    candidates = frame.assign(id=frame["language"] + ":" + frame["passage_id"], group=frame["passage_id"], text=frame["passage"])
    candidates = candidates.drop_duplicates("id")[TEXT_COLUMNS]
    wanted = queries[["id"]].assign(group=frame["passage_id"].to_numpy())
    relevance = wanted.merge(candidates[["id", "group"]], on="group", suffixes=("_query", "_candidate"))
    return RetrievalTask(
        name, queries, candidates, relevance.rename(columns={"id_query": "query", "id_candidate": "candidate"})[["query", "candidate"]]
    )


def _codes(languages: pd.Series, order: tuple[str, ...]) -> np.ndarray:
    return pd.Categorical(languages, categories=order).codes.astype(np.int64)


def _check_rows(name: str, kind: str, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise InputError(f"task {name}: no {kind}; expected at least one row. Check the folder it was read from.")
    repeated = frame["id"][frame["id"].duplicated()]
    if len(repeated):
        raise InputError(f"task {name}: {kind} id {repeated.iloc[0]!r} stands twice; ids must be unique.")
    empty = frame["id"][frame["text"].isna() | (frame["text"].fillna("").str.strip() == "")]
    if len(empty):
        raise InputError(f"task {name}: {kind} {empty.iloc[0]!r} has no text ({len(empty)} such rows); drop or fill them.")


def _check_relevance(task: RetrievalTask) -> None:
    if task.relevance.empty:
        raise InputError(f"task {task.name}: no relevance judgements; a task needs at least one (query, candidate) row.")
    pairs = task.relevant_pairs
    for side, (column, kind) in enumerate((("query", "queries"), ("candidate", "candidates"))):
        if (pairs[:, side] < 0).any():
            unknown = set(task.relevance[column]) - set(getattr(task, kind)["id"])
            raise InputError(f"task {task.name}: relevance names {column} {sorted(unknown)[0]!r}, which is not among its {kind}.")
    repeated = np.flatnonzero((pairs[1:] == pairs[:-1]).all(axis=1))
    if len(repeated):
        query, candidate = pairs[repeated[0]]
        row = {"query": task.queries["id"][query], "candidate": task.candidates["id"][candidate]}
        raise InputError(f"task {task.name}: relevance lists ({row['query']!r}, {row['candidate']!r}) twice; keep one.")
