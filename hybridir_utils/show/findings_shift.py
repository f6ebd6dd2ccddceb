"""What notebook 06's numbers say: accuracy and alignment kept under domain shift, and languages unseen in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ..rank.metrics import MEAN_NAMES
from ..steps.evaluation import NOT_TRAINED, REFERENCE
from .findings import verdict
from .shift_tables import HYBRID, UNSEEN
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
    """S0: hybrid's share of accuracy kept beside each other strategy's, per shifted task and base."""
    sentences = []
    for (task, base), part in _trained(kept).groupby(["task", "base"], sort=False):
        settings = [(short, part[part["setting"] == setting].set_index("strategy")) for setting, short in SETTINGS.items()]
        told = [_kept(short, rows) for short, rows in settings if HYBRID in rows.index and pd.notna(rows.loc[HYBRID, "kept"])]
        if told:
            sentences.append(f"{task}, from {base}: hybrid keeps {'; '.join(told)}.")
    return sentences


def _kept(short: str, rows: pd.DataFrame) -> str:
    own, others = rows.loc[HYBRID], rows.drop(index=HYBRID).rename(columns={"difference": "mean_difference"}).reset_index()
    told = f"{own['kept']:.0%} of its {short} mAP ({own['in_domain']:.3f} → {own['shifted']:.3f})"
    return f"{told}, {_grouped(others, MORE, lambda row: f'{row.kept:.0%}')}" if len(others) else told


def _grouped(others: pd.DataFrame, words: dict[str, str], number: Callable) -> str:
    """Hybrid against the others: the strategies that share a verdict under it, each with a number."""
    found = {verdict_: [] for verdict_ in ("ahead of", "behind", "not clearly different from")}
    for row in others.itertuples():
        found[verdict(row)].append(f"{row.strategy} ({number(row)})")
    return ", ".join(f"{words.get(name, name)} {', '.join(strategies)}" for name, strategies in found.items() if strategies)


def on_shifted_tests(tests: pd.DataFrame) -> list[str]:
    """S0: whether hybrid is ahead of the others on the shifted tasks themselves, across languages."""
    sentences = []
    for (task, base, questions), rows in tests[tests["setting"] == CROSS].groupby(["task", "base", "questions"], sort=False):
        where = "" if questions == "all" else ", questions in unseen languages"
        found = _grouped(rows, {}, lambda row: f"{-row.mean_difference:+.3f}")
        measure = MEAN_NAMES.get(rows["measure"].iloc[0], rows["measure"].iloc[0])
        sentences.append(f"{task}, from {base}{where}: in Cr. {measure}, hybrid is {found}.")
    return sentences


def on_alignment(means: pd.DataFrame, kept: pd.DataFrame, differences: pd.DataFrame, tasks: Sequence[str]) -> list[str]:
    """S1: translation accuracy before and after training, how much of it is left under shift, and whether hybrid keeps more of it."""
    sentences = [f"{task} has no parallel texts, so its alignment is not measured." for task in tasks if task not in set(means["task"])]
    rows = kept[kept["measure"] == MAIN]
    for (task, base, side), part in rows.groupby(["task", "base", "side"], sort=False):
        values = part.groupby("strategy")[["in_domain", "shifted", "kept"]].mean()
        shown = [strategy for strategy in ("untrained", "X-X-mono", "X-Y", HYBRID) if strategy in values.index]
        listed = [f"{name} {_home_and_away(values.loc[name])}" for name in shown]
        tested = differences[(differences[["task", "base", "side", "measure"]] == [task, base, side, MAIN]).all(axis=1)]
        sentences.append(f"{task}, from {base}, {MEASURES[MAIN]} of {side}s: {', '.join(listed)}.{_hybrid_keeps(tested)}")
    return sentences


def _home_and_away(values: pd.Series) -> str:
    kept = f" ({values['kept']:.0%} kept)" if pd.notna(values["kept"]) else ""
    return f"{values['in_domain']:.3f} → {values['shifted']:.3f}{kept}"


def _hybrid_keeps(differences: pd.DataFrame) -> str:
    """More or less than each other strategy, where the interval over seeds says so."""
    words = {name: [] for name in ("more", "less", "open")}
    for row in differences.itertuples():
        name = "open" if pd.isna(row.seed_low) or row.seed_low <= 0 <= row.seed_high else "more" if row.difference < 0 else "less"
        words[name].append(row.strategy)
    if differences["seed_low"].isna().any():
        return " One seed: which strategy keeps more cannot be concluded."
    told = [f"hybrid keeps {name} than {', '.join(words[name])}" for name in ("more", "less") if words[name]]
    told += [f"hybrid's share is not clearly different from that of {', '.join(words['open'])}"] if words["open"] else []
    return f" By the intervals over seeds, {'; '.join(told)}." if told else ""


def on_survival(differences: pd.DataFrame, survival: pd.DataFrame) -> list[str]:
    """S1 in one count, and whether alignment kept and accuracy kept go together."""
    sentences = []
    for other in in_order(set(differences["strategy"])):
        rows = differences[differences["strategy"] == other].dropna(subset=["seed_low"])
        if len(rows):
            more, less = int((rows["seed_high"] < 0).sum()), int((rows["seed_low"] > 0).sum())
            sentences.append(
                f"Of {len(rows)} comparisons (tasks, bases, sides and both measures), hybrid's alignment is clearly more robust than "
                f"{other}'s in {more}, clearly less in {less}."
            )
    for (task, base), rows in survival.dropna(subset=["correlation"]).groupby(["task", "base"], sort=False):
        listed = ", ".join(f"{row.side}s' {MEASURES[row.measure]} {row.correlation:+.2f}" for row in rows.itertuples())
        sentences.append(
            f"{task}, from {base}: Spearman's correlation of alignment kept with Cr. mAP kept over {rows['n'].max()} encoders: {listed} "
            "(seeds of one strategy are alike, so this describes and tests nothing)."
        )
    return sentences


def on_languages(kinds: pd.DataFrame, unseen: Sequence[str]) -> list[str]:
    """Unseen languages apart: hybrid's Cr. mAP by trained and unseen question and pool language, and the best strategy there."""
    if not len(unseen):
        return [
            "Every language of this run is a training language; notebook 08 holds languages out (`many_unseen`), as does a profile's "
            "`unseen_languages`."
        ]
    sentences, cross = [], _trained(kinds)[lambda rows: rows["setting"] == CROSS]
    for (task, base), rows in cross.groupby(["task", "base"], sort=False):
        if UNSEEN not in set(rows["question"]) | set(rows["pool"]):
            sentences.append(f"{task} has none of the unseen languages ({', '.join(unseen)}).")
            continue
        cells = rows.groupby(["question", "pool"], sort=False)
        parts = [f"{question} → {pool} {_best(part)}" for (question, pool), part in cells]
        sentences.append(f"{task}, from {base}, Cr. mAP by question → pool language: {', '.join(parts)}.")
    return list(dict.fromkeys(sentences))


def _best(rows: pd.DataFrame) -> str:
    values = rows.set_index("strategy")["value"]
    own = f"hybrid {values[HYBRID]:.3f}, " if HYBRID in values and values.idxmax() != HYBRID else ""
    return f"{own}best {values.idxmax()} {values.max():.3f}"


def on_seeds(seeds: Sequence[int]) -> list[str]:
    """What one seed leaves open."""
    if len(seeds) > 1:
        return []
    return ["One seed: the paired tests say how sure the differences between these encoders are, not whether other training runs agree."]


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["base"] != REFERENCE) & ~table["strategy"].isin(NOT_TRAINED)]
