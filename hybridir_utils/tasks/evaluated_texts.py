"""What training on it would give away: an evaluation task's questions and relevant passages."""

from __future__ import annotations

import pandas as pd

from .parallel_texts import ParallelQuestions
from .retrieval_task import RetrievalTask
from .searches import SearchTask, corpus_rows

COLUMNS = ["id", "language", "text"]


def evaluated_texts(task: RetrievalTask | SearchTask | ParallelQuestions) -> dict[str, pd.DataFrame]:
    """{"question": frame, "passage": frame} of id, language, text: the task's questions, and the passages relevant to one of them.

    A search that is judged by answers names no relevant passage, and parallel questions have none. Raises InputError when a relevant
    one is not in its corpus.
    """
    if isinstance(task, RetrievalTask):
        relevant = task.candidates["id"].isin(set(task.relevance["candidate"]))
        return {"question": task.queries[COLUMNS], "passage": task.candidates.loc[relevant, COLUMNS]}
    if isinstance(task, ParallelQuestions):
        return {"question": task.texts[COLUMNS], "passage": task.texts.iloc[:0][COLUMNS]}
    questions = [search.queries.assign(language=search.query_language)[COLUMNS] for search in task.searches]
    passages = [_relevant(task, search) for search in task.searches if search.qrels is not None]
    tables = {"question": questions, "passage": [pd.DataFrame(columns=COLUMNS), *passages]}
    return {field: pd.concat(frames).drop_duplicates(["id", "language"], ignore_index=True) for field, frames in tables.items()}


def _relevant(task: SearchTask, search) -> pd.DataFrame:
    corpus = task.open_corpus(search.corpus)
    wanted = set(search.qrels.loc[search.qrels["relevance"] > 0, "candidate"])
    rows = corpus_rows(corpus, sorted(wanted), f"{task.name}, {search.corpus}").sort_values()
    return pd.DataFrame({"id": rows.index, "language": search.candidate_language, "text": corpus.select(rows.to_numpy())["text"]})
