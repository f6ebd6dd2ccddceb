"""The forms that public question answering sets come in, each turned into pairs: rows of a table, or triples of ids over collections.

A passage is a stretch of whole sentences of at most `max_chars` characters. A longer text is tiled by such stretches, and the one
in which the answer starts is the passage: two different passages of one text never overlap.

Triples (mMARCO) name question, right and wrong passage by the same numbers in every language. Only numbers are held, of the triples and of
the rows of the texts, which stay memory-mapped: 40 M triples over 9 M passages take about 2 GB; pairs are written as they are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.files import fingerprint
from ..base.mapped import chunks
from ..provenance.fingerprints import code_fingerprint
from ..tasks.sentences import sentence_spans
from .pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, answer_groups, chosen, drawn_size

if TYPE_CHECKING:
    from datasets import Dataset, Features

HEADER = ("query", "positive", "negative")  # of the triples
COLUMNS = ("id", "text")  # of the collections
BATCH = 20_000  # triples put together at once: 60 MB of texts

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
    starts = (row[columns["answers"]] or {}).get("answer_start") or ()
    return (row[columns["question"]], stretch(row[columns["passage"]], starts[0]), "") if len(starts) else None


def labels(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """MRQA 2019: as SQuAD, but each answer lists all the places where it stands."""
    starts = [start for label in row[columns["answers"]] or () for start in label["start"] or ()]
    return (row[columns["question"]], stretch(row[columns["passage"]], starts[0]), "") if starts else None


def quoted(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A text and answers by their words; those that are not in the text tell no passage."""
    text = row[columns["passage"]]
    starts = [start for answer in row[columns["answers"]] or () if (answer or "").strip() and (start := text.find(answer)) >= 0]
    return (row[columns["question"]], stretch(text, starts[0]), "") if starts else None


def answers(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """A question and the passage that answers it; a wrong one beside it where the set has some."""
    negative = row.get(columns.get("negative", "")) or ""
    return row[columns["question"]], stretch(row[columns["passage"]], 0), stretch(negative, 0)


def contexts(row: dict, columns: dict[str, str], stretch: Stretch) -> Found:
    """DPR and Tevatron: lists of right and of wrong passages, each with title and text, the best first."""
    right, wrong = (row[columns[side]] or () for side in ("positives", "negatives"))
    return (row[columns["question"]], _titled(right[0], stretch), _titled(wrong[0], stretch) if wrong else "") if right else None


def _titled(passage: dict, stretch: Stretch) -> str:
    title, text = (passage.get("title") or "").strip(), passage["text"] or ""
    return stretch(f"{title}. {text}" if title else text, 0)


def judged(rows: Dataset, columns: dict[str, str]) -> Dataset:
    """Candidate sentences judged right or wrong -> a row for each right one, with the question's first wrong one as `negative`.

    `group`: a number that the right sentences of one question share; `negative_group`: that of a wrong one which is right elsewhere, else
    "". Reads the whole table: such sets are small.
    """
    from datasets import Dataset

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


LAYOUTS = {"spans": spans, "labels": labels, "quoted": quoted, "answers": answers, "contexts": contexts, "judged": answers}


def stretcher(max_chars: int, language: str = "en") -> Stretch:
    """`stretch_at` of one length and language."""
    return partial(stretch_at, max_chars=max_chars, language=language)


def pair_features(negatives: bool) -> Features:
    """Columns of pairs, all texts; NEGATIVE_COLUMNS last where asked for."""
    from datasets import Features, Value

    return Features({column: Value("string") for column in (*PAIR_COLUMNS, *(NEGATIVE_COLUMNS if negatives else ()))})


def pair_table(rows: Iterable[tuple[str, ...]], features: Features) -> dict[str, list[str]]:
    """Rows in the order of PAIR_COLUMNS and NEGATIVE_COLUMNS as columns, those beyond `features` left out."""
    rows = list(rows)
    return {column: [row[place] for row in rows] for place, column in enumerate(features)}


class Texts:
    """Texts by id from a memory-mapped table of columns id (integers), text."""

    def __init__(self, table: Dataset):
        self.table, self.ids = table, _column(table, "id")
        self.order = np.argsort(self.ids, kind="stable")
        self.chunks = table.data.column("text").chunks
        self.starts = np.cumsum([0, *map(len, self.chunks)])

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """[n] row of each id, -1 where the table has none."""
        place = np.minimum(np.searchsorted(self.ids, ids, sorter=self.order), len(self.ids) - 1)
        rows = self.order[place]
        return np.where(self.ids[rows] == ids, rows, -1)

    def take(self, ids: np.ndarray) -> np.ndarray:
        """[n] object: text of each id, None where the table has none. Chunk by chunk: no list of 32-bit offsets can overflow."""
        rows, texts = self.rows(ids), np.full(len(ids), None, dtype=object)
        chunk = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(chunk[rows >= 0]):
            here = np.flatnonzero(chunk == number)
            texts[here] = self.chunks[number].take(rows[here] - self.starts[number]).to_numpy(zero_copy_only=False)
        return texts

    def equal(self) -> np.ndarray:
        """[rows] number of each row's text: that of the first row with the same text (by a 64-bit hash)."""
        hashes = np.concatenate([pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False) for chunk in self.chunks])
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        return first[inverse]


