"""What `run` would do: each notebook and each training run within, with the reason and the time that earlier ones took."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from statistics import mean

from ..base.files import output_root
from ..experiment.encoders import EncoderKey, base_artefact, encoder_artefacts, encoder_keys, teachers_of
from ..experiment.preparation import pairs_artefact
from ..experiment.profile import OWN_BASES
from ..experiment.run import Run
from ..provenance.artefacts import cut, records_of
from ..studies.languages import growth_keys, many_run, method_keys
from ..studies.mixing import mixing_keys
from .records import OK, Record, data_parts, parts_of, read_record, why
from .running import LONG, Step, chosen_steps, declared_values, side_by_side
from .whence import written_with

CACHED, STALE, RUN = "CACHED", "STALE", "RUN"
NAMED = 4  # training runs named one by one


@dataclass(frozen=True)
class Planned:
    """A notebook of the plan. seconds: what it is likely to take, its training runs included; None where nothing says so.

    source: what says so where it is not an earlier execution of the run itself. whole: the seconds of all of it, made anew.
    """

    notebook: str
    state: str
    reasons: tuple[str, ...]
    seconds: float | None
    trainings: tuple[Training, ...]
    source: str = ""
    whole: float | None = None


def plan(run: Run) -> list[Planned]:
    """Every notebook of the suite, as `run` would find it now; nothing is written or made."""
    planned, made, reference = [], set(), written_with(run.profile.name).get("seconds", {})
    for step, record, reasons in step_reasons(run, chosen_steps(run)):
        name = step.notebook.stem
        own = [training for training in trainings(run, name) if training.folder not in made]
        state = CACHED if not reasons else STALE if record and record.status == OK else RUN
        made |= {training.folder for training in own if reasons or not training.reasons}  # each is named once
        usual, source = (record.usual_seconds, "") if record and record.usual_seconds is not None else _elsewhere(run, name)
        seconds = _together(run, usual if reasons else 0.0, (each.seconds for each in own if reasons and each.reasons))
        seconds, source = (reference.get(name), "the committed reference") if seconds is None else (seconds, source)
        whole = _together(run, usual, (each.seconds for each in own))
        planned.append(Planned(name, state, tuple(reasons), seconds, tuple(own), source, whole))
    return planned


def _elsewhere(run: Run, notebook: str) -> tuple[float | None, str]:
    """(what the notebook took without training, in which run): of the profile's own run, else of the latest of its variants."""
    paths = output_root().glob(f"data/runs/{escape(run.profile.name)}*/notebooks/{notebook}.run.json")
    known = [each for each in filter(None, map(read_record, paths)) if each.usual_seconds and each.origin.get("profile") == run.source]
    nearest = max(known, key=lambda record: (record.origin["run"] == run.profile.name, record.started), default=None)
    return (nearest.usual_seconds, f"run {nearest.origin['run']}") if nearest else (None, "")


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


def _together(run: Run, own: float | None, training: Iterable[float | None]) -> float | None:
    """Seconds of a notebook and of its training runs."""
    parts = [own, *training]
    return None if None in parts else round(own + sum(parts[1:]) / side_by_side(run), 1)


def as_text(planned: list[Planned]) -> str:
    """The plan in lines that a person reads."""
    width = max((len(each.notebook) for each in planned), default=0)
    lines = []
    for each in planned:
        why_and_when = [] if each.state == CACHED else [cut("; ".join(each.reasons), LONG), _about(each.seconds)]
        lines.append(" · ".join([f"{each.state:6} {each.notebook:{width}}", *why_and_when]).rstrip())
        lines += [f"       {line}" for line in _training_lines(each.trainings)]
    return "\n".join([*lines, _total([each for each in planned if each.state != CACHED])])


def _total(planned: list[Planned]) -> str:
    known = [each for each in planned if each.seconds is not None]
    took = " and in ".join(dict.fromkeys(each.source for each in known if each.source))
    parts = [_about(sum(each.seconds for each in known)) + (f" (as in {took})" if took else "")] * bool(known)
    parts += [f"{len(planned) - len(known)} notebooks of unknown time (see `run --cost`)"] * (len(known) < len(planned))
    return f"expected: {', and '.join(parts)}" if planned else "nothing to run"


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
        for name, some in _named(group).items():
            seconds = None if any(training.seconds is None for training in some) else sum(training.seconds for training in some)
            lines.append(f"{RUN} {name} · {cut('; '.join(reasons), LONG)} · {_about(seconds)}{' one by one' * (len(some) > 1)}")
    return lines


