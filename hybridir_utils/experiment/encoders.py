"""Every encoder of a run: the bases, and one for each (base, strategy, seed) (notebook 02)."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import product
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..base.distributed import first_process_first, join, launch, processes, rank, wait
from ..base.errors import MissingInput
from ..base.files import file_safe, fingerprint
from ..base.mapped import codes, keep_rows
from ..base.parallel import ready_workers, run_jobs
from ..base.progress import told_while, widget_bars
from ..data.batching import SCHEDULES, STRATEGIES, BatchPlan, plan_batches, strategy_alpha
from ..data.pairs import read_split
from ..data.parallel_index import ParallelIndex
from ..encode.catalogue import place_of
from ..encode.encoding import encode_task
from ..encode.opening import Opening, origin
from ..provenance.artefacts import Artefact, recipe_of
from ..rank.metrics import per_query, scores
from ..rank.ranking import dot_scores, rank_task
from ..tasks.retrieval_task import RetrievalTask, task_from_pairs
from ..train.base_encoders import bitext, make_aligned, make_unaligned
from ..train.methods import DISTILLATION, TEACHER, distil, method_of
from ..train.training import MEMORY_ONLY, TrainingSettings, save_encoder, train_encoder
from .preparation import PreparedPairs, different_passages, pairs_artefact, prepare_pairs
from .profile import OWN_BASES, trained_prompts
from .run import Run, changes_of, make_missing, make_one, run_command

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
    with told_while("looking for pairs and bases", delay=0):
        pairs = pairs_artefact(run)
        own = [base_artefact(run, base, pairs.path.name) for base in run.profile.bases if base in OWN_BASES]
        whole = all(artefact.is_whole() for artefact in (pairs, *own))
    if processes() == 1 and not whole:
        ready_workers()  # trainings follow
    prepared = prepare_pairs(run)
    with widget_bars():
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
    if teachers := teachers_of(keys):
        trained_encoders(run, make, [*teachers.values()])
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
            f"Run notebook 02_hybrid_batch_training, or: {run_command(run.source, changes_of(run), '02')}"
        )


def _recipe(run: Run, key: EncoderKey, pairs: str) -> dict:
    p, own = run.profile, key.base in OWN_BASES
    base = base_artefact(run, key.base, pairs).path.name if own else place_of(key.base)
    settings, sizes = (p.model_dump(include=set(names)) for names in (TrainingSettings.model_fields, ("steps", "batch_size")))
    settings |= zip(("query_prefix", "passage_prefix"), trained_prompts(p, key.base), strict=True)
    about = {"base_folder": base, "base_origin": base if own else origin(base), "pairs": pairs}
    recipe = {**asdict(key), **about, "settings": settings, "opening": p.opening.model_dump(), **sizes}
    if teacher := teachers_of([key]).get(key):
        recipe["teacher"] = encoder_artefact(run.artefacts, teacher.name, _recipe(run, teacher, pairs)).path.name
    return recipe


def teachers_of(keys: Iterable[EncoderKey]) -> dict[EncoderKey, EncoderKey]:
    """Key of each distillation -> the monolingual encoder, of the same base and seed, that it learns from."""
    teacher = {"strategy": TEACHER, "alpha": strategy_alpha(TEACHER, 0.5)}
    return {key: replace(key, **teacher) for key in keys if key.strategy == DISTILLATION}


def base_artefact(run: Run, base: str, pairs: str) -> Artefact:
    """One of the suite's own bases. pairs: name of the pairs' artefact."""
    p, room = run.profile, run.artefacts / "bases"
    start = {"pairs": pairs, "vocabulary": p.vocabulary, "dimension": p.dimension, "seed": 0}
    unaligned = Artefact(room, "unaligned", start, _make_unaligned)
    how = {"steps": p.alignment_steps, "rate": p.alignment_rate, "batch_size": p.batch_size, "seed": 0}
    how |= {"precision": p.precision, "compile": p.compile}
    return unaligned if base == "unaligned" else Artefact(room, base, {"start": unaligned.path.name, **how}, _make_aligned)


def _base(run: Run, base: str, prepared: PreparedPairs) -> Path | str:
    if base not in OWN_BASES:
        return place_of(base)
    start = () if base == "unaligned" else (_base(run, "unaligned", prepared),)
    return make_one(base_artefact(run, base, prepared.folder.name), prepared.train, run.profile.languages, *start)


def _make_unaligned(out: Path, recipe: dict, pairs: Dataset, languages: Sequence[str]) -> None:
    texts = pairs["question"][:] + bitext(pairs, languages)["passage"][:]
    make_unaligned(out, texts, recipe["vocabulary"], recipe["dimension"], seed=recipe["seed"])


def _make_aligned(out: Path, recipe: dict, pairs: Dataset, languages: Sequence[str], unaligned: Path) -> None:
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


VALIDATION_STEPS = 4
VALIDATION_BATCH = 64
VALIDATION_QUESTIONS = 2000  # scored for an encoder's card, at most: in fifty languages, all would take as long as the training
# At most so many pairs are validated for each that is trained: half of them for the losses on the way, half for the card. To encode a pair
# takes about a third of what a training step takes for it, so validation costs at most a tenth of the training.
VALIDATED = 0.3


def encoder_artefact(root: Path, name: str, recipe: dict) -> Artefact:
    """A trained encoder below a run's artefacts."""
    return Artefact(Path(root) / "encoders", name, recipe, _make_encoder)


