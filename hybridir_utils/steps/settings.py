"""What the command line sets: `--set key=value`, or several values of a key, of which each run has one."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_origin

from ..base.errors import InputError
from .profiles import Profile

SINGULAR = {"seed": "seeds"}  # a key whose values are runs of one seed each -> the profile's key, which is a list


@dataclass(frozen=True)
class Setting:
    """A profile's key, its values, and both as they were written, which is what a sweep's tables call them."""

    key: str
    values: tuple
    told: str
    texts: tuple[str, ...]


def read_settings(texts: Iterable[str]) -> list[Setting]:
    """The settings of `key=value[,value …]` texts; raises InputError where a text is none or a key is set twice."""
    settings = [_setting(text) for text in texts]
    for number, setting in enumerate(settings):
        if earlier := [other.told for other in settings[:number] if other.key == setting.key]:
            raise InputError(
                f"--set {setting.told}: {earlier[0]} is set already. Write all values of a sweep in one, as in --set alpha=0,0.5,1."
            )
    return settings


def one_run(texts: Iterable[str], command: str) -> dict[str, object]:
    """Key -> value, for a command that is about a single run; raises InputError where a text has several values."""
    settings = read_settings(texts)
    for setting in settings:
        if len(setting.values) > 1:
            raise InputError(
                f"--set {setting.told}={','.join(setting.texts)}: {len(setting.values)} values; `{command}` is about one run at a time. "
                "Give one of them (a text with a comma in quotes); `run` takes several."
            )
    return {setting.key: setting.values[0] for setting in settings}


def _setting(text: str) -> Setting:
    """Values are read as TOML, and as plain words where that fails."""
    told, equals, written = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r}: expected key=value, for example --set alpha=0.3.")
    told = told.strip()
    try:
        key, values = SINGULAR.get(told, told), _values(written)
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"--set {told}: no usable value ({error}).") from None
    if told in SINGULAR:
        return Setting(key, tuple([value] for value in values), told, tuple(map(_shown, values)))
    if key in Profile.model_fields and _takes_list(key):
        _check_lists(key, values, written)
    return Setting(key, tuple(values), told, tuple(map(_shown, values)))


def _values(text: str) -> list:
    """`0,0.25`, `[1,2],[3]` and `"a,b"` are two, two and one value in TOML; `hybrid,X-Y`, which is none, is split at its commas."""
    if values := _toml(text):
        return values
    words = next(csv.reader([text], skipinitialspace=True), None) or [""]
    return [(_toml(word) or [word])[0] for word in words] if len(words) > 1 else [text]


def _toml(text: str) -> list:
    """The values in a list with this text; none where it is no TOML. Raises ValueError, RecursionError for what is beyond Python's."""
    try:
        return tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        return []


def _takes_list(key: str) -> bool:
    return get_origin(Profile.model_fields[key].annotation) is tuple


def _check_lists(key: str, values: list, written: str) -> None:
    if all(isinstance(value, list) for value in values):
        return
    lists = [value if isinstance(value, list) else [value.strip("[]") if isinstance(value, str) else value] for value in values]
    together, words = _shown([part for value in lists for part in value]), ",".join(map(_shown, lists))
    each = f", or {key}={words} for a run with each" if len(values) > 1 else ""
    short = "".join(f" (in short {short}={written})" for short, long in SINGULAR.items() if long == key and each)
    raise InputError(f"--set {key}={written}: {key} is a list. Write {key}={together} for one run with all{each}{short}.")


def _shown(value: object) -> str:
    """A value as TOML has it; a text without its quotes where it has no comma."""
    if isinstance(value, str) and "," not in value:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
