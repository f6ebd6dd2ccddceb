"""HTML pages of a run that open without the web: its report (what was run, scores, claims, figures with their origin, cost, what is
missing), and a site of its notebooks with a start page.

What the template takes is plain: dicts of texts and numbers, and lists of them.
"""

from __future__ import annotations

import base64
import os
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from ..base.errors import MissingInput
from ..base.files import read_json, write_text_atomically, writing
from ..experiment.profile import load_profile
from ..experiment.run import Run, changes_of, reference_figures, run_command, run_folder
from ..experiment.stamps import changed_parts, read_stamps
from ..provenance.artefacts import replacing_folder
from ..results.figures import FIGURES, can_be_drawn, read_result
from ..results.style import DPI, PIXELS
from ..studies.claims.judging import CLAIMS, NOTES
from ..studies.claims.rules import SYMBOLS, UNTESTABLE, untestable
from ..studies.claims.sources import PAPER, compared_folders
from .plan import duration
from .readers import page_tables
from .records import ALTERED, FAILED, GONE, KILLED, OK, RUNNING, TIMEOUT, Record, notebook_cells, read_record
from .reference import SHOWN, compare_with_reference
from .running import Step, notebooks, said
from .whence import kept_tables, provenance_of

START, REPORT = "index.html", "report.html"  # of the site
TEMPLATES = Path(__file__).with_name("templates")
# Characters that show nothing and change what is shown around them: control characters, marks and turns of direction, invisible spaces.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
UNKNOWN, NOT_RECORDED, NOT_RUN = "not recorded", "no record", "not run"
ENDED = {FAILED: "failed", KILLED: "was killed", TIMEOUT: "took too long and was ended", RUNNING: "has not ended"}
SHORT = 12  # characters of a commit or fingerprint
ALT_CHARACTERS = 700  # of an alternative text: the caption, then what the numbers say; all of it stands below the figure
MAIN_FIGURES = ("03_scores", "08_methods")  # the first that a run has stands beside its scores, before the claims


def write_report(run: Run) -> Path:
    """Write the page from the run's saved tables, figures and records; returns its path, `data/runs/<run>/report.html`.

    Raises MissingInput, with the command, where the run has neither tables nor records; InputError where a table cannot be read, or the
    page not be written: an earlier one stays.
    """
    parts = [notebook_part(Step(path, run)) for path in notebooks()]
    if not any(run.results.glob("*.csv")) and not any(part["record"] for part in parts):
        command = run_command(run.source, changes_of(run))
        raise MissingInput(f"{run.results}: no saved results to report. Run the notebooks first: {command}")
    write_text_atomically(run.report, rendered(run, parts, partial(link, folder=run.report.parent)))
    return run.report


def rendered(run: Run, parts: list[dict], link_to: Callable[[Path], str]) -> str:
    """The page as text. link_to: the address of a file; "" where there is none."""
    page = template("report.html", link=link_to, duration=duration, moment=moment)
    return page.render(run=run, parts=parts, symbols=SYMBOLS, **facts(run, parts), **page_tables(run))


def template(name: str, **filters: Callable):
    """A template of this folder; texts put into it are escaped, and what they hide is shown."""
    import jinja2

    options = {"autoescape": True, "finalize": visible, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), **options)
    environment.filters |= filters
    return environment.get_template(name)


def visible(value: object) -> object:
    """Text whose invisible characters are shown by number, so that none hides or turns what stands beside it."""
    return UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value) if type(value) is str else value


def link(path: Path, folder: Path) -> str:
    """The address of a file or folder from a page in `folder`; "" where it is not there."""
    return quote(Path(os.path.relpath(path, folder)).as_posix()) if path.exists() else ""


def facts(run: Run, parts: Sequence[dict]) -> dict:
    """Everything that the page's template takes beside the notebooks and the tables."""
    records, base = [part["record"] for part in parts if part["record"]], load_profile(run.source).model_dump(mode="json")
    figures = {figure["name"]: figure for part in parts for figure in part["figures"]}
    found = compare_with_reference(run)
    return {
        "command": run_command(run.source, changes_of(run)),
        "written": moment(datetime.now(UTC).isoformat()),
        "about": _run_facts(run),
        "origin": {**_size_facts(run), **_machine_facts(run, records)},
        "main": next((figures[name] for name in MAIN_FIGURES if name in figures), None),
        "differences": [(key, as_text(base[key]), as_text(value)) for key, value in changes_of(run).items()],
        "earlier": _earlier(run),
        "beside": found.lines() if found else [],
        "look": "notice" if found and found.differs else "notice plain",
        **_claims(run),
    }