def train_one(encoder: Artefact) -> Path:
    """Make an encoder (`encoder_artefact`); returns its folder.

    Where several processes train together, every one calls this, and the first writes. Checkpoints lie in `checkpoints/` beside the
    artefacts until the encoder is finished, so that a killed run goes on from the last.
    """
    root, recipe = encoder.room.parent, encoder.recipe
    checkpoints = root / "checkpoints" / f"{encoder.name}-{_checkpoint_fingerprint(recipe)[:10]}"
    if rank() == 0:
        folder = encoder.make(lambda out: _make_encoder(out, recipe, root, checkpoints))
        shutil.rmtree(checkpoints, ignore_errors=True)
        return folder
    _train(root, recipe, checkpoints)
    return encoder.path


def train_together(jobs: list[tuple]) -> None:
    """Make one encoder after the other, all processes of the launcher training each together."""
    join()
    for job in jobs:
        train_one(*job)
    wait()  # the first process still writes when the others are done


def _checkpoint_fingerprint(recipe: dict) -> str:
    """Of what the weights depend on: with a lower mini_batch_size, say, a run that had no memory goes on from its checkpoint."""
    settings = {key: value for key, value in recipe["settings"].items() if key not in MEMORY_ONLY}
    return fingerprint({**recipe, "settings": settings})


def _make_encoder(out: Path, recipe: dict, root: Path, checkpoints: Path) -> None:
    started = time.perf_counter()
    model, history, plan, train = _train(root, recipe, checkpoints)
    cost = {"seconds": round(time.perf_counter() - started, 1), "peak memory in GB": round(_peak_memory() / 1e9, 2)}
    plan.save(out / "plan.parquet")
    task = _validation_task(root / "pairs" / recipe["pairs"], min(VALIDATION_QUESTIONS, _validated(recipe)))
    save_encoder(model, out, _card(recipe, train, plan, history, model, task, cost), history)


