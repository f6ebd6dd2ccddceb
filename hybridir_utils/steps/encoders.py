"""Every encoder of a run: the bases, and one for each (base, strategy, seed) (notebook 02)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import pandas as pd

from ..base.distributed import first_process_first, launch, processes
from ..base.encoder_catalogue import place_of
from ..base.errors import MissingInput
from ..base.files import file_safe
from ..base.parallel import ready_workers, run_jobs
from ..base.runs import artefact, artefact_path, is_whole, note_used, recipe_of
from ..data.batching import SCHEDULES, STRATEGIES, plan_batches, strategy_alpha
from ..rank.opening import origin
from ..train.methods import DISTILLATION, TEACHER
from ..train.training import TrainingSettings
from . import encoder_job
from .preparation import PreparedPairs, pairs_artefact, prepare_pairs
from .profiles import OWN_BASES, Profile
from .session import Run


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
    recipes = encoder_recipes(run, keys)
    folders = {key: artefact_path(run.artefacts / "encoders", key.name, recipe, "encoder_job") for key, recipe in recipes.items()}
    missing = [key for key, folder in folders.items() if not is_whole(folder)]
    if missing and not make:
        raise MissingInput(
            f"{len(missing)} of {len(folders)} encoders are not trained yet, {missing[0].name} among them. "
            f"Run notebook 02_hybrid_batch_training, or: python -m hybridir_utils run --profile {run.source} --only 02"
        )
    _train([(str(run.artefacts), key.name, recipes[key]) for key in missing], run)
    note_used(folders.values())
    return folders


def encoder_recipes(run: Run, keys: Sequence[EncoderKey]) -> dict[EncoderKey, dict]:
    """What decides each encoder, found without making any or what it starts from."""
    pairs = artefact_path(*pairs_artefact(run)).name
    bases = {base: base_place(run, base, pairs) for base in {key.base for key in keys}}
    return {key: _recipe(run, key, pairs, bases[key.base]) for key in keys}


def _train(jobs: list[tuple], run: Run) -> None:
    if processes() > 1:
        encoder_job.run_together(jobs)
    elif jobs and run.profile.processes > 1:
        launch(encoder_job.run_together, (jobs,), run.profile.processes)
    else:
        run_jobs(encoder_job.run_job, jobs, run.profile.jobs, "training")


def _recipe(run: Run, key: EncoderKey, pairs: str, base: Path | str) -> dict:
    p = run.profile
    settings, sizes = (p.model_dump(include=set(names)) for names in (TrainingSettings.model_fields, ("steps", "batch_size")))
    own = not isinstance(base, str)
    about = {"base_folder": base.name if own else base, "base_origin": base.name if own else origin(base), "pairs": pairs}
    recipe = {**asdict(key), **about, "settings": settings, "opening": p.opening.model_dump(), **sizes}
    if key.strategy == DISTILLATION:
        teacher = teacher_of(key)
        recipe["teacher"] = artefact_path(run.artefacts / "encoders", teacher.name, _recipe(run, teacher, pairs, base), "encoder_job").name
    return recipe


def teacher_of(key: EncoderKey) -> EncoderKey:
    """The monolingual encoder, of the same base and seed, that distillation learns from."""
    return replace(key, strategy=TEACHER, alpha=strategy_alpha(TEACHER, 0.5))


def common_places(run: Run) -> list[Path]:
    """Where the training pairs and the suite's own bases lie, whether they are there or not: what runs that agree in them share."""
    pairs = artefact_path(*pairs_artefact(run))
    return [pairs, *(artefact_path(*base_artefact(run, base, pairs.name)) for base in run.profile.bases if base in OWN_BASES)]


def base_place(run: Run, base: str, pairs: str) -> Path | str:
    """Folder (or hub name) of a base; of the suite's own, where it lies or would lie. pairs: name of the pairs' artefact."""
    return artefact_path(*base_artefact(run, base, pairs)) if base in OWN_BASES else place_of(base)


def base_artefact(run: Run, base: str, pairs: str) -> tuple[Path, str, dict, str]:
    """Room, name, recipe and module of one of the suite's own bases."""
    p, room, module = run.profile, run.artefacts / "bases", "base_encoders"
    start = {"pairs": pairs, "vocabulary": p.vocabulary, "dimension": p.dimension, "layers": p.layers, "seed": 0}
    if base == "unaligned":
        return room, base, start, module
    unaligned = artefact_path(room, "unaligned", start, module).name
    return room, base, {"start": unaligned, **_alignment(p)}, module


def _alignment(p: Profile) -> dict:
    """How the aligned base is trained."""
    how = {"steps": p.alignment_steps, "rate": p.alignment_rate, "batch_size": p.batch_size, "seed": 0}
    return how | {"precision": p.precision, "compile": p.compile}


def _base(run: Run, base: str, prepared: PreparedPairs) -> Path | str:
    if base not in OWN_BASES:
        return place_of(base)
    about = base_artefact(run, base, prepared.folder.name)
    if base == "unaligned":
        return artefact(*about, lambda out: _make_unaligned(out, prepared, run))
    unaligned = _base(run, "unaligned", prepared)
    return artefact(*about, lambda out: _make_aligned(out, unaligned, prepared, run))


def _make_unaligned(out: Path, prepared: PreparedPairs, run: Run) -> None:
    from ..train.base_encoders import bitext, make_unaligned

    texts = prepared.train["question"][:] + bitext(prepared.train, run.profile.languages)["passage"][:]
    make_unaligned(out, texts, run.profile.vocabulary, run.profile.dimension, seed=0, layers=run.profile.layers)


def _make_aligned(out: Path, unaligned: Path, prepared: PreparedPairs, run: Run) -> None:
    from ..train.base_encoders import make_aligned

    make_aligned(out, unaligned, prepared.train, run.profile.languages, **_alignment(run.profile))


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
