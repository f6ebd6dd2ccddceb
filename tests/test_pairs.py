"""Parallel pairs: what may stand in them, and how sections of documents become pairs."""

import gzip
import json
import os
from pathlib import Path

import pytest
from datasets import Dataset

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.base.mapped import write_parquet
from hybridir_utils.data.batching import plan_batches
from hybridir_utils.data.pairs import (
    NEGATIVE_COLUMNS,
    PAIR_COLUMNS,
    check_pairs,
    holds_passages,
    join_pairs,
    one_passage,
    pairs_from_rows,
    read_pairs_jsonl,
    read_split,
)
from hybridir_utils.data.quality import rejected
from hybridir_utils.data.sections import read_sections, section_languages
from hybridir_utils.experiment.sources import hold_out

LONG = "This sentence is long enough to be kept as a passage of its own. "
ROW = {"id": "a", "passage_id": "a", "language": "en", "question": "Why?", "passage": "So.", "source": "s"}


def write_sections(folder, name, rows):
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def section(id_, heading, text=None, **keys):
    return {"id": id_, "heading": heading, "text": text or f"{LONG}{heading}"} | keys


def test_rows_become_strings_in_arrow():
    pairs = pairs_from_rows([ROW.values()])
    assert pairs.column_names == PAIR_COLUMNS
    assert {feature.dtype for feature in pairs.features.values()} == {"string"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW | {"passage": " "}], r"row 1 \(id 'a'\) has no passage"),
        ([ROW | {"question": None}], r"row 0 \(id 'a'\) has no question"),
        ([ROW, ROW], r"\('a', 'en'\) stands twice"),
        ([ROW, ROW | {"id": "b", "question": "\u3000\n"}], r"row 1 \(id 'b'\) has no question; 1 such rows"),
        ([ROW | {"negative": None, "negative_id": ""}], r"row 0 \(id 'a'\) has no negative"),
    ],
)
def test_check_pairs_refuses(rows, message):
    with pytest.raises(InputError, match=message):
        check_pairs(Dataset.from_list(rows))


def test_check_pairs_refuses_no_rows_and_takes_translations():
    with pytest.raises(InputError, match="no rows"):
        pairs_from_rows([])
    assert len(check_pairs(Dataset.from_list([ROW, ROW | {"language": "de"}]))) == 2


def test_own_pairs_from_jsonl(tmp_path):
    path = tmp_path / "faq.jsonl"
    rows = [{"id": "1", "language": "en", "question": "Why?", "passage": "So."}, ROW | {"id": "2", "passage_id": "1", "language": "de"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [tuple(row.values()) for row in read_pairs_jsonl(path)] == [
        ("1", "1", "en", "Why?", "So.", "faq"),
        ("2", "1", "de", "Why?", "So.", "s"),
    ]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"question": ""}, InputError, r"faq\.jsonl, line 1: 'question' must be a text that is not empty"),
        ({"id": 7.5}, InputError, "line 1: 'id' must be a text"),
        ({"language": "german"}, InputError, r"faq\.jsonl, line 1: 'german' is no code of a language .did you mean 'de'"),
    ],
)
def test_own_pairs_with_a_fault(tmp_path, change, error, message):
    path = tmp_path / "faq.jsonl"
    path.write_text(json.dumps(ROW | change), encoding="utf-8")
    with pytest.raises(error, match=message):
        read_pairs_jsonl(path)


def test_own_pairs_that_stand_twice_name_their_file(tmp_path):
    (tmp_path / "faq.jsonl").write_text("\n".join(json.dumps(ROW | {"language": code}) for code in ("no", "nb")), encoding="utf-8")
    with pytest.raises(InputError, match=r"faq\.jsonl: \('.*', 'no'\) stands twice; an id has one pair a language .pairs 1 and 2 of it"):
        read_pairs_jsonl(tmp_path / "faq.jsonl")


def test_pairs_may_lie_on_disk(tmp_path, monkeypatch):
    rows = [(str(n), str(n), "en", f"Why {n}?", f"So {n}.", "s") for n in range(25)]
    assert pairs_from_rows(rows, tmp_path / "pairs.arrow")[:] == pairs_from_rows(rows)[:]
    own = tmp_path / "faq.jsonl"
    own.write_text("\n".join(json.dumps(dict(zip(PAIR_COLUMNS, row, strict=True))) for row in rows), encoding="utf-8")
    assert not read_pairs_jsonl(own).cache_files
    monkeypatch.setattr("hybridir_utils.data.pairs.IN_MEMORY", 1000)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    pairs = read_pairs_jsonl(own)
    assert pairs[:] == pairs_from_rows(rows)[:]
    assert [Path(file["filename"]).parent for file in pairs.cache_files] == [tmp_path / "out" / "data" / "runs" / "own_pairs"]


