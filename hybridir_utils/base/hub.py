"""The hub of models and data sets: pinned names, no waiting for a hub that cannot be reached, errors a user can act on, whether a model has
what is needed, and data sets as memory-mapped tables.

A set is files of a repository at a revision: they are fetched into the hub's cache as they are and read by the libraries' own readers for
Parquet, JSON lines and tables. No loading script runs. The folder `<data_dir>/<set name>` takes the repository's place where it exists, as
`hf download --repo-type dataset REPO --local-dir FOLDER` fills it.
"""

from __future__ import annotations

import fnmatch
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from .catalogue import Entry
from .errors import HybridIRError, InputError, did_you_mean, need_known
from .files import NO_SPACE, data_folder, file_fingerprint, fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

PATIENCE = 5.0  # seconds until the hub counts as out of reach; the libraries themselves try for half a minute a file
UNREACHABLE = (
    "no folder here; the hub cannot be reached (or HF_HUB_OFFLINE is set), and no copy is in the cache. Give the path of a local "
    "folder, or fetch it where there is a network (`hf download`) and copy the cache (HF_HOME) here."
)

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
CONFIGURATIONS = ("config.json", "modules.json")  # of transformers, of sentence-transformers
CONVERSION = ("Adding `safetensors` variant of this model", "SFconvertbot")  # title and author of the pull request that transformers takes
NO_CONFIGURATION = "no config.json there. Check the name, or save the whole model again."
NO_WEIGHTS = (
    "no weights in safetensors there, and weights in pickle files are not opened. Name a revision that has them (NAME@refs/pr/N, where the "
    "hub's conversion bot added them), or convert the model and give its folder."
)


def split_revision(name: str) -> tuple[str, str | None]:
    """`"owner/name@revision"` -> ("owner/name", "revision"); the revision is None where the name has none."""
    name, _, revision = name.partition("@")
    return name, revision or None


def split_place(name: str | Path) -> tuple[str, str | None]:
    """Folder or hub name, and revision; a folder may have `@` in its name."""
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser()), None
    return split_revision(str(name))


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the hub into an InputError that says what to do; other errors pass.

    name: a local path, or a name on the hub. Where the hub does not answer, the block runs in the libraries' offline mode: it
    takes what is in the cache, and fails at once where nothing is. HF_HUB_OFFLINE=1 spares the question.
    """
    try:
        with _offline(not Path(name).expanduser().exists() and not _reachable(int(time.monotonic() // 60))):
            yield
    except HybridIRError:
        raise
    except Exception as error:
        advice = next((text for cause in _causes(error) if (text := _advice(cause))), None)
        if advice is None:
            raise
        raise InputError(f"{name}: {advice}") from error


@lru_cache(maxsize=1)
def _reachable(minute: int) -> bool:
    """Whether the hub answers, whatever it says; asked once a minute. True in offline mode: nobody will ask it anything."""
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return True
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:
        if not any(_is_connection(cause) for cause in _causes(error)):
            raise
        return False
    return True


@contextmanager
def _offline(needed: bool) -> Iterator[None]:
    """The libraries' offline mode for a block. It is read from the environment once, when they are imported: hence the constant."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or needed
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_connection(error: BaseException) -> bool:
    """`TransportError` is the base of the HTTP client's connection and time-out errors, whichever client the hub's library uses."""
    return isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or any(
        kind.__name__ == "TransportError" for kind in type(error).__mro__
    )


def _advice(error: BaseException) -> str | None:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import errors as hub

    if getattr(error, "errno", None) in NO_SPACE or "Not enough disk space" in str(error):
        return "the disk of the cache is full. Free some space, or set HF_HOME to a folder on another disk; what is complete stays."
    known = {
        hub.GatedRepoError: "is gated. Accept its terms on its page, log in with `hf auth login`, and run again.",
        hub.RevisionNotFoundError: "the hub has no such revision. Leave `@revision` out for the newest, or look the right one up.",
        (hub.RepositoryNotFoundError, DatasetNotFoundError): "not found on the hub: misspelt, renamed, private or gated.",
        hub.HFValidationError: "neither a folder here nor a name of the hub's form `owner/name`. Check the spelling.",
        (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError): UNREACHABLE,
    }
    if advice := next((text for kinds, text in known.items() if isinstance(error, kinds)), None):
        return advice
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, hub.HfHubHTTPError) and (status == 429 or status >= 500):
        return f"the hub answers with error {status}. Try again later, or give the path of a local folder in its place."
    return UNREACHABLE if _is_connection(error) else None


