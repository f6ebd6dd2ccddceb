"""Training: the plan's pairs reach the loss in order, with prefixes and masks; the steps are plain AdamW; results can be opened."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from hybridir_utils import losses
from hybridir_utils.base_encoders import bitext, make_aligned, make_unaligned, train_tokenizer
from hybridir_utils.batching import KINDS, BatchPlan, plan_batches
from hybridir_utils.encoding import open_encoder
from hybridir_utils.errors import InputError
from hybridir_utils.training import TrainingSettings, in_plan_order, save_encoder, train_encoder

SETTINGS = TrainingSettings(learning_rate=3e-2, weight_decay=0.1)


@pytest.fixture(scope="module")
def plan(tiny_pairs):
    return plan_batches(tiny_pairs, "hybrid", steps=10, batch_size=6, seed=1)


@pytest.fixture(scope="module")
def trained(tiny_base, tiny_pairs, plan):
    validation = {"mono": (tiny_pairs, plan_batches(tiny_pairs, "X-X-mono", steps=2, batch_size=6, seed=0))}
    settings = SETTINGS.model_copy(update={"validate_every": 5})
    return train_encoder(tiny_base, tiny_pairs, plan, settings, validation)


@pytest.fixture(scope="module")
def tiny_transformer(tiny_pairs, tmp_path_factory):
    """A one-layer BERT with random weights and dropout, in the folder format of the hub."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer([*tiny_pairs["question"], *tiny_pairs["passage"]], 200), unk_token="[UNK]", pad_token="[PAD]"
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **sizes))
    folder = tmp_path_factory.mktemp("encoders") / "bert"
    model.save_pretrained(folder), tokenizer.save_pretrained(folder)
    return folder


def by_rows(question_rows, passage_rows, seed=0):
    """A plan drawn by hand."""
    questions, passages = (np.array(rows, dtype=np.int32) for rows in (question_rows, passage_rows))
    return BatchPlan("X-X", float("nan"), seed, np.full(len(questions), KINDS.index("mixed"), dtype=np.int8), questions, passages)


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one, other):
    one, other = weights(one), weights(other)
    return all(torch.equal(one[name], other[name]) for name in one)


def hand_loop(base, pairs, plan, settings):
    """The same training in a dozen lines of torch: AdamW, linear warm-up and decay, gradients clipped at 1, false negatives masked."""
    model = open_encoder(base)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    warmup = int(settings.warmup_share * plan.steps)
    ramp = lambda step: step / warmup if step < warmup else (plan.steps - step) / (plan.steps - warmup)  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, ramp)
    history = []
    for questions, passages in zip(plan.question_rows.tolist(), plan.passage_rows.tolist(), strict=True):
        rows = [(settings.query_prefix, "question", questions), (settings.passage_prefix, "passage", passages)]
        texts = [[prefix + pairs[row][column] for row in numbers] for prefix, column, numbers in rows]
        queries, documents = (model(model.preprocess(side))["sentence_embedding"] for side in texts)
        scores = queries @ documents.T * settings.scale
        ids = np.array([pairs[row]["passage_id"] for row in questions])
        false_negative = torch.tensor((ids[:, None] == ids[None, :]) & ~np.eye(len(ids), dtype=bool))
        loss = cross_entropy(scores.masked_fill(false_negative, -torch.inf), torch.arange(len(ids)))
        optimizer.zero_grad(), loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step()
        history.append(loss.item())
    return model, history


def test_training_equals_a_hand_loop_over_the_plan(tiny_base, tiny_pairs, plan, trained):
    model, history = trained
    expected, losses_by_hand = hand_loop(tiny_base, tiny_pairs, plan, SETTINGS)
    assert not same(model, open_encoder(tiny_base))
    for name, value in weights(expected).items():
        torch.testing.assert_close(weights(model)[name], value, atol=1e-5, rtol=0)
    train = history[history["split"] == "train"]
    assert list(train["step"]) == list(range(1, 11)) and list(train["loss"]) == pytest.approx(losses_by_hand, abs=1e-4)
    reversed_plan = by_rows(plan.question_rows[::-1], plan.passage_rows[::-1])
    other, _ = hand_loop(tiny_base, tiny_pairs, reversed_plan, SETTINGS)
    assert max((weights(other)[name] - value).abs().max() for name, value in weights(expected).items()) > 1e-3  # order matters


