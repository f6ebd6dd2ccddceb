"""Run the notebooks in order, headless, one process each; skip what is up to date."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import HybridIRError, UnknownName
from ..base.files import write_text_atomically
from ..base.fingerprints import code_fingerprint, fingerprint, modules, versions
from ..base.places import NOTEBOOKS, output_root
from ..base.runs import hold, writing
from ..steps.corpora import data_fingerprint
from ..steps.readiness import check_places
from ..steps.session import Run, settings_of

PARAMETERS = "parameters"
INJECTED = "injected-parameters"  # papermill's tag of the cell it adds to an executed copy


class NotebookFailed(HybridIRError):
    """A notebook stopped; the message names notebook, cell and error, and the executed copy to open."""


@dataclass(frozen=True)
class Step:
    """One notebook of the suite within a run."""

    notebook: Path
    run: Run

    @property
    def executed(self) -> Path:
        """The executed copy."""
        return self.run.artefacts / "executed" / self.run.name / self.notebook.name

    @property
    def failed(self) -> Path:
        """The copy of a run that failed, to open and read."""
        return self.executed.with_suffix(".failed.ipynb")

    @property
    def record(self) -> Path:
        return self.executed.with_suffix(".run.json")


def notebooks() -> list[Path]:
    """The suite's notebooks in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def run_suite(run: Run, start_at: str = "", only: str = "", say=print) -> list[Step]:
    """Execute the notebooks that are not up to date; returns all steps of the run.

    start_at: number or name of the first notebook to run again; only: the single one to run. Raises InputError before the first
    when a model or data set is not there, Busy when another suite works on the same run, NotebookFailed at the first failure;
    what ran before stays.
    """
    check_places(run.profile)
    with hold(run.artefacts / "executed" / run.name):  # runs with other values work beside
        steps = chosen_steps(run, start_at, only)
        for step, digest, ready in steps:
            if ready:
                say(f"{step.notebook.stem}: up to date")
            else:
                say(f"{step.notebook.stem}: running")
                say(f"{step.notebook.stem}: done in {execute(step, digest):.0f} s")
    return [step for step, *_ in steps]


def chosen_steps(run: Run, start_at: str = "", only: str = "") -> list[tuple[Step, str, bool]]:
    """(step, fingerprint, whether it is ready) of the notebooks that `run_suite` is asked for; those that options name never are."""
    steps, chosen, upstream = [], choose(start_at, only), ""
    for path in notebooks():
        step = Step(path, run)
        upstream = step_fingerprint(step, upstream)
        if path in chosen:
            steps.append((step, upstream, not (start_at or only) and is_up_to_date(step, upstream)))
    return steps


def execute(step: Step, digest: str) -> float:
    """Run one notebook in a process of its own; seconds it took. Raises NotebookFailed."""
    started = time.time()
    with writing(step.executed):
        step.executed.parent.mkdir(parents=True, exist_ok=True)
        step.record.unlink(missing_ok=True)
    temporary = step.executed.with_name(f".{step.executed.name}.part.ipynb")
    given = json.dumps(declared_values(step))
    command = [sys.executable, "-m", "hybridir_utils.operate.execute", str(step.notebook), str(temporary), given]
    child = subprocess.run(command, env={**os.environ, **settings_of(step.run)}, check=False)
    seconds = time.time() - started
    if child.returncode:
        if temporary.exists():
            temporary.replace(step.failed)  # the copy of an earlier run that ended well stays
        _write_record(step, "failed", digest, seconds, [])
        raise NotebookFailed(_failure(step, child.returncode))
    temporary.replace(step.executed)
    step.failed.unlink(missing_ok=True)
    _write_record(step, "ok", digest, seconds, _written_since(step.run, started))
    return seconds


def _written_since(run: Run, started: float) -> list[str]:
    """Tables and figures written since a time, relative to the output root."""
    places = [path for folder in (run.results, run.figures) if folder.is_dir() for path in sorted(folder.iterdir())]
    return [str(path.relative_to(output_root())) for path in places if path.stat().st_mtime >= started - 1 and path.name[0] != "."]


