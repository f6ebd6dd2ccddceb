"""How a user sets a profile's values: `--set key=value` on the command line, and a file to fill in, in which every key has its meaning
from `Profile`'s own comments and defaults.
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_origin

from ..base.errors import InputError
from ..base.files import PROFILES, write_text_atomically
from .profile import Profile, load_profile, make_profile

COMMENT = re.compile(r"^    (\w+): .*  # (.+)$", flags=re.M)
HEAD = """# Every value of a run, checked before anything starts. The values set are the sample's, to be replaced by yours;
# lines that begin with "# " show a key's default: take that sign off to set another. What names stand for: notebooks/profiles/README.md
"""
SINGULAR = {"seed": "seeds"}  # a key whose values are runs of one seed each -> the profile's key, which is a list


@dataclass(frozen=True)
class Setting:
    """A profile's key, its values, and both as they were written, which is what a sweep's tables call them."""

    key: str
    values: tuple
    name: str
    texts: tuple[str, ...]


def read_settings(texts: Iterable[str]) -> list[Setting]:
    """The settings of `key=value[,value …]` texts; raises InputError where a text is none or a key is set twice."""
    settings = [_setting(text) for text in texts]
    for number, setting in enumerate(settings):
        if earlier := [other.name for other in settings[:number] if other.key == setting.key]:
            raise InputError(
                f"--set {setting.name}: {earlier[0]} is set already. Write all values of a sweep in one, as in --set alpha=0,0.5,1."
            )
    return settings


def one_run(texts: Iterable[str], command: str) -> dict[str, object]:
    """Key -> value, for a command that is about a single run; raises InputError where a text has several values."""
    settings = read_settings(texts)
    for setting in settings:
        if len(setting.values) > 1:
            raise InputError(
                f"--set {setting.name}={','.join(setting.texts)}: {len(setting.values)} values; `{command}` is about one run at a time. "
                "Give one of them (a text with a comma in quotes); `run` takes several."
            )
    return {setting.key: setting.values[0] for setting in settings}


def _setting(text: str) -> Setting:
    """Values are read as TOML, and as plain words where that fails."""
    name, equals, written = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r}: expected key=value, for example --set alpha=0.3.")
    name = name.strip()
    try:
        key, values = SINGULAR.get(name, name), _values(written)
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"--set {name}: no usable value ({error}).") from None
    if name in SINGULAR:
        return Setting(key, tuple([value] for value in values), name, tuple(map(_shown, values)))
    if key in Profile.model_fields and get_origin(Profile.model_fields[key].annotation) is tuple:
        _check_lists(key, values, written)
    return Setting(key, tuple(values), name, tuple(map(_shown, values)))


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


def write_template(name: str) -> Path:
    """Write NAME.toml into the working folder. Raises InputError where it is there, or the name is no profile's or another's."""
    name = name.removesuffix(".toml")
    path, text = Path(f"{name}.toml"), template(name)
    make_profile(tomllib.loads(text), str(path))  # whose name has to be one
    if path.exists():
        raise InputError(f"{path}: there already; give another name, or change that file.")
    if name in [known.stem for known in PROFILES.glob("*.toml")]:
        raise InputError(f"{name}: the name of a profile that comes with the suite, whose results it would share; give another.")
    write_text_atomically(path, text)
    return path


def template(name: str) -> str:
    """TOML of a profile that loads as it is: what has no default is set as in the sample, all else stands as a comment."""
    comments, sample = dict(COMMENT.findall(inspect.getsource(Profile))), load_profile("sample").model_dump() | {"name": name}
    lines = []
    for key, field in Profile.model_fields.items():
        value = sample[key] if field.is_required() else field.default
        lines.append(f"{'' if field.is_required() else '# '}{key} = {json.dumps(value, ensure_ascii=False)}  # {comments[key]}")
    return "\n".join([HEAD, *lines, ""])
