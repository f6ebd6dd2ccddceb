"""A site of a run's notebooks that opens without the web: a start page, a page a notebook, the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..base.errors import MissingInput
from ..base.files import writing
from ..experiment.run import Run, changes_of, run_command, run_folder
from .report import notebook_part, rendered, template
from .running import Step, notebooks, said
from .writeback import SHOWN

START, REPORT = "index.html", "report.html"


def write_site(run: Run) -> Path:
    """Write the site of a run, `data/runs/<run>/site`, whole or not at all; returns its start page.

    Where the run reads the reference, its notebooks are those of the checkout with their outputs. Raises MissingInput, with the command,
    where a notebook has not been executed; InputError where the folder cannot be written.
    """
    steps = [Step(path, run) for path in notebooks()]
    books = {_page_of(step.notebook): _outputs(step) for step in steps}
    parts = {_page_of(step.notebook): notebook_part(step) for step in steps}
    report = rendered(run, list(parts.values()), lambda path: _page_of(path) if path in books.values() else "")
    bodies, cards = (
        {START: "", **{name: _body(path) for name, path in books.items()}},
        {name: _card(parts[name], path) for name, path in books.items()},
    )
    page, common = template("site.html"), {"run": run, "parts": parts, "cards": cards, "report": REPORT, "start": START}
    pages = {name: page.render(name=name, body=body, **common) for name, body in bodies.items()}
    return _replace(run_folder(run.name) / "site", pages | {REPORT: report}) / START


def _page_of(notebook: Path) -> str:
    return f"{notebook.stem}.html"


def _outputs(step: Step) -> Path:
    """The copy of a notebook that holds the run's outputs."""
    path = step.notebook if step.run.committed and step.run.name == SHOWN else step.executed
    if not path.is_file():
        command = run_command(step.run.source, changes_of(step.run))
        raise MissingInput(f"{path}: no executed notebook, of which a site is made. Run the notebooks first: {command}")
    return path


def _body(notebook: Path) -> str:
    """The notebook as HTML that loads nothing: nbconvert's basic template has no scripts, and pictures stand in the page."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True)
    return exporter.from_filename(str(notebook))[0]


def _card(part: dict, notebook: Path) -> dict:
    """The main figure of a notebook, where it has one, and its first finding, else what it asks."""
    return {"figures": part["figures"][:1], "finding": next(iter(said(notebook)), part["lead"])}


def _replace(folder: Path, pages: Mapping[str, str]) -> Path:
    """Make the folder hold these pages and nothing else; until all are written, what was there stays."""
    temporary = folder.with_name(f".{folder.name}.part")
    with writing(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            for name, text in pages.items():
                (temporary / name).write_text(text, encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
