"""From source pairs to checked parallel pairs: translate, reject what is broken, drop what leaks (notebook 01)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from . import worldfacts
from .corpora import data_fingerprint, retrieval_task, source_pairs
from .errors import InputError
from .leakage import drop_leaks, leaks
from .pairs import join_pairs, read_split
from .quality import accepted, check_pairs_quality
from .runs import artefact
from .session import Run
from .tasks import RetrievalTask
from .translation import CachedTranslator, MemoryTranslator, translate_pairs

TABLES = ("rejections", "leaks", "coverage")


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
    """The profile's parallel pairs; made when they are not there yet, else read."""
    profile = run.profile
    recipe = profile.model_dump(
        include={"languages", "unseen_languages", "pair_sets", "tasks", "max_chars", "near_duplicate", "corpus_seed", "batch_size"}
    )
    recipe["data"] = data_fingerprint(profile.pair_sets + profile.tasks, profile.data_dir)
    folder = artefact(run.artefacts / "pairs", "pairs", recipe, "preparation", lambda out: _make(run, out))
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    splits = {split: read_split(folder, split) for split in ("train", "validation")}
    return PreparedPairs(**splits, **tables, folder=folder)


def _make(run: Run, out: Path) -> None:
    sources = source_pairs(run.profile)
    train, validation = (_translate(run, pairs) for pairs in sources)
    rejections = pd.concat(
        [check_pairs_quality(pairs).assign(split=split) for split, pairs in (("train", train), ("validation", validation))]
    )
    checked = accepted(train, rejections)
    tasks = evaluation_tasks(run)
    found = pd.concat([leaks(checked, task, run.profile.near_duplicate).assign(task=task.name) for task in tasks], ignore_index=True)
    clean = drop_leaks(checked, found)
    enough = enough_for_a_batch(clean, run.profile.batch_size)
    seen = enough.select([i for i, language in enumerate(enough["language"]) if language not in run.profile.unseen_languages])
    seen.to_parquet(str(out / "train.parquet"))
    accepted(validation, rejections).to_parquet(str(out / "validation.parquet"))
    steps = {"translated": train, "accepted": checked, "without leaks": clean, "enough for a batch": enough, "for training": seen}
    for name, table in zip(TABLES, (rejections, found, _coverage(steps)), strict=True):
        table.to_parquet(out / f"{name}.parquet", index=False)


def enough_for_a_batch(pairs: Dataset, batch_size: int) -> Dataset:
    """The pairs of each (data set, language) that has at least `batch_size` different passages, so that it can fill a batch alone.

    Raises InputError when none has.
    """
    passages = pairs.select_columns(["source", "language", "passage_id"]).to_pandas()
    distinct = passages.groupby(["source", "language"])["passage_id"].transform("nunique").to_numpy()
    if not (distinct >= batch_size).any():
        raise InputError(
            f"no language of any data set has {batch_size} different passages, which one batch needs; the largest has {distinct.max()}. "
            "Lower batch_size, or add data."
        )
    return pairs.select(np.flatnonzero(distinct >= batch_size))


def evaluation_tasks(run: Run) -> list[RetrievalTask]:
    """The profile's evaluation tasks."""
    p = run.profile
    return [retrieval_task(name, p.languages, p.data_dir, p.corpus_seed) for name in p.tasks]


def _translate(run: Run, pairs: Dataset) -> Dataset:
    """Data sets that are English only are translated into the profile's other languages; parallel ones stay as they are."""
    targets = [language for language in run.profile.languages if language != "en"]
    frame = pairs.select_columns(["source", "language"]).to_pandas()
    english_only = frame.groupby("source")["language"].transform(lambda codes: (codes == "en").all()).to_numpy()
    if not targets or not english_only.any():
        return pairs
    translated = translate_pairs(pairs.select(np.flatnonzero(english_only)), translator(run), targets)
    return join_pairs([pairs.select(np.flatnonzero(~english_only)), translated])


def translator(run: Run) -> CachedTranslator:
    """The translation memory of the world facts behind a cache that survives a kill."""
    targets = [language for language in run.profile.languages if language != "en"]
    memory = MemoryTranslator({target: worldfacts.translation_memory(target) for target in targets})
    return CachedTranslator(memory, run.artefacts / "translations.sqlite")


def _coverage(steps: dict[str, Dataset]) -> pd.DataFrame:
    """Pairs per language after each step: columns language, step, pairs."""
    rows = [(language, step, count) for step, pairs in steps.items() for language, count in sorted(Counter(pairs["language"]).items())]
    return pd.DataFrame(rows, columns=["language", "step", "pairs"])
