"""Where a figure, table, artefact or executed notebook comes from, and the command that makes it again."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

from ..base.errors import HybridIRError, InputError, did_you_mean
from ..base.files import ROOT, file_fingerprint, output_root
from ..experiment.run import reference_figures, reference_tables, run_command
from ..experiment.stamps import read_stamps
from ..provenance.artefacts import RECORD, is_whole, recipe_of
from ..provenance.fingerprints import read_sealed
from .records import ALTERED, AS_RECORDED, GONE, Record, code_cells, parsed, read_record, state_of
from .running import below, notebooks

UNCHECKED, NOT_RECORDED, COMMITTED = "not checked", "not recorded", "as committed"
DRAWN = (".png", ".svg", ".md")  # from tables
WRITTEN = "reference.json"  # beside the reference's tables: what was written with them
SHOWN = 20  # inputs named one by one, those that are not as they were first
ARTEFACT = re.compile(r"[\w.-]+-[0-9a-f]{10}")
NAME = r'"(?:[\w+=-]|\\u[0-9a-f]{4})?(?:[\w+=.-]|\\u[0-9a-f]{4})*"'  # of a run or table, in JSON: leads nowhere else
EMBEDDED = re.compile(rf'{{"notebook": {NAME}, "run": {NAME}, "tables": {{(?:{NAME}: {NAME}(?:, )?)*}}}}'.encode())


@dataclass(frozen=True)
class Input:
    """Something that was read: its SHA-256 then (of an artefact: of its record), and what it is like now."""

    name: str
    sha256: str
    state: str


@dataclass(frozen=True)
class Provenance:
    """Where a file comes from; what is not recorded is empty. parameters: those that differ from the profile's file.

    recipe: of an artefact. state: of the file itself. command: makes it again.
    """

    path: Path
    kind: str
    state: str = NOT_RECORDED
    notebook: str = ""
    run: str = ""
    profile: str = ""
    parameters: Mapping = ()
    commit: str = ""
    inputs: tuple[Input, ...] = ()
    command: str = ""
    recipe: Mapping = ()
    status: str = ""


def provenance_of(path: str | Path) -> Provenance:
    """The origin of a figure (PNG, SVG), table (CSV, Markdown), artefact (its folder or a file in it), executed notebook or its record.

    Raises InputError, with the nearest file, for a path that is not there, and for a file of which nothing is recorded.
    """
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise InputError(f"{path}: no such file{_nearest(path)}")
    folder = next((place for place in (path, *path.parents) if (place / RECORD).is_file()), None)
    if folder:
        return _of_artefact(path, folder)
    kinds = dict.fromkeys(DRAWN, _of_figure) | {".csv": _of_table, ".ipynb": _of_notebook, ".json": _of_notebook}
    found = kinds[path.suffix](path) if path.suffix in kinds and path.is_file() else None
    if found is None:
        raise InputError(
            f"{path}: nothing is recorded of it. Records are kept of figures (PNG, SVG), tables (CSV, Markdown), artefacts (folders with "
            f"{RECORD}) and executed notebooks."
        )
    return found


def _nearest(path: Path) -> str:
    """The nearest of the names beside it, or of all figures and tables."""
    root = output_root()
    everything = (*root.glob("data/runs/*/figures/*"), *root.glob("data/runs/*/results/*"), *ROOT.glob("figures/*/*"))
    near = did_you_mean(path.name, [place.name for place in (path.parent.iterdir() if path.parent.is_dir() else everything)])
    return near if path.parent.is_dir() or near == "." else f"{near} Figures and tables lie below {root / 'data' / 'runs'}."


def _of_figure(path: Path) -> Provenance | None:
    """A figure or a table for readers, by what it carries."""
    found = embedded(path)
    if not found:
        return None
    results = _tables_of(path, found["run"])
    tables, stamps = found["tables"], _stamps(results)
    stamp = next((stamps[table] for table in tables if table in stamps), {})
    places = {table: results / f"{table}.csv" for table in tables}
    inputs = tuple(Input(below(place), tables[table], state_of(place, tables[table])) for table, place in places.items())
    verb, kind = ("figures", "table") if path.suffix == ".md" else ("run", "figure")
    notebook = next((each.stem for each in notebooks() if each.stem.startswith(f"{found['notebook']}_")), "")
    digest = written_with(found["run"]).get("figures", {}).get(path.name) if path.parent == reference_figures(found["run"]) else None
    state = NOT_RECORDED if digest is None else COMMITTED if digest == file_fingerprint(path) else ALTERED
    return _with_record(Provenance(path, kind, state, inputs=inputs, **_about(found["run"], stamp, notebook, verb)))


def _tables_of(figure: Path, run: str) -> Path:
    """The tables beside a figure; of one that was drawn from the reference, those of the reference."""
    beside = figure.parent.parent / "results"
    return beside if figure.is_relative_to(output_root()) and any(beside.glob("*.csv")) else reference_tables(run)


def _of_table(path: Path) -> Provenance | None:
    name = path.stem
    if not (stamp := _stamps(path.parent).get(name)):
        return None
    about = _about(stamp["run"], stamp, stamp["notebook"] or keeper(name), "check" if name == "check" else "run")
    rooms = {room: text.split(" · ") for room, text in stamp["inputs"].items()}
    inputs = tuple(Input(f"{room} ({count})", digest, UNCHECKED) for room, (count, digest) in rooms.items())
    return _with_record(Provenance(path, "table", state_of(path, stamp["sha256"]), inputs=inputs, **about))


def _about(run: str, stamp: Mapping, notebook: str, verb: str) -> dict:
    """What a table's stamp says of where it was made."""
    about = {"run": run, "notebook": notebook, "profile": stamp.get("profile", ""), "parameters": stamp.get("changed", {})}
    command = run_command(stamp["profile"], stamp["changed"], notebook, verb) if stamp else ""
    return about | {"commit": stamp.get("commit", ""), "command": command}


