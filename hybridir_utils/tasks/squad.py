"""Retrieval tasks from SQuAD-format question answering sets, as LAReQA builds them (arXiv 2004.05484, section 3.1).

Candidates are all sentences of all paragraphs of all languages; a sentence is told apart by language, paragraph and position, so
equal texts stay separate. Relevant to a question are the sentences in which an answer starts ([start, end) of the sentence
break), and those of the same question id in the other languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.languages import XQUAD_R_LANGUAGES, check_languages
from ..base.sentences import sentence_spans
from .retrieval_task import RetrievalTask
from .squad_format import Paragraph, Question, read_squad_json

MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")

# LAReQA's README of 2020 (google-research-datasets/lareqa, commit 343180b) counts MLQA-R so; its file was withdrawn later.
MLQA_R_PUBLISHED = pd.DataFrame(
    {"questions": (517, 512, 1148, 500, 507, 511, 504), "candidates": (2545, 2362, 6264, 1787, 2426, 2828, 2322)}, index=MLQA_LANGUAGES
)


def xquad_r(folder: Path, languages: Iterable[str] = XQUAD_R_LANGUAGES) -> RetrievalTask:
    """XQuAD-R from `<language>.json` with the published `sentences`: 1,190 questions a language, 13,014 candidates in all 11.

    Raises InputError when a file is missing, malformed or lacks `sentences` (XQuAD's own files do).
    """
    files = {language: read_squad_json(Path(folder) / f"{language}.json") for language in check_languages(languages)}
    for language, paragraphs in files.items():
        if any(paragraph.sentences is None for paragraph in paragraphs):
            raise InputError(f"{Path(folder) / language}.json: no 'sentences'; expected LAReQA's XQuAD-R, not XQuAD. See data/README.md.")
    return _task("XQuAD-R", files)


def mlqa_r(folder: Path, languages: Iterable[str] = MLQA_LANGUAGES) -> RetrievalTask:
    """MLQA-R from MLQA v1 dev files `<language>.json` whose context and question are in one language, split by `sentence_spans`.

    A question has 2 to 4 relevant sentences, one in each language it exists in. LAReQA's own sentence breaks are no longer
    distributed: the questions are the same, the candidates differ a little; `mlqa_r_counts` shows by how many.
    """
    files = {language: read_squad_json(Path(folder) / f"{language}.json") for language in check_languages(languages)}
    return _task("MLQA-R", files)


def mlqa_r_counts(task: RetrievalTask) -> pd.DataFrame:
    """Questions and candidates per language: ours, LAReQA's published count, and the difference in per cent of the published one."""
    ours = task.summary()[["questions", "candidates"]]
    published = MLQA_R_PUBLISHED.reindex(ours.index)
    table = ours.join(published, rsuffix="_published")
    return table.assign(candidates_difference_percent=(100 * (ours["candidates"] / published["candidates"] - 1)).round(1))


def squad_folder(folder: Path) -> RetrievalTask:
    """A user's own set: one SQuAD-format file `<language>.json` a language; the folder's name becomes the task's.

    Questions with the same id in several files are translations of each other. `sentences` with `sentence_breaks` are used where a
    paragraph has them, else `sentence_spans` splits it. Raises InputError when no file is there, UnknownName for an unknown language.
    """
    folder = Path(folder)
    paths = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if not paths:
        raise InputError(f"{folder}: no <language>.json file; expected SQuAD-format files such as en.json.")
    check_languages(paths)
    return _task(folder.resolve().name, {language: read_squad_json(path) for language, path in paths.items()})


def _task(name: str, files: dict[str, list[Paragraph]]) -> RetrievalTask:
    """The task over all files; ids are language:paragraph:position and language:question id, the group of a query its question id."""
    queries, candidates, answers = [], [], []
    for language, paragraphs in files.items():
        for number, paragraph in enumerate(paragraphs):
            texts, breaks = _sentences(paragraph, language)
            ids = [f"{language}:{number}:{position}" for position in range(len(texts))]
            candidates += [(id_, id_, language, text) for id_, text in zip(ids, texts, strict=True)]
            for question in paragraph.questions:
                queries.append((f"{language}:{question.id}", question.id, language, question.text))
                answers += [(question.id, ids[position]) for position in _answer_positions(question, breaks)]
    columns = ["id", "group", "language", "text"]
    queries = pd.DataFrame(queries, columns=columns)
    relevance = queries.merge(pd.DataFrame(answers, columns=["group", "candidate"]), on="group")[["id", "candidate"]]
    return RetrievalTask(name, queries, pd.DataFrame(candidates, columns=columns), relevance.rename(columns={"id": "query"}))


def _sentences(paragraph: Paragraph, language: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts and [start, end) of the sentences; spans of white space only are left out."""
    if paragraph.sentences is not None:
        return list(paragraph.sentences), list(paragraph.breaks)
    spans = [(a, b) for a, b in sentence_spans(paragraph.context, language) if paragraph.context[a:b].strip()]
    return [paragraph.context[a:b].strip() for a, b in spans], spans


def _answer_positions(question: Question, breaks: list[tuple[int, int]]) -> list[int]:
    return [i for i, (a, b) in enumerate(breaks) if any(a <= start < b for start in question.answer_starts)]
