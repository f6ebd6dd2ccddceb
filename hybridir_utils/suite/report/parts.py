"""What the report shows of each notebook: its question, how its last execution ended, its figures with their origin, what is missing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...base.errors import MissingInput
from ...experiment.run import Run, changes_of, reference_figures, run_command
from ...results.figures import FIGURES, read_result
from ..records import FAILED, KILLED, OK, RUNNING, TIMEOUT, Record, read_record
from ..running import Step
from ..whence import ALTERED, GONE, Provenance, kept_tables, provenance_of
from .sentences import TEXTS

ALT_CHARACTERS = 500  # from where on an alternative text ends with the next sentence; all of them stand below the figure
NOT_RECORDED, NOT_RUN = "no record", "not run"
ENDED = {FAILED: "failed", KILLED: "was killed", TIMEOUT: "took too long and was ended", RUNNING: "has not ended"}


@dataclass(frozen=True)
class Figure:
    """question: the heading above it in the notebook. tables: it is drawn from. sentences: computed from them. picture: PNG as data URI.

    stale: names of the tables that have changed since it was drawn. vector: its SVG file.
    """

    name: str
    question: str
    caption: str
    tables: tuple[str, ...]
    sentences: tuple[str, ...]
    picture: str
    size: tuple[int, int]
    trace: Provenance
    stale: tuple[str, ...]
    vector: Path

    @property
    def alt(self) -> str:
        """The caption, then what the numbers say."""
        text = self.caption
        for sentence in self.sentences:
            if len(text) > ALT_CHARACTERS:
                break
            text += f" {sentence}"
        return text


@dataclass(frozen=True)
class NotebookPart:
    """lead: what it asks. record: of its last execution, if there is one. missing: what is not there, each with the command."""

    name: str
    title: str
    lead: str
    status: str
    record: Record | None
    executed: Path | None
    figures: tuple[Figure, ...]
    missing: tuple[tuple[str, str], ...]


def notebook_part(step: Step) -> NotebookPart:
    """What is there of a notebook of the run."""
    title, _, lead = _markdown(step.notebook)[0].partition("\n")
    record, names = read_record(step.record), [name for name in FIGURES if name[:2] == step.notebook.stem[:2]]
    drawn = [name for name in names if _picture(step.run, name).is_file()]
    copies = [path for path in (step.failed, step.executed) if path.is_file()]
    return NotebookPart(
        name=step.notebook.stem,
        title=title.lstrip("# "),
        lead=_plain(lead),
        status=_status(step, record),
        record=record,
        executed=copies[0] if copies else None,
        figures=tuple(_figure(step.run, name, _question(step.notebook, name)) for name in drawn),
        missing=(*_unfinished(step, record), *_not_drawn(step.run, set(names) - set(drawn))),
    )


def _status(step: Step, record: Record | None) -> str:
    if record:
        return record.status
    return NOT_RECORDED if any(_saved(step.run, table) for table in kept_tables(step.notebook)) else NOT_RUN


def _unfinished(step: Step, record: Record | None) -> Iterator[tuple[str, str]]:
    """Why the notebook stopped, and the tables that it has not saved."""
    command = run_command(step.run.source, changes_of(step.run))
    lacking = [table for table in sorted(kept_tables(step.notebook)) if not _saved(step.run, table)]
    if record and record.status != OK:
        yield f"The last execution {ENDED[record.status]}. {record.error}".strip(), command
    if lacking:
        yield f"Not there: {'tables' if len(lacking) > 1 else 'table'} {', '.join(lacking)}.", command


def _not_drawn(run: Run, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Figures that are not there although all their tables are."""
    for name in sorted(names):
        if all(_saved(run, table) for table in FIGURES[name].tables):
            yield f"Figure {name} is not drawn.", run_command(run.source, changes_of(run), verb="figures")


def _figure(run: Run, name: str, question: str) -> Figure:
    path = _picture(run, name)
    trace, data = provenance_of(path), path.read_bytes()
    return Figure(
        name=name,
        question=question,
        caption=FIGURES[name].caption,
        tables=FIGURES[name].tables,
        sentences=_sentences(run, name),
        picture="data:image/png;base64," + base64.b64encode(data).decode("ascii"),
        size=(int.from_bytes(data[16:20]), int.from_bytes(data[20:24])),  # of the PNG's first chunk
        trace=trace,
        stale=tuple(each.name for each in trace.inputs if each.state in (ALTERED, GONE)),
        vector=path.with_suffix(".svg"),
    )


def _picture(run: Run, name: str) -> Path:
    folders = (run.figures, reference_figures(run.name)) if run.committed else (run.figures,)
    return next((place for folder in folders if (place := folder / f"{name}.png").is_file()), run.figures / f"{name}.png")


def _sentences(run: Run, name: str) -> tuple[str, ...]:
    """None where a table is missing, or lacks what the sentences are about: the figure stands there without."""
    text = TEXTS[name]
    try:
        found = text.sentences(run.profile, {table: read_result(run, table) for table in text.tables})
    except (MissingInput, LookupError):
        return ()
    return tuple(map(_plain, found))


def _saved(run: Run, table: str) -> bool:
    return (run.results / f"{table}.csv").is_file()


def _markdown(notebook: Path) -> list[str]:
    import nbformat

    return [cell["source"] for cell in nbformat.read(notebook, as_version=4).cells if cell["cell_type"] == "markdown"]


def _question(notebook: Path, figure: str) -> str:
    """The heading of the section that shows the figure."""
    import nbformat

    heading = ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell["cell_type"] == "markdown" and cell["source"].startswith("## "):
            heading = cell["source"].splitlines()[0].removeprefix("## ")
        if f'"{figure}"' in cell["source"] and cell["cell_type"] == "code":
            return heading
    return heading


def _plain(markdown: str) -> str:
    """Without emphasis and code marks."""
    return re.sub(r"\*\*|`", "", " ".join(markdown.split()))
