"""BEIR folders: a task comes back as it was written, and a bad row is named with file and line."""

import json

import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.tasks.beir import read_beir, write_beir
from hybridir_utils.tasks.retrieval_task import RetrievalTask
from hybridir_utils.tasks.squad import mlqa_r

COLUMNS = ["id", "group", "language", "text"]


def small_task(candidate_id="de:0:0"):
    queries = [("en:q1", "q1", "en", "Where is Rome?"), ("de:q1", "q1", "de", 'Wo liegt "Rom"?')]
    candidates = [(candidate_id, "c", "de", "Rom liegt\nin Italien.\u2028 "), ("zh:0:0", "zh:0:0", "zh", "罗马在意大利。")]
    relevance = [("en:q1", candidate_id), ("de:q1", candidate_id), ("de:q1", "zh:0:0")]
    return RetrievalTask(
        "small",
        pd.DataFrame(queries, columns=COLUMNS),
        pd.DataFrame(candidates, columns=COLUMNS),
        pd.DataFrame(relevance, columns=["query", "candidate"]),
    )


def write_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """A folder as BEIR publishes them: no language, a title, several splits, graded scores."""
    folder = tmp_path / "nfcorpus"
    write_lines(folder / "corpus.jsonl", {"_id": "d1", "title": "Rome", "text": "A city."}, {"_id": "d2", "title": "", "text": "Bread."})
    write_lines(folder / "queries.jsonl", {"_id": "q1", "text": "rome?"}, {"_id": "q2", "text": "food?"}, {"_id": "q3", "text": "none?"})
    write_lines(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td2\t0", "q3\td1\t0")
    write_lines(folder / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore", "q2\td2\t1")
    return folder


def assert_equal(task, other):
    pd.testing.assert_frame_equal(task.queries, other.queries)
    pd.testing.assert_frame_equal(task.candidates, other.candidates)
    pd.testing.assert_frame_equal(task.relevance, other.relevance)


def test_round_trip(tmp_path):
    write_beir(small_task(), tmp_path / "small")
    again = read_beir(tmp_path / "small")
    assert again.name == "small"
    assert_equal(again, small_task())


def test_round_trip_of_a_real_task(real_data, tmp_path):
    task = mlqa_r(real_data / "mlqa-dev", ["de", "hi", "zh"])
    write_beir(task, tmp_path / "mlqa")
    assert_equal(read_beir(tmp_path / "mlqa"), task)


def test_published_layout(folder):
    task = read_beir(folder, language="en")
    assert task.name == "nfcorpus"
    assert list(task.candidates["text"]) == ["Rome A city.", "Bread."]
    assert list(task.queries["id"]) == ["q1"]
    assert task.relevance.to_dict("records") == [{"query": "q1", "candidate": "d1"}]
    assert list(read_beir(folder, language="en", split="dev").queries["id"]) == ["q2"]


def test_language_key_goes_before_the_argument(folder):
    write_lines(folder / "corpus.jsonl", {"_id": "d1", "text": "Rom", "language": "de"}, {"_id": "d2", "text": "Bread."})
    assert list(read_beir(folder, language="en").candidates["language"]) == ["de", "en"]


def test_language_is_needed_and_checked(folder):
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: no 'language' key"):
        read_beir(folder)
    with pytest.raises(UnknownName, match="unknown language 'english'"):
        read_beir(folder, language="english")


@pytest.mark.parametrize("split", ["train", "../dev", "../../secret/qrels/test", "/etc/passwd", ""])
def test_only_splits_of_the_folder_are_read(folder, split):
    write_lines(folder / "dev.tsv", "query-id\tcorpus-id\tscore", "q1\td1\t1")
    with pytest.raises(InputError, match=r"no split .*; splits there: dev, test"):
        read_beir(folder, language="en", split=split)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["q1\td1\t1"], r"test\.tsv, line 1: expected the header"),
        (["query-id\tcorpus-id\tscore", "q1\td1\t1", "q1 d2 1"], r"test\.tsv, line 3: expected query id, corpus id and a number"),
        (["query-id\tcorpus-id\tscore", "q1\td1\tyes"], r"test\.tsv, line 2"),
        (["query-id\tcorpus-id\tscore", "q1\td9\t1"], "relevance names candidate 'd9'"),
        (["query-id\tcorpus-id\tscore", "q9\td1\t1", "q1\td1\t1"], "relevance names query 'q9'"),
        (["query-id\tcorpus-id\tscore", "q1\td1\t0"], "no queries"),
    ],
)
def test_bad_qrels_are_named(folder, rows, message):
    write_lines(folder / "qrels" / "test.tsv", *rows)
    with pytest.raises(InputError, match=message):
        read_beir(folder, language="en")


def test_ids_never_become_paths(tmp_path):
    """Ids are written into files, never used as file names."""
    write_beir(small_task("../../evil"), tmp_path / "a" / "b")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        "a/b/corpus.jsonl",
        "a/b/queries.jsonl",
        "a/b/qrels/test.tsv",
    }
    assert_equal(read_beir(tmp_path / "a" / "b"), small_task("../../evil"))


def test_what_the_layout_cannot_carry_is_refused_before_writing(tmp_path):
    with pytest.raises(InputError, match="tab or line break"):
        write_beir(small_task("de\t0"), tmp_path / "x")
    task = small_task()
    alone = RetrievalTask("alone", task.queries, task.candidates, task.relevance[task.relevance["query"] == "de:q1"])
    with pytest.raises(InputError, match=r"1 queries such as 'en:q1' have no relevant candidate"):
        write_beir(alone, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("language", [True, 3, ["de"], {"de": 1}])
@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_a_language_that_is_no_text_is_refused_with_its_line(tmp_path, name, language):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tc\t1\n")
    for file, row in {
        "corpus": {"_id": "c", "text": "x", "language": "de"},
        "queries": {"_id": "q", "text": "x", "language": "de"},
    }.items():
        (tmp_path / f"{file}.jsonl").write_text(json.dumps(row | ({"language": language} if file == name else {})) + "\n")
    with pytest.raises(InputError, match=rf"{name}\.jsonl, line 1: 'language' must be a text that is not empty, found .+"):
        read_beir(tmp_path)
