"""The search task: questions, and large corpora on disk that are searched to a depth instead of being ranked in full; and the public sets
that are such tasks: MIRACL, MKQA (with the test whether a passage holds an answer), NeuCLIR.

Questions without a relevant passage take no part, as in the full rankings of `tasks`; questions of one search share a language.
"""

from __future__ import annotations

import io
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import regex

from ..base.errors import InputError
from ..base.files import fingerprint, parse_json, read_text
from ..base.languages import by_language, pick_languages
from ..base.mapped import chunks
from ..provenance.fingerprints import code_fingerprint
from .public_sets import EVALUATION_SETS, EvaluationSet, set_frame, set_part
from .retrieval_task import TEXT_COLUMNS, check_texts

if TYPE_CHECKING:
    from datasets import Dataset

MOST = 0.5  # of the passages judged relevant that must be in the corpus
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
TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


@dataclass(frozen=True)
class Search:
    """The questions of one language, searched in one corpus.

    corpus: its name in the task. queries: columns id (unique), group (the same for translations of a question), language, text.
    Judged either by qrels (columns query, candidate, relevance: an int, above 0 is relevant) or by answers: question id -> gold
    answer strings, of which a passage must hold one. Raises InputError naming the id when ids repeat, a text is empty, or
    judgements name an unknown question.
    """

    query_language: str
    candidate_language: str
    corpus: str
    queries: pd.DataFrame
    qrels: pd.DataFrame | None = None
    answers: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self):
        check_texts(self.label, "question", self.queries)
        unknown = set(self.answers if self.qrels is None else self.qrels["query"]) - set(self.queries["id"])
        if unknown:
            raise InputError(
                f"{self.label}: the judgements name question {min(unknown)!r}, which is not among its {len(self.queries)} questions."
            )
        if self.qrels is not None:
            judged = set(self.qrels["query"][self.qrels["relevance"] > 0])
        else:
            judged = {query for query, answers in self.answers.items() if answers}
        kept = self.queries[self.queries["id"].isin(judged)].reset_index(drop=True)
        if kept.empty:
            raise InputError(f"{self.label}: none of {len(self.queries)} questions has a relevant passage or an answer.")
        object.__setattr__(self, "queries", kept)

    @property
    def label(self) -> str:
        return f"{self.query_language} -> {self.candidate_language} in {self.corpus}"

    @property
    def setting(self) -> str:
        return "monolingual" if self.query_language == self.candidate_language else "cross-lingual"


@dataclass(frozen=True)
class SearchTask:
    """name: shown in tables. measures: nDCG@k, R@k (share of the relevant passages in the top k), RR@k, AP@k, or Recall@k (a gold
    answer stands in the top k; needs answers). open_corpus: name of a corpus -> memory-mapped Dataset (id, text).
    skip_own: a passage with the question's own id is no hit (BEIR's sets whose questions stand in the corpus).
    """

    name: str
    measures: tuple[str, ...]
    searches: tuple[Search, ...]
    open_corpus: Callable[[str], Dataset]
    skip_own: bool = False

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the corpora, each once, in the order of the searches."""
        return tuple(dict.fromkeys(search.corpus for search in self.searches))


def passages(part: Dataset, clean: Callable[[str], str] = str) -> Dataset:
    """A corpus (id, text, title where there is one) as (id, text): title, blank, text, as MTEB and BEIR join them.

    clean: a function of a package module, applied to the joined text. The result lies in the data sets' cache and is memory-mapped;
    it is made anew when the package's code for it changes.
    """
    from datasets import Features, Value

    def join(rows):
        titles = rows.get("title") or [""] * len(rows["text"])
        texts = (f"{title or ''} {text or ''}".strip() for title, text in zip(titles, rows["text"], strict=True))
        return {"id": [str(id_) for id_ in rows["id"]], "text": [clean(text) for text in texts]}

    makers = (passages,) if clean is str else (passages, clean)
    key = fingerprint({"rows": part._fingerprint, "clean": clean.__qualname__, "code": code_fingerprint(*makers)})[:32]
    features = Features({"id": Value("string"), "text": Value("string")})
    return part.map(join, batched=True, remove_columns=part.column_names, features=features, new_fingerprint=key, desc="joining titles")


def corpus_rows(corpus: Dataset, ids: Sequence[str], where: str) -> pd.Series:
    """id -> row of those of `ids` that stand in the corpus; reads the id column in chunks. Raises InputError when one stands twice."""
    wanted, found, first = pa.array(sorted(set(ids)), pa.string()), [], 0
    for chunk in chunks(corpus, ["id"]):
        column = chunk["id"].combine_chunks().cast(pa.string())
        rows = np.flatnonzero(pc.is_in(column, wanted).to_numpy(zero_copy_only=False))
        found.append(pd.Series(rows + first, index=column.take(pa.array(rows)).to_pylist(), dtype=np.int64))
        first += len(column)
    rows = pd.concat(found) if found else pd.Series(dtype=np.int64)
    if rows.index.has_duplicates:
        raise InputError(f"{where}: passage {rows.index[rows.index.duplicated()][0]!r} stands twice in the corpus; ids must be unique.")
    return rows


def relevant_rows(search: Search, rows: pd.Series, name: str) -> pd.DataFrame:
    """The judgements with corpus rows for ids: columns query, row, relevance, of the passages that are there.

    rows: of `corpus_rows`. A passage judged irrelevant may be missing (pools of hard negatives leave some out); relevant ones that are
    missing are left out with a warning, as published sets have some, and so are questions that no passage answers: every encoder would
    score 0 on them. Raises InputError where most are missing.
    """
    row = search.qrels["candidate"].map(rows)
    relevant = search.qrels["relevance"] > 0
    missing = search.qrels[row.isna() & relevant]
    if len(missing):
        found = (
            f"{name}, {search.label}: {missing['candidate'].nunique()} passages judged relevant are not in the corpus, such as "
            f"{missing['candidate'].iloc[0]!r} (question {missing['query'].iloc[0]!r})"
        )
        if len(missing) > (1 - MOST) * relevant.sum():
            raise InputError(f"{found}. Corpus and judgements are of different revisions, or one is cut off; fetch both again.")
        warnings.warn(f"{found}; they are left out.", stacklevel=2)
    table = search.qrels.assign(row=row).dropna(subset="row").astype({"row": np.int64})
    answered = table["query"].isin(table.loc[table["relevance"] > 0, "query"])
    return table.loc[answered, ["query", "row", "relevance"]]


def miracl_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The task `miracl` or `miracl-full`; no languages: all 18. Raises UnknownName for a language MIRACL lacks, and InputError."""
    entry = EVALUATION_SETS[name]
    picked = pick_languages(MIRACL[name], languages, entry.languages)
    searches = [Search(code, code, code, _questions(entry, code, data_dir), _judgements(entry, code, data_dir)) for code in picked]
    return SearchTask(MIRACL[name], ("nDCG@10", "R@100"), tuple(searches), partial(_corpus, entry, data_dir))


