"""MKQA in BGE-M3's protocol (Chen et al. 2024, arXiv 2402.03216, section 4.2): a question in 25 languages, English Wikipedia passages.

Recall@k = share of questions of which a gold answer stands in one of the top k passages (`answer_match`), as RocketQA defines it.
Questions and English answers are BGE-M3's test file: questions that are unanswerable, yes/no or have a long answer are left out.
Passages are BEIR's Natural Questions corpus, title before text, lower-cased and with marks made uniform, as BGE-M3 encodes them.
The task of the name MKQARetrieval in MTEB is another one: there the passages are answer strings.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.evaluation_sets import EVALUATION_SETS, pick_languages, set_file, set_part
from ..base.files import parse_json
from ..base.language_codes import our_code
from .answer_match import usable
from .searches import Search, SearchTask, passages

QUESTIONS, CORPUS = EVALUATION_SETS["mkqa"], EVALUATION_SETS["nq"]
ARCHIVE = "MKQA_test-data.zip"
CORPUS_NAME = "nq"

# Contriever's normalisation of marks (Izacard et al. 2022), which BGE-M3 took over: one character for each kind of mark.
SAME = {
    "-": "‐‑⁃‒–—―−－⁻", '"': "“”„‟", "'": "’՚Ꞌꞌ＇‘‚‛`´′‵", "''": "″‶", "'''": "‴‷", "''''": "⁗", "/": "⁄∕", "...": "…",
    " ": "\x0b\x0c\x85", "": "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\xad",
}  # fmt: skip
MARKS = str.maketrans({character: mark for mark, characters in SAME.items() for character in characters})


def mkqa_task(languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """Recall@20 and @100 in the given languages (none: all 25; `zh`, `zh-HK` and `zh-TW` are Chinese). Raises UnknownName, InputError."""
    codes = {our_code(code): code for code in QUESTIONS.languages}
    picked = pick_languages("MKQA", languages, tuple(codes))
    archive = set_file(QUESTIONS, ARCHIVE, data_dir)
    searches = tuple(_search(archive, language, codes[language]) for language in picked)

    def open_corpus(name: str):
        return passages(set_part(CORPUS, "corpus", ("id", "text"), data_dir), clean=uniform)

    return SearchTask("MKQA", ("Recall@20", "Recall@100"), searches, open_corpus)


def uniform(text: str) -> str:
    """Lower case, one character for each kind of dash, quotation mark, slash and ellipsis, control characters dropped."""
    return re.sub(r" \. \. \. ", " ... ", text.lower().translate(MARKS))


def _search(archive: Path, language: str, code: str) -> Search:
    rows = [(str(row["id"]), row["question"], [answer for answer in row["answers"] if answer]) for row in _rows(archive, f"{code}.jsonl")]
    frame = pd.DataFrame([row[:2] for row in rows], columns=["id", "text"]).assign(language=language)
    queries = frame.assign(group=frame["id"])[["id", "group", "language", "text"]]
    return Search(language, "en", CORPUS_NAME, queries, answers={id_: answers for id_, _, answers in rows if usable(answers)})


def _rows(archive: Path, name: str) -> list[dict]:
    """The JSON lines of a file in the archive; raises InputError naming archive, file and line."""
    try:
        with zipfile.ZipFile(archive) as files:
            found = [path for path in files.namelist() if path.rpartition("/")[2] == name]
            if not found:
                raise InputError(f"{archive}: no {name} in it; found {', '.join(sorted(files.namelist())) or 'nothing'}.")
            text = io.TextIOWrapper(files.open(found[0]), encoding="utf-8").read()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:  # other packings, bytes not UTF-8
        raise InputError(f"{archive}: cut off or no zip archive ({error}). Fetch it again.") from None
    where = f"{archive}, {name}"
    return [_row(line, where, number) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _row(line: str, where: str, number: int) -> dict:
    row = parse_json(line, where, number)
    missing = [key for key in ("id", "question", "answers") if not isinstance(row, dict) or key not in row]
    if missing:
        raise InputError(f"{where}, line {number}: key {missing[0]!r} is missing; expected BGE-M3's file with id, question and answers.")
    answers = row["answers"]
    if not isinstance(row["question"], str) or not isinstance(answers, list) or not all(isinstance(a, str | None) for a in answers):
        raise InputError(f"{where}, line {number}: expected a text as question and a list of texts as answers.")
    return row
