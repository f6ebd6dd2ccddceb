"""One HTML page of a run that opens without the web: what was run, scores, claims, figures with their origin, cost, what is missing.

What the template takes is plain: dicts of texts and numbers, and lists of them.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from ..base.errors import MissingInput
from ..base.files import read_json, write_text_atomically
from ..experiment.evaluation import REFERENCE
from ..experiment.profile import load_profile
from ..experiment.run import Run, changes_of, reference_figures, run_command
from ..experiment.stamps import is_current, read_stamps
from ..results.figures import FIGURES, read_result
from ..results.show import best_of_columns, parts
from ..results.style import DPI, PIXELS
from ..results.tables import as_texts, bias_table, language_table, paper_by_language, paper_table, score_table, search_table
from ..studies.claims.judging import CLAIMS, NOTES
from ..studies.claims.rules import SYMBOLS
from ..studies.claims.sources import PAPER, compared_folders
from .readers import compare_with_reference
from .records import ALTERED, FAILED, GONE, KILLED, OK, RUNNING, TIMEOUT, Record, notebook_cells, read_record
from .running import Step, notebooks
from .whence import kept_tables, provenance_of

TEMPLATES = Path(__file__).with_name("templates")
# Characters that show nothing and change what is shown around them: control characters, marks and turns of direction, invisible spaces.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
UNKNOWN, NOT_RECORDED, NOT_RUN = "not recorded", "no record", "not run"
ENDED = {FAILED: "failed", KILLED: "was killed", TIMEOUT: "took too long and was ended", RUNNING: "has not ended"}
SHORT = 12  # characters of a commit or fingerprint
ALT_CHARACTERS = 500  # from where on an alternative text ends with the next sentence; all of them stand below the figure
MOST_LANGUAGES = 16  # columns that a page can show; larger tables are named by their file
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
    return {
        "command": run_command(run.source, changes_of(run)),
        "written": moment(datetime.now(UTC).isoformat()),
        "about": _run_facts(run),
        "origin": {**_size_facts(run), **_machine_facts(run, records)},
        "main": next((figures[name] for name in MAIN_FIGURES if name in figures), None),
        "differences": [(key, as_text(base[key]), as_text(value)) for key, value in changes_of(run).items()],
        "earlier": _earlier(run),
        "beside": found.lines() if (found := compare_with_reference(run)) else [],
        **_claims(run),
    }


def as_text(value: object) -> str:
    """A parameter's value for readers."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None, {}) else str(value)


