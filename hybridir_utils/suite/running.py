"""Run the notebooks in order, headless, one process each; skip what is up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from ..base.errors import HybridIRError, UnknownName
from ..base.files import NOTEBOOKS, file_fingerprint, fingerprint, need_checkout, output_root, writing
from ..experiment.readiness import check_places
from ..experiment.run import Run, origin_of, settings_of
from ..provenance import reads
from ..provenance.artefacts import hold, recipe_of
from ..provenance.fingerprints import commit
from .cells import KERNEL_DIED, cell_file, own_code_cells
from .records import FAILED, KILLED, OK, TIMEOUT, Record, begun, data_parts, parameter_names, parts_of, read_record, why, write_record


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
    need_checkout()
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def run_suite(run: Run, start_at: str = "", only: str = "", say=print, timeout: float | None = None) -> list[Step]:
    """Execute the notebooks that are not up to date, and say why; returns all steps of the run.

    start_at: number or name of the first notebook to run again; only: the single one to run. timeout: seconds for each. Raises InputError
    before the first when a model or data set is not there, Busy when another suite works on the same run, NotebookFailed at the first
    failure; what ran before stays.
    """
    steps = chosen_steps(run, start_at, only)
    check_places(run.profile)
    for step in steps:
        declared_values(step)
    with hold(run.artefacts / "executed" / run.name):  # runs with other values work beside
        data = data_parts(run.profile)
        for step in steps:
            parts, name = parts_of(step.notebook, run.profile, data), step.notebook.stem
            asked = [f"--only {only}"] if only else [f"--from {start_at}"] if start_at else []
            if reasons := asked or why(read_record(step.record), parts, run):
                say(f"{name}: running ({'; '.join(reasons)})")
                say(f"{name}: done in {execute(step, parts, timeout):.0f} s")
            else:
                say(f"{name}: up to date")
    return steps


def chosen_steps(run: Run, start_at: str = "", only: str = "") -> list[Step]:
    """The notebooks that `run_suite` is asked for; raises UnknownName where an option names none."""
    return [Step(path, run) for path in _choose(start_at, only)]


def execute(step: Step, parts: Mapping, timeout: float | None = None) -> float:
    """Run one notebook in a process of its own; seconds it took. Raises NotebookFailed.

    Its record says "running" meanwhile, and how it ended after.
    """
    with writing(step.executed):
        step.executed.parent.mkdir(parents=True, exist_ok=True)
    record, traced = _begin(step, parts), step.executed.with_suffix(".trace")
    traced.unlink(missing_ok=True)
    copy = step.executed.with_name(f".{step.executed.name}.part.ipynb")
    copy.unlink(missing_ok=True)
    command = [sys.executable, "-m", "hybridir_utils.suite.cells", str(step.notebook), str(copy), json.dumps(declared_values(step))]
    origin = json.dumps({"notebook": step.notebook.stem, **record.origin}, sort_keys=True)
    try:
        ended = watch(command, {**settings_of(step.run), reads.FILE: str(traced), reads.ORIGIN: origin}, timeout)
    except BaseException:
        write_record(step.record, replace(record, status=KILLED, error=f"{step.notebook.name}: interrupted"))
        raise
    cell_file(copy).unlink(missing_ok=True)
    record = _ended(step, record, ended, copy, traced)
    write_record(step.record, record)
    traced.unlink(missing_ok=True)
    if record.status != OK:
        raise NotebookFailed(record.error + (f"\nExecuted copy: {step.failed}" if step.failed.exists() else ""))
    return record.seconds


def _begin(step: Step, parts: Mapping) -> Record:
    """The record of an execution that begins, on the disk."""
    before = read_record(step.record)
    about = {"commit": commit(), "origin": origin_of(step.run), "parameters": parts["profile"], "versions": parts["versions"]}
    if before:
        about |= {"outputs": before.outputs, "usual_seconds": before.usual_seconds}
    record = begun(step.notebook.name, fingerprint(parts), dict(parts), **about)
    write_record(step.record, record)
    return record


def _ended(step: Step, record: Record, ended: Ended, copy: Path, traced: Path) -> Record:
    """The record at the end, the executed copy in its place."""
    used, wrote, device = reads.read_trace(traced)
    status = {0: OK, None: TIMEOUT, KERNEL_DIED: KILLED}.get(ended.code, KILLED if (ended.code or 0) < 0 else FAILED)
    with writing(step.executed):
        step.failed.unlink(missing_ok=True)
        if copy.exists():
            copy.replace(step.executed if status == OK else step.failed)  # the copy of an earlier run that ended well stays
    if status == OK:
        wrote[str(step.executed)] = file_fingerprint(step.executed)
    about = {"seconds": ended.seconds, "peak_memory_mb": ended.peak_memory_mb, "device": device}
    about |= {"trained_seconds": _trained(wrote), "error": "" if status == OK else _failure(step, status, ended)}
    if status == OK:
        about["usual_seconds"] = round(max(0.0, ended.seconds - about["trained_seconds"] / side_by_side(step.run)), 1)
    return replace(record, status=status, **about, **_files(record, used, wrote))


def _files(record: Record, used: dict[str, str], wrote: dict[str, str]) -> dict:
    """inputs and outputs: what was written, and what the notebook once wrote and has found again, is its own."""
    used, wrote = ({_below(path): digest for path, digest in files.items()} for files in (used, wrote))
    outputs = {path: digest for path, digest in used.items() if path in record.outputs} | wrote
    return {"inputs": {path: digest for path, digest in used.items() if path not in outputs}, "outputs": outputs}


def _trained(wrote: Iterable[str]) -> float:
    """Seconds of the training runs among what was written, one after the other."""
    encoders = [Path(path).parent for path in wrote if Path(path).parents[1].name == "encoders"]
    return round(sum(recipe_of(folder)["seconds"] for folder in encoders), 1)


def side_by_side(run: Run) -> int:
    """How many training runs go on at once."""
    return 1 if run.profile.processes > 1 else max(1, min(run.profile.jobs, os.cpu_count() or 1))


def _below(path: str) -> str:
    """A file's place below the output folder, or its full one."""
    place, root = Path(path), output_root()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)


