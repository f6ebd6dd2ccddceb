"""Exact search in a corpus of any size, and a search task measured by it: each corpus is made ready once, all questions that are searched
in it are ranked, then measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ..base.errors import InputError
from ..encode.corpora import CorpusVectors, encode_corpus
from ..encode.encoding import encode_rows
from ..encode.opening import Opening, default_device, open_model
from ..tasks.searched_task import Search, SearchTask, corpus_rows, relevant_rows, token_text, usable
from .ranking import finite_rows

if TYPE_CHECKING:
    from datasets import Dataset

QUERY_TILE = 512  # queries scored at once; with the default block 40 MiB of room for a thread
MOST_WORKERS = 8  # more only queue for memory bandwidth
PAIRS = 512  # pairs scored in double precision at once: few enough to stay in the processor's cache
# (corpus' name, corpus, the searches in it, depth) -> for each search the rows of the best passages, [questions, depth], best first
Ranker = Callable[[str, "Dataset", Sequence[Search], int], Sequence[np.ndarray]]
Texts = Callable[[np.ndarray], Sequence[str]]  # rows of a corpus -> their texts
ANSWERED = "Recall@"  # of open-domain question answering; R@k is the share of a question's relevant passages
BATCH = 500  # questions whose passages are held at once


def evaluate_search(task: SearchTask, rank: Ranker, depth: int = 100) -> pd.DataFrame:
    """One row per question: setting, query, group, query_language, candidate_language, then the task's measures.

    `metrics.scores` makes means by language and macro-averages of it, as of the full rankings. Judgements are checked against a
    corpus before it is ranked. Raises InputError when the depth is below a measure's k or a relevant passage is not in the corpus.
    """
    deepest = max(int(name.partition("@")[2]) for name in task.measures)
    if depth < deepest:
        raise InputError(f"{task.name}: depth = {depth} is less than {deepest}, the largest k of {', '.join(task.measures)}; raise it.")
    tables = []
    for name in task.corpora:
        corpus, searches = task.open_corpus(name), [search for search in task.searches if search.corpus == name]
        places = _places(task, searches, corpus)
        relevant = [None if search.qrels is None else relevant_rows(search, places, task.name) for search in searches]
        lists = rank(name, corpus, searches, depth + task.skip_own)
        tables += [_measured(task, *each, places, corpus) for each in zip(searches, lists, relevant, strict=True)]
    return pd.concat(tables, ignore_index=True)


def encoder_ranker(
    encoder: str | Path, folder: Path, *, opening: Opening | None = None, batch_tokens: int = 16384, precision: str = "fp32", **storage
) -> Ranker:
    """Ranking by an encoder's cosines, exact. Each corpus' vectors are kept in shards below `folder`; parameters as of `encode_corpus`,
    storage: its shard_size, vector_precision and scheduler.
    """
    model, how = open_model(encoder, opening), {"batch_tokens": batch_tokens, "precision": precision}

    def questions(frame: pd.DataFrame) -> np.ndarray:
        return encode_rows(model, frame["text"], "query", frame["id"], **how)

    def passages(name: str, corpus: Dataset) -> CorpusVectors:
        return encode_corpus(encoder, corpus, Path(folder) / name, opening=opening, **how, **storage)

    return vector_ranker(questions, passages)


def vector_ranker(
    questions: Callable[[pd.DataFrame], np.ndarray], passages: Callable[[str, Dataset], CorpusVectors | np.ndarray]
) -> Ranker:
    """Ranking by the dot product. questions: a search's questions -> [n, width] vectors; passages: a corpus -> its vectors."""

    def rank(name: str, corpus: Dataset, searches: Sequence[Search], depth: int) -> list[np.ndarray]:
        vectors = passages(name, corpus)
        return [search(questions(each.queries), vectors, depth)[1] for each in searches]

    return rank


def _places(task: SearchTask, searches: Sequence[Search], corpus) -> pd.Series:
    """Corpus rows of all passages that the judgements (and, with skip_own, the questions) name."""
    named = [search.qrels["candidate"] for search in searches if search.qrels is not None]
    named += [search.queries["id"] for search in searches if task.skip_own]
    return corpus_rows(corpus, pd.concat(named), task.name) if named else pd.Series(dtype=np.int64)


