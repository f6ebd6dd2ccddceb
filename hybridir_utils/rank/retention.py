"""How much of its in-domain accuracy does a strategy keep under domain shift, and does it keep more than another?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..base.errors import InputError, UnknownName
from .significance import check_values, group_counts, holm, over_seeds, seed_interval

COLUMNS = ["strategy", "in_domain", "shifted", "kept", "kept_low", "kept_high", "baseline", "difference", "low", "high", "p", "p_holm"]
COLUMNS += ["n_groups", "n_seeds", "seed_low", "seed_high", "note"]


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
        drawn = np.concatenate([_kept(n @ sums, n @ sizes, m @ sums2, m @ sizes2) for n, m in draws])  # [resamples, strategies]
        means = (sums.sum(0) / sizes.sum(), sums2.sum(0) / sizes2.sum())
        kept = means[1] / means[0]
        per_seed = _per_seed(tables)
    rows = []
    for i, strategy in enumerate(strategies):
        row = {"strategy": strategy, "in_domain": means[0][i], "shifted": means[1][i], "kept": kept[i], "baseline": baseline}
        row |= _interval(drawn[:, i], "kept_low", "kept_high") | {"n_groups": len(groups.union(groups2))}
        rows.append(row | _against(kept[i] - kept[0], drawn[:, i] - drawn[:, 0], per_seed, strategy, baseline))
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p"].to_numpy())
    return table.reindex(columns=COLUMNS)


def _strategies(tables: tuple[pd.DataFrame, pd.DataFrame], baseline: str) -> list[str]:
    """Strategies of both tables, the baseline first; their seeds must agree."""
    for table in tables:
        check_values(table)
    strategies = tables[0]["strategy"].unique().tolist()
    if baseline not in strategies:
        raise UnknownName("baseline strategy", baseline, strategies)
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


def _kept(sums: np.ndarray, sizes: np.ndarray, shifted_sums: np.ndarray, shifted_sizes: np.ndarray) -> np.ndarray:
    return (shifted_sums / shifted_sizes[:, None]) / (sums / sizes[:, None])


def _per_seed(tables: tuple[pd.DataFrame, pd.DataFrame]) -> pd.Series:
    """Share kept by strategy and seed; NaN where there is nothing to keep."""
    in_domain, shifted = (table.groupby(["strategy", "seed"])["value"].mean() for table in tables)
    return shifted / in_domain.where(in_domain != 0)


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
