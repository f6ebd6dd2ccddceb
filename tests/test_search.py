"""Exact search: scores and rows of a brute-force reference, whatever the block, the precision on disk and the ties."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hybridir_utils.base.errors import InputError
from hybridir_utils.encode.corpora import CorpusVectors
from hybridir_utils.rank import search as module
from hybridir_utils.rank.search import search


def brute_force(queries, corpus, k):
    """fp32 of the products in double precision, ordered by score, then by row."""
    scores = (np.asarray(queries, np.float32).astype("f8") @ np.asarray(corpus, np.float32).astype("f8").T).astype("f4")
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def vectors(kind, rows, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((rows, 24)).astype("f4")
    if kind == "whole numbers":  # many equal scores
        return rng.integers(-1, 2, (rows, 24)).astype("f4")
    if kind == "repeated":
        drawn[rows // 2 :] = drawn[: rows - rows // 2]
    if kind == "nearly one direction":  # differences below what products in fp32 can tell
        drawn = (1 + 1e-6 * drawn).astype("f4")
    return drawn


KINDS = ["random", "whole numbers", "repeated", "nearly one direction"]


@pytest.mark.parametrize("block", [7, 64, 333, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_brute_force(kind, block, monkeypatch):
    monkeypatch.setattr(module, "QUERY_TILE", 16)
    queries, corpus = vectors(kind, 50, 0), vectors(kind, 1000, 1)
    for k in (1, 10):
        scores, rows = search(queries, corpus, k, block=block)
        expected = brute_force(queries, corpus, k)
        assert np.array_equal(scores, expected[0]) and np.array_equal(rows, expected[1])
        assert scores.dtype == np.float32 and rows.dtype == np.int64


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_scores_are_fp32_whatever_the_vectors(dtype):
    queries, corpus = vectors("random", 5, 0), vectors("random", 100, 1).astype(dtype)
    scores, rows = search(queries, corpus, 7, block=30)
    expected = brute_force(queries, corpus, 7)
    assert np.array_equal(scores, expected[0]) and np.array_equal(rows, expected[1]) and scores.dtype == np.float32


def test_more_asked_than_there_are():
    queries, corpus = vectors("random", 3, 0), vectors("random", 9, 1)
    scores, rows = search(queries, corpus, 100)
    assert np.array_equal(rows, brute_force(queries, corpus, 9)[1]) and scores.shape == (3, 9)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_a_corpus_on_disk_is_read_block_by_block(tmp_path, dtype, monkeypatch):
    corpus = vectors("repeated", 100, 1).astype(dtype)
    counts = (30, 30, 30, 10)
    for number, start in enumerate(range(0, 100, 30)):
        np.save(tmp_path / f"{number}.npy", corpus[start : start + 30])
    on_disk = CorpusVectors(tmp_path, tuple((f"{number}.npy", count) for number, count in enumerate(counts)), 24)
    taken, whole = [], CorpusVectors.__getitem__
    monkeypatch.setattr(CorpusVectors, "__getitem__", lambda self, rows: taken.append(rows) or whole(self, rows))
    scores, rows = search(vectors("random", 5, 0), on_disk, 8, block=40)
    expected = brute_force(vectors("random", 5, 0), corpus, 8)
    assert np.array_equal(scores, expected[0]) and np.array_equal(rows, expected[1])
    assert taken == [slice(0, 40), slice(40, 80), slice(80, 120)]


def test_the_libraries_settings_are_given_back():
    torch.set_float32_matmul_precision("medium")
    threads = torch.get_num_threads()
    try:
        search(vectors("random", 2, 0), vectors("random", 5, 1), 2)
        assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == ("medium", threads)
    finally:
        torch.set_float32_matmul_precision("highest")


def with_nan(rows, row):
    broken = vectors("random", rows, 0)
    broken[row, 3] = np.nan
    return broken


@pytest.mark.parametrize(
    ("queries", "corpus", "k", "block", "words"),
    [
        (with_nan(5, 2), vectors("random", 9, 1), 3, 4, "query vectors: row 2"),
        (vectors("random", 5, 0), with_nan(9, 6), 3, 4, "corpus vectors: row 6"),
        (vectors("random", 5, 0)[:, :8], vectors("random", 9, 1), 3, 4, "corpus vectors are 24 wide; use one encoder"),
        (vectors("random", 5, 0)[0], vectors("random", 9, 1), 3, 4, r"have shape \(24,\)"),
        (vectors("random", 5, 0), vectors("random", 9, 1), 0, 4, "k is 0"),
        (vectors("random", 5, 0), vectors("random", 9, 1)[:0], 1, 4, "has 0 passages"),
    ],
)
def test_bad_input_is_told(queries, corpus, k, block, words):
    with pytest.raises(InputError, match=words):
        search(queries, corpus, k, block=block)


def test_the_benchmark_runs_without_faiss_and_says_so(monkeypatch, capsys):
    """FAISS is no dependency of the package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    import bench_search

    monkeypatch.setattr(bench_search, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["bench_search.py", "--queries", "5", "--passages", "50", "--width", "8", "--depth", "10"])
    bench_search.main()
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["search_s"] >= 0 and not any("faiss" in key for key in report)
    assert printed.err == "faiss is not installed (pip install faiss-cpu): its part is left out.\n"
