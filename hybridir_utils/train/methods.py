"""Contrastive methods that hybrid batches are compared with (PAPER §7): the pairs each trains on, the mix of its batches, its loss.

Every method sees the same parallel pairs, starts from the same base, and takes the same steps and batch size. A view of the pairs (a text
twice, two crops, names switched into other languages) is a function of parallel pairs (datasets.Dataset) and a seed to pairs of the same
columns and ids, so that a batch plan can be drawn over them and no batch holds two views of one passage as negatives of each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..base.errors import InputError
from ..base.mapped import chunks, codes, keep_rows, stored
from ..data.batching import BatchPlan
from ..data.pairs import PAIR_COLUMNS, pairs_from_rows
from ..data.worldnames import name_of, named_items
from ..encode.encoding import encode_texts
from ..encode.opening import Opening, open_model
from .training import TrainingSettings, run_trainer, trainer_arguments

LEAST, MOST = 0.3, 0.8  # share of a passage that a crop keeps; passages here have a sentence or a few, not Contriever's 256 tokens
FEW_WORDS = 6  # a text with fewer blanks is cropped by characters: Chinese, Japanese, Thai …
SWITCHED = 0.5  # probability that a name is switched, as in the paper
COPIES = 4  # switched versions of each English pair
SHORTEST = 3  # letters of an English name; shorter ones are ordinary words too often
DISTILLATION = "distillation"
TEACHER = "En-En"  # strategy of the monolingual encoder that distillation learns from
PARTS = {"question": "query", "passage": "document"}  # of a pair, by which a text is drawn for distillation -> its role


def as_they_are(pairs, seed: int):
    return pairs


def passage_twice(pairs, seed: int = 0):
    """Question = passage: under X-Y batches a passage meets its translation (LaBSE, Feng et al. 2022), under X-X itself (SimCSE)."""
    return _with_texts(pairs, lambda texts: (texts, texts))


def two_crops(pairs, seed: int = 0):
    """Question and passage = two spans of the passage, drawn independently (Contriever, Izacard et al. 2022, §3.1)."""
    rng = np.random.default_rng(seed)
    return _with_texts(pairs, lambda texts: tuple([crop(text, rng) for text in texts] for _ in range(2)))


def crop(text: str, rng: np.random.Generator) -> str:
    """A span of LEAST to MOST of the text's words, or characters where it has few words; never empty."""
    words = text.split()
    units, glue = (words, " ") if len(words) >= FEW_WORDS else (list(text), "")
    length = max(1, round(rng.uniform(LEAST, MOST) * len(units)))
    start = rng.integers(0, len(units) - length + 1)
    return glue.join(units[start : start + length]).strip() or text


def _with_texts(pairs, views: Callable[[list[str]], tuple[list[str], list[str]]]):
    """The pairs, without hard negatives, with the two views of each passage in the place of question and passage."""
    return stored(_viewed(table, views) for table in chunks(pairs, PAIR_COLUMNS))


def _viewed(table: pa.Table, views: Callable) -> pa.Table:
    texts = dict(zip(("question", "passage"), views(table["passage"].to_pylist()), strict=True))
    return pa.table({name: texts.get(name, table[name]) for name in table.column_names}, schema=table.schema)


def code_switched(pairs, seed: int = 0):
    """COPIES of each English pair, each with the names in question and passage switched, every name into a language drawn anew.

    The languages are those of the pairs; copies share the passage_id, so that no batch holds two. Raises InputError without English
    pairs.
    """
    languages = sorted(set(pairs.unique("language")) - {"en"})
    english = keep_rows(pairs, np.array(pairs["language"]) == "en")
    if not len(english):
        raise InputError(f"code-switching needs English pairs (language en); the pairs have {', '.join(languages)}.")
    rng, found = np.random.default_rng(seed), lexicon(tuple(languages))
    rows = []
    for row in english:
        for copy in range(COPIES):
            question, passage = (switch(row[part], found, rng) for part in ("question", "passage"))
            rows.append((f"{row['id']}~{copy}", row["passage_id"], "en", question, passage, row["source"]))
    return pairs_from_rows(rows)


def switch(text: str, found: dict[str, Sequence[str]], rng: np.random.Generator) -> str:
    """The text with each name of the lexicon, whole words only, put into another language with probability SWITCHED."""

    def draw(match: re.Match) -> str:
        names = found.get(match.group().lower())  # none of `İstanbul`, which the pattern takes for `istanbul`
        return names[rng.integers(len(names))] if names and rng.random() < SWITCHED else match.group()

    return _pattern(tuple(found)).sub(draw, text)


