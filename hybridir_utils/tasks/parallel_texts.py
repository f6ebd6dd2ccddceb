"""Which texts of a task are translations of each other: its questions, and the passages that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.languages import pick_languages
from .retrieval_task import TEXT_COLUMNS, RetrievalTask

SIDES = ("question", "passage")


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


def questions_of(task: RetrievalTask) -> ParallelQuestions:
    """A task's questions. Raises InputError where they are not parallel."""
    return ParallelQuestions(task.name, task.queries[TEXT_COLUMNS])


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
