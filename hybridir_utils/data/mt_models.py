"""Known translation models by short name: hub name and revision, family, licence, size (`data/translators.toml`)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

from pydantic import Field

from ..base.catalogue import Catalogue, Entry
from ..base.distributed import join
from ..base.errors import InputError
from ..base.files import folder_fingerprint
from ..base.hub import hub_errors
from ..base.languages import known_languages


class KnownTranslator(Entry):
    """hub: name on the hub, with {source} and {target} where every language pair has a model of its own, `pairs` naming those that
    lie elsewhere ("en-th"). revision: the commit, branch or pull request that is opened. licence: of the weights. parameters: their
    number. max_tokens: the longest input its authors trained on, 0 where that is the length of its position table.
    """

    hub: str
    revision: str
    family: str
    licence: str
    parameters: int
    note: str
    max_tokens: int = 0
    pairs: dict[str, str] = Field(default_factory=dict)

    def model_of(self, source: str, target: str) -> str:
        """Hub name of the model that translates `source` into `target`."""
        return self.pairs.get(f"{source}-{target}") or self.hub.format(source=source, target=target)


TRANSLATORS = Catalogue("translators.toml", KnownTranslator)


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


FORMS = {"m2m100": "__{}__", "nllb": "{}", "marian": ">>{}<<", "madlad": "<2{}>"}
PROBES = {"m2m100": "__en__", "nllb": "eng_Latn", "madlad": "<2en>"}  # a token that tells the family, whatever the model's name

# Spellings that CLDR does not list as aliases of a code: a macrolanguage's main member, or a name of the model's own
_MORE = {
    "ak": ["twi"], "ff": ["fuv"], "kr": ["knc"], "nb": ["no"], "no": ["nob", "nb"], "nso": ["ns"], "om": ["gaz"], "ps": ["pbt"],
    "qu": ["quy"], "sc": ["srd"],
}  # fmt: skip
_SCRIPTS = {"Kore": ["Hang", "Kore"]}


def language_tokens(vocabulary: Container[str], family: str) -> dict[str, str]:
    """{our code: the model's token} of every CLDR language that the vocabulary has a token for.

    NLLB's tokens all name a script; its vocabulary has `en` and `de` too, but as pieces of words.
    """
    tokens = {}
    for code in sorted(known_languages()):
        spellings = (FORMS[family].format(spelling) for spelling in _spellings(code) if family != "nllb" or "_" in spelling)
        token = next((token for token in spellings if token in vocabulary), None)
        if token:
            tokens[code] = token
    return tokens


def same_language(code: str, spelling: str | None) -> bool:
    """Whether a model's own spelling of a language (`deu`, `zho`) stands for our code; a model that does not say has any."""
    return spelling is None or spelling in set(_spellings(code))


def _spellings(code: str) -> Iterator[str]:
    """Code, then its aliases, each with its script before without: `zh_Hans`, `zh`, `cmn_Hans`, `cmn`, `zho_Hans`, …"""
    from babel.core import get_global

    likely = get_global("likely_subtags").get(code, "")
    script = likely.split("_")[1] if "_" in likely else ""
    for name in (code, *_MORE.get(code, ()), *_aliases().get(code, ())):
        yield from (f"{name}_{form}" for form in _SCRIPTS.get(script, [script] if script else []))
        yield name


@cache
def _aliases() -> dict[str, list[str]]:
    from babel.core import get_global

    aliases = {}
    for alias, code in get_global("language_aliases").items():
        aliases.setdefault(code, []).append(alias)
    return aliases


class Seq2Seq:
    """A sequence-to-sequence model: configuration and tokenizer are read now, the weights when `model` is first asked for.

    place: local folder or hub name. family: m2m100, nllb, marian or madlad, told from model type and vocabulary, never from the name.
    languages: {our code: its token}. positions: tokens of the longest input. Raises InputError when the place cannot be read, the
    tokenizer has no pad token or no family fits.
    """

    def __init__(self, place: str, revision: str | None, precision: str, trust_remote_code: bool):
        from transformers import AutoConfig, AutoTokenizer

        self.folder = _local(place)
        self.label = self.folder.name if self.folder else place
        self.precision = precision
        self._source = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
        self.config = self._read(AutoConfig.from_pretrained)
        self.tokenizer = self._read(AutoTokenizer.from_pretrained)
        if self.tokenizer.pad_token_id is None:
            raise InputError(f'{self.label}: its tokenizer has no pad token, which batches need; set "pad_token" in tokenizer_config.json.')
        vocabulary = self.tokenizer.get_vocab() | getattr(self.tokenizer, "lang_token_to_id", {})  # M2M-100 keeps these apart
        self.family = self._family(vocabulary)
        self.languages = language_tokens(vocabulary, self.family)
        table = getattr(self.config, "max_position_embeddings", None) or getattr(self.config, "n_positions", None)
        self.positions = min(table or 512, self.tokenizer.model_max_length)  # T5 has no position table

    @cached_property
    def version(self) -> str:
        """Commit on the hub, or a hash of the folder's files."""
        return f"files-{folder_fingerprint(self.folder)[:16]}" if self.folder else self.config._commit_hash

    @cached_property
    def model(self):
        """The network on this process's device, from safetensors only."""
        from accelerate import PartialState
        from transformers import AutoModelForSeq2SeqLM

        join()
        state = PartialState()
        with state.main_process_first():  # one process fetches the weights, the others find them
            model = self._read(AutoModelForSeq2SeqLM.from_pretrained, use_safetensors=True, dtype=self.dtype)
        model.generation_config.max_length = None  # a fixed length would cut long translations; ours goes with the source,
        model.generation_config.forced_eos_token_id = None  # and so does the end of a translation that runs on
        return model.to(state.device).eval()

    @property
    def dtype(self):
        """bf16 where the precision asks for it and there is a GPU; CPUs compute in fp32."""
        import torch
        from accelerate import PartialState

        return torch.bfloat16 if self.precision == "bf16" and PartialState().device.type == "cuda" else torch.float32

    def _read(self, opener: Callable, **options):
        with hub_errors(str(self.folder or self.label)):
            try:
                return opener(str(self.folder or self.label), **self._source, **options)
            except (OSError, ValueError, KeyError) as error:
                if self.folder or "safetensors" in str(error):
                    raise InputError(f"{self.folder or self.label}: {_explained(str(error))}") from error
                raise

    def _family(self, vocabulary: dict[str, int]) -> str:
        if self.config.model_type == "marian":
            return "marian"
        found = next((family for family, token in PROBES.items() if token in vocabulary), None)
        if found is None:
            raise InputError(
                f"{self.label}: a model of type {self.config.model_type!r} without the language tokens of M2M-100, NLLB-200 or MADLAD-400, "
                "and no Marian model. Name a translation model of one of these families."
            )
        return found


def _local(place: str) -> Path | None:
    """The folder, or None for a hub name (`owner/name`)."""
    path = Path(place).expanduser()
    if path.is_dir():
        return path.resolve()
    if place.startswith((".", "/", "~")) or place.count("/") > 1:
        raise InputError(f"{place}: no such folder; expected a translation model's folder, or its name on the hub (owner/name).")
    return None


def _explained(reason: str) -> str:
    if "safetensors" in reason:
        return (
            "has no weights as safetensors, and no other kind is opened, since it may run code. Name a revision that has them "
            "(NAME@refs/pr/N where the hub's conversion bot added them), or convert it once with save_pretrained()."
        )
    return f"cannot be opened as a translation model ({reason.splitlines()[0]}). Fetch or save the whole folder again."
