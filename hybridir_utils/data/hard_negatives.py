"""One hard negative a pair: the set's own, or one mined by BM25 or by an encoder, in the row's own language.

Mining (as sentence-transformers' `mine_hard_negatives`): the passages of a set are searched with its questions, and a passage is
a candidate when its score lies a relative margin below the positive's; of the DEPTH best candidates one is drawn. Never a candidate: a
passage that shares the positive's `passage_id`, its text, or one that answers the same question under another id, in whichever
language. A set is mined in one language, English where it has it, and a negative then stands in every language it exists in.

Memory: the passages of a set are shuffled into blocks of BLOCK and mined block by block, each with its own questions; besides one
block's texts and scores, some 50 bytes a row are held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ..base.errors import InputError
from ..base.files import fingerprint
from ..base.mapped import CHUNK, codes
from ..provenance.fingerprints import code_fingerprint
from ..rank.lexical import bm25
from ..rank.ranking import ScoreBlock
from .pairs import NEGATIVE_COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

BLOCK = 20_000  # passages searched at once
QUERIES = 512  # score rows held at once: 40 MB
DEPTH = 10  # best candidates of which one is drawn


def add_hard_negatives(
    pairs: Dataset, method: Literal["given", "bm25", "dense"], margin: float = 0.05, seed: int = 0, encode: Callable | None = None
) -> Dataset:
    """The pairs with columns `negative` and `negative_id`: a hard negative in the row's own language, "" where there is none.

    given: what the columns already hold; a row without one, such as a translation, gets the passage that the same pair's
    `negative_id` names in its language. bm25, dense: mined. margin: share of the positive's score by which a candidate lies below
    it. encode: `encode(texts, role)` for role query and document, [n, d] fp32 rows of unit length (dense only).
    Raises InputError when `given` finds no such columns.
    """
    rows = _Rows(pairs)
    score = {"bm25": bm25, "dense": partial(_dense, encode=encode)}.get(method)
    chosen = _mined(pairs, rows, score, margin, seed) if score else _given(pairs, rows)
    return _with_negatives(pairs, rows, chosen, keep_own=method == "given")


class _Rows:
    """Numbers of the pairs' rows: `id`, `passage`, `language`, `source` [n], and which row holds a passage in a language."""

    def __init__(self, pairs: Dataset):
        self.id, _ = codes(pairs, "id")
        self.passage, self.passage_names = codes(pairs, "passage_id")
        self.language, self.language_names = codes(pairs, "language")
        self.source, self.source_names = codes(pairs, "source")
        keys = self.passage.astype(np.int64) * len(self.language_names) + self.language
        self.keys, self.first = np.unique(keys, return_index=True)

    def holder(self, passages: np.ndarray, languages: np.ndarray) -> np.ndarray:
        """[n] first row with the passage in the language, -1 where there is none or the passage is -1."""
        wanted = passages.astype(np.int64) * len(self.language_names) + languages
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((self.keys[place] == wanted) & (passages >= 0), self.first[place], -1)

    def mining(self) -> Iterator[np.ndarray]:
        """Rows of each source in the language it is mined in: English, or the one with most rows."""
        english = self.language_names.to_pylist().index("en") if "en" in self.language_names.to_pylist() else -1
        for source in range(len(self.source_names)):
            here = self.source == source
            count = np.bincount(self.language[here], minlength=len(self.language_names))
            language = english if english >= 0 and count[english] else int(count.argmax())
            yield np.flatnonzero(here & (self.language == language))


def _mined(pairs: Dataset, rows: _Rows, score: Callable[[list[str], list[str]], ScoreBlock], margin: float, seed: int) -> np.ndarray:
    """[ids] number of the negative's passage, -1 where there is none."""
    chosen, rng = np.full(int(rows.id.max()) + 1, -1, dtype=np.int32), np.random.default_rng(seed)
    for members in rows.mining():
        for block in _blocks(rows.passage[members], rng):
            asked = members[block]
            chosen[rows.id[asked]] = _mine_block(pairs, rows, asked, score, margin, rng)
    return chosen


