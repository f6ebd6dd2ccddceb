"""Whether everything a profile names lies where it is read from, asked before a run of days starts; all faults are told at once."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.errors import HybridIRError, InputError
from ..base.hub_data import model_fault
from ..data.mt_models import model_places
from ..data.register import Request, data_fault
from ..encode.catalogue import place_of
from .profile import OWN_BASES, Profile


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
    request, english = profile.request, Request(("en",), data_dir=profile.data_dir)
    ask = {name: lambda name=name: data_fault(name, request) for name in (*profile.pair_sets, *profile.many_pair_sets)}
    ask |= {name: lambda name=name: data_fault(name, english) for name in profile.validation_sets}
    tasks = [name for name in profile.data_names if name not in ask]
    return _faults(ask | {f"task {task}": lambda task=task: data_fault(task, request) for task in tasks})


def _faults(ask: dict) -> dict[str, str]:
    found = {}
    for name, fault in ask.items():
        try:
            found[name] = fault()
        except HybridIRError as error:
            found[name] = str(error)
    return {name: fault for name, fault in found.items() if fault}