def _measured(task: SearchTask, search: Search, rows: np.ndarray, relevant: pd.DataFrame | None, places: pd.Series, corpus) -> pd.DataFrame:
    queries = search.queries["id"].tolist()
    if task.skip_own:
        own = search.queries["id"].map(places).fillna(-1).to_numpy(dtype=np.int64)
        rows = np.where(rows == own[:, None], -1, rows)
    if relevant is None:
        values = answered_measures(task.measures, search.answers, queries, rows, lambda found: corpus[found.tolist()]["text"])
    else:
        values = judged_measures(task.measures, relevant, queries, rows)
    about = search.queries[["id", "group"]].rename(columns={"id": "query"}).assign(setting=search.setting)
    about = about.assign(query_language=search.query_language, candidate_language=search.candidate_language)
    table = pd.concat([about[["setting", "query", "group", "query_language", "candidate_language"]], values], axis=1)
    return table.dropna(subset=list(task.measures), ignore_index=True)  # all that is relevant to it is missing in the corpus


def judged_measures(names: Sequence[str], relevant: pd.DataFrame, queries: Sequence[str], rows: np.ndarray) -> pd.DataFrame:
    """[queries, measures] values of ir-measures' names (nDCG@10, R@100, …), in the order of `queries`.

    relevant: columns query, row, relevance (as of `searched_task.relevant_rows`). rows: [queries, depth] ranked lists, best first; a row
    below 0 is no hit. The lists' order counts, also among equal scores. nDCG has trec_eval's linear gains.
    """
    import ir_measures

    qrels = pd.DataFrame(
        {"query_id": relevant["query"], "doc_id": relevant["row"].astype(str), "relevance": relevant["relevance"].clip(lower=0)}
    )
    depth = rows.shape[1]
    lists = pd.DataFrame({"query_id": np.repeat(np.asarray(queries, dtype=object), depth), "doc_id": rows.ravel()})
    lists["score"] = -np.tile(np.arange(depth, dtype=float), len(queries))  # trec_eval would sort equal scores by name
    lists = lists[lists["doc_id"] >= 0].astype({"doc_id": str})
    values = ir_measures.iter_calc([ir_measures.parse_measure(name) for name in names], qrels, lists)
    table = pd.DataFrame([(value.query_id, str(value.measure), value.value) for value in values], columns=["query", "measure", "value"])
    wide = table.pivot(index="query", columns="measure", values="value")
    return wide.reindex(index=list(queries), columns=list(names)).reset_index(drop=True)


def answered_measures(
    names: Sequence[str], answers: Mapping[str, Sequence[str]], queries: Sequence[str], rows: np.ndarray, texts: Texts
) -> pd.DataFrame:
    """[queries, measures] 1.0 where one of the top k passages holds a gold answer (`searched_task.token_text`), for names Recall@k.

    rows: [queries, depth] ranked lists, best first; texts: rows of the corpus -> their texts, asked once for each passage of a batch.
    """
    first = np.concatenate(
        [_first_answer(answers, queries[i : i + BATCH], rows[i : i + BATCH], texts) for i in range(0, len(queries), BATCH)]
    )
    return pd.DataFrame({name: (first < int(name.removeprefix(ANSWERED))).astype(float) for name in names})


def _first_answer(answers: Mapping[str, Sequence[str]], queries: Sequence[str], rows: np.ndarray, texts: Texts) -> np.ndarray:
    """[queries] position of the first passage with an answer, 0 for the first of the list; very large where there is none."""
    distinct, place = np.unique(rows, return_inverse=True)
    held = [token_text(text) for text in texts(distinct)]
    place = place.reshape(rows.shape)
    first = np.full(len(queries), np.iinfo(np.int64).max)
    for i, query in enumerate(queries):
        wanted = usable(answers[query])
        first[i] = next((k for k, at in enumerate(place[i]) if any(answer in held[at] for answer in wanted)), first[i])
    return first


def search(query_vectors: np.ndarray, corpus: CorpusVectors | np.ndarray, k: int, *, block: int = 16_384) -> tuple[np.ndarray, np.ndarray]:
    """(scores [Q, min(k, N)] fp32, rows [Q, min(k, N)] int64) of the passages with the highest dot products, best first.

    query_vectors: [Q, width]; corpus: vectors on disk, or [N, width]. A score is the dot product of the fp32 vectors in double
    precision, rounded to fp32; equal scores are ordered by row. Neither `block` (passages scored at once, at least k) nor the
    device changes the result: products in single precision, off by at most width x 2^-24 x both vectors' lengths (Higham 2002,
    section 3.1), only choose the pairs that are scored in double precision. Memory beside the vectors: the block in fp32, 40 MB a
    thread (at most eight) for scores, and 12 bytes a kept passage. Raises InputError on wrong shapes and vectors that are not finite.
    """
    import torch

    queries = torch.from_numpy(_checked(query_vectors, corpus, k, block)).to(default_device())
    best = torch.full((len(queries), min(k, len(corpus))), -torch.inf, device=queries.device)
    rows = torch.zeros(best.shape, dtype=torch.int64, device=queries.device)
    lengths, tiles = queries.double().norm(dim=1), range(0, len(queries), QUERY_TILE)
    size = min(max(block, k), len(corpus))
    with _workers(1 if queries.is_cuda else min(MOST_WORKERS, torch.get_num_threads())) as (count, run):
        rooms = [tuple(queries.new_empty(QUERY_TILE * size, dtype=kind) for kind in (torch.float32, torch.bool)) for _ in range(count)]
        for start, passages in _blocks(corpus, size):
            passages = torch.from_numpy(passages).to(queries.device)
            error = lengths * _longest(passages, start) * (queries.shape[1] + 2) * 2.0**-24

            def work(number: int, start: int = start, passages=passages, error=error) -> None:
                with torch.inference_mode():
                    for part in (slice(first, first + QUERY_TILE) for first in tiles[number::count]):
                        _merge(queries[part], passages, start, best[part], rows[part], error[part], *rooms[number])

            list(run(work, range(count)))
    return best.cpu().numpy(), rows.cpu().numpy()


