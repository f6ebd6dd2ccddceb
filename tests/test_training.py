"""Training: the plan's pairs reach the loss in order, with prefixes and masks; the steps are plain AdamW; results can be opened."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.batching import KINDS, NO_PASSAGE, BatchPlan, in_plan_order, plan_batches
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.train import base_encoders, losses, trainer
from hybridir_utils.train.base_encoders import bitext, make_aligned, make_unaligned, train_tokenizer
from hybridir_utils.train.losses import TASKS, LengthSortedCollator, in_columns, row_numbers, tokenise
from hybridir_utils.train.training import TrainingSettings, save_encoder, train_encoder

SETTINGS = TrainingSettings(learning_rate=3e-2, weight_decay=0.1)


@pytest.fixture(scope="module")
def plan(tiny_pairs):
    return plan_batches(tiny_pairs, "hybrid", steps=10, batch_size=6, seed=1)


@pytest.fixture(scope="module")
def trained(tiny_base, tiny_pairs, plan):
    validation = {"mono": (tiny_pairs, plan_batches(tiny_pairs, "X-X-mono", steps=2, batch_size=6, seed=0))}
    settings = SETTINGS.model_copy(update={"validate_every": 5})
    return train_encoder(tiny_base, tiny_pairs, plan, settings, validation)


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
    model = open_model(base)
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
    assert not same(model, open_model(tiny_base))
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
    assert np.array_equal(np.array(seen)[:, :, 0], numbers[plan.question_rows])


def test_a_training_counts_its_steps_where_it_takes_longer_than_a_moment(tiny_base, tiny_pairs, plan, monkeypatch, capfd):
    train_encoder(tiny_base, tiny_pairs, plan, SETTINGS)
    assert "step" not in capfd.readouterr().err
    monkeypatch.setattr(trainer, "UNSHOWN", 0)
    train_encoder(tiny_base, tiny_pairs, plan, SETTINGS)
    assert "training" in (told := capfd.readouterr().err) and f"/{plan.steps} steps" in told


def test_opening_a_model_draws_no_bar(tiny_transformer, capfd):
    open_model(tiny_transformer)
    assert capfd.readouterr().err == ""


def test_slots_in_plan_order_carry_texts_and_labels(tiny_pairs, plan):
    rows = in_plan_order(tiny_pairs, plan)
    assert len(rows) == plan.steps * plan.batch_size
    slot = rows[13]
    question, passage = tiny_pairs[int(plan.question_rows[2, 1])], tiny_pairs[int(plan.passage_rows[2, 1])]
    assert slot["question"] == question["question"] and slot["passage"] == passage["passage"]
    assert len({tuple(rows[i]["label"]) for i in range(6)}) == 6


@pytest.fixture(scope="module")
def triples(tiny_pairs):
    """The pairs with hard negatives: for most rows the passage of the next id, for every fifth none, for id 3 one nobody else has."""
    rows = tiny_pairs.to_pandas()
    other = rows.iloc[np.roll(np.arange(len(rows)), -4)].reset_index(drop=True)
    rows["negative"], rows["negative_id"] = other["passage"], other["passage_id"]
    rows.loc[rows["id"] == "i3", ["negative", "negative_id"]] = ("Wasser 99", "p99")
    rows.loc[rows.index % 5 == 0, ["negative", "negative_id"]] = ""
    return Dataset.from_pandas(rows, preserve_index=False)


def test_a_slot_brings_the_hard_negative_of_its_passage(triples):
    plan = by_rows([[0, 9, 13]], [[1, 8, 15]])
    slots = in_plan_order(triples, plan)[:]
    assert slots["question"] == [triples[row]["question"] for row in (0, 9, 13)]
    assert slots["negative"] == [triples[row]["negative"] for row in (1, 8, 15)] and slots["negative"][2] == ""
    label = np.array(slots["label"])
    number = dict(zip(triples["passage_id"][:], in_plan_order(triples, by_rows([range(96)], [range(96)]))[:]["label"], strict=True))
    assert label[:, 0].tolist() == [number[triples[row]["passage_id"]][0] for row in (1, 8, 15)]
    assert label[:2, 1].tolist() == [number[triples[row]["negative_id"]][0] for row in (1, 8)] and label[2, 1] == NO_PASSAGE
    unknown = in_plan_order(triples, by_rows([[13]], [[13]]))[0]["label"][1]
    assert unknown not in {first for first, _ in number.values()} and unknown != NO_PASSAGE
    assert in_plan_order(triples, plan, negatives=False)[0].keys() == {"question", "passage", "label"}


def still(folder, base):
    """The transformer without dropout, whose draws would hide what is compared."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(base, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model.save_pretrained(folder), AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def still_transformer(tiny_transformer, tmp_path_factory):
    return still(tmp_path_factory.mktemp("encoders") / "still", tiny_transformer)


