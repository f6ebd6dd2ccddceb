"""What a profile names: the training pairs of its sets, drawn and held out; and whether all of it lies where it is read from, asked before
a run of days starts, so that every fault is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from ..base.errors import HybridIRError, InputError, all_or_every_fault
from ..base.mapped import codes, keep_rows
from ..data.mt import model_places
from ..data.pairs import IN_MEMORY, join_pairs, one_passage
from ..data.register import Request, data_fault, pair_set, read_task
from ..encode.catalogue import own_prompts, place_of, prompts_of, unlike_family
from ..encode.opening import encoder_fault
from .profile import Profile, others_encoders, trained_prompts

VALIDATION_SHARE = 0.04
VALIDATION_MOST = 5000  # passages; more of a large set only slow the training down
OWN = ("beir:", "jsonl:", "squad:")  # a user's own file or folder


def source_pairs(profile: Profile):
    """(training pairs, validation pairs) of all pair sets before any check; world facts come in English only.

    Of the other sets, the languages that both the profile and the set have, and `pair_share` of the ids but at most `max_pairs`, drawn by
    `corpus_seed`. World facts have a validation split of their own; of other sets some answer passages are held out by `corpus_seed`, and
    a set whose `<set>-test` the profile evaluates has none of that task's articles. Large sets are memory-mapped. Raises UnknownName for a
    set that does not exist, InputError when a set has none of the languages, or no set has two passages.
    """
    parts = [_one_set(name, profile) for name in profile.pair_sets]
    if not any(len(train) for train, _ in parts):
        raise InputError(
            f"{', '.join(profile.pair_sets)}: one passage, which is held out for validation, none to train on. Add pairs: a batch wants "
            f"{profile.batch_size} different passages of a language."
        )
    return tuple(join_pairs(list(side)) for side in zip(*parts, strict=True))


def _one_set(name: str, profile: Profile):
    entry = pair_set(name)
    pairs = one_passage(entry.read(name, profile.request))
    return (pairs, entry.validation(name, profile.request)) if entry.validation else hold_out(pairs, profile.corpus_seed)


def hold_out(pairs, seed: int):
    """(training, validation): VALIDATION_SHARE of the answer passages, with all their questions and translations, goes to validation: two
    at least, as a batch has, half and VALIDATION_MOST at most.
    """
    numbers, names = codes(pairs, "passage_id")
    chosen = np.random.default_rng(seed).permutation(pc.sort_indices(names).to_numpy())
    held = np.zeros(len(names), dtype=bool)
    held[chosen[: min(max(2, round(VALIDATION_SHARE * len(names))), max(1, len(names) // 2), VALIDATION_MOST)]] = True
    return keep_rows(pairs, ~held[numbers]), keep_rows(pairs, held[numbers])


def check_places(profile: Profile) -> None:
    """Raise InputError, naming every fault, unless all models and data sets of the profile are there, on the hub or in a folder.

    Of a model, configuration and weights are asked for; of a set, its files. What the suite makes itself and local folders cost nothing.
    """
    if faults := place_faults(profile):
        raise InputError("found before anything was started:\n" + as_text(faults))


def place_faults(profile: Profile) -> list[str]:
    """Every fault of the profile's models and sets, a sentence each with what to do."""
    return [fault for ask in _questions(profile) if (fault := _told(ask))]


def check_own(profile: Profile) -> None:
    """Raise InputError with every fault of the user's own files, which are read as a run reads them; those of more than IN_MEMORY bytes
    are left to the run.
    """
    readers = {name: partial(pair_set(name).read, name) for name in profile.pair_sets}
    readers |= {name: partial(read_task, name) for name in (*profile.tasks, *profile.clean_tasks)}
    own = [read for name, read in readers.items() if name.startswith(OWN) and _bytes_of(name) <= IN_MEMORY]
    all_or_every_fault(*(partial(read, profile.request) for read in own))


def _bytes_of(name: str) -> int:
    place = Path(name.partition(":")[2]).expanduser()
    return sum(path.stat().st_size for path in (place, *place.rglob("*")) if path.is_file())


def prompt_notes(profile: Profile) -> list[str]:
    """Which encoders are used without the prompts that their family wants; those in `encoder_prompts` are used as it says."""
    uses = ((name, *use) for name in others_encoders(profile) if name not in profile.encoder_prompts for use in _uses(profile, name))
    notes = ((f"{name}, {how}", unlike_family(name, place_of(name), taken)) for name, how, taken in uses)
    return [f"note: {use}: {note} (the profile's key `encoder_prompts`)" for use, note in notes if note]


def _uses(profile: Profile, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """How an encoder is used, and with which prompts; those that a model was saved with suit it, whatever its family."""
    own = prompts_of(name) or own_prompts(place_of(name))
    if not any(own or ()):
        yield "as it is" if own else "as it is, unless its repository brings some", ("", "")
    if name in (*profile.bases, profile.many_base):
        yield "in training", trained_prompts(profile, name)


def _questions(profile: Profile) -> Iterator[Callable[[], str]]:
    """What tells the fault of each base, retriever and translation model, and of each pair set, validation set and task."""
    translators = [] if profile.translator == "memory" else model_places(profile.translator, profile.languages)
    yield from (partial(encoder_fault, place) for place in dict.fromkeys([*map(place_of, others_encoders(profile)), *translators]))
    english = Request(("en",), data_dir=profile.data_dir)
    for name in profile.data_names:
        yield partial(data_fault, name, english if name in profile.validation_sets else profile.request)


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except HybridIRError as error:
        return str(error)


def as_text(faults: Iterable[str]) -> str:
    """A line for each kind of fault; the names that have it in common stand together."""
    by_advice = {}
    for fault in dict.fromkeys(faults):
        *name, advice = fault.split(": ", 1)
        by_advice.setdefault(advice, []).extend(name)
    return "\n".join(f"- {', '.join(names)}{': ' if names else ''}{advice}" for advice, names in by_advice.items())
