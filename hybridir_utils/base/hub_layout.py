"""The hub's layout of a retrieval set (MTEB's): configurations `<subset>-corpus`, `<subset>-queries`, `<subset>-qrels`."""

from __future__ import annotations

import pandas as pd

from .evaluation_sets import EvaluationSet, set_part

QRELS = {"query-id": "query", "corpus-id": "candidate", "score": "relevance"}


def read_questions(entry: EvaluationSet, subset: str, language: str, data_dir: str = "") -> pd.DataFrame:
    """Questions of a subset: columns id, group, language, text. Ids of other languages' questions mean other questions."""
    frame = set_part(entry, f"{subset}-queries", ("id", "text"), data_dir).select_columns(["id", "text"]).to_pandas()
    frame["id"] = frame["id"].astype(str)
    return frame.assign(group=language + ":" + frame["id"], language=language)[["id", "group", "language", "text"]]


def read_qrels(entry: EvaluationSet, subset: str, data_dir: str = "") -> pd.DataFrame:
    """Judgements of a subset: columns query, candidate, relevance (int)."""
    part = set_part(entry, f"{subset}-qrels", tuple(QRELS), data_dir).select_columns(list(QRELS))
    frame = part.to_pandas().rename(columns=QRELS)
    return frame.astype({"query": str, "candidate": str, "relevance": int})
