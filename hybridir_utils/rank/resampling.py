"""What other questions and training runs might have given: resamples, with replacement, of groups of translations and of seeds.

`retention`: how much of its in-domain accuracy a strategy keeps under domain shift, and whether it keeps more than another. `best_level`:
which level of a setting (such as α) is best, and how sure that is; the best one is looked for again in every resample, with the same
queries and seeds for all levels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from .significance import check_values, clear_direction, compare, draw_counts, group_counts, holm, over_seeds, seed_interval

KEPT_COLUMNS = ["strategy", "in_domain", "shifted", "kept", "kept_low", "kept_high", "baseline", "difference", "low", "high", "p", "p_holm"]
KEPT_COLUMNS += ["n_groups", "n_seeds", "seed_low", "seed_high", "note"]
BEST_COLUMNS = ["level", "value", "wins", "p_holm", "among_best", "best", "low", "high", "n_groups", "n_seeds", "note"]
ONE_SEED = "one seed: the interval says nothing about other training runs"


def retention(in_domain: pd.DataFrame, shifted: pd.DataFrame, baseline: str, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Accuracy kept under shift by every strategy, and its paired difference from the baseline's.

    in_domain, shifted: one row per query and training seed, columns strategy, seed, group (id shared by the translations of a query),
    value (a measure that is not negative, higher is better). Values are first averaged over seeds. A row per strategy, the baseline's
    first, with the columns

    * in_domain, shifted: mean over the queries of each; kept = shifted / in_domain; kept_low, kept_high: its 95 % percentile bootstrap
      interval over groups. Groups that both tables hold are resampled jointly, the others of each table by themselves;
    * difference = kept - the baseline's kept; low, high: its interval in the same resamples; p: two-sided bootstrap p-value, twice the
      smaller share of resamples on one side of 0, with +1 in numerator and denominator; p_holm: corrected over the strategies compared
      (Holm 1979). NaN in the baseline's own row;
    * n_groups: different groups of both tables; n_seeds; seed_low, seed_high: 95 % t-interval of the difference over the seeds both were
      trained with; NaN below two, and `note` then says what cannot be concluded.

    Where an in-domain mean can be 0 (observed, or in a resample) a share is not defined: NaN, and the note says so. Raises InputError
    for a missing column, an empty value, a strategy that one table lacks, or queries that differ between strategies or seeds;
    UnknownName for an unknown baseline.
    """
    tables = (in_domain, shifted)
    strategies = _strategies(tables, baseline)
    (sums, sizes, groups), (sums2, sizes2, groups2) = (_by_group(table, strategies) for table in tables)
    draws = group_counts(groups, groups2, resamples, np.random.default_rng(seed))
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = ([(n @ sums, n @ sizes[:, None]), (m @ sums2, m @ sizes2[:, None])] for n, m in draws)
        drawn = np.concatenate([_goal(both) for both in sides])  # [resamples, strategies]
        means = (sums.sum(0) / sizes.sum(), sums2.sum(0) / sizes2.sum())
        kept = means[1] / means[0]
    seen, news = (table.groupby(["strategy", "seed"])["value"].mean() for table in tables)
    per_seed = news / seen.where(seen != 0)
    rows = []
    for i, strategy in enumerate(strategies):
        row = {"strategy": strategy, "in_domain": means[0][i], "shifted": means[1][i], "kept": kept[i], "baseline": baseline}
        row |= _interval(drawn[:, i], "kept_low", "kept_high") | {"n_groups": len(groups.union(groups2))}
        rows.append(row | _against(kept[i] - kept[0], drawn[:, i] - drawn[:, 0], per_seed, strategy, baseline))
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].to_numpy())
    return table.reindex(columns=KEPT_COLUMNS)


def _strategies(tables: tuple[pd.DataFrame, pd.DataFrame], baseline: str) -> list[str]:
    """Strategies of both tables, the baseline first; their seeds must agree."""
    for table in tables:
        check_values(table)
    strategies = tables[0]["strategy"].unique().tolist()
    need_known("baseline strategy", [baseline], strategies)
    runs = [set(table[["strategy", "seed"]].drop_duplicates().itertuples(index=False, name=None)) for table in tables]
    if runs[0] != runs[1]:
        strategy, seed = sorted(runs[0] ^ runs[1])[0]
        where = ("in-domain", "shifted")[(strategy, seed) in runs[0]]
        raise InputError(f"retention: strategy {strategy!r}, seed {seed}, has no values on the {where} task; evaluate it on both tasks.")
    return [baseline, *(name for name in strategies if name != baseline)]


def _by_group(table: pd.DataFrame, strategies: list[str]) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """[G, strategies] sums over the group's queries of the mean over seeds, [G] numbers of queries, and the groups."""
    cells = table.groupby(["strategy", "seed", "group"], sort=True)["value"].agg(["sum", "size"])
    parts = [over_seeds(cells, strategy) for strategy in strategies]
    for strategy, part in zip(strategies, parts, strict=True):
        if not part["size"].equals(parts[0]["size"]):
            raise InputError(
                f"retention: strategies {strategies[0]!r} and {strategy!r} have different queries of one task; evaluate both on the same."
            )
    return np.stack([part["sum"] for part in parts], axis=1), parts[0]["size"].to_numpy(dtype=float), parts[0].index


def _interval(drawn: np.ndarray, low: str, high: str) -> dict:
    quantiles = np.quantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).all() else (np.nan, np.nan)
    return dict(zip((low, high), quantiles, strict=True))


def _against(difference: float, drawn: np.ndarray, per_seed: pd.Series, strategy: str, baseline: str) -> dict:
    """Difference from the baseline with its interval, p-value and interval over seeds."""
    seeds = seed_interval(per_seed, strategy, baseline)
    if not np.isfinite(drawn).all():
        seeds["note"] = "in-domain mean 0 in some resamples: the share kept is not defined"
    if strategy == baseline or not np.isfinite(drawn).all():
        return {"difference": np.nan, "low": np.nan, "high": np.nan, "p": np.nan} | seeds | {"seed_low": np.nan, "seed_high": np.nan}
    rounding = 1e-12  # equal up to float rounding counts for both sides, which is the careful one
    one_side = min(np.count_nonzero(drawn <= rounding), np.count_nonzero(drawn >= -rounding))
    p = min(1.0, 2 * (one_side + 1) / (len(drawn) + 1))
    return {"difference": difference, **_interval(drawn, "low", "high"), "p": p} | seeds


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
    best = levels[_highest(sign * observed[None]).argmax()]
    chosen = levels[(_highest(sign * drawn) * rng.random(drawn.shape)).argmax(axis=1)]
    low, high = np.quantile(chosen, [0.025, 0.975], method="inverted_cdf")
    wins = [float((chosen == level).mean()) for level in levels]
    groups = cubes[0][2] if in_domain is None else cubes[0][2].union(cubes[1][2])
    about = {"best": best, "low": low, "high": high, "n_groups": len(groups), "n_seeds": cubes[0][0].shape[1]}
    about["note"] = "" if about["n_seeds"] > 1 else ONE_SEED
    tested = _against_best(tables, best, sign, resamples, seed).reindex(levels)
    return pd.DataFrame({"level": levels, "value": observed, "wins": wins, **about, **tested.to_dict("list")})[BEST_COLUMNS]


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
    """[resamples, L]: the mean of the one task, or the second task's mean over the first's; sides: of each task sums and sizes."""
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
