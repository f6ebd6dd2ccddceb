"""One HTML page of a run that opens without the web: what was run, claims, scores, figures with their origin, cost, what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from ...base.errors import MissingInput
from ...base.files import read_json, write_text_atomically
from ...experiment.profile import load_profile
from ...experiment.run import Run, changes_of, run_command
from ...experiment.stamps import is_current, read_stamps
from ...results.figures import read_result
from ...studies.claims.claims import CLAIMS, NOTES
from ...studies.claims.tests import SYMBOLS
from ..comparison import compare_with_reference
from ..running import Step, notebooks
from .parts import NotebookPart, notebook_part
from .tables import page_tables

TEMPLATES = Path(__file__).with_name("templates")
# Characters that show nothing and change what is shown around them: control characters, marks and turns of direction, invisible spaces.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def write_report(run: Run) -> Path:
    """Write the page from the run's saved tables, figures and records; returns its path, `data/runs/<run>/report.html`.

    Raises MissingInput, with the command, where the run has neither tables nor records; InputError where a table cannot be read, or the
    page not be written: an earlier one stays.
    """
    parts = [notebook_part(Step(path, run)) for path in notebooks()]
    if not any(run.results.glob("*.csv")) and not any(part.record for part in parts):
        command = run_command(run.source, changes_of(run))
        raise MissingInput(f"{run.results}: no saved results to report. Run the notebooks first: {command}")
    write_text_atomically(run.report, rendered(run, parts, run.report.parent))
    return run.report


def rendered(run: Run, parts: list[NotebookPart], folder: Path) -> str:
    """The page as text; its links are relative to `folder`."""
    import jinja2

    options = {"autoescape": True, "finalize": visible, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), **options)
    environment.filters |= {"link": lambda path: link(path, folder), "duration": duration, "moment": moment}
    return environment.get_template("report.html").render(run=run, parts=parts, symbols=SYMBOLS, **facts(run, parts), **page_tables(run))


def visible(value: object) -> object:
    """Text whose invisible characters are shown by number, so that none hides or turns what stands beside it."""
    return UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value) if type(value) is str else value


def link(path: Path, folder: Path) -> str:
    """The address of a file or folder from a page in `folder`; "" where it is not there."""
    return quote(Path(os.path.relpath(path, folder)).as_posix()) if path.exists() else ""


UNKNOWN = "not recorded"
SHORT = 12  # characters of a commit or fingerprint


def facts(run: Run, parts: Sequence[NotebookPart]) -> dict:
    """Everything that the page's template takes beside the notebooks and the tables."""
    records = [part.record for part in parts if part.record]
    return {
        "command": run_command(run.source, changes_of(run)),
        "written": moment(datetime.now(UTC).isoformat()),
        "about": {**_run_facts(run), **_size_facts(run), **_machine_facts(run, records)},
        "differences": _differences(run),
        "parameters": {key: as_text(value) for key, value in run.profile.model_dump(mode="json").items()},
        "earlier": _earlier(run),
        "beside": found.lines() if (found := compare_with_reference(run)) else [],
        **_claims(run),
    }


def as_text(value: object) -> str:
    """A parameter's value for readers."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)


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


def _differences(run: Run) -> list[tuple[str, str, str]]:
    """(parameter, the profile's value, the run's)."""
    base = load_profile(run.source).model_dump(mode="json")
    return [(key, as_text(base[key]), as_text(value)) for key, value in changes_of(run).items()]


def _earlier(run: Run) -> list[str]:
    """Tables that were made by other code or parameters than those in use now."""
    stamps = read_stamps(run.results).items()
    return sorted(name for name, stamp in stamps if (run.results / f"{name}.csv").is_file() and not is_current(stamp, run.profile))


def _claims(run: Run) -> dict:
    """Rules and verdicts of all claims, by source; no verdicts where notebook 09 has not judged them."""
    table = _table(run, "claims")
    rows = table.to_dict("records") if table is not None else []
    rows.sort(key=lambda row: row["source"] != run.name)  # this run's first, then the paper's and other runs' in their order
    judged = [(claim, [row for row in rows if row["claim"] == claim.number]) for claim in CLAIMS]
    return {"claims": judged, "notes": NOTES, "sources": {row["source"]: row["command"] for row in rows}}


def _table(run: Run, name: str) -> pd.DataFrame | None:
    return read_result(run, name) if (run.results / f"{name}.csv").is_file() else None
