"""Retrieval tasks from SQuAD-format question answering sets, as LAReQA builds them (arXiv 2004.05484, section 3.1).

Candidates are all sentences of all paragraphs of all languages; a sentence is told apart by language, paragraph and position, so
equal texts stay separate. Relevant to a question are the sentences in which an answer starts ([start, end) of the sentence
break), and those of the same question id in the other languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..base.errors import InputError, did_you_mean
from ..base.files import read_json
from ..base.languages import XQUAD_R_LANGUAGES, check_languages, pick_languages
from .retrieval_task import TEXT_COLUMNS, RetrievalTask
from .sentences import sentence_spans

MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
KEYS = {  # of each kind of object: required, optional
    "file": ({"data"}, {"version"}),
    "article": ({"paragraphs"}, {"title"}),
    "paragraph": ({"context", "qas"}, {"sentences", "sentence_breaks", "document_id"}),
    "question": ({"id", "question", "answers"}, {"is_impossible", "plausible_answers"}),
    "answer": ({"text", "answer_start"}, {"answer_end"}),
}


@dataclass(frozen=True)
class Question:
    """A question and where its answers start: character offsets into the paragraph's context."""

    id: str
    text: str
    answer_starts: tuple[int, ...]


@dataclass(frozen=True)
class Paragraph:
    """A context, its questions and, where the file gives them, its sentences with their [start, end) in the context."""

    context: str
    questions: tuple[Question, ...]
    sentences: tuple[str, ...] | None
    breaks: tuple[tuple[int, int], ...] | None


def xquad_r(folder: Path, languages: Iterable[str] = ()) -> RetrievalTask:
    """XQuAD-R from `<language>.json` with the published `sentences`: 1,190 questions a language, 13,014 candidates in all 11.

    No languages: all. Raises UnknownName for one that it lacks, InputError when a file is missing, malformed or lacks `sentences`
    (XQuAD's own files do).
    """
    files = _read_languages(folder, pick_languages("XQuAD-R", languages, XQUAD_R_LANGUAGES))
    for language, paragraphs in files.items():
        if any(paragraph.sentences is None for paragraph in paragraphs):
            raise InputError(f"{Path(folder) / language}.json: no 'sentences'; expected LAReQA's XQuAD-R, not XQuAD. See data/README.md.")
    return _task("XQuAD-R", files)


def mlqa_r(folder: Path, languages: Iterable[str] = ()) -> RetrievalTask:
    """MLQA-R from MLQA v1 dev files `<language>.json` whose context and question are in one language, split by `sentence_spans`.

    A question has 2 to 4 relevant sentences, one in each language it exists in. LAReQA's own sentence breaks are no longer
    distributed: the questions are the same, the candidates differ a little.
    """
    return _task("MLQA-R", _read_languages(folder, pick_languages("MLQA-R", languages, MLQA_LANGUAGES)))


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


def _read_languages(folder: Path, languages: Iterable[str]) -> dict[str, list[Paragraph]]:
    return {language: read_squad_json(Path(folder) / f"{language}.json") for language in languages}


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
    queries = pd.DataFrame(queries, columns=TEXT_COLUMNS)
    relevance = queries.merge(pd.DataFrame(answers, columns=["group", "candidate"]), on="group")[["id", "candidate"]]
    return RetrievalTask(name, queries, pd.DataFrame(candidates, columns=TEXT_COLUMNS), relevance.rename(columns={"id": "query"}))


