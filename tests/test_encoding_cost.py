"""The cost of a corpus before anything starts, against published anchors and against what is measured here."""

import json

import numpy as np
import pytest
from tiny_models import save_tiny_bert

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.encode.encoding import open_encoder
from hybridir_utils.suite.sampling import corpus_sizes, encoder_shape, encoding_cost, estimated_tokens, task_cost, tokens_per_passage

BASE = 12 * (4 * 768**2 + 2 * 768 * 3072)  # parameters of a base-size encoder's layers


@pytest.mark.parametrize(("task", "passages", "hours"), [("miracl-full", 106_332_152, 155), ("miracl", 2_449_382, 3.6)])
def test_gpu_hours_come_near_the_published_ones(task, passages, hours):
    total = task_cost(task, (), BASE, 768).loc["all"]
    assert total["passages"] == passages and total["gpu_hours"] == pytest.approx(hours, rel=0.15)


def test_disk_is_passages_times_width_times_bytes():
    for precision, gigabytes in (("fp32", 326.65), ("fp16", 163.33)):
        assert task_cost("miracl-full", (), BASE, 768, vector_precision=precision).loc["all", "disk_gb"] == pytest.approx(
            gigabytes, abs=0.01
        )


def test_languages_are_chosen_and_mkqa_is_english():
    assert list(task_cost("miracl", ("sw", "yo"), BASE, 768).index) == ["sw", "yo", "all"]
    assert list(task_cost("mkqa", ("de", "ja"), BASE, 768).index) == ["en", "all"]
    assert corpus_sizes("neuclir")["passages"].sum() == 10_038_768
    with pytest.raises(UnknownName, match="miracl-full"):
        corpus_sizes("miracl-ful")


def test_long_passages_are_counted_as_they_are_cut():
    sizes = corpus_sizes("neuclir")
    assert (estimated_tokens(sizes, 100) == 100 * sizes["passages"]).all() and (estimated_tokens(sizes) > 300 * sizes["passages"]).all()


def test_half_the_precision_costs_less_time():
    costs = [encoding_cost(1000, 100_000, BASE, 768, precision=precision)["gpu_hours"] for precision in ("fp32", "bf16")]
    assert costs[0] > 20 * costs[1]


def test_the_shape_is_read_without_the_weights(tmp_path):
    folder = save_tiny_bert(tmp_path / "bert", ["water fire"])
    layers = sum(p.numel() for n, p in open_encoder(folder)[0].model.encoder.named_parameters() if p.ndim == 2)
    (folder / "model.safetensors").unlink()
    assert encoder_shape(folder) == (layers, 16)


def test_an_encoder_without_layers_is_told(tmp_path, tiny_base):
    with pytest.raises(InputError, match="no configuration of a transformer"):
        encoder_shape(tiny_base)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}), encoding="utf-8")
    with pytest.raises(InputError, match="does not tell hidden_size"):
        encoder_shape(tmp_path)


def test_a_sample_of_texts_is_counted(tmp_path, tiny_base):
    texts = ["water fire stone", "water"]
    model = open_encoder(save_tiny_bert(tmp_path / "bert", texts))
    assert tokens_per_passage(model, texts) == np.mean([len(ids) for ids in model.tokenizer(texts).input_ids])
    with pytest.raises(InputError, match="cannot be counted"):
        tokens_per_passage(open_encoder(tiny_base), texts)
