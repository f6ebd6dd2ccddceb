"""Catalogues: TOML files in `data/` of what a profile may name, each entry with its place, its licence and what is known of it."""

from __future__ import annotations

from collections import UserDict
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError, did_you_mean, in_plain_words
from .files import ROOT, read_toml


class Entry(BaseModel):
    """A catalogue's entry: closed and frozen; its name is the table's in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


Kind = TypeVar("Kind", bound=Entry)


class Catalogue(UserDict[str, Kind]):
    """Name -> entry of a TOML file in `data/`, read when the first entry is asked for.

    Raises InputError naming the file and each key that is unknown, missing or of another type.
    """

    def __init__(self, file: str, kind: type[Kind]):
        self.file, self.kind = file, kind

    @cached_property
    def data(self) -> dict[str, Kind]:
        path, found, problems = ROOT / "data" / self.file, {}, []
        for name, row in read_toml(path).items():
            try:
                found[name] = self.kind(name=name, **row)
            except ValidationError as error:
                problems += [f"{name}: {self._explained(problem)}" for problem in error.errors()]
        if problems:
            raise InputError(f"{path}: {'; '.join(problems)}. The file's other entries show what one holds.")
        return found

    def _explained(self, problem: dict) -> str:
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            return f"unknown key {key!r}{did_you_mean(key, self.kind.model_fields).rstrip('.')}"
        return f"key {key!r} is missing" if problem["type"] == "missing" else f"{key} = {problem['input']!r}: {in_plain_words(problem)}"
