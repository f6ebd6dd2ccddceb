"""Retrieval sets of MTEB open through mteb's own tasks, here from folders in their layouts."""

import pandas as pd
import pytest
from hub_sets import FACTS, retrieval_parts, write_parts

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data.register import Request, data_fingerprint, read_task
from hybridir_utils.tasks.mteb_tasks import mteb_set

pytest.importorskip("mteb", reason="mteb is not installed (pip install mteb)")


def beir(folder, name):
    parts = retrieval_parts("", "test", "wet")
    return write_parts(
        folder / name, {("corpus" if c == "corpus" else c, "test" if c == "default" else c): rows for (c, _), rows in parts.items()}
    )


def test_a_set_of_beir_in_english(tmp_path):
    beir(tmp_path, "NFCorpus")
    task = read_task("mteb:NFCorpus", Request(task_languages=[], data_dir=str(tmp_path)))
    assert (task.name, task.measures, task.corpora, task.skip_own) == ("NFCorpus", ("nDCG@10", "R@100"), ("default",), False)
    (search,) = task.searches
    assert (search.query_language, search.candidate_language, search.setting) == ("en", "en", "monolingual")
    assert list(search.queries["id"]) == ["1", "2"] and search.queries["group"][0] == "default:1"
    assert search.qrels.query("query == '1'").set_index("candidate")["relevance"].to_dict() == {
        "d0": 2,
        "d1": 1,
        "d4": 0,
        "not-in-the-pool": 0,
    }
    assert task.open_corpus("default")["text"][:] == [f"{fact} wet {fact} is wet" for fact in FACTS]


def test_questions_that_stand_in_the_corpus(tmp_path):
    beir(tmp_path, "ArguAna")
    assert read_task("mteb:ArguAna", Request(task_languages=[], data_dir=str(tmp_path))).skip_own


def test_subsets_of_the_asked_languages_and_the_main_score(tmp_path):
    write_parts(tmp_path / "NeuCLIR2022Retrieval", retrieval_parts("fas", "test") | retrieval_parts("rus", "test"))
    task = read_task("mteb:NeuCLIR2022Retrieval", Request(task_languages=["rus"], data_dir=str(tmp_path)))
    assert task.measures == ("nDCG@10", "R@100", "nDCG@20") and task.corpora == ("rus",)
    assert task.searches[0].query_language == "ru"
    with pytest.raises(UnknownName, match=r"unknown language of NeuCLIR2022Retrieval 'rue' .did you mean 'ru'"):
        read_task("mteb:NeuCLIR2022Retrieval", Request(task_languages=["rue"], data_dir=str(tmp_path)))


def test_a_set_with_a_layout_of_its_own(tmp_path):
    rows = [(f"l{n // 2}", n % 2 + 1, f"passage {n // 2}", f"question {n}") for n in range(4)]
    frame = pd.DataFrame(rows, columns=["link", "question_number", "flores_passage", "question"])
    write_parts(tmp_path / "BelebeleRetrieval", {("deu_Latn", "test"): frame, ("fra_Latn", "test"): frame})
    (search,) = read_task("mteb:BelebeleRetrieval", Request(task_languages=["de"], data_dir=str(tmp_path))).searches
    assert search.label == "de -> de in deu_Latn-deu_Latn" and len(search.queries) == 4
    with pytest.raises(InputError, match=r"not laid out as mteb's task BelebeleRetrieval expects \(BuilderConfig 'ars_Arab' not found"):
        read_task("mteb:BelebeleRetrieval", Request(task_languages=["ars"], data_dir=str(tmp_path)))


def test_where_a_set_lies_and_what_was_used(tmp_path):
    entry = mteb_set("mteb:NFCorpus")
    assert (entry.name, entry.hub, entry.split) == ("NFCorpus", "mteb/nfcorpus", "test") and len(entry.revision) == 40
    assert mteb_set("mteb:NFCorpus@abc").revision == "abc"
    before = data_fingerprint(("mteb:NFCorpus",), str(tmp_path))
    assert before == data_fingerprint(("mteb:NFCorpus",), str(tmp_path)) != data_fingerprint(("mteb:NFCorpus@" + "0" * 40,), str(tmp_path))
    beir(tmp_path, "NFCorpus")
    assert data_fingerprint(("mteb:NFCorpus",), str(tmp_path)) != before


@pytest.mark.parametrize(("name", "near"), [("NFCorpu", "NFCorpus"), ("XFlickr30kCoT2IRetrieval", None), ("Banking77Classification", None)])
def test_no_text_retrieval_set_of_mteb(name, near):
    with pytest.raises(InputError, match=rf"mteb has no text retrieval set '{name}'" + (f" .did you mean '{near}'" if near else "")):
        read_task(f"mteb:{name}")


def test_no_hub_no_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"mteb/nfcorpus@.*: the hub cannot be reached"):
        read_task("mteb:NFCorpus")
