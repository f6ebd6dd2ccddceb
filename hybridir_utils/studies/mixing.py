"""Study S2 (notebook 05): encoders over a grid of α, the share of monolingual batches, and over schedules; and their evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..data.batching import SCHEDULES, strategy_alpha
from ..data.register import is_search_task
from ..experiment.encoders import EncoderKey, trained_encoders
from ..experiment.evaluation import NOT_TRAINED, REFERENCE, Evaluations, evaluate
from ..experiment.profile import Profile
from ..experiment.run import Run
from ..rank import best_level, retention
from ..results.findings import LEVEL, verdict
from ..results.style import SHORT_SETTINGS
from ..results.tables import test_table

ENDS = {0.0: "X-Y", 1.0: "X-X-mono"}  # what hybrid batches are at the ends of the grid, and what notebook 02 calls them


def grid(profile: Profile) -> list[float]:
    """The values of α that are compared, ascending, each once."""
    return sorted({float(alpha) for alpha in profile.alphas})


def reference_alpha(profile: Profile) -> float:
    """The grid's value nearest to the profile's `alpha` (the lower of two); the others are tested against it, and schedules mix like it."""
    return min(grid(profile), key=lambda alpha: abs(alpha - profile.alpha))


def mixing_keys(profile: Profile) -> list[EncoderKey]:
    """Every α of the grid, then every schedule, with every seed, from the first of the profile's bases.

    They are the keys that `encoders.encoder_keys` makes where both ask for the same encoder, so none is trained twice. Schedules are left
    out where the reference α is 0 or 1, which leaves nothing to order.
    """
    reference = reference_alpha(profile)
    mixes = [(ENDS.get(alpha, "hybrid"), alpha) for alpha in grid(profile)]
    mixes += [(schedule, reference) for schedule in SCHEDULES if schedule in profile.schedules and reference not in ENDS]
    return [EncoderKey(profile.bases[0], *mix, seed) for mix, seed in product(mixes, profile.seeds)]


def further_keys(profile: Profile) -> list[EncoderKey]:
    """Those of `mixing_keys` that only this study asks for; the others are trained by notebook 02."""
    own = {(strategy, strategy_alpha(strategy, profile.alpha)) for strategy in profile.strategies}
    return [key for key in mixing_keys(profile) if (key.strategy, key.alpha) not in own]


def mix_label(strategy: str, alpha: float) -> str:
    """What tables and figures call a mix: `α = 0.25`, or the schedule's name."""
    return strategy if strategy in SCHEDULES else f"α = {alpha:g}"


def mixing_encoders(run: Run) -> dict[EncoderKey, Path]:
    """Folder of every encoder of the study; those that are missing are trained here, also where the profile's train_in_place is false."""
    return trained_encoders(run, keys=mixing_keys(run.profile))


def mixing_tasks(profile: Profile) -> list[str]:
    """The profile's tasks with full rankings, in its order; raises InputError where it has none."""
    ranked = [task for task in profile.tasks if not is_search_task(task)]
    if not ranked:
        raise InputError(
            f"the mixing study compares mAP over full rankings, and the profile's tasks ({', '.join(profile.tasks)}) are all searched to "
            'a depth. Add one that is ranked in full, such as "xquad-r", or "beir:FOLDER" for a set of your own.'
        )
    return ranked


def mixing_evaluations(run: Run, encoders: dict[EncoderKey, Path]) -> Evaluations:
    """Evaluations of the study's encoders, and of the lines that stand beside them, on `mixing_tasks`."""
    return evaluate(run, encoders, mixing_tasks(run.profile))


def shifted_tasks(profile: Profile) -> tuple[str, ...]:
    """Tasks under domain shift whose accuracy is divided by the first task's; none where that one is searched to a depth."""
    return tuple(task for task in profile.shifted_tasks if task in mixing_tasks(profile) and not is_search_task(profile.tasks[0]))


