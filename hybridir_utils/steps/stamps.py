"""Which code and parameters each saved result table comes from, so that tables of different versions are never read as one result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..base import trace
from ..base.checkout import commit
from ..base.errors import InputError, MissingInput
from ..base.files import read_json, write_text_atomically
from ..base.fingerprints import code_fingerprint, file_fingerprint, fingerprint, is_sealed, sealed
from .profiles import MEANS, Profile

STAMPS = "tables.json"
DECIDING = ("code", "parameters")


def stamp(results: Path, name: str, profile: Profile, origin: Mapping | None = None) -> None:
    """Note beside the tables where `name` comes from.

    code, parameters: of training and evaluation, and every value that can change a result (`current`). notebook, run, profile, changed:
    what it was made for (`session.origin_of`). commit: of the checkout. sha256: of the table. inputs: room of artefacts read before ->
    how many, and the fingerprint of their records.
    """
    about = {"notebook": trace.origin().get("notebook", ""), **(origin or {}), "commit": commit(), "inputs": _inputs()}
    about |= current(profile) | {"sha256": file_fingerprint(Path(results) / f"{name}.csv")}
    stamps = read_stamps(results) | {name: about}
    write_text_atomically(Path(results) / STAMPS, json.dumps(sealed(stamps), indent=1, sort_keys=True) + "\n")


def _inputs() -> dict[str, str]:
    """A hundred artefacts in each of forty stamps would be no small result, so they are told by their room."""
    rooms = {}
    for path, digest in trace.used_so_far().items():
        if not path.endswith(".csv"):
            rooms.setdefault(Path(path).parents[1].name, {})[Path(path).parent.name] = digest
    return {room: f"{len(found)} · {fingerprint(found)}" for room, found in rooms.items()}


def current(profile: Profile) -> dict[str, str]:
    """What decides the numbers of a table saved now."""
    values = profile.model_dump(exclude=set(MEANS), mode="json")
    return {"code": code_fingerprint("evaluation"), "parameters": fingerprint(values)}


def deciding(stamp: Mapping) -> dict[str, str]:
    """Those parts of a stamp that `current` gives; the others say where the table was made, which changes no number."""
    return {key: stamp.get(key, "") for key in DECIDING}


def read_stamps(results: Path) -> dict[str, dict]:
    """Table -> its stamp (those of earlier versions hold less); none where no table has been saved.

    Raises InputError where the file is no JSON or was altered since.
    """
    path = Path(results) / STAMPS
    if not path.exists():
        return {}
    try:
        stamps = read_json(path)
    except InputError as error:
        raise InputError(f"{error} Or delete it and run the notebooks again.") from error
    tables = {name: about for name, about in stamps.items() if name != "record"} if isinstance(stamps, dict) else {}
    if not (is_sealed(stamps) or tables == stamps) or not all(isinstance(about, dict) for about in tables.values()):
        raise InputError(f"{path}: was altered since it was written. Delete it and run the notebooks again.")
    return tables


def check_unaltered(path: Path, command: str) -> None:
    """Raise InputError where a saved table has other bytes than its stamp says; command: what makes it again."""
    stamped = read_stamps(path.parent).get(path.stem, {}).get("sha256")
    if stamped and stamped != file_fingerprint(path):
        raise InputError(f"{path}: was altered since it was saved, and is not used. Make it again with: {command}")


def check_one_origin(results: Path, names: Iterable[str], command: str) -> None:
    """Raise InputError unless all named tables come from the same code and parameters; MissingInput where one has no stamp.

    command: what makes them all again.
    """
    stamps, groups = read_stamps(results), {}
    for name in names:
        if name not in stamps:
            raise MissingInput(f"{Path(results) / name}.csv: not there yet, or saved by hand. Make it with: {command}")
        groups.setdefault(json.dumps(deciding(stamps[name]), sort_keys=True), []).append(name)
    if len(groups) > 1:
        parts = "; ".join(f"{', '.join(tables)}" for tables in groups.values())
        raise InputError(
            f"{results}: the tables come from different versions of the code or of the profile ({parts}), and are not compared. "
            f"Make them all again with: {command}"
        )
