"""MTEB's retrieval sets read as tasks of ours, and our tasks given as MTEB's. Both need the package `mteb`.

`mteb:NAME` or `mteb:NAME@REVISION` is any retrieval set of MTEB, BEIR's sets of the hub among them: mteb's own task loads the data, so that
sets of every layout open, and it is searched and measured here (`read_mteb`).

A retrieval task in LAReQA's three settings becomes tasks of mteb, so that `mteb.evaluate(model, tasks)` scores what is scored here
(`mteb_tasks`). A subset of mteb is what one average goes over: a language (Mo.), an ordered pair (Cr.), or the questions of a language in
the pool of all (Mul.); mteb's score of a task is the mean over its subsets, as a macro-average here. nDCG@10 is the same. mteb cuts
rankings at 1,000, so its `map_at_1000` is our mAP on pools up to that size, and less by what lies beyond, at most .001, on larger ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pandas as pd
from langcodes import Language

from ..base.errors import InputError, did_you_mean
from ..base.hub import hub_errors, local_folder, split_revision
from ..base.languages import our_codes, pick_languages, script_of
from .public_sets import EvaluationSet
from .retrieval_task import TEXT_COLUMNS, RetrievalTask
from .searched_task import Search, SearchTask, passages

PREFIX = "mteb:"
SETTINGS = {"Mo": "monolingual", "Cr": "cross-lingual", "Mul": "multilingual"}  # end of a task's name -> setting
SPLIT = "test"
MAIN_SCORES = {"ndcg": "nDCG", "recall": "R", "mrr": "RR", "map": "AP"}


def read_mteb(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The search task of `mteb:NAME[@REVISION]`: nDCG@10, R@100 and the set's main score, on its test split (or its first).

    languages: our codes of the subsets to take; none: all. A subset across two languages is called by its name on both sides, as MTEB
    does not say which is the question's. A local folder `<data_dir>/<NAME>` takes the hub's place. Raises InputError when mteb is not
    there, the name is none of its text retrieval sets, or the hub cannot give it; UnknownName for a language.
    """
    entry, task = mteb_set(name), _task(name)
    folder = local_folder(entry.name, data_dir)
    place = {"path": str(folder or entry.hub), "revision": entry.revision}
    task.metadata = task.metadata.model_copy(update={"dataset": task.metadata.dataset | place})
    task._eval_splits = [entry.split]
    subsets = _subsets(task, entry.name, languages)
    task.hf_subsets = list(subsets)
    where = str(folder or entry.place)
    try:
        with hub_errors(where):
            task.load_data()
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{where}: not laid out as mteb's task {entry.name} expects ({error}). Take the revision that mteb names, or update mteb."
        ) from error
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    splits = {subset: task.dataset[subset][entry.split] for subset in subsets}
    searches = tuple(_search(entry.name, subset, codes, splits[subset]) for subset, codes in subsets.items())
    return SearchTask(entry.name, _measures(task), searches, lambda subset: passages(splits[subset]["corpus"]), task.ignore_identical_ids)


def mteb_set(name: str) -> EvaluationSet:
    """Where mteb says that the set of `mteb:NAME[@REVISION]` lies; its name is also that of a local folder."""
    task, (_, revision) = _task(name), split_revision(name)
    data, splits = task.metadata.dataset, task.metadata.eval_splits
    return EvaluationSet(
        name=task.metadata.name,
        hub=data["path"],
        revision=revision or data["revision"],
        split="test" if "test" in splits else splits[0],
        licence=task.metadata.license or "not stated",
    )


def mteb_sizes(name: str, languages: Sequence[str] = ()) -> pd.DataFrame:
    """language, passages, mean_chars, source of the corpora of `mteb:NAME`, by mteb's own statistics; nothing is fetched.

    Raises InputError and UnknownName as `read_mteb`, InputError where mteb does not know the size of each.
    """
    entry, task = mteb_set(name), _task(name)
    told = (task.metadata.descriptive_stats or {}).get(entry.split, {})
    by_subset = told.get("hf_subset_descriptive_stats") or {"default": told}
    sizes = {pair: by_subset.get(pair[0], {}) for pair in _subsets(task, entry.name, languages).items()}
    if not all(part.get("num_documents") and part.get("documents_text_statistics") for part in sizes.values()):
        raise InputError(f"{name}: mteb does not tell how large its corpora are.")
    rows = [
        (codes[1], part["num_documents"], part["documents_text_statistics"]["average_text_length"]) for (_, codes), part in sizes.items()
    ]
    return pd.DataFrame(rows, columns=["language", "passages", "mean_chars"]).assign(source="mteb")


