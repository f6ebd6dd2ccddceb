"""Known encoders by short name: hub name and revision, prompts, licence (`data/encoders.toml`); and of any encoder which prompts it brings
along, and which its family wants (`data/encoder_families.toml`), by files that are on this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from ..base.catalogue import Catalogue, Entry
from ..base.hub import split_place
from .encoding import PROMPTS
from .packaged import PLACE
from .packaged import PROMPTS as PACKAGED


class KnownEncoder(Entry):
    """hub: name on the hub; revision: the commit that is opened; package: the installed package that it is made from in place of both
    (`packaged`). width: of a vector. query_prefix, passage_prefix: its own prompts, None where the profile's are trained in. paper: its
    name in the paper's tables. needs_remote_code: its repository brings code that must be allowed by `trust_remote_code`.
    """

    hub: str = ""
    revision: str = ""
    package: str = ""
    licence: str
    parameters: int
    width: int
    query_prefix: str | None = None
    passage_prefix: str | None = None
    paper: str = ""
    needs_remote_code: bool = False


ENCODERS = Catalogue("encoders.toml", KnownEncoder)


def place_of(name: str) -> str:
    """Where an encoder is opened from: `NAME@REVISION` or `package:NAME` of a known one, FOLDER_OR_NAME of `st:FOLDER_OR_NAME`."""
    known = ENCODERS.get(name)
    if known and known.package:
        return f"package:{name}"
    place = name.removeprefix("st:")
    return f"{known.hub}@{known.revision}" if known else str(Path(place).expanduser()) if place.startswith("~") else place


def known_encoder(name: str) -> KnownEncoder | None:
    """The catalogue's entry of a short name, or of a name on the hub at any revision; None where it has none."""
    hub = name.removeprefix("st:").partition("@")[0]
    return ENCODERS.get(name) or next((entry for entry in ENCODERS.values() if hub and entry.hub == hub), None)


def prompts_of(name: str) -> tuple[str, str] | None:
    """What a retriever's authors put before questions and passages; None where the model's folder is to say."""
    known = known_encoder(name)
    return None if known is None or known.query_prefix is None else (known.query_prefix, known.passage_prefix or "")


class Family(Entry):
    """sign: what the names of its members hold, as a regular expression; query_prefix, passage_prefix: what goes before their texts."""

    sign: str
    query_prefix: str
    passage_prefix: str

    @property
    def prompts(self) -> tuple[str, str]:
        return self.query_prefix, self.passage_prefix


FAMILIES = Catalogue("encoder_families.toml", Family)


def family_of(name: str, place: str = "") -> Family | None:
    """The family that an encoder's name tells, else the names in the configuration and card of its place; None where nothing tells."""
    names = chain([name], _names_inside(place))
    return next((family for text in names for family in FAMILIES.values() if re.search(family.sign, text, re.IGNORECASE)), None)


def unlike_family(name: str, place: str, taken: tuple[str, str] = ("", "")) -> str:
    """What to say of an encoder that is used with these prompts; "" where its family wants them, or none, or is not known."""
    family = family_of(name, place)
    if not family or not any(family.prompts) or taken == family.prompts:
        return ""
    what = f"prompts {taken[0]!r} and {taken[1]!r}" if any(taken) else "no prompts"
    return f"{what}, but encoders of its family ({family.name}) want {family.query_prefix!r} and {family.passage_prefix!r}"


def applied(prompts: Mapping[str, str], default: str | None = None) -> tuple[str, str]:
    """What goes before questions and passages of a model with this table of prompts, by the library's rule for their names."""
    names = (next((name for name in known if name in prompts), default) for known in PROMPTS.values())
    return tuple(prompts.get(name) or "" for name in names)


def own_prompts(place: str) -> tuple[str, str] | None:
    """What a model's own settings put before questions and passages; None where the model is not on this machine."""
    if place == PLACE:
        return applied(PACKAGED)
    if not settings(place, "config.json") and not settings(place, "modules.json"):
        return None
    saved = settings(place, "config_sentence_transformers.json").get("prompts", {})
    return applied({"query": "", "document": ""} | saved)  # the library sets these two where a folder does not, and asks for no other then


def settings(place: str, file: str, fetch: bool = False) -> dict | list:
    """A settings file of a folder or repository; empty where it has none. fetch: ask the hub, else what is on this machine counts."""
    path = _file(place, file, fetch)
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def _file(place: str, file: str, fetch: bool = False) -> Path | None:
    from transformers.utils import cached_file

    if not place or place == PLACE:
        return None
    folder, revision = split_place(place)
    path = cached_file(folder, file, revision=revision, local_files_only=not fetch, _raise_exceptions_for_missing_entries=False)
    return Path(path) if path else None


def _names_inside(place: str) -> Iterator[str]:
    """Names of models in a place's configuration (what it was saved from) and in its card (base models, model index)."""
    yield settings(place, "config.json").get("_name_or_path") or ""
    path = _file(place, "README.md")
    card = _card(path) if path else {}
    bases = card.get("base_model") or ()
    yield from [bases] if isinstance(bases, str) else map(str, bases)
    yield from (str(each) for each in card.get("model-index") or ())


def _card(path: Path) -> dict:
    """What stands in front of a card's text; nothing where that is not readable."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        return metadata_load(path) or {}
    except (ValueError, YAMLError):
        return {}