@cache
def lexicon(languages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """English name in lower case -> its names in the languages, those equal to the English one left out."""
    names = {}
    for item in named_items():
        english = name_of("en", *item)
        others = {name for language in languages if (name := name_of(language, *item)) and name != english}
        if len(english) >= SHORTEST and others:
            names.setdefault(english.lower(), tuple(sorted(others)))
    return names


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern:
    """Longer names first, so that `Central European Time` is found before `Central`."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", flags=re.IGNORECASE)


@dataclass(frozen=True)
class Method:
    """strategy: of its batches (`batching.STRATEGIES`); what: its pairs and loss in words; source: where it was published; pairs: what is
    made of (parallel pairs, seed); settings: changes to `TrainingSettings`."""

    strategy: str
    what: str = "a question and its passage; InfoNCE"
    source: str = "arXiv 2408.10536, §3"
    pairs: Callable = as_they_are
    settings: dict = field(default_factory=dict)


MARGIN, DROPOUT = 0.3, 0.1  # as published: LaBSE's margin, SimCSE's dropout
METHODS = {
    "translation ranking": Method(
        "X-Y",
        f"a passage and its translation; InfoNCE in both directions, margin {MARGIN}",
        "LaBSE: Feng et al. 2022, §2.1",
        passage_twice,
        {"symmetric": True, "margin": MARGIN},
    ),
    DISTILLATION: Method(
        "X-Y", f"a text in English and its translation; MSE to the vector of an {TEACHER} teacher", "Reimers and Gurevych 2020, §2"
    ),
    "dropout": Method(
        "X-X", f"a passage twice, dropout {DROPOUT}; InfoNCE", "SimCSE: Gao et al. 2021, §3", passage_twice, {"dropout": DROPOUT}
    ),
    "crop": Method("X-X", "two spans of a passage; InfoNCE", "Contriever: Izacard et al. 2022, §3.1", two_crops),
    "code-switched": Method(
        "En-En", "an English question and passage, names switched by a lexicon; InfoNCE", "Litschko et al. 2023, §3.2", code_switched
    ),
}


def method_of(name: str) -> Method:
    """The method of a name of METHODS; any other name is a strategy, trained on the parallel pairs themselves."""
    return METHODS.get(name) or Method(name)


def distil(
    base, teacher, pairs, plan: BatchPlan, settings: TrainingSettings, *, opening: Opening | None = None, checkpoints: Path | None = None
):
    """Train `base` towards `teacher` (folders or hub names, see `opening.open_model`) on the slots of an X-Y plan.

    Of each slot, the passage row's question or passage (drawn by the plan's seed) is the translation, the same part of its id's
    English row the English text; prefixes as in `settings`. Returns (SentenceTransformer, loss history). Raises InputError when an id
    has no English row, or the two encoders differ in width.
    """
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from sentence_transformers.sentence_transformer.losses import MSELoss

    from .losses import tokenise
    from .trainer import PlanTrainer

    student, source = open_model(base, opening), open_model(teacher, opening)
    if student.get_embedding_dimension() != source.get_embedding_dimension():
        raise InputError(
            f"the teacher's vectors are {source.get_embedding_dimension()} wide, the student's {student.get_embedding_dimension()}; "
            "distillation needs two encoders of one width."
        )
    student.prompts = {"query": settings.query_prefix, "document": settings.passage_prefix}
    trainer = PlanTrainer(
        model=student,
        args=trainer_arguments(plan, settings, {}, checkpoints),
        train_dataset=_taught(pairs, plan, source, settings),
        data_collator=SentenceTransformerDataCollator(preprocess_fn=tokenise(student)),
        loss=MSELoss(student),
    )
    return student, run_trainer(trainer, settings, checkpoints)


def _taught(pairs, plan: BatchPlan, teacher, settings: TrainingSettings):
    """datasets.Dataset of the plan's slots in order: english, translation, label (the teacher's vector)."""
    from datasets import Dataset

    rows = plan.passage_rows.ravel()
    english, part = _english_rows(pairs)[rows], np.random.default_rng(plan.seed).integers(0, 2, rows.size)
    prefix = {"question": settings.query_prefix, "passage": settings.passage_prefix}
    used, place = np.unique(english, return_inverse=True)
    vectors = np.stack([encode_texts(teacher, pairs[used][name], role) for name, role in PARTS.items()])
    texts, parts = pairs.select_columns(list(PARTS)), list(PARTS)

    def look_up(batch: dict) -> dict:
        chosen, found = [parts[number] for number in batch["part"]], {}
        for side in ("english", "translation"):
            columns = texts[batch[side]]
            found[side] = [prefix[name] + columns[name][slot] for slot, name in enumerate(chosen)]
        return found | {"label": vectors[batch["part"], batch["place"]].tolist()}

    return Dataset.from_dict({"english": english, "translation": rows, "part": part, "place": place}).with_transform(look_up)


def _english_rows(pairs) -> np.ndarray:
    """[rows] row number of the English version of each row's pair."""
    (ids, names), (language, languages) = codes(pairs, "id"), codes(pairs, "language")
    of_id, known = np.full(len(names), -1), languages.to_pylist()
    if "en" in known:
        in_english = np.flatnonzero(language == known.index("en"))
        of_id[ids[in_english]] = in_english
    if (of_id < 0).any():
        raise InputError(
            f"distillation learns from English texts, and pair {names[int(np.argmin(of_id))].as_py()!r} has none. "
            "Leave the pair out, or the method."
        )
    return of_id[ids]
