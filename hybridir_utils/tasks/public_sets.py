"""Evaluation sets (`data/evaluation_sets.toml`), on the hub at a pinned revision or in a local folder; and the readers of parallel ones,
which are ranked in full: Belebele, NTREX news, MKQA's questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..base.catalogue import Catalogue
from ..base.errors import InputError
from ..base.files import data_folder, read_jsonl, read_text, texts_of
from ..base.hub import HubSet, check_columns
from ..base.languages import by_language, pick_languages
from .retrieval_task import TEXT_COLUMNS, ParallelQuestions, RetrievalTask, task_from_rows

if TYPE_CHECKING:
    from datasets import Dataset

BELEBELE = ("link", "question_number", "flores_passage", "question")
NO_TEXT = ("document_ids",)  # beside NTREX' texts


class EvaluationSet(HubSet):
    """split: the one that is read. languages: the codes it uses; none where its folder's files tell."""

    split: str = ""
    languages: tuple[str, ...] = ()


EVALUATION_SETS = Catalogue("evaluation_sets.toml", EvaluationSet)


def set_part(entry: EvaluationSet, config: str, columns: Sequence[str], data_dir: str = "") -> Dataset:
    """One configuration's rows of the set's split, memory-mapped; `_id` is called `id`.

    Raises InputError or UnknownName, as `HubSet.load`, when the configuration, the split or a column is missing.
    """
    part = entry.load(config, entry.split, data_dir=data_dir)
    if "_id" in part.column_names and "id" not in part.column_names:
        part = part.rename_column("_id", "id")
    check_columns(f"{entry.name}, {config}", part, columns, entry.place)
    return part


def set_frame(entry: EvaluationSet, config: str, columns: Sequence[str], data_dir: str = "") -> pd.DataFrame:
    """These columns of `set_part`, in memory."""
    return set_part(entry, config, columns, data_dir).select_columns(list(columns)).to_pandas()


def belebele_task(languages: Sequence[str] = (), data_dir: str = "") -> RetrievalTask:
    """The task in the given languages; none: all 122, of which the 13 M relevant pairs take some GB. Raises UnknownName, InputError."""
    entry = EVALUATION_SETS["belebele"]
    codes = by_language(entry.languages, "belebele")  # `ar` -> `arb_Arab`
    picked = pick_languages("Belebele", languages, tuple(codes))
    parts = [set_frame(entry, codes[language], BELEBELE, data_dir).assign(language=language) for language in picked]
    rows = pd.concat(parts, ignore_index=True)
    rows["query_group"] = rows["link"] + "#" + rows["question_number"].astype(str)
    return task_from_rows("Belebele", rows, ("query_group", "question"), ("link", "flores_passage"))


def ntrex_task(languages: Sequence[str] = (), data_dir: str = "") -> RetrievalTask:
    """The task in the given languages; none: all but regional variants (120, of which the 13 M relevant pairs alone take some GB).

    Reads `<code>.txt` and `document_ids.txt` of `ntrex-news` below data_dir or HYBRIDIR_DATA. Raises UnknownName for a language
    without a file, InputError when the files are not aligned or a line is empty.
    """
    folder = data_folder("ntrex-news", data_dir)
    documents = _lines(folder / "document_ids.txt")
    codes = ntrex_codes(folder)
    picked = pick_languages("NTREX", languages, tuple(codes)) if languages else [code for code in codes if "-" not in code]
    rows = pd.concat([_ntrex_rows(folder / f"{codes[code]}.txt", code, documents) for code in picked], ignore_index=True)
    first = rows["document"] != rows.groupby("language")["document"].shift()
    queries, candidates = rows[first].assign(group=rows["document"]), rows[~first].assign(group=rows["line"].astype(str))
    relevance = queries[["id", "document"]].merge(candidates[["id", "document"]], on="document", suffixes=("_query", "_candidate"))
    relevance = relevance.rename(columns={"id_query": "query", "id_candidate": "candidate"})[["query", "candidate"]]
    return RetrievalTask("NTREX", queries[TEXT_COLUMNS], candidates[TEXT_COLUMNS], relevance)


def ntrex_codes(folder: Path) -> dict[str, str]:
    """Our code -> the file's name without `.txt`, one file a language."""
    return by_language((path.stem for path in Path(folder).glob("*.txt") if path.stem not in NO_TEXT), folder)


def _ntrex_rows(path: Path, language: str, documents: list[str]) -> pd.DataFrame:
    lines = _lines(path)
    if len(lines) != len(documents):
        raise InputError(f"{path}: {len(lines)} lines, but document_ids.txt has {len(documents)}; the lines of all files must match.")
    empty = [number for number, line in enumerate(lines, start=1) if not line.strip()]
    if empty:
        raise InputError(f"{path}, line {empty[0]}: empty; a sentence is expected in every line.")
    numbers = range(len(lines))
    return pd.DataFrame(
        {"id": [f"{language}:{n}" for n in numbers], "line": numbers, "document": documents, "language": language, "text": lines}
    )


def _lines(path: Path) -> list[str]:
    """Lines cut at line feeds alone: other separators of Unicode belong to the texts."""
    return read_text(path).removesuffix("\n").split("\n")


def mkqa_questions(languages: Sequence[str] = (), data_dir: str = "") -> ParallelQuestions:
    """The questions in the given languages; none: all that the folder has a file for.

    Reads `<code>.jsonl` of `mkqa-questions` below data_dir or HYBRIDIR_DATA (`zh_cn.jsonl` is zh): a line has `id`, whose part before the
    first `_` is the question's in all languages, and `question`. Raises InputError for a missing folder, a folder without files, a
    malformed line, an id that stands twice or ids that no other language has, UnknownName for a language without a file.
    """
    folder = data_folder("mkqa-questions", data_dir)
    codes = by_language((path.stem for path in folder.glob("*.jsonl")), folder)
    if not codes:
        raise InputError(f"{folder}: no <language>.jsonl in it; data/README.md says how the questions get there.")
    picked = pick_languages("MKQA's questions", languages, tuple(codes))
    parts = [_questions(folder / f"{codes[language]}.jsonl", language) for language in picked]
    return ParallelQuestions("mkqa-questions", pd.concat(parts, ignore_index=True))


def _questions(path: Path, language: str) -> pd.DataFrame:
    rows, seen = [], {}
    for number, row in read_jsonl(path, required=("id", "question")):
        row = texts_of(row, f"{path}, line {number}", ("id", "question"))
        group, text = row["id"].partition("_")[0], row["question"]
        if group in seen:
            raise InputError(f"{path}, line {number}: question {group!r} stands in line {seen[group]} already; keep one of them.")
        seen[group] = number
        rows.append((f"{language}:{group}", group, language, text))
    return pd.DataFrame(rows, columns=TEXT_COLUMNS)
