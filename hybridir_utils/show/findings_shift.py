"""What notebook 06's numbers say: accuracy and alignment kept under domain shift, and languages unseen in training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..rank.metrics import MEAN_NAMES
from ..steps.evaluation import NOT_TRAINED, REFERENCE, UNTRAINED
from .findings import LEVEL, grouped
from .shift_tables import HYBRID, TRAINED, UNSEEN
from .style import SETTINGS, in_order

MORE = {"ahead of": "more than", "behind": "less than"}
MEASURES = {"alignment_gap": "alignment gap", "translation_accuracy": "translation accuracy"}
MAIN = "translation_accuracy"
CROSS = "cross-lingual"


def on_tasks(languages: pd.DataFrame, shifted: Sequence[str]) -> list[str]:
    """What is compared with what, and what cannot be: no shifted task, or languages that a task lacks (`shift_tables.languages_of`)."""
    if not len(shifted):
        return ["The run has no shifted task: name one or more of its `tasks`, after the first, in `shifted_tasks`."]
    lacking = languages[languages["lacking"] != ""]["lacking"]
    home = [task for task in languages.index if task not in shifted]
    sentences = [f"In domain: {home[0]}; shifted: {', '.join(shifted)}."]
    return sentences + [
        f"{task} lacks {codes.replace(' ', ', ')}; its numbers are over the languages it has." for task, codes in lacking.items()
    ]


def on_kept(kept: pd.DataFrame) -> list[str]:
    """S0: hybrid's share of accuracy kept beside each other strategy's, per shifted task and base; and which tasks are easier anyway."""
    sentences = []
    for (task, base), part in _trained(kept).groupby(["task", "base"], sort=False):
        settings = [(short, part[part["setting"] == setting].set_index("strategy")) for setting, short in SETTINGS.items()]
        told = [_kept(short, rows) for short, rows in settings if HYBRID in rows.index and pd.notna(rows.loc[HYBRID, "kept"])]
        if told:
            sentences.append(f"{task}, from {base}: hybrid keeps {'; '.join(told)}.")
    return _easier(kept) + sentences


def _kept(short: str, rows: pd.DataFrame) -> str:
    own, others = rows.loc[HYBRID], rows.drop(index=HYBRID).rename(columns={"difference": "mean_difference"}).reset_index()
    told = f"{own['kept']:.0%} of its {short} mAP ({own['in_domain']:.3f} → {own['shifted']:.3f})"
    return f"{told}, {grouped(others, lambda row: f'{row.kept:.0%}', MORE)}" if len(others) else told


def _easier(kept: pd.DataFrame) -> list[str]:
    """Shifted tasks on which even what learnt nothing in domain scores higher than there: shares above 100 % are then no gain."""
    learnt_nothing = kept[kept["strategy"].isin([UNTRAINED, "BM25"]) & (kept["setting"] == "monolingual")]
    shares = learnt_nothing.groupby("task", sort=False)["kept"].agg(least="min", most="max")
    return [
        f"{task} is the easier task (Mo. mAP of the untrained bases and BM25: {row.least:.0%} to {row.most:.0%} of that in domain), so "
        "shares are to be compared with each other, not with 100%."
        for task, row in shares.iterrows()
        if row.least > 1
    ]


def on_shifted_tests(tests: pd.DataFrame) -> list[str]:
    """S0: whether hybrid is ahead of the others on the shifted tasks themselves, across languages, and on questions in unseen ones."""
    sentences = []
    for (task, base), part in tests[tests["setting"] == CROSS].groupby(["task", "base"], sort=False):
        told = []
        for questions, rows in part.groupby("questions", sort=False):
            where = "" if questions == "all" else "on questions in unseen languages "
            told.append(where + grouped(rows, lambda row: f"{-row.mean_difference:+.3f}"))
        measure = MEAN_NAMES.get(part["measure"].iloc[0], part["measure"].iloc[0])
        sentences.append(f"{task}, from {base}: in Cr. {measure}, hybrid is {'; '.join(told)}.")
    return sentences


def on_alignment(means: pd.DataFrame, kept: pd.DataFrame, differences: pd.DataFrame, tasks: Sequence[str]) -> list[str]:
    """S1: translation accuracy before and after training, how much of it is left under shift, and whether hybrid keeps more of it."""
    sentences = [f"{task} has no parallel texts, so its alignment is not measured." for task in tasks if task not in set(means["task"])]
    rows, tested = (table[table["measure"] == MAIN] for table in (kept, differences))
    for (task, base), part in rows.groupby(["task", "base"], sort=False):
        told = []
        for side, values in part.groupby("side", sort=False):
            about = tested[(tested[["task", "base", "side"]] == [task, base, side]).all(axis=1)]
            told.append(f"{side}s {_home_and_away(values)}{_hybrid_keeps(about)}")
        sentences.append(f"{task}, from {base}, translation accuracy in domain → shifted: {'; '.join(told)}.")
    return sentences


def _home_and_away(values: pd.DataFrame) -> str:
    means = values.groupby("strategy")[["in_domain", "shifted", "kept"]].mean()
    shown = [name for name in (UNTRAINED, "X-X-mono", "X-Y", HYBRID) if name in means.index]
    return ", ".join(f"{name} {means.in_domain[name]:.3f} → {means.shifted[name]:.3f}{_share(means.kept[name])}" for name in shown)


def _share(kept: float) -> str:
    return f" ({kept:.0%} kept)" if pd.notna(kept) else ""


def _hybrid_keeps(differences: pd.DataFrame) -> str:
    """More or less than each other strategy, where the interval over seeds says so."""
    if differences["seed_low"].isna().any():
        return " (one seed: which strategy keeps more cannot be concluded)"
    words = {"more than": differences["seed_high"] < 0, "less than": differences["seed_low"] > 0}
    words[LEVEL] = ~(words["more than"] | words["less than"])
    told = [f"{name} {', '.join(differences['strategy'][rows])}" for name, rows in words.items() if rows.any()]
    return f" (hybrid's share, by the interval over seeds: {', '.join(told)})" if told else ""


def on_survival(differences: pd.DataFrame, survival: pd.DataFrame) -> list[str]:
    """S1 in one count, and whether alignment kept and accuracy kept go together."""
    told = []
    for other in in_order(set(differences["strategy"])):
        rows = differences[differences["strategy"] == other].dropna(subset=["seed_low"])
        if len(rows):
            more, less = (rows["seed_high"] < 0).sum(), (rows["seed_low"] > 0).sum()
            told.append(f"{other}'s in {more} of {len(rows)} cases and less in {less}")
    about = "a case is a shifted task, a base, a side and a measure; by intervals over seeds"
    count = [f"Hybrid's alignment is clearly more robust than {', '.join(told)} ({about})."]
    correlated = survival.dropna(subset=["correlation"])
    return (count if told else []) + [_correlations(base, rows) for base, rows in correlated.groupby("base", sort=False)]


def _correlations(base: str, rows: pd.DataFrame) -> str:
    listed = [
        f"{task}: " + ", ".join(f"{row.side}s' {MEASURES[row.measure]} {row.correlation:+.2f}" for row in part.itertuples())
        for task, part in rows.groupby("task", sort=False)
    ]
    return (
        f"From {base}, Spearman's correlation of alignment kept with Cr. mAP kept over {rows['n'].max()} encoders (seeds of one strategy "
        f"are alike, so this describes and tests nothing): {'; '.join(listed)}."
    )


def on_languages(kinds: pd.DataFrame, unseen: Sequence[str]) -> list[str]:
    """Unseen languages apart: hybrid's Cr. mAP between trained languages and with an unseen one, and the best strategy of each."""
    if not len(unseen):
        return [
            "Every language of this run is a training language; notebook 08 holds languages out (`many_unseen`), as does a profile's "
            "`unseen_languages`."
        ]
    cross = _trained(kinds)[lambda rows: rows["setting"] == CROSS]
    cross = cross.assign(held_out=(cross[["question", "pool"]] == UNSEEN).any(axis=1), total=cross["value"] * cross["pairs"])
    sums = cross.groupby(["base", "task", "strategy", "held_out"], sort=False)[["total", "pairs"]].sum()
    wide = (sums["total"] / sums["pairs"]).unstack("held_out").rename(columns={False: TRAINED, True: UNSEEN})
    if UNSEEN not in wide:
        return [f"No task of this run has the unseen languages ({', '.join(unseen)})."]
    return [
        f"From {base}, Cr. mAP between trained languages / with {' or '.join(unseen)}: "
        + "; ".join(f"{task} {_best(rows[TRAINED])} / {_best(rows[UNSEEN].dropna())}" for task, rows in part.groupby("task", sort=False))
        + "."
        for base, part in wide.groupby("base", sort=False)
    ]


def _best(values: pd.Series) -> str:
    """Hybrid's value, and the best strategy's where it is another's."""
    values = values.droplevel(["base", "task"])
    if values.empty:
        return "none"
    best = f"{values.idxmax()} {values.max():.3f}"
    return f"hybrid {values[HYBRID]:.3f} (best: {best})" if HYBRID in values and values.idxmax() != HYBRID else f"best: {best}"


def on_seeds(seeds: Sequence[int]) -> list[str]:
    """What one seed leaves open."""
    if len(seeds) > 1:
        return []
    return ["One seed: the paired tests say how sure the differences between these encoders are, not whether other training runs agree."]


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["base"] != REFERENCE) & ~table["strategy"].isin(NOT_TRAINED)]