def _corpus(entry: EvaluationSet, data_dir: str, name: str) -> Dataset:
    return passages(set_part(entry, f"{name}-corpus", ("id", "text"), data_dir))


def _questions(entry: EvaluationSet, language: str, data_dir: str) -> pd.DataFrame:
    """Questions in a language: columns id, group, language, text. Ids of other languages' questions mean other questions."""
    frame = set_frame(entry, f"{language}-queries", ("id", "text"), data_dir).astype({"id": str})
    return frame.assign(group=language + ":" + frame["id"], language=language)[TEXT_COLUMNS]


def _judgements(entry: EvaluationSet, language: str, data_dir: str) -> pd.DataFrame:
    """Judgements in a language: columns query, candidate, relevance (int)."""
    frame = set_frame(entry, f"{language}-qrels", tuple(QRELS), data_dir).rename(columns=QRELS)
    return frame.astype({"query": str, "candidate": str, "relevance": int})


def mkqa_task(languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """Recall@20 and @100 in the given languages (none: all 25; `zh`, `zh-HK` and `zh-TW` are Chinese). Raises UnknownName, InputError."""
    entry = EVALUATION_SETS["mkqa"]
    codes = by_language(entry.languages, "mkqa")
    picked = pick_languages("MKQA", languages, tuple(codes))
    archive = entry.file(ARCHIVE, data_dir)
    searches = tuple(_search(archive, language, codes[language]) for language in picked)

    def open_corpus(name: str):
        return passages(set_part(EVALUATION_SETS["nq"], "corpus", ("id", "text"), data_dir), clean=uniform)

    return SearchTask("MKQA", ("Recall@20", "Recall@100"), searches, open_corpus)


def uniform(text: str) -> str:
    """Lower case, one character for each kind of dash, quotation mark, slash and ellipsis, control characters dropped."""
    return text.lower().translate(MARKS).replace(" . . . ", " ... ")


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
    queries = _topics(entry.file("data/news.eng.tsv", data_dir))
    searches = []
    for language in pick_languages("NeuCLIR", languages, tuple(codes)):
        qrels = _qrels(entry.file(f"data/qrels.{codes[language]}.gains.txt", data_dir))
        searches.append(Search("en", language, codes[language], queries, qrels))
    return SearchTask("NeuCLIR", ("nDCG@20", "R@100"), tuple(searches), partial(_corpus, EVALUATION_SETS["neuclir-documents"], data_dir))


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
    return [token.lower() for token in TOKEN.findall(unicodedata.normalize("NFD", text))]


def token_text(text: str) -> str:
    """The tokens between BREAKs: a run of tokens stands in another text exactly if its `token_text` is a part of the other's."""
    return BREAK + "".join(token + BREAK for token in tokens(text))


def usable(answers: Iterable[str]) -> list[str]:
    """`token_text` of the answers that have a token."""
    return [text for answer in answers if answer and (text := token_text(answer)) != BREAK]
