"""The memory of subwords: the tokenizer's own subwords, each text tokenised once for all encoders of one tokenizer."""

from __future__ import annotations

from itertools import chain

import pytest

from hybridir_utils.encode import encoding
from hybridir_utils.encode.encoding import Subwords
from hybridir_utils.train.base_encoders import train_tokenizer

TEXTS = ["water fire stone", "Wasser, Feuer", "", "نار ماء", "water fire stone"]


class Counting:
    """A tokenizer that keeps the texts it is given."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.to_str, self.asked = tokenizer, tokenizer.to_str, []

    def encode_batch_fast(self, texts, **options):
        self.asked += texts
        return self.tokenizer.encode_batch_fast(texts, **options)


@pytest.fixture
def tokenizer():
    encoding._memory.cache_clear()
    return Counting(train_tokenizer(TEXTS, 200))


def test_subwords_are_the_tokenizers(tokenizer):
    ids, starts = Subwords(tokenizer)(TEXTS)
    expected = [tokenizer.tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert ids.tolist() == list(chain(*expected)) and starts.tolist() == [sum(map(len, expected[:n])) for n in range(len(TEXTS))]


def test_each_text_is_tokenised_once_for_all_encoders_of_a_tokenizer(tokenizer):
    first = Subwords(tokenizer)(TEXTS)
    again = Subwords(tokenizer)(TEXTS[::-1])
    assert sorted(tokenizer.asked) == sorted(set(TEXTS))
    assert sorted(again[0].tolist()) == sorted(first[0].tolist())


def test_another_tokenizer_begins_anew(tokenizer):
    Subwords(tokenizer)(TEXTS)
    other = Counting(train_tokenizer(["other words", *TEXTS], 60))
    expected = [other.tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert Subwords(other)(TEXTS)[0].tolist() == list(chain(*expected))
    assert len(other.asked) == len(set(TEXTS))


def test_memory_has_an_end_and_loses_nothing(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "REMEMBERED", 3)
    known = Subwords(tokenizer)
    expected = [known([text])[0].tolist() for text in TEXTS]
    assert len(known.known) <= 3
    assert known(TEXTS)[0].tolist() == list(chain(*expected))


def test_no_text_has_no_subwords(tokenizer):
    ids, starts = Subwords(tokenizer)([])
    assert len(ids) == 0 and len(starts) == 0
