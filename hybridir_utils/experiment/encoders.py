"""Every encoder of a run: the bases, and one for each (base, strategy, seed) (notebook 02)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..base.distributed import first_process_first, launch, processes
from ..base.errors import MissingInput
from ..base.files import file_safe
from ..base.parallel import ready_workers, run_jobs
from ..data.batching import SCHEDULES, STRATEGIES, plan_batches, strategy_alpha
from ..encode.catalogue import place_of
from ..encode.opening import origin
from ..provenance.artefacts import Artefact, is_whole, recipe_of
from ..train.methods import DISTILLATION, TEACHER
from ..train.training import TrainingSettings
from .making import make_missing, make_one
from .preparation import PreparedPairs, pairs_artefact, prepare_pairs
from .profile import OWN_BASES, Profile
from .run import Run
from .training_job import encoder_artefact, train_one, train_together

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class EncoderKey:
    """Which encoder: the base it starts from, how its batches are mixed, and the seed."""

    base: str
    strategy: str
    alpha: float
    seed: int

    @property
    def name(self) -> str:
        mix = f"{self.strategy}-a{self.alpha:g}" if self.strategy in ("hybrid", *SCHEDULES) else self.strategy.replace(" ", "-")
        return f"{file_safe(self.base.removeprefix('st:'))}-{mix}-s{self.seed}"


def encoder_keys(run: Run) -> list[EncoderKey]:
    """Every encoder the profile asks for, in the order of bases, strategies, seeds."""
    p = run.profile
    return [EncoderKey(base, s, strategy_alpha(s, p.alpha), seed) for base, s, seed in product(p.bases, p.strategies, p.seeds)]


def base_encoders(run: Run) -> dict[str, Path]:
    """Base name -> folder (or hub name) of the encoder training starts from; the suite's own are made when missing."""
    if processes() == 1 and not all(is_whole(folder) for folder in common_places(run)):
        ready_workers()  # trainings follow
    prepared = prepare_pairs(run)
    return {base: _base(run, base, prepared) for base in run.profile.bases}


def trained_encoders(run: Run, make: bool = True, keys: Sequence[EncoderKey] | None = None) -> dict[EncoderKey, Path]:
    """Folder of every encoder of `keys` (the profile's where none are given); trains those that are not there.

    Trainings run `jobs` side by side, or one after the other with `processes` that share each batch; under `accelerate launch` or
    `torchrun` every process calls this, and all train together. make=False raises MissingInput, naming notebook 02 and the command,
    instead of training.
    """
    with first_process_first():
        base_encoders(run)
    keys = encoder_keys(run) if keys is None else keys
    if teachers := [teacher_of(key) for key in keys if key.strategy == DISTILLATION]:
        trained_encoders(run, make, teachers)
    train_all = partial(_train_all, run) if make else partial(_refuse, run, len(keys))
    return make_missing(encoder_artefacts(run, keys), lambda key: (), train_all)


def encoder_artefacts(run: Run, keys: Sequence[EncoderKey]) -> dict[EncoderKey, Artefact]:
    """Every encoder as it would be made, found without making any or what it starts from."""
    pairs = pairs_artefact(run).path.name
    return {key: encoder_artefact(run.artefacts, key.name, _recipe(run, key, pairs)) for key in keys}


def _train_all(run: Run, jobs: list[tuple]) -> None:
    if processes() > 1:
        train_together(jobs)
    elif jobs and run.profile.processes > 1:
        launch(train_together, (jobs,), run.profile.processes)
    else:
        run_jobs(train_one, jobs, run.profile.jobs, "training")


def _refuse(run: Run, count: int, jobs: list[tuple]) -> None:
    if jobs:
        raise MissingInput(
            f"{len(jobs)} of {count} encoders are not trained yet, {jobs[0][0].name} among them. "
            f"Run notebook 02_hybrid_batch_training, or: python -m hybridir_utils run --profile {run.source} --only 02"
        )


