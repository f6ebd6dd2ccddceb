"""Answers are found in passages as DPR and BGE-M3 find them: NFD, lower case, an unbroken run of tokens."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridir_utils.base.files import read_jsonl
from hybridir_utils.tasks.searched_task import token_text, tokens, usable

NFC, NFD = (lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD"))


def has_answer(passage: str, answers: list[str]) -> bool:
    return any(answer in token_text(passage) for answer in usable(answers))


@pytest.mark.parametrize(
    ("passage", "answer", "found"),
    [
        ("It was sung by Dave  Edmunds, in 1970.", "dave edmunds", True),
        ("It was sung by Dave Edmundson.", "Dave Edmunds", False),  # a token is whole
        ("Edmunds, Dave", "Dave Edmunds", False),  # in order
        ("Dave (Edmunds)", "Dave Edmunds", False),  # unbroken: the bracket is a token
        ("State Farm Stadium.", "State Farm Stadium", True),  # a mark after it does no harm
        ("the 2,718 inmates", "2,718", True),
        ("the 12,718 inmates", "2,718", False),
        ("Rock 'n' roll", "rock 'n' ROLL", True),
        ("غنى ديف إدموندز الأغنية", "ديف إدموندز", True),
        ("غنى ديف إدموندز الأغنية", NFC("ديف إدموندز"), True),
        ("وديف إدموندز", "ديف إدموندز", False),  # a prefixed word is another token
        ("في عام ١٩٧٠.", "١٩٧٠", True),
        ("في عام ١٩٧٠.", "1970", False),  # digits of another script are other digits
        ("كَتَبَ الرسالة", "كتب", False),  # vowel marks belong to the token
        ("أُغنية", NFC("أُغنية"), True),
        ("ในปี 1970 เดฟ เอ็ดมันด์ส ร้องเพลง", "เดฟ เอ็ดมันด์ส", True),
        ("ร้องโดยเดฟ เอ็ดมันด์ส", "เดฟ เอ็ดมันด์ส", False),  # Thai without a blank before it: one run, one token
        ("น้ำ ไฟ", "น้ำ", True),
        ("น้ำ ไฟ", "น้า", False),  # vowel signs count
        ("ครองราชย์ พ.ศ. ๒๔๕๓", "๒๔๕๓", True),
        ("ครองราชย์ พ.ศ. ๒๔๕๓", "พ.ศ. ๒๔๕๓", True),
        ("กรุงเทพมหานคร เป็นเมืองหลวง", "กรุงเทพ", False),  # a part of an unbroken run
        ("主唱是：戴维·埃德蒙兹。", "戴维·埃德蒙兹 ", True),
        ("主唱是戴维·埃德蒙兹", "戴维·埃德蒙兹", False),  # Chinese without a mark before it
        ("戴维·埃德蒙兹，英国歌手", "埃德蒙兹", True),  # · is a token of its own
        ("《臥虎藏龍》", "卧虎藏龙", False),  # traditional and simplified characters differ
        ("1970年", "1970", False),  # digits and characters without a mark between them are one token
        ("Поёт Дэйв Эдмундс.", "дэйв эдмундс", True),
        ("Криштиану Роналду — футболист", "РОНАЛДУ", True),
        ("Криштиану Роналду", "Роналдо", False),
        ("Федор Достоевский", "Фёдор Достоевский", False),  # ё decomposes to е and a mark
        ("в Санкт-Петербурге", "Санкт-Петербург", False),  # an inflected form is another token
        ("г. Санкт-Петербург, Россия", "санкт-петербург", True),
        ("й", "и", False),  # й decomposes to и and a mark, which stay one token
        ("Zürich", "Zurich", False),
        ("", "a", False),
    ],
)
def test_hand_made_cases(passage, answer, found):
    for form in (NFC, NFD):
        assert has_answer(form(passage), [answer]) is found


def test_one_of_several_answers_is_enough_and_an_empty_one_stands_nowhere():
    assert has_answer("Sly Fox sang", ["Prince", "sly fox"])
    assert not has_answer("Sly Fox sang", ["", " ", "\u200b", None])
    assert not has_answer("Sly Fox sang", [])
    assert usable(["  ", None]) == []


@given(st.text("aB. éй\u0301น้", max_size=12), st.lists(st.text("aB. éй\u0301น้", max_size=4), max_size=3))
def test_equal_to_comparing_every_run_of_tokens(passage, answers):
    words, wanted = tokens(passage), [tokens(answer) for answer in answers if tokens(answer)]
    runs = [words[i : i + len(run)] for run in wanted for i in range(len(words) - len(run) + 1)]
    assert has_answer(passage, answers) is any(run == other for other in wanted for run in runs if len(run) == len(other))


def test_every_real_answer_is_found_beside_blanks_and_marks(real_data):
    """12 languages of MKQA: an answer is found in a sentence around it, and not in one without it."""
    for path in sorted((real_data / "mkqa-questions").glob("*.jsonl")):
        answers = [answer for _, row in read_jsonl(path) for answer in row["answers"] if usable([answer])][:200]
        assert len(answers) == 200
        assert all(has_answer(f"«x» {answer.upper() if path.stem == 'ru' else answer}, x.", [answer]) for answer in answers)
        assert not any(has_answer("«x» , x.", [answer]) for answer in answers)
