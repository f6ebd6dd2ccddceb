"""The retrieval task: queries, candidates, which candidate is relevant to which query, and which texts are translations of each other.

A task may be parallel: the same question (or passage) in several languages shares a `group`. Identity of a row is
its `id`, so two candidates with equal text stay two candidates (LAReQA, PAPER §3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.languages import pick_languages

TEXT_COLUMNS = ["id", "group", "language", "text"]
SIDES = ("question", "passage")


@dataclass(frozen=True, repr=False)
class RetrievalTask:
    """Queries, candidates and relevance of one evaluation set.

    name: shown in tables. queries, candidates: frames with columns id (unique), group, language, text.
    relevance: frame with columns query, candidate (ids) and, where relevance is graded, gain (a number above 0). Rows are kept in language
    order of `languages`, so that the candidates of one language are contiguous. skip_own: a candidate with a question's own id is left out
    of its lists, unless it is relevant to it (BEIR's sets whose questions stand in the corpus). Raises InputError naming the row when ids
    repeat, a text is empty, or relevance names an unknown id or a gain that is not above 0.
    """

    name: str
    queries: pd.DataFrame
    candidates: pd.DataFrame
    relevance: pd.DataFrame
    skip_own: bool = False

    def __post_init__(self):
        sides = {kind: getattr(self, kind)[TEXT_COLUMNS] for kind in ("queries", "candidates")}
        for kind, frame in sides.items():
            if frame.empty:
                raise InputError(f"task {self.name}: no {kind}; expected at least one row. Check the folder it was read from.")
            check_texts(f"task {self.name}", kind, frame)
        order = {language: i for i, language in enumerate(self.languages)}
        for kind, frame in sides.items():
            frame = frame.iloc[np.argsort(frame["language"].map(order).to_numpy(), kind="stable")]
            object.__setattr__(self, kind, frame.reset_index(drop=True))
        _check_relevance(self)

    def __repr__(self) -> str:
        counts = f"{len(self.queries):,} questions, {len(self.candidates):,} candidates"
        return f"<RetrievalTask {self.name}: {counts}, languages {', '.join(self.languages)}>"

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
        return self._judged[0]

    @cached_property
    def gains(self) -> np.ndarray | None:
        """[R] float: how relevant each of `relevant_pairs` is; None where all are alike."""
        return self.relevance["gain"].to_numpy(dtype=float)[self._judged[1]] if "gain" in self.relevance else None

    @cached_property
    def own_pairs(self) -> np.ndarray:
        """[P, 2] int: (query row, candidate row) that have one id and are left out of the rankings (`skip_own`)."""
        candidate = pd.Index(self.candidates["id"]).get_indexer(self.queries["id"] if self.skip_own else [])
        pairs = np.stack([np.flatnonzero(candidate >= 0), candidate[candidate >= 0]], axis=1)
        width = len(self.candidates)
        return pairs[~np.isin(pairs @ [width, 1], self.relevant_pairs @ [width, 1])]

    @cached_property
    def _judged(self) -> tuple[np.ndarray, np.ndarray]:
        """`relevant_pairs`, and the row of `relevance` of each."""
        query_row = pd.Index(self.queries["id"]).get_indexer(self.relevance["query"])
        candidate_row = pd.Index(self.candidates["id"]).get_indexer(self.relevance["candidate"])
        order = np.lexsort((candidate_row, query_row))
        return np.stack([query_row, candidate_row], axis=1)[order], order

    def summary(self) -> pd.DataFrame:
        """Questions, candidates and relevant candidates per language (a table for readers)."""
        language_of = self.candidates.set_index("id")["language"]
        sides = {"questions": self.queries["language"], "candidates": self.candidates["language"]}
        sides["relevant"] = language_of.loc[self.relevance["candidate"]]
        table = pd.DataFrame({side: languages.value_counts() for side, languages in sides.items()})
        return table.reindex(self.languages).fillna(0).astype(int)


def task_from_pairs(name: str, pairs) -> RetrievalTask:
    """Questions of parallel pairs against their own passages; every translation of the answer passage is relevant."""
    return task_from_rows(name, pairs.to_pandas(), ("id", "question"), ("passage_id", "passage"))


def task_from_rows(name: str, rows: pd.DataFrame, question: tuple[str, str], passage: tuple[str, str]) -> RetrievalTask:
    """As `task_from_pairs`. rows: a question and its passage each, with their language; question, passage: columns of group and text."""
    queries, candidates = _side(rows, *question), _side(rows, *passage).drop_duplicates("id")
    wanted = queries[["id"]].assign(group=rows[passage[0]].to_numpy())
    relevance = wanted.merge(candidates[["id", "group"]], on="group", suffixes=("_query", "_candidate"))
    relevance = relevance.rename(columns={"id_query": "query", "id_candidate": "candidate"})[["query", "candidate"]]
    return RetrievalTask(name, queries, candidates, relevance)


def _side(rows: pd.DataFrame, group: str, text: str) -> pd.DataFrame:
    ids = rows["language"] + ":" + rows[group]
    return pd.DataFrame({"id": ids, "group": rows[group], "language": rows["language"], "text": rows[text]})


@dataclass(frozen=True)
class ParallelQuestions:
    """Questions of which each stands in several languages. texts: frame with columns id (unique), group, language, text.

    Raises InputError when a group has two questions in one language, or no two languages share two groups.
    """

    name: str
    texts: pd.DataFrame

    def __post_init__(self):
        twice = self.texts[self.texts.duplicated(["group", "language"])]
        if len(twice):
            row = twice.iloc[0]
            raise InputError(f"{self.name}: question {row['group']!r} stands twice in {row['language']!r}; keep one text of it a language.")
        if not shares_two_groups(self.texts):
            raise InputError(
                f"{self.name}: no two languages share two questions, so there are no translations to find. Set question_task to a set of "
                "parallel questions, such as mkqa-questions or belebele, or give translations the same group."
            )

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(self.texts["language"].unique()))

    def only(self, languages: Sequence[str]) -> ParallelQuestions:
        """The questions in some of the languages; none given: all. Raises UnknownName for another language."""
        picked = pick_languages(self.name, languages, self.languages)
        return ParallelQuestions(self.name, self.texts[self.texts["language"].isin(picked)].reset_index(drop=True))

    def counts(self) -> pd.DataFrame:
        """By language: questions, and missing: questions that stand in another language only. A pair of languages is evaluated on the
        questions that both have.
        """
        questions = self.texts["language"].value_counts().sort_index()
        return pd.DataFrame({"questions": questions, "missing": self.texts["group"].nunique() - questions})


def parallel_rows(task: RetrievalTask, side: str) -> pd.DataFrame:
    """The texts of one of SIDES that have a translation in the task: row (of `task.queries` or `task.candidates`), group, language.

    Of the passages only the relevant ones, grouped as the candidates are; where no two of these share a group (XQuAD-R), passages that
    answer the same question are translations, as far as it has one a language. No rows where no two languages share two groups.
    """
    if side == "question":
        return _shared(_rows(task.queries, np.arange(len(task.queries))))
    relevant = np.unique(task.relevant_pairs[:, 1])
    by_group = _shared(_rows(task.candidates, relevant))
    return by_group if len(by_group) else _shared(_by_question(task))


def shares_two_groups(frame: pd.DataFrame) -> bool:
    """Whether two languages have at least two groups in common: less than that, and a translation cannot be told from another text."""
    if frame.empty:
        return False
    group, language = (pd.factorize(frame[column])[0] for column in ("group", "language"))
    there = np.zeros((group.max() + 1, language.max() + 1), np.float32)  # sums of ones, exact, and quicker than those of integers
    there[group, language] = 1
    shared = there.T @ there
    return bool((shared[~np.eye(len(shared), dtype=bool)] >= 2).any())


def _rows(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    return frame.iloc[rows][["group", "language"]].assign(row=rows)[["row", "group", "language"]].reset_index(drop=True)


def _by_question(task: RetrievalTask) -> pd.DataFrame:
    """Relevant passages with the group of the question they answer, each passage once."""
    query, candidate = task.relevant_pairs.T
    frame = _rows(task.candidates, candidate).assign(group=task.queries["group"].to_numpy()[query]).drop_duplicates()
    return _alone(frame).drop_duplicates("row")


def _shared(frame: pd.DataFrame) -> pd.DataFrame:
    """The texts that are alone in their group and language and whose group stands in several languages; none where that is too few."""
    alone = _alone(frame)
    several = alone[alone.groupby("group")["language"].transform("nunique") > 1]
    return several.reset_index(drop=True) if shares_two_groups(several) else frame.iloc[:0]


def _alone(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame.duplicated(["group", "language"], keep=False)]


def _codes(languages: pd.Series, order: tuple[str, ...]) -> np.ndarray:
    return pd.Categorical(languages, categories=order).codes.astype(np.int64)


def check_texts(where: str, kind: str, frame: pd.DataFrame) -> None:
    """Raise InputError, naming the first, where an id stands twice or a row lacks its text, language, group or id; kind: what a row is."""
    repeated = frame["id"][frame["id"].duplicated()]
    if len(repeated):
        raise InputError(f"{where}: {kind} id {repeated.iloc[0]!r} stands twice; ids must be unique.")
    for column in reversed(TEXT_COLUMNS):
        empty = frame["id"][~frame[column].map(lambda value: isinstance(value, str) and bool(value.strip())).astype(bool)]
        if len(empty):
            raise InputError(f"{where}: {kind} {empty.iloc[0]!r} has no {column} ({len(empty)} such rows); drop or fill them.")


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
    if task.gains is not None and not (task.gains > 0).all():
        row = task.relevance[~(task.relevance["gain"] > 0)].iloc[0].to_dict()
        raise InputError(f"task {task.name}: relevance has {row}; a gain is a number above 0. Drop what is not relevant.")
