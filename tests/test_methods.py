"""The methods hybrid batches are compared with: their pairs, their losses, and that each trains an encoder of its own."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Dropout

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.batching import STRATEGIES, plan_batches
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.encode.encoding import encode_texts
from hybridir_utils.encode.opening import open_model
from hybridir_utils.train import methods, training
from hybridir_utils.train.base_encoders import make_unaligned
from hybridir_utils.train.losses import MaskedMultipleNegativesRankingLoss
from hybridir_utils.train.methods import (
    COPIES,
    FEW_WORDS,
    LEAST,
    METHODS,
    MOST,
    code_switched,
    crop,
    distil,
    lexicon,
    method_of,
    passage_twice,
    switch,
    two_crops,
)
from hybridir_utils.train.training import TrainingSettings, train_encoder

QUICK = TrainingSettings(learning_rate=1e-2, validate_every=5)


class Always:
    """In the place of a generator: every draw says yes, and takes the first of what there is."""

    def random(self):
        return 0.0

    def integers(self, *bounds):
        return 0


def test_a_passage_stands_on_both_sides_and_ids_stay(tiny_pairs):
    views = passage_twice(tiny_pairs)
    assert views["question"][:] == views["passage"][:] == tiny_pairs["passage"][:]
    assert all(views[column][:] == tiny_pairs[column][:] for column in ("id", "passage_id", "language", "source"))


def test_crops_are_spans_of_the_passage_drawn_by_the_seed(tiny_pairs):
    first, again, other = two_crops(tiny_pairs, 1), two_crops(tiny_pairs, 1), two_crops(tiny_pairs, 2)
    assert first["question"][:] == again["question"][:] != other["question"][:]
    assert first["question"][:] != first["passage"][:], "two spans, drawn independently"
    for row, text in zip(first, tiny_pairs["passage"], strict=True):
        assert row["question"] and row["question"] in text and row["passage"] in text


@pytest.mark.parametrize("text", ["a b c d e f g h i j k l m n o p q r s t", "日本語の文は空白で分けない文である", "ab", "x"])
def test_a_crop_keeps_its_share_of_words_or_characters_and_something_always(text):
    rng, units = np.random.default_rng(0), len(text.split()) if len(text.split()) >= FEW_WORDS else len(text)
    crops = [crop(text, rng) for _ in range(200)]
    lengths = {len(c.split()) if len(text.split()) >= FEW_WORDS else len(c) for c in crops}
    assert all(c and c in text for c in crops)
    assert max(1, round(LEAST * units)) <= min(lengths) and max(lengths) <= max(1, round(MOST * units))
    assert units < 10 or len(lengths) > 3


def test_names_are_switched_whole_and_the_longest_first():
    found = lexicon(("de",))
    assert switch("Zone in Switzerland: Central European Time.", found, Always()) == "Zone in Schweiz: Mitteleuropäische Zeit."
    assert switch("Germanyland is no country, but GERMANY is.", found, Always()) == "Germanyland is no country, but Deutschland is."
    cities = lexicon(("el",))
    assert (
        switch("From Istanbul to \u0130stanbul and \u0130ZM\u0130R.", cities, Always())
        == "From Κωνσταντινούπολη to \u0130stanbul and \u0130ZM\u0130R."
    )
    assert "germany" in found and "Germany" not in found["germany"], "a name that is the same in English switches nothing"


def test_a_name_is_switched_about_as_often_as_it_should_be():
    rng, found = np.random.default_rng(0), lexicon(("de", "fr"))
    texts = [switch("Germany", found, rng) for _ in range(2000)]
    assert abs(np.mean([text != "Germany" for text in texts]) - methods.SWITCHED) < 0.05
    assert {"Deutschland", "Allemagne"} <= set(texts)


def test_switched_copies_are_english_pairs_of_one_passage():
    rows = [("i1", "p1", "en", "Where is Germany?", "Germany is here.", "s"), ("i1", "p1", "de", "Wo ist Deutschland?", "Hier.", "s")]
    pairs = code_switched(pairs_from_rows(rows), seed=3)
    assert pairs["id"][:] == [f"i1~{copy}" for copy in range(COPIES)]
    assert set(pairs["passage_id"]) == {"p1"} and set(pairs["language"]) == {"en"}
    assert {"Where is Germany?", "Where is Deutschland?"} >= set(pairs["question"])
    with pytest.raises(InputError, match=r"needs English pairs.*de"):
        code_switched(pairs_from_rows(rows[1:]))


def embeddings(seed, rows=5):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 4, generator=generator) for _ in range(2)]


def by_hand(a, b, ids, scale, margin):
    """LaBSE's loss: the mean of both directions, each a softmax over the candidates that do not share the id, margin off the positives."""
    a, b = (torch.nn.functional.normalize(side, dim=1) for side in (a, b))
    cosine = a @ b.T - margin * torch.eye(len(a))
    cosine[(ids[:, None] == ids[None, :]) & ~torch.eye(len(a), dtype=bool)] = -torch.inf
    own = torch.arange(len(a))
    losses = [torch.nn.functional.cross_entropy(scale * scores, own) for scores in (cosine, cosine.T)]
    return sum(losses) / 2, losses[0]


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [0, 1, 0, 3, 1]])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_translation_ranking_is_the_published_loss(tiny_base, ids, margin):
    a, b = embeddings(1)
    ids = torch.tensor(ids)
    both, one = by_hand(a, b, ids, 20.0, margin)
    symmetric = MaskedMultipleNegativesRankingLoss(open_model(tiny_base), scale=20.0, symmetric=True, margin=margin)
    plain = MaskedMultipleNegativesRankingLoss(open_model(tiny_base), scale=20.0, margin=margin)
    assert float(symmetric.compute_loss_from_embeddings([a, b], ids[:, None])) == pytest.approx(float(both), abs=1e-5)
    assert float(plain.compute_loss_from_embeddings([a, b], ids[:, None])) == pytest.approx(float(one), abs=1e-5)


