"""Is a difference between training strategies more than chance? Tests over queries, spread over training seeds.

Two sources of chance are kept apart: which queries were drawn (`compare`: p-values, intervals) and which seed the encoder was trained with
(`seed_low` and `seed_high`); what both decide together is said once, in `clear_direction`. Parallel queries (one group in several
languages) are not independent, so the group is the unit that is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from ..base.progress import counted

COLUMNS = ["strategy", "seed", "group", "value"]
TESTED = ["strategy", "baseline", "mean_difference", "low", "high", "p", "p_holm", "effect_size", "n_groups", "n_seeds"]
TESTED += ["seed_low", "seed_high", "note"]  # columns of `compare`
LEVEL = 0.05  # of significance, after correction
BLOCK_CELLS = 2**22  # resamples x groups drawn at once: 34 MB


def compare(per_query: pd.DataFrame, baseline: str, resamples: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Paired comparison of every strategy with `baseline` over the same queries.

    per_query: one row per query and training seed, columns strategy, seed, group (id shared by the translations of a
    query), value (any per-query metric, higher or lower better). Values are first averaged over seeds. Columns:

    * mean_difference (strategy - baseline, mean over queries); low, high: its 95 % t-interval over groups (cluster-robust, Cameron and
      Miller 2015, eq. 11 with G - 1 degrees of freedom), which holds what it promises with seven groups, too, where a percentile
      bootstrap of them covers too little;
    * p: two-sided paired randomisation test, signs flipped by group (Smucker et al. 2007), with +1 in numerator and
      denominator; p_holm: corrected over the strategies compared (Holm 1979);
    * effect_size: Cohen's d_z, mean over standard deviation of the groups' mean differences; n_groups, n_seeds;
    * seed_low, seed_high: 95 % t-interval of the difference over seeds both were trained with; NaN below two seeds,
      and `note` then says what cannot be concluded.

    Memory is bounded by BLOCK_CELLS whatever the number of queries and resamples. Raises InputError when a column is
    missing, a value is empty or a strategy lacks queries the baseline has; UnknownName for an unknown baseline.
    """
    check_values(per_query)
    strategies = per_query["strategy"].unique().tolist()
    need_known("baseline strategy", [baseline], strategies)
    if len(strategies) == 1:
        raise InputError(f"significance: only the baseline {baseline!r} is present; expected another strategy to compare with it.")
    cells = per_query.groupby(["strategy", "seed", "group"], sort=True)["value"].agg(["sum", "size"])
    per_seed = per_query.groupby(["strategy", "seed"])["value"].mean()
    reference = over_seeds(cells, baseline)
    rows = []
    for strategy in counted([name for name in strategies if name != baseline], f"tests against {baseline}", len(strategies) - 1, "test"):
        sums, sizes = _paired(over_seeds(cells, strategy), reference, strategy, baseline)
        tested = _test(sums, sizes, resamples, np.random.default_rng(seed))
        rows.append({"strategy": strategy, "baseline": baseline, **tested, **seed_interval(per_seed, strategy, baseline)})
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"].to_numpy()))
    return table


def clear_direction(difference, p, seed_low, seed_high) -> np.ndarray:
    """1 or -1 where a difference is clear, in its direction, and 0 where it is not: **the** rule for every comparison of the package.

    Clear: the corrected p-value is below LEVEL, and the interval over training seeds lies on the difference's side of 0. With one seed
    there is no interval (NaN), which contradicts nothing: whoever needs two seeds has to ask for them. A p-value of NaN (no test was
    possible) is never clear; p = None says that there is no test over queries, and then the seeds alone decide. Arrays or single numbers.
    """
    sign = np.sign(difference)
    one_seed = np.isnan(seed_low)
    seeds_agree = (sign * seed_low > 0) & (sign * seed_high > 0)
    clear = seeds_agree if p is None else (np.asarray(p) < LEVEL) & (one_seed | seeds_agree)
    return np.where(clear, sign, 0).astype(int)


def smallest_detectable(row) -> float:
    """The difference that a comparison of these groups and seeds shows in four of five cases, before correction.

    row: of `compare` (low, high, n_groups, seed_low, seed_high, n_seeds). A 95 % interval excludes 0 with a probability of .8 where the
    true difference is (t_.975 + t_.8) standard errors; of the intervals over groups and over seeds, the wider asks for more.
    """
    return max(_half(row, share=0.8) + _half(row, share=0.975))


def practically_equal(row, margin: float) -> bool:
    """Two one-sided tests (Schuirmann 1987): the difference lies within ± margin, by the 90 % intervals over groups and over seeds."""
    middles = np.array([(row.low + row.high) / 2, (row.seed_low + row.seed_high) / 2])
    return bool(np.fmax.reduce(np.abs(middles) + _half(row, share=0.95)) < margin)


def _half(row, share: float) -> np.ndarray:
    """[groups, seeds] t-quantile times standard error, told from the 95 % intervals; 0 of one seed, which has none."""
    ends = np.array([[row.low, row.high], [row.seed_low, row.seed_high]], dtype=float)
    counts = [row.n_groups, max(int(row.n_seeds), 2)]
    halves = [np.ptp(end) / 2 * _t_quantile(share, n) / _t_quantile(0.975, n) for end, n in zip(ends, counts, strict=True)]
    return np.nan_to_num(halves)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down correction of p-values [C]: sorted p_i times (C - i), made monotone, at most 1."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p, dtype=float)[order] * np.arange(len(order), 0, -1))
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def check_values(per_query: pd.DataFrame) -> None:
    """Raise InputError unless the table has rows, COLUMNS and no empty cell in them."""
    missing = [column for column in COLUMNS if column not in per_query]
    if missing or per_query.empty:
        raise InputError(f"significance: expected rows with columns {COLUMNS}; missing {missing or 'every row'}.")
    empty = per_query[COLUMNS].isna().any(axis=1)
    if empty.any():
        row = per_query.loc[empty, COLUMNS].iloc[0].to_dict()
        raise InputError(f"significance: {empty.sum()} row(s) with an empty cell, first {row}; score these queries or drop them.")


