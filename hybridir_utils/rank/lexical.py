"""Reference lines that need no encoder: BM25 and a random order, as score blocks like any encoder's.

A score function takes (start, stop), a range of query rows of the task, and returns float32 [stop - start, N] scores
of all candidates, in the task's row order; the result does not depend on how the rows are split into blocks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import partial

import numpy as np
import regex

from ..base.progress import counted
from ..tasks.retrieval_task import RetrievalTask
from .ranking import ScoreBlock

# Scripts that put no space between words: Chinese, Japanese, Thai, Khmer, Lao, Burmese. Script extensions (scx) add the
# letters these share with others, such as the long-vowel mark ー. Marks (\p{M}) belong to words: Python's own \w leaves
# out the vowel signs of Hindi or Thai and would cut words at each of them.
_UNSPACED = r"[[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Khmr}\p{scx=Laoo}\p{scx=Mymr}]&&[\p{L}\p{M}]]"
_TOKEN = regex.compile(rf"(?V1)(?P<run>{_UNSPACED}+)|[[\p{{L}}\p{{M}}\p{{N}}]--{_UNSPACED}]+")
TIE_BREAK = np.float32(1e-4)  # far below the difference that one matching word makes


def tokenise(text: str) -> list[str]:
    """Case-folded (NFKC) Unicode words; runs of a script without spaces as overlapping character bigrams."""
    tokens = []
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match.group()
        if match.group("run") and len(word) > 1:
            tokens += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            tokens.append(word)
    return tokens


def bm25_scores(task: RetrievalTask, k1: float = 0.9, b: float = 0.4) -> ScoreBlock:
    """BM25 over the task's whole candidate pool (`bm25`).

    Equal scores are put in random order: a question that shares no word with the pool scores all of it 0, and counting
    the candidates that score higher (PAPER §3) would place the relevant one first.
    """
    scores, shuffled = bm25(task.queries["text"].tolist(), task.candidates["text"].tolist(), k1, b), random_scores(task, seed=0)
    return lambda start, stop: scores(start, stop) + TIE_BREAK * shuffled(start, stop)


def bm25(queries: Sequence[str], passages: Sequence[str], k1: float = 0.9, b: float = 0.4) -> ScoreBlock:
    """BM25 of every passage for every query (Lucene's variant, as bm25s; k1 and b as Anserini's defaults)."""
    import bm25s

    counting = counted(passages, "words of passages", len(passages), "text")
    index, corpus = bm25s.BM25(k1=k1, b=b, method="lucene"), [tokenise(text) for text in counting]
    nothing = np.zeros(len(passages), dtype=np.float32)
    if not any(corpus):  # of which no index can be made
        return lambda start, stop: np.tile(nothing, (stop - start, 1))
    index.index(corpus, show_progress=False)

    def score_block(start: int, stop: int) -> np.ndarray:
        # get_scores refuses a query without a token ("?!"), which scores every candidate 0
        words = (tokenise(text) for text in queries[start:stop])
        return np.stack([index.get_scores(tokens) if tokens else nothing for tokens in words])

    return score_block


def random_scores(task: RetrievalTask, seed: int) -> ScoreBlock:
    """Uniform scores in [0, 1): what a ranking by chance gives. One generator per query row, keyed by (seed, row)."""
    candidates = len(task.candidates)

    def score_block(start: int, stop: int) -> np.ndarray:
        return np.stack([np.random.default_rng([seed, row]).random(candidates, dtype=np.float32) for row in range(start, stop)])

    return score_block


REFERENCES = {"BM25": bm25_scores, "random": partial(random_scores, seed=0)}  # by their names among encoders
