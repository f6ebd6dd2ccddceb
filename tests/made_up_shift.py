"""Made-up tables of notebooks 06 and 07, and per-question values whose means, seeds and languages a test can choose."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd

LANGUAGES = ("ar", "de", "en")
STRATEGIES = ("En-En", "X-X", "X-X-mono", "X-Y", "hybrid")
BASES = ("aligned", "unaligned")
HOME, AWAY = "worldfacts-test", "worldfacts-shifted"
SEEDS = (1, 2)
SETTINGS = ("monolingual", "cross-lingual", "multilingual")
MEASURES = ("alignment_gap", "translation_accuracy", "uniformity", "language_identity")


def shift_tables() -> dict[str, pd.DataFrame]:
    """The tables that figures of notebooks 06 and 07 take; values drawn with a fixed seed."""
    rng = np.random.default_rng(6)
    runs = [*product(STRATEGIES, SEEDS), ("untrained", 0)]
    return {
        "shift": shift(rng),
        "shift_alignment": rows(
            rng, ("task", "base", "run", "side", "measure"), (HOME, AWAY), BASES, runs, ("question", "passage"), MEASURES
        ),
        "question_recall": rows(
            rng, ("base", "run", "setting", "metric"), BASES, runs, ("all pairs",), ("Recall@1", "Recall@10", "Recall@100")
        ).assign(task=HOME, alpha=0.5, n=6),
        "question_pairs": question_pairs(rng),
    }


def rows(rng, columns: tuple[str, ...], *levels) -> pd.DataFrame:
    """Every combination with a value; `run` is (strategy, seed)."""
    table = pd.DataFrame(list(product(*levels)), columns=columns)
    strategy, seed = zip(*table.pop("run"), strict=True)
    return table.assign(strategy=strategy, seed=seed, value=rng.random(len(table)).round(4))


def shift(rng) -> pd.DataFrame:
    keys = [*product(BASES, (*STRATEGIES, "untrained")), ("reference", "BM25")]
    table = pd.DataFrame(
        [(AWAY, base, setting, strategy) for (base, strategy), setting in product(keys, SETTINGS)],
        columns=["task", "base", "setting", "strategy"],
    )
    kept = rng.uniform(0.3, 0.9, len(table)).round(4)
    about = {"in_domain": 0.8, "shifted": 0.8 * kept, "kept": kept, "kept_low": kept - 0.05, "kept_high": kept + 0.05, "n_groups": 40}
    return table.assign(**about, baseline="hybrid", difference=0.0, p_holm=1.0, seed_low=-1.0, seed_high=1.0)


def question_pairs(rng) -> pd.DataFrame:
    table = [
        (base, strategy, *pair) for base, strategy, pair in product(BASES, (*STRATEGIES, "untrained"), list(permutations(LANGUAGES, 2)))
    ]
    columns = ["base", "strategy", "query_language", "candidate_language"]
    return pd.DataFrame(table, columns=columns).assign(value=rng.random(len(table)).round(4))


def values(means: dict[str, float], seeds=(1, 2, 3), spread: float = 0.0, groups: int = 40, **about) -> pd.DataFrame:
    """Per-question values of some strategies, equal questions for all; the untrained base has seed 0. about: constant columns."""
    rng = np.random.default_rng(1)
    easy = rng.normal(0, 0.05, groups)
    table = [
        (strategy, seed, f"g{group}", mean + easy[group] + rng.normal(0, 0.01) + spread * (-1) ** seed)
        for strategy, mean in means.items()
        for seed, group in product((0,) if strategy == "untrained" else seeds, range(groups))
    ]
    return pd.DataFrame(table, columns=["strategy", "seed", "group", "value"]).assign(base="aligned", **about)
