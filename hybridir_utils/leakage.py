"""Training pairs that the evaluation already holds: found by text, dropped as whole parallel groups.

Texts of one language are compared by their sets of character 5-grams (shingles), which need no word boundaries and so serve
every script alike: resemblance |A n B| / |A u B| and containment |A n B| / min(|A|, |B|), both of Broder (1997), "On the resemblance
and containment of documents". A shingle weighs ln(N / texts that have it), so that a frame which many texts share, such as the
fixed part of a question, says little; a shingle the task lacks weighs as much as its rarest one. Containment finds the
evaluation sentence inside a training section at least twice as long. A translation leak across languages is caught through the
group: one leaked language drops the pair in all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy import sparse

from .errors import InputError
from .tasks import RetrievalTask

SHINGLE = 5  # characters
MIN_CONTAINED = 40  # shingles (44 characters): shorter sentences are contained in some section by chance
BLOCK_CELLS = 4_000_000  # of one block of intersection counts: bounds memory at some 100 MB
KINDS = ("", "exact", "near", "contained")
MATCH_COLUMNS = ("kind", "pair", "match", "similarity", "pair_text", "match_text")
LEAK_COLUMNS = ["kind", "language", "pair", "field", "match", "similarity", "pair_text", "match_text"]

_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, SHINGLE + 1)], dtype=np.uint64)


def leaks(pairs: Dataset, task: RetrievalTask, threshold: float = 0.8) -> pd.DataFrame:
    """Training texts that equal or nearly equal a text of the task, as columns LEAK_COLUMNS, one row per (pair, field, match).

    Questions are compared with the task's queries and passages with its relevant candidates, within each language. kind: `exact`
    (equal once case, white space and punctuation are levelled), `near` (resemblance >= threshold) or, for passages, `contained`
    (containment >= threshold, the shorter text having at least MIN_CONTAINED shingles and the longer twice as many; questions are
    mostly template, so that one lies in many others). similarity is the resemblance, for `contained` the containment.
    All pairs of texts are compared, without sampling. Raises InputError for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise InputError(f"leakage threshold {threshold}: expected a number above 0 and at most 1.")
    frame = pairs.select_columns(["id", "language", "question", "passage"]).to_pandas()
    relevant = task.candidates[task.candidates["id"].isin(set(task.relevance["candidate"]))]
    tables = [pd.DataFrame(columns=LEAK_COLUMNS)]
    for field, texts in (("question", task.queries), ("passage", relevant)):
        for language, known in texts.groupby("language"):
            ours = frame.loc[frame["language"] == language, ["id", field]].rename(columns={field: "text"})
            tables.append(_compare(ours, known, threshold, contain=field == "passage").assign(language=language, field=field))
    found = [table for table in tables if len(table)] or tables
    return pd.concat(found, ignore_index=True)[LEAK_COLUMNS].astype({"similarity": float})


def drop_leaks(pairs: Dataset, found: pd.DataFrame) -> Dataset:
    """The pairs without every id named in `found`, in all its languages. Raises InputError when nothing would be left."""
    leaked = set(found["pair"])
    kept = pairs.select([row for row, id_ in enumerate(pairs["id"]) if id_ not in leaked])
    if not len(kept):
        raise InputError(f"all {len(pairs)} training pairs also stand in the evaluation task; use other training data.")
    return kept