def as_text(value: object) -> str:
    """A parameter's value for readers."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None, {}) else str(value)


def moment(iso: str) -> str:
    """`2026-01-31 12:05 UTC`, of a time as records have it."""
    return f"{iso[:16].replace('T', ' ')} UTC"


def _run_facts(run: Run) -> dict[str, str]:
    p = run.profile
    return {
        "Profile": run.source,
        "Trained on": as_text(p.pair_sets),
        "Evaluated on": as_text(p.tasks),
        "Base encoders": as_text(p.bases),
        "Strategies": as_text(p.strategies),
        "Languages": f"{len(p.languages)}: {as_text(p.languages)}"
        + (f"; unseen: {as_text(p.unseen_languages)}" if p.unseen_languages else ""),
        "Seeds": as_text(p.seeds),
        "Training": f"{p.steps:,} steps of {p.batch_size} pairs, α = {p.alpha:g}, learning rate {p.learning_rate:g}",
    }


def _size_facts(run: Run) -> dict[str, str]:
    """Counts from the saved tables, where they are."""
    found = {}
    if (coverage := _table(run, "coverage")) is not None and len(coverage):
        pairs = coverage[coverage["step"] == coverage["step"].iloc[-1]]["pairs"].sum()
        found["Training pairs"] = f"{pairs:,} after all checks"
    if (counts := _table(run, "task_counts")) is not None:
        sums = counts.groupby("task", sort=False)[["questions", "candidates"]].sum()
        found["Test sets"] = "; ".join(
            f"{task}: {row.questions:,} questions, {row.candidates:,} candidates" for task, row in sums.iterrows()
        )
    return found


def _machine_facts(run: Run, records: Sequence) -> dict[str, str]:
    about = _about(run)
    commits = [record.commit for record in records] or [stamp.get("commit", "") for stamp in read_stamps(run.results).values()]
    started = [record.started for record in records]
    return {
        "Machine": about.get("machine", UNKNOWN),
        "Device": _each(record.device for record in records),
        "Versions": ", ".join(f"{name} {number}" for name, number in about.get("versions", {}).items()) or UNKNOWN,
        "Commit": _each(commit[:SHORT] + "+changes" * commit.endswith("+changes") for commit in commits),
        "Code": about.get("code", UNKNOWN)[:SHORT],
        "Data": about.get("data", UNKNOWN)[:SHORT],
        "Started": f"{moment(min(started))}, the last notebook {moment(max(started))}" if started else UNKNOWN,
        "Total time": duration(sum(record.seconds for record in records)) if records else UNKNOWN,
        "Peak memory": f"{max(record.peak_memory_mb for record in records):,.0f} MB" if records else UNKNOWN,
    }


def _each(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values))) or UNKNOWN


def _about(run: Run) -> Mapping:
    path = run.results / "about.json"
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _earlier(run: Run) -> Counter:
    """What has changed since tables were saved, the parameters or the code of a stage -> of how many tables."""
    stamps = read_stamps(run.results).items()
    return Counter(part for name, stamp in stamps if run.has(name) for part in changed_parts(stamp, run.profile))


def _claims(run: Run) -> dict:
    """What stands above a claim, the claim and its verdicts by source; no verdicts where notebook 09 has not judged them.

    A saved table may be of earlier times: what it has of runs that are no reference and that the profile does not name is left out.
    """
    table, shown = _table(run, "claims"), {run.name, *compared_folders(run)}
    rows = [row for row in ([] if table is None else table.to_dict("records")) if row["source"] in shown or row["source"].startswith(PAPER)]
    rows.sort(key=lambda row: row["source"] != run.name)  # this run's first, then the paper's and other runs' in their order
    none = untestable(pd.DataFrame(rows, columns=["claim", "verdict"]))
    claims = sorted(CLAIMS, key=lambda claim: claim.number in none)
    judged = [(UNTESTABLE * (claim.number in none[:1]), claim, [row for row in rows if row["claim"] == claim.number]) for claim in claims]
    return {"claims": judged, "notes": NOTES, "sources": {row["source"]: row["command"] for row in rows}}


def _table(run: Run, name: str) -> pd.DataFrame | None:
    return read_result(run, name) if run.has(name) else None


# The notebooks


def notebook_part(step: Step) -> dict:
    """What is there of a notebook of the run.

    lead: what it asks. record: of its last execution, if there is one. missing: what is not there, each with the command.
    """
    texts = [cell["source"] for cell in notebook_cells(step.notebook) if cell["cell_type"] == "markdown"]
    title, _, lead = texts[0].partition("\n")
    record, names = read_record(step.record), [name for name in FIGURES if name[:2] == step.notebook.stem[:2]]
    drawn = [name for name in names if _picture(step.run, name).is_file()]
    copies = [path for path in (step.failed, step.executed) if path.is_file()]
    return {
        "name": step.notebook.stem,
        "title": title.lstrip("# "),
        "lead": _plain(lead),
        "status": _status(step, record),
        "record": record,
        "executed": copies[0] if copies else None,
        "figures": [_figure(step.run, name, _question(step.notebook, name)) for name in drawn],
        "missing": [*_unfinished(step, record), *_not_drawn(step.run, set(names) - set(drawn))],
    }


def _status(step: Step, record: Record | None) -> str:
    if record:
        return record.status
    return NOT_RECORDED if any(step.run.has(table) for table in kept_tables(step.notebook)) else NOT_RUN


def _unfinished(step: Step, record: Record | None) -> Iterator[tuple[str, str]]:
    """Why the notebook stopped, and the tables that it has not saved."""
    command = run_command(step.run.source, changes_of(step.run))
    kept = kept_tables(step.notebook)
    lacking = [table for table in sorted(kept) if not step.run.has(table)]
    if record and record.status != OK:
        yield f"The last execution {ENDED[record.status]}. {record.error}".strip(), command
    if lacking and not (step.run.committed and len(lacking) < len(kept)):  # a reference is whole, and may be older than a table
        yield f"Not there: {'tables' if len(lacking) > 1 else 'table'} {', '.join(lacking)}.", command


def _not_drawn(run: Run, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Figures that are not there although they `can_be_drawn`; a reference is whole, and may be older than a figure."""
    for name in sorted(names):
        if not run.committed and can_be_drawn(run, name):
            yield f"Figure {name} is not drawn.", run_command(run.source, changes_of(run), verb="figures")