@pytest.mark.parametrize("denominator", ["all", "in-batch", "hard-negatives"])
@pytest.mark.parametrize("mini_batch_size", [0, 4])
def test_every_denominator_trains_as_a_loop_over_rows(still_transformer, triples, denominator, mini_batch_size):
    """One step at a time through chunks, masks and, with mini-batches, cached gradients; the plan repeats ids across rows."""
    plan = by_rows([[0, 9, 5, 14, 0, 3], [16, 17, 30, 31, 50, 12]], [[0, 9, 5, 14, 1, 2], [16, 18, 30, 31, 50, 15]])
    settings = TrainingSettings(
        learning_rate=1e-3, weight_decay=0, warmup_share=0, scale=5.0, denominator=denominator, mini_batch_size=mini_batch_size
    )
    model, history = train_encoder(still_transformer, triples, plan, settings)
    expected, losses_by_hand = loop(open_model(still_transformer), triples, plan, settings)
    assert list(history["loss"]) == pytest.approx(losses_by_hand, abs=1e-5)
    assert_same_weights(model, expected)


def assert_same_weights(one, other):
    """But for the biases of keys: attention does not depend on them, so that AdamW moves them by rounding errors alone."""
    for name, value in weights(one).items():
        if not name.endswith("key.bias"):
            torch.testing.assert_close(value, weights(other)[name], atol=1e-5, rtol=0)


def loop(model, triples, plan, settings):
    """AdamW over the same steps, with the loss written out: a passage is a negative unless it answers the question too."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / plan.steps)
    history = []
    for questions, passages in zip(plan.question_rows.tolist(), plan.passage_rows.tolist(), strict=True):
        rows = [triples[row] for row in passages]
        queries = embed(model, [settings.query_prefix + triples[row]["question"] for row in questions])
        candidates = [("positive", row["passage_id"], row["passage"], n) for n, row in enumerate(rows)]
        if settings.denominator != "in-batch":
            candidates += [("hard", row["negative_id"], row["negative"], n) for n, row in enumerate(rows) if row["negative"]]
        scores = queries @ embed(model, [settings.passage_prefix + text for _, _, text, _ in candidates]).T * settings.scale
        total = 0
        for i, row in enumerate(rows):
            kept = [
                j
                for j, (kind, id_, _, n) in enumerate(candidates)
                if (kind == "positive" and n == i)
                or (id_ != row["passage_id"] and not (kind == "positive" and settings.denominator == "hard-negatives"))
            ]
            total = total + torch.logsumexp(scores[i, kept], 0) - scores[i, i]
        loss = total / len(rows)
        optimizer.zero_grad(), loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step()
        history.append(loss.item())
    return model, history


def embed(model, texts):
    return torch.nn.functional.normalize(model(model.preprocess(texts))["sentence_embedding"], dim=1)


def test_the_first_loss_is_the_stock_trainers(still_transformer, tiny_pairs, plan, tmp_path):
    """Chunks by length against the library's padding to the longest: the same batches give the same losses, with less to compute."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import SequentialSampler

    settings = TrainingSettings(learning_rate=1e-3, warmup_share=0)
    _, history = train_encoder(still_transformer, tiny_pairs, plan, settings)
    model = open_model(still_transformer)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=plan.batch_size,
        max_steps=plan.steps,
        learning_rate=1e-3,
        weight_decay=settings.weight_decay,
        prompts={"question": "Query: ", "passage": "Passage: "},
        batch_sampler=lambda dataset, **given: DefaultBatchSampler(SequentialSampler(dataset), **given),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    rows = in_plan_order(tiny_pairs, plan)[:]
    data = Dataset.from_dict({part: rows[part] for part in ("question", "passage")})
    stock = SentenceTransformerTrainer(model, args=arguments, train_dataset=data, loss=MultipleNegativesRankingLoss(model, scale=20.0))
    stock.train()
    expected = [entry["loss"] for entry in stock.state.log_history if "loss" in entry]
    assert list(history["loss"]) == pytest.approx(expected, abs=1e-4)


