"""Training pairs that the evaluation already holds: found by text, dropped as whole parallel groups.

Texts of one language are compared by their sets of character 5-grams (shingles), which need no word boundaries and so serve
every script alike: resemblance |A n B| / |A u B| and containment |A n B| / min(|A|, |B|), both of Broder (1997), "On the resemblance
and containment of documents". A shingle weighs ln(N / texts that have it), so that a frame which many texts share, such as the
fixed part of a question, says little; a shingle the task lacks weighs as much as its rarest one. Containment finds the
evaluation sentence inside a training section at least twice as long. A translation leak across languages is caught through the
group: one leaked language drops the pair in all.

The training texts are read twice, a block at a time: for the weights, then to be compared. All pairs of texts are compared,
but most by a bound: a training text that has too much weight outside the task's shingles resembles none of its texts and lies in
none, and one that shares less than half of a text's weight among that text's heaviest shingles does not hold it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import regex

from ..base.errors import InputError
from ..base.languages import primary
from ..base.mapped import codes, holds, keep_rows
from ..tasks.retrieval_task import ParallelQuestions, RetrievalTask
from ..tasks.searched_task import Search, SearchTask, corpus_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from scipy import sparse

SHINGLE = 5  # characters
MIN_CONTAINED = 40  # shingles (44 characters): shorter sentences are contained in some section by chance
BLOCK_TEXTS = 10_000  # training texts in memory at once
SLICE = 2**18  # characters cut into shingles at once; less than 2**16 texts
BLOCK_CELLS = 4_000_000  # of one block of intersection counts: bounds memory at some 100 MB
HALF = 0.5  # of a text's weight, which a text that holds it shares among the heaviest 1.5 - threshold of the weight
ROUNDING = 1e-9  # of sums whose order differs
KINDS = ("", "exact", "near", "contained")
MATCH_COLUMNS = ("kind", "pair", "match", "similarity", "pair_text", "match_text")
KNOWN_COLUMNS = ["id", "language", "text"]  # of the texts that the evaluation holds
LEAK_COLUMNS = ["kind", "language", "pair", "field", "match", "similarity", "pair_text", "match_text"]

_MARKS = regex.compile(r"[^\p{L}\p{M}\p{N}]+")  # punctuation, symbols, separators, control characters
_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, SHINGLE + 1)], dtype=np.uint64)


def leaks(pairs: Dataset, task: RetrievalTask | SearchTask | ParallelQuestions, threshold: float = 0.8) -> pd.DataFrame:
    """Training texts that equal or nearly equal a text of the task, as columns LEAK_COLUMNS, one row per (pair, field, match).

    Questions are compared with the task's queries and passages with its relevant candidates, within each language, whatever its script and
    region. kind: `exact`
    (equal once case, white space and punctuation are levelled), `near` (resemblance >= threshold) or, for passages, `contained`
    (containment >= threshold, the shorter text having at least MIN_CONTAINED shingles and the longer twice as many; questions are
    mostly template, so that one lies in many others). similarity is the resemblance, for `contained` the containment.
    All pairs of texts are compared, without sampling. Raises InputError for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise InputError(f"leakage threshold {threshold}: expected a number above 0 and at most 1.")
    language, names = codes(pairs, "language")
    of_name, mains = pd.factorize(np.array([primary(name) for name in names.to_pylist()], dtype=object))
    of_row, number = of_name[language], {main: n for n, main in enumerate(mains)}
    tables = [pd.DataFrame(columns=LEAK_COLUMNS)]
    for field, texts in evaluated_texts(task).items():
        of_field = pairs.select_columns(["id", field]).rename_column(field, "text")
        for code, known in texts.groupby(texts["language"].map(primary)):
            ours = of_field.select(np.flatnonzero(of_row == number.get(code, -1)))
            tables.append(_compare(ours, known, threshold, contain=field == "passage").assign(language=code, field=field))
    found = [table for table in tables if len(table)] or tables
    return pd.concat(found, ignore_index=True)[LEAK_COLUMNS].astype({"similarity": float})


def evaluated_texts(task: RetrievalTask | SearchTask | ParallelQuestions) -> dict[str, pd.DataFrame]:
    """{"question": frame, "passage": frame} of id, language, text: the task's questions, and the passages relevant to one of them.

    A search that is judged by answers names no relevant passage, and parallel questions have none. Raises InputError when a relevant
    one is not in its corpus.
    """
    if isinstance(task, RetrievalTask):
        relevant = task.candidates["id"].isin(set(task.relevance["candidate"]))
        return {"question": task.queries[KNOWN_COLUMNS], "passage": task.candidates.loc[relevant, KNOWN_COLUMNS]}
    if isinstance(task, ParallelQuestions):
        return {"question": task.texts[KNOWN_COLUMNS], "passage": task.texts.iloc[:0][KNOWN_COLUMNS]}
    questions = [search.queries.assign(language=search.query_language)[KNOWN_COLUMNS] for search in task.searches]
    passages = [_relevant(task, search) for search in task.searches if search.qrels is not None]
    tables = {"question": questions, "passage": [pd.DataFrame(columns=KNOWN_COLUMNS), *passages]}
    return {field: pd.concat(frames).drop_duplicates(["id", "language"], ignore_index=True) for field, frames in tables.items()}


