"""Data sets of the hub as memory-mapped tables, from the hub or from a local folder laid out as there.

A set is files of a repository at a revision: they are fetched into the hub's cache as they are and read by the libraries' own
readers for Parquet, JSON lines and tables. No loading script runs. The folder `<data_dir>/<set name>` takes the repository's
place where it exists, as `hf download --repo-type dataset REPO --local-dir FOLDER` fills it.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from .catalogue import Entry
from .errors import InputError, UnknownName, did_you_mean
from .files import data_folder, file_fingerprint, fingerprint
from .hub import files_of, hub_errors

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {"parquet": "parquet", "jsonl": "json", "json": "json", "csv": "csv", "tsv": "csv"}
CARD = "README.md"  # its YAML head says which files are which config and split
ANY = ("**/*",)


class HubSet(Entry):
    """A catalogue's data set. name: also of a local folder. hub: repository, "" where none has it. revision: branch or commit."""

    hub: str = ""
    revision: str = ""
    licence: str

    def record(self, data_dir: str = "", patterns: Sequence[str] = ANY) -> dict[str, str]:
        """What a run says of the set: name, licence, revision asked for, and where its rows come from (`set_origin`)."""
        origin = set_origin(self.name, self.hub, patterns, self.revision or None, data_dir)
        return {"set": self.name, "licence": self.licence, "revision": self.revision} | origin

    def fault(self, data_dir: str = "", patterns: Sequence[str] = ()) -> str:
        """Why the set's files cannot be read (`set_fault`); "" where they are there."""
        return set_fault(self.name, self.hub, patterns, self.revision, data_dir)


def load_set(
    name: str,
    repo: str,
    config: str = "default",
    split: str = "train",
    revision: str | None = None,
    columns: Sequence[str] = (),
    data_dir: str = "",
    files: str = "",
    header: Sequence[str] = (),
) -> Dataset:
    """A public data set, memory-mapped. name: its short name, and that of the local folder that may take the repository's place.

    config, split: as the repository's card names them; files: a pattern (`data/train-*.parquet`) in their stead, for a repository whose
    card has none. columns: those to keep. header: columns of a table that has no header line. Raises InputError when the hub,
    repository, revision, config, split, files or columns are not there or a file is broken.
    """
    patterns = [files] if files else _card_files(name, repo, config, split, revision, data_dir)
    paths = matching(name, set_folder(name, repo, patterns, revision, data_dir), patterns, repo, revision)
    rows = _read(name, paths, header)
    check_columns(name, rows, columns, f"{repo}@{revision}")
    return rows.select_columns(list(columns)) if columns else rows


def check_columns(where: str, rows: Dataset, columns: Sequence[str], place: str) -> None:
    """Raise InputError, with the nearest name, where a set lacks one of the columns. place: whose layout is expected."""
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        raise InputError(
            f"{where}: no column {missing[0]!r}{did_you_mean(missing[0], rows.column_names)} Found: {', '.join(rows.column_names)}; "
            f"expected: {', '.join(columns)}. Take the layout of {place}."
        )


def set_folder(name: str, repo: str, patterns: Sequence[str], revision: str | None = None, data_dir: str = "") -> Path:
    """The local folder of a set, else the cached snapshot of its repository with the files of these patterns.

    A snapshot is named by its commit. Raises InputError as `hub_errors`, and `data_folder` for a set that is neither local nor on the hub.
    """
    if local := local_folder(name, data_dir):
        return local
    if not repo:
        return data_folder(name, data_dir)  # raises, saying what to do
    from huggingface_hub import snapshot_download

    with hub_errors(f"{repo}@{revision}" if revision else repo):
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=list(patterns)))


def set_origin(name: str, repo: str, patterns: Sequence[str], revision: str | None = None, data_dir: str = "") -> dict[str, str]:
    """Where a set's rows come from: `hub` and the resolved `commit`, or `folder` and the fingerprint of its files."""
    if local := local_folder(name, data_dir):
        paths = matching(name, local, patterns, repo, revision)
        return {"folder": name, "files": fingerprint({str(path.relative_to(local)): file_fingerprint(path) for path in paths})}
    if repo and re.fullmatch("[0-9a-f]{40}", revision or ""):
        return {"hub": repo, "commit": revision}
    return {"hub": repo, "commit": set_folder(name, repo, [CARD], revision, data_dir).name}