def is_up_to_date(step: Step, digest: str) -> bool:
    """Whether the executed copy ended well with this fingerprint, and it and all it wrote are there."""
    try:
        record = json.loads(step.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    done = record.get("status") == "ok" and record.get("fingerprint") == digest
    return done and all(path.exists() for path in [step.executed, *(output_root() / name for name in record.get("outputs", []))])


def step_fingerprint(step: Step, upstream: str) -> str:
    """Fingerprint of a notebook's code cells, parameters, package code, data, and the notebooks before it."""
    import nbformat

    cells = [cell["source"] for cell in nbformat.read(step.notebook, as_version=4).cells if cell["cell_type"] == "code"]
    p = step.run.profile
    used = sorted({module for cell in cells for module in _package_modules(cell)})
    return fingerprint(
        [
            [ast.dump(_parsed(cell)) for cell in cells],
            declared_values(step),
            p.model_dump(),
            [code_fingerprint(module) for module in used],
            data_fingerprint(p.data_names, p.data_dir),
            versions(),
            upstream,
        ]
    )


def declared_values(step: Step) -> dict:
    """The parameters a notebook declares, with the run's values; `profile` names the profile's file."""
    values = step.run.profile.model_dump(mode="json")
    names = parameter_names(step.notebook)
    for name in names:
        if name not in values and name != "profile":
            raise UnknownName(f"parameter (in {step.notebook.name})", name, ["profile", *values])
    return {name: step.run.source if name == "profile" else values[name] for name in names}


def parameter_names(notebook: Path) -> list[str]:
    """Names assigned in the notebook's parameters cell."""
    import nbformat

    for cell in nbformat.read(notebook, as_version=4).cells:
        if PARAMETERS in cell["metadata"].get("tags", []):
            return [node.targets[0].id for node in ast.parse(cell["source"]).body if isinstance(node, ast.Assign)]
    return []


def _package_modules(cell: str) -> list[str]:
    """Package modules a cell imports, as `from hybridir_utils.room import x` or `from hybridir_utils.room.x import y`."""
    found = []
    for node in ast.walk(_parsed(cell)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hybridir_utils"):
            last = node.module.rpartition(".")[2]
            found += [last] if last in modules() else [alias.name for alias in node.names]
    return found


def _parsed(cell: str) -> ast.AST:
    """The cell's syntax tree, or its text as a constant: a cell that is no plain Python fails, or not, when it is run."""
    try:
        return ast.parse(cell)
    except SyntaxError:
        return ast.Constant(cell)


def choose(start_at: str, only: str) -> list[Path]:
    """The notebooks that `--from` and `--only` name; raises UnknownName where they name none."""
    everything = notebooks()
    for wanted in filter(None, (start_at, only)):
        if not any(path.stem.startswith(wanted) for path in everything):
            raise UnknownName("notebook", wanted, [path.stem for path in everything])
    if only:
        return [path for path in everything if path.stem.startswith(only)]
    first = next((i for i, path in enumerate(everything) if path.stem.startswith(start_at)), 0) if start_at else 0
    return everything[first:]


def _write_record(step: Step, status: str, digest: str, seconds: float, outputs: list[str]) -> None:
    record = {
        "notebook": step.notebook.name,
        "status": status,
        "fingerprint": digest,
        "seconds": round(seconds, 1),
        "outputs": outputs,
        "parameters": step.run.profile.model_dump(mode="json"),
        "versions": versions(),
    }
    write_text_atomically(step.record, json.dumps(record, indent=1, ensure_ascii=False))


def _failure(step: Step, code: int) -> str:
    """Notebook, cell number and error of the executed copy's failed cell."""
    import nbformat

    try:
        cells = nbformat.read(step.failed, as_version=4).cells
    except (OSError, ValueError):
        return f"{step.notebook.name}: ended with exit status {code} before any cell was saved."
    own = [cell for cell in cells if cell["cell_type"] == "code" and INJECTED not in cell["metadata"].get("tags", [])]
    for number, cell in enumerate(own, 1):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                return f"{step.notebook.name}, code cell {number}: {output['ename']}: {output['evalue']}\nExecuted copy: {step.failed}"
    return f"{step.notebook.name}: ended with exit status {code}; executed copy: {step.failed}"
