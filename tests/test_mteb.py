"""A trained encoder's folder runs in mteb as it is, and scores there in each of our settings what it scores here."""

import json
from collections import defaultdict

import pytest

import hybridir_utils as hy
from hybridir_utils.data.batching import plan_batches
from hybridir_utils.encode.encoding import open_encoder
from hybridir_utils.tasks.as_mteb import SETTINGS, tag_of_mteb
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
    model = open_encoder(trained)
    assert model.prompts["query"] == "Query: "
    tasks = hy.mteb_tasks(task)
    assert [each.metadata.name for each in tasks] == ["small-r-Mo", "small-r-Cr", "small-r-Mul"]
    assert tasks[1].metadata.eval_langs["ar-th"] == ["ara-Arab", "tha-Thai"] and len(tasks[1].metadata.eval_langs) == 6
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
