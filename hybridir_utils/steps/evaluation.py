"""Every evaluation of a run, gathered into tidy tables (notebooks 03 and 04)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.encoder_catalogue import place_of, prompts_of
from ..base.files import file_safe
from ..base.parallel import run_jobs
from ..base.runs import artefact_path, is_whole, note_used
from ..rank.opening import Opening, origin
from . import evaluation_job
from .corpora import data_fingerprint, public_data
from .encoders import EncoderKey, base_encoders, encoder_keys, trained_encoders
from .profiles import OWN_BASES, Profile
from .search_tasks import is_search_task
from .session import Run

UNTRAINED = "untrained"  # the base encoder before any batch
ZERO_SHOT = "zero-shot"  # a public retriever as it is, with its own prompts
NOT_TRAINED = (UNTRAINED, ZERO_SHOT)
REFERENCE = "reference"  # base of the lines that are no encoder


@dataclass(frozen=True)
class Evaluations:
    """Folders of a run's evaluations by (encoder, task), and readers that gather them."""

    folders: dict[tuple[EncoderKey, str], Path]

    def table(self, part: str, **where) -> pd.DataFrame:
        """One tidy table from every evaluation that has `part` (scores, bias, questions, heat, debiasing, alignment, map).

        Columns base, strategy, alpha, seed, task come first. where: attribute of the key or `task` -> the value to keep.
        """
        rows = []
        for (key, task), folder in self.folders.items():
            about = {**asdict(key), "task": task}
            if (folder / f"{part}.parquet").exists() and all(about[name] == value for name, value in where.items()):
                rows.append(pd.read_parquet(folder / f"{part}.parquet").assign(**about))
        table = pd.concat(rows, ignore_index=True)
        first = [*asdict(next(iter(self.folders))[0]), "task"]
        return table[first + [column for column in table.columns if column not in first]]

    def has(self, part: str) -> bool:
        """Whether any evaluation has `part`: not every encoder is debiased, and one language is not mapped."""
        return any((folder / f"{part}.parquet").exists() for folder in self.folders.values())

    def top(self, key: EncoderKey, task: str) -> np.ndarray:
        """[Q, 10] candidate rows of the mixed pool, best first."""
        return np.load(self.folders[key, task] / "top.npy")


def evaluate(
    run: Run, encoders: dict[EncoderKey, Path] | None = None, tasks: Sequence[str] | None = None, aligned: bool = True
) -> Evaluations:
    """Evaluate every trained encoder, the bases before training, public retrievers, BM25 and random order on every task of the profile.

    encoders: those of a study, in place of the profile's. tasks: those of the profile's that a study looks at; none: all. aligned:
    measure the alignment of the languages, too, whose cost grows with the square of their number. What was evaluated before is read. The
    profile's encoders that are missing are trained where it says train_in_place, else MissingInput names the notebook to run.
    """
    places = encoder_places(run, trained_encoders(run, make=run.profile.train_in_place) if encoders is None else encoders)
    places |= {EncoderKey(REFERENCE, name, nan_alpha(), 0): name for name in evaluation_job.REFERENCES}
    data = {task: data_fingerprint((task,), run.profile.data_dir) for task in tasks or run.profile.tasks}  # hashes the files: once a task
    origins = {key: place if key.base == REFERENCE else origin_of(run, place) for key, place in places.items()}
    asked = [(key, task) for key in places for task in data if key.base != REFERENCE or not is_search_task(task)]
    recipes = {(key, task): _recipe(run, key, origins[key], task, data[task], aligned) for key, task in asked}
    room = run.artefacts / "evaluations"
    folders = {k: artefact_path(room, evaluation_name(*k), recipe, "evaluation_job") for k, recipe in recipes.items()}
    means = run.profile.model_dump(include={"data_dir", "batch_tokens", "shard_size", "scheduler"})
    jobs = [
        (str(run.artefacts), evaluation_name(*k), recipes[k], places[k[0]], means) for k, folder in folders.items() if not is_whole(folder)
    ]
    run_jobs(evaluation_job.run_job, jobs, run.profile.jobs, "evaluating")
    note_used(folders.values())
    return Evaluations(folders)


def encoder_places(run: Run, trained: dict[EncoderKey, Path]) -> dict[EncoderKey, str]:
    """Folder or hub name of every encoder to evaluate: the trained ones, the bases before training, the public retrievers."""
    places = {key: str(folder) for key, folder in trained.items()}
    places |= {EncoderKey(base, UNTRAINED, nan_alpha(), 0): str(folder) for base, folder in base_encoders(run).items()}
    return places | {EncoderKey(name, ZERO_SHOT, nan_alpha(), 0): place_of(name) for name in run.profile.retrievers}


def nan_alpha() -> float:
    """The alpha of what has no mix; one object, so that keys made of it compare equal."""
    return nan


def _recipe(run: Run, key: EncoderKey, origin_: str, task: str, data: str, aligned: bool) -> dict:
    p = run.profile
    first = task == p.tasks[0]
    own = key.name in {key.name for key in encoder_keys(run)}  # a study's further encoders are ranked, and no more
    return {
        "encoder": origin_,
        "opening": opening_of(p, key).model_dump(),
        "task": task,
        "languages": list(p.languages),
        "task_languages": list(p.task_languages),
        "corpus_seed": p.corpus_seed,
        "data": data,
        "sets": public_data(task, p.data_dir),
        "depth": p.depth,
        "precision": p.precision,
        "vector_precision": p.vector_precision,
        "debias": first and own,
        "aligned": aligned and (own or key.strategy in NOT_TRAINED),
        "mapped": first and key.seed in (0, p.seeds[0]),
    }


def opening_of(profile: Profile, key: EncoderKey) -> Opening:
    """A base is opened as for training; a trained encoder has its pooling and lengths with it, a retriever its authors'."""
    common = {"attention": profile.attention, "trust_remote_code": profile.trust_remote_code}
    if key.strategy == ZERO_SHOT:
        return Opening(**common, prompts=prompts_of(key.base))
    if key.strategy == UNTRAINED and key.base not in OWN_BASES:
        return profile.opening
    return Opening(**common)


def origin_of(run: Run, place: str) -> str:
    """What an encoder is made of: the fingerprint in the folder's name where the run made it, else its files' or the hub's."""
    return Path(place).name if Path(place).is_relative_to(run.artefacts) else origin(place)


def evaluation_name(key: EncoderKey, task: str) -> str:
    """Name of the artefact of an encoder's evaluation on a task."""
    return f"{key.name}-{file_safe(task)}"
