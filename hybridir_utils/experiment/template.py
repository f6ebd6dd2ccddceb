"""A profile to fill in: every key with its meaning, from `Profile`'s own comments and defaults."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from pathlib import Path

from ..base.errors import InputError
from ..base.files import PROFILES, write_text_atomically
from .profile import Profile, load_profile, make_profile

COMMENT = re.compile(r"^    (\w+): .*  # (.+)$", flags=re.M)
HEAD = """# Every value of a run, checked before anything starts. The values set are the sample's, to be replaced by yours;
# lines that begin with "# " show a key's default: take that sign off to set another. What names stand for: notebooks/profiles/README.md
"""


def write_template(name: str) -> Path:
    """Write NAME.toml into the working folder. Raises InputError where it is there, or the name is no profile's or another's."""
    name = name.removesuffix(".toml")
    path = Path(f"{name}.toml")
    if path.exists():
        raise InputError(f"{path}: there already; give another name, or change that file.")
    if name in [known.stem for known in PROFILES.glob("*.toml")]:
        raise InputError(f"{name}: the name of a profile that comes with the suite, whose results it would share; give another.")
    text = template(name)
    make_profile(tomllib.loads(text), str(path))
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