def _with_record(found: Provenance) -> Provenance:
    """With what the suite recorded, unless the file has been written anew since, and says by what."""
    place = below(found.path)
    files = output_root().glob(f"data/runs/{escape(found.run)}/notebooks/{escape(found.notebook)}.run.json") if found.notebook else ()
    record = next((record for record in map(read_record, files) if record and place in record.outputs), None)
    if record is None or (found.state == AS_RECORDED and record.outputs[place] != file_fingerprint(found.path)):
        return found
    own = found if found.kind == "figure" else replace(found, inputs=_inputs(record))
    return replace(own, state=state_of(found.path, record.outputs[place]), commit=record.commit, status=record.status)


def _of_notebook(path: Path) -> Provenance | None:
    """An executed copy, the copy of a failed run, or a record beside them."""
    stem = re.sub(r"(\.failed)?\.ipynb$|\.run\.json$", "", path.name)
    record = read_record(path.with_name(f"{stem}.run.json"))
    if record is None:
        return None
    origin, digest = record.origin, record.outputs.get(below(path))
    about = {"run": origin["run"], "profile": origin["profile"], "parameters": origin["changed"], "commit": record.commit}
    command, state = run_command(origin["profile"], origin["changed"], stem), state_of(path, digest) if digest else NOT_RECORDED
    return Provenance(path, "executed notebook", state, stem, inputs=_inputs(record), command=command, status=record.status, **about)


def _inputs(record: Record) -> tuple[Input, ...]:
    files = [Input(name, digest, state_of(output_root() / name, digest)) for name, digest in record.inputs.items()]
    return (*files, *(Input(name, digest, UNCHECKED) for name, digest in record.parts.get("data", {}).items()))


