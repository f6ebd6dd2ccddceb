"""BEIR folders: a task comes back as it was written, and a bad row is named with file and line."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

import hybridir_utils as hy
from hybridir_utils.base.errors import InputError
from hybridir_utils.rank.metrics import per_query
from hybridir_utils.rank.ranking import dot_scores, rank_task
from hybridir_utils.rank.search import evaluate_search, vector_ranker
from hybridir_utils.results import reading
from hybridir_utils.tasks.beir import read_beir, unnamed_groups, write_beir
from hybridir_utils.tasks.retrieval_task import RetrievalTask
from hybridir_utils.tasks.searched_task import Search, SearchTask
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
    """A folder as BEIR publishes them, with a language in each text: a title, several splits, graded scores."""
    folder = tmp_path / "nfcorpus"
    documents = [{"_id": "d1", "title": "Rome", "text": "A city."}, {"_id": "d2", "title": "", "text": "Bread."}]
    questions = [{"_id": "q1", "text": "rome?"}, {"_id": "q2", "text": "food?"}, {"_id": "q3", "text": "none?"}]
    for name, rows in (("corpus", documents), ("queries", questions)):
        write_lines(folder / f"{name}.jsonl", *(row | {"language": "en"} for row in rows))
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
    task = read_beir(folder)
    assert task.name == "nfcorpus"
    assert list(task.candidates["text"]) == ["Rome A city.", "Bread."]
    assert list(task.queries["id"]) == ["q1"]
    assert task.relevance.to_dict("records") == [{"query": "q1", "candidate": "d1", "gain": 2}]


def test_language_is_needed_and_checked(folder):
    write_lines(folder / "corpus.jsonl", {"_id": "d1", "text": "Rome"})
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: 'language' must be a text that is not empty, found None"):
        read_beir(folder)
    write_lines(folder / "corpus.jsonl", {"_id": "d1", "text": "Rome", "language": "english"})
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 1: 'english' is no code of a language .did you mean 'en'"):
        read_beir(folder)


def test_judgements_that_are_not_there_are_named(folder):
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(InputError, match=r"test\.tsv: no such file"):
        read_beir(folder)


def test_a_folder_that_is_not_there_is_told_as_such(folder):
    with pytest.raises(InputError, match=r"nfcorpsu: no such folder .did you mean 'nfcorpus'"):
        read_beir(folder.with_name("nfcorpsu"))
    with pytest.raises(InputError, match=r"nonexist: no such folder\.$"):
        hy.read_task(f"beir:{folder.parent / 'nonexist'}")
    with pytest.raises(InputError, match=r"nonexist: no such folder\.$"):
        hy.read_task(f"squad:{folder.parent / 'nonexist'}")


@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_a_file_without_texts_is_told_as_such(folder, name):
    write_lines(folder / f"{name}.jsonl", "", "")
    with pytest.raises(InputError, match=rf"{name}\.jsonl: empty; expected"):
        read_beir(folder)


@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_an_id_that_stands_twice_is_told_with_its_lines(folder, name):
    write_lines(folder / f"{name}.jsonl", *({"_id": id_, "text": "A", "language": "en"} for id_ in (7, "8", "7")))
    with pytest.raises(InputError, match=rf"{name}\.jsonl, line 3: _id '7' stands in line 1, too; ids must be unique"):
        read_beir(folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["q1\td1\t1"], r"test\.tsv, line 1: expected the header"),
        (["query-id\tcorpus-id\tscore", "q1\td1\t1", "q1 d2 1"], r"test\.tsv, line 3: expected query id, corpus id and a number"),
        (["query-id\tcorpus-id\tscore", "q1\td1\tyes"], r"test\.tsv, line 2"),
        (["query-id\tcorpus-id\tscore", "q1\td1\tnan"], r"test\.tsv, line 2"),
        (
            ["query-id\tcorpus-id\tscore", "q1\td9\t1"],
            r"test\.tsv, line 2: 1 of 1 judgements name no query or document.*'d9'.*different sets",
        ),
        (["query-id\tcorpus-id\tscore", '"q1"\t"d1"\t1'], r"test\.tsv, line 2: .* Take the quotes or blanks round the ids away"),
        (["query-id\tcorpus-id\tscore", "q1\td1\t0"], r"test\.tsv: no judgement with a score above 0"),
    ],
)
def test_bad_qrels_are_named(folder, rows, message):
    write_lines(folder / "qrels" / "test.tsv", *rows)
    with pytest.raises(InputError, match=message):
        read_beir(folder)


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
    german = task.relevance[task.relevance["candidate"] != "zh:0:0"]
    own = RetrievalTask("own", task.queries, task.candidates.replace("zh:0:0", "de:q1"), german)
    with pytest.raises(InputError, match="'de:q1' is a query and a candidate; rename one"):
        write_beir(own, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_gains_are_read_back_to_the_last_digit(tmp_path):
    task, gains = small_task(), [1234567.5, 0.1 + 0.2, 3.0]
    write_beir(RetrievalTask("graded", task.queries, task.candidates, task.relevance.assign(gain=gains)), tmp_path)
    assert (tmp_path / "qrels" / "test.tsv").read_text().endswith("\t3\n"), "BEIR's own readers take whole numbers"
    assert read_beir(tmp_path).relevance["gain"].tolist() == gains


LANGUAGES = ("de", "en", "es")


def parallel_folder(folder, shared: bool, **of_query):
    """Two questions in three languages; a passage in one language answers all three, or one in each language that names its group."""
    passages = [{"_id": f"p{n}", "text": f"passage {n}", "language": "en"} for n in (1, 2)]
    if not shared:
        passages = [
            {"_id": f"{code}p{n}", "text": f"passage {n}", "language": code, "group": f"p{n}"} for n in (1, 2) for code in LANGUAGES
        ]
    asked = [(f"{code}{n}", code, n) for n in (1, 2) for code in LANGUAGES]
    queries = [{"_id": id_, "text": "?", "language": code, **{k: v(id_) for k, v in of_query.items()}} for id_, code, _ in asked]
    judged = [f"{id_}\t{'' if shared else code}p{n}\t1" for id_, code, n in asked]
    write_lines(folder / "corpus.jsonl", *passages)
    write_lines(folder / "queries.jsonl", *queries)
    write_lines(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", *judged)
    return folder


@pytest.mark.parametrize("shared", [True, False])
def test_questions_that_look_like_translations_and_name_no_group_are_told(tmp_path, shared):
    task = read_beir(parallel_folder(tmp_path, shared))
    said = unnamed_groups(task)
    assert said.startswith("6 of 6 queries name no `group` and share all relevant passages") and "an n up to 3 times too large" in said
    with pytest.warns(UserWarning, match="mine: 6 of 6 queries name no `group`"):
        reading.task_sizes({"mine": task})
    assert said in hy.evaluate("BM25", task).notes


@pytest.mark.filterwarnings("error")
def test_questions_that_name_their_group_are_not(tmp_path):
    task = read_beir(parallel_folder(tmp_path, True, group=lambda id_: f"q{id_[2:]}"))
    assert unnamed_groups(task) == "" and len(reading.task_sizes({"mine": task}))
    assert not [note for note in hy.evaluate("BM25", task).notes if "group" in note]


@pytest.mark.parametrize("languages", [["en", "en", "en"], ["en", "en", "de"]])
def test_questions_of_one_language_on_one_passage_and_of_another_on_others_are_not(tmp_path, languages):
    write_lines(tmp_path / "corpus.jsonl", *({"_id": f"p{n}", "text": f"passage {n}", "language": "en"} for n in range(3)))
    write_lines(tmp_path / "queries.jsonl", *({"_id": f"q{n}", "text": "?", "language": code} for n, code in enumerate(languages)))
    write_lines(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q0\tp0\t1", "q1\tp0\t1", "q2\tp0\t1", "q2\tp2\t1")
    assert unnamed_groups(read_beir(tmp_path)) == ""


def test_judgements_of_what_is_not_there_are_left_out_and_counted(folder):
    write_lines(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q1\td1\t1", "q2\td2\t1", "q3\td9\t1")
    with pytest.warns(UserWarning, match=r"test\.tsv, line 4: 1 of 3 judgements name no .*'q3', 'd9'.; they are left out"):
        assert list(read_beir(folder).queries["id"]) == ["q1", "q2"]


def test_the_last_of_contradicting_judgements_holds(folder):
    lines = ("query-id\tcorpus-id\tscore", "q1\td1\t1", "q2\td2\t1", "q1\td1\t0", "q2\td2\t1")
    write_lines(folder / "qrels" / "test.tsv", *lines)
    with pytest.warns(UserWarning, match=r"test\.tsv, line 4: judged before, and otherwise; the last judgement holds"):
        assert read_beir(folder).relevance.to_dict("records") == [{"query": "q2", "candidate": "d2"}]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(ids=st.lists(st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1), min_size=2, unique=True))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back_for_any_id(tmp_path_factory, end, ids):
    ids, folder = [id_ for id_ in ids if id_.strip()], tmp_path_factory.mktemp("any")
    if not ids:
        return
    texts = pd.DataFrame({"id": ids, "group": ids, "language": "de", "text": [f"text {n}" for n in range(len(ids))]})
    relevance = pd.DataFrame({"query": ids, "candidate": ids[::-1], "gain": [1.0 + n for n in range(len(ids))]})
    task = RetrievalTask("any", texts, texts, relevance, skip_own=True)
    write_beir(task, folder)
    for path in folder.rglob("*.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    again = read_beir(folder)
    pd.testing.assert_frame_equal(again.queries, task.queries)
    assert set(again.relevance[["query", "candidate"]].itertuples(index=False)) == set(
        relevance[["query", "candidate"]].itertuples(index=False)
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_folder_and_the_same_set_searched_give_trec_evals_numbers(tmp_path, seed):
    """BEIR's protocol: gains, negative judgements as 0, the question's own document left out; `mteb:` measures by ir-measures."""
    rng = np.random.default_rng(seed)
    texts = [f"text {n}" for n in range(30)]
    write_lines(tmp_path / "corpus.jsonl", *({"_id": f"a{n}", "text": text, "language": "en"} for n, text in enumerate(texts)))
    write_lines(tmp_path / "queries.jsonl", *({"_id": f"a{n}", "text": texts[n], "language": "en"} for n in range(12)))
    judged = [
        (f"a{q}", f"a{d}", rng.integers(-1, 4)) for q in range(12) for d in range(30) if q != d and (rng.random() < 0.3 or d == q + 1)
    ]
    judged = [(q, d, int(gain) if d != f"a{int(q[1:]) + 1}" else 1) for q, d, gain in judged]
    write_lines(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judged))
    task = read_beir(tmp_path)
    candidates = normalize(rng.standard_normal((30, 8))).astype(np.float32)
    vectors = {row["id"]: candidates[n] for n, row in task.candidates.iterrows()}
    queries = np.stack([vectors[id_] for id_ in task.queries["id"]])
    ours = per_query(rank_task(dot_scores(queries, candidates), task), task).set_index(["setting", "query"])
    corpus = Dataset.from_dict({"id": list(task.candidates["id"]), "text": list(task.candidates["text"])})
    qrels = pd.DataFrame(judged, columns=["query", "candidate", "relevance"])
    searches = (Search("en", "en", "c", task.queries, qrels),)
    search = SearchTask("s", ("nDCG@10", "R@10", "AP@30", "RR@30"), searches, lambda _: corpus, skip_own=True)
    theirs = evaluate_search(search, vector_ranker(lambda _: queries, lambda *_: candidates), 30)
    assert (queries @ candidates.T).argmax(axis=1).tolist() == [list(task.candidates["id"]).index(id_) for id_ in task.queries["id"]]
    for name, other in {"nDCG@10": "nDCG@10", "R@10": "R@10", "AP": "AP@30", "RR": "RR@30"}.items():
        np.testing.assert_allclose(ours.loc["monolingual", name], theirs[other], atol=1e-12, err_msg=name)
        np.testing.assert_allclose(ours.loc["multilingual", name], theirs[other], atol=1e-12, err_msg=name)
