"""What the report says of the run as a whole: what was run, by what, when, at what cost, and how the claims were judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from ..base.files import read_json
from ..show.claims import CLAIMS, NOTES
from ..show.figures import read_result
from ..steps.profiles import load_profile
from ..steps.session import Run, changed_values, run_command
from ..steps.stamps import is_current, read_stamps
from .report_parts import NotebookPart

UNKNOWN = "not recorded"
SHORT = 12  # characters of a commit or fingerprint


def facts(run: Run, parts: Sequence[NotebookPart]) -> dict:
    """Everything that the page's template takes beside the notebooks and the tables."""
    records = [part.record for part in parts if part.record]
    return {
        "command": run_command(run.source, changed_values(run)),
        "written": moment(datetime.now(UTC).isoformat()),
        "about": {**_run_facts(run), **_size_facts(run), **_machine_facts(run, records)},
        "differences": _differences(run),
        "parameters": {key: told(value) for key, value in run.profile.model_dump(mode="json").items()},
        "earlier": _earlier(run),
        **_claims(run),
    }


def told(value: object) -> str:
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
        "Trained on": told(p.pair_sets),
        "Evaluated on": told(p.tasks),
        "Base encoders": told(p.bases),
        "Strategies": told(p.strategies),
        "Languages": f"{len(p.languages)}: {told(p.languages)}" + (f"; unseen: {told(p.unseen_languages)}" if p.unseen_languages else ""),
        "Seeds": told(p.seeds),
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
    return [(key, told(base[key]), told(value)) for key, value in changed_values(run).items()]


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