def _blocks(passages: np.ndarray, rng) -> Iterator[np.ndarray]:
    """Places of `passages` [n], split so that each part has all rows of at most BLOCK passages, drawn at random."""
    distinct, number = np.unique(passages, return_inverse=True)
    part = (rng.permutation(len(distinct)) // BLOCK)[number]
    order = np.argsort(part, kind="stable")
    return iter(np.split(order, np.cumsum(np.bincount(part))[:-1]))


def _mine_block(pairs: Dataset, rows: _Rows, asked: np.ndarray, score, margin: float, rng) -> np.ndarray:
    """[rows asked] number of the passage drawn for each, -1 where no candidate is left."""
    passages, first, own = np.unique(rows.passage[asked], return_index=True, return_inverse=True)
    questions, texts = pairs.select(asked)["question"][:], pairs.select(asked[first])["passage"][:]
    scores = score(questions, texts)
    forbidden = _answers(pd.factorize(np.array(questions, dtype=object))[0], own, pd.factorize(np.array(texts, dtype=object))[0])
    found = np.full(len(asked), -1, dtype=np.int32)
    for start in range(0, len(asked), QUERIES):
        block = scores(start, min(start + QUERIES, len(asked)))
        for row, values in enumerate(block, start=start):
            candidates = _candidates(values, values[own[row]], margin, forbidden(row))
            if len(candidates):
                found[row] = passages[rng.choice(candidates)]
    return found


def _answers(question: np.ndarray, own: np.ndarray, text: np.ndarray) -> Callable[[int], np.ndarray]:
    """Row -> the passages that answer its question: its own, those of rows with an equal question, and all with their texts.

    question, own: [rows] numbers of question texts and passages; text: [passages] number of each passage's text.
    """
    asking, holding = (pd.Series(numbers).groupby(numbers).indices for numbers in (question, text))

    def forbidden(row: int) -> np.ndarray:
        return np.concatenate([holding[number] for number in np.unique(text[own[asking[question[row]]]])])

    return forbidden


def _candidates(scores: np.ndarray, positive: float, margin: float, forbidden: np.ndarray) -> np.ndarray:
    """The DEPTH best-scored passages that lie `margin` below the positive and score above 0, without the forbidden ones."""
    allowed = np.where(scores <= positive - margin * abs(positive), scores, 0)
    allowed[forbidden] = 0
    depth = min(DEPTH, len(allowed))
    best = np.argpartition(-allowed, depth - 1)[:depth]
    return np.sort(best[allowed[best] > 0])


def _dense(questions: Sequence[str], passages: Sequence[str], encode: Callable) -> ScoreBlock:
    """Cosine similarity of a block's texts."""
    query, passage = encode(questions, "query"), encode(passages, "document")
    return lambda start, stop: query[start:stop] @ passage.T


def _given(pairs: Dataset, rows: _Rows) -> np.ndarray:
    """[ids] number of the passage that is the id's own negative, -1 where it has none or no pair has that passage."""
    if not set(NEGATIVE_COLUMNS) <= set(pairs.column_names):
        raise InputError("hard_negatives = given, but no pair set brings negatives. Take bm25 or dense to mine them, or none.")
    number, names = codes(pairs, "negative_id")
    passage = pc.index_in(names, rows.passage_names).fill_null(-1).to_numpy()[number]
    chosen = np.full(int(rows.id.max()) + 1, -1, dtype=np.int32)
    chosen[rows.id[passage >= 0]] = passage[passage >= 0]
    return chosen


def _with_negatives(pairs: Dataset, rows: _Rows, chosen: np.ndarray, keep_own: bool) -> Dataset:
    """The pairs with the text of each row's negative, written chunk by chunk beside the pairs' own file where they have one.

    keep_own: a negative that a row already has stays. None stays that is the row's passage or has its text.
    """
    from datasets import Features, Value

    passages = pairs.select_columns(["passage"])

    def fill(batch: dict[str, list[str]], places: list[int]) -> dict[str, list[str]]:
        number = chosen[rows.id[places]]
        number = np.where(number == rows.passage[places], -1, number)
        holder = rows.holder(number, rows.language[places])
        there = np.flatnonzero(holder >= 0)
        texts, ids = np.full(len(places), "", dtype=object), np.full(len(places), "", dtype=object)
        texts[there], ids[there] = passages[holder[there]]["passage"], rows.passage_names.take(number[there]).to_pylist()
        if keep_own:
            own = np.array(batch["negative"], dtype=object) != ""
            texts[own], ids[own] = (np.array(batch[column], dtype=object)[own] for column in NEGATIVE_COLUMNS)
        unfit = (texts == np.array(batch["passage"], dtype=object)) | (ids == np.array(batch["passage_id"], dtype=object))
        texts[unfit] = ids[unfit] = ""
        return {"negative": texts.tolist(), "negative_id": ids.tolist()}

    recipe = [pairs._fingerprint, hashlib.blake2b(chosen.tobytes()).hexdigest(), keep_own, code_fingerprint(add_hard_negatives)]
    return pairs.map(
        fill,
        batched=True,
        batch_size=CHUNK // 10,
        with_indices=True,
        features=Features(pairs.features | {column: Value("string") for column in NEGATIVE_COLUMNS}),
        new_fingerprint=fingerprint(recipe)[:16],
        desc="hard negatives",
    )
