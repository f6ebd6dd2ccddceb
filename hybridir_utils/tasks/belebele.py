"""Belebele (Bandarkar et al. 2023, arXiv 2308.16884) as retrieval: 900 questions to 488 FLORES passages, parallel in 122 language variants.

Relevant to a question is its passage, in every language. A variant that is not the usual script of its language keeps the script
in its code: `hi-Latn`, `zh-Hant`; dialects have their own (`arz`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from ..base.evaluation_sets import EVALUATION_SETS, pick_languages, set_part
from ..base.language_codes import our_code
from .retrieval_task import TEXT_COLUMNS, RetrievalTask

ENTRY = EVALUATION_SETS["belebele"]
COLUMNS = ("link", "question_number", "flores_passage", "question")


def belebele_codes() -> dict[str, str]:
    """Our code -> Belebele's (`ar` -> `arb_Arab`), one each."""
    variants = Counter(our_code(code, single=True) for code in ENTRY.languages)
    return {our_code(code, single=variants[our_code(code, single=True)] == 1): code for code in ENTRY.languages}


def belebele_task(languages: Sequence[str] = (), data_dir: str = "") -> RetrievalTask:
    """The task in the given languages; none: all 122, of which the 13 M relevant pairs take some GB. Raises UnknownName, InputError."""
    codes = belebele_codes()
    picked = pick_languages("Belebele", languages, tuple(codes))
    rows = pd.concat([_rows(codes[language], language, data_dir) for language in picked], ignore_index=True)
    rows["query_group"] = rows["link"] + "#" + rows["question_number"].astype(str)
    queries = _texts(rows, "query_group", "question")
    candidates = _texts(rows.drop_duplicates(["language", "link"]), "link", "flores_passage")
    wanted = pd.DataFrame({"query": queries["id"], "group": rows["link"]})
    relevance = wanted.merge(candidates[["group", "id"]], on="group").rename(columns={"id": "candidate"})
    return RetrievalTask("Belebele", queries, candidates, relevance[["query", "candidate"]])


def _rows(code: str, language: str, data_dir: str) -> pd.DataFrame:
    return set_part(ENTRY, code, COLUMNS, data_dir).select_columns(list(COLUMNS)).to_pandas().assign(language=language)


def _texts(rows: pd.DataFrame, group: str, text: str) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"id": rows["language"] + ":" + rows[group], "group": rows[group], "language": rows["language"], "text": rows[text]}
    )
    return frame[TEXT_COLUMNS]
