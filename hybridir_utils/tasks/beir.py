"""BEIR's folder layout (Thakur et al. 2021, arXiv 2104.08663): corpus.jsonl, queries.jsonl and qrels/<split>.tsv.

Our tasks add two keys BEIR's readers ignore: `language` and `group`. Relevance is binary here: a score above 0 is relevant.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.files import need_texts, read_jsonl, read_text, write_text_atomically
from ..base.languages import check_languages
from .retrieval_task import TEXT_COLUMNS, RetrievalTask

QRELS_HEADER = "query-id\tcorpus-id\tscore"


def read_beir(folder: Path, language: str | None = None, split: str = "test") -> RetrievalTask:
    """The task of `qrels/<split>.tsv`; the folder's name becomes the task's.

    A text's language is its `language` key, else the argument. A title is put before its text, as BEIR does. Queries without a
    relevant document in the split are left out. Raises InputError naming file and line for a malformed row, a text without a
    language, or qrels that name an unknown id.
    """
    folder = Path(folder)
    relevance = _read_qrels(_qrels_path(folder, split))
    candidates = _read_texts(folder / "corpus.jsonl", language)
    queries = _read_texts(folder / "queries.jsonl", language)
    queries = queries[queries["id"].isin(set(relevance["query"]))]
    return RetrievalTask(folder.resolve().name, queries, candidates, relevance)


def write_beir(task: RetrievalTask, folder: Path) -> None:
    """Write the task so that `read_beir(folder)` gives it back; the qrels come last, so that a folder with them is complete.

    Raises InputError when an id has a tab or line break, or a query has no relevant candidate: the layout cannot carry either.
    """
    unjudged = sorted(set(task.queries["id"]) - set(task.relevance["query"]))
    if unjudged:
        raise InputError(f"task {task.name}: {len(unjudged)} queries such as {unjudged[0]!r} have no relevant candidate; drop them first.")
    for frame in (task.candidates, task.queries):
        _check_ids(task.name, frame["id"])
    folder = Path(folder)
    write_text_atomically(folder / "corpus.jsonl", _lines(task.candidates.assign(title="")))
    write_text_atomically(folder / "queries.jsonl", _lines(task.queries))
    rows = (f"{query}\t{candidate}\t1" for query, candidate in task.relevance[["query", "candidate"]].itertuples(index=False))
    write_text_atomically(folder / "qrels" / "test.tsv", "\n".join([QRELS_HEADER, *rows]) + "\n")


def _lines(frame: pd.DataFrame) -> str:
    rows = frame.rename(columns={"id": "_id"}).to_dict("records")
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _check_ids(name: str, ids: pd.Series) -> None:
    bad = ids[ids.str.contains(r"[\t\r\n]", regex=True)]
    if len(bad):
        raise InputError(f"task {name}: id {bad.iloc[0]!r} has a tab or line break, which BEIR's tab-separated qrels cannot carry.")


def _read_texts(path: Path, language: str | None) -> pd.DataFrame:
    rows = []
    for number, row in read_jsonl(path, required=("_id", "text")):
        code = row.get("language") or language
        if code is None:
            raise InputError(f"{path}, line {number}: no 'language' key; add it, or give the language as an argument.")
        need_texts({"language": code}, ["language"], f"{path}, line {number}")
        text = f"{row.get('title') or ''} {row['text']}".strip() if row.get("title") else row["text"]
        rows.append((str(row["_id"]), str(row.get("group", row["_id"])), code, text))
    frame = pd.DataFrame(rows, columns=TEXT_COLUMNS)
    check_languages(frame["language"].unique())
    return frame


def _qrels_path(folder: Path, split: str) -> Path:
    """The split's file, taken from those there, so that a split's name cannot lead out of the folder."""
    paths = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if split not in paths:
        raise InputError(f"{folder / 'qrels'}: no split {split!r}; splits there: {', '.join(paths) or 'none'}.")
    return paths[split]


def _read_qrels(path: Path) -> pd.DataFrame:
    """Rows with a score above 0 as columns query, candidate."""
    header, *lines = read_text(path).splitlines() or [""]
    if len(header.split("\t")) != 3 or header.split("\t")[2].strip() != "score":
        raise InputError(f"{path}, line 1: expected the header {QRELS_HEADER!r}, found {header!r}.")
    rows = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        try:
            query, candidate, score = fields[0], fields[1], float(fields[2])
        except (IndexError, ValueError):
            raise InputError(f"{path}, line {number}: expected query id, corpus id and a number, tab-separated; found {line!r}.") from None
        if score > 0:
            rows.append((query, candidate))
    return pd.DataFrame(rows, columns=["query", "candidate"])
