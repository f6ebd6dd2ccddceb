"""Run the notebooks in order, headless, one process each; skip what is up to date."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..base.errors import HybridIRError, UnknownName, need_known
from ..base.files import NOTEBOOKS, file_fingerprint, need_checkout, output_root, read_json, writing
from ..experiment.run import Run, origin_of, settings_of
from ..experiment.sources import check_places
from ..provenance import reads
from ..provenance.artefacts import cut, hold, recipe_of
from ..provenance.fingerprints import PACKAGE, commit
from .cells import DONE, KERNEL_DIED, UP_TO_DATE, forget_cells, own_code_cells, part_of, shown
from .child import Ended, watch
from .readers import write_tables
from .records import FAILED, KILLED, OK, TIMEOUT, Record, begun, data_parts, parameter_names, parts_of, read_record, why, write_record

LONG = 120  # characters of reasons
HEADLINE = 240  # characters of a finding that the command prints
SOCKETS = "/tmp"  # where those go by which papermill and the kernel speak: their paths may have no more than 107 characters


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
        return self.run.notebooks / self.notebook.name

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


def run_suite(
    run: Run, start_at: str = "", only: str = "", timeout: float | None = None, say: Callable[[str], object] | None = None
) -> list[Step]:
    """Execute the notebooks that are not up to date, and say why and what to look at first; returns all steps of the run.

    start_at: number or name of the first notebook to run again; only: the single one to run. timeout: seconds for each. say: gets the
    lines; else they are printed, in a terminal above a bar. Raises InputError before the first when a model or data set is not there, Busy
    when another suite works on the same run, NotebookFailed at the first failure; what ran before stays.
    """
    steps = chosen_steps(run, start_at, only)
    check_places(run.profile)
    for step in steps:
        declared_values(step)
    asked = [f"--only {only}"] if only else [f"--from {start_at}"] if start_at else []
    with hold(run.notebooks), nullcontext(say) if say else shown(len(steps), [run]) as tell:  # runs with other values work beside
        forget_cells(run.notebooks)
        data = data_parts(run.profile)
        for step in steps:
            _run_step(step, asked, data, tell, timeout)
    return steps


def _run_step(step: Step, asked: list[str], data: dict[str, str], say, timeout: float | None) -> None:
    parts, name = parts_of(step.notebook, step.run.profile, data), step.notebook.stem
    if not (reasons := asked or why(read_record(step.record), parts, step.run)):
        say(f"{name}: {UP_TO_DATE}")
        return
    say(f"{name}: running ({cut('; '.join(reasons), LONG)})")
    try:
        record = execute(step, parts, timeout)
    finally:
        write_tables(step.run)  # never older than the tables that they show, also where the notebook stopped
    say(f"{name}: {DONE} {record.seconds:.0f} s")
    for line in first_look(step, record):
        say(f"    {line}")


def chosen_steps(run: Run, start_at: str = "", only: str = "") -> list[Step]:
    """The notebooks that `run_suite` is asked for; raises UnknownName where an option names none."""
    everything, asked = notebooks(), only or start_at
    asked = asked.zfill(2) if asked.isdigit() else asked
    chosen = [path for path in everything if path.stem.startswith(asked)]
    if not chosen:
        raise UnknownName("notebook", asked, [path.stem for path in everything])
    return [Step(path, run) for path in (chosen if only else everything[everything.index(chosen[0]) :])]


def execute(step: Step, parts: Mapping, timeout: float | None = None) -> Record:
    """Run one notebook in a process of its own. Its record says "running" meanwhile, and how it ended after. Raises NotebookFailed."""
    with writing(step.executed):
        step.executed.parent.mkdir(parents=True, exist_ok=True)
    record, trace = _begin(step, parts), step.executed.with_suffix(".trace")
    trace.unlink(missing_ok=True)
    copy = part_of(step.executed)
    copy.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"{__package__}.cells", str(step.notebook), str(copy), json.dumps(declared_values(step))]
    try:
        with TemporaryDirectory(prefix="hybridir-", dir=SOCKETS if os.access(SOCKETS, os.W_OK) else None) as sockets:
            ended = watch([*command, sockets], _environment(step, record, trace), timeout)
    except BaseException:
        write_record(step.record, replace(record, status=KILLED, error=f"{step.notebook.name}: interrupted"))
        raise
    record = _ended(step, record, ended, copy, trace)
    write_record(step.record, record)
    trace.unlink(missing_ok=True)
    if record.status != OK:
        raise NotebookFailed(record.error + (f"\nExecuted copy: {step.failed}" if step.failed.exists() else ""))
    return record


def _environment(step: Step, record: Record, trace: Path) -> dict[str, str]:
    """The package of this process comes first, before another checkout's that is installed."""
    origin = {"notebook": step.notebook.stem, **record.origin}
    package = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    own = {reads.FILE: str(trace), reads.ORIGIN: json.dumps(origin, sort_keys=True)}
    return {**settings_of(step.run), **own, "PYTHONPATH": package}