def local_folder(name: str, data_dir: str = "") -> Path | None:
    """`<name>` below data_dir, or HYBRIDIR_DATA, where it exists: it takes the repository's place."""
    base = data_dir or os.environ.get("HYBRIDIR_DATA", "")
    folder = Path(base).expanduser() / name
    return folder if base and folder.is_dir() else None


def _card_files(name: str, repo: str, config: str, split: str, revision: str | None, data_dir: str) -> list[str]:
    """Patterns of the files that the repository's card lists for a config and split."""
    from huggingface_hub import DatasetCard

    card = set_folder(name, repo, [CARD], revision, data_dir) / CARD
    listed = DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict().get("configs") if card.exists() else None
    configs = {entry["config_name"]: entry.get("data_files", []) for entry in listed or []}
    if config not in configs:
        raise UnknownName(f"config of {name}", config, configs)
    splits = _splits(configs[config])
    if split not in splits:
        raise UnknownName(f"split of {name}, config {config}", split, splits)
    return splits[split]


def _splits(data_files) -> dict[str, list[str]]:
    """Split -> patterns, of the forms that a card's `data_files` may have."""
    if isinstance(data_files, str) or all(isinstance(entry, str) for entry in data_files):
        return {"train": [data_files] if isinstance(data_files, str) else list(data_files)}
    return {entry["split"]: [entry["path"]] if isinstance(entry["path"], str) else list(entry["path"]) for entry in data_files}


def matching(name: str, folder: Path, patterns: Sequence[str], repo: str, revision: str | None) -> list[Path]:
    """The files of a set's folder that fit the patterns; raises InputError, saying what is there, where none does."""
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    if not paths:
        there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())[:6]
        at = f" --revision {revision}" if revision else ""
        raise InputError(
            f"{folder}: no file {' or '.join(patterns)} of {name!r}; found {', '.join(there) or 'no files'}. Lay the folder out as on the "
            f"hub: hf download {repo or '(no copy on the hub)'} --repo-type dataset{at} --local-dir {folder}"
        )
    return paths


def _read(name: str, paths: list[Path], header: Sequence[str]) -> Dataset:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    kind = next((part for part in reversed(paths[0].name.split(".")) if part in READERS), "")
    if not kind:
        raise InputError(f"{paths[0]}: cannot be read; expected one of {', '.join(READERS)} (`.gz` too).")
    # lineterminator, quoting: a lone \r or " belongs to the text of a table, and "NA" is a text
    table = {"sep": "\t", "quoting": 3, "keep_default_na": False, "lineterminator": "\n"} if kind == "tsv" else {}
    options = table | ({"names": list(header), "header": None} if header else {})
    if header:
        _check_width(name, paths, header)
    with hub_errors(name):
        try:
            return load_dataset(READERS[kind], data_files=[str(path) for path in paths], split="train", **options)
        except (DatasetGenerationError, pa.ArrowInvalid) as error:
            cause = error.__cause__ or error
            if isinstance(cause, OSError):  # a full disk is said as such
                raise
            where = f"{paths[0].parent} ({len(paths)} files)"
            raise InputError(f"{name}: a file in {where} cannot be read ({cause}). Delete it and fetch it again.") from error


def _check_width(name: str, paths: list[Path], header: Sequence[str]) -> None:
    """Each table has as many columns as were named, by its first line; the reader would fill or shift them silently."""
    for path in paths:
        with open(path, "rb") as file:
            found = file.readline().count(b"\t") + 1
        if found != len(header):
            raise InputError(
                f"{path}: {found} columns in its first line; expected {len(header)} of {name!r}: {', '.join(header)}. "
                "Take the revision that data/training_sets.toml names."
            )


def set_fault(name: str, repo: str, patterns: Sequence[str], revision: str, data_dir: str = "") -> str:
    """Why the files of a data set (`hub_data.load_set`) are not where they are read from, with what to do; "" where they are there."""
    try:
        if folder := local_folder(name, data_dir):
            for pattern in patterns:
                matching(name, folder, [pattern], repo, revision)
            return ""
        if not repo:
            data_folder(name, data_dir)
        place = f"{repo}@{revision}" if revision else repo
        files = files_of(place, "dataset")
    except InputError as error:
        return str(error)
    missing = [pattern for pattern in patterns if not fnmatch.filter(files, pattern)]
    return f"{place}: no file {missing[0]}; the set {name!r} is laid out otherwise now. Name another revision." if missing else ""