def over_seeds(cells: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Per group of one strategy: `sum` over its queries of the mean over seeds, and `size`, its number of queries.

    cells: sum and size of the values by strategy, seed and group. Raises InputError where the queries differ between seeds.
    """
    grouped = cells.loc[strategy].groupby("group")
    per_group, least, seeds = grouped[["sum", "size"]].mean(), grouped["size"].min(), grouped.size()
    uneven = (least != per_group["size"]) | (seeds != seeds.max())
    if uneven.any():
        raise InputError(
            f"significance: strategy {strategy!r} has group {uneven.idxmax()} with different queries in different seeds; "
            "evaluate every seed on the same queries."
        )
    return per_group


def _paired(scores: pd.DataFrame, reference: pd.DataFrame, strategy: str, baseline: str) -> tuple[np.ndarray, np.ndarray]:
    """Per group: sum of the differences over its queries, and number of queries; both [G]."""
    if not scores["size"].equals(reference["size"]):
        both = pd.concat([scores["size"], reference["size"]], axis=1, keys=["strategy", "baseline"]).fillna(0)
        group = (both["strategy"] != both["baseline"]).idxmax()
        found = ", ".join(f"{name} has {both.loc[group, column]:g}" for name, column in ((strategy, "strategy"), (baseline, "baseline")))
        raise InputError(f"significance: a paired test needs the same queries; for group {group} {found}. Evaluate both on one task.")
    if len(scores) < 2:
        raise InputError(f"significance: {len(scores)} group of queries; expected two or more to compare {strategy} with {baseline}.")
    return (scores["sum"] - reference["sum"]).to_numpy(), reference["size"].to_numpy(dtype=float)


def _test(sums: np.ndarray, sizes: np.ndarray, resamples: int, rng: np.random.Generator) -> dict:
    means, difference, groups = sums / sizes, sums.sum() / sizes.sum(), len(sums)
    residuals, sd = sums - difference * sizes, means.std(ddof=1)
    clustered_error = np.sqrt(groups / (groups - 1) * (residuals**2).sum()) / sizes.sum()
    half = _t_quantile(0.975, groups) * clustered_error
    return {
        "mean_difference": difference,
        "low": difference - half,
        "high": difference + half,
        "p": _randomisation(sums, resamples, rng),
        "effect_size": means.mean() / sd if sd > 0 else np.nan,
        "n_groups": groups,
    }


def _randomisation(sums: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """p of the total under random signs of the groups' sums."""
    rounding = 1e-9 * np.abs(sums).sum()  # equal up to float rounding counts as equal, which is the careful side
    least, step, as_extreme = abs(sums.sum()) - rounding, max(1, BLOCK_CELLS // len(sums)), 0
    for start in range(0, resamples, step):
        signs = rng.integers(0, 2, size=(min(step, resamples - start), len(sums)), dtype=np.int8) * 2.0 - 1.0
        as_extreme += np.count_nonzero(np.abs(signs @ sums) >= least)
    return (as_extreme + 1) / (resamples + 1)


def _t_quantile(share: float, values: int) -> float:
    """Of the mean of so many values."""
    from scipy import stats

    return stats.t.ppf(share, values - 1)


def seed_interval(per_seed: pd.Series, strategy: str, baseline: str) -> dict:
    """The 95 % t-interval of strategy - baseline over the seeds both have (seed_low, seed_high), a note below two of them, and n_seeds: how
    many these are, and where there are none the strategy's own.

    per_seed: a value by strategy and seed.
    """
    differences = (per_seed[strategy] - per_seed[baseline]).dropna().to_numpy()
    n, low, high = len(differences), np.nan, np.nan
    if n > 1:
        mean, half = differences.mean(), _t_quantile(0.975, n) * differences.std(ddof=1) / np.sqrt(n)
        low, high = mean - half, mean + half
    note = "" if n > 1 else f"{n} shared seed(s): the test says nothing about other training runs"
    return {"n_seeds": n or per_seed[strategy].size, "seed_low": low, "seed_high": high, "note": note}


def group_counts(first: pd.Index, second: pd.Index, resamples: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of ([r, G1], [r, G2]) counts; r adds up to `resamples`.

    A group that both indices hold is drawn once for both (the same facts asked in two domains vary together); groups of one index only
    are drawn by themselves. Each of the three kinds keeps its size in every resample. Memory is bounded by BLOCK_CELLS.
    """
    union = first.union(second, sort=False)
    kind = union.isin(first) + 2 * union.isin(second)
    strata = [np.flatnonzero(kind == k) for k in (1, 2, 3)]
    place, other = union.get_indexer(first), union.get_indexer(second)
    step = max(1, BLOCK_CELLS // len(union))
    for start in range(0, resamples, step):
        counts = np.zeros((min(step, resamples - start), len(union)))
        for members in strata:
            counts[:, members] = draw_counts(len(counts), len(members), rng)
        yield counts[:, place], counts[:, other]


def draw_counts(rows: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """[rows, size] how often each of `size` things comes in `size` draws with replacement."""
    drawn = rng.integers(0, max(size, 1), size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)
