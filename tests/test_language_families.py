"""Families and scripts by which results are read."""

from collections import Counter

import pytest

from hybridir_utils.base.languages import FAMILIES, OTHER, family_of, script_of
from hybridir_utils.data.worldfacts import template_languages


def test_no_language_stands_in_two_families():
    counts = Counter(code for codes in FAMILIES.values() for code in codes.split())
    assert max(counts.values()) == 1


def test_every_language_of_the_corpus_has_a_family_and_a_script():
    assert not [code for code in template_languages() if family_of(code) == OTHER or script_of(code) == OTHER]


@pytest.mark.parametrize(
    "code, family, script",
    [
        ("de", "Germanic", "Latn"),
        ("hi", "Indo-Iranian", "Deva"),
        ("sr", "Slavic", "Cyrl"),
        ("zh", "Sino-Tibetan", "Hans"),
        ("ja", "Japonic", "Jpan"),
        ("zh-Hant", "Sino-Tibetan", "Hant"),
        ("xx", OTHER, OTHER),
    ],
)
def test_known_languages(code, family, script):
    assert (family_of(code), script_of(code)) == (family, script)