def declared_values(step: Step) -> dict:
    """The parameters a notebook declares, with the run's values; `profile` names the profile's file."""
    values = step.run.profile.model_dump(mode="json")
    names = parameter_names(step.notebook)
    for name in names:
        if name not in values and name != "profile":
            raise UnknownName(f"parameter (in {step.notebook.name})", name, ["profile", *values])
    return {name: step.run.source if name == "profile" else values[name] for name in names}


def _choose(start_at: str, only: str) -> list[Path]:
    everything = notebooks()
    for wanted in filter(None, (start_at, only)):
        if not any(path.stem.startswith(wanted) for path in everything):
            raise UnknownName("notebook", wanted, [path.stem for path in everything])
    if only:
        return [path for path in everything if path.stem.startswith(only)]
    first = next((i for i, path in enumerate(everything) if path.stem.startswith(start_at)), 0) if start_at else 0
    return everything[first:]


def _failure(step: Step, status: str, ended: Ended) -> str:
    """Notebook, number of the cell that failed or was running, and the last line of its error, from the executed copy."""
    import nbformat

    told = _as_text(status, ended)
    try:
        cells = nbformat.read(step.failed, as_version=4).cells
    except (OSError, ValueError):
        return f"{step.notebook.name}: {told} before any cell was saved"
    own = [cells[index] for index in own_code_cells(cells)]
    entered = [number for number, cell in enumerate(own, 1) if cell["metadata"].get("papermill", {}).get("status", "pending") != "pending"]
    for number, cell in enumerate(own, 1):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                last = [line for line in output["evalue"].splitlines() if line.strip()][-1:]
                return f"{step.notebook.name}, code cell {number}: {': '.join([output['ename'], *last])}"
    return f"{step.notebook.name}{f', code cell {entered[-1]}' if entered else ''}: {told}"


def _as_text(status: str, ended: Ended) -> str:
    if status == TIMEOUT:
        return f"stopped after {ended.seconds:.0f} s (--timeout)"
    if status == FAILED:
        return f"ended with exit status {ended.code}"
    return "its kernel was killed, most likely for want of memory" if ended.code == KERNEL_DIED else f"killed by signal {-ended.code}"


TICK = 0.5  # seconds between two looks at the memory
PATIENCE = 5.0  # seconds that a killed process gets to go


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: its exit status, negative for a signal; None where it took too long. peak_memory_mb: of it and all below."""

    code: int | None
    seconds: float
    peak_memory_mb: float


def watch(command: list[str], environment: Mapping[str, str], timeout: float | None = None) -> Ended:
    """Run a command to its end, or to `timeout` seconds; whatever it started ends with it, also when this process is interrupted."""
    started, peak, seen = time.monotonic(), 0, {}
    child = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        while (code := _status(child, timeout, started)) is None and not _late(timeout, started):
            peak = max(peak, _memory(child.pid, seen))
    finally:
        _end(child, seen)
    return Ended(code, round(time.monotonic() - started, 1), round(peak / 1e6, 1))


def _late(timeout: float | None, started: float) -> bool:
    return timeout is not None and time.monotonic() - started >= timeout


def _status(child: subprocess.Popen, timeout: float | None, started: float) -> int | None:
    left = TICK if timeout is None else min(TICK, max(0.0, timeout - time.monotonic() + started))
    try:
        return child.wait(left)
    except subprocess.TimeoutExpired:
        return None


def _memory(process: int, seen: dict[int, psutil.Process]) -> int:
    """Bytes in memory of a process and all below it (on Linux, what several share counts once); adds them to `seen`."""
    try:
        parent = psutil.Process(process)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0
    seen |= {found.pid: found for found in tree}
    return sum(map(_resident, tree))


def _resident(process: psutil.Process) -> int:
    try:
        return getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
    except psutil.Error:
        return 0


def _end(child: subprocess.Popen, seen: dict[int, psutil.Process]) -> None:
    """Kill what is left: the child first, which would start a kernel anew; what had already lost its parent is in `seen`."""
    _memory(child.pid, seen)
    for process in sorted(seen.values(), key=lambda found: found.pid != child.pid):
        try:
            process.kill()  # psutil looks first whether the number belongs to another process by now
        except psutil.Error:
            continue
    if child.poll() is None:
        child.kill()
        child.wait()
    psutil.wait_procs([process for process in seen.values() if process.pid != child.pid], PATIENCE)
