"""Belebele and NTREX as parallel retrieval tasks, ranked in full."""

import pandas as pd
import pytest
from hub_sets import write_parts

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.languages import by_language
from hybridir_utils.tasks.public_sets import EVALUATION_SETS, belebele_task, ntrex_codes, ntrex_task

CODES = {"ar": "arb_Arab", "de": "deu_Latn", "zh": "zho_Hans"}


@pytest.fixture(scope="module")
def belebele(tmp_path_factory):
    """Two passages, three questions, in the columns of the hub's rows."""
    rows = {
        code: [(f"l{n // 2}", n % 2 + 1, f"{code} passage {n // 2}", f"{code} question {n}") for n in range(3)] for code in CODES.values()
    }
    columns = ["link", "question_number", "flores_passage", "question"]
    parts = {(code, "test"): pd.DataFrame(row, columns=columns).assign(dialect=code) for code, row in rows.items()}
    folder = tmp_path_factory.mktemp("data")
    write_parts(folder / "belebele", parts, kind="jsonl")
    return str(folder)


def test_every_language_holds_the_passage_of_a_question(belebele):
    task = belebele_task(["de", "zh", "ar"], belebele)
    assert (task.name, task.languages, len(task.queries), len(task.candidates)) == ("Belebele", ("ar", "de", "zh"), 9, 6)
    assert task.queries.iloc[0].to_dict() == {"id": "ar:l0#1", "group": "l0#1", "language": "ar", "text": "arb_Arab question 0"}
    relevant = task.relevance.groupby("query")["candidate"].apply(set)
    assert relevant["de:l0#2"] == {"ar:l0", "de:l0", "zh:l0"} and relevant["zh:l1#1"] == {"ar:l1", "de:l1", "zh:l1"}
    assert len(task.relevance) == 27
    assert belebele_task(["zh"], belebele).languages == ("zh",)


def test_each_of_122_variants_has_a_code_of_its_own(belebele):
    codes = by_language(EVALUATION_SETS["belebele"].languages, "belebele")
    assert len(codes) == len(set(codes.values())) == 122
    known = {
        "zh": "zho_Hans",
        "zh-TW": "zho_Hant",
        "hi-Latn": "hin_Latn",
        "arz": "arz_Arab",
        "en": "eng_Latn",
        "fa": "pes_Arab",
        "no": "nob_Latn",
    }
    assert {code: codes[code] for code in known} == known
    with pytest.raises(UnknownName, match=r"unknown language of Belebele 'zh-SG' .did you mean 'zh-TW'"):
        belebele_task(["zh-SG"], belebele)
    with pytest.raises(UnknownName, match="unknown config of belebele 'fra_Latn'"):
        belebele_task(["fr"], belebele)


def test_belebele_without_its_columns(tmp_path):
    write_parts(tmp_path / "belebele", {("deu_Latn", "test"): pd.DataFrame({"link": ["l"], "passage": ["p"]})})
    with pytest.raises(InputError, match=r"belebele, deu_Latn: no column 'question_number'.*Found: link, passage; expected: link"):
        belebele_task(["de"], str(tmp_path))


def ntrex(folder, **lines):
    room = folder / "ntrex-news"
    room.mkdir()
    room.joinpath("document_ids.txt").write_text("a\na\na\nb\nb\n", encoding="utf-8")
    for code, texts in lines.items():
        room.joinpath(f"{code.replace('_', '-')}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(folder)


def test_a_headline_asks_for_the_sentences_of_its_article(tmp_path):
    data_dir = ntrex(
        tmp_path,
        eng=["H1", "s1", "s\u20282", "H2", "t1"],
        deu=["K1", "u1", "u2", "K2", "v1"],
        eng_GB=["x"] * 5,
        zho_CN=["题", "一", "二", "题", "三"],
    )
    task = ntrex_task(["en", "de"], data_dir)
    assert task.queries[["id", "group", "text"]].to_numpy().tolist() == [
        ["de:0", "a", "K1"], ["de:3", "b", "K2"], ["en:0", "a", "H1"], ["en:3", "b", "H2"],
    ]  # fmt: skip
    assert (
        list(task.candidates["text"]) == ["u1", "u2", "v1", "s1", "s\u20282", "t1"]
        and list(task.candidates["group"]) == ["1", "2", "4"] * 2
    )
    relevant = task.relevance.groupby("query")["candidate"].apply(set)
    assert relevant["de:0"] == relevant["en:0"] == {"de:1", "de:2", "en:1", "en:2"} and relevant["en:3"] == {"de:4", "en:4"}
    assert ntrex_task([], data_dir).languages == ("de", "en", "zh")
    with pytest.raises(UnknownName, match=r"unknown language of NTREX 'fr'"):
        ntrex_task(["fr"], data_dir)


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["H", "a", "b", "H"], "deu.txt: 4 lines, but document_ids.txt has 5"), (["H", "a", " ", "H", "c"], "deu.txt, line 3: empty")],
)
def test_files_that_do_not_match(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        ntrex_task([], ntrex(tmp_path, deu=lines))


def test_the_real_news(real_data):
    folder = real_data / "ntrex-news"
    codes = ntrex_codes(folder)
    assert (
        len(codes) == 126
        and sum("-" not in code for code in codes) == 120
        and (codes["zh"], codes["sr"], codes["pt"], codes["en"]) == ("zho-CN", "srp-Cyrl", "por", "eng")
    )
    task = ntrex_task(["th", "en", "sw"], str(real_data))
    assert task.summary().to_numpy().tolist() == [[61, 909, 3 * 909]] * 3
    assert task.queries["text"][0] == "Welsh AMs worried about 'looking like muppets'"
    assert (task.relevance["query"] == "en:0").sum() == 3 * 15
