"""Measure a ranker on a search task: each corpus is made ready once, all questions that are searched in it are ranked, then measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..tasks.searches import Search, SearchTask, corpus_rows, relevant_rows
from .search_measures import answered_measures, judged_measures

if TYPE_CHECKING:
    from datasets import Dataset

    from .corpus_vectors import CorpusVectors
    from .opening import Opening

# (corpus' name, corpus, the searches in it, depth) -> for each search the rows of the best passages, [questions, depth], best first
Ranker = Callable[[str, "Dataset", Sequence[Search], int], Sequence[np.ndarray]]


def evaluate_search(task: SearchTask, rank: Ranker, depth: int = 100) -> pd.DataFrame:
    """One row per question: setting, query, group, query_language, candidate_language, then the task's measures.

    `metrics.scores` makes means by language and macro-averages of it, as of the full rankings. Judgements are checked against a
    corpus before it is ranked. Raises InputError when the depth is below a measure's k or a relevant passage is not in the corpus.
    """
    deepest = max(int(name.partition("@")[2]) for name in task.measures)
    if depth < deepest:
        raise InputError(f"{task.name}: depth = {depth} is less than {deepest}, the largest k of {', '.join(task.measures)}; raise it.")
    tables = []
    for name in task.corpora:
        corpus, searches = task.open_corpus(name), [search for search in task.searches if search.corpus == name]
        places = _places(task, searches, corpus)
        relevant = [None if search.qrels is None else relevant_rows(search, places, task.name) for search in searches]
        lists = rank(name, corpus, searches, depth + task.skip_own)
        tables += [_measured(task, *each, places, corpus) for each in zip(searches, lists, relevant, strict=True)]
    return pd.concat(tables, ignore_index=True)


def encoder_ranker(
    encoder: str | Path,
    folder: Path,
    *,
    opening: Opening | None = None,
    shard_size: int = 50_000,
    vector_precision: str = "fp32",
    batch_tokens: int = 16384,
    precision: str = "fp32",
    scheduler: str = "",
) -> Ranker:
    """Ranking by an encoder's cosines, exact. Each corpus' vectors are kept in shards below `folder`; parameters as of `encode_corpus`."""
    from .corpus_encoding import encode_corpus
    from .encoding import encode_rows, open_encoder

    model = open_encoder(encoder, opening)

    def questions(frame: pd.DataFrame) -> np.ndarray:
        return encode_rows(model, frame["text"], "query", frame["id"], batch_tokens, precision)

    def passages(name: str, corpus: Dataset) -> CorpusVectors:
        return encode_corpus(
            encoder,
            corpus,
            Path(folder) / name,
            opening=opening,
            shard_size=shard_size,
            vector_precision=vector_precision,
            batch_tokens=batch_tokens,
            precision=precision,
            scheduler=scheduler,
        )

    return vector_ranker(questions, passages)


def vector_ranker(
    questions: Callable[[pd.DataFrame], np.ndarray], passages: Callable[[str, Dataset], CorpusVectors | np.ndarray]
) -> Ranker:
    """Ranking by the dot product. questions: a search's questions -> [n, width] vectors; passages: a corpus -> its vectors."""
    from .search import search

    def rank(name: str, corpus: Dataset, searches: Sequence[Search], depth: int) -> list[np.ndarray]:
        vectors = passages(name, corpus)
        return [search(questions(each.queries), vectors, depth)[1] for each in searches]

    return rank


def _places(task: SearchTask, searches: Sequence[Search], corpus) -> pd.Series:
    """Corpus rows of all passages that the judgements (and, with skip_own, the questions) name."""
    named = [search.qrels["candidate"] for search in searches if search.qrels is not None]
    named += [search.queries["id"] for search in searches if task.skip_own]
    return corpus_rows(corpus, pd.concat(named), task.name) if named else pd.Series(dtype=np.int64)


def _measured(task: SearchTask, search: Search, rows: np.ndarray, relevant: pd.DataFrame | None, places: pd.Series, corpus) -> pd.DataFrame:
    queries = search.queries["id"].tolist()
    if task.skip_own:
        own = search.queries["id"].map(places).fillna(-1).to_numpy(dtype=np.int64)
        rows = np.where(rows == own[:, None], -1, rows)
    if relevant is None:
        values = answered_measures(task.measures, search.answers, queries, rows, lambda found: corpus[found.tolist()]["text"])
    else:
        values = judged_measures(task.measures, relevant, queries, rows)
    about = search.queries[["id", "group"]].rename(columns={"id": "query"}).assign(setting=search.setting)
    about = about.assign(query_language=search.query_language, candidate_language=search.candidate_language)
    return pd.concat([about[["setting", "query", "group", "query_language", "candidate_language"]], values], axis=1)
