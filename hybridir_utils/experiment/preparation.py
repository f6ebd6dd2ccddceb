"""From source pairs to checked parallel pairs: translate, reject what is broken, drop what leaks (notebook 01)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.distributed import first_process_first
from ..base.errors import InputError, need_known
from ..base.files import writing
from ..base.mapped import codes, counts, holds, keep_rows, write_parquet
from ..base.progress import told_while
from ..data import worldfacts
from ..data.hard_negatives import add_hard_negatives
from ..data.leakage import drop_leaks, leaks
from ..data.mt import TRANSLATORS, model_places, open_translator
from ..data.pairs import NEGATIVE_COLUMNS, holds_passages, join_pairs, one_passage, read_split
from ..data.public_pairs import TRAINING_SETS, hub_pairs
from ..data.quality import accepted, rejected
from ..data.register import data_fault, data_recipe, is_search_task, languages_of, read_questions, read_task
from ..data.translation import CachedTranslator, back_translation, translate_pairs
from ..encode.catalogue import place_of, prompts_of
from ..encode.encoding import encode_texts
from ..encode.opening import Opening, open_model, origin
from ..provenance.artefacts import Artefact
from ..tasks.retrieval_task import ParallelQuestions, RetrievalTask
from ..tasks.searched_task import SearchTask
from .profile import Profile
from .run import Run, make_one
from .sources import check_own, source_pairs

if TYPE_CHECKING:
    from datasets import Dataset

TRANSLATIONS = "translations.sqlite"
TABLES = ("rejections", "leaks", "coverage")
RECIPE = {
    "languages", "unseen_languages", "pair_sets", "task_languages", "english_only", "max_pairs", "pair_share", "max_chars",
    "near_duplicate", "corpus_seed", "batch_size", "hard_negatives", "negative_margin", "validation_set",
}  # fmt: skip


@dataclass(frozen=True)
class PreparedPairs:
    """Parallel pairs ready for training, and what was left out on the way.

    train, validation: datasets.Dataset of pairs. rejections: rows refused by a quality check. leaks: training texts that
    an evaluation set holds too. coverage: pairs per language after each step. folder: the artefact they lie in.
    """

    train: Dataset
    validation: Dataset
    rejections: pd.DataFrame
    leaks: pd.DataFrame
    coverage: pd.DataFrame
    folder: Path


def prepare_pairs(run: Run) -> PreparedPairs:
    """The profile's parallel pairs; made when they are not there yet, else read. Both are memory-mapped."""
    folder = make_one(pairs_artefact(run), run)
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    splits = {split: read_split(folder, split) for split in ("train", "validation")}
    return PreparedPairs(**splits, **tables, folder=folder)


def pairs_artefact(run: Run) -> Artefact:
    """What `prepare_pairs` makes."""
    return Artefact(run.artefacts / "pairs", "pairs", _recipe(run.profile), _make)


def _recipe(profile: Profile) -> dict:
    recipe = profile.model_dump(include=RECIPE) | {"translator": translating_model(profile), "test_sets": profile.test_sets}
    recipe |= profile.reading(*profile.test_sets)
    if profile.question_task not in ("", *profile.tasks):
        recipe["question_languages"] = profile.question_languages
    if profile.hard_negatives == "dense":
        recipe["mined with"] = profile.retrievers[:1]
    return recipe | data_recipe(profile.pair_sets + profile.validation_sets + profile.test_sets, profile.data_dir)


def _make(out: Path, recipe: dict, run: Run) -> None:
    profile, work = run.profile, out / "work"
    train, validation = _parallel_pairs(run, work)
    steps = {"translated": counts(train, "language")}
    rejections = pd.concat([rejected(train).assign(split="train"), rejected(validation).assign(split="validation")])
    train, validation = one_passage(accepted(train, rejections)), accepted(validation, rejections)
    train = keep_rows(train, ~holds_passages(train, validation))
    steps["accepted"] = counts(train, "language")
    found = pd.concat([leaks(train, t, profile.near_duplicate).assign(task=t.name) for t in tested_texts(run)], ignore_index=True)
    train = drop_leaks(train, found)
    steps["without leaks"] = counts(train, "language")
    train = enough_for_a_batch(train, profile.batch_size)
    steps["enough for a batch"] = counts(train, "language")
    train = keep_rows(train, ~holds(train, pd.DataFrame({"language": profile.unseen_languages})))
    steps["for training"] = counts(train, "language")
    for split, pairs in (("train", _with_negatives(train, profile)), ("validation", validation)):
        write_parquet(pairs, out / f"{split}.parquet")
    for name, table in zip(TABLES, (rejections, found, _coverage(steps)), strict=True):
        table.to_parquet(out / f"{name}.parquet", index=False)
    shutil.rmtree(work, ignore_errors=True)


