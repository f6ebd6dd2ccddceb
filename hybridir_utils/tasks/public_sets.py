"""Public evaluation sets (`data/evaluation_sets.toml`): on the hub at a pinned revision, or in a local folder laid out as there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..base.errors import InputError, UnknownName, did_you_mean
from ..base.files import ROOT, folder_fingerprint, read_toml
from ..base.hub_data import CARD, load_set, local_folder, set_folder

if TYPE_CHECKING:
    from datasets import Dataset

COMMIT = re.compile(r"[0-9a-f]{40}")


class EvaluationSet(BaseModel):
    """name: also that of the local folder. hub, revision: where it lies. task: the task it belongs to. languages: the codes it uses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    task: str
    hub: str
    revision: str
    split: str
    licence: str
    languages: tuple[str, ...] = ()

    def folder(self, data_dir: str = "") -> Path | None:
        """`<name>` below the profile's data_dir or HYBRIDIR_DATA where it exists: it takes the hub's place."""
        return local_folder(self.name, data_dir)


def _read() -> dict[str, EvaluationSet]:
    rows = read_toml(ROOT / "data" / "evaluation_sets.toml")
    return {name: EvaluationSet(name=name, **row) for name, row in rows.items()}


EVALUATION_SETS = _read()


def sets_of(task: str) -> list[EvaluationSet]:
    """The sets a task is made of; none for a task that no public set stands behind."""
    return [entry for entry in EVALUATION_SETS.values() if entry.task == task]


def pick_languages(task: str, wanted: Iterable[str], there: Sequence[str]) -> tuple[str, ...]:
    """The wanted languages, or all there are where none is asked for; raises UnknownName for one that the set lacks."""
    wanted = tuple(dict.fromkeys(wanted))
    for language in wanted:
        if language not in there:
            raise UnknownName(f"language of {task}", language, there)
    return wanted or tuple(there)


def state(entry: EvaluationSet, data_dir: str = "") -> dict[str, str]:
    """What a set stands for at this moment: `set` and `licence`; `hub` and the resolved `commit`, or `folder` and the fingerprint of its
    files.

    A set pinned to a commit is not looked up; raises InputError when the hub is needed and cannot be reached.
    """
    about = {"set": entry.name, "licence": entry.licence}
    if folder := entry.folder(data_dir):
        return about | {"folder": folder.name, "files": folder_fingerprint(folder)}
    pinned = COMMIT.fullmatch(entry.revision)
    commit = entry.revision if pinned else set_folder(entry.name, entry.hub, [CARD], entry.revision, data_dir).name
    return about | {"hub": entry.hub, "commit": commit}


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


QRELS = {"query-id": "query", "corpus-id": "candidate", "score": "relevance"}


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
