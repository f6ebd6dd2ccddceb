"""Retrieval tasks from SQuAD-format question answering sets, as LAReQA builds them (arXiv 2004.05484, section 3.1).

Candidates are all sentences of all paragraphs of all languages; a sentence is told apart by language, paragraph and position, so
equal texts stay separate. Relevant to a question are the sentences in which an answer starts ([start, end) of the sentence
break), and those of the same question id in the other languages.
"""

from __future__ import annotations

import difflib
import html
import unicodedata
import warnings
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..base.errors import InputError, did_you_mean, need_folder
from ..base.files import read_json
from ..base.languages import XQUAD_R_LANGUAGES, by_language, pick_languages
from .retrieval_task import TEXT_COLUMNS, RetrievalTask
from .sentences import sentence_spans

MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
KEYS = {"file": ("data",), "article": ("paragraphs",), "paragraph": ("context", "qas")}  # of each kind of object; others are ignored
BAD_SHARE = 0.05  # of a file's questions that may be left out as unusable
SAME_SENTENCE = 0.5  # least similarity of a given sentence and the text between its breaks: some files wrote the two in different ways
FORMS = (str, *(lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD")), html.unescape)  # offsets count in


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


def squad_folder(folder: Path, bad_share: float = BAD_SHARE) -> RetrievalTask:
    """A user's own set: one SQuAD-format file `<language>.json` a language; the folder's name becomes the task's.

    Questions with the same id in several files are translations of each other. `sentences` with `sentence_breaks` are used where a
    paragraph has them, else `sentence_spans` splits it. bad_share: as of `read_squad_json`. Raises InputError when no file is there.
    """
    need_folder(folder := Path(folder))
    names = by_language((path.stem for path in folder.glob("*.json")), folder)
    if not names:
        raise InputError(f"{folder}: no <language>.json file; expected SQuAD-format files such as en.json.")
    files = {language: read_squad_json(folder / f"{name}.json", bad_share) for language, name in names.items()}
    _warn_of_counters(folder, files)
    return _task(folder.resolve().name, files)


def _warn_of_counters(folder: Path, files: dict[str, list[Paragraph]]) -> None:
    """Ids that are running numbers in several languages may be each file's own, and the questions unrelated."""
    ids = {language: [q.id for paragraph in paragraphs for q in paragraph.questions] for language, paragraphs in files.items()}
    counters = [
        language
        for language, own in ids.items()
        if all(id_.isdecimal() and len(id_) < 20 for id_ in own) and max(map(int, own)) < 2 * len(own)
    ]
    if len(counters) > 1:
        warnings.warn(
            f"{folder}: the ids of {', '.join(counters)} look like running numbers; questions with the same id count as translations of "
            f"each other. Where they are not, put the language before each id ({counters[0]}-1).",
            stacklevel=3,
        )


def _read_languages(folder: Path, languages: Iterable[str]) -> dict[str, list[Paragraph]]:
    return {language: read_squad_json(Path(folder) / f"{language}.json", bad_share=0) for language in languages}


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


def read_squad_json(path: Path, bad_share: float = BAD_SHARE) -> list[Paragraph]:
    """Paragraphs of a SQuAD-format file, in file order; the running number of a paragraph is its place in the list.

    Questions marked `is_impossible` are left out, and so are unusable ones (no answer, one that is not where it is said to be, an id that
    stands twice), as long as they are at most bad_share of the file's; a warning counts them by reason. An answer may differ from its
    context in case, blanks, Unicode's form and HTML entities. Raises InputError naming the file and the first faults with their paragraph
    and question: too many unusable questions, a key that is missing, sentence breaks out of order or beside their sentences.
    """
    document, problems, left = read_json(path), [], Left()
    articles = _objects(document, "file", "data", "file", problems)
    raw = [value for n, article in enumerate(articles) for value in _objects(article, "article", "paragraphs", f"article {n}", problems)]
    paragraphs = [_paragraph(value, f"paragraph {n}", problems, left) for n, value in enumerate(raw)]
    if not raw and not problems:
        problems.append("no paragraphs at all")
    if problems:
        first = "; ".join(problems[:5]) + (" …" if len(problems) > 5 else "")
        raise InputError(f"{path}: {len(problems)} problem(s) in what should be a SQuAD file: {first}")
    left.judge(path, sum(len(paragraph.questions) for paragraph in paragraphs), bad_share)
    return paragraphs


class Left:
    """The questions of a file that are left out: reason -> places. ids: of the file's questions -> their paragraph."""

    def __init__(self):
        self.unanswerable, self.bad, self.ids = 0, {}, {}

    def out(self, place: str, reason: str, detail: str = "") -> None:
        self.bad.setdefault(reason, []).append(place + (f": {detail}" if detail else ""))

    def judge(self, path: Path, kept: int, bad_share: float) -> None:
        """Warn of what was left out; raises InputError where it is more than bad_share, or where nothing is kept."""
        count = sum(map(len, self.bad.values()))
        reasons = [f"{len(places)} × {reason} (such as {'; '.join(places[:3])})" for reason, places in self.bad.items()]
        reasons += [f"{self.unanswerable} × marked as unanswerable"] * bool(self.unanswerable)
        if not kept or count > bad_share * (kept + count):
            bound = f" At most {bad_share:.0%} of a file's questions are left out (`bad_share`)." if kept else ""
            raise InputError(
                f"{path}: {count + self.unanswerable} problem(s), {kept} usable questions; {', '.join(reasons) or 'no questions'}.{bound}"
            )
        if count:
            warnings.warn(f"{path}: left out {', '.join(reasons)}; {kept} questions are kept.", stacklevel=4)


def _paragraph(value: object, place: str, problems: list[str], left: Left) -> Paragraph | None:
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
    questions = tuple(filter(None, (_question(qa, context, breaks, place, left) for qa in value["qas"])))
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
    except (TypeError, ValueError, OverflowError):
        fine = False
    if not fine:
        problems.append(f"{place}: 'sentences' and 'sentence_breaks' must be equally long, in order, inside the context and not empty")
        return None
    breaks = tuple(zip(edges[::2], edges[1::2], strict=True))
    for sentence, (start, end) in zip(sentences, breaks, strict=True):
        there = value["context"][start:end]
        if sentence != there and difflib.SequenceMatcher(None, _level(sentence), _level(there)).ratio() < SAME_SENTENCE:
            problems.append(f"{place}: the sentence {sentence!r} is not between its breaks, where the context has {there!r}")
    return breaks


def _question(qa: object, context: str, breaks: tuple | None, place: str, left: Left) -> Question | None:
    """The question with those of its answers that are where they should be; None, with the reason noted, where it is left out."""
    id_ = qa.get("id") if isinstance(qa, dict) else None
    id_ = str(id_) if type(id_) is int else id_
    if not isinstance(id_, str) or not id_.strip():
        return left.out(place, "a question without an id")
    answers, place = qa.get("answers") or [], f"{place}, question {id_!r}"
    if qa.get("is_impossible") is True:
        left.unanswerable += 1
    elif not isinstance(qa.get("question"), str) or not qa["question"].strip():
        left.out(place, "empty question")
    elif id_ in left.ids:
        left.out(place, "an id that already stands", f"in {left.ids[id_]}")
    elif not isinstance(answers, list) or not answers:
        left.out(place, "no answer")
    else:
        left.ids[id_] = place.partition(",")[0]
        found = [_answer_start(answer, context, breaks) for answer in answers]
        starts = tuple(start for start in found if isinstance(start, int))
        if starts:
            return Question(id_, qa["question"], starts)
        left.out(place, *found[0])
    return None


def _answer_start(answer: object, context: str, breaks: tuple | None) -> int | tuple[str, str]:
    """Where an answer starts in the context, or (reason, detail) why that cannot be said."""
    answer = answer if isinstance(answer, dict) else {}
    text, start = answer.get("text"), _whole(answer.get("answer_start"))
    if not isinstance(text, str) or not text.strip():
        return "an answer whose text is empty (a blinded test set?)", ""
    if start is None:
        return "an answer_start that is no whole number", f"found {answer.get('answer_start')!r}"
    found = start if start >= 0 and context.startswith(text, start) else _levelled_start(text, start, context)
    if found is None and not 0 <= start <= len(context) - len(text):
        return "an answer outside its context", f"it starts at {start} and has {len(text)} characters, the context {len(context)}"
    if found is None:
        there = context[start : start + len(text)]
        return "an answer that is not where it is said to start (count characters, not bytes)", f"{there!r} is at {start}, not {text!r}"
    if breaks and not any(a <= found < b for a, b in breaks):
        return "an answer between two sentence breaks", f"it starts at {found}"
    return found


def _whole(value: object) -> int | None:
    """A whole number that may be written as a text or a float."""
    try:
        return int(value) if not isinstance(value, bool) and float(value) == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _levelled_start(text: str, start: int, context: str) -> int | None:
    """Where in the context an answer starts that is equal but for case, blanks, form and entities, its offset counted in one of FORMS."""
    for form in FORMS:
        place = bisect_right(range(len(context) + 1), start, key=lambda end, form=form: len(form(context[:end]))) - 1
        if place >= 0 and _level(context[place:]).startswith(_level(text)):
            return place + len(context[place:]) - len(context[place:].lstrip())
    return None


def _level(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", html.unescape(text)).casefold().split())


def _has_keys(value: object, kind: str, place: str, problems: list[str]) -> bool:
    """Whether `value` is an object with the keys of its kind; notes one that is missing, with the nearest that is there."""
    if not isinstance(value, dict):
        problems.append(f"{place}: expected a JSON object ({kind}), found {type(value).__name__}")
        return False
    missing = [key for key in KEYS[kind] if key not in value]
    problems += [f"{place}: key {key!r} is missing{did_you_mean(key, value).rstrip('.')}" for key in missing]
    return not missing


def _objects(value: object, kind: str, key: str, place: str, problems: list[str]) -> list:
    """The list under `key`, or an empty one with the problem noted."""
    if not _has_keys(value, kind, place, problems):
        return []
    if not isinstance(value[key], list):
        problems.append(f"{place}: {key!r} must be a list")
        return []
    return value[key]
