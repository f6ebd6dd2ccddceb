"""NTREX-128 (Federmann et al. 2022) as parallel news retrieval: the headline asks for the sentences of its article.

A document's first line is its headline. Queries are the headlines in every chosen language; candidates are all other lines;
relevant are the lines of the same document, so several in each language. Lines are aligned over all languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.evaluation_sets import pick_languages
from ..base.files import read_text
from ..base.language_codes import our_code
from ..base.places import data_folder
from .retrieval_task import TEXT_COLUMNS, RetrievalTask

FOLDER = "ntrex-news"
# One file a language: of the regional ones the plain file, and of those without a plain one the first choice of most sets.
LEFT_OUT = ("eng-GB", "eng-IN", "eng-US", "fra-CA", "por-BR", "spa-MX", "srp-Latn", "zho-TW")
NO_TEXT = ("document_ids",)


def ntrex_task(languages: Sequence[str] = (), data_dir: str = "") -> RetrievalTask:
    """The task in the given languages; none: all there are (120, of which the 13 M relevant pairs alone take some GB).

    Reads `<code>.txt` and `document_ids.txt` of `ntrex-news` below data_dir or HYBRIDIR_DATA. Raises UnknownName for a language
    without a file, InputError when the files are not aligned or a line is empty.
    """
    folder = data_folder(FOLDER, data_dir)
    documents = _lines(folder / "document_ids.txt")
    codes = ntrex_codes(folder)
    picked = pick_languages("NTREX", languages, tuple(codes))
    rows = pd.concat([_rows(folder / f"{codes[code]}.txt", code, documents) for code in picked], ignore_index=True)
    first = rows["line"].isin(_first_lines(documents))
    queries, candidates = rows[first].assign(group=rows["document"]), rows[~first].assign(group=rows["line"].astype(str))
    relevance = queries[["id", "document"]].merge(candidates[["id", "document"]], on="document", suffixes=("_query", "_candidate"))
    relevance = relevance.rename(columns={"id_query": "query", "id_candidate": "candidate"})[["query", "candidate"]]
    return RetrievalTask("NTREX", queries[TEXT_COLUMNS], candidates[TEXT_COLUMNS], relevance)


def ntrex_codes(folder: Path) -> dict[str, str]:
    """Our code -> the file's name without `.txt`, one file a language."""
    stems = sorted(path.stem for path in Path(folder).glob("*.txt"))
    return {our_code(stem, single=True): stem for stem in stems if stem not in (*LEFT_OUT, *NO_TEXT)}


def _rows(path: Path, language: str, documents: list[str]) -> pd.DataFrame:
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


def _first_lines(documents: list[str]) -> list[int]:
    return [n for n, document in enumerate(documents) if n == 0 or documents[n - 1] != document]


def _lines(path: Path) -> list[str]:
    """Lines cut at line feeds alone: other separators of Unicode belong to the texts."""
    return read_text(path).removesuffix("\n").split("\n")