def _merge(queries, passages, start: int, best, rows, error, scores, found) -> None:
    """Put into `best` and `rows` of a tile of queries what a block has that is better; `scores` and `found` are room to work in."""
    import torch

    shape = len(queries), len(passages)
    scores, found = (room[: shape[0] * shape[1]].view(shape) for room in (scores, found))
    _products(queries, passages, scores)
    floor = best[:, -1] - error
    if start == 0:  # nothing kept yet: the block's own k-th best is a bound as good
        floor = scores.topk(best.shape[1], dim=1).values[:, -1] - 2 * error
    floor = torch.nextafter(floor.float(), floor.new_tensor(-torch.inf, dtype=torch.float32))
    found = torch.ge(scores, floor[:, None], out=found).view(-1).nonzero()[:, 0]
    query, column = found // len(passages), found % len(passages)
    if not len(found):
        return
    double = queries.double()
    pairs = ((query[i : i + PAIRS], column[i : i + PAIRS]) for i in range(0, len(found), PAIRS))
    exact = torch.cat([(double[q] * passages[c]).sum(1).float() for q, c in pairs])
    touched, index, counts = query.unique_consecutive(return_inverse=True, return_counts=True)
    place = best.shape[1] + torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[index]
    # Kept passages stand first and have lower rows, so a stable sort orders equal scores by row.
    score_table = best.new_full((len(touched), best.shape[1] + int(counts.max())), -torch.inf)
    row_table = rows.new_zeros(score_table.shape)
    score_table[:, : best.shape[1]], row_table[:, : best.shape[1]] = best[touched], rows[touched]
    score_table[index, place], row_table[index, place] = exact, column + start
    order = score_table.sort(dim=1, descending=True, stable=True).indices[:, : best.shape[1]]
    best[touched], rows[touched] = score_table.gather(1, order), row_table.gather(1, order)


def _products(queries, passages, out) -> None:
    """fp32 dot products: torch's on a GPU, numpy's on a CPU, whose BLAS is faster there on AMD."""
    if out.is_cuda:
        import torch

        torch.mm(queries, passages.T, out=out)
    else:
        np.matmul(queries.numpy(), passages.numpy().T, out=out.numpy())


def _longest(passages, start: int) -> float:
    """Length of the block's longest vector."""
    lengths = passages.norm(dim=1)
    bad = (~lengths.isfinite()).nonzero()
    if len(bad):
        raise InputError(f"corpus vectors: row {start + int(bad[0])} holds NaN or infinite values; encode it again.")
    return float(lengths.max())


def _blocks(corpus: CorpusVectors | np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    if isinstance(corpus, CorpusVectors):
        return corpus.blocks(size)
    return ((start, np.ascontiguousarray(corpus[start : start + size], np.float32)) for start in range(0, len(corpus), size))


def _checked(query_vectors: np.ndarray, corpus, k: int, block: int) -> np.ndarray:
    width = corpus.shape[1] if isinstance(corpus, np.ndarray) else corpus.width
    queries = finite_rows("query", query_vectors)
    if queries.shape[1] != width:
        raise InputError(f"query vectors have shape {queries.shape}, corpus vectors are {width} wide; use one encoder for both.")
    if k < 1 or block < 1 or not len(corpus):
        raise InputError(f"k is {k}, block {block}, and the corpus has {len(corpus)} passages; all must be at least 1.")
    return queries


@contextmanager
def _workers(count: int):
    """(count, map over as many threads): each works on its own queries with one thread of the libraries, so that no two kinds of
    thread wait for each other; products in fp32 proper, as TensorFloat-32, which keeps ten bits, would break the bound on the error.
    """
    import torch

    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count) as pool:
            yield count, pool.map
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)
