"""Known encoders by short name: hub name and revision, prompts, licence (`data/encoders.toml`)."""

from __future__ import annotations

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
    return f"{known.hub}@{known.revision}" if known else name.removeprefix("st:")


def prompts_of(name: str) -> tuple[str, str] | None:
    """What a retriever's authors put before questions and passages; None where the model's folder is to say."""
    known = ENCODERS.get(name)
    return None if known is None or known.query_prefix is None else (known.query_prefix, known.passage_prefix or "")