def normalise(text: str) -> str:
    """NFKC, case-folded, punctuation and symbols as blanks, blanks single; marks of Indic and Thai vowels stay.

    A text of symbols only is kept as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(" " if unicodedata.category(character)[0] in "PSZC" else character for character in folded).split()) or folded


def _compare(ours: pd.DataFrame, known: pd.DataFrame, threshold: float, contain: bool) -> pd.DataFrame:
    """Leaks between two frames (id, text) of one language; containment counts where `contain`."""
    if ours.empty:
        return pd.DataFrame(columns=MATCH_COLUMNS)
    our_texts, known_texts = ours["text"].map(normalise).to_numpy(), known["text"].map(normalise).to_numpy()
    vocabulary = np.unique(np.concatenate([_shingles(text) for text in known_texts]))
    mine, theirs = _Side.of(our_texts, vocabulary), _Side.of(known_texts, vocabulary)
    weight = _weights(mine.matrix, theirs.matrix)
    weighed = (theirs.matrix * weight[None, :]).tocsr().T
    sizes = mine.size(weight), theirs.size(weight)
    block, tables = max(1, BLOCK_CELLS // len(known)), []
    for start in range(0, len(ours), block):
        common = (mine.matrix[start : start + block] @ weighed).tocoo()
        i, j = common.row + start, common.col
        sums = (common.data, sizes[0][i], sizes[1][j], mine.count[i], theirs.count[j])
        kind, similarity = _judge(*sums, our_texts[i] == known_texts[j], contain, threshold)
        hit = np.flatnonzero(kind)
        one, other = ours.iloc[i[hit]], known.iloc[j[hit]]
        columns = (np.array(KINDS)[kind[hit]], one["id"], other["id"], similarity[hit], one["text"], other["text"])
        tables.append(pd.DataFrame(dict(zip(MATCH_COLUMNS, map(np.asarray, columns), strict=True))))
    return pd.concat(tables, ignore_index=True)


def _judge(shared, our_size, known_size, our_count, known_count, exact, contain: bool, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(index into KINDS, similarity) of pairs of texts, given as aligned arrays; containment of a text in a much longer one."""
    shorter, longer = np.minimum(our_count, known_count), np.maximum(our_count, known_count)
    resemblance, containment = shared / (our_size + known_size - shared), shared / np.minimum(our_size, known_size)
    reached = threshold - 1e-9  # of sums whose rounding differs
    near = resemblance >= reached
    contained = contain & (containment >= reached) & (shorter >= MIN_CONTAINED) & (longer >= 2 * shorter)
    return np.select([exact, near, contained], [1, 2, 3], 0), np.select([exact, near], [1.0, resemblance], containment)


@dataclass(frozen=True)
class _Side:
    """Texts as sets of shingles: matrix [texts, vocabulary] of those the vocabulary has, foreign [texts] the number of others."""

    matrix: sparse.csr_array
    foreign: np.ndarray

    @classmethod
    def of(cls, texts: np.ndarray, vocabulary: np.ndarray) -> _Side:
        sets = [_shingles(text) for text in texts]
        matrix = _matrix(sets, vocabulary)
        return cls(matrix, np.array([len(shingles) for shingles in sets]) - matrix.sum(1))

    @cached_property
    def count(self) -> np.ndarray:
        return self.matrix.sum(1) + self.foreign

    def size(self, weight: np.ndarray) -> np.ndarray:
        return self.matrix @ weight + self.foreign * weight.max(initial=0.0)


def _weights(mine: sparse.csr_array, theirs: sparse.csr_array) -> np.ndarray:
    """[vocabulary] inverse document frequency ln(N / df) over both sides; at least a trace, so that equal texts resemble."""
    frequency = theirs.sum(0) + mine.sum(0)
    return np.maximum(np.log((theirs.shape[0] + mine.shape[0]) / np.maximum(frequency, 1)), 1e-3)


def _shingles(text: str) -> np.ndarray:
    """Sorted 64-bit hashes of a text's distinct 5-grams; a shorter text is padded to one. Chance collisions: below 1e-9 in a run."""
    points = np.frombuffer(text.ljust(SHINGLE).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = len(points) - SHINGLE + 1
    hashes = sum(points[k : k + count] * _POWERS[k] for k in range(SHINGLE))
    return np.unique(hashes ^ (hashes >> np.uint64(31)))


def _matrix(sets: Iterable[np.ndarray], vocabulary: np.ndarray) -> sparse.csr_array:
    """[texts, vocabulary] of 0 and 1; shingles outside the vocabulary are left out: they are shared with nothing."""
    columns = []
    for shingles in sets:
        place = np.searchsorted(vocabulary, shingles)
        place[place == len(vocabulary)] = 0
        columns.append(place[vocabulary[place] == shingles])
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.concatenate(columns) if columns else np.empty(0, dtype=np.int64)
    return sparse.csr_array((np.ones(len(flat)), flat, ends), shape=(len(columns), len(vocabulary)))
