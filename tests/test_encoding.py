"""Encoding: once per distinct text, in the task's order, unit length, as the library's own encode; broken vectors are named."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import save_tiny_bert

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.memory import TokenBudget
from hybridir_utils.encode.encoding import NO_MEMORY, encode_task, encode_texts, in_row_order, tokenise
from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.tasks.retrieval_task import RetrievalTask

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
    model = open_model(tiny_base)
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


WORDS = ["water", "fire", "stone", "tree", "น้ำ", "ไฟ", "حجر", "Feuer", "Stein"]
TEXTS = [" ".join(WORDS[(n * step) % 9] for step in range(1, 1 + n % 40)) + f" {n}" for n in range(120)] + ["water", "water"]


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert") / "model", [*TEXTS, "ask: ", "text: "])


@pytest.fixture(scope="module")
def roberta_folder(tmp_path_factory):
    """Counts positions from the first token, not from the first place, so that padding on the left changes nothing."""
    folder = tmp_path_factory.mktemp("roberta") / "model"
    return save_tiny_bert(folder, [*TEXTS, "ask: ", "text: "], "XLMRoberta", max_position_embeddings=400)


def build(folder, pooling="mean", left=False, include_prompt=True, normalise=False):
    """A SentenceTransformer over the tiny BERT."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(folder))
    transformer.tokenizer.padding_side = "left" if left else "right"
    modules = [transformer, Pooling(16, pooling, include_prompt=include_prompt), *([Normalize()] if normalise else [])]
    return SentenceTransformer(modules=modules, prompts={"query": "ask: ", "document": "text: "}, device="cpu")