def _named(group: list[Training]) -> dict[str, list[Training]]:
    """Those of one line by what it calls them: a training run, one of several seeds, or many."""
    names = {}
    for training in group:
        names.setdefault(re.sub(r"-s\d+$", "", training.name), []).append(training)
    if len(names) > 1 and len(group) > NAMED:
        return {f"{len(group)} training runs ({group[0].name}, {group[1].name} …)": group}
    return {some[0].name if len(some) == 1 else f"{name} ({len(some)} seeds)": some for name, some in names.items()}


def duration(seconds: float) -> str:
    """`40 s`, `5 min 20 s` or `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _about(seconds: float | None) -> str:
    return "unknown time" if seconds is None else f"about {duration(seconds)}"


@dataclass(frozen=True)
class Training:
    """A training run. reasons: why it would be made; none where it is there. seconds: what it took, or is likely to take."""

    name: str
    folder: Path
    reasons: tuple[str, ...]
    seconds: float | None


def trainings(run: Run, notebook: str) -> list[Training]:
    """The training runs of a notebook (its name without `.ipynb`), each once, as it would train them now; none where it trains nothing."""
    studies = STUDIES.get(notebook, lambda _: [])(run)
    found = {training.folder: training for study, keys in studies for training in _of_study(study, keys)}
    return list(found.values())


def _profiles_own(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    return [(run, encoder_keys(run))]


def _where_missing(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    return _profiles_own(run) if run.profile.train_in_place else []


def _many(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    growing = [many_run(run, count) for count in sorted(run.profile.many_counts)]
    many, methods = many_run(run), method_keys(many_run(run))
    return [(many, [*teachers_of(methods).values(), *methods]), *((grown, growth_keys(grown)) for grown in growing)]


STUDIES = {
    "02_hybrid_batch_training": _profiles_own,
    "03_retrieval_evaluation": _where_missing,
    "04_language_bias": _where_missing,
    "05_mixing_ratio": lambda run: [(run, mixing_keys(run.profile))],
    "06_domain_shift": _where_missing,
    "07_mkqa_alignment": _where_missing,
    "08_fifty_languages": _many,
    "09_claims": _where_missing,
}


# key of a recipe whose value is the name of an artefact -> what to say where it is another
STARTS = {"pairs": "other pairs", "teacher": "another teacher", "start": "another start"}
STARTS |= dict.fromkeys(("base_folder", "base_origin"), "another base")


def _of_study(run: Run, keys: list[EncoderKey]) -> list[Training]:
    starts, records = _starts(run, keys), list(records_of(run.artefacts / "encoders", "*").values())
    found = []
    for encoder in encoder_artefacts(run, keys).values():
        reasons = dict.fromkeys(_explained(reason, encoder.recipe, starts) for reason in encoder.reasons())
        found.append(Training(encoder.name, encoder.path, tuple(reasons), _seconds(encoder.name, encoder.recipe, records)))
    return found


def _starts(run: Run, keys: list[EncoderKey]) -> dict[str, list[str]]:
    """Name of the pairs' and each base's artefact -> why it would be made."""
    pairs = pairs_artefact(run)
    name = pairs.path.name
    found, bases = {name: pairs.reasons()}, {key.base for key in keys} & set(OWN_BASES)
    for base in OWN_BASES[::-1] if bases else ():  # the aligned one starts from the other
        made = base_artefact(run, base, name)
        found[made.path.name] = [_explained(reason, made.recipe, found) for reason in made.reasons()]
    return found


def _explained(reason: str, recipe: dict, starts: dict[str, list[str]]) -> str:
    """In place of two fingerprints: why the pairs or the base are others."""
    key = reason.split(" ")[0]
    if key not in STARTS:
        return reason
    because = "; ".join(starts.get(recipe[key], []))
    return f"{STARTS[key]} ({because})" if because else STARTS[key]


def _seconds(name: str, recipe: dict, records: list[dict]) -> float | None:
    """Of the encoder of this name, else the mean of those with as many steps, else unknown."""
    like = [record for record in records if record["recipe"]["steps"] == recipe["steps"]]
    same = [record["seconds"] for record in like if record["name"] == name]
    return same[-1] if same else mean(record["seconds"] for record in like) if like else None
