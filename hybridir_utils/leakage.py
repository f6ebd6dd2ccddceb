"""Training pairs that the evaluation already holds: found by text, dropped as whole parallel groups.

Texts of one language are compared by their sets of character 5-grams (shingles), which need no word boundaries and so serve
every script alike: resemblance |A n B| / |A u B| and containment |A n B| / min(|A|, |B|), both of Broder (1997), "On the resemblance
and containment of documents". Containment finds the evaluation sentence inside a long training section. A translation leak
across languages is caught through the group: one leaked language drops the pair in all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy import sparse

from .errors import InputError
from .tasks import RetrievalTask

SHINGLE = 5  # characters
MIN_CONTAINED = 40  # shingles (44 characters): shorter sentences are contained in some section by chance
BLOCK_CELLS = 4_000_000  # of one block of intersection counts: bounds memory at some 100 MB
LEAK_COLUMNS = ["kind", "language", "pair", "field", "match", "similarity", "pair_text", "match_text"]

_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, SHINGLE + 1)], dtype=np.uint64)


def leaks(pairs: Dataset, task: RetrievalTask, threshold: float = 0.8) -> pd.DataFrame:
    """Training texts that equal or nearly equal a text of the task, as columns LEAK_COLUMNS, one row per (pair, field, match).

    Questions are compared with the task's queries and passages with its relevant candidates, within each language. kind: `exact`
    (equal once case, white space and punctuation are levelled), `near` (resemblance >= threshold) or, for passages, `contained`
    (containment >= threshold, the shorter text having at least MIN_CONTAINED shingles; questions are mostly template, so that one
    lies in many others). similarity is the resemblance, for `contained` the containment.
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
    our_texts, known_texts = ours["text"].map(normalise).to_numpy(), known["text"].map(normalise).to_numpy()
    known_sets = [_shingles(text) for text in known_texts]
    vocabulary = np.unique(np.concatenate(known_sets))
    transposed = _matrix(known_sets, vocabulary).T.tocsc()
    known_sizes = np.array([len(shingles) for shingles in known_sets])
    block, rows = max(1, BLOCK_CELLS // len(known)), []
    for start in range(0, len(ours), block):
        texts = our_texts[start : start + block]
        for i, j, kind, similarity in _block(texts, transposed, known_sizes, vocabulary, known_texts, threshold, contain):
            ids = (ours["id"].iloc[start + i], known["id"].iloc[j])
            rows.append((kind, *ids, similarity, ours["text"].iloc[start + i], known["text"].iloc[j]))
    return pd.DataFrame(rows, columns=["kind", "pair", "match", "similarity", "pair_text", "match_text"])


def _block(texts, transposed, known_sizes, vocabulary, known_texts, threshold, contain) -> Iterator[tuple[int, int, str, float]]:
    """(our row, known row, kind, similarity) of every leak of a block of our texts."""
    sets = [_shingles(text) for text in texts]
    sizes = np.array([len(shingles) for shingles in sets])
    common = (_matrix(sets, vocabulary) @ transposed).tocoo()
    i, j, shared = common.row, common.col, common.data
    smaller = np.minimum(sizes[i], known_sizes[j])
    resemblance, containment = shared / (sizes[i] + known_sizes[j] - shared), shared / smaller
    exact = texts[i] == known_texts[j]
    near = resemblance >= threshold
    contained = contain & (containment >= threshold) & (smaller >= MIN_CONTAINED)
    for k in np.flatnonzero(exact | near | contained):
        kind = "exact" if exact[k] else "near" if near[k] else "contained"
        yield int(i[k]), int(j[k]), kind, float(containment[k] if kind == "contained" else resemblance[k])


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
    return sparse.csr_array((np.ones(len(flat), dtype=np.int32), flat, ends), shape=(len(columns), len(vocabulary)))
