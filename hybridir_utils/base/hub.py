"""The hub of models and data sets: pinned names, no waiting for a hub that cannot be reached, errors a user can act on, and whether a
model has what is needed.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from .errors import HybridIRError, InputError

PATIENCE = 5.0  # seconds until the hub counts as out of reach; the libraries themselves try for half a minute a file
FULL = (errno.ENOSPC, errno.EDQUOT)
UNREACHABLE = (
    "the hub cannot be reached (or HF_HUB_OFFLINE is set), and no copy is in the cache. Give the path of a local folder in its "
    "place, or fetch it where there is a network (`hf download`) and copy the cache (HF_HOME) here."
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
        with _offline(not _is_local(name) and not _reachable(int(time.monotonic() // 60))):
            yield
    except HybridIRError:
        raise
    except Exception as error:
        advice = next((text for cause in _causes(error) if (text := _advice(cause))), None)
        if advice is None:
            raise
        raise InputError(f"{name}: {advice}") from error


def _is_local(name: str) -> bool:
    return Path(name).expanduser().exists()


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

    if getattr(error, "errno", None) in FULL or "Not enough disk space" in str(error):
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
