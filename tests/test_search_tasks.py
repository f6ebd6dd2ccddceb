"""Public search tasks open from folders laid out as on the hub; what is wrong with one is said."""

import json
import zipfile

import pandas as pd
import pytest
from hub_sets import retrieval_parts, write_mkqa, write_parts

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.files import read_jsonl
from hybridir_utils.data.register import Request, is_search_task, read_task
from hybridir_utils.tasks.public_sets import EVALUATION_SETS
from hybridir_utils.tasks.searched_task import Search, corpus_rows, passages, relevant_rows, uniform


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """MIRACL in Swahili and Yoruba, NeuCLIR in Persian and Russian, and MKQA in two languages, as the hub has them."""
    folder = tmp_path_factory.mktemp("sets")
    parts = retrieval_parts("sw", "dev", "maji") | retrieval_parts("yo", "dev", "omi", id_column="_id")
    write_parts(folder / "miracl", parts)
    write_parts(folder / "neuclir-documents", retrieval_parts("fas", "test", "آب") | retrieval_parts("rus", "test", "вода"), kind="jsonl")
    bench = folder / "neuclir" / "data"
    bench.mkdir(parents=True)
    (bench / "news.eng.tsv").write_text('7\tnews of "water"\n8\tnews of\u2028stone\n9\tnever judged\n', encoding="utf-8")
    for code in ("fas", "rus"):
        (bench / f"qrels.{code}.gains.txt").write_text("7 0 d0 3\n7 0 d1 1\n8 0 d4 0\n", encoding="utf-8")
    rows = [
        {"id": 5, "lang": "x", "question": "who sings", "answers": ["Dave “Edmunds”", None]},
        {"id": 6, "lang": "x", "question": "how many", "answers": [" "]},
    ]
    write_mkqa(folder / "mkqa", {"en": rows, "th": rows, "zh_cn": rows})
    corpus = pd.DataFrame({"_id": ["p0", "p1"], "title": ["Dave Edmunds", None], "text": ["SANG – it…", "None"]})
    write_parts(folder / "nq", {("corpus", "corpus"): corpus}, kind="jsonl")
    return str(folder)


def test_miracl_is_searched_within_each_language(data_dir):
    task = read_task("miracl", Request(task_languages=["yo", "sw"], data_dir=data_dir))
    assert (task.name, task.measures, task.corpora) == ("MIRACL", ("nDCG@10", "R@100"), ("yo", "sw"))
    for search in task.searches:
        assert search.setting == "monolingual" and list(search.queries["id"]) == ["1", "2"]  # question 3 has no relevant passage
        assert list(search.queries["group"]) == [f"{search.query_language}:1", f"{search.query_language}:2"]
        assert search.qrels.iloc[0].to_dict() == {"query": "1", "candidate": "d0", "relevance": 2}
    corpus = task.open_corpus("yo")
    assert corpus.column_names == ["id", "text"] and corpus[1] == {"id": "d1", "text": "fire omi fire is wet"}


def test_corpora_are_memory_mapped_and_joined_once(data_dir):
    task = read_task("miracl", Request(task_languages=["sw"], data_dir=data_dir))
    first, second = (task.open_corpus("sw") for _ in range(2))
    assert first.cache_files and first.cache_files == second.cache_files


def test_neuclir_asks_in_english(data_dir):
    task = read_task("neuclir", Request(task_languages=["fa", "ru"], data_dir=data_dir))
    assert task.measures[0] == "nDCG@20"
    assert [(search.query_language, search.candidate_language, search.setting) for search in task.searches] == [
        ("en", "fa", "cross-lingual"), ("en", "ru", "cross-lingual"),
    ]  # fmt: skip
    assert task.searches[0].queries[["id", "group", "text"]].to_numpy().tolist() == [["7", "7", 'news of "water"']]
    assert task.searches[0].qrels["relevance"].tolist() == [3, 1, 0]
    assert task.open_corpus("rus")["text"][0] == "water вода water is wet"


def test_mkqa_asks_in_every_language_and_searches_english(data_dir):
    task = read_task("mkqa", Request(task_languages=["zh", "th"], data_dir=data_dir))
    assert task.measures == ("Recall@20", "Recall@100") and task.corpora == ("nq",)
    assert [(search.query_language, search.candidate_language) for search in task.searches] == [("zh", "en"), ("th", "en")]
    search = task.searches[0]
    assert search.queries[["id", "group", "text"]].to_numpy().tolist() == [["5", "5", "who sings"]]  # 6 has no answer with a token
    assert search.answers == {"5": ["Dave “Edmunds”"]}
    assert task.open_corpus("nq")["text"][:] == ["dave edmunds sang - it...", "none"]


