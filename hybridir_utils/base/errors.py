"""Errors a user can act on: what was expected, what was found, what to do next."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FEW = 20  # known names that are listed beside a near one
PLAIN = {  # kind of pydantic's complaint -> in words; kinds that are not here are told as pydantic does
    "greater_than": "more than {gt:g}", "greater_than_equal": "at least {ge:g}", "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}", "too_short": "at least {min_length}", "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "small letters (a to z), digits and _ alone", "literal_error": "{expected}", "string_type": "a text",
    "int_from_float": "a whole number", "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false",
}  # fmt: skip
_with_place = warnings.formatwarning
_told: set[str] = set()  # of this process


class HybridIRError(Exception):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""


class InputError(HybridIRError):
    """A file, table or text given by the user cannot be used; the message names file and place."""


class UnknownName(HybridIRError):
    """A name (language, strategy, profile, key …) that does not exist; the message offers the nearest one.

    It lists the known ones where they are FEW or none is near, and else names the page where they are documented, if there is one.
    """

    def __init__(self, kind: str, found: object, known: Iterable[object], page: str = ""):
        names = [str(name) for name in known]
        near = did_you_mean(found, names)
        listed = f" Known: {', '.join(names)}." if len(names) <= FEW or near == "." else f" All stand in {page}." if page else ""
        super().__init__(f"unknown {kind} {str(found)!r}{near}{listed}")


def need_known(kind: str, names: Iterable[object], known: Iterable[object], page: str = "") -> None:
    """Raise UnknownName for the first of some names that is none of the known ones."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownName(kind, name, known, page)


class MissingInput(HybridIRError):
    """An earlier step has not been run; the message names the notebook and the command."""


class Busy(HybridIRError):
    """Another run holds the same folder."""


class Interrupted(KeyboardInterrupt):
    """Work was interrupted; the message says what of it is kept."""


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """`" (did you mean 'x'?)."` for the nearest other of `known`, or `"."` when nothing is near."""
    originals = {name.lower(): name for name in known if name != found}
    near = difflib.get_close_matches(str(found).lower(), originals, n=1, cutoff=0.5)
    return f" (did you mean {originals[near[0]]!r}?)." if near else "."


def near_folder(place: str | Path) -> list[str]:
    """The name of the folder nearest to a path's own, of those beside it; none where none is near."""
    place = Path(place).expanduser()
    beside = [path.name for path in place.parent.glob("*") if path.is_dir() and path.name != place.name]
    return difflib.get_close_matches(place.name, beside, n=1, cutoff=0.5)


def need_folder(folder: Path) -> None:
    """Raise InputError, with the nearest one beside it, where a folder is not there."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder{did_you_mean(folder.name, near_folder(folder))}")


def raised(error: Exception) -> str:
    """Kind and text of what the user's code raised, with the last line of its first file that it came out of, where one is known."""
    called = traceback.extract_tb(error.__traceback__)  # through what imports modules, too
    theirs = [frame for frame in called if not frame.filename.startswith((str(PACKAGE), "<frozen", pkgutil.__file__, importlib.__file__))]
    lines = [f" ({frame.filename}, line {frame.lineno})" for frame in theirs if frame.filename == theirs[0].filename]
    return f"{type(error).__name__}: {error}{''.join(lines[-1:])}"


def all_or_every_fault(*calls: Callable[[], object]) -> list:
    """What each call returns. Raises InputError with the faults of all that fail, so that nobody mends one to learn of the next."""
    found, faults = [], []
    for call in calls:
        try:
            found.append(call())
        except HybridIRError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    return found


def in_plain_words(problem: Mapping) -> str:
    """What pydantic says of a value, as a person would: `expected at most 1`."""
    known = PLAIN.get(problem["type"])
    return f"expected {known.format(**problem.get('ctx', {}))}" if known else problem["msg"].removeprefix("Value error, ")


def warn_in_lines() -> None:
    """From here on, what this package warns of is a line `note: …` without a place in its code, told once a process."""
    warnings.formatwarning = _line


def _line(message: Warning, category: type, filename: str, *place) -> str:
    if category is not UserWarning or not Path(filename).is_relative_to(PACKAGE):
        return _with_place(message, category, filename, *place)
    return once(f"note: {message}\n")


def once(line: str) -> str:
    """The line; "" where this process has told it before."""
    told = line in _told
    _told.add(line)
    return "" if told else line
