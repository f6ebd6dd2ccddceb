"""The forms that public question answering sets come in, each turned into (question, passage, negative) one row at a time.

A passage is a stretch of whole sentences of at most `max_chars` characters. A longer text is tiled by such stretches, and the one
in which the answer starts is the passage: two different passages of one text never overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import numpy as np
import pandas as pd
from datasets import Dataset, Features, Value

from ..tasks.sentences import sentence_spans
from .pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS

Found = tuple[str, str, str] | None  # question, passage, negative ("": none); None: the row holds no answer
Stretch = Callable[[str, int], str]


def stretch_at(text: str, start: int, max_chars: int, language: str = "en") -> str:
    """The stretch of the text that holds the character `start`, white space made single blanks."""
    begin, end = next(span for span in reversed(_stretches(text, max_chars, language)) if span[0] <= start or span[0] == 0)
    return " ".join(text[begin:end].split())


@lru_cache(maxsize=64)  # the questions of one text follow each other
def _stretches(text: str, max_chars: int, language: str) -> list[tuple[int, int]]:
    """[start, end) of sentences taken together up to `max_chars`; a longer sentence is cut at white space where there is any."""
    if len(text) <= max_chars:
        return [(0, len(text))]
    pieces = [piece for span in sentence_spans(text, language) for piece in _pieces(text, *span, max_chars)]
    found = [pieces[0]]
    for start, end in pieces[1:]:
        if len(text[found[-1][0] : end].rstrip()) <= max_chars:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _pieces(text: str, start: int, end: int, max_chars: int) -> list[tuple[int, int]]:
    found = []
    while len(text[start:end].rstrip()) > max_chars:
        cut = text.rfind(" ", start + 1, start + max_chars + 1) + 1 or start + max_chars
        found.append((start, cut))
        start = cut
    return [*found, (start, end)]


def spans(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """SQuAD: a text and where in it answers start."""
    starts = row[columns["answers"]]["answer_start"]
    return (row[columns["question"]], stretch(row[columns["passage"]], starts[0]), "") if len(starts) else None


def labels(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """MRQA 2019: as SQuAD, but each answer lists all the places where it stands."""
    starts = [start for label in row[columns["answers"]] for start in label["start"]]
    return (row[columns["question"]], stretch(row[columns["passage"]], starts[0]), "") if starts else None


def quoted(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A text and answers by their words; those that are not in the text tell no passage."""
    text = row[columns["passage"]]
    starts = [start for answer in row[columns["answers"]] if answer.strip() and (start := text.find(answer)) >= 0]
    return (row[columns["question"]], stretch(text, starts[0]), "") if starts else None


def answers(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A question and the passage that answers it; a wrong one beside it where the set has some."""
    negative = row.get(columns.get("negative", ""), "")
    return row[columns["question"]], stretch(row[columns["passage"]], 0), stretch(negative, 0)


def contexts(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """DPR and Tevatron: lists of right and of wrong passages, each with title and text, the best first."""
    right, wrong = (row[columns[side]] for side in ("positives", "negatives"))
    return (row[columns["question"]], _titled(right[0], stretch), _titled(wrong[0], stretch) if wrong else "") if right else None


def _titled(passage: dict, stretch: Stretch) -> str:
    title, text = (passage.get("title") or "").strip(), passage["text"]
    return stretch(f"{title}. {text}" if title else text, 0)


def judged(rows: Dataset, columns: dict[str, str]) -> Dataset:
    """Candidate sentences judged right or wrong -> a row for each right one, with the question's first wrong one as `negative`.

    `group`: a number that the right sentences of one question share; `negative_group`: that of a wrong one which is right elsewhere, else
    "". Reads the whole table: such sets are small.
    """
    frame = rows.to_pandas().rename(columns={name: part for part, name in columns.items()})
    wrong = frame[frame["label"] == 0].drop_duplicates("id").set_index("id")["passage"]
    right = frame[frame["label"] == 1].reset_index(drop=True)
    group = answer_groups(pd.factorize(right["id"])[0], pd.factorize(right["passage"])[0])
    right = right.assign(group=group.astype(str), negative=right["id"].map(wrong).fillna(""))
    known = right.drop_duplicates("passage").set_index("passage")["group"]
    right = right.assign(
        negative_group=right["negative"].map(known).fillna(""), id=right["id"] + "-" + right.groupby("id").cumcount().astype(str)
    )
    return Dataset.from_pandas(right[["id", "question", "passage", "negative", "group", "negative_group"]], preserve_index=False)


def answer_groups(questions: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """[n] group number of each (question, passage): rows that share a question or a passage, also through others, share a group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(questions.max()) + 1
    size = count + int(passages.max()) + 1
    edges = coo_array((np.ones(len(questions), dtype=np.int8), (questions, passages + count)), shape=(size, size))
    return connected_components(edges, directed=False)[1][questions]


LAYOUTS = {"spans": spans, "labels": labels, "quoted": quoted, "answers": answers, "contexts": contexts, "judged": answers}


def stretcher(max_chars: int, language: str = "en") -> Stretch:
    """`stretch_at` of one length and language."""
    return partial(stretch_at, max_chars=max_chars, language=language)


def pair_features(negatives: bool) -> Features:
    """Columns of pairs, all texts; NEGATIVE_COLUMNS last where asked for."""
    return Features({column: Value("string") for column in (*PAIR_COLUMNS, *(NEGATIVE_COLUMNS if negatives else ()))})


def pair_table(rows: Iterable[tuple[str, ...]], features: Features) -> dict[str, list[str]]:
    """Rows in the order of PAIR_COLUMNS and NEGATIVE_COLUMNS as columns, those beyond `features` left out."""
    rows = list(rows)
    return {column: [row[place] for row in rows] for place, column in enumerate(features)}
