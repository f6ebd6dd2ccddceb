"""Whether everything a profile names lies where it is read from, asked before a run of days starts; all faults are told at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..base.errors import HybridIRError, InputError
from ..base.files import data_folder
from ..base.hub_data import model_fault, set_fault
from ..data.mt_models import model_places
from ..data.public_pairs import place_fault
from ..encode.catalogue import place_of
from ..tasks.parallel_sets import NAME as MKQA_QUESTIONS
from .profile import HUB_PAIR_SETS, LOCAL_PAIR_SETS, OWN_BASES, SECTION_TASKS, Profile
from .sources import sets_behind

FOLDERS = {"xquad-r": "xquad-r", "mlqa-r": "mlqa-dev", "ntrex": "ntrex-news", MKQA_QUESTIONS: MKQA_QUESTIONS} | {
    task: task.removesuffix("-test") for task in SECTION_TASKS
}


def check_places(profile: Profile) -> None:
    """Raise InputError, naming every fault, unless all models and data sets of the profile are there, on the hub or in a folder.

    Of a model, configuration and weights are asked for; of a set, its files. What the suite makes itself and local folders cost nothing.
    """
    if faults := place_faults(profile):
        raise InputError("found before anything was started:\n" + as_text(faults))


def place_faults(profile: Profile) -> list[str]:
    """Every fault of the profile's models and sets, a sentence each with what to do."""
    return [*model_faults(profile).values(), *set_faults(profile).values()]


def as_text(faults: Iterable[str]) -> str:
    """A line for each kind of fault; the names that have it in common stand together."""
    by_advice = {}
    for fault in dict.fromkeys(faults):
        *name, advice = fault.split(": ", 1)
        by_advice.setdefault(advice, []).extend(name)
    return "\n".join(f"- {', '.join(names)}{': ' if names else ''}{advice}" for advice, names in by_advice.items())


def model_faults(profile: Profile) -> dict[str, str]:
    """Name -> why it cannot be opened, of the profile's bases, retrievers and translation models."""
    encoders = dict.fromkeys(name for name in (*profile.bases, *profile.retrievers, profile.many_base) if name and name not in OWN_BASES)
    translators = [] if profile.translator == "memory" else model_places(profile.translator, profile.languages)
    places = {name: place_of(name) for name in encoders} | {place: place for place in translators}
    return _faults({name: lambda place=place: model_fault(place) for name, place in places.items()})


def set_faults(profile: Profile) -> dict[str, str]:
    """Name -> why it cannot be read, of the profile's pair sets, its validation set and the sets behind its tasks."""
    ask = {name: lambda name=name: _pair_set_fault(name, profile) for name in (*profile.pair_sets, *profile.many_pair_sets)}
    if profile.validation_set != "held-out":
        ask[profile.validation_set] = lambda: place_fault(profile.validation_set, data_dir=profile.data_dir)
    tasks = [name for name in profile.data_names if name not in ask]
    ask |= {f"task {task}": lambda task=task: _task_fault(task, profile) for task in tasks}
    return _faults(ask)


def _faults(ask: dict) -> dict[str, str]:
    found = {}
    for name, fault in ask.items():
        try:
            found[name] = fault()
        except HybridIRError as error:
            found[name] = str(error)
    return {name: fault for name, fault in found.items() if fault}


def _pair_set_fault(name: str, profile: Profile) -> str:
    if name in HUB_PAIR_SETS:
        return place_fault(name, profile.languages, profile.data_dir)
    if name in LOCAL_PAIR_SETS:
        return "" if name == "worldfacts" else _folder_fault(name, profile)
    return _own_fault(name)


def _task_fault(name: str, profile: Profile) -> str:
    if behind := sets_behind(name):
        return next(filter(None, (set_fault(entry.name, entry.hub, (), entry.revision, profile.data_dir) for entry in behind)), "")
    if name in FOLDERS:
        return _folder_fault(FOLDERS[name], profile)
    return _own_fault(name) if ":" in name else ""


def _folder_fault(name: str, profile: Profile) -> str:
    data_folder(name, profile.data_dir)  # raises with what to do
    return ""


def _own_fault(name: str) -> str:
    """A user's own data, `KIND:PLACE`."""
    place = Path(name.partition(":")[2])
    return "" if place.exists() else f"{place}: named by {name!r}, but it is not there."
