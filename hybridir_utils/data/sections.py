"""Sections of documents aligned over languages, as training pairs, and their held-out task (`mscourses-test` …): some articles are for
testing, and training leaves them out.

In the task the heading asks for its passage in the pool of all held-out passages; every translation of the passage is relevant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from ..base.files import read_jsonl, texts_of
from ..base.languages import by_language, our_codes
from ..base.mapped import codes, keep_rows
from ..tasks.retrieval_task import RetrievalTask, task_from_pairs
from ..tasks.sentences import sentence_spans
from .pairs import pairs_from_rows

if TYPE_CHECKING:
    from datasets import Dataset

MIN_BYTES = 60  # of UTF-8: about 60 Latin letters or 20 Han or Thai ones; shorter sections answer nothing
MIN_TEXT_SHARE = 0.8  # letters and spaces among all characters of an English section; below it is code or a list of numbers
MAX_BARS = 20  # a section with more `|` is a list of links, such as the languages a document was translated into
SHARE = 0.1  # of the articles that are held out
LEAST_SECTIONS = 50  # a tenth of a set of single questions would be too few to tell anything: then more articles are held out
LEAST_PASSAGES = 10  # a pool of fewer finds anything: a language with fewer held-out passages is not in the task
PASSAGE_CHARS = 400  # as training passages are cut by default, so that the task of the training set's own kind has no longer ones


def read_sections(folder: Path, languages: Iterable[str], source: str, max_chars: int = 1200) -> Dataset:
    """Pairs from aligned document sections: `<language>.jsonl.gz` with id, heading, text and, in some sets, title.

    The question is title and heading, the passage the text, cut at a sentence boundary to at most `max_chars` characters. The id
    becomes `<source>:<id>`. Sections with the same English text share a passage_id. Dropped are lists of links, code,
    very short sections, what was not translated and headings that stand for several passages.
    Raises UnknownName when a language has no file; `section_languages` tells which have one.
    """
    rows, home = [], {}
    english = {row["id"]: row for row in _read_language(folder, "en")} if (Path(folder) / "en.jsonl.gz").exists() else {}
    passage_id = {id_: home.setdefault(_passage(row, "en", max_chars), id_) for id_, row in english.items()}
    for language, row in _kept(Path(folder), languages, english):
        ids = (f"{source}:{row['id']}", f"{source}:{passage_id.get(row['id'], row['id'])}")
        rows.append((*ids, language, _question(row), _passage(row, language, max_chars), source))
    return pairs_from_rows(rows)


def section_languages(folder: Path) -> dict[str, str]:
    """Our code -> the file's name without `.jsonl.gz`, of the languages that a folder of sections has, sorted (`by_language`)."""
    return by_language((path.name.removesuffix(".jsonl.gz") for path in Path(folder).glob("*.jsonl.gz")), folder)


def _kept(folder: Path, languages: Iterable[str], english: dict[str, dict]) -> Iterator[tuple[str, dict]]:
    """(language, section) of all that are fit. What is wrong in English drops the section in every language."""
    unfit = {id_ for id_, row in english.items() if _is_bare(row) or _is_code(row)} | _ambiguous(english)
    for language in our_codes(languages):
        for row in _read_language(folder, language):
            untranslated = language != "en" and row["text"] == english.get(row["id"], {}).get("text")
            if row["id"] not in unfit and not _is_bare(row) and not untranslated:
                yield language, row


def _is_bare(row: dict) -> bool:
    """Whether a section has no heading, is a list of links, or is too short to answer anything."""
    text = row["text"]
    return not row["heading"] or text.count("|") > MAX_BARS or "style=for-the-badge" in text or len(text.encode()) < MIN_BYTES


def _is_code(row: dict) -> bool:
    """Whether a section is code or numbers. Judged in English alone: vowel signs of other scripts are no letters to `str.isalpha`."""
    share = sum(character.isalpha() or character.isspace() for character in row["text"]) / max(len(row["text"]), 1)
    return share < MIN_TEXT_SHARE


def _ambiguous(english: dict[str, dict]) -> set[str]:
    """Ids whose question (`Overview`, `Size` …) also heads another passage: it asks for neither."""
    passages = {}
    for row in english.values():
        passages.setdefault(_question(row), set()).add(row["text"])
    return {id_ for id_, row in english.items() if len(passages[_question(row)]) > 1}


