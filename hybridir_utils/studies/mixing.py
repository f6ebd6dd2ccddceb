"""Study S2 (notebook 05): encoders over a grid of α, the share of monolingual batches, and over schedules; tables, and what they say.

The reference is the grid's α nearest to the profile's; every other mix is tested against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..data.batching import SCHEDULES
from ..data.register import is_search_task
from ..experiment.encoders import EncoderKey, trained_encoders
from ..experiment.evaluation import Evaluations, evaluate
from ..experiment.profile import Profile
from ..experiment.run import Run
from ..rank import resampling
from ..results.findings import AHEAD, BEHIND, on_resamples, on_seeds, verdict
from ..results.style import SHORT_SETTINGS
from ..results.tables import LOWER_IS_BETTER, TEST_COLUMNS, cell, column_names, macro, stack, test_table, trained, with_spread
from .shift import shifts

ENDS = {0.0: "X-Y", 1.0: "X-X-mono"}  # what hybrid batches are at the ends of the grid, and what notebook 02 calls them
STABLE = (0.4, 0.6)  # where the paper calls the method stable (arXiv 2408.10536, §3)
DISTANCE, KEPT = "rank distance", "kept"
UNTESTED = "A single group of parallel questions is asked: whether mixes differ, and which is best, cannot be tested."
NO_TRADE = "No task has both a monolingual and a cross-lingual mAP, so that neither can be bought with the other."
COLUMNS = ["base", "strategy", "alpha", "seed", "task", "setting", "metric", "value"]
BEST = ["base", "task", "goal", "alpha", *resampling.BEST_COLUMNS[1:]]
KEPT_COLUMNS = ["base", "in_domain_task", "task", "setting", *resampling.KEPT_COLUMNS]


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
    return [EncoderKey(profile.bases[0], *mix, seed) for mix, seed in product(mixes, mixing_seeds(profile))]


def mixing_seeds(profile: Profile) -> tuple[int, ...]:
    """The seeds of every mix; where a training is long, fewer than those of notebook 02."""
    return profile.alpha_seeds or profile.seeds


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


def mixing_table(evaluations: Evaluations, shifted: tuple[str, ...] = ()) -> pd.DataFrame:
    """COLUMNS: macro mAP of each setting and the rank distance of every encoder of the study, and on shifted tasks the share kept.

    metric `kept`: mAP divided by that of the same encoder on the first of the evaluated tasks. No rank distance for tasks in one language.
    """
    scores, bias = macro(trained(evaluations.table("scores"))), macro(trained(evaluations.table("bias")), "")
    bias = bias[(bias["measure"] == DISTANCE) & bias["task"].isin(multilingual_tasks(scores))]
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
    rows = trained(evaluations.table("questions"))
    distances = rows["rank_distance"].where(rows["task"].isin(multilingual_tasks(rows)))
    rows = rows.assign(strategy=list(map(mix_label, rows["strategy"], rows["alpha"])), rank_distance=distances)
    return rows[["base", "strategy", "alpha", "seed", "task", "setting", "group", "AP", "rank_distance"]]


def mixing_tests(questions: pd.DataFrame, reference: str, resamples: int) -> pd.DataFrame:
    """Paired tests (`tables.test_table`) of every mix against the reference, mAP by setting, then rank distance."""
    return stack([test_table(questions, value, resamples, reference) for value in ("AP", "rank_distance")], TEST_COLUMNS)


def kept_table(questions: pd.DataFrame, shifted: tuple[str, ...], reference: str, resamples: int) -> pd.DataFrame:
    """KEPT_COLUMNS: accuracy kept (`resampling.retention`) on each shifted task and setting.

    No rows where no shifted task is named, or where it shares no setting with the first task.
    """
    first = questions["task"].iloc[0]
    tables = [
        resampling.retention(seen, news, reference, resamples).assign(in_domain_task=first, **place)
        for place, seen, news in shifts(questions, first, shifted)
    ]
    return stack(tables, KEPT_COLUMNS)


def best_table(questions: pd.DataFrame, shifted: tuple[str, ...], resamples: int) -> pd.DataFrame:
    """`resampling.best_level` of α for every task and goal: Mo., Cr., Mul. mAP, rank distance, and accuracy kept on shifted tasks.

    No rows where a single group of parallel questions is asked.
    """
    grid = questions[~questions["strategy"].isin(SCHEDULES)]
    grid, tables = grid.assign(strategy=grid["alpha"]), []
    for (base, task, setting), rows in grid.groupby(["base", "task", "setting"], sort=False):
        for value, goal in (("AP", f"{SHORT_SETTINGS[setting]} mAP"), ("rank_distance", DISTANCE)):
            part = rows.dropna(subset=[value]).assign(value=lambda r, value=value: r[value])
            if part["group"].nunique() > 1:
                found = resampling.best_level(part, lower_is_better=goal == DISTANCE, resamples=resamples)
                tables.append(found.assign(base=base, task=task, goal=goal))
    for place, seen, news in shifts(grid, grid["task"].iloc[0], shifted):
        if min(seen["group"].nunique(), news["group"].nunique()) > 1 and news["value"].mean() < seen["value"].mean():
            found = resampling.best_level(news, in_domain=seen, resamples=resamples)
            tables.append(found.assign(**place, goal=f"{SHORT_SETTINGS[place['setting']]} {KEPT}"))
    return stack([table.rename(columns={"level": "alpha"}) for table in tables], BEST)


def mix_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of every measure: tasks and mixes as rows."""
    rows = table.assign(measure=column_names(table), strategy=list(map(mix_label, table["strategy"], table["alpha"])))
    cells = {
        key: with_spread(values, 0 if key[-1] == DISTANCE else 3)
        for key, values in rows.groupby(["task", "strategy", "measure"], sort=False)["value"]
    }
    wide = pd.Series(cells).rename_axis(["task", "strategy", "measure"]).unstack("measure")
    order = [key for key in product(rows["task"].unique(), rows["strategy"].unique()) if key in wide.index]
    return wide.loc[order, rows["measure"].unique()].rename_axis(columns=None).fillna("")


