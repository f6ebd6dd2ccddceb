"""What notebook 08's numbers say, in sentences computed from them."""

from __future__ import annotations

import pandas as pd

from ..steps.evaluation import NOT_TRAINED
from .findings import verdict
from .many_tables import SEEN, UNSEEN
from .style import SETTINGS


def on_methods(scores: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """The best method of each setting, and which methods hybrid is ahead of, behind, or level with (paired tests, Holm over methods)."""
    macro = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP") & (scores["base"] != "reference")]
    means = macro[~macro["strategy"].isin(NOT_TRAINED)].groupby(["setting", "strategy"])["value"].mean()
    sentences = []
    for setting, short in SETTINGS.items():
        if setting not in means.index:
            continue
        best = means[setting].idxmax()
        told = f"{short}: {best} is highest ({means[setting][best]:.3f}); hybrid has {means[setting].get('hybrid', float('nan')):.3f}."
        sentences.append(told + _against_hybrid(tests, setting))
    return sentences + _on_seeds(tests)


def _against_hybrid(tests: pd.DataFrame, setting: str) -> str:
    rows = tests[tests["setting"] == setting] if len(tests) else tests
    groups = {}
    for row in rows.itertuples():
        groups.setdefault(verdict(row), []).append(f"{row.strategy} ({-row.mean_difference:+.3f})")
    return "".join(f" Hybrid is {words} {', '.join(names)}." for words, names in sorted(groups.items()))


def _on_seeds(tests: pd.DataFrame) -> list[str]:
    if len(tests) and (tests["n_seeds"] < 2).any():
        return ["One seed was trained: whether these differences outlast another training run cannot be concluded."]
    return []


def on_languages(table: pd.DataFrame) -> list[str]:
    """Seen against unseen languages, and the families where hybrid is furthest ahead of and behind X-Y (`many_tables.by_language`)."""
    sentences = []
    means = table.groupby(["strategy", "setting", "training"])["value"].mean()
    for setting, short in SETTINGS.items():
        wanted = (("hybrid", setting, SEEN), ("hybrid", setting, UNSEEN), ("untrained", setting, UNSEEN))
        seen, unseen, before = (means.get(key) for key in wanted)
        if seen is not None and unseen is not None:
            sentences.append(
                f"{short}: hybrid has {seen:.3f} in trained languages and {unseen:.3f} in unseen ones ({unseen / seen:.0%}); "
                f"the untrained base has {before:.3f} there."
            )
    if UNSEEN not in set(table["training"]):
        sentences.append("Every language of this run is in the training batches: unseen ones cannot be judged (`many_unseen`).")
    return sentences + _on_families(table)


def _on_families(table: pd.DataFrame) -> list[str]:
    rows = table[(table["setting"] == "multilingual") & table["strategy"].isin(["hybrid", "X-Y"])]
    wide = rows.pivot_table(index="family", columns="strategy", values="value").dropna()
    if wide.shape[1] < 2 or len(wide) < 2:
        return []
    gap = wide["hybrid"] - wide["X-Y"]
    return [
        f"Hybrid minus X-Y in the mixed pool is {gap.min():+.3f} ({gap.idxmin()}) to {gap.max():+.3f} ({gap.idxmax()}) over "
        f"{len(gap)} families; hybrid is ahead in {(gap > 0).sum()} of them."
    ]


def on_cost(cost: pd.DataFrame, growth: pd.DataFrame) -> list[str]:
    """The cheapest and the dearest method, and what more languages cost; times of the fastest seed, as in the figures."""
    seconds = cost.groupby("strategy")["seconds"].min()
    sentences = [
        f"Training took {seconds.min():.0f} ({seconds.idxmin()}) to {seconds.max():.0f} seconds ({seconds.idxmax()}) for one encoder, "
        "the fastest of its seeds."
    ]
    if growth.empty or growth["languages"].nunique() < 2:
        return sentences
    means, fastest = (growth.groupby("languages").agg(how, numeric_only=True) for how in ("mean", "min"))
    first, last, early, late = means.iloc[0], means.iloc[-1], fastest.iloc[0], fastest.iloc[-1]
    times = ", ".join(
        f"{name} {late[column] / early[column]:.1f} x"
        for name, column in (("preparation", "preparation_seconds"), ("training", "training_seconds"), ("evaluation", "evaluation_seconds"))
    )
    moved = ", ".join(f"{short} {first[s]:.3f} to {last[s]:.3f}" for s, short in SETTINGS.items() if s in means)
    return [
        *sentences,
        f"From {means.index[0]} to {means.index[-1]} languages ({last['candidates'] / first['candidates']:.1f} x the pool), the steps take "
        f"{times} as long; hybrid's mAP on the first {means.index[0]} languages goes from {moved}.",
    ]