def _relevant(task: SearchTask, search: Search) -> pd.DataFrame:
    corpus = task.open_corpus(search.corpus)
    wanted = set(search.qrels.loc[search.qrels["relevance"] > 0, "candidate"])
    rows = corpus_rows(corpus, sorted(wanted), f"{task.name}, {search.corpus}").sort_values()
    return pd.DataFrame({"id": rows.index, "language": search.candidate_language, "text": corpus.select(rows.to_numpy())["text"]})


def drop_leaks(pairs: Dataset, found: pd.DataFrame) -> Dataset:
    """The pairs without every id named in `found`, and without those that share a passage which leaked, in all their languages.

    Raises InputError when nothing would be left.
    """
    ids, passages = found[["pair"]].set_axis(["id"], axis=1), codes(pairs, "passage_id")[0]
    leaked = passages[holds(pairs, ids[found["field"] == "passage"])]
    kept = keep_rows(pairs, ~(holds(pairs, ids) | np.isin(passages, np.unique(leaked))))
    if not len(kept):
        raise InputError(f"all {len(pairs)} training pairs also stand in the evaluation task; use other training data.")
    return kept


def normalise(text: str) -> str:
    """NFKC, case-folded, punctuation and symbols as blanks, blanks single; marks of Indic and Thai vowels stay.

    A text of symbols only is kept as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _MARKS.sub(" ", folded).strip() or folded


def _compare(ours: Dataset, known: pd.DataFrame, threshold: float, contain: bool) -> pd.DataFrame:
    """Leaks between our table and a frame of ids and texts of one language; containment counts where `contain`."""
    if not len(ours):
        return pd.DataFrame(columns=MATCH_COLUMNS)
    known_texts = known["text"].map(normalise).to_numpy()
    vocabulary = np.unique(_shingles(known_texts)[0])
    theirs = _Side(known_texts, vocabulary)
    sides = [*_sides(ours, vocabulary)] if len(ours) <= BLOCK_TEXTS else None  # a single block stays in memory between the two readings
    frequency = theirs.frequency + sum(mine.frequency for _, _, mine in sides or _sides(ours, vocabulary))
    weight = _weights(frequency, len(ours) + len(known))
    search, tables = _Search(theirs, weight, threshold), []
    for part, our_texts, mine in sides or _sides(ours, vocabulary):
        our_size = mine.size(weight)
        for i, j, shared in search.shared(mine, our_size, contain):
            sums = (shared, our_size[i], search.size[j], mine.count[i], theirs.count[j])
            kind, similarity = _judge(*sums, our_texts[i] == known_texts[j], contain, threshold)
            hit = np.flatnonzero(kind)
            one, other = part.iloc[i[hit]], known.iloc[j[hit]]
            columns = (np.array(KINDS)[kind[hit]], one["id"], other["id"], similarity[hit], one["text"], other["text"])
            tables.append(pd.DataFrame(dict(zip(MATCH_COLUMNS, map(np.asarray, columns), strict=True))))
    return pd.concat(tables, ignore_index=True)


def _sides(ours: Dataset, vocabulary: np.ndarray) -> Iterator[tuple[pd.DataFrame, np.ndarray, _Side]]:
    """(rows, their texts normalised, these as sets of shingles) of our texts, BLOCK_TEXTS at a time."""
    for start in range(0, len(ours), BLOCK_TEXTS):
        part = pd.DataFrame(ours[start : start + BLOCK_TEXTS], dtype=object)
        texts = part["text"].map(normalise).to_numpy()
        yield part, texts, _Side(texts, vocabulary)


def _judge(shared, our_size, known_size, our_count, known_count, exact, contain: bool, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(index into KINDS, similarity) of pairs of texts, given as aligned arrays; containment of a text in a much longer one."""
    shorter, longer = np.minimum(our_count, known_count), np.maximum(our_count, known_count)
    resemblance, containment = shared / (our_size + known_size - shared), shared / np.minimum(our_size, known_size)
    reached = threshold - ROUNDING
    near = resemblance >= reached
    contained = contain & (containment >= reached) & (shorter >= MIN_CONTAINED) & (longer >= 2 * shorter)
    return np.select([exact, near, contained], [1, 2, 3], 0), np.select([exact, near], [1.0, resemblance], containment)


class _Side:
    """Texts as sets of shingles. count: [texts] how many each has; matrix: [texts, vocabulary] of those that the vocabulary has; foreign:
    [texts] number of the others; frequency: [vocabulary] texts that have one.
    """

    def __init__(self, texts: Sequence[str], vocabulary: np.ndarray):
        shingles, self.count = _shingles(texts)
        self.matrix = _matrix(shingles, self.count, vocabulary)
        self.foreign = self.count - self.matrix.sum(1)
        self.frequency = np.bincount(self.matrix.indices, minlength=len(vocabulary))

    def size(self, weight: np.ndarray) -> np.ndarray:
        return self.matrix @ weight + self.foreign * weight.max(initial=0.0)


