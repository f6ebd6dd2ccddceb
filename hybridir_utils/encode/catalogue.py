"""Known encoders by short name: hub name and revision, prompts, licence (`data/encoders.toml`)."""

from __future__ import annotations

from pathlib import Path

from ..base.catalogue import Catalogue, Entry


class KnownEncoder(Entry):
    """hub: name on the hub; revision: the commit that is opened; package: the installed package that it is made from in place of both
    (`packaged`). body_parameters: of the layers, without the subword table; width: of a
    vector. query_prefix, passage_prefix: its own prompts, None where the profile's are trained in. paper: its name in the paper's
    tables. needs_remote_code: its repository brings code that must be allowed by `trust_remote_code`.
    """

    hub: str = ""
    revision: str = ""
    package: str = ""
    licence: str
    parameters: int
    body_parameters: int
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
