"""The embedded corpus "world facts": CLDR names in sentences written by hand, one template file a language.

A fact joins a subject (territory, language, currency, city) to an answer through a relation, e.g. `currency:CH`. Its
question and passage exist in every language that has `data/worldfacts/<code>.toml`; a new language is a new file. Languages in
which nobody wrote whole sentences have a neutral pattern instead, made of a noun for each relation
(`data/worldfacts/patterns/<code>.toml`), and no news. Names come from the CLDR data inside the `babel` package (Unicode License v3).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from ..base.files import WORLDFACTS, fingerprint, folder_fingerprint, read_toml
from ..provenance.fingerprints import code_fingerprint, versions
from ..tasks.retrieval_task import TEXT_COLUMNS, RetrievalTask
from .pairs import pairs_from_rows
from .worldnames import all_facts, name_of

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.04  # of all facts, for testing and as many for validation
BRIEF = 60  # held-out facts of the brief task: a pool of fifty languages stays small enough to rank in a second
PATTERN = {
    "questions": ("{{subject}} – {label}{ask}", "{label}: {{subject}}{ask}"),
    "passages": ("{{subject}} – {label}: {{answer}}{stop}", "{label} ({{subject}}): {{answer}}{stop}"),
}


@dataclass(frozen=True)
class Fact:
    """`relation` of `subject` is `answer`; subject and answer are (kind, CLDR code)."""

    relation: str
    subject: tuple[str, str]
    answer: tuple[str, str]

    @property
    def id(self) -> str:
        return f"{self.relation}:{self.subject[1]}"

    def phrasing(self, part: str) -> int:
        """Which of the two phrasings of its question or passage the fact uses; the same in every language."""
        return zlib.crc32(f"{part}|{self.id}".encode()) % 2


@cache
def template_languages() -> tuple[str, ...]:
    """Languages with a template file, whole sentences or a pattern, sorted."""
    return tuple(sorted({*(path.stem for path in WORLDFACTS.glob("*.toml")), *pattern_languages()}))


def pattern_languages() -> tuple[str, ...]:
    """Languages that have CLDR names in a neutral pattern and no sentences written by hand, sorted."""
    return tuple(sorted(path.stem for path in (WORLDFACTS / "patterns").glob("*.toml")))


@cache
def templates(language: str) -> dict:
    """Relation -> questions, passages, news; and `news` -> lead, background, closing. A pattern has no news at all.

    Raises UnknownName for a language without a file, InputError naming a file that cannot be read or lacks a label.
    """
    need_known("world-facts language", [language], template_languages())
    path = WORLDFACTS / f"{language}.toml"
    if path.exists():
        return read_toml(path)
    path = WORLDFACTS / "patterns" / path.name
    return _from_pattern(read_toml(path), path)


def _from_pattern(marks: dict, path: Path) -> dict:
    """The templates that a pattern's labels make, of every relation of the English ones."""
    relations, labels = [name for name in templates("en") if name != "news"], marks.get("labels", {})
    missing = [*(key for key in ("ask", "stop") if key not in marks), *(name for name in relations if name not in labels)]
    if missing:
        raise InputError(f"{path}: {missing[0]!r} is missing; patterns beside it show what a file holds.")
    about = {"ask": marks["ask"], "stop": marks["stop"]}
    return {
        name: {part: [form.format(label=labels[name], **about) for form in forms] for part, forms in PATTERN.items()} for name in relations
    }


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact that has an English name for subject and answer; no two facts share relation and English subject."""
    kept: dict[tuple[str, str], Fact] = {}
    for relation, subject, answer in all_facts():
        subject_name = name_of("en", *subject)
        if subject_name and name_of("en", *answer):
            kept.setdefault((relation, subject_name), Fact(relation, subject, answer))
    return tuple(kept.values())


def is_complete(fact: Fact, languages: tuple[str, ...]) -> bool:
    """Whether CLDR names subject and answer in every one of `languages`."""
    return all(name_of(language, *item) for language in languages for item in (fact.subject, fact.answer))


@cache
def split_facts(languages: tuple[str, ...], seed: int = 0) -> dict[str, tuple[Fact, ...]]:
    """Train, validation and test without a shared (subject, relation).

    Held-out facts are complete in `languages`, at most one a subject, and their subject keeps another complete fact for training.
    """
    everything = facts()
    complete = [fact for fact in everything if is_complete(fact, languages)]
    per_subject = Counter(fact.subject for fact in complete)
    shuffled = [complete[i] for i in np.random.default_rng(seed).permutation(len(complete))]
    one_each = list({fact.subject: fact for fact in shuffled if per_subject[fact.subject] > 1}.values())
    count = int(HELD_OUT * len(everything))
    test, validation = one_each[:count], one_each[count : 2 * count]
    held_out = {*test, *validation}
    train = [fact for fact in everything if fact not in held_out]
    return dict(zip(SPLITS, map(tuple, (train, validation, test)), strict=True))


def question(fact: Fact, language: str, phrasing: int | None = None) -> str:
    """The question in `language`."""
    chosen = fact.phrasing("question") if phrasing is None else phrasing
    return _fill(templates(language)[fact.relation]["questions"][chosen], fact, language)


def passage(fact: Fact, language: str, phrasing: int | None = None) -> str:
    """The one-sentence passage that answers the question."""
    chosen = fact.phrasing("passage") if phrasing is None else phrasing
    return _fill(templates(language)[fact.relation]["passages"][chosen], fact, language)


def english_pairs(split: str = "train", languages: tuple[str, ...] | None = None, seed: int = 0):
    """English question-passage pairs of one split as parallel pairs (datasets.Dataset) before translation."""
    chosen = split_facts(languages or template_languages(), seed)[split]
    rows = [(fact.id, fact.id, "en", question(fact, "en"), passage(fact, "en"), "worldfacts") for fact in chosen]
    return pairs_from_rows(rows)


@dataclass(frozen=True)
class FactsMemory:
    """Translation memory, a Translator into `targets`: English sentence -> sentence, for both phrasings of every fact.

    A sentence that it does not hold, or whose names CLDR lacks in the target, is returned unchanged, as MT systems do, for the quality
    checks to find. An unknown target raises UnknownName. name: another memory has another one, so that it never meets an old cache.
    """

    targets: tuple[str, ...]

    @cached_property
    def name(self) -> str:
        return f"memory-{edition()}"

    def translate(self, texts: list[str], source: str, target: str) -> list[str]:
        need_known("target language of the translation memory", [target], self.targets)
        return [self._translation(text, target) for text in texts]

    def _translation(self, text: str, target: str) -> str:
        fact, write, phrasing = _english_sentences().get(text, (None, None, None))
        return write(fact, target, phrasing) if fact and is_complete(fact, (target,)) else text


@cache
def _english_sentences() -> dict[str, tuple[Fact, Callable[[Fact, str, int], str], int]]:
    """English sentence -> its fact, the function that writes it, and the phrasing."""
    ways = [(write, phrasing) for write in (question, passage) for phrasing in (0, 1)]
    return {write(fact, "en", phrasing): (fact, write, phrasing) for fact in facts() for write, phrasing in ways}


def edition() -> str:
    """Fingerprint of all that decides the sentences: templates, code, and babel's version of CLDR."""
    code = code_fingerprint(english_pairs, retrieval_task, shifted_task)
    return fingerprint([folder_fingerprint(WORLDFACTS), code, versions()["babel"]])[:16]


