"""Checks of translated pairs: every check finds its fault and leaves sound translations alone."""

from __future__ import annotations

import pandas as pd
import pytest
from datasets import Dataset

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.quality import accepted, check_pairs_quality, other_languages, unchecked_languages
from hybridir_utils.results.reading import rejection_counts
from hybridir_utils.tasks import squad

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
GERMAN = [
    ("Was ist die Währung von Thailand?", "Die Währung von Thailand ist der Baht, der dort seit langem gilt."),
    ("Was ist die Hauptstadt von Frankreich?", "Die Hauptstadt von Frankreich ist Paris, wie jedes Kind weiß."),
    ("Mit welchem Tag beginnt in Ägypten die Woche?", "In Ägypten beginnt die Woche mit dem Samstag."),
    ("Wie lautet der ISO-Code des Euro?", "Der ISO-Code des Euro lautet EUR, und das seit seiner Einführung."),
]


def pairs(**translations) -> Dataset:
    """Rows of ENGLISH and of each language given; ids f0, f1, …"""
    languages = {"en": ENGLISH, **translations}
    return as_dataset([(f"f{i}", language, *pair) for language, texts in languages.items() for i, pair in enumerate(texts)])


def as_dataset(rows) -> Dataset:
    """Rows of id, language, question, passage; every id has a passage of its own."""
    frame = pd.DataFrame(rows, columns=["id", "language", "question", "passage"])
    return Dataset.from_pandas(frame.assign(passage_id="p" + frame["id"]))


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
    assert found(pairs(de=GERMAN)) == []
    assert found(pairs(de=changed(GERMAN, 0, passage=ENGLISH[0][1].upper()))) == [("f0", "de", "passage", "copied")]


def test_a_number_may_stay_as_it_is():
    assert found(as_dataset([("a", "en", "When?", "1999"), ("a", "de", "Wann?", "1999")])) == []


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
        ("sr-Latn", "Koja je valuta Tajlanda", "Која је валута Тајланда"),
        ("hi", "थाईलैंड की मुद्रा क्या है", "تھائی لینڈ کی کرنسی"),
        ("vi", "Đơn vị tiền tệ của Thái Lan", "泰国的货币是什么"),
        ("el", "Ποιο είναι το νόμισμα της Ταϊλάνδης", "Poio einai to nomisma"),
    ],
)
def test_script_of_a_language(language, right, wrong):
    def only(text):
        question = "What is it about?"
        result = check_pairs_quality(as_dataset([("a", "en", question, "It is a card."), ("a", language, question, text)]))
        return set(result.loc[(result["field"] == "passage") & (result["language"] == language), "check"])

    assert only(right) == set()
    assert only(wrong) == {"wrong_script"}


def test_another_language_in_the_right_script_is_found():
    dutch = changed(GERMAN, 1, passage="De hoofdstad van Frankrijk is Parijs, zoals elk kind wel weet.")
    rejections = check_pairs_quality(pairs(de=dutch))
    assert rejections[["id", "language", "field", "check"]].values.tolist() == [["f1", "de", "passage", "wrong_language"]]
    assert rejections["detail"].item().startswith("nl with probability ")
    untranslated = changed(GERMAN, 2, passage="In Egypt, the week begins on a Saturday, not on a Monday.")
    assert found(pairs(de=untranslated)) == [("f2", "de", "passage", "wrong_language")]


def test_a_short_text_is_no_evidence_of_another_language():
    assert found(pairs(de=changed(GERMAN, 1, question="Quelle heure est-il?", passage="Paris, Lyon et Marseille, en France."))) == []


def test_a_language_that_is_written_alike_or_not_known_is_left_alone():
    assert other_languages(["這是一個很長的句子,用來說明這個檢查並不會把粵語和中文分開,因為它們寫起來很像。" * 2] * 2, "zh").empty
    mixed = "This sentence is in English beyond any doubt whatsoever."
    assert unchecked_languages(["de", "fil", "no", "gsw", "sr-Latn"]) == ["gsw"]
    assert other_languages([mixed], "gsw").empty
    assert other_languages(["", mixed], "fil")["found"].to_dict() == {1: "en"}


def test_a_text_that_fails_several_checks_is_counted_once():
    """A text copied into a language of another script was counted twice, and drawn as two."""
    found = check_pairs_quality(pairs(th=changed(THAI, 1, *ENGLISH[1])))
    texts = pd.concat([found.assign(split=split) for split in ("train", "validation")])
    assert texts["check"].value_counts().to_dict() == {"copied": 4, "wrong_script": 4}
    assert rejection_counts(texts).to_dict("records") == [{"language": "th", "check": "copied", "texts": 4}]