def enough_for_a_batch(pairs: Dataset, batch_size: int) -> Dataset:
    """The pairs of each (data set, language) that has at least `batch_size` different passages, so that it can fill a batch alone.

    Raises InputError when none has.
    """
    passages = different_passages(pairs)
    if passages.max() < batch_size:
        raise InputError(
            f"no language of any data set has {batch_size} different passages, which one batch needs; the largest has {passages.max()}. "
            "Lower batch_size, or add data."
        )
    return keep_rows(pairs, passages >= batch_size)


def different_passages(pairs: Dataset) -> np.ndarray:
    """[rows] how many different passages the row's (data set, language) has."""
    (source, _), (language, languages), (passage, passages) = (codes(pairs, column) for column in ("source", "language", "passage_id"))
    stream = source * len(languages) + language
    return np.bincount(np.unique(stream * np.int64(len(passages)) + passage) // len(passages))[stream]


def check_data(run: Run, where: str = "") -> None:
    """Raise InputError, before anything is made, with the faults of the user's own files, or where no language can fill a batch:
    translation and checks add no passages.

    Sets of the hub, and what is not there, are not looked at. where: begins the message.
    """
    p = run.profile
    read = not any(name in TRAINING_SETS or data_fault(name, p.request) for name in p.pair_sets)
    try:
        check_own(p)
        if read and not pairs_artefact(run).is_whole():
            train, validation = source_pairs(p)
            enough_for_a_batch(train, p.batch_size)
            _check_english(join_pairs([train, validation]))
    except InputError as error:
        raise InputError(f"{where}{error}") from None


def _check_english(pairs: Dataset) -> None:
    (ids, names), english = codes(pairs, "id"), holds(pairs, pd.DataFrame({"language": ["en"]}))
    without = ~np.isin(ids, ids[english])
    if without.any():
        raise InputError(
            f"{len(np.unique(ids[without]))} of {len(names)} training pairs such as {pairs[int(without.argmax())]['id']!r} have no row in "
            "English (en), with which their translations are compared. Add it, drop them, or add en to the profile's languages."
        )


def evaluation_tasks(run: Run) -> dict[str, RetrievalTask]:
    """The profile's tasks that are ranked in full, by name.

    Raises UnknownName for a language of `task_languages` that no task has, where the profile has no others.
    """
    p = run.profile
    with told_while("reading the tasks", delay=0):
        tasks = {name: read_task(name, p.request) for name in p.tasks if not is_search_task(name)}
    if len(tasks) == len(p.tasks):
        _check_task_languages(p, tasks)
    return tasks


def _check_task_languages(profile: Profile, tasks: dict[str, RetrievalTask]) -> None:
    languages = [languages_of(name, profile.data_dir) or task.languages for name, task in tasks.items()]
    there = dict.fromkeys(chain.from_iterable(languages))
    need_known(f"language of the tasks {', '.join(tasks)}", profile.task_languages, there)


def tested_texts(run: Run) -> list[RetrievalTask | SearchTask | ParallelQuestions]:
    """All that training must not hold (`Profile.test_sets`), in the order of the names: tasks, and parallel questions that are no task."""
    p, ranked = run.profile, evaluation_tasks(run)
    tasks = {*p.tasks, *p.clean_tasks}
    return [ranked.get(name) or (read_task if name in tasks else read_questions)(name, p.request) for name in p.test_sets]


def _parallel_pairs(run: Run, work: Path) -> tuple[Dataset, Dataset]:
    """(training, validation) pairs in the profile's languages; what is written on the way lies in `work`.

    With SQuADShifts for validation, which is English, nothing is held out of the training sets.
    """
    sources, profile = source_pairs(run.profile), run.profile
    if profile.validation_set == "squadshifts":
        validation = hub_pairs("squadshifts", data_dir=profile.data_dir, max_chars=profile.max_chars)
        return translated(run, join_pairs(list(sources)), work / "train"), validation
    return tuple(translated(run, pairs, work / split) for split, pairs in zip(("train", "validation"), sources, strict=True))


def _with_negatives(pairs: Dataset, profile: Profile) -> Dataset:
    """The pairs with hard negatives as the profile wants them; a column of given ones goes where it wants none."""
    if profile.hard_negatives == "none":
        return pairs.remove_columns([column for column in NEGATIVE_COLUMNS if column in pairs.column_names])
    encode = _mining_encoder(profile) if profile.hard_negatives == "dense" else None
    return add_hard_negatives(pairs, profile.hard_negatives, profile.negative_margin, profile.corpus_seed, encode)


def _mining_encoder(profile: Profile) -> Callable[[list[str], str], np.ndarray]:
    """`encode(texts, role)` of the first of the profile's retrievers, which retrieves without any training."""
    if not profile.retrievers:
        raise InputError(
            "hard_negatives = dense mines with the first of `retrievers`, and the profile has none. Name one, or take bm25 or given."
        )
    name = profile.retrievers[0]
    model = open_model(place_of(name), Opening(prompts=prompts_of(name)))
    return lambda texts, role: encode_texts(model, texts, role, profile.batch_tokens, profile.precision)


def _coverage(steps: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Pairs per language after each step: columns language, step, pairs."""
    rows = [(language, step, count) for step, languages in steps.items() for language, count in languages.items()]
    return pd.DataFrame(rows, columns=["language", "step", "pairs"])


def translator(run: Run) -> CachedTranslator:
    """The profile's translator behind a cache that survives a kill."""
    p = run.profile
    if p.translator == "memory":
        inner = worldfacts.FactsMemory(tuple(language for language in p.languages if language != "en"))
    else:
        inner = open_translator(
            p.translator, beams=p.beams, tokens=p.translation_tokens, precision=p.precision, trust_remote_code=p.trust_remote_code
        )
    with writing(run.artefacts):
        run.artefacts.mkdir(parents=True, exist_ok=True)
    return CachedTranslator(inner, run.artefacts / TRANSLATIONS)


def fill_translations(run: Run) -> Path:
    """Translate what the profile has translated into the cache alone, for `prepare_pairs` to find; returns the cache's path.

    Under `accelerate launch` every process calls this, and they share the texts.
    """
    with first_process_first():
        parts = source_pairs(run.profile)
    for pairs in parts:
        with TemporaryDirectory() as folder:
            translated(run, pairs, Path(folder))
    return run.artefacts / TRANSLATIONS


def translation_sample(run: Run) -> pd.DataFrame:
    """chrF of `back_translated` passages a language, into it and back: language, chrF, low, high, n (`back_translation`).

    No rows where nothing was translated, or by the translation memory, which holds one direction only.
    """
    pairs, profile = source_pairs(run.profile)[0], run.profile
    chosen, targets = to_translate(profile, pairs)
    if profile.translator == "memory" or not profile.back_translated or not targets or not chosen.any():
        return pd.DataFrame(columns=["language", "chrF", "low", "high", "n"])
    return back_translation(keep_rows(pairs, chosen), translator(run), targets, profile.back_translated, profile.corpus_seed)


def translated(run: Run, pairs: Dataset, folder: Path) -> Dataset:
    """Data sets that are English only are translated into the profile's other languages; parallel ones, and those that the profile
    names in `english_only`, stay as they are.
    """
    chosen, targets = to_translate(run.profile, pairs)
    if not targets or not chosen.any():
        return pairs
    return join_pairs([keep_rows(pairs, ~chosen), translate_pairs(keep_rows(pairs, chosen), translator(run), targets, folder)])


def to_translate(profile: Profile, pairs: Dataset) -> tuple[np.ndarray, list[str]]:
    """([rows] bool, target languages): the pairs of sets that are in English only and not in the profile's `english_only`."""
    stay = {Path(name).name.split(".")[0] for name in profile.english_only}  # the source of jsonl:FILE is the file's name
    (source, sources), (language, languages) = codes(pairs, "source"), codes(pairs, "language")
    parallel = np.isin(sources.to_pylist(), sorted(stay))
    parallel[source[np.array(languages.to_pylist())[language] != "en"]] = True
    return ~parallel[source], [language for language in profile.languages if language != "en"]


def translating_model(profile: Profile) -> dict:
    """What decides a translation: the translator's name, the models it stands for, each with its commit or the fingerprint of its folder,
    and the decoding.
    """
    if profile.translator == "memory":
        return {"name": "memory"}
    known = TRANSLATORS.get(profile.translator)
    models = {place: _commit(place) for place in model_places(profile.translator, profile.languages)}
    about = {"models": models, "licence": known.licence, "max_tokens": known.max_tokens} if known else {"models": models}
    return {"name": profile.translator, **about, "beams": profile.beams, "precision": profile.precision}


def _commit(place: str) -> str | None:
    """`NAME@COMMIT` or a folder's fingerprint; None where neither the hub nor the cache answers."""
    try:
        return origin(place)
    except InputError:
        return None
