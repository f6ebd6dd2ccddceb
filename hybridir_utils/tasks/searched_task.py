"""The search task: questions, and large corpora on disk that are searched to a depth instead of being ranked in full.

Questions without a relevant passage take no part, as in the full rankings of `tasks`; questions of one search share a language.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.files import fingerprint
from ..provenance.fingerprints import code_fingerprint
from .retrieval_task import check_texts

if TYPE_CHECKING:
    from datasets import Dataset

MOST = 0.5  # of the passages judged relevant that must be in the corpus
CHUNK = 100_000  # rows of a memory-mapped table looked at together


@dataclass(frozen=True)
class Search:
    """The questions of one language, searched in one corpus.

    corpus: its name in the task. queries: columns id (unique), group (the same for translations of a question), language, text.
    Judged either by qrels (columns query, candidate, relevance: an int, above 0 is relevant) or by answers: question id -> gold
    answer strings, of which a passage must hold one. Raises InputError naming the id when ids repeat, a text is empty, or
    judgements name an unknown question.
    """

    query_language: str
    candidate_language: str
    corpus: str
    queries: pd.DataFrame
    qrels: pd.DataFrame | None = None
    answers: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self):
        _check(self)
        if self.qrels is not None:
            judged = set(self.qrels["query"][self.qrels["relevance"] > 0])
        else:
            judged = {query for query, answers in self.answers.items() if answers}
        kept = self.queries[self.queries["id"].isin(judged)].reset_index(drop=True)
        if kept.empty:
            raise InputError(f"{self.label}: none of {len(self.queries)} questions has a relevant passage or an answer.")
        object.__setattr__(self, "queries", kept)

    @property
    def label(self) -> str:
        return f"{self.query_language} -> {self.candidate_language} in {self.corpus}"

    @property
    def setting(self) -> str:
        return "monolingual" if self.query_language == self.candidate_language else "cross-lingual"


@dataclass(frozen=True)
class SearchTask:
    """name: shown in tables. measures: nDCG@k, R@k (share of the relevant passages in the top k), RR@k, AP@k, or Recall@k (a gold
    answer stands in the top k; needs answers). open_corpus: name of a corpus -> memory-mapped Dataset (id, text).
    skip_own: a passage with the question's own id is no hit (BEIR's sets whose questions stand in the corpus).
    """

    name: str
    measures: tuple[str, ...]
    searches: tuple[Search, ...]
    open_corpus: Callable[[str], Dataset]
    skip_own: bool = False

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the corpora, each once, in the order of the searches."""
        return tuple(dict.fromkeys(search.corpus for search in self.searches))


def passages(part: Dataset, clean: Callable[[str], str] = str) -> Dataset:
    """A corpus (id, text, title where there is one) as (id, text): title, blank, text, as MTEB and BEIR join them.

    clean: a function of a package module, applied to the joined text. The result lies in the data sets' cache and is memory-mapped;
    it is made anew when the package's code for it changes.
    """
    from datasets import Features, Value

    def join(rows):
        titles = rows.get("title") or [""] * len(rows["text"])
        texts = (f"{title or ''} {text or ''}".strip() for title, text in zip(titles, rows["text"], strict=True))
        return {"id": [str(id_) for id_ in rows["id"]], "text": [clean(text) for text in texts]}

    makers = (passages,) if clean is str else (passages, clean)
    key = fingerprint({"rows": part._fingerprint, "clean": clean.__qualname__, "code": code_fingerprint(*makers)})[:32]
    features = Features({"id": Value("string"), "text": Value("string")})
    return part.map(join, batched=True, remove_columns=part.column_names, features=features, new_fingerprint=key, desc="joining titles")


def corpus_rows(corpus: Dataset, ids: Sequence[str], where: str) -> pd.Series:
    """id -> row of those of `ids` that stand in the corpus; reads the id column in chunks. Raises InputError when one stands twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted, found, first = pa.array(sorted(set(ids)), pa.string()), [], 0
    for batch in corpus.select_columns(["id"]).with_format("arrow").iter(CHUNK):
        column = batch["id"].combine_chunks().cast(pa.string())
        rows = np.flatnonzero(pc.is_in(column, wanted).to_numpy(zero_copy_only=False))
        found.append(pd.Series(rows + first, index=column.take(pa.array(rows)).to_pylist(), dtype=np.int64))
        first += len(column)
    rows = pd.concat(found) if found else pd.Series(dtype=np.int64)
    if rows.index.has_duplicates:
        raise InputError(f"{where}: passage {rows.index[rows.index.duplicated()][0]!r} stands twice in the corpus; ids must be unique.")
    return rows


def relevant_rows(search: Search, rows: pd.Series, name: str) -> pd.DataFrame:
    """The judgements with corpus rows for ids: columns query, row, relevance, of the passages that are there.

    rows: of `corpus_rows`. A passage judged irrelevant may be missing (pools of hard negatives leave some out); relevant ones that are
    missing are left out with a warning, as published sets have some. Raises InputError where most are.
    """
    row = search.qrels["candidate"].map(rows)
    relevant = search.qrels["relevance"] > 0
    missing = search.qrels[row.isna() & relevant]
    if len(missing):
        found = (
            f"{name}, {search.label}: {missing['candidate'].nunique()} passages judged relevant are not in the corpus, such as "
            f"{missing['candidate'].iloc[0]!r} (question {missing['query'].iloc[0]!r})"
        )
        if len(missing) > (1 - MOST) * relevant.sum():
            raise InputError(f"{found}. Corpus and judgements are of different revisions, or one is cut off; fetch both again.")
        warnings.warn(f"{found}; they are left out.", stacklevel=2)
    table = search.qrels.assign(row=row).dropna(subset="row").astype({"row": np.int64})
    return table[["query", "row", "relevance"]]


def _check(search: Search) -> None:
    frame = search.queries
    if (search.qrels is None) == (search.answers is None):
        raise InputError(f"{search.label}: a search is judged by qrels or by answers; give one of them.")
    check_texts(search.label, "question", frame)
    judged = search.qrels["query"] if search.qrels is not None else search.answers
    unknown = set(judged) - set(frame["id"])
    if unknown:
        raise InputError(f"{search.label}: the judgements name question {min(unknown)!r}, which is not among its {len(frame)} questions.")