def _package(name: str):
    """mteb itself; name: of what it is needed for. Raises InputError where it is missing."""
    try:
        import mteb
    except ModuleNotFoundError:
        raise InputError(f"{name}: needs the package mteb; install it with `pip install mteb`.") from None
    return mteb


def _task(name: str):
    """A fresh task object of mteb."""
    mteb = _package(name)
    wanted = split_revision(name.removeprefix(PREFIX))[0]
    known = mteb.get_tasks(task_types=["Retrieval"], modalities=["text"], exclusive_modality_filter=True, exclude_superseded=False)
    names = [task.metadata.name for task in known]
    if wanted not in names:
        raise InputError(f"{name}: mteb has no text retrieval set {wanted!r}{did_you_mean(wanted, names)} It has {len(names)} of them.")
    return mteb.get_task(wanted)


def _subsets(task, name: str, languages: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Subset -> (question language, passage language)."""
    there = task.metadata.hf_subsets_to_langscripts
    named = {subset: our_codes(codes) for subset, codes in there.items()}
    known = {subset: codes * 2 if len(codes) == 1 else (subset, subset) for subset, codes in named.items()}
    wanted = set(pick_languages(name, languages, sorted({code for codes in named.values() for code in codes})))
    picked = {subset: codes for subset, codes in known.items() if set(named[subset]) <= wanted}
    if not picked:
        raise InputError(f"{name}: no subset lies within {', '.join(sorted(wanted))}; its subsets: {', '.join(known)}.")
    return picked


def _search(name: str, subset: str, codes: tuple[str, str], data) -> Search:
    frame = data["queries"].select_columns(["id", "text"]).to_pandas()
    odd = frame["id"][~frame["text"].map(lambda text: isinstance(text, str))]
    if len(odd):
        raise InputError(f"{name}, {subset}: question {odd.iloc[0]!r} is not a text but a conversation; such sets are not searched here.")
    queries = frame.astype({"id": str}).assign(group=subset + ":" + frame["id"].astype(str), language=codes[0])
    rows = [(str(query), str(doc), int(score)) for query, docs in data["relevant_docs"].items() for doc, score in docs.items()]
    qrels = pd.DataFrame(rows, columns=["query", "candidate", "relevance"])
    return Search(*codes, subset, queries[TEXT_COLUMNS], qrels)


def _measures(task) -> tuple[str, ...]:
    found = re.fullmatch(r"(\w+)_at_(\d+)", task.metadata.main_score)
    main = [f"{MAIN_SCORES[found[1]]}@{found[2]}"] if found and found[1] in MAIN_SCORES else []
    return tuple(dict.fromkeys(["nDCG@10", "R@100", *main]))


def mteb_tasks(task: RetrievalTask) -> list:
    """mteb tasks `<name>-Mo`, `-Cr` and `-Mul`, of the settings that the task has; their data are held in memory.

    mteb encodes each subset by itself: wrap the model in `mteb.models.CachedEmbeddingWrapper` to encode every text once. Prompts are the
    model's own. Raises InputError where the package mteb is missing, and for gains that are no whole numbers, which mteb does not take.
    """
    _package(f"{task.name} as tasks of mteb")
    if task.gains is not None and (task.gains % 1).any():
        raise InputError(f"task {task.name}: mteb takes whole numbers as gains, found {task.gains[task.gains % 1 > 0][0]:g}; scale them.")
    parts = {end: dict(_parts(task, setting)) for end, setting in SETTINGS.items()}
    return [_as_mteb(f"{task.name}-{end}", task, subsets) for end, subsets in parts.items() if subsets]


def _parts(task: RetrievalTask, setting: str) -> Iterator[tuple[str, tuple[str, str]]]:
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

        ignore_identical_ids = len(task.own_pairs) > 0

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
    gains = (relevant["gain"] if "gain" in relevant else pd.Series(1, relevant.index)).astype(int)
    judged = {query: dict(zip(rows["candidate"], gains[rows.index].tolist(), strict=True)) for query, rows in relevant.groupby("query")}
    return {**sides, "relevant_docs": judged, "top_ranked": None}


def tag_of_mteb(code: str) -> str:
    """mteb's tag of our language code, ISO 639-3 and script: `de` -> `deu-Latn`, `zh` -> `zho-Hans`."""
    return f"{Language.get(code).to_alpha3()}-{script_of(code)}"