COLUMNS = ["base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]
DISTANCE, KEPT = "rank distance", "kept"
BEST = ["base", "task", "goal", "alpha", *best_level.COLUMNS[1:]]


def mixing_table(evaluations: Evaluations, shifted: tuple[str, ...] = ()) -> pd.DataFrame:
    """COLUMNS: macro mAP of each setting and the rank distance of every encoder of the study, and on shifted tasks the share kept.

    metric `kept`: mAP divided by that of the same encoder on the first of the evaluated tasks. No rank distance for tasks in one language.
    """
    scores, bias = _of_study(evaluations.table("scores")), _of_study(evaluations.table("bias"))
    scores = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP")]
    bias = bias[(bias["query_language"] == "macro") & (bias["measure"] == DISTANCE) & bias["task"].isin(multilingual_tasks(scores))]
    bias = bias.assign(setting="multilingual", metric=DISTANCE)
    table = pd.concat([scores[COLUMNS], bias[COLUMNS]], ignore_index=True)
    keys = ["base", "strategy", "alpha", "seed", "setting"]
    maps = table[table["metric"] == "mAP"]
    first = maps[maps["task"] == maps["task"].iloc[0]][[*keys, "value"]]
    both = maps[maps["task"].isin(shifted)].merge(first, on=keys, suffixes=("", "_first"))
    kept = both.assign(metric=KEPT, value=both["value"] / both["value_first"])
    return pd.concat([table, kept[COLUMNS]], ignore_index=True)


def multilingual_tasks(table: pd.DataFrame) -> list[str]:
    """Tasks that have a cross-lingual setting; those in one language have neither that nor a rank distance between translations."""
    return table.loc[table["setting"] == "cross-lingual", "task"].unique().tolist()


def mixing_questions(evaluations: Evaluations) -> pd.DataFrame:
    """Per-question values of the study's encoders: base, strategy (`mix_label`), alpha, seed, task, setting, group, AP, rank_distance.

    rank_distance is empty where a question has one relevant candidate, and in tasks in one language.
    """
    rows = _of_study(evaluations.table("questions"))
    measured = (rows["rank_distance"] > 0) & rows["task"].isin(multilingual_tasks(rows))
    rows = rows.assign(strategy=_labels(rows), rank_distance=rows["rank_distance"].where(measured))
    return rows[["base", "strategy", "alpha", "seed", "task", "setting", "group", "AP", "rank_distance"]]


def mixing_tests(questions: pd.DataFrame, reference: str, resamples: int) -> pd.DataFrame:
    """Paired tests (`tables.test_table`) of every mix against the reference, mAP by setting, then rank distance."""
    tables = [test_table(questions, value, resamples, reference) for value in ("AP", "rank_distance")]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def kept_table(questions: pd.DataFrame, shifted: tuple[str, ...], reference: str, resamples: int) -> pd.DataFrame:
    """Accuracy kept (`retention.retention`) on each shifted task and setting: base, in_domain_task, task, setting, then its columns.

    No rows where no shifted task is named, or where it shares no setting with the first task.
    """
    columns = ["base", "in_domain_task", "task", "setting", *retention.COLUMNS]
    tables = [pd.DataFrame(columns=columns)]
    for base, first, task, setting, seen, news in _shifts(questions, shifted):
        found = retention.retention(seen, news, reference, resamples)
        tables.append(found.assign(base=base, in_domain_task=first, task=task, setting=setting)[columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def best_table(questions: pd.DataFrame, shifted: tuple[str, ...], resamples: int) -> pd.DataFrame:
    """`best_level.best_level` of α for every task and goal: Mo., Cr., Mul. mAP, rank distance, and accuracy kept on shifted tasks."""
    grid = questions[~questions["strategy"].isin(SCHEDULES)]
    grid, tables = grid.assign(strategy=grid["alpha"]), []
    for (base, task, setting), rows in grid.groupby(["base", "task", "setting"], sort=False):
        for value, goal in (("AP", f"{SHORT_SETTINGS[setting]} mAP"), ("rank_distance", DISTANCE)):
            part = rows.dropna(subset=[value]).assign(value=lambda r, value=value: r[value])
            if len(part):
                found = best_level.best_level(part, lower_is_better=goal == DISTANCE, resamples=resamples)
                tables.append(found.assign(base=base, task=task, goal=goal))
    for base, _, task, setting, seen, news in _shifts(grid, shifted):
        found = best_level.best_level(news, in_domain=seen, resamples=resamples)
        tables.append(found.assign(base=base, task=task, goal=f"{SHORT_SETTINGS[setting]} {KEPT}"))
    return pd.concat(tables, ignore_index=True).rename(columns={"level": "alpha"})[BEST]


def mix_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of every measure: tasks and mixes as rows."""
    names = table["setting"].map(SHORT_SETTINGS) + " " + table["metric"]
    rows = table.assign(measure=names.where(table["metric"] != DISTANCE, DISTANCE), mix=_labels(table))
    cells = rows.groupby(["task", "mix", "measure"], sort=False)["value"].agg(["mean", "std", "size"]).reset_index()
    digits = [0 if measure == DISTANCE else 3 for measure in cells["measure"]]
    cells["cell"] = [
        f"{mean:,.{d}f}" + (f" ± {std:,.{d}f}" if size > 1 else "")
        for mean, std, size, d in zip(cells["mean"], cells["std"], cells["size"], digits, strict=True)
    ]
    wide = cells.pivot(index=["task", "mix"], columns="measure", values="cell")
    order = [key for key in product(rows["task"].unique(), rows["mix"].unique()) if key in wide.index]
    return wide.loc[order, rows["measure"].unique()].fillna("")


def tests_summary(tests: pd.DataFrame) -> pd.DataFrame:
    """Difference from the reference by task and mix (rows) and measure (columns); * where p_holm < .05 and the seeds agree on the sign."""
    names = tests["setting"].map(SHORT_SETTINGS) + " mAP"
    rows = tests.assign(measure=names.where(tests["measure"] == "AP", DISTANCE))
    rows["cell"] = [
        f"{row.mean_difference:+,.{0 if row.measure == DISTANCE else 3}f}{'' if verdict(row) == LEVEL else ' *'}"
        for row in rows.itertuples()
    ]
    wide = rows.pivot(index=["task", "strategy"], columns="measure", values="cell")
    order = [key for key in product(rows["task"].unique(), rows["strategy"].unique()) if key in wide.index]
    return wide.loc[order, rows["measure"].unique()].rename_axis(index={"strategy": "mix"}).fillna("")


def best_summary(best: pd.DataFrame) -> pd.DataFrame:
    """A row per task and goal: the recommended α, its interval, in how many resamples it wins, and the α that are not clearly worse."""
    rows = {}
    for (task, goal), part in best.groupby(["task", "goal"], sort=False):
        chosen = part[part["alpha"] == part["best"]].iloc[0]
        among = ", ".join(f"{alpha:g}" for alpha in part.loc[part["among_best"], "alpha"])
        about = {"recommended α": chosen["alpha"], "value": round(chosen["value"], 3), "95 % interval": _interval(chosen)}
        rows[task, goal] = about | {"wins": f"{chosen['wins']:.0%}", "not clearly worse": among, "questions": chosen["n_groups"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["task", "goal"])


def _interval(row: pd.Series) -> str:
    return f"{row['low']:g} to {row['high']:g}"


def _labels(table: pd.DataFrame) -> np.ndarray:
    """`mix_label` of every row."""
    number = table.groupby(["strategy", "alpha"], sort=False).ngroup()
    mixes = table[["strategy", "alpha"]].drop_duplicates()
    return np.array([mix_label(*mix) for mix in mixes.itertuples(index=False, name=None)], dtype=object)[number]


def _of_study(table: pd.DataFrame) -> pd.DataFrame:
    """Without the lines that were not trained."""
    return table[(table["base"] != REFERENCE) & ~table["strategy"].isin(NOT_TRAINED)]


def _shifts(questions: pd.DataFrame, shifted: tuple[str, ...]) -> Iterator[tuple]:
    """(base, first task, shifted task, setting, in-domain values, shifted values) wherever both tasks have the setting."""
    first = questions["task"].iloc[0]
    values = questions.rename(columns={"AP": "value"})[["base", "task", "setting", "strategy", "seed", "group", "value"]]
    parts = dict(list(values.groupby(["base", "task", "setting"], sort=False)))
    for base in values["base"].unique():
        for task in shifted:
            for setting in SHORT_SETTINGS:
                if (base, first, setting) in parts and (base, task, setting) in parts and task != first:
                    yield base, first, task, setting, parts[base, first, setting], parts[base, task, setting]


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
    for setting, short in SHORT_SETTINGS.items():
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
    return DISTANCE if row.measure == "rank_distance" else f"{SHORT_SETTINGS[row.setting]} mAP"


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
            moved += [f"{SHORT_SETTINGS[setting]} of {task}"] if told else []
            low, high, there = grid["kept"].idxmin(), grid["kept"].idxmax(), grid["shifted"]
            sentences.append(
                f"{SHORT_SETTINGS[setting]} mAP kept on {task} (share of {first}): {grid['kept'][low]:.3f} ({low}) to "
                f"{grid['kept'][high]:.3f} "
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
