"""Every evaluation of a run, gathered into tidy tables (notebooks 03 and 04)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from . import evaluation_job
from .corpora import data_fingerprint
from .encoder_catalogue import place_of, prompts_of
from .encoders import EncoderKey, base_encoders, file_safe, trained_encoders
from .opening import origin
from .parallel import run_jobs
from .runs import artefact_path, is_whole
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

    def top(self, key: EncoderKey, task: str) -> np.ndarray:
        """[Q, 10] candidate rows of the mixed pool, best first."""
        return np.load(self.folders[key, task] / "top.npy")


def evaluate(run: Run) -> Evaluations:
    """Evaluate every trained encoder, the bases before training, public retrievers, BM25 and random order on every task of the profile.

    What was evaluated before is read. Encoders that are missing are trained where the profile says train_in_place, else
    MissingInput names the notebook to run.
    """
    places = {key: str(folder) for key, folder in trained_encoders(run, make=run.profile.train_in_place).items()}
    places |= {EncoderKey(base, UNTRAINED, nan_alpha(), 0): str(folder) for base, folder in base_encoders(run).items()}
    places |= {EncoderKey(name, ZERO_SHOT, nan_alpha(), 0): place_of(name) for name in run.profile.retrievers}
    places |= {EncoderKey(REFERENCE, name, nan_alpha(), 0): name for name in evaluation_job.REFERENCES}
    data = {task: data_fingerprint((task,), run.profile.data_dir) for task in run.profile.tasks}  # hashes the files: once a task
    recipes = {(key, task): _recipe(run, key, place, task, data[task]) for key, place in places.items() for task in data}
    room = run.artefacts / "evaluations"
    folders = {k: artefact_path(room, _name(*k), recipe, "evaluation_job") for k, recipe in recipes.items()}
    missing = [k for k, folder in folders.items() if not is_whole(folder)]
    jobs = [(str(run.artefacts), _name(*k), recipes[k], places[k[0]], run.profile.data_dir) for k in missing]
    run_jobs(evaluation_job.run_job, jobs, run.profile.jobs, "evaluating")
    return Evaluations(folders)


def nan_alpha() -> float:
    """The alpha of what has no mix; one object, so that keys made of it compare equal."""
    return nan


def _recipe(run: Run, key: EncoderKey, place: str, task: str, data: str) -> dict:
    p = run.profile
    first = task == p.tasks[0]
    return {
        "encoder": place if key.base == REFERENCE else Path(place).name if _is_ours(run, place) else origin(place),
        "prompts": prompts_of(key.base) if key.strategy == ZERO_SHOT else None,
        "task": task,
        "languages": list(p.languages),
        "corpus_seed": p.corpus_seed,
        "data": data,
        "depth": p.depth,
        "debias": first and key.strategy not in (UNTRAINED, ZERO_SHOT),
        "geometry": first and key.seed in (0, p.seeds[0]),
    }


def _is_ours(run: Run, place: str) -> bool:
    """Whether the run made the encoder: its folder's name then carries a fingerprint."""
    return Path(place).is_relative_to(run.artefacts)


def _name(key: EncoderKey, task: str) -> str:
    return f"{key.name}-{file_safe(task)}"
