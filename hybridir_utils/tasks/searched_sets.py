"""Public sets with large pools, searched to a depth: MIRACL, MKQA, NeuCLIR; and whether a passage holds one of MKQA's answers."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.files import parse_json, read_text
from ..base.languages import by_language, pick_languages
from .public_sets import EVALUATION_SETS, EvaluationSet, set_file, set_part
from .retrieval_task import TEXT_COLUMNS
from .searched_task import Search, SearchTask, passages

MIRACL = {"miracl": "MIRACL", "miracl-full": "MIRACL (full)"}
QRELS = {"query-id": "query", "corpus-id": "candidate", "score": "relevance"}
ARCHIVE = "MKQA_test-data.zip"
CORPUS_NAME = "nq"

# Contriever's normalisation of marks (Izacard et al. 2022), which BGE-M3 took over: one character for each kind of mark.
SAME = {
    "-": "‐‑⁃‒–—―−－⁻", '"': "“”„‟", "'": "’՚Ꞌꞌ＇‘‚‛`´′‵", "''": "″‶", "'''": "‴‷", "''''": "⁗", "/": "⁄∕", "...": "…",
    " ": "\x0b\x0c\x85", "": "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\xad",
}  # fmt: skip
MARKS = str.maketrans({character: mark for mark, characters in SAME.items() for character in characters})
BREAK = "\x1f"  # a control character, which no token holds


def miracl_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The task `miracl` or `miracl-full`; no languages: all 18. Raises UnknownName for a language MIRACL lacks, and InputError."""
    entry = EVALUATION_SETS[name]
    picked = pick_languages(MIRACL[name], languages, entry.languages)
    searches = [Search(code, code, code, _questions(entry, code, code, data_dir), _judgements(entry, code, data_dir)) for code in picked]
    return SearchTask(MIRACL[name], ("nDCG@10", "R@100"), tuple(searches), partial(_miracl_corpus, entry, data_dir))


def _miracl_corpus(entry: EvaluationSet, data_dir: str, language: str):
    return passages(set_part(entry, f"{language}-corpus", ("id", "text"), data_dir))


def _questions(entry: EvaluationSet, subset: str, language: str, data_dir: str = "") -> pd.DataFrame:
    """Questions of a subset: columns id, group, language, text. Ids of other languages' questions mean other questions."""
    frame = set_part(entry, f"{subset}-queries", ("id", "text"), data_dir).select_columns(["id", "text"]).to_pandas()
    frame["id"] = frame["id"].astype(str)
    return frame.assign(group=language + ":" + frame["id"], language=language)[TEXT_COLUMNS]


def _judgements(entry: EvaluationSet, subset: str, data_dir: str = "") -> pd.DataFrame:
    """Judgements of a subset: columns query, candidate, relevance (int)."""
    part = set_part(entry, f"{subset}-qrels", tuple(QRELS), data_dir).select_columns(list(QRELS))
    frame = part.to_pandas().rename(columns=QRELS)
    return frame.astype({"query": str, "candidate": str, "relevance": int})


def mkqa_task(languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """Recall@20 and @100 in the given languages (none: all 25; `zh`, `zh-HK` and `zh-TW` are Chinese). Raises UnknownName, InputError."""
    entry = EVALUATION_SETS["mkqa"]
    codes = by_language(entry.languages, "mkqa")
    picked = pick_languages("MKQA", languages, tuple(codes))
    archive = set_file(entry, ARCHIVE, data_dir)
    searches = tuple(_search(archive, language, codes[language]) for language in picked)

    def open_corpus(name: str):
        return passages(set_part(EVALUATION_SETS["nq"], "corpus", ("id", "text"), data_dir), clean=uniform)

    return SearchTask("MKQA", ("Recall@20", "Recall@100"), searches, open_corpus)


def uniform(text: str) -> str:
    """Lower case, one character for each kind of dash, quotation mark, slash and ellipsis, control characters dropped."""
    return re.sub(r" \. \. \. ", " ... ", text.lower().translate(MARKS))


def _search(archive: Path, language: str, code: str) -> Search:
    rows = [(str(row["id"]), row["question"], [answer for answer in row["answers"] if answer]) for row in _rows(archive, f"{code}.jsonl")]
    frame = pd.DataFrame([row[:2] for row in rows], columns=["id", "text"]).assign(language=language)
    queries = frame.assign(group=frame["id"])[TEXT_COLUMNS]
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


def neuclir_task(languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """English topics against the documents of each language (fa, ru, zh; none given: all). Raises UnknownName, InputError."""
    entry = EVALUATION_SETS["neuclir"]
    codes = by_language(entry.languages, "neuclir")
    queries = _topics(set_file(entry, "data/news.eng.tsv", data_dir))
    searches = []
    for language in pick_languages("NeuCLIR", languages, tuple(codes)):
        qrels = _qrels(set_file(entry, f"data/qrels.{codes[language]}.gains.txt", data_dir))
        searches.append(Search("en", language, codes[language], queries, qrels))
    return SearchTask("NeuCLIR", ("nDCG@20", "R@100"), tuple(searches), partial(_neuclir_corpus, data_dir))


def _neuclir_corpus(data_dir: str, code: str):
    return passages(set_part(EVALUATION_SETS["neuclir-documents"], f"{code}-corpus", ("id", "text"), data_dir))


def _topics(path: Path) -> pd.DataFrame:
    frame = _table(path, "\t", ["id", "text"])
    return frame.assign(group=frame["id"], language="en")[TEXT_COLUMNS]


def _qrels(path: Path) -> pd.DataFrame:
    """TREC's four columns: topic, unused, document, gain."""
    frame = _table(path, None, ["query", "unused", "candidate", "relevance"])
    bad = frame[~frame["relevance"].str.fullmatch(r"-?\d{1,9}")]
    if len(bad):
        raise InputError(f"{path}: expected topic, unused field, document and a whole number as gain; found {' '.join(bad.iloc[0])!r}.")
    return frame.astype({"relevance": int})[["query", "candidate", "relevance"]]


def _table(path: Path, separator: str | None, names: list[str]) -> pd.DataFrame:
    """A table without a header and without quoting."""
    rows = [(number, line.split(separator)) for number, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]
    odd = next(((number, row) for number, row in rows if len(row) != len(names)), None)
    if odd:
        raise InputError(f"{path}, line {odd[0]}: expected {len(names)} columns ({', '.join(names)}), found {len(odd[1])}.")
    return pd.DataFrame([[field.strip() for field in row] for _, row in rows], columns=names, dtype=str)


def tokens(text: str) -> list[str]:
    """The text's tokens, decomposed and lower-cased."""
    return [token.lower() for token in _pattern().findall(unicodedata.normalize("NFD", text))]


def token_text(text: str) -> str:
    """The tokens between BREAKs: a run of tokens stands in another text exactly if its `token_text` is a part of the other's."""
    return BREAK + "".join(token + BREAK for token in tokens(text))


def has_answer(passage: str, answers: Iterable[str]) -> bool:
    """Whether any answer stands in the passage. An answer without a token (white space) stands in none."""
    text = token_text(passage)
    return any(answer in text for answer in usable(answers))


def usable(answers: Iterable[str]) -> list[str]:
    """`token_text` of the answers that have a token."""
    return [text for answer in answers if answer and (text := token_text(answer)) != BREAK]


@cache
def _pattern():
    import regex

    return regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")
