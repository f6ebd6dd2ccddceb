"""A trained encoder's folder runs in mteb as it is, and scores there what it scores here."""

from collections import defaultdict

import pytest
from datasets import Dataset

from hybridir_utils.data.batching import plan_batches
from hybridir_utils.encode.encoding import encode_task, open_encoder
from hybridir_utils.rank.metrics import per_query
from hybridir_utils.rank.ranking import dot_scores, rank_task
from hybridir_utils.tasks.retrieval_task import task_from_pairs
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


def in_mteb(task):
    """The task as a retrieval task of mteb, held in memory."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Tiny(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="TinyRetrieval",
            description="Made up.",
            reference=None,
            dataset={"path": "none", "revision": "none"},
            type="Retrieval",
            category="t2t",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *rest, **options):
            relevant = {query: dict.fromkeys(rows["candidate"], 1) for query, rows in task.relevance.groupby("query")}
            sides = (("queries", task.queries), ("corpus", task.candidates))
            parts = {side: Dataset.from_pandas(frame[["id", "text"]]) for side, frame in sides}
            self.dataset = {"default": {"test": {**parts, "relevant_docs": relevant, "top_ranked": None}}}
            self.data_loaded = True

    return Tiny()


def test_mteb_gives_our_ndcg(trained, tiny_pairs, tmp_path):
    task = task_from_pairs("tiny", tiny_pairs)
    model = open_encoder(trained)
    assert model.prompts["query"] == "Query: "
    results = mteb.evaluate(model, in_mteb(task), cache=None, overwrite_strategy="always", co2_tracker=False, show_progress_bar=False)
    theirs = results[0].scores["test"][0]["ndcg_at_10"]
    vectors = encode_task(model, task)
    table = per_query(rank_task(dot_scores(vectors.queries, vectors.candidates), task), task)
    ours = table[table["setting"] == "multilingual"]["nDCG@10"].mean()
    assert 0 < ours < 1 and theirs == pytest.approx(ours, abs=1e-4)