def test_a_saved_split_is_memory_mapped_and_follows_its_file(tmp_path):
    """Read twice it is copied once; written anew it is read anew."""
    (folder := tmp_path / "pairs" / "p-1").mkdir(parents=True)
    first, second = (pairs_from_rows((f"{n}", f"{n}", "en", "q", "p", "s") for n in range(count)) for count in (7, 9))
    write_parquet(first, folder / "train.parquet")
    for _ in range(2):
        assert read_split(folder, "train")[:] == first[:]
    copies = [Path(file["filename"]) for file in read_split(folder, "train").cache_files]
    assert copies == sorted((tmp_path / "arrow").rglob("*.arrow"))
    write_parquet(second, folder / "train.parquet")
    os.utime(folder / "train.parquet", (1, 1))
    assert read_split(folder, "train")[:] == second[:]


def test_a_translation_without_a_text_is_joined_and_refused_by_the_quality_checks():
    english = pairs_from_rows([("a", "a", "en", "Why is it so?", "It is so.", "s")])
    german = Dataset.from_dict({name: [value] for name, value in (english[0] | {"language": "de", "question": ""}).items()})
    found = rejected(join_pairs([english, german]))
    assert found[["language", "field", "check"]].to_numpy().tolist() == [["de", "question", "empty"], ["de", "passage", "copied"]]


