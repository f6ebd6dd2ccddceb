"""Which code and parameters each saved result table comes from, so that tables of different versions are never read as one result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from ..base.errors import InputError, MissingInput
from ..base.files import file_fingerprint, fingerprint, write_json
from ..provenance import reads
from ..provenance.fingerprints import commit, module_fingerprints, read_sealed, sealed
from .profile import MEANS, Profile

STAMPS = "tables.json"
STAGES = {"preparation": "prepare_pairs", "encoders": "trained_encoders", "evaluation": "evaluate"}  # module of this room -> what is called
ROOMS = {"pairs": "preparation", "bases": "encoders", "encoders": "encoders"}  # artefacts -> the stage they come from; others: the last


def stamp(results: Path, name: str, profile: Profile, origin: Mapping) -> None:
    """Note beside the tables where `name` comes from.

    code: of each stage up to the last whose artefacts were read before; parameters: every value that can change a result. notebook, run,
    profile, changed: what it was made for (`run.origin_of`). commit: of the checkout. sha256: of the table. inputs: room of artefacts
    read before -> how many, and the fingerprint of their records.
    """
    about = {"notebook": reads.origin().get("notebook", ""), **origin, "commit": commit(), "inputs": _inputs()}
    about |= {"code": stage_code(_stages(about["inputs"])), "parameters": _parameters(profile)}
    about["sha256"] = file_fingerprint(Path(results) / f"{name}.csv")
    stamps = read_stamps(results) | {name: about}
    write_json(Path(results) / STAMPS, sealed(stamps), sort_keys=True)


def _inputs() -> dict[str, str]:
    """A hundred artefacts in each of forty stamps would be no small result, so they are told by their room."""
    rooms = {}
    for path, digest in reads.used_so_far().items():
        if not path.endswith(".csv"):
            rooms.setdefault(Path(path).parents[1].name, {})[Path(path).parent.name] = digest
    return {room: f"{len(found)} · {fingerprint(found)}" for room, found in rooms.items()}


def _stages(rooms: Iterable[str]) -> list[str]:
    """The stages up to the last of these artefacts; all of them where none was read, as nothing says then what the table hangs on."""
    stages = list(STAGES)
    last = max((stages.index(ROOMS.get(room, stages[-1])) for room in rooms), default=len(stages) - 1)
    return stages[: last + 1]


def stage_code(stages: Iterable[str] = tuple(STAGES)) -> dict[str, str]:
    """Fingerprints of all code that each stage uses: what also decides which notebooks an edit makes stale."""
    return {stage: _code_of(stage) for stage in stages}


@cache
def _code_of(stage: str) -> str:
    return fingerprint(module_fingerprints((f"experiment.{stage}", STAGES[stage])))


def _parameters(profile: Profile) -> str:
    return fingerprint(profile.model_dump(exclude=set(MEANS), mode="json"))


def is_current(stamp: Mapping, profile: Profile) -> bool:
    """Whether a table was made by these parameters and the code in use now; other parts say where it was made, which changes no number."""
    return not changed_parts(stamp, profile)


def changed_parts(stamp: Mapping, profile: Profile) -> list[str]:
    """The parameters, and each stage by whose code a table was made, that are others now."""
    now = {"parameters": _parameters(profile), **stage_code()}
    return [part for part, value in _deciding(stamp).items() if now.get(part) != value]


def _deciding(stamp: Mapping) -> dict[str, str]:
    """Stage -> code, and the parameters."""
    return {"parameters": stamp.get("parameters", ""), **stamp.get("code", {})}


def read_stamps(results: Path) -> dict[str, dict]:
    """Table -> its stamp; none where no table has been saved. Raises InputError where the file is no JSON or was altered since."""
    path = Path(results) / STAMPS
    if not path.exists():
        return {}
    try:
        return read_sealed(path)
    except InputError as error:
        raise InputError(f"{error} Delete it and run the notebooks again.") from error


def check_unaltered(path: Path, command: str) -> None:
    """Raise InputError where a saved table has other bytes than its stamp says; command: what makes it again."""
    stamp = read_stamps(path.parent).get(path.stem)
    if stamp and stamp["sha256"] != file_fingerprint(path):
        raise InputError(f"{path}: was altered since it was saved, and is not used. Make it again with: {command}")


def check_one_origin(results: Path, names: Iterable[str], command: str) -> None:
    """Raise InputError unless all named tables come from the same parameters and, as far as each hangs on it, the same code; MissingInput
    where one has no stamp.

    command: what makes them.
    """
    stamps, made = read_stamps(results), {}
    for name in names:
        if name not in stamps:
            raise MissingInput(f"{Path(results) / name}.csv: not there yet, or saved by hand. Make it with: {command}")
        for part, value in _deciding(stamps[name]).items():
            made.setdefault(part, {}).setdefault(value, []).append(name)
    if groups := next((groups for groups in made.values() if len(groups) > 1), None):
        parts = "; ".join(map(", ".join, groups.values()))
        raise InputError(
            f"{results}: the tables come from different versions of the code or of the profile ({parts}), and are not compared. "
            f"Make them all again with: {command} --from 01"
        )