def _of_artefact(path: Path, folder: Path) -> Provenance:
    """An artefact's folder, or a file in it. What it was made from stands in its recipe by name, which ends in a fingerprint."""
    try:
        record = recipe_of(folder)
        recipe, origin = dict(record["recipe"]), dict(record.get("origin", {}))
        names = [value for value in recipe.values() if isinstance(value, str) and ARTEFACT.fullmatch(value)]
    except (HybridIRError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        advice = "Delete the folder; the next run makes it again."
        raise InputError(f"{folder / RECORD}: no record of an artefact ({error}). {advice}") from error
    inputs = tuple(_artefact_input(folder.parent.parent, name) for name in dict.fromkeys(names))
    data = (Input("data", recipe["data"], UNCHECKED),) if "data" in recipe else ()
    about = {key: origin.get(key, "") for key in ("notebook", "run", "profile")} | {"commit": record.get("commit", "")}
    command = run_command(origin["profile"], origin["changed"], origin["notebook"]) if origin else ""
    return Provenance(
        path, "artefact", AS_RECORDED if is_whole(folder) else ALTERED, parameters=origin.get("changed", {}), inputs=inputs + data,
        command=command, recipe=recipe, **about,
    )  # fmt: skip


def _artefact_input(runs: Path, name: str) -> Input:
    folder = next(runs.glob(f"*/{escape(name)}"), None)
    if folder is None or not (folder / RECORD).is_file():
        return Input(name, name[-10:], GONE)
    return Input(f"{folder.parent.name}/{name}", file_fingerprint(folder / RECORD), AS_RECORDED if is_whole(folder) else ALTERED)


def _stamps(results: Path) -> dict[str, dict]:
    try:
        return read_stamps(results)
    except HybridIRError:
        return {}


def as_text(found: Provenance) -> str:
    """A file's provenance in lines that a person reads."""
    parameters = ", ".join(f"{key} = {value}" for key, value in dict(found.parameters).items())
    recipe = ", ".join(f"{key} = {value}" for key, value in dict(found.recipe).items() if not isinstance(value, (list, dict)))
    lines = {
        "notebook": found.notebook + (f" ({found.status})" if found.status else ""),
        "run": ", ".join(filter(None, (found.run, f"profile {found.profile}" if found.profile else ""))),
        "parameters": parameters or ("the profile's" if found.profile else ""),
        **({"recipe": recipe} if found.recipe else {}),
        "commit": found.commit,
    }
    ordered = sorted(found.inputs, key=lambda each: each.state not in (ALTERED, GONE))
    inputs = [f"{each.name}  {each.sha256[:16]}  {each.state}" for each in ordered[:SHOWN]]
    inputs += [f"and {len(ordered) - SHOWN} more"] * (len(ordered) > SHOWN)
    shown = [f"{key:12}{value or NOT_RECORDED}" for key, value in lines.items()]
    shown += [f"{'inputs' * (not i):12}{line}" for i, line in enumerate(inputs or [NOT_RECORDED])]
    tables = f"; its tables {ordered[0].state}" if ordered and found.path.suffix in DRAWN else ""
    return "\n".join([f"{found.path}: {found.kind}, {found.state}{tables}", *shown, f"{'rebuild':12}{found.command or NOT_RECORDED}"])


def embedded(path: Path) -> dict:
    """notebook, run and tables that a figure (PNG, SVG) or a Markdown table carries (`figures.provenance`); empty where it has none.

    It stands there as it is, and what a file carries may be anybody's: what is no name of ours, and might lead elsewhere, is none.
    """
    found = EMBEDDED.findall(path.read_bytes())
    return json.loads(found[-1]) if found else {}


def written_with(run: str) -> dict:
    """What the committed reference of a run says that was written together; empty where there is none, or it was altered."""
    try:
        return read_sealed(reference_tables(run) / WRITTEN)
    except InputError:
        return {}


def keeper(table: str) -> str:
    """The suite's notebook that saves a table of this name; "" where none does."""
    return next((path.stem for path in notebooks() if table in kept_tables(path)), "")


def kept_tables(notebook: Path) -> set[str]:
    """Names of the tables in the notebook's calls of `notebook.save`."""
    calls = [node for cell in code_cells(notebook) for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)]
    return {keyword.arg for call in calls if ast.unparse(call.func) == "notebook.save" for keyword in call.keywords if keyword.arg}
