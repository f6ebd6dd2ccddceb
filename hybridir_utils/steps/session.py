"""Where a notebook stands: its resolved parameters and the folders it reads and writes."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..base import trace
from ..base.errors import InputError
from ..base.files import parse_json
from ..base.fingerprints import fingerprint
from ..base.places import output_root
from ..base.runs import writing
from .profiles import MEANS, Profile, load_profile
from .stamps import stamp

SETTINGS = "HYBRIDIR_SET"


@dataclass(frozen=True)
class Run:
    """A profile with the changes a notebook or command made to it, and the folders that follow from both."""

    profile: Profile
    name: str
    source: str  # name or file of the profile, as given

    @property
    def artefacts(self) -> Path:
        """Pairs, encoders and evaluations; shared by every variant of the profile, told apart by fingerprint."""
        return output_root() / "data" / "runs" / self.profile.name

    @property
    def results(self) -> Path:
        """Small tables that figures and reports are made of."""
        return output_root() / "data" / "results" / self.name

    @property
    def figures(self) -> Path:
        return output_root() / "figures" / self.name


def open_run(profile: str = "sample", /, **changes) -> Run:
    """The run of a profile (name or TOML file); changed values give it a name of its own, such as `sample+alpha=0.3`.

    In a notebook that the suite executes, the command's changes hold first (`settings_of`, through the environment).
    """
    given = parse_json(os.environ.get(SETTINGS, "{}"), SETTINGS)
    if not isinstance(given, dict):
        raise InputError(f"{SETTINGS}: expected a JSON object of parameters, found {given!r}.")
    changes = changes | given
    base, resolved = load_profile(profile), load_profile(profile, changes)
    return Run(resolved, base.name + variant_suffix(base, resolved), _as_given(profile))


def settings_of(run: Run) -> dict[str, str]:
    """The environment variable that tells a notebook's process what the run changes in its profile."""
    return {SETTINGS: json.dumps(changed_values(run))}


def changed_values(run: Run) -> dict:
    """What the run changes in its profile's file, as JSON has it."""
    values, base = run.profile.model_dump(mode="json"), load_profile(run.source).model_dump(mode="json")
    return {key: value for key, value in values.items() if value != base[key]}


def origin_of(run: Run) -> dict:
    """What stamps and artefacts say of the run they are made for."""
    return {"run": run.name, "profile": run.source, "changed": changed_values(run)}


def run_command(profile: str, changed: dict, notebook: str = "", verb: str = "run") -> str:
    """The command, for the shell, that makes a run of these values, or one notebook of it; verb: another command for the same run."""
    settings = [part for key, value in changed.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    only = ["--only", notebook.split("_")[0]] if notebook else []
    return shlex.join(["python", "-m", "hybridir_utils", verb, "--profile", profile, *settings, *only])


def _as_given(profile: str) -> str:
    """A profile's name, or its file's full path: notebooks run in a folder of their own."""
    return str(Path(profile).expanduser().resolve()) if profile.endswith(".toml") else profile


def variant_suffix(base: Profile, resolved: Profile) -> str:
    """`+key=value` for each value that differs from the profile's file and can change a result; a fingerprint where that grows too long."""
    changed = {key: value for key, value in resolved.model_dump().items() if key not in MEANS and value != getattr(base, key)}
    suffix = "".join(f"+{key}={_short(value)}" for key, value in changed.items())
    plain = suffix.replace("+", "").replace("=", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
    return suffix if not changed or (plain and len(suffix) <= 60) else f"+{fingerprint(changed)[:10]}"


def _short(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def save_table(run: Run, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Write a result table as CSV (values to 6 significant digits) under a temporary name, rename it, stamp it, and return it."""
    path = run.results / f"{name}.csv"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        try:
            table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        trace.wrote(path)
        stamp(run.results, name, run.profile, origin_of(run))
    return table
