"""Sentence boundaries: spans tile every text, and agree with those published with XQuAD-R."""

import sys

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.tasks.sentences import sentence_spans
from hybridir_utils.tasks.squad import read_squad_json

MIN_F1 = {
    "ar": 0.98,
    "de": 0.99,
    "el": 0.98,
    "en": 0.99,
    "es": 0.97,
    "hi": 0.98,
    "ru": 0.99,
    "th": 0.53,
    "tr": 0.94,
    "vi": 0.97,
    "zh": 0.94,
}


def split(text, language):
    return [text[start:end].strip() for start, end in sentence_spans(text, language)]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. J. A. Hobson, e.g., paid $3.50 at 5 p.m. on day 1.", "Why?", 'He said: "Go!"', "3 men left."]),
        ("de", ["Am 3. Mai 1990 kam z. B. König Wilhelm IV. nach Köln.", "Er blieb (bzw. schlief) dort."]),
        ("es", ["¿Quién es el Sr. Costa?", "¡No lo sé!", "Vive en EE. UU. desde 1990."]),
        ("el", ["Ποιος ήρθε;", "Ο Τζ. Κένεντι, π.χ. χθες."]),
        ("ru", ["Он родился в 1799 г. в Москве.", "Умер А. С. Пушкин в 1837 году."]),
        ("tr", ["Prof. Dr. Kaya 3. kez kazandı.", "Bkz. 5 numaralı belge."]),
        ("ar", ["هل جاء؟", "نعم، جاء أمس.", "ثم رحل."]),
        ("hi", ["डॉ. सिंह आए।", "वे कब गए?", "कल।"]),
        ("vi", ["TP. Hồ Chí Minh rất lớn.", "Ông ở đó."]),
        ("zh", ["他来了。", "“你好！”", "价格是3.5元。", "对吗？"]),
        ("th", ["เขามาถึงแล้ว", "เมื่อวานนี้ฝนตก"]),
        ("ja", ["これは3．5です．", "それは本です．"]),
        ("am", ["አዲስ አበባ ዋና ከተማ ናት።", "ስንት ሰዎች አሉ፧", "ብዙ።"]),
        ("my", ["သူ လာသည်။", "သူ ပြန်သွားသည်။"]),
        ("hy", ["Երևանը մայրաքաղաք է։", "Այն հին է։"]),
        ("bo", ["བོད་ཡིག་ཡིན།", "བོད་སྐད་ཡིན།།"]),
        ("sat", ["ᱱᱚᱶᱟ ᱫᱚ ᱟᱹᱰᱤ ᱱᱟᱯᱟᱭ᱾", "ᱩᱱᱤ ᱦᱮᱡ ᱮᱱᱟ᱾"]),
        ("mn-Mong", ["ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ᠃", "ᠦᠰᠦᠭ᠃"]),
    ],
)
def test_sentences_of_each_language(language, sentences):
    joiner = "" if language in ("zh", "ja") else " "
    assert split(joiner.join(sentences), language) == sentences


def test_every_mark_that_unicode_says_ends_a_sentence_ends_one():
    """In any script, with white space after it; ; : and what Unicode does not call a terminator end none."""
    marks = [chr(code) for code in range(sys.maxunicode + 1) if regex.match(r"\p{Sentence_Break=STerm}", chr(code))]
    assert len(marks) > 140
    assert [mark for mark in marks if split(f"Aa{mark} Bb{mark}", "xx") != [f"Aa{mark}", f"Bb{mark}"]] == []
    assert [mark for mark in ",;:-·" if len(split(f"Aa{mark} Bb{mark}", "xx")) > 1] == []
    assert len(split("爱德华．沙菲尔推测香钟。", "zh")) == 1


def test_blank_line_ends_a_sentence_and_a_line_break_does_not():
    assert split("A heading\n\nThe text goes\non here. End.", "en") == ["A heading", "The text goes\non here.", "End."]


def test_empty_and_blank_texts():
    assert sentence_spans("", "en") == []
    assert sentence_spans("  \n", "en") == [(0, 3)]


@pytest.mark.parametrize("run", [".", "?!", " ", "\n", " \n", "\u3000\t", "…)", "。”"])
def test_a_run_of_marks_or_blanks_of_any_length_is_gone_through_once(run):
    """Looked at anew from each of its characters, such a run takes the square or cube of its length: hours here."""
    for language in ("en", "th"):
        short, long = (sentence_spans(f"a{run * times}b", language) for times in (10, 100_000))
        assert len(long) == len(short) and long[-1][1] == len(run) * 100_000 + 2


@given(text=st.text(alphabet='ab AB1.!?…。।;("”)\n\tซึ่ง', max_size=60), language=st.sampled_from([*XQUAD_R_LANGUAGES, "fr", "xx"]))
def test_spans_tile_any_text(text, language):
    spans = sentence_spans(text, language)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)


@pytest.mark.parametrize("language", XQUAD_R_LANGUAGES)
def test_agreement_with_published_breaks(real_data, language):
    paragraphs = read_squad_json(real_data / "xquad-r" / f"{language}.json")
    predicted = [[_trimmed(p.context, span) for span in sentence_spans(p.context, language)] for p in paragraphs]
    gold = [[_trimmed(p.context, span) for span in p.breaks] for p in paragraphs]
    assert starts_f1(predicted, gold) >= MIN_F1[language]


def starts_f1(predicted, gold):
    """F1 of sentence starts, the first of each text left out (it is always right)."""
    found, true = ({(i, start) for i, spans in enumerate(side) for start, _ in spans[1:]} for side in (predicted, gold))
    return 2 * len(found & true) / (len(found) + len(true))


def _trimmed(text, span):
    """The span without the white space before its first letter, which the published breaks set now here, now there."""
    start, end = span
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end
