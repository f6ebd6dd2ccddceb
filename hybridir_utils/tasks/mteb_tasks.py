"""Any retrieval set of MTEB, `mteb:NAME` or `mteb:NAME@REVISION`: BEIR's sets of the hub among them. Needs the `mteb` package.

mteb's own task loads the data, so that sets of every layout open; it is searched and measured here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from ..base.errors import InputError, did_you_mean
from ..base.hub import hub_errors, local_folder, split_revision
from ..base.languages import our_codes, pick_languages
from .public_sets import EvaluationSet
from .retrieval_task import TEXT_COLUMNS
from .searched_task import Search, SearchTask, passages

PREFIX = "mteb:"
MAIN_SCORES = {"ndcg": "nDCG", "recall": "R", "mrr": "RR", "map": "AP"}


def mteb_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The search task of `mteb:NAME[@REVISION]`: nDCG@10, R@100 and the set's main score, on its test split (or its first).

    languages: our codes of the subsets to take; none: all. A subset across two languages is called by its name on both sides, as MTEB
    does not say which is the question's. A local folder `<data_dir>/<NAME>` takes the hub's place. Raises InputError when mteb is not
    there, the name is none of its text retrieval sets, or the hub cannot give it; UnknownName for a language.
    """
    entry, task = mteb_set(name), _task(name)
    task = _with_place(task, entry, data_dir)
    subsets = _subsets(task, entry.name, languages)
    task.hf_subsets = list(subsets)
    _load(task, entry, str(local_folder(entry.name, data_dir) or f"{entry.hub}@{entry.revision}"))
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

    Raises InputError and UnknownName as `mteb_task`, InputError where mteb does not know the size of each.
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


def _task(name: str):
    """A fresh task object of mteb."""
    try:
        import mteb
    except ModuleNotFoundError:
        raise InputError(f"{name}: needs the package mteb; install it with `pip install mteb`.") from None
    wanted = split_revision(name.removeprefix(PREFIX))[0]
    known = mteb.get_tasks(task_types=["Retrieval"], modalities=["text"], exclusive_modality_filter=True, exclude_superseded=False)
    names = [task.metadata.name for task in known]
    if wanted not in names:
        raise InputError(f"{name}: mteb has no text retrieval set {wanted!r}{did_you_mean(wanted, names)} It has {len(names)} of them.")
    return mteb.get_task(wanted)


def _with_place(task, entry: EvaluationSet, data_dir: str):
    """The task reading from the entry's place, its own split only; the registry's task stays as it is."""
    folder = local_folder(entry.name, data_dir)
    place = {"path": str(folder or entry.hub), "revision": entry.revision}
    task.metadata = task.metadata.model_copy(update={"dataset": task.metadata.dataset | place})
    task._eval_splits = [entry.split]
    return task


def _load(task, entry: EvaluationSet, where: str) -> None:
    """mteb's own loading; a set that is not laid out as mteb's task expects is named, with what mteb said."""
    try:
        with hub_errors(where):
            task.load_data()
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{where}: not laid out as mteb's task {entry.name} expects ({error}). Take the revision that mteb names, or update mteb."
        ) from error


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
