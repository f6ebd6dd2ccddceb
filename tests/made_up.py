"""Small made-up result tables in the shapes that notebooks save; used by the tests of figures, tables, findings and commands."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from made_up_shift import shift_tables

LANGUAGES = ("ar", "de", "en")
STRATEGIES = ("En-En", "X-X", "X-X-mono", "X-Y", "hybrid")
BASES = ("aligned", "unaligned")
TASKS = ("worldfacts-test", "worldfacts-shifted")
SEEDS = (1, 2)
SETTINGS = ("monolingual", "cross-lingual", "multilingual")
REFERENCES = ("BM25", "random")


ALPHA = {"hybrid": 0.5, "X-X-mono": 1.0, "X-Y": 0.0}


def encoders() -> list[dict]:
    """What evaluations say of their encoder: trained ones, untrained bases, and references."""
    trained = [
        {"base": base, "strategy": strategy, "alpha": ALPHA.get(strategy, np.nan), "seed": seed}
        for base, strategy, seed in product(BASES, STRATEGIES, SEEDS)
    ]
    untrained = [{"base": base, "strategy": "untrained", "alpha": np.nan, "seed": 0} for base in BASES]
    return trained + untrained + [{"base": "reference", "strategy": name, "alpha": np.nan, "seed": 0} for name in REFERENCES]


def made_up_tables(tasks: tuple[str, ...] = TASKS) -> dict[str, pd.DataFrame]:
    """Every table the figures are made of, by name; values drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    return {
        "coverage": table(("language", "step"), (LANGUAGES, ("translated", "accepted", "for training")), rng, "pairs", scale=100),
        "lengths": lengths(),
        "rejections": table(("language", "check"), (LANGUAGES, ("copied", "script")), rng, "texts", scale=9),
        "language_shares": language_shares(rng),
        "losses": losses(rng),
        "scores": scores(rng, tasks),
        "heat": table(("base", "strategy", "query_language", "candidate_language"), (BASES, STRATEGIES, LANGUAGES, LANGUAGES), rng),
        "tests": tests(STRATEGIES, tasks, BASES),
        "many_tests": tests(METHODS, tasks[:1], BASES[:1]),
        "bias_tests": distance_tests(tasks),
        "question_tests": question_tests(tasks),
        "distances": distances(tasks),
        "bias": bias(rng, tasks),
        "map": vector_map(rng),
        "alignment": table(("base", "strategy", "measure"), (BASES, STRATEGIES, MEASURES), rng),
        "debiasing": debiasing(rng),
        **many_languages(rng),
        **shift_tables(),
        "claims": claims(),
        **mixing(rng, tasks),
    }


METHODS = ("X-X-mono", "X-Y", "hybrid", "distillation", "crop")


def many_languages(rng) -> dict[str, pd.DataFrame]:
    """The tables of notebook 08: one base, three seeds; `de` is unseen."""
    lines = [("aligned", name, seed) for name in METHODS for seed in (1, 2, 3)]
    lines += [("aligned", "untrained", 0), ("reference", "BM25", 0), ("reference", "random", 0)]
    rows = [
        {"base": base, "strategy": name, "alpha": ALPHA.get(name, np.nan), "seed": seed, "task": "worldfacts-test", "setting": setting}
        | {"query_language": language, "candidate_language": "all", "metric": "mAP", "n": 3}
        for (base, name, seed), setting, language in product(lines, SETTINGS, (*LANGUAGES, "macro"))
    ]
    scores = pd.DataFrame(rows).assign(value=rng.random(len(rows)).round(4))
    about = pd.DataFrame({"language": LANGUAGES, "family": ["Afro-Asiatic", "Germanic", "Germanic"], "script": ["Arab", "Latn", "Latn"]})
    about = about.assign(training=["trained", "unseen", "trained"], texts="sentences")
    languages = table(("base", "strategy", "setting", "language"), (("aligned",), (*METHODS, "untrained"), SETTINGS, LANGUAGES), rng)
    cost = table(("strategy", "seed"), (METHODS, (1, 2, 3)), rng, "seconds", scale=60).assign(steps=100)
    growth = table(("languages", "seed"), ((2, 3), (1, 2, 3)), rng, "preparation_seconds", scale=60)
    growth = growth.assign(pairs=50, candidates=growth["languages"] * 20, training_seconds=9.0, evaluation_seconds=growth["languages"])
    growth = growth.assign(**{setting: rng.random(len(growth)).round(4) for setting in SETTINGS})
    return {"many_scores": scores, "many_languages": languages.merge(about, on="language"), "many_cost": cost, "many_growth": growth}


