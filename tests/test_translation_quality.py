"""Back-translation and the cost of a translation: numbers that are right, and said before anything starts."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_mt
from datasets import Dataset

from hybridir_utils.base.errors import UnknownName
from hybridir_utils.data.mt import ModelTranslator, open_translator
from hybridir_utils.data.translation import CachedTranslator, MemoryTranslator, back_translation
from hybridir_utils.suite import sampling as cost
from hybridir_utils.suite.sampling import measured_speed, translation_cost

WORDS = "water fire stone tree river bridge forest house sea ship".split()  # noqa: SIM905


class Reversing:
    """Writes a text backwards, which backwards again is the text; into Thai it loses the second half."""

    name = "reversing"

    def translate(self, texts, source, target):
        return [text[: len(text) // 2] if target == "th" else text[::-1] for text in texts]


def english(count: int, **more) -> Dataset:
    passages = [f"The {WORDS[n % 10]} lies behind the {WORDS[n // 10 % 10]}, and the {WORDS[n * 7 % 10]} {n} is old." for n in range(count)]
    columns = {"id": [f"i{n}" for n in range(count)], "language": ["en"] * count, "source": ["s"] * count}
    return Dataset.from_dict(
        columns | {"passage_id": columns["id"], "question": [f"where is {n}?" for n in range(count)], "passage": passages} | more
    )


def test_what_comes_back_whole_scores_100_and_what_is_lost_does_not():
    result = back_translation(english(80), Reversing(), ["de", "th"], n=30, seed=1)
    scores = result.scores.set_index("language")
    assert scores.loc["de", ["chrF", "low", "high", "n"]].tolist() == [100, 100, 100, 30]
    assert scores.loc["th", "low"] < scores.loc["th", "chrF"] < scores.loc["th", "high"] < 60
    worst = result.examples[result.examples["language"] == "th"]
    assert len(worst) == 3 and worst["chrF"].is_monotonic_increasing
    assert (worst["translation"].str.len() < worst["source"].str.len()).all() and set(worst["id"]) <= set(english(80)["id"])


def test_chrf_is_sacrebleus_and_the_sample_is_the_same_for_every_language_and_run():
    from sacrebleu import sentence_chrf

    result = back_translation(english(80), Reversing(), ["th"], n=5, seed=3)
    for row in result.examples.itertuples():
        assert row.chrF == sentence_chrf(row.back, [row.source]).score
    assert back_translation(english(80), Reversing(), ["th"], n=5, seed=3).scores.equals(result.scores)
    assert back_translation(english(80), Reversing(), ["th"], n=5, seed=4).scores.to_dict() != result.scores.to_dict()
    assert back_translation(english(4), Reversing(), ["th"], n=50).scores["n"].item() == 4


def test_a_memory_cannot_translate_back():
    with pytest.raises(UnknownName, match="'en'"):
        back_translation(english(3), MemoryTranslator({"de": {}}, "1"), ["de"])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelTranslator:
    folder = tmp_path_factory.mktemp("models") / "nllb"
    folder.mkdir()
    return open_translator(f"mt:{tiny_mt.nllb(folder)}", tokens=512)


def test_cost_counts_texts_tokens_and_what_is_cached_without_loading_weights(model, tmp_path):
    pairs = english(40, negative=["no tree is here", ""] * 20)
    cached = CachedTranslator(model, tmp_path / "cache.sqlite")
    table = translation_cost(pairs, ["de", "th"], cached, tokens_per_second=100.0).set_index("language")
    texts = [text for field in ("question", "passage", "negative") for text in pairs[field] if text]
    tokens = sum(model.count_tokens(texts, "en", "de"))
    assert table.loc["de", ["texts", "cached", "tokens", "sampled"]].tolist() == [100, 0, tokens, 40]
    assert table.loc["all", ["texts", "tokens"]].tolist() == [200, 2 * tokens]
    assert table.loc["all", "hours"] == pytest.approx(2 * tokens / 100 / 3600)
    assert "model" not in vars(model.opened), "no weights are loaded"
    weights, batch = model.memory()
    assert table.loc["all", ["weights_gib", "batch_gib"]].tolist() == [weights / cost.GIB, batch / cost.GIB]
    cached.translate(pairs["passage"][:], "en", "th")
    table = translation_cost(pairs, ["de", "th"], cached).set_index("language")
    assert table["cached"].to_dict() == {"de": 0, "th": 40, "all": 40}
    assert table.loc["th", "tokens"] < 0.6 * tokens == pytest.approx(0.6 * table.loc["de", "tokens"])
    assert np.isnan(table["hours"]).all(), "no speed is given"


def test_the_weights_memory_is_that_of_the_file(model):
    file = model.opened.folder / "model.safetensors"
    assert model.memory()[0] == pytest.approx(file.stat().st_size, rel=0.15)


def test_a_large_set_is_counted_on_a_sample_and_extrapolated(model, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "SAMPLE", 50)
    pairs, cached = english(400), CachedTranslator(model, tmp_path / "cache.sqlite")
    row = translation_cost(pairs, ["de"], cached).iloc[0]
    exact = sum(model.count_tokens([*pairs["question"], *pairs["passage"]], "en", "de"))
    assert (row["texts"], row["sampled"]) == (800, 50) and row["tokens"] == pytest.approx(exact, rel=0.05)


def test_speed_is_measured_past_the_cache(model, tmp_path, monkeypatch):
    cached, asked = CachedTranslator(model, tmp_path / "cache.sqlite"), []
    real = model.translate
    monkeypatch.setattr(model, "translate", lambda texts, *pair: asked.append(len(texts)) or real(texts, *pair))
    assert 0 < measured_speed(english(200), "de", cached) < float("inf")
    assert asked == [4, cost.TIMED] and not cached.known(english(200)["passage"][:], "en", "de")


def test_a_translation_memory_costs_nothing_and_a_missing_language_is_told(model, tmp_path):
    memory = CachedTranslator(MemoryTranslator({"de": {}}, "1"), tmp_path / "cache.sqlite")
    assert measured_speed(english(9), "de", memory) == float("inf")
    table = translation_cost(english(9), ["de"], memory)
    assert table[["texts", "tokens", "hours", "weights_gib"]].iloc[-1].tolist() == [18, 0, 0, 0]
    with pytest.raises(UnknownName, match="language of nllb 'xx'"):
        translation_cost(english(9), ["xx"], CachedTranslator(model, tmp_path / "cache.sqlite"))