@dataclass(frozen=True)
class Triples:
    """table: rows of query, positive, negative (ids). numbers: [n] their rows in the whole set. right, wrong: [n] numbers of their
    passages, in every language the same. made: what decides the numbers.
    """

    name: str
    table: Dataset
    numbers: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    made: list[str]


def triple_pairs(name: str, load, languages: dict[str, str], max_chars: int, limits: dict, seed: int, negatives: bool) -> Dataset:
    """Pairs of a set of triples in some languages: each triple is an id, with the same `passage_id` in every language.

    load(part, columns, language, header) opens a table. limits: of `drawn_size`. Passages are known as equal by their texts in the first
    language. A row whose question or passage a language lacks is left out there; a negative that answers the same question is none.
    """
    from datasets import concatenate_datasets

    table = _numbers(name, "triples", load("triples", HEADER, header=HEADER), HEADER)
    numbers = chosen(len(table), drawn_size(len(table), **limits), seed)
    table, known, parts = table.select(numbers) if len(numbers) < len(table) else table, None, []
    for code, language in languages.items():
        texts = [Texts(_numbers(name, part, load(part, COLUMNS, language, COLUMNS), ("id",))) for part in ("queries", "collection")]
        if known is None:
            ids = (_column(table, column) for column in HEADER)
            made = [table._fingerprint, texts[1].table._fingerprint]
            known = Triples(name, table, numbers, *_passage_numbers(texts[1], *ids), made)
        parts.append(_in_language(known, code, *texts, max_chars, negatives))
    return concatenate_datasets(parts)


def _numbers(name: str, part: str, table: Dataset, columns: Sequence[str]) -> Dataset:
    """The table, whose columns of ids must hold whole numbers; raises InputError naming the first that does not."""
    for column in columns:
        if not table.features[column].dtype.startswith("int"):
            raise InputError(
                f"{name}, {part}: column {column!r} should hold whole numbers, found {table.features[column].dtype}, such as "
                f"{table[0][column]!r}. Take the revision that data/training_sets.toml names, or lay the local folder out as on the hub."
            )
    return table


def _column(table: Dataset, column: str) -> np.ndarray:
    return np.concatenate([part[column].to_numpy() for part in chunks(table, [column])])


def _passage_numbers(collection: Texts, query: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([n], [n]) numbers of the right and the wrong passages: equal texts, and right passages of one question, share a number."""
    equal, queries = collection.equal(), pd.factorize(query)[0].astype(np.int64)
    right, wrong = (np.where(rows >= 0, equal[rows], 0) for rows in (collection.rows(positive), collection.rows(negative)))
    answer = np.unique(queries * len(equal) + right)
    groups = answer_groups(answer // len(equal), answer % len(equal))
    number = groups.max() + 1 + np.arange(len(equal))  # of passages that answer nothing
    number[answer % len(equal)] = groups
    return number[right], number[wrong]


def _in_language(triples: Triples, code: str, queries: Texts, collection: Texts, max_chars: int, negatives: bool) -> Dataset:
    """The triples as pairs in one language, put together BATCH by BATCH."""
    stretch, features, name = stretcher(max_chars, code), pair_features(negatives), triples.name

    def pairs(batch: dict[str, np.ndarray], rows: list[int]) -> Iterator[tuple[str, ...]]:
        wrong = collection.take(batch["negative"]) if negatives else np.full(len(rows), None)
        for row, *texts in zip(rows, queries.take(batch["query"]), collection.take(batch["positive"]), wrong, strict=True):
            question, passage, negative = (stretch(text, 0) if text else "" for text in texts)
            right_id, wrong_id = f"{name}:{triples.right[row]}", f"{name}:{triples.wrong[row]}"
            unfit = not negative or right_id == wrong_id or negative == passage
            if question and passage:
                pair = (f"{name}:{triples.numbers[row]}", right_id, code, question, passage, name)
                yield *pair, *(("", "") if unfit else (negative, wrong_id))

    recipe = [*triples.made, queries.table._fingerprint, collection.table._fingerprint, code, max_chars, negatives]
    pairs_of = triples.table.with_format("numpy").map(
        lambda batch, rows: pair_table(pairs(batch, rows), features),
        batched=True,
        batch_size=BATCH,
        with_indices=True,
        remove_columns=triples.table.column_names,
        features=features,
        new_fingerprint=fingerprint([*recipe, code_fingerprint(triple_pairs)])[:16],
        desc=f"{name} {code}",
    )
    return pairs_of.with_format(None)
