"""Known encoders by short name: hub name and revision, prompts, pooling, licence (`data/encoders.toml`)."""

from __future__ import annotations

import tomllib

from pydantic import BaseModel, ConfigDict

from .places import ROOT


class KnownEncoder(BaseModel):
    """hub: name on the hub; revision: the commit that is opened. pooling: what its authors use. query_prefix, passage_prefix: its own
    prompts, None where the profile's are trained in. paper: its name in the paper's tables. needs_remote_code: its repository
    brings code that must be allowed by `trust_remote_code`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: str
    revision: str
    licence: str
    parameters: int
    pooling: str = "own"
    query_prefix: str | None = None
    passage_prefix: str | None = None
    paper: str = ""
    needs_remote_code: bool = False


def _read() -> dict[str, KnownEncoder]:
    rows = tomllib.loads((ROOT / "data" / "encoders.toml").read_text(encoding="utf-8"))
    return {name: KnownEncoder(**row) for name, row in rows.items()}


ENCODERS = _read()
