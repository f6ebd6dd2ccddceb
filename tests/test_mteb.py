"""A trained encoder's folder runs in mteb as it is, and scores there in each of our settings what it scores here; retrieval sets of MTEB
open through mteb's own tasks, here from folders in their layouts.
"""

import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hub_sets import FACTS, retrieval_parts, write_parts

import hybridir_utils as hy
from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data.batching import plan_batches
from hybridir_utils.data.register import Request, data_fingerprint, read_task
from hybridir_utils.encode.opening import open_model
from hybridir_utils.tasks.mteb_tasks import SETTINGS, mteb_set, tag_of_mteb
from hybridir_utils.tasks.retrieval_task import RetrievalTask
from hybridir_utils.train.training import TrainingSettings, save_encoder, train_encoder

mteb = pytest.importorskip("mteb", reason="mteb is not installed (pip install mteb)")


@pytest.fixture(scope="module")
def trained(tiny_base, tiny_pairs, tmp_path_factory):
    """Folder of an encoder after a few steps, with its prompts."""
    folder = tmp_path_factory.mktemp("mteb") / "encoder"
    plan = plan_batches(tiny_pairs, "hybrid", alpha=0.5, steps=3, batch_size=4, seed=0)
    model, history = train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings())
    folder.mkdir()
    save_encoder(model, folder, defaultdict(dict, title="tiny"), history)
    return folder


@pytest.fixture(scope="module")
def task(tiny_pairs, tmp_path_factory):
    """A pool in the files of XQuAD-R: paragraphs of three sentences in three languages, questions to two of them; Thai lacks some."""
    folder, words = tmp_path_factory.mktemp("small") / "small-r", tiny_pairs.to_pandas().drop_duplicates(["language", "passage"])
    folder.mkdir()
    for language in ("ar", "de", "th"):
        texts, paragraphs = words[words["language"] == language]["passage"].tolist(), []
        for n in range(8 if language != "th" else 6):
            sentences = [texts[(3 * n + k) % len(texts)] + "." for k in range(3)]
            starts = [0, len(sentences[0]) + 1, len(sentences[0]) + len(sentences[1]) + 2]
            breaks = [[start, start + len(sentence)] for start, sentence in zip(starts, sentences, strict=True)]
            qas = [
                {"id": f"q{n}-{k}", "question": f"{sentences[k][:-3]}?", "answers": [{"text": sentences[k][:4], "answer_start": starts[k]}]}
                for k in (0, 2)
            ]
            paragraphs.append({"context": " ".join(sentences), "qas": qas, "sentences": sentences, "sentence_breaks": breaks})
        (folder / f"{language}.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    return hy.read_task(folder)


def test_mteb_scores_our_tasks_as_we_do_in_each_setting(trained, task):
    model = open_model(trained)
    assert model.prompts["query"] == "Query: "
    tasks = hy.mteb_tasks(task)
    assert [each.metadata.name for each in tasks] == ["small-r-Mo", "small-r-Cr", "small-r-Mul"]
    assert tasks[1].metadata.eval_langs["ar-th"] == ["ara-Arab", "tha-Thai"] and len(tasks[1].metadata.eval_langs) == 6
    assert_scored_alike(model, task, tasks)


def test_gains_and_questions_that_stand_in_the_pool_count_in_mteb_too(trained, task):
    """Graded judgements, and each question also a document under its own id, the first of its list if it were not left out."""
    pool = pd.concat([task.candidates, task.queries])
    gains = 1 + np.arange(len(task.relevance)) % 3
    graded = RetrievalTask("graded", task.queries, pool, task.relevance.assign(gain=gains), skip_own=True)
    assert_scored_alike(open_model(trained), graded, hy.mteb_tasks(graded))
    halves = RetrievalTask("halves", task.queries, pool, task.relevance.assign(gain=gains / 2))
    with pytest.raises(InputError, match=r"mteb takes whole numbers as gains, found 0\.5"):
        hy.mteb_tasks(halves)


def assert_scored_alike(model, task, tasks):
    found = mteb.evaluate(model, tasks, cache=None, overwrite_strategy="always", co2_tracker=False, show_progress_bar=False)
    ours = hy.evaluate(model, task)
    for each, (end, setting) in zip(found, SETTINGS.items(), strict=True):
        theirs = {scores["hf_subset"]: scores for scores in each.scores["test"]}
        rows = ours.scores[(ours.scores["setting"] == setting) & (ours.scores["query_language"] != "macro")]
        for metric, name in (("nDCG@10", "ndcg_at_10"), ("mAP", "map_at_1000"), ("R@10", "recall_at_10")):
            values = rows[rows["metric"] == metric].set_index(["query_language", "candidate_language"])["value"]
            named = {f"{asked}-{pool}" if end == "Cr" else asked: value for (asked, pool), value in values.items()}
            assert {subset: scores[name] for subset, scores in theirs.items()} == pytest.approx(named, abs=1e-4), (end, metric)
        macro = ours.table().loc["plain", f"{end}. mAP"]
        assert 0 < macro < 1 and each.get_score() == pytest.approx(macro, abs=1e-4)


def test_a_setting_that_a_task_lacks_is_no_task(task):
    german = task.queries["language"] == "de"
    own = task.relevance[task.relevance["query"].str.startswith("de") & task.relevance["candidate"].str.startswith("de")]
    pool = task.candidates[task.candidates["language"] == "de"]
    alone = RetrievalTask("alone", task.queries[german], pool, own)
    assert [each.metadata.name for each in hy.mteb_tasks(alone)] == ["alone-Mo", "alone-Mul"]
    assert [tag_of_mteb(code) for code in ("zh", "zh-TW", "no")] == ["zho-Hans", "zho-Hant", "nor-Latn"]


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
    with pytest.raises(InputError, match=r"mteb/nfcorpus@.*: no folder here; the hub cannot be reached"):
        read_task("mteb:NFCorpus")