def test_what_is_copied_or_in_another_script_is_not_judged_again():
    english = ENGLISH[2][0] + " And what is the last one?"
    rejections = check_pairs_quality(pairs(th=changed(THAI, 2, question=english)))
    assert rejections["check"].tolist() == ["wrong_script"]


def test_real_translations_are_taken_for_another_language_only_where_they_are(real_data):
    """Of 8,800 questions and sentences of XQuAD-R, which people translated, at most one in a thousand; a sentence of 40 characters or
    more under a wrong label is found nine times in ten."""
    task = squad.xquad_r(real_data / "xquad-r")
    texts = {language: rows["text"].tolist()[::4] for language, rows in task.candidates.groupby("language")}
    wrong = sum(len(other_languages(rows, language)) for language, rows in texts.items())
    assert wrong <= 3 and sum(map(len, texts.values())) > 3_000
    long = {language: [text for text in rows if len(text) >= 40] for language, rows in texts.items()}
    mislabelled = {"de": "es", "es": "vi", "tr": "de", "vi": "tr", "ru": "en", "hi": "en", "ar": "en", "th": "en", "el": "en", "en": "de"}
    shares = [len(other_languages(long[language], label)) / len(long[language]) for language, label in mislabelled.items()]
    assert min(shares) > 0.5 and sum(shares) / len(shares) > 0.9


def test_length_is_judged_against_the_languages_own_median():
    double = [(f"{question} " * 2, f"{passage} " * 2) for question, passage in GERMAN]
    tenfold = [(f"{question} " * 10, f"{passage} " * 10) for question, passage in THAI]
    assert found(pairs(de=double, th=tenfold)) == []
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


def test_a_question_may_come_again_where_a_batch_cannot_hold_both():
    """The triples of mMARCO: one id for each hard negative, or for each of several right passages; they share a passage_id."""
    for other in ({}, {"passage": "ประโยคอื่น"}):
        twice = pairs(th=changed(THAI, 3, **({"question": THAI[0][0], "passage": THAI[0][1]} | other))).to_pandas()
        assert len(check_pairs_quality(Dataset.from_pandas(twice))) == 1
        shared = twice.assign(passage_id=twice["passage_id"].replace("pf3", "pf0"))
        assert check_pairs_quality(Dataset.from_pandas(shared)).empty


def test_equal_passages_under_different_questions_are_no_fault():
    assert found(pairs(th=changed(THAI, 3, passage=THAI[0][1]))) == []


def test_accepted_drops_the_rejected_rows_and_their_language_only():
    dataset = pairs(th=changed(THAI, 2, question=ENGLISH[2][0]), de=GERMAN)
    kept = accepted(dataset, check_pairs_quality(dataset))
    rows = list(zip(kept["id"], kept["language"], strict=True))
    assert len(rows) == 11 and ("f2", "th") not in rows and ("f2", "de") in rows and ("f2", "en") in rows
    assert found(kept) == []


def test_pairs_without_a_fault_are_all_accepted():
    nothing = check_pairs_quality(pairs())
    assert nothing.empty and len(accepted(pairs(), nothing)) == 4


def test_another_source_language():
    assert found(pairs(th=THAI), source="th") == []
    result = found(pairs(th=changed(THAI, 1, passage=ENGLISH[1][1])), source="th")
    assert ("f1", "en", "passage", "copied") in result


def test_pairs_that_cannot_be_checked_are_refused():
    with pytest.raises(InputError, match=r"id 'f4' \(th\) has no row in the source language 'en'"):
        check_pairs_quality(pairs(th=[*THAI, ("คำถาม", "คำตอบ")]))
    assert "wrong_script" not in set(check_pairs_quality(pairs(qqq=THAI))["check"]), "CLDR knows no script of it"


def test_human_translations_of_news_pass(real_data):
    """NTREX: of 500 human-translated sentences a language, next to none may be rejected for script or length."""
    folder = real_data / "ntrex-news"
    codes = {"en": "eng", "th": "tha", "zh": "zho-CN", "ja": "jpn", "ru": "rus", "de": "deu", "hi": "hin"}
    lines = {language: (folder / f"{code}.txt").read_text(encoding="utf-8").splitlines()[:500] for language, code in codes.items()}
    texts = {language: list(zip(rows[::2], rows[1::2], strict=True)) for language, rows in lines.items()}
    rows = [(str(i), language, *pair) for language, pairs_ in texts.items() for i, pair in enumerate(pairs_)]
    dataset = as_dataset(rows)
    rejections = check_pairs_quality(dataset)
    assert len(rejections[rejections["check"].isin(["wrong_script", "length_ratio"])]) <= 10