def test_false_negatives_of_a_plan_are_masked(tiny_base, tiny_pairs):
    """Four rows stand for an id, so rows n and n + 1 of every batch are translations of one passage."""
    rows = [[4 * n, 4 * n + 1, 4 * n + 7, 4 * n + 10] for n in range(10)]
    plan = by_rows(rows, rows)
    settings = TrainingSettings(learning_rate=1e-3, scale=5.0)
    _, history = train_encoder(tiny_base, tiny_pairs, plan, settings)
    _, losses_by_hand = hand_loop(tiny_base, tiny_pairs, plan, settings)
    assert list(history["loss"]) == pytest.approx(losses_by_hand, abs=1e-5)


def test_every_batch_reaches_the_loss_whole_and_in_order(tiny_base, tiny_pairs, plan, monkeypatch):
    """The loss sees the plan's labels, step by step: the number of the passage, in the order of the slots."""
    seen = []

    class Spy(losses.MaskedMultipleNegativesRankingLoss):
        def forward(self, sentence_features, labels):
            seen.append(labels.tolist())
            return super().forward(sentence_features, labels)

    monkeypatch.setattr(losses, "MaskedMultipleNegativesRankingLoss", Spy)
    train_encoder(tiny_base, tiny_pairs, plan, SETTINGS)
    numbers = pd.factorize(np.asarray(tiny_pairs["passage_id"]))[0]
    assert seen == numbers[plan.question_rows].tolist()


def test_slots_in_plan_order_carry_texts_and_labels(tiny_pairs, plan):
    rows = in_plan_order(tiny_pairs, plan)
    assert len(rows) == plan.steps * plan.batch_size
    slot = rows[13]
    question, passage = tiny_pairs[int(plan.question_rows[2, 1])], tiny_pairs[int(plan.passage_rows[2, 1])]
    assert slot["question"] == question["question"] and slot["passage"] == passage["passage"]
    assert len({rows[i]["label"] for i in range(6)}) == 6


def test_validation_is_scored_at_the_steps_asked_for(trained):
    history = trained[1]
    assert list(history.columns) == ["step", "split", "loss"]
    assert list(history.loc[history["split"] == "mono", "step"]) == [5, 10]
    assert np.isfinite(history["loss"]).all()


def test_a_seed_decides_every_bit(tiny_transformer, tiny_pairs, plan):
    """With dropout: one seed gives one set of weights, another seed of the same batches another."""
    settings = TrainingSettings(learning_rate=1e-3)
    first, again = (train_encoder(tiny_transformer, tiny_pairs, plan, settings)[0] for _ in range(2))
    other, _ = train_encoder(tiny_transformer, tiny_pairs, by_rows(plan.question_rows, plan.passage_rows, seed=9), settings)
    assert same(first, again) and not same(first, other)


def test_a_transformer_in_hub_format_learns(tiny_transformer, tiny_pairs):
    plan = plan_batches(tiny_pairs, "X-X", steps=30, batch_size=12, seed=0)
    _, history = train_encoder(tiny_transformer, tiny_pairs, plan, TrainingSettings(learning_rate=5e-3))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]


def test_prefixes_make_queries_and_passages_differ(trained, tiny_base, tiny_pairs):
    model = trained[0]
    query, document, plain = (encode(["Wasser 4"])[0] for encode in (model.encode_query, model.encode_document, model.encode))
    assert np.allclose(query, model.encode(["Query: Wasser 4"], prompt="")[0]) and not np.allclose(query, document)
    assert np.allclose(document, model.encode(["Passage: Wasser 4"], prompt="")[0]) and not np.allclose(query, plain)
    bare = TrainingSettings(query_prefix="", passage_prefix="")
    model, _ = train_encoder(tiny_base, tiny_pairs, by_rows([[0, 5]], [[0, 5]]), bare)
    assert np.array_equal(model.encode_query(["Wasser 4"]), model.encode_document(["Wasser 4"]))


