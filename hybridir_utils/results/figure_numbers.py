"""Numbers to read off figures for which the notebooks have no sentence of their own."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..experiment.evaluation import NOT_TRAINED, REFERENCE
from .style import SHORT_SETTINGS, in_order

HYBRID = "hybrid"


def on_lengths(lengths: pd.DataFrame) -> list[str]:
    """Median length of questions and of passages: the languages with the shortest and the longest."""
    told = []
    for part, rows in lengths.groupby("part", sort=False):
        medians = rows.set_index("language")["q50"]
        told.append(f"{part}s {medians.min():.0f} ({medians.idxmin()}) to {medians.max():.0f} ({medians.idxmax()})")
    return [f"Median length in characters, shortest to longest language: {'; '.join(told)}."] if told else []


def on_query_languages(scores: pd.DataFrame) -> list[str]:
    """Question languages with the lowest and the highest mAP in each setting, by base: of hybrid, else of the last strategy; first task."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP") & _is_trained(scores)]
    rows = rows[rows["task"] == scores["task"].iloc[0]]
    sentences = []
    for base, part in rows.groupby("base"):
        shown = _shown(part["strategy"])
        means = part[part["strategy"] == shown].groupby(["setting", "query_language"])["value"].mean()
        told = [f"{short} {_range(means[setting])}" for setting, short in SHORT_SETTINGS.items() if setting in means]
        sentences.append(f"{shown}, from {base}, lowest to highest mAP by question language: {', '.join(told)}.")
    return sentences


def on_heat(heat: pd.DataFrame) -> list[str]:
    """Mean mAP where question and answer are in one language, and where they are not."""
    same = heat["query_language"] == heat["candidate_language"]
    means = heat.groupby(["base", "strategy", same.rename("same")])["value"].mean().unstack("same")
    sentences = []
    for base, part in means.groupby("base"):
        part = part.droplevel("base")
        told = [f"{name} {part.loc[name].get(True):.3f} / {part.loc[name].get(False):.3f}" for name in in_order(part.index)]
        sentences.append(f"From {base}, mean mAP within a language / across languages: {', '.join(told)}.")
    return sentences


def on_language_share(bias: pd.DataFrame) -> list[str]:
    """Mean share of the top ten in the question's own language, by strategy, beside its share of the pool; first task."""
    rows = bias[(bias["query_language"] == "macro") & (bias["task"] == bias["task"].iloc[0]) & (bias["base"] != REFERENCE)]
    means = rows.groupby(["measure", "base", "strategy"])["value"].mean()
    pool = means["same-language pool share"].mean()
    return [
        f"From {base}, share of the top ten in the question's language: "
        + ", ".join(f"{name} {part[base, name]:.0%}" for name in in_order(part[base].index))
        + f"; in the pool {pool:.0%}."
        for base, part in means["same-language share@10"].groupby("base")
    ]


def on_map(table: pd.DataFrame) -> list[str]:
    """How often a text's nearest neighbour on the map is in its own language: high where colours form clusters."""
    from scipy.spatial import KDTree

    found: dict[str, dict[str, float]] = {}
    for (base, strategy), rows in table.groupby(["base", "strategy"]):
        places, languages = rows[["x", "y"]].to_numpy(), rows["language"].to_numpy()
        _, nearest = KDTree(places).query(places, k=2)
        found.setdefault(base, {})[strategy] = (languages[nearest[:, 1]] == languages).mean()
    chance = 1 / table["language"].nunique()
    return [
        f"From {base}, texts whose nearest neighbour on the map is in their own language: "
        + ", ".join(f"{name} {shares[name]:.0%}" for name in in_order(shares))
        + f"; by chance about {chance:.0%}."
        for base, shares in found.items()
    ]


def on_alignment(alignment: pd.DataFrame) -> list[str]:
    """Translation retrieval and language probe of the questions' vectors, by strategy."""
    means = alignment.groupby(["measure", "base", "strategy"])["value"].mean()
    names = {"translation_accuracy": "translation retrieval accuracy", "language_identity": "accuracy of the language probe"}
    return [
        f"From {base}, {words}: " + ", ".join(f"{name} {part[base, name]:.3f}" for name in in_order(part[base].index)) + "."
        for measure, words in names.items()
        if measure in means
        for base, part in means[measure].groupby("base")
    ]


def _range(values: pd.Series) -> str:
    return f"{values.min():.3f} ({values.idxmin()}) to {values.max():.3f} ({values.idxmax()})"


def _shown(strategies: Iterable[str]) -> str:
    names = in_order(strategies)
    return HYBRID if HYBRID in names else names[-1]


def _is_trained(table: pd.DataFrame) -> pd.Series:
    return (table["base"] != REFERENCE) & ~table["strategy"].isin(NOT_TRAINED)