def _sentences(paragraph: Paragraph, language: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts and [start, end) of the sentences; spans of white space only are left out."""
    if paragraph.sentences is not None:
        return list(paragraph.sentences), list(paragraph.breaks)
    spans = [(a, b) for a, b in sentence_spans(paragraph.context, language) if paragraph.context[a:b].strip()]
    return [paragraph.context[a:b].strip() for a, b in spans], spans


def _answer_positions(question: Question, breaks: list[tuple[int, int]]) -> list[int]:
    return [i for i, (a, b) in enumerate(breaks) if any(a <= start < b for start in question.answer_starts)]


def read_squad_json(path: Path) -> list[Paragraph]:
    """Paragraphs of a SQuAD-format file, in file order; the running number of a paragraph is its place in the list.

    Raises InputError naming the file and the first problems with their paragraph number and question id: a key that is missing or
    unknown, an answer outside its context, a question without an answer, a question id that stands twice, sentence breaks out of order.
    """
    document, problems = read_json(path), []
    articles = _objects(document, "file", "data", "file", problems)
    raw = [value for n, article in enumerate(articles) for value in _objects(article, "article", "paragraphs", f"article {n}", problems)]
    paragraphs = [_paragraph(value, f"paragraph {n}", problems) for n, value in enumerate(raw)]
    problems += _repeated_ids(paragraphs)
    if not raw and not problems:
        problems.append("no paragraphs at all")
    if problems:
        first = "; ".join(problems[:5]) + (" …" if len(problems) > 5 else "")
        raise InputError(f"{path}: {len(problems)} problem(s) in what should be a SQuAD file: {first}")
    return paragraphs


def _paragraph(value: object, place: str, problems: list[str]) -> Paragraph | None:
    if not _has_keys(value, "paragraph", place, problems):
        return None
    context = value["context"]
    if not isinstance(context, str) or not context.strip():
        problems.append(f"{place}: empty context")
        return None
    breaks = _breaks(value, place, problems)
    if not isinstance(value["qas"], list):
        problems.append(f"{place}: 'qas' must be a list")
        return None
    questions = tuple(filter(None, (_question(qa, context, breaks, place, problems) for qa in value["qas"])))
    return Paragraph(context, questions, tuple(value["sentences"]) if breaks else None, breaks)


def _breaks(value: dict, place: str, problems: list[str]) -> tuple[tuple[int, int], ...] | None:
    """The published sentence breaks, or None where the paragraph has none; they may leave gaps, but not overlap."""
    sentences, breaks = value.get("sentences"), value.get("sentence_breaks")
    if sentences is None and breaks is None:
        return None
    try:
        edges = [int(edge) for pair in breaks for edge in pair]
        fine = len(edges) == 2 * len(sentences) > 0 and edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= len(value["context"])
        fine = fine and all(isinstance(text, str) and text.strip() for text in sentences)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        problems.append(f"{place}: 'sentences' and 'sentence_breaks' must be equally long, in order, inside the context and not empty")
        return None
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _question(qa: object, context: str, breaks: tuple | None, place: str, problems: list[str]) -> Question | None:
    if isinstance(qa, dict) and "id" in qa:
        place = f"{place}, question {qa['id']!r}"
    if not _has_keys(qa, "question", place, problems):
        return None
    if not isinstance(qa["question"], str) or not qa["question"].strip():
        problems.append(f"{place}: empty question")
        return None
    answers = qa["answers"] if isinstance(qa["answers"], list) else []
    if not answers:
        problems.append(f"{place}: no answer; drop questions without one")
        return None
    starts = tuple(answer["answer_start"] for answer in answers if _answer_is_fine(answer, context, breaks, place, problems))
    return Question(str(qa["id"]), qa["question"], starts) if len(starts) == len(answers) else None


def _answer_is_fine(answer: object, context: str, breaks: tuple | None, place: str, problems: list[str]) -> bool:
    if not _has_keys(answer, "answer", place, problems):
        return False
    text, start = answer["text"], answer["answer_start"]
    if not isinstance(text, str) or not text.strip():
        problem = "the answer's text is empty (a blinded test set?)"
    elif not isinstance(start, int) or not 0 <= start <= len(context) - len(text):
        problem = f"the answer starts at {start} and has {len(text)} characters, outside its context of {len(context)}"
    elif context[start : start + len(text)] != text:
        problem = f"the context has {context[start : start + len(text)]!r} at {start}, not the answer {text!r}; count characters, not bytes"
    elif breaks and not any(a <= start < b for a, b in breaks):
        problem = f"the answer starts at {start}, between two sentence breaks"
    else:
        return True
    problems.append(f"{place}: {problem}")
    return False


def _has_keys(value: object, kind: str, place: str, problems: list[str]) -> bool:
    """Whether `value` is an object with the keys of its kind; notes a missing or an unknown one."""
    required, optional = KEYS[kind]
    if not isinstance(value, dict):
        problems.append(f"{place}: expected a JSON object ({kind}), found {type(value).__name__}")
        return False
    known = required | optional
    problems += [f"{place}: unknown key {key!r}{did_you_mean(key, known).rstrip('.')}" for key in value if key not in known]
    missing = sorted(required - set(value))
    problems += [f"{place}: key {key!r} is missing" for key in missing]
    return not missing


def _objects(value: object, kind: str, key: str, place: str, problems: list[str]) -> list:
    """The list under `key`, or an empty one with the problem noted."""
    if not _has_keys(value, kind, place, problems):
        return []
    if not isinstance(value[key], list):
        problems.append(f"{place}: {key!r} must be a list")
        return []
    return value[key]


def _repeated_ids(paragraphs: list[Paragraph | None]) -> list[str]:
    home, problems = {}, []
    for number, paragraph in enumerate(paragraphs):
        for question in paragraph.questions if paragraph else ():
            if question.id in home:
                problems.append(f"paragraph {number}, question {question.id!r}: this id already stands in paragraph {home[question.id]}")
            home.setdefault(question.id, number)
    return problems