MEASURES = ("alignment_gap", "translation_accuracy", "language_identity", "uniformity")


def table(columns, levels, rng, value: str = "value", scale: int = 0) -> pd.DataFrame:
    rows = pd.DataFrame(list(product(*levels)), columns=columns)
    return rows.assign(**{value: rng.integers(1, scale, len(rows)) if scale else rng.random(len(rows)).round(4)})


def lengths() -> pd.DataFrame:
    rows = [(language, part, 10, 20, 30, 40, 60, 8) for part in ("question", "passage") for language in LANGUAGES]
    return pd.DataFrame(rows, columns=["language", "part", "q05", "q25", "q50", "q75", "q95", "n"])


def language_shares(rng) -> pd.DataFrame:
    rows = table(("question_language", "passage_language", "strategy"), (LANGUAGES, LANGUAGES, STRATEGIES), rng, "planned")
    return rows.assign(realised=rows["planned"] + 0.001, alpha=0.5)


def losses(rng) -> pd.DataFrame:
    return table(
        ("base", "strategy", "seed", "step", "split"), (BASES, STRATEGIES, SEEDS, (50, 100), ("train", "mono", "cross")), rng, "loss"
    )


def scores(rng, tasks) -> pd.DataFrame:
    """Macro averages of every metric, and mAP by question language, as `tables.reported_scores` saves them."""
    rows = [
        {**encoder, "task": task, "setting": setting, "query_language": language, "candidate_language": "all", "metric": metric, "n": 3}
        for encoder, task, setting, language in product(encoders(), tasks, SETTINGS, (*LANGUAGES, "macro"))
        for metric in (("mAP", "R@1", "R@10") if language == "macro" else ("mAP",))
    ]
    return pd.DataFrame(rows).assign(value=rng.random(len(rows)).round(4))


def tests(names, tasks, bases) -> pd.DataFrame:
    """Every strategy against hybrid: a tenth behind in each setting, with intervals over questions and seeds."""
    rows = [
        {"task": task, "base": base, "setting": setting, "measure": "AP", "strategy": name, "baseline": "hybrid"}
        for task, base, setting, name in product(tasks, bases, SETTINGS, names)
        if name != "hybrid"
    ]
    numbers = {"mean_difference": -0.1, "low": -0.12, "high": -0.08, "p": 0.01, "p_holm": 0.02, "seed_low": -0.15, "seed_high": -0.05}
    return pd.DataFrame(rows).assign(**numbers, effect_size=0.5, n_groups=9, n_seeds=2, note="")


def distance_tests(tasks) -> pd.DataFrame:
    """Of the rank distance in the mixed pool, of one seed."""
    rows = tests(STRATEGIES, tasks, BASES).query("setting == 'multilingual'").assign(measure="rank_distance", n_seeds=1)
    return rows.assign(mean_difference=100.0, low=80.0, high=120.0, seed_low=np.nan, seed_high=np.nan)


def question_tests(tasks) -> pd.DataFrame:
    """Of recall over all pairs of languages, against the untrained base, then against hybrid."""
    rows = tests((*STRATEGIES, "untrained"), tasks[:1], BASES).query("setting == 'monolingual'").assign(setting="all pairs")
    parts = [
        rows[rows["strategy"] != baseline].assign(baseline=baseline, measure=measure)
        for baseline, measure in product(("untrained", "hybrid"), ("Recall@1", "Recall@10"))
    ]
    return pd.concat(parts, ignore_index=True)


def distances(tasks) -> pd.DataFrame:
    named = {(e["base"], e["strategy"]) for e in encoders()}
    rows = [
        (task, base, strategy, percentile, 10 + percentile * (1 + len(strategy)))
        for task, (base, strategy), percentile in product(tasks, sorted(named), range(0, 101, 10))
    ]
    return pd.DataFrame(rows, columns=["task", "base", "strategy", "percentile", "rank_distance"])


BIAS_MEASURES = {
    "rank distance": 300.0,
    "rank distance (best)": 2.0,
    "rank distance (random)": 900.0,
    "same-language share@10": 0.8,
    "same-language pool share": 0.33,
}


def bias(rng, tasks) -> pd.DataFrame:
    rows = [
        {**encoder, "task": task, "measure": measure, "query_language": language, "value": round(value * (1 + rng.random() / 9), 4), "n": 3}
        for encoder, task, language in product(encoders(), tasks, (*LANGUAGES, "macro"))
        for measure, value in BIAS_MEASURES.items()
    ]
    return pd.DataFrame(rows)