def retrieval_task(split: str, languages: tuple[str, ...], seed: int = 0, most: int | None = None) -> RetrievalTask:
    """Questions of a held-out split, or of its first `most` facts, against one-sentence passages; one relevant passage a language.

    The pool also holds, for every question, the passages of the same subject under other relations, in the phrasing that
    training does not use, so that near misses are no training texts.
    """
    held_out = split_facts(languages, seed)[split][:most]
    subjects = {fact.subject for fact in held_out}
    near_misses = [f for f in facts() if f.subject in subjects and f not in held_out and is_complete(f, languages)]
    rows = [(f.id, language, passage(f, language)) for language in languages for f in held_out]
    rows += [(f"{f.id}~", language, passage(f, language, 1 - f.phrasing("passage"))) for language in languages for f in near_misses]
    return _task(f"worldfacts-{'brief' if most else split}", held_out, languages, rows)


def shifted_task(languages: tuple[str, ...], seed: int = 0) -> RetrievalTask:
    """The test questions against sentences of short news-like passages: four sentences a fact, one of them the answer.

    Raises InputError for a language that has a pattern instead of sentences.
    """
    if bare := sorted(set(languages) & set(pattern_languages())):
        raise InputError(f"world facts have no news in {', '.join(bare)}, only names in a pattern. Leave these languages out of this task.")
    held_out = split_facts(languages, seed)["test"]
    rows = [
        (fact.id if part == "news" else f"{fact.id}~{part}", language, text)
        for language in languages
        for fact in held_out
        for part, text in news_passage(fact, language).items()
    ]
    return _task("worldfacts-shifted", held_out, languages, rows)


def news_passage(fact: Fact, language: str) -> dict[str, str]:
    """Sentences of the fact's news passage in reading order: lead, background, news (the answer), closing."""
    around, draw = templates(language)["news"], zlib.crc32(fact.id.encode())
    parts = {part: around[part][(draw >> shift) % len(around[part])] for shift, part in enumerate(("lead", "background", "closing"))}
    lead, background, closing = (_fill(text, fact, language) for text in parts.values())
    return {
        "lead": lead,
        "background": background,
        "news": _fill(templates(language)[fact.relation]["news"], fact, language),
        "closing": closing,
    }


def _task(name: str, held_out, languages, rows) -> RetrievalTask:
    queries = [(f"{language}:{f.id}", f.id, language, question(f, language)) for language in languages for f in held_out]
    candidates = [(f"{language}:{group}", group, language, text) for group, language, text in rows]
    relevance = [(f"{a}:{f.id}", f"{b}:{f.id}") for f in held_out for a in languages for b in languages]
    return RetrievalTask(
        name,
        pd.DataFrame(queries, columns=TEXT_COLUMNS),
        pd.DataFrame(candidates, columns=TEXT_COLUMNS),
        pd.DataFrame(relevance, columns=["query", "candidate"]),
    )


def _fill(template: str, fact: Fact, language: str) -> str:
    names = {key: name_of(language, *item) for key, item in (("subject", fact.subject), ("answer", fact.answer))}
    if "{date}" in template:
        names["date"] = _news_date(fact, language, closing="{subject}" not in template)
    return template.format(**names)


def _news_date(fact: Fact, language: str, closing: bool) -> str:
    from babel.dates import format_date

    day = date(2023, 1, 1) + timedelta(days=zlib.crc32(f"date|{fact.id}".encode()) % 700 + (30 if closing else 0))
    return format_date(day, "long", locale=language)
