"""Back-translation: numbers that are right."""

from __future__ import annotations

import pytest
from datasets import Dataset

from hybridir_utils.base.errors import UnknownName
from hybridir_utils.data.translation import back_translation
from hybridir_utils.data.worldfacts import FactsMemory

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
    scores = back_translation(english(80), Reversing(), ["de", "th"], n=30, seed=1).set_index("language")
    assert scores.loc["de", ["chrF", "low", "high", "n"]].tolist() == [100, 100, 100, 30]
    assert scores.loc["th", "low"] < scores.loc["th", "chrF"] < scores.loc["th", "high"] < 60


def test_chrf_is_sacrebleus_and_the_sample_is_the_same_for_every_language_and_run():
    from sacrebleu import sentence_chrf

    pairs = english(4)
    thai = Reversing().translate(Reversing().translate(pairs["passage"][:], "en", "th"), "th", "en")
    scores = [sentence_chrf(text, [passage]).score for text, passage in zip(thai, pairs["passage"], strict=True)]
    table = back_translation(pairs, Reversing(), ["th"], n=50)
    assert table["chrF"].item() == pytest.approx(sum(scores) / 4) and table["n"].item() == 4
    drawn = [back_translation(english(80), Reversing(), ["th"], n=5, seed=seed)["chrF"].item() for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_memory_cannot_translate_back():
    with pytest.raises(UnknownName, match="'en'"):
        back_translation(english(3), FactsMemory(("de",)), ["de"])
