"""Tables of notebook 05: every measure of every mix, the paired tests against the reference α, accuracy kept, and the best α per goal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from ..data.batching import SCHEDULES
from ..rank import best_level, retention
from ..steps.evaluation import NOT_TRAINED, REFERENCE, Evaluations
from ..steps.mixing import mix_label
from .findings import LEVEL, verdict
from .style import SETTINGS
from .tables import test_table

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
        for value, goal in (("AP", f"{SETTINGS[setting]} mAP"), ("rank_distance", DISTANCE)):
            part = rows.dropna(subset=[value]).assign(value=lambda r, value=value: r[value])
            if len(part):
                found = best_level.best_level(part, lower_is_better=goal == DISTANCE, resamples=resamples)
                tables.append(found.assign(base=base, task=task, goal=goal))
    for base, _, task, setting, seen, news in _shifts(grid, shifted):
        found = best_level.best_level(news, in_domain=seen, resamples=resamples)
        tables.append(found.assign(base=base, task=task, goal=f"{SETTINGS[setting]} {KEPT}"))
    return pd.concat(tables, ignore_index=True).rename(columns={"level": "alpha"})[BEST]


def mix_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of every measure: tasks and mixes as rows."""
    names = table["setting"].map(SETTINGS) + " " + table["metric"]
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
    names = tests["setting"].map(SETTINGS) + " mAP"
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
            for setting in SETTINGS:
                if (base, first, setting) in parts and (base, task, setting) in parts and task != first:
                    yield base, first, task, setting, parts[base, first, setting], parts[base, task, setting]
