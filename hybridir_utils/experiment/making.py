"""Make what is missing: of the artefacts that a run wants, those that are not there become jobs; the others are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ..base.progress import told_while
from ..provenance.artefacts import Artefact, note_used

K = TypeVar("K")


def make_missing(wanted: Mapping[K, Artefact], given: Callable[[K], tuple], make_all: Callable[[list[tuple]], object]) -> dict[K, Path]:
    """Folder of every artefact that is wanted.

    make_all: does the jobs of those that are not whole, (artefact, *given(key)) each, as arguments of `make_one` or of a function like it.
    """
    make_all([(artefact, *given(key)) for key, artefact in wanted.items() if not artefact.is_whole()])
    folders = {key: artefact.path for key, artefact in wanted.items()}
    note_used(folders.values())
    return folders


def make_one(artefact: Artefact, *given) -> Path:
    """The artefact's folder; its maker is called with a temporary folder, the recipe, and what is given, on which no result depends."""
    with told_while(artefact.name):
        return artefact.make(lambda out: artefact.maker(out, artefact.recipe, *given))
