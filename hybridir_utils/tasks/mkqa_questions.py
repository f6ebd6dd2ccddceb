"""MKQA's questions alone (Longpre et al. 2021, arXiv 2007.15207): the same question in every language, no passages.

For question-to-question retrieval. MKQA with passages, in BGE-M3's protocol, is the task `mkqa`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.evaluation_sets import pick_languages
from ..base.files import read_jsonl
from ..base.language_codes import our_code
from ..base.places import data_folder
from .parallel_texts import ParallelQuestions
from .retrieval_task import TEXT_COLUMNS

NAME = "mkqa-questions"


def mkqa_questions(languages: Sequence[str] = (), data_dir: str = "") -> ParallelQuestions:
    """The questions in the given languages; none: all that the folder has a file for.

    Reads `<code>.jsonl` of `mkqa-questions` below data_dir or HYBRIDIR_DATA (`zh_cn.jsonl` is zh): a line has `id`, whose part before the
    first `_` is the question's in all languages, and `question`. Raises InputError for a missing folder, a folder without files, a
    malformed line, an id that stands twice or ids that no other language has, UnknownName for a language without a file.
    """
    folder = data_folder(NAME, data_dir)
    paths = {our_code(path.stem, single=True): path for path in sorted(folder.glob("*.jsonl"))}
    if not paths:
        raise InputError(f"{folder}: no <language>.jsonl in it; data/README.md gives the command that puts the questions there.")
    picked = pick_languages("MKQA's questions", languages, tuple(paths))
    return ParallelQuestions(NAME, pd.concat([_questions(paths[language], language) for language in picked], ignore_index=True))


def _questions(path: Path, language: str) -> pd.DataFrame:
    rows, seen = [], {}
    for number, row in read_jsonl(path, required=("id", "question")):
        group, text = str(row["id"]).partition("_")[0], row["question"]
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}, line {number}: 'question' must be a text that is not empty, found {text!r}.")
        if group in seen:
            raise InputError(f"{path}, line {number}: question {group!r} stands in line {seen[group]} already; keep one of them.")
        seen[group] = number
        rows.append((f"{language}:{group}", group, language, text))
    return pd.DataFrame(rows, columns=TEXT_COLUMNS)
