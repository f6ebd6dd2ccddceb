"""Checks of translated pairs: every check finds its fault and leaves sound translations alone."""

from __future__ import annotations

import pandas as pd
import pytest
from datasets import Dataset

from hybridir_utils.errors import InputError, UnknownName
from hybridir_utils.quality import CHECKS, accepted, check_pairs_quality, rejection_counts

ENGLISH = [
    ("What is the currency of Thailand?", "The currency of Thailand is the baht."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the first day of the week in Egypt?", "In Egypt the week begins on Saturday."),
    ("What is the ISO code of the euro?", "The ISO code of the euro is EUR."),
]
THAI = [
    ("สกุลเงินของไทยคืออะไร", "สกุลเงินของประเทศไทยคือบาท"),
    ("เมืองหลวงของฝรั่งเศสคืออะไร", "เมืองหลวงของฝรั่งเศสคือปารีส"),
    ("วันแรกของสัปดาห์ในอียิปต์คือวันอะไร", "ในอียิปต์สัปดาห์เริ่มในวันเสาร์"),
    ("รหัส ISO ของยูโรคืออะไร", "รหัส ISO ของยูโรคือ EUR"),
]


def pairs(**translations) -> Dataset:
    """Rows of ENGLISH and of each language given; ids f0, f1, …"""
    languages = {"en": ENGLISH, **translations}
    rows = [(f"f{i}", language, *pair) for language, texts in languages.items() for i, pair in enumerate(texts)]
    return Dataset.from_pandas(pd.DataFrame(rows, columns=["id", "language", "question", "passage"]))


def changed(texts, row, question=None, passage=None):
    """`texts` with one question or passage replaced."""
    kept = list(texts)
    kept[row] = (kept[row][0] if question is None else question, kept[row][1] if passage is None else passage)
    return kept


def found(dataset, **options) -> list[tuple]:
    return list(check_pairs_quality(dataset, **options)[["id", "language", "field", "check"]].itertuples(index=False, name=None))


def test_sound_translations_pass_also_with_latin_codes_inside():
    assert found(pairs(th=THAI)) == []


def test_an_empty_text_is_reported_once():
    assert found(pairs(th=changed(THAI, 1, passage="  "))) == [("f1", "th", "passage", "empty")]
    assert found(pairs(th=changed(THAI, 1, question=""))) == [("f1", "th", "question", "empty")]


def test_a_copy_is_found_whatever_its_case():
    german = [(f"Frage {question}", f"Antwort {passage}") for question, passage in ENGLISH]
    assert found(pairs(de=german)) == []
    assert found(pairs(de=changed(german, 0, passage=ENGLISH[0][1].upper()))) == [("f0", "de", "passage", "copied")]


def test_a_number_may_stay_as_it_is():
    numbers = Dataset.from_dict({"id": ["a"] * 2, "language": ["en", "de"], "question": ["When?", "Wann?"], "passage": ["1999"] * 2})
    assert found(numbers) == []


def test_a_copy_in_another_script_is_both_copied_and_in_the_wrong_script():
    result = found(pairs(th=changed(THAI, 2, question=ENGLISH[2][0])))
    assert result == [("f2", "th", "question", "copied"), ("f2", "th", "question", "wrong_script")]


@pytest.mark.parametrize(
    ("language", "right", "wrong"),
    [
        ("ja", "カードのデータ", "Card data 数"),
        ("ko", "한국의 수도는 서울이다", "首尔 is the capital"),
        ("zh", "泰国的货币是什么", "กรุงเทพ"),
        ("sr", "Која је валута Тајланда", "Koja je valuta Tajlanda"),
        ("sr_Latn", "Koja je valuta Tajlanda", "Која је валута Тајланда"),
        ("hi", "थाईलैंड की मुद्रा क्या है", "تھائی لینڈ کی کرنسی"),
        ("vi", "Đơn vị tiền tệ của Thái Lan", "泰国的货币是什么"),
        ("el", "Ποιο είναι το νόμισμα της Ταϊλάνδης", "Poio einai to nomisma"),
    ],
)
def test_script_of_a_language(language, right, wrong):
    def only(text):
        rows = {"id": ["a"] * 2, "language": ["en", language], "question": ["What is it about?"] * 2, "passage": ["It is a card.", text]}
        result = check_pairs_quality(Dataset.from_dict(rows))
        return set(result.loc[(result["field"] == "passage") & (result["language"] == language), "check"])

    assert only(right) == set()
    assert only(wrong) == {"wrong_script"}


def test_length_is_judged_against_the_languages_own_median():
    double = [(f"{question} " * 2, f"{passage} " * 2) for question, passage in ENGLISH]
    tenfold = [(f"{question} " * 10, f"{passage} " * 10) for question, passage in ENGLISH]
    assert found(pairs(de=double, es=tenfold, fr=tenfold)) == []
    long = changed(double, 1, passage="sehr lang " * 60)
    short = changed(double, 3, question="Wie?")
    assert found(pairs(de=long)) == [("f1", "de", "passage", "length_ratio")]
    assert found(pairs(de=short)) == [("f3", "de", "question", "length_ratio")]


def test_the_second_of_two_equal_pairs_is_a_duplicate():
    twice = changed(THAI, 3, *THAI[0])
    assert found(pairs(th=twice)) == [("f3", "th", "question", "duplicate")]


def test_one_question_with_two_passages_is_ambiguous_in_that_language_only():
    ambiguous = changed(THAI, 3, question=THAI[0][0])
    rejections = check_pairs_quality(pairs(th=ambiguous))
    assert rejections[["id", "language", "check"]].values.tolist() == [["f3", "th", "ambiguous_question"]]
    assert rejections["detail"].item() == "same question as id f0" and rejections["text"].item() == THAI[0][0]


def test_equal_passages_under_different_questions_are_no_fault():
    assert found(pairs(th=changed(THAI, 3, passage=THAI[0][1]))) == []


def test_accepted_drops_the_rejected_rows_and_their_language_only():
    dataset = pairs(th=changed(THAI, 2, question=ENGLISH[2][0]), de=[(f"Frage {q}", f"Antwort {p}") for q, p in ENGLISH])
    kept = accepted(dataset, check_pairs_quality(dataset))
    rows = list(zip(kept["id"], kept["language"], strict=True))
    assert len(rows) == 11 and ("f2", "th") not in rows and ("f2", "de") in rows and ("f2", "en") in rows
    assert found(kept) == []


def test_counts_have_every_check_as_a_column():
    dataset = pairs(th=changed(THAI, 2, question=ENGLISH[2][0]))
    counts = rejection_counts(check_pairs_quality(dataset))
    assert counts.columns.tolist() == CHECKS
    assert counts.loc["th", ["copied", "wrong_script", "empty"]].tolist() == [1, 1, 0]
    nothing = check_pairs_quality(pairs())
    assert nothing.empty and rejection_counts(nothing).empty and len(accepted(pairs(), nothing)) == 4


def test_another_source_language():
    assert found(pairs(th=THAI), source="th") == []
    result = found(pairs(th=changed(THAI, 1, passage=ENGLISH[1][1])), source="th")
    assert ("f1", "en", "passage", "copied") in result


def test_pairs_that_cannot_be_checked_are_refused():
    with pytest.raises(InputError, match="no column 'passage'"):
        check_pairs_quality(pairs().remove_columns("passage"))
    with pytest.raises(InputError, match=r"id 'f4' \(th\) has no row in the source language 'en'"):
        check_pairs_quality(pairs(th=[*THAI, ("คำถาม", "คำตอบ")]))
    rows = pairs().to_pandas()
    with pytest.raises(InputError, match="id 'f0' stands twice in language 'en'"):
        check_pairs_quality(Dataset.from_pandas(pd.concat([rows, rows[:1]])))
    with pytest.raises(UnknownName, match="'qqq'"):
        check_pairs_quality(pairs(qqq=THAI))


def test_human_translations_of_news_pass(real_data):
    """NTREX: of 500 human-translated sentences a language, next to none may be rejected for script or length."""
    folder = real_data / "ntrex-news"
    codes = {"en": "eng", "th": "tha", "zh": "zho-CN", "ja": "jpn", "ru": "rus", "de": "deu", "hi": "hin"}
    lines = {language: (folder / f"{code}.txt").read_text(encoding="utf-8").splitlines()[:500] for language, code in codes.items()}
    texts = {language: list(zip(rows[::2], rows[1::2], strict=True)) for language, rows in lines.items()}
    rows = [(str(i), language, *pair) for language, pairs_ in texts.items() for i, pair in enumerate(pairs_)]
    dataset = Dataset.from_pandas(pd.DataFrame(rows, columns=["id", "language", "question", "passage"]))
    rejections = check_pairs_quality(dataset)
    assert len(rejections[rejections["check"].isin(["wrong_script", "length_ratio"])]) <= 10
