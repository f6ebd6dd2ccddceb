"""Study S4 (notebook 08): hybrid batches and the methods of PAPER §7 at fifty languages and more, and what more languages cost.

The study is a run of its own below the profile's artefacts: other languages, pairs, task, base and steps, as `many_*` of the profile say.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pandas as pd

from ..base.errors import InputError
from ..base.runs import recipe_of
from ..data.batching import strategy_alpha
from ..train.methods import DISTILLATION, METHODS, TEACHER
from .encoders import EncoderKey, trained_encoders
from .evaluation import Evaluations, evaluate
from .preparation import evaluation_tasks, prepare_pairs
from .profiles import make_profile
from .session import Run

GROWING = "hybrid"  # the strategy whose cost is followed over sets of languages
DEBIASED = ("X-X-mono", "hybrid")  # on top of which the methods without training are tried


def many_run(run: Run, count: int | None = None) -> Run:
    """The run of the study, over its first `count` languages where given.

    Raises InputError when the profile's `many_*` do not fit each other.
    """
    p = run.profile
    languages = (p.many_languages or p.languages)[:count]
    changes = {
        "languages": languages,
        "unseen_languages": tuple(code for code in p.many_unseen if code in languages),
        "pair_sets": p.many_pair_sets or p.pair_sets,
        "tasks": (p.many_task or p.tasks[0],),
        "shifted_tasks": (),
        "question_task": "",
        "strategies": DEBIASED,
        "task_languages": languages if p.many_languages else p.task_languages,
        "bases": (p.many_base or p.bases[-1],),
        "steps": p.many_steps or p.steps,
        "max_pairs": p.many_pairs or p.max_pairs,
        "many_languages": (),
        "many_unseen": (),
    }
    return replace(run, profile=make_profile(p.model_dump() | changes, f"{run.source}, notebook 08"))


def method_keys(run: Run) -> list[EncoderKey]:
    """Every encoder of the study: methods x seeds, from one base. `run` is a `many_run`."""
    p = run.profile
    return [EncoderKey(p.bases[0], method, _alpha(method, p.alpha), seed) for method, seed in product(p.methods, p.seeds)]


def _alpha(method: str, alpha: float) -> float:
    return float("nan") if method in METHODS else strategy_alpha(method, alpha)


def evaluate_methods(run: Run) -> Evaluations:
    """Encoders of all methods, trained where missing, with the untrained base, BM25 and random order on the study's task."""
    return evaluate(run, trained_encoders(run, keys=method_keys(run)), aligned=False)


def method_cost(run: Run) -> pd.DataFrame:
    """What training took: strategy, seed, steps, seconds; distillation's with its teacher's, which nothing else in the method needs."""
    encoders = trained_encoders(run, keys=method_keys(run))
    seconds = {key: recipe_of(folder)["seconds"] for key, folder in encoders.items()}
    teachers = {key.seed: value for key, value in seconds.items() if key.strategy == TEACHER}
    rows = []
    for key, value in seconds.items():
        extra = teachers.get(key.seed) if key.strategy == DISTILLATION else 0.0
        steps = run.profile.steps * (2 if key.strategy == DISTILLATION else 1)
        rows.append({"strategy": key.strategy, "seed": key.seed, "steps": steps, "seconds": value + (extra or 0.0)})
    return pd.DataFrame(rows)


def growth(run: Run) -> pd.DataFrame:
    """What more languages cost, and give: a row per (number of languages, seed) of the hybrid encoder.

    run: the profile's. languages, pairs, candidates, preparation_seconds (translate, check, drop leaks), training_seconds,
    evaluation_seconds (encode, rank and measure the pool of all these languages), and mAP in each setting on the languages of the
    smallest set, which all sets hold. Raises InputError when a count is larger than the number of languages.
    """
    counts = [count for count in run.profile.many_counts if count]
    available = len(run.profile.many_languages or run.profile.languages)
    if counts and max(counts) > available:
        raise InputError(f"many_counts asks for {max(counts)} languages, and there are {available}. Lower it, or add to many_languages.")
    common = many_run(run, min(counts)) if counts else None
    return (
        pd.concat([_grown(many_run(run, count), count, common) for count in sorted(counts)], ignore_index=True)
        if counts
        else pd.DataFrame()
    )


def growth_keys(run: Run) -> list[EncoderKey]:
    """The encoders whose cost is followed over sets of languages. `run` is a `many_run` over one of the sets."""
    p = run.profile
    return [EncoderKey(p.bases[0], GROWING, strategy_alpha(GROWING, p.alpha), seed) for seed in p.seeds]


def _grown(run: Run, count: int, common: Run) -> pd.DataFrame:
    prepared, p = prepare_pairs(run), run.profile
    encoders = trained_encoders(run, keys=growth_keys(run))
    own, shared = evaluate(run, encoders, aligned=False), evaluate(common, encoders, aligned=False)
    scores = shared.table("scores", strategy=GROWING).query("query_language == 'macro' and metric == 'mAP'")
    wide = scores.pivot_table(index="seed", columns="setting", values="value")
    candidates = len(evaluation_tasks(run)[p.tasks[0]].candidates)
    rows = []
    for key, folder in encoders.items():
        evaluation = own.folders[key, p.tasks[0]]
        rows.append(
            {
                "languages": count,
                "seed": key.seed,
                "pairs": len(prepared.train),
                "candidates": candidates,
                "preparation_seconds": recipe_of(prepared.folder)["seconds"],
                "training_seconds": recipe_of(folder)["seconds"],
                "evaluation_seconds": recipe_of(evaluation)["seconds"],
                **wide.loc[key.seed].to_dict(),
            }
        )
    return pd.DataFrame(rows)
