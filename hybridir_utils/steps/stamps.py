"""Which code and parameters each saved result table comes from, so that tables of different versions are never read as one result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..base.errors import InputError, MissingInput
from ..base.files import write_text_atomically
from ..base.fingerprints import code_fingerprint, fingerprint
from .profiles import MEANS, Profile

STAMPS = "tables.json"


def stamp(results: Path, name: str, profile: Profile) -> None:
    """Note beside the tables what `name` was made by: the code of training and evaluation, and every value that can change a result."""
    stamps = read_stamps(results) | {name: current(profile)}
    write_text_atomically(results / STAMPS, json.dumps(stamps, indent=1, sort_keys=True) + "\n")


def current(profile: Profile) -> dict[str, str]:
    """The stamp that a table saved now would get."""
    values = profile.model_dump(exclude=set(MEANS), mode="json")
    return {"code": code_fingerprint("evaluation"), "parameters": fingerprint(values)}


def read_stamps(results: Path) -> dict[str, dict[str, str]]:
    """Table -> its stamp; none where no table has been saved."""
    try:
        return json.loads((Path(results) / STAMPS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{Path(results) / STAMPS}: not JSON ({error}). Delete it and run the notebooks again.") from error


def check_one_origin(results: Path, names: Iterable[str], command: str) -> None:
    """Raise InputError unless all named tables have the same stamp; MissingInput where one has none.

    command: what makes them all again.
    """
    stamps, groups = read_stamps(results), {}
    for name in names:
        if name not in stamps:
            raise MissingInput(f"{Path(results) / name}.csv: not there yet, or saved by hand. Make it with: {command}")
        groups.setdefault(json.dumps(stamps[name], sort_keys=True), []).append(name)
    if len(groups) > 1:
        parts = "; ".join(f"{', '.join(tables)}" for tables in groups.values())
        raise InputError(
            f"{results}: the tables come from different versions of the code or of the profile ({parts}), and are not compared. "
            f"Make them all again with: {command}"
        )