def test_a_margin_with_cached_gradients_is_refused(tiny_transformer, tiny_pairs):
    plan = plan_batches(tiny_pairs, "X-Y", steps=1, batch_size=4, seed=0)
    with pytest.raises(InputError, match="mini_batch_size = 0"):
        train_encoder(tiny_transformer, tiny_pairs, plan, QUICK.model_copy(update={"margin": 0.3, "mini_batch_size": 2}))


@pytest.mark.parametrize("base, added", [("tiny_base", True), ("tiny_transformer", False)])
def test_dropout_is_added_for_training_alone_and_only_where_there_is_none(base, added, tiny_pairs, request, monkeypatch):
    seen, usual = [], training._loss
    monkeypatch.setattr(training, "_loss", lambda model, settings: seen.append(model[-1]) or usual(model, settings))
    plan = plan_batches(tiny_pairs, "X-X", steps=2, batch_size=6, seed=0)
    model, _ = train_encoder(request.getfixturevalue(base), passage_twice(tiny_pairs), plan, QUICK.model_copy(update={"dropout": 0.1}))
    assert isinstance(seen[0], Dropout) == added and not isinstance(model[-1], Dropout)


def test_distillation_moves_translations_to_the_teachers_english(tiny_base, tiny_pairs, tmp_path):
    words = [*tiny_pairs["question"], *tiny_pairs["passage"], "Query: Passage: "]
    make_unaligned(tmp_path / "teacher", words, vocabulary=300, dimension=8, seed=5)
    plan = plan_batches(tiny_pairs, "X-Y", steps=60, batch_size=8, seed=0)
    student, history = distil(tiny_base, tmp_path / "teacher", tiny_pairs, plan, QUICK.model_copy(update={"learning_rate": 5e-2}))
    english = [row["question"] for row in tiny_pairs if row["language"] == "en"]
    german = [row["question"] for row in tiny_pairs if row["language"] == "de"]
    teacher, before = open_model(tmp_path / "teacher"), open_model(tiny_base)
    for model in (teacher, before):
        model.prompts = student.prompts
    wanted = encode_texts(teacher, english, "query")
    away = {
        name: np.square(encode_texts(model, german, "query") - wanted).mean() for name, model in (("before", before), ("after", student))
    }
    assert away["after"] < 0.5 * away["before"]
    losses = history[history["split"] == "train"]["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_distillation_refuses_what_it_cannot_learn_from(tiny_base, tiny_pairs, tmp_path):
    plan = plan_batches(tiny_pairs, "X-Y", steps=1, batch_size=4, seed=0)
    make_unaligned(tmp_path / "wide", ["water"], vocabulary=50, dimension=16, seed=0)
    with pytest.raises(InputError, match="16 wide, the student's 8"):
        distil(tiny_base, tmp_path / "wide", tiny_pairs, plan, QUICK)
    others = tiny_pairs.filter(lambda row: row["language"] != "en" or row["id"] != "i3")
    with pytest.raises(InputError, match="English texts, and pair 'i3' has none"):
        distil(tiny_base, tiny_base, others, plan_batches(others, "X-Y", steps=1, batch_size=4, seed=0), QUICK)


def test_every_method_names_a_mix_of_batches_and_its_source():
    for name, method in METHODS.items():
        assert name not in STRATEGIES and method.strategy in STRATEGIES and method.what and method.source
        TrainingSettings(**method.settings)
    assert method_of("hybrid").strategy == "hybrid" and method_of("hybrid").settings == {}
