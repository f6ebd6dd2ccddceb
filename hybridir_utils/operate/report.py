"""One HTML page of a run that opens without the web: what was run, claims, scores, figures with their origin, cost, what is missing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from ..base.errors import MissingInput
from ..base.files import write_text_atomically
from ..show.verdicts import SYMBOLS
from ..steps.session import Run, changed_values, run_command
from . import report_facts
from .report_parts import NotebookPart, notebook_part
from .report_tables import page_tables
from .suite import Step, notebooks

TEMPLATES = Path(__file__).with_name("templates")
# Characters that show nothing and change what is shown around them: control characters, marks and turns of direction, invisible spaces.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def write_report(run: Run) -> Path:
    """Write the page from the run's saved tables, figures and records; returns its path, `data/runs/<profile>/reports/<run>.html`.

    Raises MissingInput, with the command, where the run has neither tables nor records; InputError where a table cannot be read, or the
    page not be written: an earlier one stays.
    """
    parts = [notebook_part(Step(path, run)) for path in notebooks()]
    if not any(run.results.glob("*.csv")) and not any(part.record for part in parts):
        command = run_command(run.source, changed_values(run))
        raise MissingInput(f"{run.results}: no saved results to report. Run the notebooks first: {command}")
    path = run.artefacts / "reports" / f"{run.name}.html"
    write_text_atomically(path, rendered(run, parts, path.parent))
    return path


def rendered(run: Run, parts: list[NotebookPart], folder: Path) -> str:
    """The page as text; its links are relative to `folder`."""
    import jinja2

    options = {"autoescape": True, "finalize": visible, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), **options)
    environment.filters |= {"link": lambda path: link(path, folder), "duration": report_facts.duration, "moment": report_facts.moment}
    return environment.get_template("report.html").render(
        run=run, parts=parts, symbols=SYMBOLS, **report_facts.facts(run, parts), **page_tables(run)
    )


def visible(value: object) -> object:
    """Text whose invisible characters are told by number, so that none hides or turns what stands beside it."""
    return UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value) if type(value) is str else value


def link(path: Path, folder: Path) -> str:
    """The address of a file or folder from a page in `folder`; "" where it is not there."""
    return quote(Path(os.path.relpath(path, folder)).as_posix()) if path.exists() else ""
