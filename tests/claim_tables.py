"""A made-up source that supports all eleven claims, made of per-question values by the functions that make a run's tables."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from hybridir_utils.results.tables import test_table as paired_tests
from hybridir_utils.studies.claims.facts import ALL, CROSS, MONO, NEITHER
from hybridir_utils.studies.claims.rules import zero_shot_tasks
from hybridir_utils.studies.claims.sources import Source, claim_tests, language_tests

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
LANGUAGES = {"xquad-r": 11, "mlqa-r": 7}
MEANS = {  # mAP in the three settings, rank distance
    "X-X": (0.75, 0.45, 0.40, 500),
    "X-X-mono": (0.80, 0.50, 0.50, 400),
    "X-Y": (0.70, 0.60, 0.55, 300),
    "hybrid": (0.85, 0.65, 0.60, 290),
}
LINES = {"BM25": (0.50, 0.10, 0.10, 900), "untrained": (0.40, 0.10, 0.10, 900)}
UNSEEN = "el"
RESAMPLES = 200
PARAMETERS = {
    "languages": ["de", "el", "en"],
    "unseen_languages": [UNSEEN],
    "pair_sets": ["natural-questions"],
    "english_only": [],
    "tasks": list(LANGUAGES),
    "task_languages": [],
    "shifted_tasks": [],
    "strategies": list(MEANS),
    "seeds": [1, 2, 3],
    "alpha": 0.5,
    "near_duplicate": 0.9,
    "translator": "m2m100-418m",
}


def questions(
    means: dict | None = None, seeds=(1, 2, 3), bases=("xlm-r", "labse"), spread: float = 0.0, kept: float = 0.95, groups: int = 12
) -> pd.DataFrame:
    """As `Evaluations.table("questions")`: a row per (encoder, task, setting, question). means: strategy -> as MEANS, or
    (strategy, base) where they differ. spread: what hybrid is above and below its mean by, seed by seed. kept: share of the mean in
    the unseen language.
    """
    means, rng, rows = {**MEANS, **LINES, **(means or {})}, np.random.default_rng(0), []
    easy = rng.normal(0, 0.02, groups)
    for strategy, base, task in product([*MEANS, *LINES], bases, LANGUAGES):
        place, encoder_seeds = ("reference", [0]) if strategy == "BM25" else (base, [0] if strategy in LINES else seeds)
        for seed, setting, language, group in product(encoder_seeds, range(3), ("de", UNSEEN, "en"), range(groups)):
            *scores, distance = means.get((strategy, base), means[strategy])
            off = spread * (-1) ** seed if strategy == "hybrid" else 0
            score = (scores[setting] + off) * (kept if language == UNSEEN else 1) + easy[group] + rng.normal(0, 0.002)
            apart = distance + 100 * easy[group] + rng.normal(0, 1) if setting == 2 else np.nan
            rows.append((place, strategy, seed, task, SETTINGS[setting], language, f"q{group}", score, apart))
    columns = ["base", "strategy", "seed", "task", "setting", "query_language", "group", "AP", "rank_distance"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:7])


def scores(asked: pd.DataFrame) -> pd.DataFrame:
    """mAP by language and the macro average, whose n is the number of languages or ordered pairs the sets should have."""
    keys = ["base", "strategy", "seed", "task", "setting"]
    by_language = asked.groupby([*keys, "query_language"])["AP"].mean().rename("value").reset_index()
    macro = by_language.groupby(keys)["value"].mean().reset_index().assign(query_language="macro")
    count = macro["task"].map(LANGUAGES)
    macro["n"] = count.where(macro["setting"] != "cross-lingual", count * (count - 1))
    return pd.concat([macro, by_language], ignore_index=True).assign(metric="mAP")


def bias(asked: pd.DataFrame) -> pd.DataFrame:
    rows = asked.dropna(subset=["rank_distance"]).groupby(["base", "strategy", "seed", "task"])["rank_distance"].mean()
    return rows.rename("value").reset_index().assign(measure="rank distance", query_language="macro")


def mixture(realised: float = 0.48, p: float = 0.5) -> pd.DataFrame:
    rows = [
        (MONO, ALL, 0.5, realised, p),
        (NEITHER, ALL, 0.0, 0.0, 1.0),
        *(("natural-questions", kind, 1.0, 1.0, 1.0) for kind in (MONO, CROSS)),
    ]
    table = pd.DataFrame(rows, columns=["share", "of", "planned", "realised", "p_holm"])
    return table.assign(batches=100, count=(100 * table["realised"]).astype(int), low=0.4, high=0.6, p=table["p_holm"])


def task_counts() -> pd.DataFrame:
    rows = [(task, f"l{n}", 12, 12, 12, 12, 30) for task, languages in LANGUAGES.items() for n in range(languages)]
    return pd.DataFrame(rows, columns=["task", "language", "questions", "translated", "answered", "answered_elsewhere", "candidates"])


def leak_recheck(exact: int = 0) -> pd.DataFrame:
    rows = [(task, field, exact, 0, 0, exact, 3, 1000) for task in LANGUAGES for field in ("question", "passage")]
    return pd.DataFrame(rows, columns=["task", "field", "exact", "near", "contained", "groups", "dropped", "texts"])


def coverage(accepted: int = 90) -> pd.DataFrame:
    rows = [(language, step, n) for language in ("de", "el", "en") for step, n in (("translated", 100), ("accepted", accepted))]
    return pd.DataFrame(rows, columns=["language", "step", "pairs"])


class Tables(dict):
    """Tables by name, each made when it is first asked for: the tests behind some take a second."""

    def __getitem__(self, name: str) -> pd.DataFrame:
        made = super().__getitem__(name)
        return made() if callable(made) else made


def tables_of(asked: pd.DataFrame, parameters: dict = PARAMETERS) -> Tables:
    """The saved tables of a run with these per-question values."""
    pool = asked[asked["setting"] == "multilingual"]
    makers = {
        "coverage": coverage,
        "scores": lambda: scores(asked),
        "tests": lambda: paired_tests(asked, "AP", RESAMPLES),
        "bias": lambda: bias(asked),
        "bias_tests": lambda: paired_tests(pool, "rank_distance", RESAMPLES),
        "mixture": mixture,
        "leak_recheck": leak_recheck,
        "task_counts": task_counts,
        "claim_tests": lambda: claim_tests(asked, RESAMPLES),
        "language_tests": lambda: language_tests(asked, zero_shot_tasks(parameters), RESAMPLES),
    }
    return Tables({name: cache(make) for name, make in makers.items()})


SUPPORTING = tables_of(questions())


def source(asked: pd.DataFrame | None = None, parameters: dict | None = None, **tables) -> Source:
    """The source that supports everything, with other per-question values, other parameters, or other tables (None: without it)."""
    values = PARAMETERS | (parameters or {})
    made = dict(SUPPORTING if asked is None else tables_of(asked, values)) | tables
    about = {"machine": "a machine", "versions": {"numpy": "2"}, "code": "0123456789abcdef"}
    given = Tables({name: table for name, table in made.items() if table is not None})
    return Source("made-up", given, values, "python -m hybridir_utils run --profile made-up", about)


def without_rows(table: str, query: str) -> Source:
    """The supporting source with some rows of a table gone."""
    return source(**{table: SUPPORTING[table].query(f"not ({query})")})
