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
from ..base.files import file_fingerprint, output_root, read_json
from ..experiment.run import run_command
from ..experiment.stamps import read_stamps
from ..provenance.artefacts import RECORD, is_whole, recipe_of
from .records import Record, code_cells, read_record
from .running import notebooks

AS_RECORDED, ALTERED, GONE, UNCHECKED = "as recorded", "altered since", "not there", "not checked"
NOT_RECORDED = "not recorded"
SHOWN = 20  # inputs told one by one, those that are not as they were first
ARTEFACT = re.compile(r"[\w.-]+-[0-9a-f]{10}")


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
    kinds = {".png": _of_figure, ".svg": _of_figure, ".md": _of_figure, ".csv": _of_table, ".ipynb": _of_notebook, ".json": _of_notebook}
    if path.is_dir() or path.suffix not in kinds:
        raise InputError(f"{path}: {_nothing()}")
    return kinds[path.suffix](path)


def _nothing() -> str:
    return (
        "nothing is recorded of it. Records are kept of figures (PNG, SVG), tables (CSV, Markdown), artefacts (folders with "
        f"{RECORD}) and executed notebooks."
    )


def _nearest(path: Path) -> str:
    """The nearest of the names beside it, or of all figures and results."""
    root = output_root()
    beside = list(path.parent.iterdir()) if path.parent.is_dir() else [*root.glob("figures/*/*"), *root.glob("data/results/*/*")]
    near = did_you_mean(path.name, [place.name for place in beside])
    return near if path.parent.is_dir() or near == "." else f"{near} Figures and tables lie below {root}."


def _of_figure(path: Path) -> Provenance:
    """A figure or a table for readers: by what it carries, else by its place and name alone."""
    found, root = embedded(path), _root(path)
    if not found and path.parent.parent != root / "figures":
        raise InputError(f"{path}: {_nothing()}")
    run, tables = found.get("run", path.parent.name), found.get("tables", {})
    results = root / "data" / "results" / run
    number = found.get("notebook") or (path.name[:2] if path.name[:2].isdigit() else "")
    stamp = next((stamp for table, stamp in _stamps(results).items() if table in tables), {})
    places = {table: results / f"{table}.csv" for table in tables}
    inputs = tuple(Input(_below(place, root), tables[table], _state(place, tables[table])) for table, place in places.items())
    verb, kind = ("figures", "table") if path.suffix == ".md" else ("run", "figure")
    about = _about(run, results, stamp, _full_name(number), verb)
    return _with_record(Provenance(path, kind, inputs=inputs, **about), root)


def _of_table(path: Path) -> Provenance:
    results, name = path.parent, path.stem
    stamp = _stamps(results).get(name)
    if stamp is None:
        raise InputError(f"{path}: {_nothing()}")
    verb = "check" if name == "check" else "run"
    about = _about(stamp.get("run", results.name), results, stamp, stamp.get("notebook") or keeper(name), verb)
    state = _state(path, stamp["sha256"]) if "sha256" in stamp else NOT_RECORDED
    rooms = tuple(Input(f"{room} ({count})", digest, UNCHECKED) for room, (count, digest) in _rooms(stamp).items())
    return _with_record(Provenance(path, "table", state, inputs=rooms, **about), _root(path))


def _rooms(stamp: Mapping) -> dict[str, list[str]]:
    return {room: told.split(" · ") for room, told in stamp.get("inputs", {}).items()}


def _about(run: str, results: Path, stamp: Mapping, notebook: str, verb: str) -> dict:
    """What a stamp tells; the command alone, from beside the tables, where it is of an earlier version."""
    about = {"run": run, "notebook": notebook, "commit": stamp.get("commit", ""), "parameters": stamp.get("changed", {})}
    if "profile" in stamp:
        return about | {"profile": stamp["profile"], "command": run_command(stamp["profile"], stamp["changed"], notebook, verb)}
    beside = results / "about.json"
    command = read_json(beside).get("command", "") if beside.is_file() else ""
    return about | {"command": f"{command} --only {notebook[:2]}" if command and notebook else command}


def _with_record(trace: Provenance, root: Path) -> Provenance:
    """With what the suite recorded, unless the file has been written anew since, and says by what."""
    place = _below(trace.path, root)
    records = root.glob(f"data/runs/*/executed/{escape(trace.run)}/{escape(trace.notebook[:2])}_*.run.json") if trace.notebook else []
    record = next((record for record in map(read_record, records) if record and place in record.outputs), None)
    if record is None or (trace.state == AS_RECORDED and record.outputs[place] != file_fingerprint(trace.path)):
        return trace
    own = trace if trace.kind == "figure" else replace(trace, inputs=_inputs(record, root))
    return replace(own, state=_state(trace.path, record.outputs[place]), commit=record.commit, status=record.status)


