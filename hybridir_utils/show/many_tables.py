"""Tables of notebook 08: methods beside each other, languages by family and script, seen and unseen ones."""

from __future__ import annotations

import pandas as pd

from ..base.language_families import family_of, script_of
from ..steps.evaluation import REFERENCE
from ..train.methods import Method, method_of
from .style import SETTINGS, in_order
from .tables import score_table

SEEN, UNSEEN = "trained", "unseen"


def language_list(profile, patterns: tuple[str, ...]) -> pd.DataFrame:
    """The study's languages: family, script, whether any batch holds them, and whether their texts are sentences or a pattern.

    profile: of the study's run. patterns: languages whose world facts are names in a pattern; other data are sentences.
    """
    of_pattern = set(patterns) if set(profile.pair_sets) == {"worldfacts"} else set()
    rows = [
        {
            "language": code,
            "family": family_of(code),
            "script": script_of(code),
            "training": UNSEEN if code in profile.unseen_languages else SEEN,
            "texts": "names in a pattern" if code in of_pattern else "sentences",
        }
        for code in profile.languages
    ]
    return pd.DataFrame(rows)


def method_list(methods: tuple[str, ...]) -> pd.DataFrame:
    """What each method trains on, in which batches, and where it was published."""
    rows = [{"method": name, "batches": method_of(name).strategy, **_about(method_of(name))} for name in methods]
    return pd.DataFrame(rows).set_index("method")


def _about(method: Method) -> dict[str, str]:
    return {"pairs and loss": method.what, "source": method.source}


def method_table(scores: pd.DataFrame, bias: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Each method's mAP in the three settings and rank distance (± over seeds), with its steps and the fastest seed's training seconds."""
    table = score_table(scores, bias).droplevel(["task", "base"])[[*(f"{short} mAP" for short in SETTINGS.values()), "rank distance"]]
    effort = cost.groupby("strategy").agg(steps=("steps", "first"), seconds=("seconds", "min"))
    return table.join(effort.round(1)).astype({"steps": "Int64"})


def by_language(scores: pd.DataFrame, languages: pd.DataFrame) -> pd.DataFrame:
    """mAP of every question language with what `languages` says of it: strategy, setting, language, family, script, training, texts,
    value (mean over seeds and, in Cr., over pools)."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP")]
    means = rows.groupby(["base", "strategy", "setting", "query_language"], sort=False)["value"].mean().reset_index()
    return means.rename(columns={"query_language": "language"}).merge(languages, on="language")


def grouped(table: pd.DataFrame, column: str, setting: str) -> pd.DataFrame:
    """Mean mAP of one setting by family, script, training or texts: groups as rows with their number of languages, methods as columns."""
    rows = table[table["setting"] == setting]
    wide = rows.pivot_table(index=column, columns="strategy", values="value")[in_order(rows["strategy"])]
    wide.insert(0, "languages", rows.groupby(column)["language"].nunique())
    return wide.round(3)


def trained_only(table: pd.DataFrame) -> pd.DataFrame:
    """Without the lines that are no encoder."""
    return table[table["base"] != REFERENCE]
