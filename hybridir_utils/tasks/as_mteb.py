"""A retrieval task in LAReQA's three settings as tasks of mteb, so that `mteb.evaluate(model, tasks)` scores what is scored here.

A subset of mteb is what one average goes over: a language (Mo.), an ordered pair (Cr.), or the questions of a language in the pool of all
(Mul.); mteb's score of a task is the mean over its subsets, as a macro-average here. nDCG@10 is the same. mteb cuts rankings at 1,000, so
its `map_at_1000` is our mAP on pools up to that size, and less by what lies beyond, at most .001, on larger ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from langcodes import Language

from ..base.errors import InputError
from ..base.languages import script_of
from .retrieval_task import RetrievalTask

SPLIT = "test"
SETTINGS = {"Mo": "monolingual", "Cr": "cross-lingual", "Mul": "multilingual"}  # end of a task's name -> setting


def mteb_tasks(task: RetrievalTask) -> list:
    """mteb tasks `<name>-Mo`, `-Cr` and `-Mul`, of the settings that the task has; their data are held in memory.

    mteb encodes each subset by itself: wrap the model in `mteb.models.CachedEmbeddingWrapper` to encode every text once. Prompts are the
    model's own. Raises InputError where the package mteb is missing.
    """
    try:
        import mteb  # noqa: F401
    except ModuleNotFoundError:
        raise InputError("tasks for mteb need the package mteb; install it with `pip install mteb`.") from None
    parts = {end: dict(_subsets(task, setting)) for end, setting in SETTINGS.items()}
    return [_as_mteb(f"{task.name}-{end}", task, subsets) for end, subsets in parts.items() if subsets]


def _subsets(task: RetrievalTask, setting: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """(subset, (question language, pool)) with at least one answer; the pool of all languages is `all`."""
    answered = task.relevance.merge(task.queries[["id", "language"]], left_on="query", right_on="id")
    answered = answered.merge(task.candidates[["id", "language"]], left_on="candidate", right_on="id", suffixes=("_query", "_candidate"))
    pairs = sorted(set(zip(answered["language_query"], answered["language_candidate"], strict=True)))
    for asked, pool in pairs if setting != "multilingual" else dict.fromkeys((asked, "all") for asked, _ in pairs):
        if setting == "multilingual" or (asked == pool) == (setting == "monolingual"):
            yield (asked if setting != "cross-lingual" else f"{asked}-{pool}"), (asked, pool)


def _as_mteb(name: str, task: RetrievalTask, subsets: dict[str, tuple[str, str]]):
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class InThreeSettings(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=name.replace(" ", "-"),
            description="A retrieval task of HybridIR in one of LAReQA's settings (arXiv 2004.05484).",
            reference="https://arxiv.org/abs/2004.05484",
            dataset={"path": "held in memory", "revision": "none"},
            type="Retrieval",
            category="t2t",
            eval_splits=[SPLIT],
            eval_langs={subset: [tag_of_mteb(code) for code in sorted({*languages} - {"all"})] for subset, languages in subsets.items()},
            main_score="map_at_1000",
        )

        def load_data(self, *rest, **options) -> None:
            self.dataset = {subset: {SPLIT: _data(task, *languages)} for subset, languages in subsets.items()}
            self.data_loaded = True

    return InThreeSettings()


def _data(task: RetrievalTask, asked: str, pool: str) -> dict:
    """Questions of a language that have an answer in the pool, the pool, and the judgements between the two, as mteb holds them."""
    from datasets import Dataset

    queries = task.queries[task.queries["language"] == asked]
    candidates = task.candidates if pool == "all" else task.candidates[task.candidates["language"] == pool]
    relevant = task.relevance[task.relevance["query"].isin(queries["id"]) & task.relevance["candidate"].isin(candidates["id"])]
    queries = queries[queries["id"].isin(relevant["query"])]
    sides = {"queries": queries, "corpus": candidates}
    sides = {side: Dataset.from_pandas(frame[["id", "text"]], preserve_index=False) for side, frame in sides.items()}
    judged = {query: dict.fromkeys(rows["candidate"], 1) for query, rows in relevant.groupby("query")}
    return {**sides, "relevant_docs": judged, "top_ranked": None}


def tag_of_mteb(code: str) -> str:
    """mteb's tag of our language code, ISO 639-3 and script: `de` -> `deu-Latn`, `zh` -> `zho-Hans`."""
    return f"{Language.get(code).to_alpha3()}-{script_of(code)}"