def duration(seconds: float) -> str:
    """`40 s`, `5 min 20 s` or `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


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


def _earlier(run: Run) -> list[str]:
    """Tables that were made by other code or parameters than those in use now."""
    stamps = read_stamps(run.results).items()
    return sorted(name for name, stamp in stamps if run.has(name) and not is_current(stamp, run.profile))


def _claims(run: Run) -> dict:
    """Rules and verdicts of all claims, by source; no verdicts where notebook 09 has not judged them.

    A saved table may be of earlier times: what it has of runs that are no reference and that the profile does not name is left out.
    """
    table, shown = _table(run, "claims"), {run.name, *compared_folders(run)}
    rows = [row for row in ([] if table is None else table.to_dict("records")) if row["source"] in shown or row["source"].startswith(PAPER)]
    rows.sort(key=lambda row: row["source"] != run.name)  # this run's first, then the paper's and other runs' in their order
    judged = [(claim, [row for row in rows if row["claim"] == claim.number]) for claim in CLAIMS]
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
    """Figures that are not there although all their tables are; a reference is whole, and may be older than a figure."""
    for name in sorted(names):
        if not run.committed and all(run.has(table) for table in FIGURES[name].tables):
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
        "alt": _alt(recipe.caption, sentences),
        "tables": recipe.tables,
        "sentences": sentences,
        "picture": "data:image/png;base64," + base64.b64encode(data).decode("ascii"),
        "size": [int.from_bytes(data[place : place + 4]) * PIXELS // DPI for place in (16, 20)],  # of the PNG's first chunk
        "trace": trace,
        "stale": [each.name for each in trace.inputs if each.state in (ALTERED, GONE)],
        "vector": path.with_suffix(".svg"),
    }


def _alt(text: str, sentences: Iterable[str]) -> str:
    """The caption, then what the numbers say."""
    for sentence in sentences:
        if len(text) <= ALT_CHARACTERS:
            text += f" {sentence}"
    return text


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


# The tables


def table_of(frame: pd.DataFrame, caption: str, best: bool = False) -> dict:
    """A frame with one or two levels of columns; the levels of its index become row headers, of which the first spans its group.

    best: the best value of each column is marked (`show.best_of_columns`).
    """
    marks = best_of_columns(frame).to_numpy() if best else np.zeros(frame.shape, bool)
    cells = [[*zip(*row, strict=True)] for row in zip(as_texts(frame).to_numpy(), marks, strict=True)]
    rows = list(zip(_labels(frame.index), cells, strict=True))
    several, columns = frame.index.nlevels > 1, _labels(frame.columns)
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0][0])] if several else [[row] for row in rows]
    upper = [[_header(text, len(list(same))) for text, same in groupby(level)] for level in list(zip(*columns, strict=True))[:-1]]
    return {
        "caption": caption,
        "names": [str(name or "") for name in frame.index.names],
        "columns": [*upper, [_header(label[-1]) for label in columns]],
        "groups": list(map(_group, groups)),
    }


def _labels(index: pd.Index) -> list[tuple[str, ...]]:
    return [tuple(map(str, label)) if isinstance(label, tuple) else (str(label),) for label in index]


def _header(text: str, span: int = 1) -> dict:
    """A heading cell over `span` columns or beside `span` rows."""
    return {"text": text, "span": span}


def _group(rows: list[tuple]) -> list[dict]:
    """Rows that share their first header, which stands in the first of them."""
    first = [_header(rows[0][0][0], len(rows))]
    return [
        {"headers": (first if not number else []) + list(map(_header, label[1:])), "cells": cells}
        for number, (label, cells) in enumerate(rows)
    ]


def page_tables(run: Run) -> dict[str, list[dict]]:
    """The tables of scores, of the paper beside ours, and of both by language; none before notebooks 03 and 04 have saved theirs."""
    if not (run.has("scores") and run.has("bias")):
        return {"scores": [], "further": [], "measures": [], "paper": [], "languages": []}
    scores, bias = read_result(run, "scores"), read_result(run, "bias")
    scored = [*score_tables(scores, bias)]
    paper = paper_table(scores, bias).groupby(level=0, sort=False)
    return {
        "scores": [table for table, is_first in scored if is_first],
        "further": [table for table, is_first in scored if not is_first],
        "measures": [*bias_tables(bias)],
        "paper": [table_of(rows.droplevel(0), f"{task}: mean over languages, the paper's encoders and ours") for task, rows in paper],
        "languages": [*language_tables(scores), *paper_languages(scores, bias)],
    }


def score_tables(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[tuple[dict, bool]]:
    """For each task and base, as in the notebooks, the scores and the rank distance; and whether it is the first task."""
    for frame, how in ((score_table(scores, bias), "mean"), (search_table(scores), "searched to a depth, mean")):
        for name, places, is_first in parts(frame):
            rows = frame.iloc[places].droplevel([*name]).dropna(axis=1, how="all")
            yield table_of(rows, f"{', '.join(name.values())}: {how} over seeds ± standard deviation", best=True), is_first


def bias_tables(bias: pd.DataFrame) -> Iterator[dict]:
    """For each task and base: every measure of language bias."""
    for task in dict.fromkeys(bias["task"]):
        measures = bias_table(bias, task).droplevel("task").T
        for base in dict.fromkeys(measures.columns.get_level_values("base").drop(REFERENCE, errors="ignore")):
            shown = measures[[base, *({REFERENCE} & {*measures.columns.get_level_values("base")})]]
            yield table_of(shown, f"{task}, from {base}: every measure of language bias, mean over question languages and seeds")


def paper_languages(scores: pd.DataFrame, bias: pd.DataFrame) -> Iterator[dict]:
    """The paper's numbers by question language, and ours beside them on tasks that both have."""
    frame = paper_by_language(scores, bias)
    for (task, measure), rows in frame.groupby(level=[0, 1], sort=False):
        rows = rows.droplevel([0, 1]).dropna(axis=1, how="all")
        yield table_of(rows, f"{task}: {measure} by question language, the paper's encoders and ours")


def language_tables(scores: pd.DataFrame) -> Iterator[dict]:
    """mAP by question language, for each task and base; none where there are more languages than a page is wide."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")]
    for task in dict.fromkeys(rows["task"]):
        for base in dict.fromkeys(rows.loc[(rows["task"] == task) & (rows["base"] != REFERENCE), "base"]):
            frame = language_table(scores, task, base)
            if frame.shape[1] <= MOST_LANGUAGES:
                yield table_of(frame, f"{task}, from {base}: mAP by question language, mean over seeds")