class _Search:
    """The task's texts, ready to be compared. weight: [vocabulary]; size, light: [texts] weight of a text, and of its shingles that
    `heavy` leaves out; weighed: [texts, vocabulary]; heavy: the same with the heaviest shingles of each text only.
    """

    def __init__(self, theirs: _Side, weight: np.ndarray, threshold: float):
        from scipy import sparse

        self.weight, self.size = weight, theirs.size(weight)
        self.weighed = sparse.csr_array(theirs.matrix * weight[None, :])
        self.heavy = _heaviest(self.weighed, HALF + 1 - threshold)
        self.light = self.size - self.heavy.sum(1)
        self.bound = threshold - 2 * ROUNDING

    def shared(self, mine: _Side, our_size: np.ndarray, contain: bool) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(our text, their text, weight of the shingles both have) of all pairs that can be leaks, a block of our texts at a time."""
        inside = mine.matrix @ self.weight >= self.bound * our_size
        block = max(1, BLOCK_CELLS // len(self.size))
        for start in range(0, len(inside), block):
            rows = np.arange(start, min(start + block, len(inside)))
            parts = [_cells(mine.matrix, rows[inside[rows]], self.weighed)]
            if contain:
                parts.append(self._held(mine.matrix, rows[~inside[rows]]))
            i, j, shared = map(np.concatenate, zip(*parts, strict=True))
            order = np.lexsort((j, i))
            yield i[order], j[order], shared[order]

    def _held(self, matrix: sparse.csr_array, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells of those texts of the task that may lie in one of ours."""
        i, j, shared = _cells(matrix, rows, self.heavy)
        enough = shared >= self.bound * self.size[j] - self.light[j]
        i, j = i[enough], j[enough]
        return i, j, (matrix[i] * self.weighed[j]).sum(1)


def _cells(matrix: sparse.csr_array, rows: np.ndarray, weighed: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, text, weight) of the product's cells that are not zero."""
    product = (matrix[rows] @ weighed.T).tocoo()
    return rows[product.row], product.col, product.data


def _heaviest(weighed: sparse.csr_array, share: float) -> sparse.csr_array:
    """Of each row the heaviest entries, as many as make up `share` of its sum."""
    from scipy import sparse

    row = np.repeat(np.arange(weighed.shape[0]), np.diff(weighed.indptr))
    order = np.lexsort((-weighed.data, row))
    before = np.cumsum(weighed.data[order]) - weighed.data[order]
    kept = order[before - before[weighed.indptr[row]] < share * weighed.sum(1)[row]]
    return sparse.csr_array((weighed.data[kept], (row[kept], weighed.indices[kept])), shape=weighed.shape)


def _weights(frequency: np.ndarray, texts: int) -> np.ndarray:
    """[vocabulary] inverse document frequency ln(N / df) over both sides; at least a trace, so that equal texts resemble."""
    return np.maximum(np.log(texts / np.maximum(frequency, 1)), 1e-3)


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(64-bit hashes of each text's distinct 5-grams, sorted, one text after the other; [texts] how many a text has). A text shorter than
    one is padded to it. Chance collisions: below 1e-9 in a run.
    """
    padded = [text.ljust(SHINGLE) for text in texts]
    part = np.cumsum([len(text) for text in padded]) // SLICE
    bounds = [0, *np.flatnonzero(np.diff(part)) + 1, len(padded)]
    hashes, counts = zip(*(_distinct(padded[start:stop]) for start, stop in pairwise(bounds)), strict=True)
    return np.concatenate(hashes), np.concatenate(counts)


def _distinct(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """`_shingles` of texts that are long enough; all are cut and sorted at once, as a call for each would cost more than its work."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    text = np.repeat(np.arange(len(texts), dtype=np.uint16), [len(text) for text in texts])
    count = len(points) - SHINGLE + 1
    inside = text[:count] == text[SHINGLE - 1 :]
    hashes, text = sum(points[k : k + count] * _POWERS[k] for k in range(SHINGLE))[inside], text[:count][inside]
    hashes ^= hashes >> np.uint64(31)
    order = np.argsort(hashes)
    order = order[np.argsort(text[order], kind="stable")]  # of 16 bits, which takes no comparisons
    hashes, text = hashes[order], text[order]
    new = np.r_[True, (hashes[1:] != hashes[:-1]) | (text[1:] != text[:-1])]
    return hashes[new], np.bincount(text[new], minlength=len(texts))


def _matrix(shingles: np.ndarray, counts: np.ndarray, vocabulary: np.ndarray) -> sparse.csr_array:
    """[texts, vocabulary] of 0 and 1; shingles outside the vocabulary are left out: they are shared with nothing."""
    from scipy import sparse

    place = np.searchsorted(vocabulary, shingles)
    place[place == len(vocabulary)] = 0
    there = vocabulary[place] == shingles
    ends = np.concatenate([[0], np.cumsum(there)])[np.cumsum([0, *counts])]
    return sparse.csr_array((np.ones(ends[-1]), place[there].astype(np.int32), ends), shape=(len(counts), len(vocabulary)))
