"""TREC NeuCLIR 2022-2024 (NeuCLIRBench, Lawrie et al. 2025, arXiv 2511.14758): English topics, news in Persian, Russian and Chinese.

Cross-lingual, graded judgements, nDCG@20 with linear gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.evaluation_sets import EVALUATION_SETS, pick_languages, set_file, set_part
from ..base.files import read_text
from ..base.language_codes import our_code
from .searches import Search, SearchTask, passages

TOPICS, DOCUMENTS = EVALUATION_SETS["neuclir"], EVALUATION_SETS["neuclir-documents"]


def neuclir_task(languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """English topics against the documents of each language (fa, ru, zh; none given: all). Raises UnknownName, InputError."""
    codes = {our_code(code): code for code in TOPICS.languages}
    queries = _topics(set_file(TOPICS, "data/news.eng.tsv", data_dir))
    searches = []
    for language in pick_languages("NeuCLIR", languages, tuple(codes)):
        qrels = _qrels(set_file(TOPICS, f"data/qrels.{codes[language]}.gains.txt", data_dir))
        searches.append(Search("en", language, codes[language], queries, qrels))
    return SearchTask("NeuCLIR", ("nDCG@20", "R@100"), tuple(searches), partial(_corpus, data_dir))


def _corpus(data_dir: str, code: str):
    return passages(set_part(DOCUMENTS, f"{code}-corpus", ("id", "text"), data_dir))


def _topics(path: Path) -> pd.DataFrame:
    frame = _table(path, "\t", ["id", "text"])
    return frame.assign(group=frame["id"], language="en")[["id", "group", "language", "text"]]


def _qrels(path: Path) -> pd.DataFrame:
    """TREC's four columns: topic, unused, document, gain."""
    frame = _table(path, None, ["query", "unused", "candidate", "relevance"])
    bad = frame[~frame["relevance"].str.fullmatch(r"-?\d{1,9}")]
    if len(bad):
        raise InputError(f"{path}: expected topic, unused field, document and a whole number as gain; found {' '.join(bad.iloc[0])!r}.")
    return frame.astype({"relevance": int})[["query", "candidate", "relevance"]]


def _table(path: Path, separator: str | None, names: list[str]) -> pd.DataFrame:
    """A table without a header and without quoting."""
    rows = [(number, line.split(separator)) for number, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]
    odd = next(((number, row) for number, row in rows if len(row) != len(names)), None)
    if odd:
        raise InputError(f"{path}, line {odd[0]}: expected {len(names)} columns ({', '.join(names)}), found {len(odd[1])}.")
    return pd.DataFrame([[field.strip() for field in row] for _, row in rows], columns=names, dtype=str)
