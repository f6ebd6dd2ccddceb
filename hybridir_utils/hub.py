"""The hub of models and data sets: pinned names, and errors a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import HybridIRError, InputError


def split_revision(name: str) -> tuple[str, str | None]:
    """`"owner/name@revision"` -> ("owner/name", "revision"); the revision is None where the name has none."""
    name, _, revision = name.partition("@")
    return name, revision or None


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the hub into an InputError that says what to do; other errors pass."""
    try:
        yield
    except HybridIRError:
        raise
    except Exception as error:
        advice = next((text for cause in _causes(error) if (text := _advice(cause))), None)
        if advice is None:
            raise
        raise InputError(f"{name}: {advice}") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _advice(error: BaseException) -> str | None:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import errors as hub

    known = {
        hub.GatedRepoError: "is gated. Accept its terms on its page, log in with `hf auth login`, and run again.",
        hub.RevisionNotFoundError: "the hub has no such revision. Leave `@revision` out for the newest, or look the right one up.",
        (hub.RepositoryNotFoundError, DatasetNotFoundError): "not found on the hub: misspelt, renamed, private or gated.",
        (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError, ConnectionError): (
            "the hub cannot be reached, and no copy is in the cache. Give the path of a local folder in its place, or fetch it "
            "where there is a network (`hf download`) and copy the cache (HF_HOME) here."
        ),
    }
    return next((text for kinds, text in known.items() if isinstance(error, kinds)), None)
