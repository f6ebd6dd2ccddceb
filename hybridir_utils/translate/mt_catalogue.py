"""Known translation models by short name: hub name and revision, family, licence, size (`data/translators.toml`)."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from ..base.files import read_toml
from ..base.places import ROOT


class KnownTranslator(BaseModel):
    """hub: name on the hub, with {source} and {target} where every language pair has a model of its own, `pairs` naming those that
    lie elsewhere ("en-th"). revision: the commit, branch or pull request that is opened. licence: of the weights. parameters: their
    number. max_tokens: the longest input its authors trained on, 0 where that is the length of its position table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: str
    revision: str
    family: str
    licence: str
    parameters: int
    note: str
    max_tokens: int = 0
    pairs: dict[str, str] = {}

    def model_of(self, source: str, target: str) -> str:
        """Hub name of the model that translates `source` into `target`."""
        return self.pairs.get(f"{source}-{target}") or self.hub.format(source=source, target=target)


def _read() -> dict[str, KnownTranslator]:
    rows = read_toml(ROOT / "data" / "translators.toml")
    return {name: KnownTranslator(**row) for name, row in rows.items()}


TRANSLATORS = _read()


def model_places(name: str, languages: Iterable[str]) -> list[str]:
    """Folders or hub names (`NAME@REVISION`) of the models that a translator translates English into the languages with: one, or one for
    each where every pair has its own. name: of the catalogue, or "mt:FOLDER_OR_NAME[@REVISION]".
    """
    known = TRANSLATORS.get(name)
    if known is None:
        return [name.removeprefix("mt:")]
    if not known.pairs:
        return [f"{known.hub}@{known.revision}"]
    return [f"{known.model_of('en', target)}@{known.revision}" for target in languages if target != "en"]
