"""Measure a ranker on a search task: each corpus is made ready once, all questions that are searched in it are ranked, then measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..tasks.searched_sets import token_text, usable
from ..tasks.searched_task import Search, SearchTask, corpus_rows, relevant_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from ..encode.corpora import CorpusVectors
    from ..encode.opening import Opening

# (corpus' name, corpus, the searches in it, depth) -> for each search the rows of the best passages, [questions, depth], best first
Ranker = Callable[[str, "Dataset", Sequence[Search], int], Sequence[np.ndarray]]
Texts = Callable[[np.ndarray], Sequence[str]]  # rows of a corpus -> their texts
ANSWERED = "Recall@"  # of open-domain question answering; R@k is the share of a question's relevant passages
BATCH = 500  # questions whose passages are held at once


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
    encoder: str | Path, folder: Path, *, opening: Opening | None = None, batch_tokens: int = 16384, precision: str = "fp32", **storage
) -> Ranker:
    """Ranking by an encoder's cosines, exact. Each corpus' vectors are kept in shards below `folder`; parameters as of `encode_corpus`,
    storage: its shard_size, vector_precision and scheduler.
    """
    from ..encode.corpora import encode_corpus
    from ..encode.encoding import encode_rows, open_encoder

    model, how = open_encoder(encoder, opening), {"batch_tokens": batch_tokens, "precision": precision}

    def questions(frame: pd.DataFrame) -> np.ndarray:
        return encode_rows(model, frame["text"], "query", frame["id"], **how)

    def passages(name: str, corpus: Dataset) -> CorpusVectors:
        return encode_corpus(encoder, corpus, Path(folder) / name, opening=opening, **how, **storage)

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
    table = pd.concat([about[["setting", "query", "group", "query_language", "candidate_language"]], values], axis=1)
    return table.dropna(subset=list(task.measures), ignore_index=True)  # all that is relevant to it is missing in the corpus


def judged_measures(names: Sequence[str], relevant: pd.DataFrame, queries: Sequence[str], rows: np.ndarray) -> pd.DataFrame:
    """[queries, measures] values of ir-measures' names (nDCG@10, R@100, …), in the order of `queries`.

    relevant: columns query, row, relevance (as of `searches.relevant_rows`). rows: [queries, depth] ranked lists, best first; a row
    below 0 is no hit. The lists' order counts, also among equal scores. nDCG has trec_eval's linear gains.
    """
    import ir_measures

    qrels = pd.DataFrame(
        {"query_id": relevant["query"], "doc_id": relevant["row"].astype(str), "relevance": relevant["relevance"].clip(lower=0)}
    )
    depth = rows.shape[1]
    lists = pd.DataFrame({"query_id": np.repeat(np.asarray(queries, dtype=object), depth), "doc_id": rows.ravel()})
    lists["score"] = -np.tile(np.arange(depth, dtype=float), len(queries))  # trec_eval would sort equal scores by name
    lists = lists[lists["doc_id"] >= 0].astype({"doc_id": str})
    values = ir_measures.iter_calc([ir_measures.parse_measure(name) for name in names], qrels, lists)
    table = pd.DataFrame([(value.query_id, str(value.measure), value.value) for value in values], columns=["query", "measure", "value"])
    return (
        table.pivot(index="query", columns="measure", values="value")
        .reindex(index=list(queries), columns=list(names))
        .reset_index(drop=True)
    )


def answered_measures(
    names: Sequence[str], answers: Mapping[str, Sequence[str]], queries: Sequence[str], rows: np.ndarray, texts: Texts
) -> pd.DataFrame:
    """[queries, measures] 1.0 where one of the top k passages holds a gold answer (`answer_match`), for names Recall@k.

    rows: [queries, depth] ranked lists, best first; texts: rows of the corpus -> their texts, asked once for each passage of a batch.
    """
    first = np.concatenate(
        [_first_answer(answers, queries[i : i + BATCH], rows[i : i + BATCH], texts) for i in range(0, len(queries), BATCH)]
    )
    return pd.DataFrame({name: (first < int(name.removeprefix(ANSWERED))).astype(float) for name in names})


def _first_answer(answers: Mapping[str, Sequence[str]], queries: Sequence[str], rows: np.ndarray, texts: Texts) -> np.ndarray:
    """[queries] position of the first passage with an answer, 0 for the first of the list; very large where there is none."""
    distinct, place = np.unique(rows, return_inverse=True)
    held = [token_text(text) for text in texts(distinct)]
    place = place.reshape(rows.shape)
    first = np.full(len(queries), np.iinfo(np.int64).max)
    for i, query in enumerate(queries):
        wanted = usable(answers[query])
        first[i] = next((k for k, at in enumerate(place[i]) if any(answer in held[at] for answer in wanted)), first[i])
    return first
