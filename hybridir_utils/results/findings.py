"""What the numbers say, in sentences computed from them: each function takes tables and returns sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from ..experiment.evaluation import NOT_TRAINED
from .style import SHORT_SETTINGS, in_order

LEVEL = "not clearly different from"
VALIDATION = {"mono": "within a language", "cross": "across languages"}  # the second needs validation pairs in two languages
PAPER_SHAPE = {  # direction of the paper's means (arXiv 2408.10536, tables 3-8)
    "monolingual": "Hybrid ≥ X-X-mono > X-Y",
    "cross-lingual": "Hybrid ≥ X-Y > X-X-mono",
    "multilingual": "Hybrid ≈ X-Y > X-X-mono",
}


def on_preparation(coverage: pd.DataFrame, rejections: pd.DataFrame, leaks: pd.DataFrame) -> list[str]:
    """How many pairs came through, what was rejected most, and what leaked."""
    per_step = coverage.groupby("step", sort=False)["pairs"].sum()
    first, last = per_step.index[0], per_step.index[-1]
    kept = f"{per_step[last]:,} of {per_step[first]:,} pairs ({per_step[last] / per_step[first]:.0%}) are left for training."
    return [kept, _on_rejections(rejections), _on_leaks(leaks)]


def _on_rejections(rejections: pd.DataFrame) -> str:
    if rejections.empty:
        return "No quality check refused a text."
    by_language = rejections.groupby("language")["pairs"].sum().sort_values(ascending=False)
    by_check = rejections.groupby("check")["pairs"].sum().sort_values(ascending=False)
    return (
        f"Most rejections are in {by_language.index[0]} ({by_language.iloc[0]:,} texts); "
        f"the most frequent reason is `{by_check.index[0]}` ({by_check.iloc[0]:,} texts)."
    )


def _on_leaks(leaks: pd.DataFrame) -> str:
    if leaks.empty:
        return "No training text equals or nearly equals an evaluation text."
    groups, exact = leaks["pair"].nunique(), int((leaks["kind"] == "exact").sum())
    return (
        f"{groups} parallel groups were dropped because a text of theirs stands in an evaluation set "
        f"({exact} exact hits, {len(leaks) - exact} near ones)."
    )


def on_batches(shares: pd.DataFrame) -> list[str]:
    """How far the drawn batches are from what was planned, and how much of each strategy is monolingual."""
    same = shares[shares["question_language"] == shares["passage_language"]].groupby("strategy")["realised"].sum()
    off = (shares["realised"] - shares["planned"]).abs().max()
    mono = ", ".join(f"{strategy} {same[strategy]:.0%}" for strategy in in_order(same.index))
    return [
        f"Share of pairs whose question and passage are in one language: {mono}.",
        f"No language pair is further than {100 * off:.1f} points from its planned share.",
    ]


def on_losses(losses: pd.DataFrame) -> list[str]:
    """Which strategy ends lowest on each validation loss."""
    last = losses[losses["step"] == losses.groupby(["base", "strategy", "seed", "split"])["step"].transform("max")]
    sentences = []
    for base, rows in last[last["split"] != "train"].groupby("base"):
        means = rows.groupby(["split", "strategy"])["loss"].mean()
        found = [(where, means[split].idxmin(), means[split].min()) for split, where in VALIDATION.items() if split in means]
        (where, first, least), *others = found
        more = "".join(f", {where} {name}'s ({loss:.2f})" for where, name, loss in others)
        sentences.append(f"From {base}, the lowest validation loss {where} is {first}'s ({least:.2f} nats){more}.")
    return sentences


def on_scores(scores: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Best strategy per task, base and setting, with the paired test against hybrid."""
    macro = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP") & (scores["base"] != "reference")]
    trained = macro[~macro["strategy"].isin(NOT_TRAINED)]
    sentences = []
    for (task, base), rows in trained.groupby(["task", "base"], sort=False):
        means = rows.groupby(["setting", "strategy"])["value"].mean()
        parts = [f"{short} {means[setting].idxmax()} ({means[setting].max():.3f})" for setting, short in SHORT_SETTINGS.items()]
        sentences.append(f"{task}, from {base}: highest mAP: {', '.join(parts)}." + _on_tests(tests, task, base))
    return sentences


def _on_tests(tests: pd.DataFrame, task: str, base: str) -> str:
    if tests.empty:
        return ""
    rows = tests[(tests["task"] == task) & (tests["base"] == base) & tests["strategy"].isin(["X-X-mono", "X-Y"])]
    return "".join(
        f" {SHORT_SETTINGS[row.setting]}: hybrid {verdict(row)} {row.strategy} ({-row.mean_difference:+.3f})." for row in rows.itertuples()
    )


