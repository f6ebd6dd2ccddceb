"""MIRACL's dev split (Zhang et al. 2023, arXiv 2210.09984): Wikipedia passages and questions in 18 languages, each searched in its own.

nDCG@10 and R@100, as published. `miracl` searches pools of hard negatives (2.4 M passages in all), `miracl-full` every passage (106 M).
The pools hold each question's best 250 passages of three systems: scores are higher than on the full corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..base.evaluation_sets import EVALUATION_SETS, EvaluationSet, pick_languages, set_part
from ..base.hub_layout import read_qrels, read_questions
from .searches import Search, SearchTask, passages

NAMES = {"miracl": "MIRACL", "miracl-full": "MIRACL (full)"}


def miracl_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The task `miracl` or `miracl-full`; no languages: all 18. Raises UnknownName for a language MIRACL lacks, and InputError."""
    entry = EVALUATION_SETS[name]
    picked = pick_languages(NAMES[name], languages, entry.languages)
    searches = [Search(code, code, code, read_questions(entry, code, code, data_dir), read_qrels(entry, code, data_dir)) for code in picked]
    return SearchTask(NAMES[name], ("nDCG@10", "R@100"), tuple(searches), partial(_corpus, entry, data_dir))


def _corpus(entry: EvaluationSet, data_dir: str, language: str):
    return passages(set_part(entry, f"{language}-corpus", ("id", "text"), data_dir))