def _of_notebook(path: Path) -> Provenance:
    """An executed copy, the copy of a failed run, or a record beside them."""
    stem = re.sub(r"(\.failed)?\.ipynb$|\.run\.json$", "", path.name)
    record = read_record(path.with_name(f"{stem}.run.json"))
    if record is None:
        raise InputError(f"{path}: {_nothing()}")
    root, origin = _root(path), record.origin
    place = _below(path, root)
    state = _state(path, record.outputs[place]) if place in record.outputs else NOT_RECORDED
    about = {"run": origin["run"], "profile": origin["profile"], "parameters": origin["changed"], "commit": record.commit}
    command = run_command(origin["profile"], origin["changed"], stem)
    return Provenance(path, "executed notebook", state, stem, inputs=_inputs(record, root), command=command, status=record.status, **about)


def _inputs(record: Record, root: Path) -> tuple[Input, ...]:
    files = [Input(name, digest, _state(root / name, digest)) for name, digest in record.inputs.items()]
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


def _state(path: Path, digest: str) -> str:
    try:
        return AS_RECORDED if file_fingerprint(path) == digest else ALTERED
    except OSError:
        return GONE


def _root(path: Path) -> Path:
    """The output folder that the path lies in, by the names of its folders; else the one in use."""
    for place in path.parents:
        below = path.relative_to(place).parts
        if below[0] == "figures" or below[:2] in (("data", "results"), ("data", "runs")):
            return place
    return output_root()


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _full_name(number: str) -> str:
    return next((path.stem for path in notebooks() if number and path.stem.startswith(f"{number}_")), number)


def _stamps(results: Path) -> dict[str, dict]:
    try:
        return read_stamps(results)
    except HybridIRError:
        return {}


def as_text(trace: Provenance) -> str:
    """The trace in lines that a person reads."""
    parameters = ", ".join(f"{key} = {value}" for key, value in dict(trace.parameters).items())
    lines = {
        "notebook": trace.notebook + (f" ({trace.status})" if trace.status else ""),
        "run": ", ".join(filter(None, (trace.run, f"profile {trace.profile}" if trace.profile else ""))),
        "parameters": parameters or ("the profile's" if trace.profile else ""),
        "recipe": ", ".join(f"{key} = {value}" for key, value in dict(trace.recipe).items() if not isinstance(value, (list, dict))),
        "commit": trace.commit,
    }
    if not trace.recipe:
        del lines["recipe"]
    ordered = sorted(trace.inputs, key=lambda each: each.state not in (ALTERED, GONE))
    inputs = [f"{each.name}  {each.sha256[:16]}  {each.state}" for each in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        inputs.append(f"and {len(ordered) - SHOWN} more")
    shown = [f"{key:12}{value or NOT_RECORDED}" for key, value in lines.items()]
    shown += [f"{'inputs' * (not i):12}{line}" for i, line in enumerate(inputs or [NOT_RECORDED])]
    return "\n".join([f"{trace.path}: {trace.kind}, {trace.state}", *shown, f"{'rebuild':12}{trace.command or NOT_RECORDED}"])


NAME = re.compile(r"[\w+=-]?[\w+=.-]*")
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}source"


def embedded(path: Path) -> dict:
    """notebook, run and tables that a figure (PNG, SVG) or a Markdown table carries (`figures.provenance`); empty where it has none."""
    readers = {".png": _in_png, ".svg": _in_svg, ".md": _in_markdown}
    try:
        found = json.loads(readers[path.suffix](path))
    except (OSError, SyntaxError, ValueError):  # also of a picture that is cut off or none at all
        return {}
    return found if _sound(found) else {}


def _sound(found: object) -> bool:
    """What a file carries may be anybody's: names are names, and lead nowhere else."""
    if not isinstance(found, dict) or not isinstance(found.get("tables"), dict):
        return False
    texts = [found.get("run"), found.get("notebook"), *found["tables"], *found["tables"].values()]
    return all(isinstance(text, str) and NAME.fullmatch(text) for text in texts)


def _in_png(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.info.get("Source", "")


def _in_svg(path: Path) -> str:
    from xml.etree import ElementTree

    return ElementTree.parse(path).findtext(f".//{DUBLIN_CORE}") or ""


def _in_markdown(path: Path) -> str:
    found = re.findall(r"^<!-- (\{.*\}) -->$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[-1] if found else ""


def keeper(table: str) -> str:
    """The suite's notebook that saves a table of this name; "" where none does."""
    return next((path.stem for path in notebooks() if table in kept_tables(path)), "")


def kept_tables(notebook: Path) -> set[str]:
    """Names of the tables in the notebook's calls of `notebook.keep`."""
    calls = [node for cell in code_cells(notebook) for node in _calls(cell) if ast.unparse(node.func) == "notebook.keep"]
    return {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}


def _calls(cell: str) -> list[ast.Call]:
    try:
        return [node for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return []