def _begin(step: Step, parts: Mapping) -> Record:
    """The record of an execution that begins, on the disk."""
    before = read_record(step.record)
    known = {"outputs": before.outputs, "usual_seconds": before.usual_seconds} if before else {}
    record = begun(step.notebook.name, dict(parts), commit=commit(), origin=origin_of(step.run), **known)
    write_record(step.record, record)
    return record


def _ended(step: Step, record: Record, ended: Ended, copy: Path, trace: Path) -> Record:
    """The record at the end, the executed copy in its place."""
    used, wrote, device = reads.read_trace(trace)
    status = {0: OK, None: TIMEOUT, KERNEL_DIED: KILLED}.get(ended.code, KILLED if (ended.code or 0) < 0 else FAILED)
    with writing(step.executed):
        step.failed.unlink(missing_ok=True)
        if copy.exists():
            copy.replace(step.executed if status == OK else step.failed)  # the copy of an earlier run that ended well stays
    about = {"seconds": ended.seconds, "peak_memory_mb": ended.peak_memory_mb, "device": device}
    if status == OK:
        about["usual_seconds"] = round(max(0.0, ended.seconds - _trained(wrote) / side_by_side(step.run)), 1)
        wrote[str(step.executed)] = file_fingerprint(step.executed)
    else:
        about["error"] = _failure(step, status, ended)
    return replace(record, status=status, **about, **_files(record, used, wrote))


def _files(record: Record, used: dict[str, str], wrote: dict[str, str]) -> dict:
    """inputs and outputs: what was written, and what the notebook once wrote and has found again, is its own."""
    used, wrote = ({below(path): digest for path, digest in files.items()} for files in (used, wrote))
    outputs = {path: digest for path, digest in used.items() if path in record.outputs} | wrote
    return {"inputs": {path: digest for path, digest in used.items() if path not in outputs}, "outputs": outputs}


def below(path: str) -> str:
    """A file's place below the output folder, or its full one."""
    place, root = Path(path), output_root()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)


def _trained(wrote: Iterable[str]) -> float:
    """Seconds of the training runs among what was written, one after the other."""
    encoders = [Path(path).parent for path in wrote if Path(path).parents[1].name == "encoders"]
    return round(sum(recipe_of(folder)["seconds"] for folder in encoders), 1)


def side_by_side(run: Run) -> int:
    """How many training runs go on at once."""
    return 1 if run.profile.processes > 1 else max(1, min(run.profile.jobs, os.cpu_count() or 1))


def declared_values(step: Step) -> dict:
    """The parameters a notebook declares, with the run's values; `profile` names the profile's file."""
    values = step.run.profile.model_dump(mode="json")
    names = parameter_names(step.notebook)
    need_known(f"parameter (in {step.notebook.name})", names, ["profile", *values])
    return {name: step.run.source if name == "profile" else values[name] for name in names}


def first_look(step: Step, record: Record) -> Iterator[str]:
    """The first of the findings that the notebook opens with, and the path of its first figure; none where there are none."""
    if sentences := said(step.executed):
        yield textwrap.shorten(sentences[0], HEADLINE, placeholder=" …")
    figures = [output_root() / path for path in record.outputs if path.endswith(".png")]
    yield from (os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path) for path in figures[:1])


def said(executed: Path) -> list[str]:
    """The sentences of the first list in an executed copy (`notebook.say`) that lie open, without marks of Markdown."""
    outputs = [output for cell in read_json(executed)["cells"] for output in cell.get("outputs", ())]
    texts = ["".join(output.get("data", {}).get("text/markdown", ())) for output in outputs]
    lines = next((text for text in texts if text.startswith("- ")), "").partition("\n\n")[0].splitlines()
    return [line.removeprefix("- ").replace("**", "").replace("`", "") for line in lines]


def _failure(step: Step, status: str, ended: Ended) -> str:
    """Notebook, number of the cell that failed or was running, and the last line of its error, from the executed copy."""
    import nbformat

    how = _how(status, ended)
    try:
        own = own_code_cells(nbformat.read(step.failed, as_version=4).cells)
    except (OSError, ValueError):
        return f"{step.notebook.name}: {how} before any cell was saved"
    entered = [number for number, cell in enumerate(own, 1) if cell["metadata"].get("papermill", {}).get("status", "pending") != "pending"]
    for number, cell in enumerate(own, 1):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                last = [line for line in output["evalue"].splitlines() if line.strip()][-1:]
                return f"{step.notebook.name}, code cell {number}: {': '.join([output['ename'], *last])}"
    return f"{step.notebook.name}{f', code cell {entered[-1]}' if entered else ''}: {how}"


def _how(status: str, ended: Ended) -> str:
    if status == TIMEOUT:
        return f"stopped after {ended.seconds:.0f} s (--timeout)"
    if status == FAILED:
        return f"ended with exit status {ended.code}"
    return "its kernel was killed, most likely for want of memory" if ended.code == KERNEL_DIED else f"killed by signal {-ended.code}"