def _figure(run: Run, name: str, question: str) -> dict:
    """question: the heading above it in the notebook. sentences: computed from its tables. picture: PNG as data URI.

    stale: names of the tables that have changed since it was drawn. vector: its SVG file.
    """
    path, recipe, sentences = _picture(run, name), FIGURES[name], _sentences(run, name)
    trace, data = provenance_of(path), path.read_bytes()
    return {
        "name": name,
        "question": question,
        "caption": recipe.caption,
        "alt": textwrap.shorten(" ".join([recipe.caption, *sentences]), ALT_CHARACTERS, placeholder=" …"),
        "tables": recipe.tables,
        "sentences": sentences,
        "picture": "data:image/png;base64," + base64.b64encode(data).decode("ascii"),
        "size": [int.from_bytes(data[place : place + 4]) * PIXELS // DPI for place in (16, 20)],  # of the PNG's first chunk
        "trace": trace,
        "stale": [each.name for each in trace.inputs if each.state in (ALTERED, GONE)],
        "vector": path.with_suffix(".svg"),
    }


def _picture(run: Run, name: str) -> Path:
    folders = (run.figures, reference_figures(run.name)) if run.committed else (run.figures,)
    return next((place for folder in folders if (place := folder / f"{name}.png").is_file()), run.figures / f"{name}.png")


def _sentences(run: Run, name: str) -> list[str]:
    """None where a table is missing, or lacks what the sentences are about: the figure stands there without."""
    recipe = FIGURES[name]
    try:
        found = recipe.sentences(*(read_result(run, table) for table in recipe.told_from))
    except (MissingInput, LookupError):
        return []
    return list(map(_plain, found))


def _question(notebook: Path, figure: str) -> str:
    """The heading of the section that shows the figure."""
    heading = ""
    for cell in notebook_cells(notebook):
        if cell["cell_type"] == "markdown" and cell["source"].startswith("## "):
            heading = cell["source"].splitlines()[0].removeprefix("## ").removeprefix("What we see: ")
        if f'"{figure}"' in cell["source"] and cell["cell_type"] == "code":
            break
    return heading[:1].upper() + heading[1:]


def _plain(markdown: str) -> str:
    """Without emphasis and code marks."""
    return re.sub(r"\*\*|`", "", " ".join(markdown.split()))


# The site


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
    site = run_folder(run.name) / "site"
    with writing(site), replacing_folder(site) as folder:
        for name, text in (pages | {REPORT: report}).items():
            (folder / name).write_text(text, encoding="utf-8")
    return site / START


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