def model_fault(name: str) -> str:
    """Why the model of a folder or hub name (`NAME@REVISION`) cannot be opened, with what to do; "" where it has what is needed.

    It needs a configuration, and weights in safetensors of its first module. A folder is listed; the hub is asked for access and for the
    names of the files, and where it does not answer the cache is listed.
    """
    try:
        files = files_of(name)
        if not files & set(CONFIGURATIONS):
            return f"{name}: {NO_CONFIGURATION}"
        return "" if any(_is_first_weights(file) for file in files) or _is_converted(name) else f"{name}: {NO_WEIGHTS}"
    except InputError as error:
        return str(error)


def files_of(name: str, kind: str = "model") -> set[str]:
    """Names of the files in a folder, or of a repository at a revision; of its copy in the cache where the hub does not answer.

    kind: `model` or `dataset`. Raises InputError as `hub_errors`: not there, gated, out of reach.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    place, revision = split_place(name)
    if Path(place).is_dir():
        return _files(Path(place))
    with hub_errors(name):
        if constants.is_offline_mode():
            return _files(Path(snapshot_download(place, repo_type=kind, revision=revision, local_files_only=True)))
        HfApi().auth_check(place, repo_type=kind)
        return set(HfApi().list_repo_files(place, repo_type=kind, revision=revision))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _is_first_weights(file: str) -> bool:
    """Whether weights of the first module: they lie in the folder itself, or in one that sentence-transformers numbers 0."""
    folder, _, base = file.rpartition("/")
    return base in WEIGHTS and (not folder or folder.startswith("0_"))


def _is_converted(name: str) -> bool:
    """Whether transformers would take the hub's own conversion: of the main branch, from its bot's pull request, if that is up to date."""
    from huggingface_hub import HfApi, constants

    place, revision = split_place(name)
    if Path(place).is_dir() or revision not in (None, "main") or constants.is_offline_mode():
        return False
    from transformers.safetensors_conversion import previous_pr

    title, bot = CONVERSION
    with hub_errors(name):
        found = previous_pr(HfApi(), place, title, token=None)
    return found is not None and found.author == bot


READERS = {"parquet": "parquet", "jsonl": "json", "json": "json", "csv": "csv", "tsv": "csv"}
CARD = "README.md"  # its YAML head says which files are which config and split
ANY = ("**/*",)


class HubSet(Entry):
    """A catalogue's data set. name: also of the local folder that may take the repository's place (`local_folder` of data_dir). hub: the
    repository, "" where none has it. revision: branch or commit, "" for the newest. Files are told by patterns (`data/train-*.parquet`).
    """

    hub: str = ""
    revision: str = ""
    licence: str

    @property
    def place(self) -> str:
        """Repository and revision, `owner/name@revision`."""
        return f"{self.hub}@{self.revision}" if self.revision else self.hub

    def load(
        self,
        config: str = "default",
        split: str = "train",
        columns: Sequence[str] = (),
        data_dir: str = "",
        files: str = "",
        header: Sequence[str] = (),
    ) -> Dataset:
        """Its rows, memory-mapped.

        config, split: as the repository's card names them; files: a pattern in their stead, for a repository whose card has none. columns:
        those to keep. header: columns of a table that has no header line. Raises InputError when the hub, repository, revision, config,
        split, files or columns are not there or a file is broken.
        """
        patterns = [files] if files else self._card_files(config, split, data_dir)
        rows = _read(self.name, self._matching(self.folder(patterns, data_dir), patterns), header)
        check_columns(self.name, rows, columns, self.place)
        return rows.select_columns(list(columns)) if columns else rows

    def folder(self, patterns: Sequence[str], data_dir: str = "") -> Path:
        """The local folder, else the cached snapshot of the repository, named by its commit, with the files of these patterns.

        Raises InputError as `hub_errors`, and `data_folder` for a set that is neither local nor on the hub.
        """
        if local := local_folder(self.name, data_dir):
            return local
        if not self.hub:
            return data_folder(self.name, data_dir)  # raises, saying what to do
        from huggingface_hub import snapshot_download

        with hub_errors(self.place):
            revision = self.revision or None
            return Path(snapshot_download(self.hub, repo_type="dataset", revision=revision, allow_patterns=list(patterns)))

    def file(self, path: str, data_dir: str = "") -> Path:
        """One of its files, from the local folder or through the hub's cache. Raises InputError, saying what is there, where it is not."""
        return self._matching(self.folder([path], data_dir), [path])[0]

    def origin(self, patterns: Sequence[str] = ANY, data_dir: str = "") -> dict[str, str]:
        """Where its rows come from: `hub` and the resolved `commit`, or `folder` and the fingerprint of its files."""
        if local := local_folder(self.name, data_dir):
            files = {str(path.relative_to(local)): file_fingerprint(path) for path in self._matching(local, patterns)}
            return {"folder": self.name, "files": fingerprint(files)}
        pinned = self.hub and re.fullmatch("[0-9a-f]{40}", self.revision)
        return {"hub": self.hub, "commit": self.revision if pinned else self.folder([CARD], data_dir).name}

    def record(self, data_dir: str = "", patterns: Sequence[str] = ANY) -> dict[str, str]:
        """What a run says of the set: name, licence, revision asked for, and `origin`."""
        return {"set": self.name, "licence": self.licence, "revision": self.revision} | self.origin(patterns, data_dir)

    def fault(self, data_dir: str = "", patterns: Sequence[str] = ()) -> str:
        """Why the files are not where they are read from, with what to do; "" where they are there."""
        try:
            if local_folder(self.name, data_dir) or not self.hub:
                folder = self.folder(patterns, data_dir)
                for pattern in patterns:
                    self._matching(folder, [pattern])
                return ""
            files = files_of(self.place, "dataset")
        except InputError as error:
            return str(error)
        missing = [pattern for pattern in patterns if not fnmatch.filter(files, pattern)]
        what = f"the set {self.name!r} is laid out otherwise now. Name another revision."
        return f"{self.place}: no file {missing[0]}; {what}" if missing else ""

    def _card_files(self, config: str, split: str, data_dir: str) -> list[str]:
        """Patterns of the files that the repository's card lists for a config and split."""
        from datasets.data_files import sanitize_patterns
        from huggingface_hub import DatasetCard

        card = self.folder([CARD], data_dir) / CARD
        listed = DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict().get("configs") if card.exists() else None
        configs = {entry["config_name"]: entry.get("data_files", []) for entry in listed or []}
        need_known(f"config of {self.name}", [config], configs)
        splits = sanitize_patterns(configs[config])
        need_known(f"split of {self.name}, config {config}", [split], splits)
        return splits[split]

    def _matching(self, folder: Path, patterns: Sequence[str]) -> list[Path]:
        """The files of the folder that fit the patterns; raises InputError, saying what is there, where none does."""
        paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
        if not paths:
            there = sorted(_files(folder))[:6]
            at = f" --revision {self.revision}" if self.revision else ""
            raise InputError(
                f"{folder}: no file {' or '.join(patterns)} of {self.name!r}; found {', '.join(there) or 'no files'}. Lay the folder out "
                f"as on the hub: hf download {self.hub or '(no copy on the hub)'} --repo-type dataset{at} --local-dir {folder}"
            )
        return paths


def local_folder(name: str, data_dir: str = "") -> Path | None:
    """`<name>` below data_dir, or HYBRIDIR_DATA, where it exists: it takes the repository's place."""
    base = data_dir or os.environ.get("HYBRIDIR_DATA", "")
    folder = Path(base).expanduser() / name
    return folder if base and folder.is_dir() else None


def check_columns(where: str, rows: Dataset, columns: Sequence[str], place: str) -> None:
    """Raise InputError, with the nearest name, where a set lacks one of the columns. place: whose layout is expected."""
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        raise InputError(
            f"{where}: no column {missing[0]!r}{did_you_mean(missing[0], rows.column_names)} Found: {', '.join(rows.column_names)}; "
            f"expected: {', '.join(columns)}. Take the layout of {place}."
        )


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