def test_uniform_marks():
    assert uniform("A\u00adB “x” ‘y’ 1–2 a⁄b … ′ \x01″Ｚ") == "ab \"x\" 'y' 1-2 a/b ... ' ''ｚ"
    assert uniform("end . . . now") == "end ... now"


def test_mkqa_from_the_real_questions(real_data, tmp_path):
    """MKQA's own rows in BGE-M3's archive: their ids are shared by the languages."""
    rows = {
        code: [row | {"id": row["id"].split("_")[0]} for _, row in read_jsonl(real_data / "mkqa-questions" / f"{code}.jsonl")]
        for code in ("ar", "zh_cn")
    }
    write_mkqa(tmp_path / "mkqa", rows)
    arabic, chinese = read_task("mkqa", Request(task_languages=["ar", "zh"], data_dir=str(tmp_path))).searches
    assert len(arabic.queries) > 1700 and set(arabic.queries["group"]) & set(chinese.queries["group"])


@pytest.mark.parametrize(
    ("name", "language", "near"),
    [("miracl", "ywo", "yo"), ("neuclir", "faa", "fa"), ("mkqa", "zh-SG", "zh-TW"), ("miracl-full", "vi", None)],
)
def test_a_language_the_set_lacks(name, language, near, data_dir):
    with pytest.raises(UnknownName, match=rf"unknown language of .* '{language}'" + (rf" \(did you mean '{near}'" if near else "")):
        read_task(name, Request(task_languages=[language], data_dir=data_dir))


def test_names():
    assert all(map(is_search_task, ("miracl", "miracl-full", "mkqa", "neuclir", "mteb:NFCorpus")))
    assert not any(map(is_search_task, ("xquad-r", "belebele", "beir:folder", "mteb")))
    with pytest.raises(UnknownName, match="did you mean 'miracl'"):
        read_task("mircal")


def test_a_language_the_local_folder_lacks(data_dir):
    with pytest.raises(UnknownName, match=r"unknown config of miracl 'de-queries'.*sw-corpus"):
        read_task("miracl", Request(task_languages=["de"], data_dir=data_dir))


def test_without_the_expected_columns(tmp_path):
    parts = retrieval_parts("sw", "dev")
    parts["sw-qrels", "dev"] = parts["sw-qrels", "dev"].rename(columns={"corpus-id": "corpusid"})
    write_parts(tmp_path / "miracl", parts)
    with pytest.raises(
        InputError, match=r"miracl, sw-qrels: no column 'corpus-id' .did you mean 'corpusid'.*mteb/MIRACLRetrievalHardNegatives@d7d94fa"
    ):
        read_task("miracl", Request(task_languages=["sw"], data_dir=str(tmp_path)))


def test_judgements_of_unknown_questions_and_passages(tmp_path, data_dir):
    parts = retrieval_parts("sw", "dev")
    parts["sw-qrels", "dev"].loc[6] = ["99", "d0", 1]
    write_parts(tmp_path / "miracl", parts)
    with pytest.raises(InputError, match=r"sw -> sw in sw: the judgements name question '99', which is not among its 3 questions"):
        read_task("miracl", Request(task_languages=["sw"], data_dir=str(tmp_path)))

    task = read_task("miracl", Request(task_languages=["sw"], data_dir=data_dir))
    search, rows = task.searches[0], corpus_rows(task.open_corpus("sw"), ["d4", "d0", "d1", "d2", "not-in-the-pool"], "MIRACL")
    assert rows.to_dict() == {"d0": 0, "d1": 1, "d2": 2, "d4": 4}
    table = relevant_rows(search, rows, task.name)
    assert table.to_numpy().tolist() == [["1", 0, 2], ["1", 1, 1], ["1", 4, 0], ["2", 2, 1]]  # nothing answers 3
    with pytest.warns(UserWarning, match=r"1 passages judged relevant are not in the corpus, such as 'd2' \(question '2'\); they are left"):
        assert relevant_rows(search, rows.drop("d2"), task.name).to_numpy().tolist() == [["1", 0, 2], ["1", 1, 1], ["1", 4, 0]]
    with pytest.raises(InputError, match=r"3 passages judged relevant are not in the corpus, such as 'd0'.*different revisions"):
        relevant_rows(search, rows.drop(["d0", "d1", "d2"]), task.name)