def test_chunks_hold_every_text_once_and_less_padding(still_transformer):
    model = open_model(still_transformer)
    rows = [
        {"question": "w " * (n % 3 + 1), "passage": "stone " * (n * 7 % 23 + 1), "negative": "tree " * (n % 5), "label": [n, -1]}
        for n in range(16)
    ]
    make = {"preprocess_fn": tokenise(model), "prompts": {"passage": "Passage: "}, "router_mapping": TASKS}
    whole, batch = (LengthSortedCollator(**make, tokens=tokens)(rows) for tokens in (10**6, 60))
    assert batch["label"].tolist() == [[n, -1] for n in range(16)]
    features = chunks_of(batch)
    assert all(chunk["input_ids"].numel() <= 60 or len(chunk["input_ids"]) == 1 for chunk in features) and len(features) > 6
    assert sum(chunk["input_ids"].numel() for chunk in features) < 0.75 * sum(chunk["input_ids"].numel() for chunk in chunks_of(whole))
    with torch.no_grad():
        found = in_columns(torch.cat([model(chunk)["sentence_embedding"] for chunk in features]), row_numbers(features), 16)
        for column, part, prompt in zip(found, ("question", "passage", "negative"), ("", "Passage: ", ""), strict=True):
            texts = [prompt + row[part] for row in rows]
            torch.testing.assert_close(column, model(model.preprocess(texts))["sentence_embedding"], atol=1e-5, rtol=0)


def chunks_of(batch):
    return [
        {key.split("_", 1)[1]: value for key, value in batch.items() if key.startswith(f"chunk{n}_")}
        for n in range(len({key.split("_")[0] for key in batch if key.startswith("chunk")}))
    ]


def test_subwords_are_those_of_the_librarys_module(tiny_base, tiny_pairs):
    model, texts = open_model(tiny_base), [*tiny_pairs["passage"][:20], "", "fire"]
    found, expected = tokenise(model)(texts, prompt="Query: ", task="query"), model.preprocess(texts, prompt="Query: ")
    assert all(torch.equal(found[key], expected[key]) for key in ("input_ids", "offsets"))


def test_questions_and_passages_are_cut_at_their_lengths(still_transformer, tiny_pairs, plan, monkeypatch):
    widths, usual = {"query": set(), "document": set()}, LengthSortedCollator.__call__

    def spy(self, features):
        batch = usual(self, features)
        for chunk in chunks_of(batch):
            widths[chunk["task"]].add(chunk["input_ids"].shape[1])
        return batch

    monkeypatch.setattr(LengthSortedCollator, "__call__", spy)
    train_encoder(still_transformer, tiny_pairs, plan, TrainingSettings(), opening=Opening(max_query_tokens=3, max_passage_tokens=4))
    assert max(widths["query"]) == 3 and max(widths["document"]) == 4


def test_settings_that_do_not_fit_are_refused(tiny_base, tiny_pairs, plan):
    with pytest.raises(InputError, match="denominator = 'hard-negatives' needs hard negatives"):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(denominator="hard-negatives"))
    with pytest.raises(InputError, match=r"StaticEmbedding.*Set mini_batch_size = 0"):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(mini_batch_size=4))


def test_a_tokenizer_without_a_pad_token_is_refused_before_training(still_transformer, tiny_pairs, plan, tmp_path):
    folder = shutil.copytree(still_transformer, tmp_path / "unpadded")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: value for key, value in settings.items() if key != "pad_token"}), encoding="utf-8")
    with pytest.raises(InputError, match="no pad token"):
        train_encoder(folder, tiny_pairs, plan, TrainingSettings())


@pytest.mark.parametrize("changes", [{"gradient_checkpointing": True}, {"mini_batch_size": 3, "gradient_checkpointing": True}])
def test_saving_memory_changes_no_weight(still_transformer, tiny_pairs, plan, changes):
    settings = TrainingSettings(learning_rate=1e-3)
    plainly, _ = train_encoder(still_transformer, tiny_pairs, plan, settings)
    saving, _ = train_encoder(still_transformer, tiny_pairs, plan, settings.model_copy(update=changes))
    assert_same_weights(plainly, saving)


def test_frozen_embeddings_stay_as_they_are_while_the_layers_learn(still_transformer, tiny_pairs, plan):
    settings = TrainingSettings(learning_rate=1e-3, freeze_embeddings=True)
    before, after = weights(open_model(still_transformer)), weights(train_encoder(still_transformer, tiny_pairs, plan, settings)[0])
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not any("word_embeddings" in name for name in changed) and sum("layer.0" in name for name in changed) > 5