def _question(row: dict) -> str:
    title, heading = row.get("title", ""), row["heading"]
    return f"{title}: {heading}" if title and title != heading else heading


def _passage(row: dict, language: str, max_chars: int) -> str:
    """The text up to the last sentence that ends within `max_chars`; a longer first sentence is cut at white space."""
    text = row["text"]
    if len(text) <= max_chars:
        return text
    ends = [end for _, end in sentence_spans(text, language) if len(text[:end].rstrip()) <= max_chars]
    head = text[: ends[-1]] if ends else text[: max_chars + 1].rpartition(" ")[0] or text[:max_chars]
    return head.strip()


def _read_language(folder: Path, language: str) -> list[dict]:
    """Sections of one language with white space runs made single blanks."""
    files, rows = section_languages(folder), []
    need_known(f"language of {folder.name}", [language], files)
    path = folder / f"{files[language]}.jsonl.gz"
    for number, row in read_jsonl(path, required=("id", "heading", "text")):
        row = texts_of(row, f"{path}, line {number}", ("id",), title="", heading="", text="")
        rows.append({key: " ".join(value.split()) for key, value in row.items()})
    return rows


def held_out_articles(folder: Path, seed: int = 0) -> frozenset[str]:
    """Ids of a tenth of a set's articles, drawn by `seed`; of more where these hold fewer than LEAST_SECTIONS sections, never of more
    than half. What is drawn depends on the set alone, not on the languages asked for. Raises InputError as `read_jsonl`.
    """
    folder = Path(folder)
    paths = [folder / "en.jsonl.gz"] if (folder / "en.jsonl.gz").exists() else sorted(folder.glob("*.jsonl.gz"))
    rows = ((row, f"{path}, line {number}") for path in paths for number, row in read_jsonl(path))
    ids = {texts_of(row, where, ("id",))["id"] for row, where in rows}
    sections = pd.Series([article(id_) for id_ in sorted(ids)], dtype=object).value_counts(sort=False).sort_index()
    order = np.random.default_rng(seed).permutation(len(sections))
    enough = int(np.searchsorted(sections.to_numpy()[order].cumsum(), LEAST_SECTIONS)) + 1
    count = min(max(round(SHARE * len(sections)), enough), len(sections) // 2)
    return frozenset(sections.index[order[:count]])


def article(section_id: str) -> str:
    """The article of a section: its id up to the last `#`; the whole id where a section stands alone."""
    return section_id.rpartition("#")[0] or section_id


def section_task(folder: Path, languages: Sequence[str], source: str, seed: int = 0) -> RetrievalTask:
    """`<source>-test` in those of the languages in which the set has at least LEAST_PASSAGES held-out passages (`task.languages`).

    folder, source: as of `read_sections`. seed: draws the articles. Raises UnknownName for a code that is no language, InputError
    where no language is left.
    """
    from datasets import Dataset

    shared = [language for language in our_codes(languages) if language in section_languages(folder)]
    pairs = read_sections(folder, shared, source, PASSAGE_CHARS) if shared else None
    held = keep_rows(pairs, in_articles(pairs, held_out_articles(folder, seed), source)).to_pandas() if shared else pd.DataFrame()
    passages = held.groupby("language")["passage_id"].nunique() if len(held) else pd.Series(dtype=int)
    kept = passages.index[passages >= LEAST_PASSAGES]
    if not len(kept):
        raise InputError(
            f"task {source}-test: none of the languages {', '.join(languages)} has {LEAST_PASSAGES} passages in the held-out articles of "
            f"{folder}; it has files in {', '.join(section_languages(folder)) or 'none'}. Ask for one of these, or leave the task out."
        )
    return task_from_pairs(f"{source}-test", Dataset.from_pandas(held[held["language"].isin(kept)], preserve_index=False))


def in_articles(pairs: Dataset, articles: frozenset[str], source: str) -> np.ndarray:
    """[rows] bool: whether a pair's section is of one of the articles."""
    numbers, ids = codes(pairs, "id")
    return np.array([article(id_.removeprefix(f"{source}:")) in articles for id_ in ids.to_pylist()], dtype=bool)[numbers]