def harder(kept: pd.DataFrame, share: str) -> pd.DataFrame:
    """Rows of shifted tasks that are harder than the first one; where more is found than there, a share is no part that was kept."""
    return kept[kept.groupby("task")[share].transform("max") <= 1]


def kept_summary(kept: pd.DataFrame) -> pd.DataFrame:
    """Share kept [its interval] by task, mix and setting, with a star where a mix differs clearly from the reference."""
    cells = [
        f"{row.kept:.3f} [{row.kept_low:.3f}, {row.kept_high:.3f}]" + " *" * (verdict(row) in (AHEAD, BEHIND)) for row in kept.itertuples()
    ]
    wide = kept.assign(cell=cells, column=kept["setting"].map(SHORT_SETTINGS) + f" {KEPT}")
    wide = wide.pivot(index=["task", "strategy"], columns="column", values="cell")[list(dict.fromkeys(wide["column"]))]
    names = [*sorted({*kept["strategy"]} - {*SCHEDULES}), *SCHEDULES]
    return wide.loc[[key for key in product(kept["task"].unique(), names) if key in wide.index]].fillna("")


def best_summary(best: pd.DataFrame) -> pd.DataFrame:
    """A row per task and goal: the recommended α, its interval, in how many resamples it wins, and the α that are not clearly worse."""
    rows = {}
    for (task, goal), part in best.groupby(["task", "goal"], sort=False):
        chosen = part[part["alpha"] == part["best"]].iloc[0]
        among = ", ".join(f"{alpha:g}" for alpha in part.loc[part["among_best"], "alpha"])
        about = {
            "recommended α": f"{chosen['alpha']:g}",
            "value": cell(chosen["value"], in_ranks=goal == DISTANCE),
            "95 % interval": f"{chosen['low']:g} to {chosen['high']:g}",
        }
        rows[task, goal] = about | {"wins": f"{chosen['wins']:.0%}", "not clearly worse": among, "questions": chosen["n_groups"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["task", "goal"]) if rows else pd.DataFrame()


def on_curves(table: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """`on_stability` and `on_schedules`, with the reference that the tests were made against."""
    if tests.empty:
        return [UNTESTED]
    labels = {mix_label("hybrid", alpha): alpha for alpha in table["alpha"].unique()}
    reference = labels[tests["baseline"].iloc[0]]
    return on_stability(table, tests, reference) + on_schedules(tests, reference)


def on_stability(table: pd.DataFrame, tests: pd.DataFrame, reference: float) -> list[str]:
    """How far each measure moves over `_band` and over the whole grid, whether a test tells it from the reference there, and what that says
    of the α from 0.4 to 0.6.
    """
    grid = table[~table["strategy"].isin(SCHEDULES) & (table["metric"] != KEPT)]
    if not (band := _band(grid["alpha"].unique(), reference)):
        return [
            "Whether α is stable from 0.4 to 0.6, as the paper says, is not tested: no α there, or on each side, goes with the reference."
        ]
    if tests.empty:
        return [UNTESTED]
    between, sentences, moved, shares = f"{band[0]:g} and {band[-1]:g}", [], [], []
    for task, rows in grid.groupby("task", sort=False):
        spans = _spans(rows, band)
        shares += [within / whole for within, whole in spans.values() if whole]
        clear = _clear(tests[tests["task"] == task], [f"α = {alpha:g}" for alpha in band])
        moved += [task] if clear else []
        told = (
            f"clearly different from α = {reference:g}: {', '.join(clear)}" if clear else f"nothing differs clearly from α = {reference:g}"
        )
        moves = ", ".join(
            f"{measure} {_number(within, measure)} of {_number(whole, measure)}" for measure, (within, whole) in spans.items()
        )
        sentences.append(f"{task}, what α between {between} moves, of what the whole grid moves: {moves}; {told}.")
    bounds = dict.fromkeys(f"{share(shares):.0%}" for share in (min, max)) if shares else ()
    size = f"; over these, measures move by {' to '.join(bounds)} of their range over all α" if shares else ""
    alone = ", one seed" if grid["seed"].nunique() == 1 else ""
    tested = f"tested: α = {', '.join(f'{alpha:g}' for alpha in band)}{alone}"
    return [*sentences, f'The paper\'s "stable for 0.4 to 0.6" {_held(moved, between, band)} ({tested}){size}.']


def _band(alphas: Iterable[float], reference: float) -> list[float]:
    """The α by which stability is tested: those from 0.4 to 0.6, and where the reference has no other there, the nearest on its two sides.

    None where neither is in the grid.
    """
    inside = sorted(alpha for alpha in alphas if STABLE[0] <= alpha <= STABLE[1])
    if reference not in inside or len(inside) > 1:
        return inside if reference in inside else []
    below, above = ([alpha for alpha in alphas if (alpha - reference) * sign > 0] for sign in (-1, 1))
    return [max(below), reference, min(above)] if below and above else []


def _held(moved: list[str], between: str, band: list[float]) -> str:
    """What the tests over the band say of 0.4 to 0.6: of a wider band, more where nothing differs, and nothing where something does."""
    if STABLE[0] <= band[0] and band[-1] <= STABLE[1]:
        return f"does not hold by these tests on {', '.join(moved)}" if moved else "is not contradicted by any test here"
    if moved:
        return f"is left open: the nearest α, {between}, differ clearly on {', '.join(moved)}, which says nothing of those from 0.4 to 0.6"
    return f"is not contradicted: even between {between} nothing differs clearly"


def _spans(rows: pd.DataFrame, band: list[float]) -> dict[str, tuple[float, float]]:
    """Measure -> highest minus lowest mean over seeds, of the α of the band and of all."""
    means = rows.assign(measure=column_names(rows)).groupby(["measure", "alpha"], sort=False)["value"].mean().unstack("measure")
    spans = pd.concat([part.max() - part.min() for part in (means.loc[band], means)], axis=1)
    return {measure: (within, whole) for measure, within, whole in spans.itertuples(name=None)}


def _number(value: float, measure: str) -> str:
    return f"{value:,.0f}" if measure == DISTANCE else f"{value:.3f}"


def _clear(tests: pd.DataFrame, mixes: list[str], verdicts: tuple[str, ...] = (AHEAD, BEHIND)) -> list[str]:
    """`measure mix (difference)` of the tested rows of some mixes in which the reference has one of the verdicts."""
    rows = tests[tests["strategy"].isin(mixes)].assign(goal=lambda rows: column_names(rows, "measure"))
    return [f"{row.goal} of {row.strategy} ({_signed(row)})" for row in rows.itertuples() if verdict(row) in verdicts]


def _signed(row) -> str:
    return f"{row.mean_difference:+z,.0f} ranks" if row.measure in LOWER_IS_BETTER else f"{row.mean_difference:+z.3f}"


def on_pareto(mixing: pd.DataFrame) -> list[str]:
    """The mixes that no other beats in both monolingual and cross-lingual mAP, by task."""
    sentences = []
    for task, wide in traded(mixing).items():
        points = wide["mean"]
        front = points[pareto_front(points)].sort_values("monolingual")
        told = [
            f"{mix_label(strategy, alpha)} ({mono:.3f}, {cross:.3f})"
            for (strategy, alpha), (mono, cross) in zip(front.index, front.to_numpy(), strict=True)
        ]
        sentences.append(f"{task}, mixes on the front (Mo. mAP, Cr. mAP): {', '.join(told)}.")
    return sentences or [NO_TRADE]


def traded(mixing: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Task -> Mo. and Cr. mAP of every mix (mean, min and max over seeds), of the tasks that have both settings."""
    rows, both = mixing[mixing["metric"] == "mAP"], ["monolingual", "cross-lingual"]
    rows = rows[rows["setting"].isin(both)]
    return {
        task: part.pivot_table(index=["strategy", "alpha"], columns="setting", values="value", aggfunc=["mean", "min", "max"])[
            [(side, setting) for side in ("mean", "min", "max") for setting in both]
        ]
        for task, part in rows.groupby("task", sort=False)
        if part["setting"].nunique() > 1
    }


def pareto_front(points: pd.DataFrame) -> pd.Series:
    """[rows] bool: no other point is at least as high in every column and higher in one."""
    values = points.to_numpy()
    beaten = [((values >= own).all(1) & (values > own).any(1)).any() for own in values]
    return ~pd.Series(beaten, index=points.index)


def on_best(best: pd.DataFrame) -> list[str]:
    """The recommended α of every goal with its interval, and the α that no goal speaks against."""
    if best.empty:
        return []
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
        return [*sentences, f"Among the best for each of the {goals} goals: α = {', '.join(good)}."]
    counts = best.groupby("alpha")["among_best"].sum()
    most = f"α = {counts.idxmax():g}, among the best for {counts.max()} of them"
    return [*sentences, f"No α is among the best for all {goals} goals: which one to take depends on the goal. The least bad is {most}."]


def on_schedules(tests: pd.DataFrame, reference: float) -> list[str]:
    """Where each order of the batches is clearly better or worse than the constant mix of the same α."""
    if tests.empty:
        return []
    sentences, ahead = [], []
    for schedule in [name for name in SCHEDULES if name in set(tests["strategy"])]:
        rows = tests[tests["strategy"] == schedule]
        found = {}
        for word, verdict_ in (("better", BEHIND), ("worse", AHEAD)):
            places = {task: _clear(part, [schedule], (verdict_,)) for task, part in rows.groupby("task", sort=False)}
            found[word] = [f"{task} {told}".replace(f" of {schedule}", "") for task, clear in places.items() for told in clear]
        ahead += [schedule] if found["better"] else []
        told = "".join(f" clearly {word}: {', '.join(places)};" for word, places in found.items() if places)
        level = len(rows) - sum(map(len, found.values()))
        sentences.append(
            f"{schedule} against the constant mix, α = {reference:g}:{told} no clear difference in {level} of {len(rows)} measures."
        )
    if not sentences:
        return ["No schedule was trained: whether an order beats the constant mix is not measured here."]
    some = f"Clearly better than the constant mix in some measure: {', '.join(ahead)}"
    beats = some if ahead else "No schedule beats the constant mix in any measure"
    return [*sentences, f"{beats} (paired tests, corrected over all mixes)."]


def on_kept(kept: pd.DataFrame, reference: float) -> list[str]:
    """What share of the in-domain accuracy each end keeps under shift, and which mixes keep clearly more or less than the reference."""
    moved, lost = [], harder(kept, "kept")
    easier = kept[~kept["task"].isin(lost["task"])].groupby("task", sort=False)["in_domain_task"].first()
    sentences = [f"{task}: easier than {first}, so that no share was kept or lost." for task, first in easier.items()]
    for (first, task, setting), rows in lost.groupby(["in_domain_task", "task", "setting"], sort=False):
        told = _kept_clearly(rows, reference)
        moved += [f"{SHORT_SETTINGS[setting]} of {task}"] if told else []
        grid = rows[~rows["strategy"].isin(SCHEDULES)].set_index("strategy")
        there = grid["shifted"]
        low, high, best = grid["kept"].idxmin(), grid["kept"].idxmax(), there.idxmax()
        sentences.append(
            f"{SHORT_SETTINGS[setting]} mAP kept on {task} (share of {first}): {grid['kept'][low]:.3f} ({low}) to {grid['kept'][high]:.3f} "
            f"({high}){told or '; no mix is clearly different from the reference'}. Highest mAP there: {best} "
            f"({there[best]:.3f}{f'; {high} has {there[high]:.3f}' if high != best else ''})."
        )
    if moved:
        return [*sentences, f"The mix does change how much accuracy is kept under shift: {', '.join(moved)}."]
    return [*sentences, *["No mix keeps clearly more or less accuracy than the reference."] * (len(lost) > 0)]


def _kept_clearly(rows: pd.DataFrame, reference: float) -> str:
    sides = {word: [row for row in rows.itertuples() if verdict(row) == found] for word, found in (("more", BEHIND), ("less", AHEAD))}
    return "".join(
        f"; clearly {word} than α = {reference:g}: {', '.join(f'{row.strategy} ({row.difference:+z.3f})' for row in found)}"
        for word, found in sides.items()
        if found
    )


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
    sentences += on_seeds(mixing_seeds(profile))
    if reference_alpha(profile) != profile.alpha:
        sentences.append(f"The grid has no α = {profile.alpha:g}; α = {reference_alpha(profile):g}, the nearest, is the reference.")
    comparisons = len({(key.strategy, key.alpha) for key in mixing_keys(profile)}) - 1
    of_kept = on_resamples(profile.resamples, comparisons, 2, " of the share kept") if shifted_tasks(profile) else []
    return sentences + (on_resamples(profile.resamples, comparisons) or of_kept)