def test_hard_negatives_are_taken_along(tmp_path):
    """One line of a file has a negative, the others an empty one; a part that has none gets empty ones when it is joined."""
    path = tmp_path / "faq.jsonl"
    rows = [{"id": "1", "language": "en", "question": "Why?", "passage": "So."}, ROW | {"id": "2", "negative": "No.", "negative_id": "n"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    own, plain = read_pairs_jsonl(path), pairs_from_rows((f"p{n}", "p", "en", "q", "p", "s") for n in range(4))
    assert own.column_names == PAIR_COLUMNS + NEGATIVE_COLUMNS and plain.column_names == PAIR_COLUMNS
    assert own[:]["negative"] == ["", "No."] and own[:]["negative_id"] == ["", "n"]
    joined = join_pairs([plain.select([0, 3]), own])
    assert joined[:]["id"] == ["p0", "p3", "1", "2"]
    assert joined[:]["negative"] == ["", "", "", "No."] and joined[:]["negative_id"] == ["", "", "", "n"]
    assert join_pairs([plain, plain.map(lambda row: {"id": row["id"] + "x"})]).column_names == PAIR_COLUMNS


def test_a_negative_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "faq.jsonl"
    path.write_text(json.dumps(ROW | {"negative": ["No."]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"faq\.jsonl, line 1: 'negative' must be a text, found \['No\.'\]"):
        read_pairs_jsonl(path)


def test_sections_become_pairs(tmp_path):
    english = [
        section("x#1", "Setup", title="Guide"),
        section("x#2", "Guide", title="Guide"),
        section("x#3", "Again", f"{LONG}Setup", title="G"),
    ]
    folder = write_sections(tmp_path / "s", "en", english)
    write_sections(folder, "zh-CN", [section("x#3", "再", "这一段足够长，可以作为一个段落保留下来，因此不会被删除。")])
    pairs = read_sections(folder, ["en", "zh"], "s").to_pandas()
    assert list(pairs["id"]) == ["s:x#1", "s:x#2", "s:x#3", "s:x#3"]
    assert list(pairs["passage_id"]) == ["s:x#1", "s:x#2", "s:x#1", "s:x#1"]  # x#3 has the English passage of x#1
    assert list(pairs["language"]) == ["en", "en", "en", "zh"]
    assert list(pairs["question"]) == ["Guide: Setup", "Guide", "G: Again", "再"]
    assert set(pairs["source"]) == {"s"}


def test_dropped_sections_are_counted_by_reason(tmp_path):
    links = " | ".join(f"Language {n}" for n in range(30))
    english = [
        section("1", "Kept"), section("2", "Translations", links), section("3", "Short", "Too little."), section("4", "Size"),
        section("5", "Size", LONG + "Another one."), section("6", "Code", "x[0] = {1: (2 + 3) / 4}; " * 5), section("7", " "),
        section("8", "Badges", LONG + "-9333EA?style=for-the-badge"),
    ]  # fmt: skip
    folder = write_sections(tmp_path / "s", "en", english)
    german = [section(str(n), "Deutsch", f"Ein deutscher Abschnitt, der lang genug ist, um zu bleiben, Nummer {n}.") for n in range(1, 9)]
    write_sections(folder, "de", [section("1", "Kept"), *german[1:]])
    with pytest.raises(InputError, match="no rows"):  # of the first, which is left in English, German has no translation
        read_sections(folder, ["de"], "s")
    assert list(read_sections(folder, ["en"], "s")["id"]) == ["s:1"]


def test_long_passage_is_cut_at_a_sentence_boundary(tmp_path):
    text = "First sentence of the section here. Second sentence, which is longer than the first one. Third."
    folder = write_sections(tmp_path / "s", "en", [section("1", "Q", text)])
    passages = {n: read_sections(folder, ["en"], "s", max_chars=n)["passage"][0] for n in (len(text), 90, 88, 87, 35, 20)}
    assert passages == {len(text): text, 90: text[:88], 88: text[:88], 87: text[:35], 35: text[:35], 20: "First sentence of"}


def test_absent_language_is_named_with_those_there(tmp_path):
    folder = write_sections(tmp_path / "s", "en", [section("1", "Q")])
    write_sections(folder, "pt_BR", [section("1", "Q")])
    write_sections(folder, "zh-TW", [section("1", "Q")])
    write_sections(folder, "tl", [section("1", "Q")])  # the old code of Filipino
    assert tuple(section_languages(folder)) == ("en", "fil", "pt", "zh-TW")
    with pytest.raises(UnknownName, match=r"unknown language of s 'de'.* Known: en, fil, pt, zh-TW"):
        read_sections(folder, ["en", "de"], "s")


def test_section_without_a_key_is_named(tmp_path):
    folder = write_sections(tmp_path / "s", "en", [section("1", "Q"), {"id": "2", "text": LONG}])
    with pytest.raises(InputError, match=r"en\.jsonl\.gz, line 2: key 'heading' is missing"):
        read_sections(folder, ["en"], "s")


def test_real_course_sections(real_data):
    pairs = read_sections(real_data / "mscourses", XQUAD_R_LANGUAGES, "mscourses", max_chars=600).to_pandas()
    assert (pairs.groupby("id")["language"].nunique() == 11).sum() == 1287
    assert not pairs["passage"].str.contains("Arabic | Bengali", regex=False).any()
    assert pairs["passage"].str.len().max() <= 600


def test_bitcoin_faq_maps_its_chinese_file(real_data):
    assert {"zh", "pt"} <= set(section_languages(real_data / "bitcoin-faq"))
    pairs = read_sections(real_data / "bitcoin-faq", ["zh"], "bitcoin-faq")
    assert set(pairs["language"]) == {"zh"} and len(pairs) == 164


def rows_of(*rows):
    return pairs_from_rows((id_, passage_id, language, f"{language} {id_}?", passage, "s") for id_, passage_id, language, passage in rows)


SHARED = (  # a and b share a passage in German, b and c one id, d another passage; e's is a's in another language, by chance
    ("a", "1", "de", "Rom ist alt."), ("a", "1", "en", "Rome is old."), ("b", "2", "de", "Rom ist alt."), ("c", "2", "en", "It is old."),
    ("d", "3", "de", "Bonn."), ("e", "4", "en", "Rom ist alt."),
)  # fmt: skip


def test_equal_passages_are_one_passage_whatever_their_ids():
    assert one_passage(rows_of(*SHARED))["passage_id"][:] == ["1", "1", "1", "1", "3", "4"]
    alone = rows_of(SHARED[0], SHARED[4])
    assert one_passage(alone) is alone
    forms = [("a", "1", "en", "Caf\u00e9."), ("b", "2", "en", "\u00a0Cafe\u0301. \n"), ("c", "3", "en", "Caf\u00e9")]
    assert one_passage(rows_of(*forms))["passage_id"][:] == ["1", "1", "3"], "blanks around it and Unicode's form tell no passage apart"
    texts = rows_of(*SHARED).add_column("negative", ["x"] * 6).add_column("negative_id", ["2", "9", "3", "", "2", "1"])
    assert one_passage(texts)["negative_id"][:] == ["1", "9", "3", "", "1", "1"], "a hard negative keeps the id of its passage"


def test_no_batch_holds_a_passage_twice_where_a_file_gives_no_passage_ids(tmp_path):
    rows = [
        {"id": f"q{n}", "language": code, "question": f"{code} {n}?", "passage": f"{code} text of section {n // 3}."}
        for n in range(48)
        for code in ("de", "en")
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs_jsonl(tmp_path / "p.jsonl")
    plan = plan_batches(pairs, "hybrid", steps=30, batch_size=16, seed=1)
    for batch in plan.passage_rows:
        assert len({pairs[int(row)]["passage"].split(" ", 1)[1] for row in batch}) == 16
    train, validation = hold_out(pairs, 0)
    assert len(validation) and not set(train["passage"]) & set(validation["passage"])
    assert holds_passages(pairs, validation).sum() == len(validation) and not holds_passages(train, validation).any()
