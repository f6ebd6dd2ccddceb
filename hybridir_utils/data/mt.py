"""Machine translation by sequence-to-sequence models: M2M-100, NLLB-200, Marian (Opus-MT) and MADLAD-400.

Fan et al. 2021 (arXiv 2010.11125), NLLB Team 2022 (2207.04672), Tiedemann and Thottingal 2020 (EAMT), Kudugunta et al. 2023 (2309.04662).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ..base.catalogue import Catalogue, Entry
from ..base.distributed import join, on_each
from ..base.errors import InputError, need_known
from ..base.files import folder_fingerprint
from ..base.hub import NO_WEIGHTS, hub_errors, split_place
from ..base.languages import our_code
from ..base.memory import TokenBudget, token_batches
from ..tasks.sentences import sentence_spans
from .translation import Translator

GROWTH, MARGIN = 2, 32  # a translation has at most GROWTH times the source's tokens, and MARGIN more; what runs on is a loop
UNSPACED = ("ja", "yue", "zh")  # no blank between two sentences
NO_MEMORY = "Translations made so far are kept. Choose a smaller model, beams = 1, precision = bf16 or a device with more memory."
FORMS = {"m2m100": "__{}__", "nllb": "{}", "marian": ">>{}<<", "madlad": "<2{}>"}
PROBES = {"m2m100": "__en__", "nllb": "eng_Latn", "madlad": "<2en>"}  # a token that tells the family, whatever the model's name
SPELLING = "[a-z]{2,3}(?:_[A-Z][a-z]{3}|_[A-Z]{2})?"  # of a language in a token
MISSPELLED = {"ns": "nso"}  # M2M-100


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

    def place(self, source: str = "en", target: str = "") -> str:
        """Hub name and revision (`NAME@REVISION`) of the model that translates `source` into `target`."""
        return f"{self.pairs.get(f'{source}-{target}') or self.hub.format(source=source, target=target)}@{self.revision}"


TRANSLATORS = Catalogue("translators.toml", KnownTranslator)


def model_places(name: str, languages: Iterable[str]) -> list[str]:
    """Folders or hub names (`NAME@REVISION`) of the models that a translator translates English into the languages with: one, or one for
    each where every pair has its own. name: of the catalogue, or "mt:FOLDER_OR_NAME[@REVISION]".
    """
    known = TRANSLATORS.get(name)
    if known is None:
        return [name.removeprefix("mt:")]
    if not known.pairs:
        return [known.place()]
    return [known.place("en", target) for target in languages if target != "en"]


def open_translator(
    name: str, *, beams: int = 1, tokens: int = 4096, precision: str = "fp32", trust_remote_code: bool = False
) -> Translator:
    """The translator of a catalogue name (data/translators.toml) or of "mt:FOLDER_OR_NAME[@REVISION]".

    beams: 1 is greedy. tokens: source tokens of a batch, padding counted. precision: bf16 holds on a GPU, a CPU computes in fp32.
    Configuration and tokenizer are read now, the weights with the first text. Raises UnknownName for a name that is neither,
    InputError when the model cannot be read.
    """
    options = {"beams": beams, "tokens": tokens, "precision": precision, "trust_remote_code": trust_remote_code}
    if name.startswith("mt:"):
        return ModelTranslator(name.removeprefix("mt:"), **options)
    need_known("translator", [name], (*TRANSLATORS, "mt:FOLDER_OR_NAME[@REVISION]"))
    known = TRANSLATORS[name]
    if known.pairs:
        return PairTranslator(name, options)
    return ModelTranslator(known.place(), max_tokens=known.max_tokens, **options)


def language_tokens(vocabulary: Iterable[str], family: str) -> dict[str, str]:
    """{our code: the model's token} of every language that the vocabulary has a token for; the longest of several (`cmn_Hans`).

    NLLB's tokens all name a script; its vocabulary has `en` and `de` too, but as pieces of words.
    """
    form = re.compile(re.escape(FORMS[family]).replace(r"\{\}", f"({SPELLING})"))
    spelled = [found for found in map(form.fullmatch, vocabulary) if found and (family != "nllb" or "_" in found[1])]
    return {
        our_code(MISSPELLED.get(found[1], found[1])): found[0] for found in sorted(spelled, key=lambda found: (len(found[1]), found[1]))
    }


def same_language(code: str, spelling: str | None) -> bool:
    """Whether a model's own spelling of a language (`deu`, `zho`) stands for our code; a model that does not say has any."""
    return spelling is None or our_code(spelling) == our_code(code)


class Seq2Seq:
    """A sequence-to-sequence model: configuration and tokenizer are read now, the weights when `model` is first asked for.

    name: local folder, or hub name and revision. family: m2m100, nllb, marian or madlad, told from model type and vocabulary. languages:
    {our code: its token}. positions: tokens of the longest input. Raises InputError when the place cannot be read, the tokenizer has no
    pad token or no family fits.
    """

    def __init__(self, name: str, precision: str, trust_remote_code: bool):
        from transformers import AutoConfig, AutoTokenizer

        place, revision = split_place(name)
        self.folder = Path(place).resolve() if Path(place).is_dir() else None
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
                if not self.folder and "safetensors" not in str(error):
                    raise
                opened = f"cannot be opened as a translation model ({str(error).splitlines()[0]}). Fetch or save the whole folder again."
                raise InputError(f"{self.folder or self.label}: {NO_WEIGHTS if 'safetensors' in str(error) else opened}") from error

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


class Marks(NamedTuple):
    """How a model is told the languages: text before the source, the tokenizer's source language, first token of the translation."""

    prefix: str
    source: str | None
    first: int | None


class ModelTranslator:
    """One model. `name` holds model, commit (of a local folder: a hash of its files), beams and precision.

    Inputs of more than `limit` tokens, half of the model's positions so that the translation fits them too, are cut at sentence ends
    and their translations joined. Under `accelerate launch` the processes share the batches, and each call must be made by all of them
    with the same texts.
    """

    def __init__(
        self,
        place: str,
        *,
        beams: int = 1,
        tokens: int = 4096,
        precision: str = "fp32",
        trust_remote_code: bool = False,
        max_tokens: int = 0,
    ):
        self.opened = Seq2Seq(place, precision, trust_remote_code)
        self.beams, self.tokens = beams, tokens
        self.budget = TokenBudget(tokens, "translation_tokens", NO_MEMORY)
        self.limit = min(max_tokens or self.opened.positions, self.opened.positions // 2)

    @cached_property
    def name(self) -> str:
        precision = str(self.opened.dtype).removeprefix("torch.")
        return f"{self.opened.label}@{self.opened.version} beams={self.beams} precision={precision} limit={self.limit}"

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        """One translation a text, in order; blank texts become empty.

        Raises UnknownName when the model lacks a language, InputError when even a single text does not fit into memory.
        """
        marks = self._marks(source, target)
        pieces = {text: self._pieces(text.strip(), source, marks) for text in dict.fromkeys(texts)}
        asked = list(dict.fromkeys(piece for parts in pieces.values() for piece in parts))
        ids = self._ids(asked, marks)
        found = {}
        for share in on_each(lambda index, count: self._share(ids, marks, index, count)):
            found |= {asked[row]: translation for row, translation in share.items()}
        joint = "" if target in UNSPACED else " "
        return [joint.join(found[piece] for piece in pieces[text]) for text in texts]

    def _marks(self, source: str, target: str) -> Marks:
        family = self.opened.family
        if family == "marian":
            return Marks(self._marian_prefix(source, target), None, None)
        start, goal = self._token(source), self._token(target)
        if family == "madlad":
            return Marks(f"{goal} ", None, None)
        return Marks("", start.strip("_") if family == "m2m100" else start, self.opened.tokenizer.convert_tokens_to_ids(goal))

    def _token(self, language: str) -> str:
        need_known(f"language of {self.opened.label}", [language], self.opened.languages)
        return self.opened.languages[language]

    def _marian_prefix(self, source: str, target: str) -> str:
        """A model of several target languages takes a token for one of them; any other has a single pair, which must be the wanted."""
        tokenizer, label = self.opened.tokenizer, self.opened.label
        if self.opened.languages:
            return f"{self._token(target)} "
        if not (same_language(source, tokenizer.source_lang) and same_language(target, tokenizer.target_lang)):
            pair = f"{tokenizer.source_lang}-{tokenizer.target_lang}"
            need_known(f"language pair of {label}", [f"{source}-{target}"], [pair])
        return ""

    def _ids(self, texts: Sequence[str], marks: Marks) -> list[list[int]]:
        tokenizer = self.opened.tokenizer
        if marks.source:
            tokenizer.src_lang = marks.source
        return tokenizer([marks.prefix + text for text in texts], verbose=False)["input_ids"] if texts else []

    def _pieces(self, text: str, language: str, marks: Marks) -> list[str]:
        """The text when the model can read it whole, else its halves' pieces."""
        if not text:
            return []
        short = len(text.encode()) + 8 <= self.limit  # a token has a byte or more, and the marks are few
        if short or len(text) == 1 or len(self._ids([text], marks)[0]) <= self.limit:
            return [text]
        middle = _middle(text, language)
        return [piece for half in (text[:middle], text[middle:]) for piece in self._pieces(half.strip(), language, marks)]

    def _share(self, ids: list[list[int]], marks: Marks, index: int, count: int) -> dict[int, str]:
        """{row: translation} of this process's part: every count-th batch, so that all have long and short ones."""
        batches = token_batches([len(row) for row in ids], self.tokens)[index::count]
        own, done = [int(row) for batch in batches for row in batch], {}

        def work(rows: Sequence[int]) -> list[str]:
            return self._generate([ids[own[row]] for row in rows], marks)

        for rows, translations in self.budget.run([len(ids[row]) for row in own], work):
            done |= dict(zip((own[row] for row in rows), translations, strict=True))
        return done

    def _generate(self, ids: list[list[int]], marks: Marks) -> list[str]:
        """Translations of one batch. Each ends at its own length, so that it does not hang on the texts beside it."""
        import torch

        model, tokenizer = self.opened.model, self.opened.tokenizer
        inputs = tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(model.device)
        lengths = [min(GROWTH * len(row) + MARGIN, self.opened.positions - 1) for row in ids]
        options = {} if marks.first is None else {"forced_bos_token_id": marks.first}
        if self.beams > 1:
            options["early_stopping"] = True
        with torch.inference_mode():
            output = model.generate(**inputs, num_beams=self.beams, do_sample=False, max_new_tokens=max(lengths), **options)
        start = 1 if marks.first is None else 2  # after the decoder's start and the language token, which some tokenizers print
        cut = [row[start : 1 + length] for row, length in zip(output.tolist(), lengths, strict=True)]
        return [text.strip() for text in tokenizer.batch_decode(cut, skip_special_tokens=True)]


class PairTranslator:
    """A model a language pair (Opus-MT). Each is opened when its pair is asked for; the four used last stay open."""

    def __init__(self, name: str, options: dict):
        self.name = name
        self.for_pair = lru_cache(4)(lambda source, target: ModelTranslator(TRANSLATORS[name].place(source, target), **options))

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        return self.for_pair(source, target).translate(texts, source, target)


def _middle(text: str, language: str) -> int:
    """Where to cut: the sentence end nearest to the middle, else the nearest blank, else the middle."""
    half = len(text) // 2
    ends = [end for _, end in sentence_spans(text, language)[:-1]]
    blanks = ends or [place for place, character in enumerate(text) if character.isspace()]
    return min(blanks, key=lambda place: abs(place - half), default=half)
