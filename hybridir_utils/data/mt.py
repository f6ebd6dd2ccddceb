"""Machine translation by sequence-to-sequence models: M2M-100, NLLB-200, Marian (Opus-MT) and MADLAD-400.

Fan et al. 2021 (arXiv 2010.11125), NLLB Team 2022 (2207.04672), Tiedemann and Thottingal 2020 (EAMT), Kudugunta et al. 2023 (2309.04662).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from ..base.distributed import on_each
from ..base.errors import UnknownName
from ..base.hub import split_revision
from ..base.memory import TokenBudget, token_batches
from ..tasks.sentences import sentence_spans
from .mt_models import TRANSLATORS, Seq2Seq, same_language
from .translation import Translator

GROWTH, MARGIN = 2, 32  # a translation has at most GROWTH times the source's tokens, and MARGIN more; what runs on is a loop
UNSPACED = ("ja", "yue", "zh")  # no blank between two sentences
NO_MEMORY = "Translations made so far are kept. Choose a smaller model, beams = 1, precision = bf16 or a device with more memory."


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
        return ModelTranslator(*split_revision(name.removeprefix("mt:")), **options)
    if name not in TRANSLATORS:
        raise UnknownName("translator", name, (*TRANSLATORS, "mt:FOLDER_OR_NAME[@REVISION]"))
    known = TRANSLATORS[name]
    if known.pairs:
        return PairTranslator(name, options)
    return ModelTranslator(known.hub, known.revision, max_tokens=known.max_tokens, **options)


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
        revision: str | None = None,
        *,
        beams: int = 1,
        tokens: int = 4096,
        precision: str = "fp32",
        trust_remote_code: bool = False,
        max_tokens: int = 0,
    ):
        self.opened = Seq2Seq(place, revision, precision, trust_remote_code)
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
        if language not in self.opened.languages:
            raise UnknownName(f"language of {self.opened.label}", language, self.opened.languages)
        return self.opened.languages[language]

    def _marian_prefix(self, source: str, target: str) -> str:
        """A model of several target languages takes a token for one of them; any other has a single pair, which must be the wanted."""
        tokenizer, label = self.opened.tokenizer, self.opened.label
        if self.opened.languages:
            return f"{self._token(target)} "
        if not (same_language(source, tokenizer.source_lang) and same_language(target, tokenizer.target_lang)):
            pair = f"{tokenizer.source_lang}-{tokenizer.target_lang}"
            raise UnknownName(f"language pair of {label}", f"{source}-{target}", [pair])
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
        self.name, self._known, self._options = name, TRANSLATORS[name], options
        self.for_pair = lru_cache(4)(self._open)

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        return self.for_pair(source, target).translate(texts, source, target)

    def _open(self, source: str, target: str) -> ModelTranslator:
        """The translator of the pair, under whose name its translations are cached."""
        place, revision = split_revision(self._known.model_of(source, target))
        return ModelTranslator(place, revision or self._known.revision, **self._options)


def _middle(text: str, language: str) -> int:
    """Where to cut: the sentence end nearest to the middle, else the nearest blank, else the middle."""
    half = len(text) // 2
    ends = [end for _, end in sentence_spans(text, language)[:-1]]
    blanks = ends or [place for place, character in enumerate(text) if character.isspace()]
    return min(blanks, key=lambda place: abs(place - half), default=half)
