"""Back-translation: numbers that are right."""

from __future__ import annotations

import pytest
from datasets import Dataset

from hybridir_utils.base.errors import UnknownName
from hybridir_utils.data.translation import MemoryTranslator, back_translation

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