def vector_map(rng) -> pd.DataFrame:
    rows = table(
        ("base", "strategy", "kind", "language", "group"), (BASES, STRATEGIES, ("question", "passage"), LANGUAGES, range(3)), rng, "x"
    )
    return rows.assign(y=rng.random(len(rows)).round(4))


def debiasing(rng) -> pd.DataFrame:
    """Every method fitted on the pool, and centring also on training text that has no Thai, languages given and identified."""
    tried = [("none", "-", "-"), *((method, "pool", "given") for method in ("centring", "lir", "lsar")), ("shift", "pool", "-")]
    tried += [("centring", "training", "given"), ("centring", "training", "identified")]
    levels = (BASES, STRATEGIES, SEEDS, TASKS[:1], range(len(tried)), SETTINGS)
    rows = table(("base", "strategy", "seed", "task", "tried", "setting"), levels, rng).assign(metric="mAP")
    names = pd.DataFrame(tried, columns=["method", "fitted_on", "question_language"])
    rows = rows.join(names, on="tried").drop(columns="tried")
    rows["alpha"] = rows["strategy"].map(ALPHA)
    rows["not_fitted"] = rows["fitted_on"].map({"training": "th"}).fillna("")
    rows["languages_right"] = rows["question_language"].map({"given": 1.0, "identified": 0.98})
    distance = rows[rows["setting"] == "multilingual"].assign(metric="rank distance", value=200.0)
    return pd.concat([rows, distance], ignore_index=True)


def claims() -> pd.DataFrame:
    """Verdicts of every kind on three claims in two sources."""
    words = ("supported", "contradicted", "not testable here")
    rows = [
        (
            number,
            f"Statement {number} of the paper.",
            source,
            words[(number + shift) % 3],
            "0.5 against 0.4",
            "python -m hybridir_utils run",
        )
        for number in (1, 2, 3)
        for shift, source in enumerate(("paper, XLM-R", "sample"))
    ]
    return pd.DataFrame(rows, columns=["claim", "statement", "source", "verdict", "evidence", "command"])


GRID = (0.0, 0.25, 0.5, 1.0)
SCHEDULES = ("mono-first", "cross-first", "annealed")


def mixing(rng, tasks) -> dict[str, pd.DataFrame]:
    """The tables of notebook 05 that figures are made of: every mix from the first base, and the best of them."""
    mixes = [({0.0: "X-Y", 1.0: "X-X-mono"}.get(alpha, "hybrid"), alpha) for alpha in GRID] + [(name, 0.5) for name in SCHEDULES]
    measures = [*((setting, "mAP") for setting in SETTINGS), ("multilingual", "rank distance")]
    rows = [
        {"base": BASES[0], "strategy": name, "alpha": alpha, "seed": seed, "task": task, "setting": setting, "metric": metric}
        for task, (name, alpha), seed, (setting, metric) in product(tasks, mixes, SEEDS, measures)
    ]
    kept = [{**row, "metric": "kept"} for row in rows if row["task"] != tasks[0] and row["metric"] == "mAP"]
    best = table(("base", "task", "goal", "alpha"), (BASES[:1], tasks, ("Mo. mAP", "Cr. mAP", "rank distance"), GRID), rng)
    best = best.assign(wins=0.25, p_holm=0.5, among_best=best["alpha"] > 0.25, best=0.5, low=0.25, high=1.0, n_groups=9, n_seeds=2, note="")
    table_ = pd.DataFrame(rows + kept)
    return {"mixing": table_.assign(value=rng.random(len(table_)).round(4)), "mixing_best": best}


def questions(means: dict[str, float], seeds=(1, 2, 3), spread: float = 0.0, groups: int = 40, value: str = "AP") -> pd.DataFrame:
    """Per-question values of some strategies in the three settings of one task and base, with a mean each and a spread over seeds."""
    rng = np.random.default_rng(1)
    easy = rng.normal(0, 0.1, groups)
    rows = [
        (strategy, seed, setting, f"g{group}", mean + easy[group] + rng.normal(0, 0.02) + spread * (-1) ** seed)
        for strategy, mean in means.items()
        for seed, setting, group in product(seeds, SETTINGS, range(groups))
    ]
    return pd.DataFrame(rows, columns=["strategy", "seed", "setting", "group", value]).assign(task="t", base="aligned")
