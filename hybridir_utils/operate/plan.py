"""What `run` would do: each notebook and each training run within, with the reason and the time that earlier ones took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..steps.session import Run
from ..steps.trainings import Training, trainings
from .parts import data_parts, parts_of, why
from .records import OK, Record, read_record
from .suite import Step, chosen_steps, declared_values, side_by_side

CACHED, STALE, RUN = "CACHED", "STALE", "RUN"
NAMED = 4  # training runs, and reasons, told one by one


@dataclass(frozen=True)
class Planned:
    """A notebook of the plan. seconds: what it is likely to take, its training runs included; None where no earlier run says so."""

    notebook: str
    state: str
    reasons: tuple[str, ...]
    seconds: float | None
    trainings: tuple[Training, ...]


def plan(run: Run) -> list[Planned]:
    """Every notebook of the suite, as `run` would find it now; nothing is written or made."""
    planned, made = [], set()
    for step, record, reasons in step_reasons(run, chosen_steps(run)):
        name = step.notebook.stem
        own = [training for training in trainings(run, name) if training.folder not in made]
        state = CACHED if not reasons else STALE if record and record.status == OK else RUN
        made |= {training.folder for training in own if reasons or not training.reasons}  # each is told once
        usual = record.usual_seconds if record else None
        planned.append(Planned(name, state, tuple(reasons), _expected(run, reasons, usual, own), tuple(own)))
    return planned


def step_reasons(run: Run, steps: Iterable[Step]) -> Iterator[tuple[Step, Record | None, list[str]]]:
    """(step, record of its last execution, why it has to be executed; nothing where it is up to date), as it stands before any is."""
    again, data = {}, data_parts(run.profile)
    for step in steps:
        declared_values(step)
        record = read_record(step.record)
        reasons = why(record, parts_of(step.notebook, run.profile, data), run, again)
        if reasons and record:
            again |= dict.fromkeys(record.outputs, step.notebook.stem[:2])
        yield step, record, reasons


def _expected(run: Run, reasons: list[str], usual: float | None, own: list[Training]) -> float | None:
    parts = [0.0 if not reasons else usual, *(training.seconds for training in own if reasons and training.reasons)]
    return None if None in parts else parts[0] + sum(parts[1:]) / side_by_side(run)


def told(planned: list[Planned]) -> str:
    """The plan in lines that a person reads."""
    width = max((len(each.notebook) for each in planned), default=0)
    lines = []
    for each in planned:
        why_and_when = [] if each.state == CACHED else ["; ".join(_few(each.reasons)), duration(each.seconds)]
        lines.append(" · ".join([f"{each.state:6} {each.notebook:{width}}", *why_and_when]).rstrip())
        lines += [f"       {line}" for line in _training_lines(each.trainings)]
    return "\n".join([*lines, _total([each.seconds for each in planned if each.state != CACHED])])


def _total(seconds: list[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    unknown = f"{len(seconds) - len(known)} notebooks of unknown time" if len(known) < len(seconds) else ""
    parts = [duration(sum(known))] * bool(known) + [unknown] * bool(unknown)
    return f"expected: {', and '.join(parts)}" if seconds else "nothing to run"


def _training_lines(own: Iterable[Training]) -> list[str]:
    """A line for each training run that would be made, or for many with the same reason; one for all that are there."""
    groups = {}
    for training in own:
        groups.setdefault(training.reasons, []).append(training)
    lines = []
    for reasons, group in sorted(groups.items()):
        if not reasons:
            lines.append(f"{CACHED} {len(group)} training run{'s' * (len(group) > 1)}")
            continue
        because, names = "; ".join(_few(reasons)), [training.name for training in group]
        if len(group) <= NAMED:
            lines += [f"{RUN} {training.name} · {because} · {duration(training.seconds)}" for training in group]
        else:
            seconds = None if any(training.seconds is None for training in group) else sum(training.seconds for training in group)
            lines.append(f"{RUN} {len(group)} training runs ({', '.join(names[:2])} …) · {because} · {duration(seconds)} one by one")
    return lines


def _few(reasons: Iterable[str]) -> list[str]:
    reasons = list(reasons)
    return reasons if len(reasons) <= NAMED else [*reasons[:NAMED], f"and {len(reasons) - NAMED} more"]


def duration(seconds: float | None) -> str:
    """`about 40 s`, `about 5 min`, `about 2.5 h`, or `unknown time`."""
    if seconds is None:
        return "unknown time"
    return next(f"about {seconds / size:{form}} {unit}" for size, form, unit, most in _UNITS if seconds < most)


_UNITS = ((1, ".0f", "s", 100), (60, ".0f", "min", 6000), (3600, ".1f", "h", float("inf")))
