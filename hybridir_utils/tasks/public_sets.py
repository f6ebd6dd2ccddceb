"""Evaluation sets (`data/evaluation_sets.toml`): on the hub at a pinned revision, or in a local folder laid out as there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..base.catalogue import Catalogue
from ..base.errors import InputError, did_you_mean
from ..base.hub_data import HubSet, load_set, set_folder

if TYPE_CHECKING:
    from datasets import Dataset

QRELS = {"query-id": "query", "corpus-id": "candidate", "score": "relevance"}


class EvaluationSet(HubSet):
    """split: the one that is read. languages: the codes it uses; none where its folder's files tell."""

    split: str = ""
    languages: tuple[str, ...] = ()


EVALUATION_SETS = Catalogue("evaluation_sets.toml", EvaluationSet)


def set_file(entry: EvaluationSet, path: str, data_dir: str = "") -> Path:
    """One file of a set, from the local folder or through the hub's cache. Raises InputError when it is not there."""
    folder = set_folder(entry.name, entry.hub, [path], entry.revision, data_dir)
    if not (folder / path).is_file():
        command = f"hf download --repo-type dataset {entry.hub} --revision {entry.revision} --local-dir {folder}"
        raise InputError(f"{folder / path}: no such file. Fetch it: {command}")
    return folder / path


def set_part(entry: EvaluationSet, config: str, columns: Sequence[str], data_dir: str = "") -> Dataset:
    """One configuration's rows of the set's split, memory-mapped; `_id` is called `id`.

    Raises InputError or UnknownName, as `load_set`, when the configuration, the split or a column is missing.
    """
    part = load_set(entry.name, entry.hub, config, entry.split, entry.revision, data_dir=data_dir)
    if "_id" in part.column_names and "id" not in part.column_names:
        part = part.rename_column("_id", "id")
    missing = [column for column in columns if column not in part.column_names]
    if missing:
        raise InputError(
            f"{entry.name}, {config}: no column {missing[0]!r}{did_you_mean(missing[0], part.column_names)} Found: "
            f"{', '.join(part.column_names)}; expected: {', '.join(columns)}. Take the layout of {entry.hub}@{entry.revision}."
        )
    return part


def read_questions(entry: EvaluationSet, subset: str, language: str, data_dir: str = "") -> pd.DataFrame:
    """Questions of a subset: columns id, group, language, text. Ids of other languages' questions mean other questions."""
    frame = set_part(entry, f"{subset}-queries", ("id", "text"), data_dir).select_columns(["id", "text"]).to_pandas()
    frame["id"] = frame["id"].astype(str)
    return frame.assign(group=language + ":" + frame["id"], language=language)[["id", "group", "language", "text"]]


def read_qrels(entry: EvaluationSet, subset: str, data_dir: str = "") -> pd.DataFrame:
    """Judgements of a subset: columns query, candidate, relevance (int)."""
    part = set_part(entry, f"{subset}-qrels", tuple(QRELS), data_dir).select_columns(list(QRELS))
    frame = part.to_pandas().rename(columns=QRELS)
    return frame.astype({"query": str, "candidate": str, "relevance": int})
