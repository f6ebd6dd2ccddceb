"""Encoding: once per distinct text, in the task's order, unit length; broken vectors are named."""

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.encoding import encode_task, open_encoder
from hybridir_utils.errors import InputError
from hybridir_utils.tasks import RetrievalTask

COLUMNS = ["id", "group", "language", "text"]


@pytest.fixture
def task():
    """Two queries with one text, three candidates with two texts; rows out of language order."""
    queries = [("en:b", "b", "en", "water 2"), ("en:a", "a", "en", "water 2"), ("de:a", "a", "de", "Wasser 1")]
    candidates = [("en:0", "0", "en", "stone"), ("de:0", "0", "de", "Stein"), ("en:1", "1", "en", "stone")]
    relevance = [("en:a", "en:0"), ("en:b", "en:1"), ("de:a", "de:0")]
    frames = (pd.DataFrame(queries, columns=COLUMNS), pd.DataFrame(candidates, columns=COLUMNS))
    return RetrievalTask("t", *frames, pd.DataFrame(relevance, columns=["query", "candidate"]))


class Spy:
    """Stands for a SentenceTransformer: the vector of a text is (length, role), `broken` texts give nan."""

    def __init__(self, broken=()):
        self.broken, self.queries, self.documents = broken, [], []

    def encode_query(self, texts, **options):
        self.queries += texts
        return self._vectors(texts, 0.0, **options)

    def encode_document(self, texts, **options):
        self.documents += texts
        return self._vectors(texts, 1.0, **options)

    def _vectors(self, texts, role, normalize_embeddings, **options):
        assert normalize_embeddings
        return np.array([[np.nan if text in self.broken else len(text), role] for text in texts])


def test_each_distinct_text_is_encoded_once_and_rows_keep_their_order(task):
    spy = Spy()
    vectors = encode_task(spy, task)
    assert sorted(spy.queries) == ["Wasser 1", "water 2"] and sorted(spy.documents) == ["Stein", "stone"]
    assert vectors.queries.tolist() == [[len(text), 0] for text in task.queries["text"]]
    assert vectors.candidates.tolist() == [[len(text), 1] for text in task.candidates["text"]]
    assert vectors.queries.dtype == vectors.candidates.dtype == np.float32


@pytest.mark.parametrize(("broken", "named"), [("Wasser 1", "de:a"), ("stone", "en:0")])
def test_a_broken_embedding_is_named(task, broken, named):
    with pytest.raises(InputError, match=f"embedding of '{named}' is not finite .1 such"):
        encode_task(Spy({broken}), task)


def test_a_real_encoder_gives_unit_rows_and_applies_its_prompts(task, tiny_base):
    model = open_encoder(tiny_base)
    plain = encode_task(model, task)
    for rows in (plain.queries, plain.candidates):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)
    model.prompts = {"query": "fire ", "document": "tree "}
    prompted = encode_task(model, task)
    assert prompted.queries[0] == pytest.approx(unit(model, "fire Wasser 1"), abs=1e-6)
    assert prompted.candidates[0] == pytest.approx(unit(model, "tree Stein"), abs=1e-6)
    assert not np.allclose(plain.queries[0], prompted.queries[0])


def unit(model, text):
    vector = model.encode([text], prompt="")[0]
    return vector / np.linalg.norm(vector)
