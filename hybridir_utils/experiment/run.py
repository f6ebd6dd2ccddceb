"""Where a notebook stands: its resolved parameters, its folders, and the artefacts in them, made where they are missing."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ..base.errors import InputError, MissingInput
from ..base.files import ROOT, fingerprint, output_root, parse_json, write_csv
from ..base.progress import told_while
from ..provenance import reads
from ..provenance.artefacts import RECORD, Artefact
from .profile import MEANS, Profile, load_profile
from .stamps import read_stamps, stamp

SET_VARIABLE = "HYBRIDIR_SET"
K = TypeVar("K")


@dataclass(frozen=True)
class Run:
    """A profile with the changes a notebook or command made to it, and the folders that follow from both.

    All that is written lies below the output folder's `data/runs`. committed: the tables are read from the reference in the checkout, and
    none is saved.
    """

    profile: Profile
    name: str
    source: str  # name or file of the profile, as given
    committed: bool = False

    @property
    def artefacts(self) -> Path:
        """Pairs, encoders and evaluations; shared by every variant of the profile, told apart by fingerprint."""
        return run_folder(self.profile.name)

    @property
    def results(self) -> Path:
        """Small tables that figures and reports are made of."""
        return reference_tables(self.name) if self.committed else run_folder(self.name) / "results"

    def has(self, table: str) -> bool:
        """Whether a result table of this name is saved."""
        return (self.results / f"{table}.csv").is_file()

    @property
    def figures(self) -> Path:
        return run_folder(self.name) / "figures"

    @property
    def notebooks(self) -> Path:
        """Executed copies, and the record of each."""
        return run_folder(self.name) / "notebooks"

    @property
    def report(self) -> Path:
        return run_folder(self.name) / "report.html"


def run_folder(name: str) -> Path:
    """Where a run of this name writes."""
    return output_root() / "data" / "runs" / name


def reference_tables(name: str) -> Path:
    """The committed tables of a run of this name; only `run --write-back` writes there."""
    return ROOT / "data" / "results" / name


def reference_figures(name: str) -> Path:
    """The committed figures and Markdown tables, likewise."""
    return ROOT / "figures" / name


def saved_run(run: Run) -> Run:
    """The run, or where it has saved no table and the checkout has its reference, the one that reads that."""
    committed = not any(run.results.glob("*.csv")) and any(reference_tables(run.name).glob("*.csv"))
    return replace(run, committed=committed)


def open_run(profile: str = "sample", /, **changes) -> Run:
    """The run of a profile (name or TOML file); changed values give it a name of its own, such as `sample+alpha=0.3`.

    A change to None is none: the profile's own value holds. In a notebook that the suite executes, the command's changes hold first
    (`settings_of`, through the environment).
    """
    given = parse_json(os.environ.get(SET_VARIABLE, "{}"), SET_VARIABLE)
    if not isinstance(given, dict):
        raise InputError(f"{SET_VARIABLE}: expected a JSON object of parameters, found {given!r}.")
    changes = {key: value for key, value in (changes | given).items() if value is not None or key not in Profile.model_fields}
    base, resolved = load_profile(profile), load_profile(profile, changes)
    source = str(Path(profile).expanduser().resolve()) if profile.endswith(".toml") else profile  # as records name it
    return Run(resolved, base.name + variant_suffix(base, resolved), source)


def own_run(run: Run) -> Run:
    """The profile's own run, as its file stands."""
    base = load_profile(run.source)
    return replace(run, profile=base, name=base.name)


def named_run(name: str) -> Run:
    """The run of this name, as the stamp of its saved scores tells it; raises MissingInput where it has saved none."""
    known = read_stamps(run_folder(name) / "results").get("scores")
    if known is None:
        raise MissingInput(f"run {name!r}: no saved scores in {run_folder(name) / 'results'}. Run its notebooks first.")
    return Run(load_profile(known["profile"], known["changed"]), name, known["profile"])


def settings_of(run: Run) -> dict[str, str]:
    """The environment variable that tells a notebook's process what the run changes in its profile."""
    return {SET_VARIABLE: json.dumps(changes_of(run))}


def changes_of(run: Run) -> dict:
    """What the run changes in its profile's file, as JSON has it."""
    values, base = run.profile.model_dump(mode="json"), load_profile(run.source).model_dump(mode="json")
    return {key: value for key, value in values.items() if value != base[key]}


def origin_of(run: Run) -> dict:
    """What stamps and artefacts say of the run they are made for."""
    return {"run": run.name, "profile": run.source, "changed": changes_of(run)}


def run_command(profile: str, changed: dict, notebook: str = "", verb: str = "run") -> str:
    """The command, for the shell, that makes a run of these values, or one notebook of it; verb: another command for the same run."""
    settings = [part for key, value in changed.items() for part in ("--set", f"{key}={_written(value)}")]
    only = ["--only", notebook.split("_")[0]] if notebook else []
    return shlex.join(["python", "-m", "hybridir_utils", verb, "--profile", profile, *settings, *only])


def _written(value: object) -> str:
    """A value as `--set` reads it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(part)}" for key, part in value.items()) + "}"
    return json.dumps(value)


def variant_suffix(base: Profile, resolved: Profile) -> str:
    """`+key=value` for each value that differs from the profile's file and can change a result; a fingerprint where that grows too long."""
    changed = {key: value for key, value in resolved.model_dump().items() if key not in MEANS and value != getattr(base, key)}
    suffix = "".join(f"+{key}={_short(value)}" for key, value in changed.items())
    plain = suffix.replace("+", "").replace("=", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
    return suffix if not changed or (plain and len(suffix) <= 60) else f"+{fingerprint(changed)[:10]}"


def _short(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def save_table(run: Run, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Write a result table as CSV (values to 6 significant digits), whole or not at all, stamp it, and return it.

    Raises InputError for a run that reads the reference, and where the disk is full or read-only.
    """
    if run.committed:
        raise InputError(f"{run.results}: the reference is written by `run --write-back` alone. Run the notebooks first.")
    path = run.results / f"{name}.csv"
    write_csv(path, table)
    reads.wrote(path)
    stamp(run.results, name, run.profile, origin_of(run))
    return table


def make_missing(wanted: Mapping[K, Artefact], given: Callable[[K], tuple], make_all: Callable[[list[tuple]], object]) -> dict[K, Path]:
    """Folder of every artefact that is wanted.

    make_all: does the jobs of those that are not whole, (artefact, *given(key)) each, as arguments of `make_one` or of a function like it.
    """
    with told_while("looking for what is made already", delay=0):
        missing = [(artefact, *given(key)) for key, artefact in wanted.items() if not artefact.is_whole()]
    make_all(missing)
    folders = {key: artefact.path for key, artefact in wanted.items()}
    reads.used(*(record for folder in folders.values() if (record := folder / RECORD).is_file()))
    return folders


def make_one(artefact: Artefact, *given) -> Path:
    """The artefact's folder; its maker is called with a temporary folder, the recipe, and what is given, on which no result depends."""
    with told_while(f"making {artefact.name}"):
        return artefact.make(lambda out: artefact.maker(out, artefact.recipe, *given))