def routed(folder, tiny_base, bag_role):
    """Texts of one role go through a bag of subwords, those of the other through a BERT, to the same width."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Router, Transformer

    ways = [[SentenceTransformer(str(tiny_base), device="cpu")[0]], [Transformer(str(folder)), Pooling(16), Dense(16, 8)]]
    router = Router.for_query_document(*(ways if bag_role == "query" else reversed(ways)))
    return SentenceTransformer(modules=[router], device="cpu")


def library(model, role, texts=TEXTS):
    return getattr(model, f"encode_{role}")(texts, normalize_embeddings=True, show_progress_bar=False)


MODELS = {
    "mean": {},
    "cls": {"pooling": "cls"},
    "max": {"pooling": "max"},
    "last token, padding left": {"pooling": "lasttoken", "left": True},
    "weighted mean, padding left": {"pooling": "weightedmean", "left": True},
    "two poolings": {"pooling": ("cls", "mean")},
    "prompt not pooled": {"include_prompt": False},
    "prompt not pooled, padding left": {"include_prompt": False, "left": True},
    "normalised": {"normalise": True},
}


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("kind", MODELS)
def test_vectors_are_the_librarys_own(bert_folder, roberta_folder, kind, role):
    model = build(roberta_folder if "left" in kind else bert_folder, **MODELS[kind])
    assert encode_texts(model, TEXTS, role, batch_tokens=200) == pytest.approx(library(model, role), abs=1e-5)


@pytest.mark.parametrize("left", [False, True])
def test_batches_are_what_the_model_itself_would_make(roberta_folder, left):
    model = build(roberta_folder, left=left)
    rows = tokenise(model, TEXTS, "query", "ask: ")
    for batch in (np.arange(5, 30), np.array([40, 3, 11])):
        ours, theirs = rows.batch(batch, "cpu"), model.preprocess([TEXTS[row] for row in batch], prompt="ask: ", task="query")
        assert ours.keys() == theirs.keys() and ours["prompt_length"] == theirs["prompt_length"]
        assert all(torch.equal(ours[name], theirs[name]) for name in ("input_ids", "attention_mask"))


@pytest.mark.parametrize("bag_role", ["query", "document"])
@pytest.mark.parametrize("role", ["query", "document"])
def test_each_role_takes_its_own_route(bert_folder, tiny_base, role, bag_role):
    model = routed(bert_folder, tiny_base, bag_role)
    assert encode_texts(model, TEXTS, role, batch_tokens=200) == pytest.approx(library(model, role), abs=1e-5)


@pytest.mark.parametrize("role", ["query", "document"])
def test_each_role_is_cut_at_its_own_length(bert_folder, role):
    model = open_model(bert_folder, Opening(max_query_tokens=5, max_passage_tokens=9))
    vectors = encode_texts(model, TEXTS, role, batch_tokens=200)
    assert vectors == pytest.approx(library(model, role), abs=1e-5)
    assert vectors != pytest.approx(library(open_model(bert_folder), role), abs=1e-5)


def test_truncated_dimensions_and_default_prompts_hold(bert_folder):
    model = build(bert_folder)
    model.truncate_dim, model.prompts, model.default_prompt_name = 6, {"any": "fire "}, "any"
    vectors = encode_texts(model, TEXTS, "document")
    assert vectors.shape[1] == 6 and vectors == pytest.approx(library(model, "document"), abs=1e-5)


def test_a_bag_of_subwords_gives_the_very_same_bits(tiny_base):
    model = open_model(tiny_base)
    assert np.array_equal(encode_texts(model, TEXTS, "document", batch_tokens=64), library(model, "document"))


def test_batches_hold_like_lengths_within_the_budget(bert_folder):
    """Words of one letter and of many: the library sorts by characters and pads more than this does by tokens."""
    model, seen = build(bert_folder), []
    model[0].register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0]["input_ids"].shape)))
    encode_texts(model, TEXTS, "document", batch_tokens=160)
    assert max(rows * length for rows, length in seen) <= 160 and sum(rows for rows, _ in seen) == len(set(TEXTS))
    ours = sum(rows * length for rows, length in seen)
    real = sum(len(row) for row in model.tokenizer(["text: " + text for text in set(TEXTS)]).input_ids)
    seen.clear()
    library(model, "document")
    assert real <= ours < 1.2 * real and ours < sum(rows * length for rows, length in seen)


def test_bf16_is_a_choice_and_gives_fp32_rows(bert_folder):
    model = build(bert_folder)
    full, half = encode_texts(model, TEXTS, "query"), encode_texts(model, TEXTS, "query", precision="bf16")
    assert half.dtype == np.float32 and np.linalg.norm(half, axis=1) == pytest.approx(1, abs=1e-6)
    assert half == pytest.approx(full, abs=0.05) and not np.allclose(half, full, atol=1e-6)


LENGTHS = np.array([3, 9, 5, 9, 1, 2, 7])


class Small:
    """A device that has room for so many tokens at once, padding counted."""

    def __init__(self, room, error):
        self.room, self.error, self.tried = room, error, []

    def __call__(self, rows):
        tokens = int(LENGTHS[rows].max()) * len(rows)
        self.tried.append(tokens)
        if tokens > self.room:
            raise self.error
        return np.stack([rows, LENGTHS[rows]], axis=1).astype(np.float32)


def budget(tokens: int = 36) -> TokenBudget:
    return TokenBudget(tokens, "batch_tokens", NO_MEMORY)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("not enough memory: you tried to allocate")])
def test_without_memory_the_batches_are_halved(error):
    device = Small(10, error)
    with pytest.warns(UserWarning, match="set batch_tokens to that"):
        vectors = in_row_order(len(LENGTHS), budget().run(LENGTHS, device))
    assert vectors.tolist() == [[row, length] for row, length in enumerate(LENGTHS)]
    assert device.tried[:3] == [36, 18, 9]


def test_without_memory_for_one_text_the_parameters_to_lower_are_named():
    with pytest.warns(UserWarning), pytest.raises(InputError, match=r"single text of 9 tokens.*batch_tokens.*max_passage_tokens"):
        list(budget().run(LENGTHS, Small(8, torch.OutOfMemoryError("CUDA"))))


def test_errors_that_are_not_about_memory_pass():
    with pytest.raises(RuntimeError, match="shapes"):
        list(budget().run(LENGTHS, Small(8, RuntimeError("shapes do not fit"))))
