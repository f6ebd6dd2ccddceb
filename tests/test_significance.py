"""Tests of significance: against enumeration, textbook values, and the error rates they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.rank.significance import LEVEL, clear_direction, compare, holm, practically_equal, smallest_detectable


def table(**strategies) -> pd.DataFrame:
    """strategy=[S, G, M] values: S seeds, G groups, M parallel queries a group."""
    parts = []
    for strategy, values in strategies.items():
        seed, group, _ = np.indices(np.shape(values))
        parts.append(pd.DataFrame({"strategy": strategy, "seed": seed.ravel(), "group": group.ravel(), "value": np.ravel(values)}))
    return pd.concat(parts, ignore_index=True)


def only(frame: pd.DataFrame) -> pd.Series:
    assert len(frame) == 1
    return frame.iloc[0]


def test_p_equals_the_exact_randomisation_test():
    difference = np.array([0.3, -0.1, 0.25, 0.4, 0.05, 0.2, -0.02, 0.11])
    row = only(compare(table(base=np.zeros((1, 8, 1)), hybrid=difference[None, :, None]), "base", resamples=40_000))
    totals = [abs(np.dot(signs, difference)) for signs in itertools.product([-1, 1], repeat=8)]
    exact = np.mean(np.array(totals) >= abs(difference.sum()) - 1e-12)
    assert row["p"] == pytest.approx(exact, abs=0.004)
    assert row["mean_difference"] == pytest.approx(difference.mean())
    assert row["effect_size"] == pytest.approx(difference.mean() / difference.std(ddof=1))


def test_the_interval_is_scipys_where_groups_are_of_one_size():
    from scipy import stats

    difference = np.random.default_rng(0).normal(0.1, 1, 120)
    row = only(compare(table(base=np.zeros((1, 120, 1)), hybrid=difference[None, :, None]), "base", resamples=100))
    interval = stats.ttest_1samp(difference, 0).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


def runs(groups: int, mean: float, draw, n: int = 400, queries: int = 3) -> pd.DataFrame:
    """`compare` of n strategies whose groups differ from the base by draws around a mean, and whose queries vary little within a group."""
    rng = np.random.default_rng(0)
    offsets = mean + draw(rng, (n, 1, groups, 1)) + rng.normal(0, 0.1, (n, 1, groups, queries))
    return compare(
        table(base=np.zeros((1, groups, queries)), **{f"s{i}": values for i, values in enumerate(offsets)}), "base", resamples=20
    )


def normal(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    return rng.gamma(4, 0.5, shape) - 2


@pytest.mark.parametrize(("draw", "least"), [(normal, 0.92), (skewed, 0.9)])
@pytest.mark.parametrize("groups", [5, 7, 11])
def test_few_groups_are_covered_as_promised(groups, draw, least):
    """Where a percentile bootstrap of the groups covers .83 (5 groups) to .89 (10)."""
    found = runs(groups, 0.3, draw)
    assert least < ((found["low"] < 0.3) & (found["high"] > 0.3)).mean() < 0.98


@pytest.mark.parametrize("groups", [7, 40])
def test_the_smallest_detectable_difference_is_found_in_four_of_five_cases(groups):
    least = np.mean([smallest_detectable(row) for row in runs(groups, 0.0, normal, n=50).itertuples()])
    found = runs(groups, least, normal)
    assert 0.72 < (found["low"] > 0).mean() < 0.9


def test_seeds_that_vary_more_than_queries_set_what_can_be_detected():
    one = pd.Series({"low": 0.0, "high": 0.02, "n_groups": 100, "seed_low": np.nan, "seed_high": np.nan, "n_seeds": 1})
    assert smallest_detectable(one) == pytest.approx(0.01 * (1 + 0.8453 / 1.9842), abs=1e-4)
    assert smallest_detectable(one.replace({1: 3}).fillna({"seed_low": -0.1, "seed_high": 0.12})) > 0.1


@pytest.mark.parametrize(("mean", "share"), [(0.0, (0.8, 1.0)), (0.5, (0.0, 0.1))])
def test_equivalence_is_found_where_it_is_and_rarely_at_the_margin(mean, share):
    found = runs(60, mean, normal)
    assert share[0] <= np.mean([practically_equal(row, 0.5) for row in found.itertuples()]) <= share[1]


def test_equivalence_needs_the_seeds_to_agree():
    row = {"low": -0.001, "high": 0.001, "n_groups": 100, "seed_low": -0.003, "seed_high": 0.003, "n_seeds": 3}
    assert practically_equal(pd.Series(row), 0.01)
    assert not practically_equal(pd.Series(row | {"seed_low": -0.1, "seed_high": 0.1}), 0.01)
    assert practically_equal(pd.Series(row | {"seed_low": np.nan, "seed_high": np.nan, "n_seeds": 1}), 0.01)


def test_a_constant_shift_is_found_and_no_difference_is_not():
    base = np.random.default_rng(0).random((1, 100, 1))
    found = compare(table(base=base, better=base + 0.01, same=base), "base", resamples=999).set_index("strategy")
    assert found.loc["better", "p"] == pytest.approx(1 / 1000)
    assert found.loc["same", "p"] == 1 and np.isnan(found.loc["same", "effect_size"])
    assert (found.loc["same", ["low", "high"]] == 0).all()


def test_totals_equal_up_to_rounding_count_as_equal():
    """.1 + .2 and .3 differ in the last bit: flipped totals equal to the observed one must still count."""
    difference = np.array([0.1, 0.2, -0.3, 0.1, 0.2, 0.3])
    row = only(compare(table(base=np.zeros((1, 6, 1)), hybrid=difference[None, :, None]), "base", resamples=20_000))
    in_tenths = np.rint(difference * 10).astype(int)
    totals = np.array([abs(np.dot(signs, in_tenths)) for signs in itertools.product([-1, 1], repeat=6)])
    assert row["p"] == pytest.approx(np.mean(totals >= abs(in_tenths.sum())), abs=0.01)


def test_translations_of_a_query_count_as_one_observation():
    """Ten copies of each query add no evidence: p, interval and effect stay those of the single queries."""
    difference = np.random.default_rng(0).normal(0.15, 1, (1, 60, 1))
    alone = only(compare(table(base=np.zeros_like(difference), hybrid=difference), "base"))
    copied = np.repeat(difference, 10, axis=2)
    cluster = only(compare(table(base=np.zeros_like(copied), hybrid=copied), "base"))
    columns = ["mean_difference", "low", "high", "p", "effect_size", "n_groups"]
    assert cluster[columns].to_numpy(float) == pytest.approx(alone[columns].to_numpy(float))
    assert 0.02 < alone["p"] < 0.98


def test_groups_of_unequal_size_weigh_by_their_queries():
    base, hybrid = table(base=np.zeros((1, 2, 3))), table(hybrid=[[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
    kept = lambda frame: frame[~((frame["group"] == 1) & frame.duplicated(["group"]))]  # noqa: E731
    row = only(compare(pd.concat([kept(base), kept(hybrid)]), "base"))
    assert row["mean_difference"] == pytest.approx(3 / 4)


def test_under_the_null_small_p_values_are_as_rare_as_they_claim():
    rng = np.random.default_rng(0)
    data = {"base": np.zeros((1, 40, 2)), **{f"s{i}": np.repeat(rng.normal(size=(1, 40, 1)), 2, axis=2) for i in range(200)}}
    result = compare(table(**data), "base", resamples=400)
    assert 0.01 < (result["p"] < 0.05).mean() < 0.10
    covered = (result["low"] < 0) & (result["high"] > 0)
    assert 0.88 < covered.mean() < 0.99


def test_result_is_seeded_and_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    per_query = table(base=rng.random((2, 30, 2)), hybrid=rng.random((2, 30, 2)))
    first = compare(per_query, "base", seed=3)
    pd.testing.assert_frame_equal(first, compare(per_query.sample(frac=1, random_state=1), "base", seed=3)[first.columns])
    assert compare(per_query, "base", seed=4)["p"].item() != first["p"].item()


def test_blocks_bound_what_is_drawn_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    per_query = table(base=rng.random((1, 50, 1)), hybrid=rng.random((1, 50, 1)))
    whole = only(compare(per_query, "base", resamples=5_000))
    monkeypatch.setattr("hybridir_utils.rank.significance.BLOCK_CELLS", 50 * 7)
    blocked = only(compare(per_query, "base", resamples=5_000))
    assert blocked["p"] == pytest.approx(whole["p"], abs=0.03)


def test_seeds_are_averaged_per_query_before_the_test():
    noise = np.array([1.0, -1.0])[:, None, None]
    difference = np.linspace(-0.1, 0.3, 20)[None, :, None]
    noisy = only(compare(table(base=np.zeros((2, 20, 1)), hybrid=difference + noise), "base"))
    clean = only(compare(table(base=np.zeros((1, 20, 1)), hybrid=difference), "base"))
    assert noisy["p"] == clean["p"] and noisy["n_seeds"] == 2 and clean["n_seeds"] == 1
    assert noisy["seed_low"] < -1 and noisy["seed_high"] > 1, "the spread over seeds is reported, not averaged away"


def test_seed_interval_is_scipys_and_pairs_the_seeds():
    from scipy import stats

    seeds = np.array([0.5, 0.7, 0.9])
    gain = np.array([0.10, 0.12, 0.11])
    per_query = table(
        base=np.broadcast_to(seeds[:, None, None], (3, 4, 1)), hybrid=np.broadcast_to((seeds + gain)[:, None, None], (3, 4, 1))
    )
    row = only(compare(per_query, "base", resamples=99))
    interval = stats.ttest_1samp(gain, 0).confidence_interval()
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((interval.low, interval.high))
    assert row["note"] == ""


def test_seeds_count_that_both_were_trained_with():
    """What can be detected is told by the interval over seeds, whose quantile hangs on how many seeds it is over."""
    gain = np.array([0.0, 1.0, 0.2, 0.7, 0.4])[:, None, None] + np.random.default_rng(1).normal(0, 0.05, (5, 30, 1))
    alike, more = (only(compare(table(base=np.zeros((2, 30, 1)), hybrid=gain[:seeds]), "base", resamples=99)) for seeds in (2, 5))
    assert (alike["n_seeds"], more["n_seeds"]) == (2, 2)
    assert (alike["seed_low"], alike["seed_high"]) == pytest.approx((more["seed_low"], more["seed_high"]))
    assert smallest_detectable(more) == pytest.approx(smallest_detectable(alike))


def test_one_seed_gives_no_spread_and_says_so():
    per_query = table(base=np.zeros((1, 5, 1)), hybrid=np.ones((1, 5, 1)))
    row = only(compare(per_query, "base", resamples=99))
    assert np.isnan(row["seed_low"]) and np.isnan(row["seed_high"]) and "1 shared seed" in row["note"]


@pytest.mark.parametrize(
    ("difference", "p", "seeds", "found"),
    [
        (0.1, 0.01, (0.05, 0.15), 1),
        (-0.1, 0.01, (-0.15, -0.05), -1),
        (0.1, LEVEL, (0.05, 0.15), 0),
        (0.1, 0.01, (-0.05, 0.25), 0),
        (0.1, 0.01, (-0.25, -0.05), 0),
        (0.1, 0.01, (np.nan, np.nan), 1),
        (0.1, np.nan, (0.05, 0.15), 0),
        (0.1, None, (0.05, 0.15), 1),
        (0.1, None, (np.nan, np.nan), 0),
        (0.0, 0.01, (0.0, 0.0), 0),
    ],
    ids=["ahead", "behind", "p", "seeds part", "seeds elsewhere", "one seed", "no test possible", "no test", "nothing", "equal"],
)
def test_a_difference_is_clear_where_test_and_seeds_say_so(difference, p, seeds, found):
    assert clear_direction(difference, p, *seeds) == found
    columns = [np.array([value] * 2, dtype=float) for value in (difference, *seeds)]
    assert clear_direction(columns[0], p, *columns[1:]).tolist() == [found] * 2


def test_holm_gives_the_textbook_values():
    # Worked by hand: sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, made monotone .02 .03 .06 .06
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])
    assert holm(np.array([0.02])) == pytest.approx([0.02])


def test_p_holm_corrects_over_the_strategies_compared():
    base = np.zeros((1, 100, 1))
    result = compare(table(base=base, a=base + 1, b=base + 1, c=base), "base", resamples=999)
    assert result["p_holm"].tolist() == pytest.approx([0.003, 0.003, 1.0])


def test_a_comparison_that_is_not_paired_is_refused():
    per_query = table(base=np.zeros((1, 5, 2)), hybrid=np.zeros((1, 5, 2)))
    with pytest.raises(InputError, match="for group 4 hybrid has 1, base has 2"):
        compare(per_query.iloc[:-1], "base")
    with pytest.raises(InputError, match="different queries in different seeds"):
        compare(table(base=np.zeros((2, 5, 2)), hybrid=np.zeros((2, 5, 2))).iloc[:-1], "base")
    with pytest.raises(UnknownName, match="did you mean 'base'"):
        compare(per_query, "bas")
    with pytest.raises(InputError, match="only the baseline"):
        compare(per_query[per_query["strategy"] == "base"], "base")
    with pytest.raises(InputError, match=r"missing \['seed'\]"):
        compare(per_query.drop(columns="seed"), "base")
    with pytest.raises(InputError, match=r"1 row.*empty cell"):
        compare(per_query.assign(value=[np.nan] + [0.0] * 19), "base")