def test_rows_of_ids_over_chunks(monkeypatch):
    from datasets import Dataset

    monkeypatch.setattr("hybridir_utils.base.mapped.CHUNK", 7)
    ids = [f"{i * 37 % 100}" for i in range(100)]
    corpus = passages(Dataset.from_dict({"id": ids, "text": ids}))
    rows = corpus_rows(corpus, ["5", "99", "0", "elsewhere"], "here")
    assert rows.to_dict() == {id_: ids.index(id_) for id_ in ("0", "5", "99")}
    with pytest.raises(InputError, match="here: passage '5' stands twice"):
        corpus_rows(passages(Dataset.from_dict({"id": [*ids, "5"], "text": [*ids, ""]})), ["5"], "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: pd.concat([frame, frame]), "question id 'a' stands twice"),
        (lambda frame: frame.assign(text=" "), "question 'a' has no text"),
        (lambda frame: frame.assign(id="b"), "the judgements name question 'a', which is not among its 1 questions"),
    ],
)
def test_questions_are_checked(change, message):
    frame = pd.DataFrame({"id": ["a"], "group": ["a"], "language": ["en"], "text": ["who"]})
    with pytest.raises(InputError, match=message):
        Search("en", "en", "c", change(frame), answers={"a": ["x"]})
    qrels = pd.DataFrame({"query": ["a"], "candidate": ["d"], "relevance": [0]})
    with pytest.raises(InputError, match="none of 1 questions has a relevant passage"):
        Search("en", "en", "c", frame, qrels)


def test_broken_files(tmp_path):
    (tmp_path / "mkqa").mkdir()
    archive = tmp_path / "mkqa" / "MKQA_test-data.zip"
    archive.write_bytes(b"PK half")
    with pytest.raises(InputError, match=r"MKQA_test-data.zip: cut off or no zip archive"):
        read_task("mkqa", Request(task_languages=["ar"], data_dir=str(tmp_path)))
    write_mkqa(tmp_path / "mkqa", {"ar": [{"id": 1, "question": "x"}]})
    with pytest.raises(InputError, match=r"ar.jsonl, line 1: key 'answers' is missing"):
        read_task("mkqa", Request(task_languages=["ar"], data_dir=str(tmp_path)))
    with pytest.raises(InputError, match=r"no da.jsonl in it; found ar.jsonl"):
        read_task("mkqa", Request(task_languages=["da"], data_dir=str(tmp_path)))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ar.jsonl", json.dumps({"id": 1, "question": "x", "answers": []}) + '\n{"id": 2')
    with pytest.raises(InputError, match=r"ar.jsonl, line 2, column \d+: no valid JSON"):
        read_task("mkqa", Request(task_languages=["ar"], data_dir=str(tmp_path)))
    data = tmp_path / "neuclir" / "data"
    data.mkdir(parents=True)
    with pytest.raises(InputError, match=r"no file data/news.eng.tsv of .neuclir.; found no files. .* hf download neuclir/bench"):
        read_task("neuclir", Request(task_languages=["fa"], data_dir=str(tmp_path)))
    (data / "news.eng.tsv").write_text("7\ta\n8 b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"news.eng.tsv, line 2: expected 2 columns \(id, text\), found 1"):
        read_task("neuclir", Request(task_languages=["fa"], data_dir=str(tmp_path)))
    (data / "news.eng.tsv").write_text("7\ta\n", encoding="utf-8")
    (data / "qrels.fas.gains.txt").write_text("7 0 d0 yes\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a whole number as gain; found '7 0 d0 yes'"):
        read_task("neuclir", Request(task_languages=["fa"], data_dir=str(tmp_path)))


def test_the_catalogue_names_a_commit_and_what_is_used(tmp_path):
    for name, entry in EVALUATION_SETS.items():
        assert entry.licence
        if not entry.hub:
            continue
        about = {"set": name, "licence": entry.licence, "revision": entry.revision}
        assert entry.hub.count("/") == 1 and entry.languages
        if name != "neuclir":  # the branch of this one is resolved when it is read
            assert entry.record() == about | {"hub": entry.hub, "commit": entry.revision}
    write_parts(tmp_path / "miracl", retrieval_parts("sw", "dev"))
    before = EVALUATION_SETS["miracl"].record(str(tmp_path))
    assert (before["folder"], before["licence"]) == ("miracl", "CC BY-SA 4.0") and before == EVALUATION_SETS["miracl"].record(str(tmp_path))
    (tmp_path / "miracl" / "README.md").write_text("", encoding="utf-8")
    assert EVALUATION_SETS["miracl"].record(str(tmp_path)) != before


def test_no_hub_no_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("miracl", "neuclir", "mkqa"):
        with pytest.raises(InputError, match="the hub cannot be reached"):
            read_task(name)
