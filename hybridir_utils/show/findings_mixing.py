"""What notebook 05's numbers say, in sentences computed from them; "clearly" means that the corrected test and the seeds agree."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..data.batching import SCHEDULES
from ..steps.mixing import mixing_keys, mixing_tasks, reference_alpha, shifted_tasks
from ..steps.profiles import Profile
from .findings import verdict
from .mixing_tables import DISTANCE, KEPT, multilingual_tasks
from .style import SETTINGS

STABLE = (0.4, 0.6)  # where the paper calls the method stable (arXiv 2408.10536, §3)


def on_stability(table: pd.DataFrame, tests: pd.DataFrame, reference: float) -> list[str]:
    """How far each measure moves for α from 0.4 to 0.6 and over the whole grid, and whether a test tells it from the reference there."""
    grid = table[~table["strategy"].isin(SCHEDULES) & (table["metric"] != KEPT)]
    inside = grid["alpha"].between(*STABLE)
    if grid.loc[inside, "alpha"].nunique() < 2 or not STABLE[0] <= reference <= STABLE[1]:
        return ["Whether α is stable from 0.4 to 0.6, as the paper says, is not tested: the grid needs the reference and one more α there."]
    sentences, moved, shares = [], [], []
    for task in grid["task"].unique():
        spans = {measure: _span(part) for measure, part in _measures(grid[grid["task"] == task])}
        shares += [within / whole for within, whole in spans.values() if whole]
        clear = _clear(tests[tests["task"] == task], [f"α = {alpha:g}" for alpha in sorted(set(grid.loc[inside, "alpha"]))])
        moved += [task] if clear else []
        told = (
            f"clearly different from α = {reference:g}: {', '.join(clear)}" if clear else f"nothing differs clearly from α = {reference:g}"
        )
        moves = ", ".join(
            f"{measure} {_number(within, measure)} of {_number(whole, measure)}" for measure, (within, whole) in spans.items()
        )
        sentences.append(f"{task}, what α from 0.4 to 0.6 moves, of what the whole grid moves: {moves}; {told}.")
    held = f"does not hold by these tests on {', '.join(moved)}" if moved else "is not contradicted by any test here"
    size = f"; its measures move by {min(shares):.0%} to {max(shares):.0%} of what they move over the whole grid" if shares else ""
    return [*sentences, f'The paper\'s "stable for 0.4 to 0.6" {held}{size}.']


def _measures(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for setting, short in SETTINGS.items():
        for metric in ("mAP", DISTANCE):
            part = rows[(rows["setting"] == setting) & (rows["metric"] == metric)]
            if len(part):
                yield (DISTANCE if metric == DISTANCE else f"{short} {metric}"), part


def _span(part: pd.DataFrame) -> tuple[float, float]:
    """Highest minus lowest mean over seeds, of the α from 0.4 to 0.6 and of all."""
    means = part.groupby("alpha")["value"].mean()
    inside = means[(means.index >= STABLE[0]) & (means.index <= STABLE[1])]
    return inside.max() - inside.min(), means.max() - means.min()


def _number(value: float, measure: str) -> str:
    return f"{value:,.0f}" if measure == DISTANCE else f"{value:.3f}"


def _clear(tests: pd.DataFrame, mixes: list[str], better: bool | None = None) -> list[str]:
    """`measure mix (difference)` of the tested rows that are clearly different, or only of the better or worse ones."""
    found = []
    for row in tests[tests["strategy"].isin(mixes)].itertuples():
        lower_is_better = row.measure == "rank_distance"
        is_better = (verdict(row) == "behind") != lower_is_better  # the reference is behind
        if verdict(row) in ("ahead of", "behind") and better in (None, is_better):
            found.append(f"{_goal(row)} of {row.strategy} ({_signed(row.mean_difference, lower_is_better)})")
    return found


def _goal(row) -> str:
    return DISTANCE if row.measure == "rank_distance" else f"{SETTINGS[row.setting]} mAP"


def _signed(difference: float, ranks: bool) -> str:
    return f"{difference:+,.0f} ranks" if ranks else f"{difference:+.3f}"


def on_best(best: pd.DataFrame) -> list[str]:
    """The recommended α of every goal with its interval, and the α that no goal speaks against."""
    sentences = []
    for task, rows in best.groupby("task", sort=False):
        told = []
        for goal, part in rows.groupby("goal", sort=False):
            first = part.iloc[0]
            told.append(f"{goal} α = {first['best']:g} ({first['low']:g} to {first['high']:g})")
        sentences.append(f"{task}, best α by goal, with its 95 % interval: {', '.join(told)}.")
    every = best.groupby("alpha")["among_best"].all()
    good, goals = [f"{alpha:g}" for alpha in every.index[every]], len(best.groupby(["task", "goal"]))
    if good:
        return [*sentences, f"Among the best for all {goals} goals: α = {', '.join(good)}."]
    counts = best.groupby("alpha")["among_best"].sum()
    most = f"α = {counts.idxmax():g}, among the best for {counts.max()} of them"
    return [*sentences, f"No α is among the best for all {goals} goals: which one to take depends on the goal. The least bad is {most}."]


def on_schedules(tests: pd.DataFrame, reference: float) -> list[str]:
    """Where each order of the batches is clearly better or worse than the constant mix of the same α."""
    sentences, ahead = [], []
    for schedule in [name for name in SCHEDULES if name in set(tests["strategy"])]:
        rows = tests[tests["strategy"] == schedule]
        better, worse = ([f"{task} {told}" for task, told in _by_task(rows, schedule, side)] for side in (True, False))
        ahead += [schedule] if better else []
        told = "".join(f" clearly {word}: {', '.join(found)};" for word, found in (("better", better), ("worse", worse)) if found)
        level = len(rows) - len(better) - len(worse)
        sentences.append(
            f"{schedule} against the constant mix, α = {reference:g}:{told} no clear difference in {level} of {len(rows)} measures."
        )
    if not sentences:
        return ["No schedule was trained: whether an order beats the constant mix is not measured here."]
    beats = (
        f"Clearly better than the constant mix in some measure: {', '.join(ahead)}"
        if ahead
        else "No schedule beats the constant mix in any measure"
    )
    return [*sentences, f"{beats} (paired tests, corrected over all mixes)."]


def _by_task(rows: pd.DataFrame, schedule: str, better: bool) -> Iterator[tuple[str, str]]:
    for task, part in rows.groupby("task", sort=False):
        for told in _clear(part, [schedule], better):
            yield task, told.replace(f" of {schedule}", "")


def on_kept(kept: pd.DataFrame, reference: float) -> list[str]:
    """What share of the in-domain accuracy each end keeps under shift, and which mixes keep clearly more or less than the reference."""
    sentences, moved = [], []
    for (first, task), rows in kept.groupby(["in_domain_task", "task"], sort=False):
        for setting, part in rows.groupby("setting", sort=False):
            grid = part[~part["strategy"].isin(SCHEDULES)].set_index("strategy")
            tested = part.rename(columns={"difference": "mean_difference"}).dropna(subset=["p_holm"]).assign(measure=KEPT)
            sides = {word: _kept_clearly(tested, words) for word, words in (("more", "behind"), ("less", "ahead of"))}
            told = "".join(f"; clearly {word} than α = {reference:g}: {', '.join(found)}" for word, found in sides.items() if found)
            moved += [f"{SETTINGS[setting]} of {task}"] if told else []
            low, high, there = grid["kept"].idxmin(), grid["kept"].idxmax(), grid["shifted"]
            sentences.append(
                f"{SETTINGS[setting]} mAP kept on {task} (share of {first}): {grid['kept'][low]:.3f} ({low}) to {grid['kept'][high]:.3f} "
                f"({high}){told or '; no mix is clearly different from the reference'}. Highest mAP there: {there.idxmax()} "
                f"({there.max():.3f}{f'; {high} has {there[high]:.3f}' if high != there.idxmax() else ''})."
            )
    if moved:
        return [*sentences, f"The mix does change how much accuracy is kept under shift: {', '.join(moved)}."]
    return [*sentences, "No mix keeps clearly more or less accuracy than the reference."] if sentences else []


def _kept_clearly(tested: pd.DataFrame, words: str) -> list[str]:
    return [f"{row.strategy} ({row.mean_difference:+.3f})" for row in tested.itertuples() if verdict(row) == words]


def left_out(profile: Profile, table: pd.DataFrame) -> list[str]:
    """What this run cannot say, and why: searched tasks, tasks in one language, no shifted task, one seed."""
    ranked, sentences = mixing_tasks(profile), []
    if searched := [task for task in profile.tasks if task not in ranked]:
        sentences.append(f"{', '.join(searched)}: searched to a depth, so without mAP over full rankings; not part of this study.")
    if alone := [task for task in ranked if task not in multilingual_tasks(table)]:
        sentences.append(
            f"{', '.join(alone)}: questions and candidates in one language, so no Cr. and no rank distance; Mul. is Mo. there."
        )
    if not shifted_tasks(profile):
        sentences.append(
            "No shifted task of this run goes with its first task: accuracy kept under domain shift is left out (`shifted_tasks`)."
        )
    if len(profile.seeds) < 2:
        sentences.append(
            "One seed was trained: tests and intervals are over questions; whether another training run agrees cannot be concluded."
        )
    if reference_alpha(profile) != profile.alpha:
        sentences.append(f"The grid has no α = {profile.alpha:g}; α = {reference_alpha(profile):g}, the nearest, is the reference.")
    comparisons = len({(key.strategy, key.alpha) for key in mixing_keys(profile)}) - 1
    if 2 * comparisons / (profile.resamples + 1) >= 0.05:
        sentences.append(
            f"{profile.resamples} resamples are too few for a corrected p below .05 in {comparisons} comparisons (`resamples`)."
        )
    return sentences
