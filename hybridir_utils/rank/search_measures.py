"""Measures of ranked lists cut at a depth: trec_eval's through ir-measures, and the share of questions answered in the top k."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..tasks.answer_match import token_text, usable

ANSWERED = "Recall@"  # of open-domain question answering; R@k is the share of a question's relevant passages
Texts = Callable[[np.ndarray], Sequence[str]]
BATCH = 500  # questions whose passages are held at once


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