def _train(root: Path, recipe: dict, checkpoints: Path):
    """(model, loss history, plan, training pairs)."""
    train, validation = (read_split(root / "pairs" / recipe["pairs"], split) for split in ("train", "validation"))
    method = method_of(recipe["strategy"])
    train = method.pairs(train, recipe["seed"])
    alpha = 0.5 if isnan(recipe["alpha"]) else recipe["alpha"]  # nan where a strategy has no mix
    plan = plan_batches(train, method.strategy, alpha=alpha, **{key: recipe[key] for key in ("steps", "batch_size", "seed")})
    own, plain = root / "bases" / recipe["base_folder"], recipe["strategy"] in STRATEGIES
    settings = TrainingSettings(**recipe["settings"] | ({} if plain else {"patience": 0, **method.settings}))
    base = own if own.is_dir() else recipe["base_folder"]
    options = {"opening": Opening(**recipe["opening"]), "checkpoints": checkpoints if settings.checkpoint_every else None}
    if recipe["strategy"] == DISTILLATION:
        trained = distil(base, root / "encoders" / recipe["teacher"], train, plan, settings, **options)
    else:  # the validation loss of another kind of pair compares with nothing
        most = _validated(recipe) // max(1, recipe["steps"] // settings.validate_every)
        trained = train_encoder(base, train, plan, settings, validation_plans(validation, most) if plain else None, **options)
    return *trained, plan, train


def _validated(recipe: dict) -> int:
    """Pairs that may be validated on the way, and again for the card."""
    return max(2, int(VALIDATED / 2 * recipe["steps"] * recipe["batch_size"]))


@lru_cache(maxsize=1)
def _validation_task(pairs: Path, most: int) -> RetrievalTask:
    """The first pairs in all their languages, `most` or a few more. One process trains many encoders on the same pairs."""
    validation = read_split(pairs, "validation")
    ids = codes(validation, "id")[0]  # numbered in the order in which they come
    kept = np.searchsorted(np.cumsum(np.bincount(ids)), most) + 1
    return task_from_pairs("validation", keep_rows(validation, ids < kept))


def _peak_memory() -> int:
    """Bytes: of the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def validation_plans(validation, most: int = VALIDATION_STEPS * VALIDATION_BATCH * 2) -> dict:
    """Fixed batches on which every strategy's loss is comparable: mono, and cross where the pairs stand in several languages.

    most: pairs in all batches, at least two in each. The data sets count as one, few pairs being held out; a language of which a single
    passage was is left out, and where that is each of them, there is no batch.
    """
    validation = validation.remove_columns("source").add_column("source", ["validation"] * len(validation))
    if not (enough := different_passages(validation) > 1).any():
        return {}
    validation = keep_rows(validation, enough)
    index = ParallelIndex(validation)
    kinds = {"mono": "X-X-mono", "cross": "X-Y"} if index.count.max() > 1 else {"mono": "X-X-mono"}
    kinds = {kind: name for kind, name in kinds.items() if min(stream.passages for stream in index.streams(kind)) > 1}
    most //= len(kinds)
    size = max(2, min([VALIDATION_BATCH, most, *(stream.passages for kind in kinds for stream in index.streams(kind))]))
    common = {"steps": max(1, min(VALIDATION_STEPS, most // size)), "batch_size": size, "seed": 0}
    return {kind: (validation, plan_batches(index, strategy, **common)) for kind, strategy in kinds.items()}


def _card(recipe: dict, train, plan: BatchPlan, history, model, task: RetrievalTask, cost: dict) -> dict:
    vectors = encode_task(model, task)
    table = scores(per_query(rank_task(dot_scores(vectors.queries, vectors.candidates), task), task))
    macro = table[table["query_language"] == "macro"]
    languages, last_loss = sorted(train.unique("language")), history.loc[history["split"] == "train", "loss"].iloc[-1]
    return {
        "title": f"{recipe['strategy']} from {recipe['base_folder']}, seed {recipe['seed']}",
        "data": {"pairs": len(train), "sources": ", ".join(sorted(train.unique("source"))), "languages": " ".join(languages)},
        "plan": {"strategy": plan.strategy, "alpha": plan.alpha, "steps": plan.steps, "batch size": plan.batch_size, "seed": plan.seed},
        "base": {"origin": recipe["base_origin"], **recipe["opening"]},
        "training": {**recipe["settings"], "last training loss": round(float(last_loss), 4), **cost},
        "scores": {"validation questions": len(task.queries)}
        | {f"validation {row.setting} {row.metric}": round(row.value, 4) for row in macro.itertuples() if row.metric in ("mAP", "R@1")},
    }