def verdict(row) -> str:
    """ahead of / behind: the corrected p-value and the interval over seeds agree; else no clear difference."""
    seeds_agree = not (row.seed_low <= 0 <= row.seed_high)  # nan (one seed) agrees with nothing to the contrary
    if not row.p_holm < 0.05 or not seeds_agree:  # nan: no test was possible
        return LEVEL
    return "ahead of" if row.mean_difference < 0 else "behind"


def grouped(rows: pd.DataFrame, number: Callable, words: Mapping[str, str] | None = None) -> str:
    """Hybrid against others, from rows of strategies minus hybrid: `ahead of A (1), B (2), behind C (3)`; number: a row -> its number.

    words: what stands for a `verdict`.
    """
    found = {name: [] for name in ("ahead of", "behind", LEVEL)}
    for row in rows.itertuples():
        found[verdict(row)].append(f"{row.strategy} ({number(row)})")
    return ", ".join(f"{(words or {}).get(name, name)} {', '.join(others)}" for name, others in found.items() if others)


def against_paper(scores: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Whether each setting has the order of the paper's means (hybrid, X-Y, X-X-mono), per task and base."""
    macro = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP")]
    rows = macro[macro["strategy"].isin(["hybrid", "X-Y", "X-X-mono"])]
    sentences = []
    for setting, shape in PAPER_SHAPE.items():
        orders = []
        for (task, base), part in rows[rows["setting"] == setting].groupby(["task", "base"], sort=False):
            means = part.groupby("strategy")["value"].mean().sort_values(ascending=False)
            orders.append(f"{task} from {base}: " + " > ".join(f"{name} {value:.3f}" for name, value in means.items()))
        sentences.append(f"{SHORT_SETTINGS[setting]} The paper's means have {shape}; ours: {'; '.join(orders)}.")
    return sentences


def on_bias(bias: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Rank distance and same-language share of the strategies, with the paired test against hybrid."""
    macro = bias[(bias["query_language"] == "macro") & (bias["base"] != "reference")]
    sentences = []
    for (task, base), rows in macro[~macro["strategy"].isin(NOT_TRAINED)].groupby(["task", "base"], sort=False):
        means = rows.groupby(["measure", "strategy"])["value"].mean()
        distance, share = means["rank distance"], means["same-language share@10"]
        listed = ", ".join(f"{name} {distance[name]:,.0f}" for name in in_order(distance.index))
        sentences.append(
            f"{task}, from {base}: mean rank distance {listed} (best possible {means['rank distance (best)'].iloc[0]:.0f}, "
            f"random {means['rank distance (random)'].iloc[0]:,.0f}); lowest: {distance.idxmin()}. Same-language share of the top 10: "
            f"hybrid {share.get('hybrid', float('nan')):.0%}, pool {means['same-language pool share'].iloc[0]:.0%}."
            + _on_distance(tests, task, base)
        )
    return sentences


def _on_distance(tests: pd.DataFrame, task: str, base: str) -> str:
    if tests.empty:
        return ""
    rows = tests[(tests["task"] == task) & (tests["base"] == base) & tests["strategy"].isin(["X-X-mono", "X-Y"])]
    words = {"ahead of": "less language-biased than", "behind": "more language-biased than"}
    told = []
    for row in rows.itertuples():
        flipped = row._replace(mean_difference=-row.mean_difference, seed_low=-row.seed_high, seed_high=-row.seed_low)  # lower is better
        found = verdict(flipped)
        told.append(f" hybrid is {words.get(found, found)} {row.strategy} ({-row.mean_difference:+,.0f} ranks).")
    return "".join(told)


def on_debiasing(debiasing: pd.DataFrame) -> list[str]:
    """What the best training-free method gives the mono-trained encoder, against training with cross-lingual batches."""
    rows = debiasing[(debiasing["metric"] == "mAP") & (debiasing["setting"] == "multilingual")]
    sentences = []
    for base, part in rows.groupby("base"):
        means = part.groupby(["strategy", "method"])["value"].mean()
        if not {"X-X-mono", "hybrid"} <= set(part["strategy"]):
            continue
        mono, hybrid = means["X-X-mono"], means["hybrid"]
        best = mono.drop("none").idxmax()
        sentences.append(
            f"From {base}, {best} moves X-X-mono from {mono['none']:.3f} to {mono[best]:.3f} Mul. mAP; "
            f"hybrid batches without any method give {hybrid['none']:.3f}, "
            f"and {hybrid.drop('none').idxmax()} on top of them {hybrid.drop('none').max():.3f}."
        )
    return sentences
