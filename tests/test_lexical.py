"""Lexical and random reference lines: tokens of every script, equality with bm25s, no dependence on blocks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.rank.lexical import TIE_BREAK, bm25, bm25_scores, random_scores, tokenise
from hybridir_utils.rank.metrics import per_query, scores
from hybridir_utils.rank.ranking import rank_task
from hybridir_utils.tasks.retrieval_task import RetrievalTask

TEXTS = {
    "en": ["The currency of Thailand is the baht.", "The capital of France is Paris.", "Paris is a city in France."],
    "th": ["สกุลเงินของประเทศไทยคือบาท", "เมืองหลวงของฝรั่งเศสคือปารีส"],
    "zh": ["泰国的货币是泰铢。", "法国的首都是巴黎。"],
}
QUESTIONS = {"en": ["What is the currency of Thailand?", "?!"], "th": ["สกุลเงินของไทย"], "zh": ["法国首都"]}


@pytest.fixture
def task() -> RetrievalTask:
    def frame(texts):
        rows = [(f"{language}{i}", f"g{i}", language, text) for language in texts for i, text in enumerate(texts[language])]
        return pd.DataFrame(rows, columns=["id", "group", "language", "text"])

    return RetrievalTask("toy", frame(QUESTIONS), frame(TEXTS), pd.DataFrame({"query": ["en0"], "candidate": ["en0"]}))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Straße, 3 GPU-cores", ["the", "strasse", "3", "gpu", "cores"]),
        ("法国首都", ["法国", "国首", "首都"]),
        ("漢", ["漢"]),
        ("GPUの性能カード", ["gpu", "の性", "性能", "能カ", "カー", "ード"]),
        ("บาท EUR", ["บา", "าท", "eur"]),
        ("ខ្មែរ", ["ខ្", "្ម", "មែ", "ែរ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ＡＢＣ ΣΊΣΥΦΟΣ Σίσυφος", ["abc", "σίσυφοσ", "σίσυφοσ"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("?! —", []),
    ],
)
def test_tokens(text, tokens):
    assert tokenise(text) == tokens


def test_passages_without_a_word_score_nothing():
    assert bm25(["rome", "?!"], ["😀", "…"])(0, 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("make", [bm25_scores, lambda task: random_scores(task, seed=7)], ids=["bm25", "random"])
def test_scores_do_not_depend_on_the_block(task, make):
    whole = make(task)(0, len(task.queries))
    assert whole.shape == (4, 7) and whole.dtype == np.float32
    split = make(task)
    parts = [split(3, 4), split(0, 1), split(1, 3)]
    np.testing.assert_array_equal(np.concatenate([parts[1], parts[2], parts[0]]), whole)


def test_bm25_equals_bm25s_retrieve(task):
    import bm25s

    scores = bm25_scores(task, k1=1.2, b=0.75)(0, len(task.queries))
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index([tokenise(text) for text in task.candidates["text"]], show_progress=False)
    rows = [row for row, text in enumerate(task.queries["text"]) if tokenise(text)]
    found = index.retrieve([tokenise(task.queries["text"][row]) for row in rows], k=7, show_progress=False)
    for row, documents, expected in zip(rows, found.documents, found.scores, strict=True):
        np.testing.assert_allclose(scores[row, documents], expected, rtol=1e-6, atol=1.01 * TIE_BREAK)


def test_bm25_finds_the_answer_in_scripts_without_spaces(task):
    best = bm25_scores(task)(0, len(task.queries)).argmax(axis=1)
    found = dict(zip(task.queries["id"], task.candidates["id"].iloc[best], strict=True))
    assert found["en0"] == "en0" and found["th0"] == "th0" and found["zh0"] == "zh1"


def test_bm25_of_a_query_without_words_orders_the_pool_by_chance(task):
    """Scores of 0 everywhere would place every candidate first: rank is 1 + the number that score higher."""
    row = task.queries["id"].tolist().index("en1")
    scores = bm25_scores(task)(row, row + 1)
    assert scores.max() < TIE_BREAK and len(np.unique(scores)) == scores.size


def test_bm25_across_scripts_is_no_better_than_chance():
    """A pool of another script shares no word with the question; the answer must not come first by ties."""
    columns = ["id", "group", "language", "text"]
    queries = pd.DataFrame([(f"en:{i}", f"{i}", "en", f"question number {i}") for i in range(40)], columns=columns)
    thai = pd.DataFrame([(f"th:{i}", f"{i}", "th", "คำตอบ" + "กขคงจ"[i % 5]) for i in range(40)], columns=columns)
    relevance = pd.DataFrame({"query": queries["id"], "candidate": thai["id"]})
    task = RetrievalTask("scripts", queries, thai, relevance)
    table = scores(per_query(rank_task(bm25_scores(task), task, depth=5), task))
    cross = table.query("setting == 'cross-lingual' and query_language == 'macro' and metric == 'mAP'")
    assert cross["value"].item() < 0.3


def test_random_scores_follow_the_seed_and_differ_between_queries(task):
    scores = random_scores(task, seed=1)(0, 4)
    np.testing.assert_array_equal(scores, random_scores(task, seed=1)(0, 4))
    assert not np.array_equal(scores, random_scores(task, seed=2)(0, 4))
    assert len(np.unique(scores)) == scores.size


def test_bm25_finds_answer_sentences_of_xquad_r(real_data):
    """English, first paragraphs: well above chance, and the sentence that holds the answer is often first."""
    paragraphs = [p for article in json.loads((real_data / "xquad-r" / "en.json").read_text())["data"] for p in article["paragraphs"]][:40]
    candidates, queries, relevance = [], [], []
    for i, paragraph in enumerate(paragraphs):
        candidates += [(f"{i}-{j}", f"{i}-{j}", "en", sentence) for j, sentence in enumerate(paragraph["sentences"])]
        for question in paragraph["qas"]:
            start = question["answers"][0]["answer_start"]
            sentence = next(j for j, (low, high) in enumerate(paragraph["sentence_breaks"]) if low <= start < high)
            queries.append((question["id"], question["id"], "en", question["question"]))
            relevance.append((question["id"], f"{i}-{sentence}"))
    columns = ["id", "group", "language", "text"]
    frames = pd.DataFrame(queries, columns=columns), pd.DataFrame(candidates, columns=columns)
    real = RetrievalTask("xquad-r en", *frames, pd.DataFrame(relevance, columns=["query", "candidate"]))
    scores = bm25_scores(real)(0, len(real.queries))
    first = scores.argmax(axis=1) == real.relevant_pairs[:, 1]
    assert first.mean() > 0.6
