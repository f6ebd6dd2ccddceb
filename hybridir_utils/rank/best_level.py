"""Which level of a setting (such as α) is best, and how sure is that? The best one is looked for again in every resample.

Levels are compared on the same queries and seeds. Queries (by groups of translations) and training seeds are drawn together, with
replacement, the same ones for all levels; what differs between resamples is thus what another test set and other training runs might
have given.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..base.errors import InputError
from .retention import retention
from .significance import check_values, clear_direction, compare, draw_counts, group_counts

COLUMNS = ["level", "value", "wins", "p_holm", "among_best", "best", "low", "high", "n_groups", "n_seeds", "note"]
ONE_SEED = "one seed: the interval says nothing about other training runs"


def best_level(
    values: pd.DataFrame, lower_is_better: bool = False, in_domain: pd.DataFrame | None = None, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The best level of a numeric setting, its interval, and the levels that are not clearly worse.

    values: one row per query and training seed, columns strategy (the level, a number), seed, group, value. in_domain: the same of
    another task; the goal is then the share kept, mean of `values` / mean of `in_domain` (`retention`). One row per level, ascending:

    * value: the goal's observed value; wins: share of the resamples in which the level is the best one (ties, up to rounding,
      fall to each of them alike);
    * p_holm: of the paired test against the observed best (`significance.compare`, or `retention`), corrected over the levels; NaN for
      the best itself. among_best: not clearly worse (`significance.clear_direction`). The best was chosen on the same data, so the set
      errs on the small side;
    * best, low, high (the same in every row): the observed best level and the 95 % interval of the best one over resamples of groups
      and seeds together; n_groups, n_seeds, note.

    Raises InputError for fewer than two levels, or levels that differ in their seeds or queries.
    """
    tables = [values] if in_domain is None else [in_domain, values]
    levels, cubes = _cubes(tables)
    rng = np.random.default_rng(seed)
    drawn = _drawn_goals(cubes, resamples, rng)  # [resamples, levels]
    observed = _goal([(sums.sum(2).mean(1)[None], sizes.sum()[None, None]) for sums, sizes, _ in cubes])[0]
    sign = -1 if lower_is_better else 1
    best, chosen = (
        levels[_highest(sign * observed[None]).argmax()],
        levels[(_highest(sign * drawn) * rng.random(drawn.shape)).argmax(axis=1)],
    )
    low, high = np.quantile(chosen, [0.025, 0.975], method="inverted_cdf")
    wins = [float((chosen == level).mean()) for level in levels]
    groups = cubes[0][2] if in_domain is None else cubes[0][2].union(cubes[1][2])
    about = {"best": best, "low": low, "high": high, "n_groups": len(groups), "n_seeds": cubes[0][0].shape[1]}
    about["note"] = "" if about["n_seeds"] > 1 else ONE_SEED
    tested = _against_best(tables, best, sign, resamples, seed).reindex(levels)
    return pd.DataFrame({"level": levels, "value": observed, "wins": wins, **about, **tested.to_dict("list")})[COLUMNS]


def _cubes(tables: list[pd.DataFrame]) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, pd.Index]]]:
    """Levels [L], and of every table ([L, seeds, G] sums over a group's queries, [G] numbers of queries, groups)."""
    cubes, runs = [], []
    for table in tables:
        check_values(table)
        cells = table.groupby(["strategy", "seed", "group"])["value"].agg(["sum", "size"]).unstack("group")
        runs.append(cells.index)
        if cells.isna().any(axis=None) or (cells["size"] != cells["size"].iloc[0]).any(axis=None):
            raise InputError("best level: the levels have different queries in one task; evaluate every level and seed on the same ones.")
        cubes.append((cells["sum"].to_numpy(), cells["size"].iloc[0].to_numpy(), cells["sum"].columns))
    levels, seeds = (runs[0].unique(name) for name in ("strategy", "seed"))
    if len(levels) < 2:
        raise InputError(f"best level: expected at least two levels to choose from; found {list(levels)}.")
    if not all(run.equals(pd.MultiIndex.from_product([levels, seeds], names=run.names)) for run in runs):
        raise InputError("best level: expected the same levels and training seeds in every task; train and evaluate what is missing.")
    shape = (len(levels), len(seeds))
    return levels.to_numpy(float), [(sums.reshape(*shape, -1), sizes, groups) for sums, sizes, groups in cubes]


def _drawn_goals(cubes: list, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """[resamples, L] the goal in resamples of groups and seeds."""
    n_seeds, parts = cubes[0][0].shape[1], []
    for counts in group_counts(cubes[0][2], cubes[-1][2], resamples, rng):
        weights = draw_counts(len(counts[0]), n_seeds, rng) / n_seeds
        both = zip(cubes, (counts[0], counts[-1])[: len(cubes)], strict=True)
        sides = [(np.einsum("rg,lsg,rs->rl", n, sums, weights, optimize=True), n @ sizes[:, None]) for (sums, sizes, _), n in both]
        parts.append(_goal(sides))
    return np.concatenate(parts)


def _goal(sides: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """[resamples, L]: the mean of the one task, or the second task's mean over the first's."""
    means = [sums / sizes for sums, sizes in sides]
    with np.errstate(divide="ignore", invalid="ignore"):
        return means[0] if len(means) == 1 else means[1] / means[0]


def _highest(goals: np.ndarray) -> np.ndarray:
    """[rows, L] bool: as high as the row's highest, up to rounding; a share of nothing is never the best."""
    goals = np.where(np.isfinite(goals), goals, -np.inf)
    highest = goals.max(axis=1, keepdims=True)
    return goals >= highest - 1e-12 * np.abs(highest)


def _against_best(tables: list[pd.DataFrame], best: float, sign: int, resamples: int, seed: int) -> pd.DataFrame:
    """p_holm and among_best by level; the best one has no p_holm."""
    if len(tables) == 1:
        tested = compare(tables[0], best, resamples, seed).rename(columns={"mean_difference": "difference"})
    else:
        tested = retention(*tables, best, resamples, seed)
    found = clear_direction(tested["difference"], tested["p_holm"], tested["seed_low"], tested["seed_high"])
    tested["among_best"] = sign * found >= 0
    tested = pd.concat([tested[tested["strategy"] != best], pd.DataFrame({"strategy": [best], "p_holm": [np.nan], "among_best": [True]})])
    return tested.set_index("strategy")[["p_holm", "among_best"]]