def test_saved_encoder_opens_and_its_card_states_data_plan_and_scores(trained, tmp_path):
    from sentence_transformers import SentenceTransformer

    model, history = trained
    card = {
        "title": "hybrid from tiny, seed 1",
        "data": {"pairs": 96, "languages": "ar de en th"},
        "plan": {"strategy": "hybrid", "alpha": 0.5, "steps": 10},
        "training": {"learning_rate": 0.03},
        "scores": {"validation Mo. mAP": 0.75},
    }
    save_encoder(model, tmp_path, card, history)
    opened = SentenceTransformer(str(tmp_path))
    assert opened.prompts["query"] == "Query: " and opened.prompts["document"] == "Passage: "
    assert np.array_equal(opened.encode_query(["fire 3", "ไฟ 3"]), model.encode_query(["fire 3", "ไฟ 3"]))
    assert json.loads((tmp_path / "card.json").read_text(encoding="utf-8")) == card
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: sentence-transformers\n") and "# hybrid from tiny, seed 1" in text
    for heading in ("data", "plan", "training", "scores"):
        section = text.split(f"## {heading.capitalize()}\n")[1].split("\n## ")[0]
        assert all(f"| {key} | {value} |" in section for key, value in card[heading].items())
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "loss.csv"), history)


def test_a_loss_that_is_no_number_stops_with_advice(tiny_base, tiny_pairs):
    plan = by_rows([[0, 5, 9]] * 30, [[0, 5, 9]] * 30)
    settings = TrainingSettings(learning_rate=0.5, scale=1e39)
    with pytest.raises(InputError, match=r"loss was not a number at step 3 of 30. Lower learning_rate .now 0.5. or scale .now 1e\+39."):
        train_encoder(tiny_base, tiny_pairs, plan, settings)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="learning_rte"):
        TrainingSettings(learning_rte=1e-3)


def test_unaligned_base_is_a_function_of_texts_and_seed(tmp_path):
    texts = ["water fire", "Wasser Feuer", "น้ำ ไฟ", "水与火"]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_unaligned(tmp_path / name, texts, vocabulary=60, dimension=4, seed=seed)
    first, again, other = (open_encoder(tmp_path / name) for name in "abc")
    assert first.get_embedding_dimension() == 4
    assert same(first, again) and not same(first, other)
    assert first.tokenizer.get_vocab() == again.tokenizer.get_vocab() and first.tokenizer.get_vocab_size() <= 60


def test_the_same_texts_give_the_same_pieces_in_the_same_order(tiny_pairs):
    """Also where the vocabulary ends between pieces that are equally frequent."""
    texts = [*tiny_pairs["question"], *(name for _, name in zip(range(300), bitext(tiny_pairs, ("de", "en"))["passage"], strict=False))]
    first, *others = (train_tokenizer(texts, 150).get_vocab() for _ in range(4))
    assert len(first) == 150 and all(other == first for other in others)


def test_tokenizer_levels_width_and_case_and_splits_scripts():
    tokenizer = train_tokenizer(["water wasser", "ไฟ น้ำ"], 200)
    assert tokenizer.encode("ＷＡＴＥＲ").ids == tokenizer.encode("water").ids
    assert tokenizer.encode("waterไฟ").tokens == tokenizer.encode("water ไฟ").tokens


def test_bitext_is_names_and_passages_as_parallel_pairs(tiny_pairs):
    texts = bitext(tiny_pairs, ("de", "en")).to_pandas()
    assert (texts["question"] == texts["passage"]).all()
    swiss = texts[texts["id"] == "territory:CH"]
    assert dict(zip(swiss["language"], swiss["passage"], strict=True)) == {"de": "Schweiz", "en": "Switzerland"}
    passages = texts[texts["source"] == "passages"]
    assert list(passages["passage"]) == tiny_pairs["passage"][:] and set(texts["source"]) == {"cldr-names", "passages"}


def test_aligned_base_brings_translations_together(tmp_path, tiny_pairs):
    """After translation ranking most of a few German names lie nearest to their English ones; before, few do."""
    unaligned, aligned = tmp_path / "unaligned", tmp_path / "aligned"
    make_unaligned(unaligned, bitext(tiny_pairs, ("de", "en"))["passage"], vocabulary=3000, dimension=32, seed=0)
    make_aligned(aligned, unaligned, tiny_pairs, ("de", "en"), steps=60, batch_size=24, seed=0)
    german = ["Griechenland", "Schweiz", "Japan", "Frankreich", "Chinesisch", "Türkisch", "Deutsch", "Montag"]
    english = ["Greece", "Switzerland", "Japan", "France", "Chinese", "Turkish", "German", "Monday"]
    found = {}
    for folder in (unaligned, aligned):
        model = open_encoder(folder)
        scores = model.encode(german) @ model.encode(english).T
        found[folder] = (scores.argmax(1) == np.arange(len(german))).mean()
    assert found[aligned] > found[unaligned] + 0.25