def test_an_encoder_that_is_embeddings_alone_cannot_be_trained_without_them(tiny_base, tiny_pairs, plan):
    with pytest.raises(InputError, match="has nothing else to train"):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(freeze_embeddings=True))


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiled_training_comes_to_the_weights_of_plain_training(still_transformer):
    """Texts of one length, so that one graph is compiled."""
    words = ["water", "fire", "stone", "tree"]
    texts = [(f"{one} {other}", f"{other} {one}") for one in words for other in words]
    pairs = pairs_from_rows((f"i{n}", f"p{n}", "en", question, passage, "s") for n, (question, passage) in enumerate(texts))
    plan = plan_batches(pairs, "X-X-mono", steps=3, batch_size=4, seed=1)
    settings = TrainingSettings(learning_rate=1e-3, query_prefix="", passage_prefix="")
    plainly, losses_plainly = train_encoder(still_transformer, pairs, plan, settings)
    compiled, losses_compiled = train_encoder(still_transformer, pairs, plan, settings.model_copy(update={"compile": True}))
    assert losses_compiled["loss"].tolist() == pytest.approx(losses_plainly["loss"].tolist(), abs=1e-4)
    before = weights(open_model(still_transformer))
    for name, value in weights(plainly).items():
        assert (weights(compiled)[name] - value).abs().max() < 1e-4, name
    assert any((value - before[name]).abs().max() > 1e-3 for name, value in weights(compiled).items()), "it was trained"


@pytest.mark.parametrize("mini_batch_size", [0, 4])
def test_bf16_computes_in_bf16_and_keeps_fp32_weights(still_transformer, tiny_pairs, plan, mini_batch_size, monkeypatch):
    seen, usual = set(), torch.nn.Linear.forward

    def spy(self, given):
        seen.add((out := usual(self, given)).dtype)
        return out

    monkeypatch.setattr(torch.nn.Linear, "forward", spy)
    settings = TrainingSettings(learning_rate=1e-3, precision="bf16", mini_batch_size=mini_batch_size)
    model, history = train_encoder(still_transformer, tiny_pairs, plan, settings)
    assert seen == {torch.bfloat16} and {value.dtype for value in model.parameters()} == {torch.float32}
    exact, _ = train_encoder(still_transformer, tiny_pairs, plan, settings.model_copy(update={"precision": "fp32"}))
    assert np.isfinite(history["loss"]).all() and not same(model, exact)
    assert max((weights(model)[name] - value).abs().max() for name, value in weights(exact).items()) < 2e-2


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
        "base": {"origin": "owner/name@0123"},
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
    for heading in ("data", "plan", "base", "training", "scores"):
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
    first, again, other = (open_model(tmp_path / name) for name in "abc")
    assert first.get_embedding_dimension() == 4
    assert same(first, again) and not same(first, other)
    assert first.tokenizer.get_vocab() == again.tokenizer.get_vocab() and first.tokenizer.get_vocab_size() <= 60


def test_the_same_texts_give_the_same_pieces_in_the_same_order(tiny_pairs):
    """Also where the vocabulary ends between pieces that are equally frequent."""
    texts = [*tiny_pairs["question"], *(name for _, name in zip(range(300), bitext(tiny_pairs, ("de", "en"))["passage"], strict=False))]
    first, *others = (train_tokenizer(texts, 150).get_vocab() for _ in range(4))
    assert len(first) == 150 and all(other == first for other in others)


def test_every_letter_inside_a_word_is_named_before_the_training(monkeypatch):
    """Whatever parts the words: blanks of all widths, those that NFKC makes, punctuation, another script."""
    from tokenizers import trainers

    texts, named, real = ["a\u00a0bc\u3000de bc", "ﬁn\u00a8xy Straße", "waterไฟ 東京tower", " x\u0301yz-qr"], [], trainers.WordPieceTrainer
    monkeypatch.setattr(trainers, "WordPieceTrainer", lambda **given: named.extend(given["special_tokens"]) or real(**given))
    train_tokenizer(texts, 200)
    splitter = base_encoders._word_splitter()
    inside = {f"##{letter}" for text in texts for word in base_encoders._words(splitter, text) for letter in word[1:]}
    assert named == ["[UNK]", *sorted(inside)] and {"##c", "##n", "##y", "##ß", "##ฟ", "##r", "##京"} <= inside


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
        model = open_model(folder)
        scores = model.encode(german) @ model.encode(english).T
        found[folder] = (scores.argmax(1) == np.arange(len(german))).mean()
    assert found[aligned] > found[unaligned] + 0.25
