"""The hub of models and data sets: pinned names, no waiting for a hub that cannot be reached, errors a user can act on."""

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


UNREACHABLE = (
    "the hub cannot be reached (or HF_HUB_OFFLINE is set), and no copy is in the cache. Give the path of a local folder in its "
    "place, or fetch it where there is a network (`hf download`) and copy the cache (HF_HOME) here."
)
