"""BEIR's folder layout (Thakur et al. 2021, arXiv 2104.08663): corpus.jsonl, queries.jsonl and qrels/test.tsv.

Our tasks add two keys BEIR's readers ignore: `language`, and `group`, which texts that are translations of each other share. Of parallel
questions without one, paired tests count each translation as a question of its own: n is too large by the number of languages, p too small.
BEIR's protocol: a score above 0 is a gain, any other says irrelevant; a document with the question's own id is left out of its list.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..base.errors import InputError, need_folder
from ..base.files import read_jsonl, read_text, texts_of, write_text_atomically
from ..base.languages import our_code
from .retrieval_task import TEXT_COLUMNS, RetrievalTask
from .searched_task import MOST

ADVICE = (
    "Where they are translations of each other, give them one `group`: paired tests count each as a question of its own now, with an n up "
    "to {} times too large and a p too small."
)
QRELS_HEADER = "query-id\tcorpus-id\tscore"


def read_beir(folder: Path) -> RetrievalTask:
    """The task of a folder, whose name becomes the task's.

    A title is put before its text, as BEIR does. Queries without a relevant document are left out, and so are judgements of what is not
    in the folder, as published sets have them, with a warning that counts them. Raises InputError naming file and line for a malformed
    row, a text without a language, an id that stands twice, or qrels of which most name nothing in the folder.
    """
    need_folder(folder := Path(folder))
    path = folder / "qrels" / "test.tsv"
    candidates = _read_texts(folder / "corpus.jsonl", title="")
    queries = _read_texts(folder / "queries.jsonl")
    relevance = _in_folder(_read_qrels(path), queries, candidates, path)
    queries = queries[queries["id"].isin(set(relevance["query"]))]
    return RetrievalTask(folder.resolve().name, queries, candidates, relevance, skip_own=True)


def unnamed_groups(task: RetrievalTask) -> str:
    """What to say of queries that look like translations of each other and name no group; "" where there are none.

    They stand in several languages, alone in their group, and have the same relevant passages, or translations of them.
    """
    alone = task.queries[task.queries["group"] == task.queries["id"]]
    if alone["language"].nunique() < 2:
        return ""
    answer = task.relevance["candidate"].map(task.candidates.set_index("id")["group"])
    answers = alone["id"].map(answer.groupby(task.relevance["query"]).agg(frozenset))
    languages = alone.groupby(answers)["language"].transform("nunique")
    count = (
        f"{(languages > 1).sum():,} of {len(task.queries):,} queries name no `group` and share all relevant passages with one in another"
    )
    return f"{count} language. {ADVICE.format(languages.max())}" if (languages > 1).any() else ""


def write_beir(task: RetrievalTask, folder: Path) -> None:
    """Write the task so that `read_beir(folder)` gives it back; the qrels come last, so that a folder with them is complete.

    Raises InputError when an id has a tab or line break, a query has no relevant candidate, or one has the id of a candidate that is to
    stand in its lists: the layout cannot carry either.
    """
    unjudged = sorted(set(task.queries["id"]) - set(task.relevance["query"]))
    if unjudged:
        raise InputError(f"task {task.name}: {len(unjudged)} queries such as {unjudged[0]!r} have no relevant candidate; drop them first.")
    ids = pd.concat([task.candidates["id"], task.queries["id"]])
    if len(bad := ids[ids.str.contains(r"[\t\r\n]", regex=True)]):
        raise InputError(f"task {task.name}: id {bad.iloc[0]!r} has a tab or line break, which BEIR's tab-separated qrels cannot carry.")
    if not task.skip_own and len(own := replace(task, skip_own=True).own_pairs):
        raise InputError(f"task {task.name}: {task.queries['id'][own[0, 0]]!r} is a query and a candidate; rename one of them.")
    folder = Path(folder)
    write_text_atomically(folder / "corpus.jsonl", _lines(task.candidates.assign(title="")))
    write_text_atomically(folder / "queries.jsonl", _lines(task.queries))
    judged = task.relevance if "gain" in task.relevance else task.relevance.assign(gain=1)
    judged = judged[["query", "candidate", "gain"]].astype({"gain": float})
    rows = (f"{query}\t{candidate}\t{f'{gain}'.removesuffix('.0')}" for query, candidate, gain in judged.itertuples(index=False))
    write_text_atomically(folder / "qrels" / "test.tsv", "\n".join([QRELS_HEADER, *rows]) + "\n")


def _lines(frame: pd.DataFrame) -> str:
    rows = frame.rename(columns={"id": "_id"}).to_dict("records")
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _read_texts(path: Path, **more: str) -> pd.DataFrame:
    """more: the title, where the file may have one; a document may be a title alone."""
    rows, line_of = [], {}
    for number, row in read_jsonl(path, required=("_id", "text")):
        where = f"{path}, line {number}"
        row = texts_of(row, where, ("_id", "language"), text="", group="", **more)
        if not row["text"] and not row.get("title"):
            raise InputError(f"{where}: {row['_id']!r} has no text; drop or fill it.")
        if (first := line_of.setdefault(row["_id"], number)) != number:
            raise InputError(f"{where}: _id {row['_id']!r} stands in line {first}, too; ids must be unique.")
        text = f"{row['title']} {row['text']}".strip() if row.get("title") else row["text"]
        rows.append((row["_id"], row["group"] or row["_id"], our_code(row["language"], where), text))
    if not rows:
        raise InputError(f"{path}: empty; expected a JSON object with '_id', 'text' and 'language' a line.")
    return pd.DataFrame(rows, columns=TEXT_COLUMNS)


def _read_qrels(path: Path) -> pd.DataFrame:
    """Columns query, candidate, gain, line; of several judgements of a pair the last, with a warning where they differ."""
    header, *lines = read_text(path).split("\n")
    if len(header.split("\t")) != 3 or header.split("\t")[2].strip() != "score":
        raise InputError(f"{path}, line 1: expected the header {QRELS_HEADER!r}, found {header!r}.")
    rows = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        try:
            rows.append((fields[0], fields[1], float(fields[2]), number))
            if not math.isfinite(rows[-1][2]):
                raise ValueError
        except (IndexError, ValueError):
            raise InputError(f"{path}, line {number}: expected query id, corpus id and a number, tab-separated; found {line!r}.") from None
    table = pd.DataFrame(rows, columns=["query", "candidate", "gain", "line"])
    odd = table[table.groupby(["query", "candidate"])["gain"].transform("nunique") > 1]
    if len(odd):
        line = odd["line"].iloc[-1]
        warnings.warn(f"{path}, line {line}: judged before, and otherwise; the last judgement holds ({len(odd)} such lines).", stacklevel=3)
    return table.drop_duplicates(["query", "candidate"], keep="last")


def _in_folder(judged: pd.DataFrame, queries: pd.DataFrame, candidates: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The relevant judgements of what is in the folder."""
    judged = judged[judged["gain"] > 0]
    there = judged["query"].isin(set(queries["id"])) & judged["candidate"].isin(set(candidates["id"]))
    if judged.empty:
        raise InputError(f"{path}: no judgement with a score above 0; a task needs at least one.")
    if not there.all():
        row, missing = judged[~there].iloc[0], f"{(~there).sum()} of {len(judged)} judgements name no query or document of the folder"
        where = f"{path}, line {row['line']}: {missing}, such as ({row['query']!r}, {row['candidate']!r})"
        if there.mean() < MOST:
            quoted = row["query"].strip("\"' ") in set(queries["id"]) and row["query"] not in set(queries["id"])
            advice = "Take the quotes or blanks round the ids away." if quoted else "The files are of different sets, or one is cut off."
            raise InputError(f"{where}. {advice}")
        warnings.warn(f"{where}; they are left out.", stacklevel=3)
    kept = judged.loc[there, ["query", "candidate", "gain"]].reset_index(drop=True)
    return kept if (kept["gain"] != 1).any() else kept[["query", "candidate"]]