def _recipe(run: Run, key: EncoderKey, pairs: str) -> dict:
    p, base = run.profile, base_place(run, key.base, pairs)
    settings, sizes = (p.model_dump(include=set(names)) for names in (TrainingSettings.model_fields, ("steps", "batch_size")))
    own = not isinstance(base, str)
    about = {"base_folder": base.name if own else base, "base_origin": base.name if own else origin(base), "pairs": pairs}
    recipe = {**asdict(key), **about, "settings": settings, "opening": p.opening.model_dump(), **sizes}
    if key.strategy == DISTILLATION:
        teacher = teacher_of(key)
        recipe["teacher"] = encoder_artefact(run.artefacts, teacher.name, _recipe(run, teacher, pairs)).path.name
    return recipe


def teacher_of(key: EncoderKey) -> EncoderKey:
    """The monolingual encoder, of the same base and seed, that distillation learns from."""
    return replace(key, strategy=TEACHER, alpha=strategy_alpha(TEACHER, 0.5))


def common_places(run: Run) -> list[Path]:
    """Where the training pairs and the suite's own bases lie, whether they are there or not: what runs that agree in them share."""
    pairs = pairs_artefact(run).path
    return [pairs, *(base_artefact(run, base, pairs.name).path for base in run.profile.bases if base in OWN_BASES)]


def base_place(run: Run, base: str, pairs: str) -> Path | str:
    """Folder (or hub name) of a base; of the suite's own, where it lies or would lie. pairs: name of the pairs' artefact."""
    return base_artefact(run, base, pairs).path if base in OWN_BASES else place_of(base)


def base_artefact(run: Run, base: str, pairs: str) -> Artefact:
    """One of the suite's own bases."""
    p, room = run.profile, run.artefacts / "bases"
    start = {"pairs": pairs, "vocabulary": p.vocabulary, "dimension": p.dimension, "seed": 0}
    unaligned = Artefact(room, "unaligned", start, _make_unaligned)
    return unaligned if base == "unaligned" else Artefact(room, base, {"start": unaligned.path.name, **_alignment(p)}, _make_aligned)


def _alignment(p: Profile) -> dict:
    """How the aligned base is trained."""
    how = {"steps": p.alignment_steps, "rate": p.alignment_rate, "batch_size": p.batch_size, "seed": 0}
    return how | {"precision": p.precision, "compile": p.compile}


def _base(run: Run, base: str, prepared: PreparedPairs) -> Path | str:
    if base not in OWN_BASES:
        return place_of(base)
    start = () if base == "unaligned" else (_base(run, "unaligned", prepared),)
    return make_one(base_artefact(run, base, prepared.folder.name), prepared.train, run.profile.languages, *start)


def _make_unaligned(out: Path, recipe: dict, pairs: Dataset, languages: Sequence[str]) -> None:
    from ..train.base_encoders import bitext, make_unaligned

    texts = pairs["question"][:] + bitext(pairs, languages)["passage"][:]
    make_unaligned(out, texts, recipe["vocabulary"], recipe["dimension"], seed=recipe["seed"])


def _make_aligned(out: Path, recipe: dict, pairs: Dataset, languages: Sequence[str], unaligned: Path) -> None:
    from ..train.base_encoders import make_aligned

    make_aligned(out, unaligned, pairs, languages, **{key: value for key, value in recipe.items() if key != "start"})


def loss_curves(encoders: dict[EncoderKey, Path]) -> pd.DataFrame:
    """Loss histories of all encoders: base, strategy, alpha, seed, step, split, loss."""
    return pd.concat([pd.read_csv(folder / "loss.csv").assign(**asdict(key)) for key, folder in encoders.items()], ignore_index=True)


def training_cost(encoders: dict[EncoderKey, Path]) -> pd.DataFrame:
    """Seconds each training run took, its validation included."""
    return pd.DataFrame([{**asdict(key), "seconds": recipe_of(folder)["seconds"]} for key, folder in encoders.items()])


def plans(run: Run, prepared: PreparedPairs, seed: int):
    """The batch plan of every strategy for one seed, as the training runs draw it."""
    p = run.profile
    return {
        s: plan_batches(prepared.train, s, steps=p.steps, batch_size=p.batch_size, seed=seed, alpha=p.alpha)
        for s in STRATEGIES
        if s in p.strategies
    }
