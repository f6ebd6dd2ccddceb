"""Accuracy kept under shift: against hand-worked ratios, enumeration, and the error rates it promises."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.rank.resampling import KEPT_COLUMNS, retention
from hybridir_utils.rank.significance import draw_counts, group_counts


def table(first_group: int = 0, **strategies) -> pd.DataFrame:
    """strategy=[S, G, M] values: S seeds, G groups numbered from `first_group`, M parallel queries a group."""
    parts = []
    for strategy, values in strategies.items():
        seed, group, _ = np.indices(np.shape(values))
        columns = {"strategy": strategy, "seed": seed.ravel(), "group": group.ravel() + first_group, "value": np.ravel(values)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def made(rng, means: dict[str, float], groups=80, seeds=3, noise=0.02) -> dict[str, np.ndarray]:
    """Values whose easy and hard groups are the same for all strategies."""
    easy = rng.normal(0, 0.1, (1, groups, 1))
    return {name: mean + easy + rng.normal(0, noise, (seeds, groups, 1)) for name, mean in means.items()}


def row_of(frame: pd.DataFrame, strategy: str) -> pd.Series:
    (row,) = (frame[frame["strategy"] == strategy]).to_dict("records")
    return pd.Series(row)


def test_shares_and_differences_by_hand():
    """base keeps (.2+.4)/(.8+.4) = 1/2; other keeps (.6+.6)/(.8+.8) = 3/4. The group with three questions weighs three times."""
    seen = table(base=[[[0.8], [0.4]]], other=[[[0.8], [0.8]]])
    news = table(base=[[[0.2], [0.4]]], other=[[[0.6], [0.6]]])
    found = retention(seen, news, "base", resamples=50)
    assert list(found.columns) == KEPT_COLUMNS and found["strategy"].tolist() == ["base", "other"]
    assert found["kept"].tolist() == pytest.approx([0.5, 0.75]) and found["in_domain"].tolist() == pytest.approx([0.6, 0.8])
    assert row_of(found, "other")["difference"] == pytest.approx(0.25) and (found["n_groups"] == 2).all()
    assert row_of(found, "base")[["difference", "low", "high", "p", "p_holm", "seed_low", "seed_high"]].isna().all()
    heavy = pd.concat([news, *[news[news["group"] == 1]] * 2])
    assert row_of(retention(seen, heavy, "base", resamples=50), "base")["kept"] == pytest.approx((0.2 + 3 * 0.4) / 4 / 0.6)


def test_the_interval_is_that_of_all_joint_resamples():
    """Four shared groups: all 256 resamples by hand, the same groups on both sides."""
    seen, news = np.array([0.9, 0.5, 0.7, 0.8]), np.array([0.3, 0.45, 0.2, 0.6])
    every = np.array(list(itertools.product(range(4), repeat=4)))
    ratios = news[every].mean(1) / seen[every].mean(1)
    row = row_of(retention(table(b=seen[None, :, None]), table(b=news[None, :, None]), "b", resamples=20_000), "b")
    assert (row["kept_low"], row["kept_high"]) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.01)


def test_tasks_of_other_groups_are_resampled_by_themselves():
    """Equal values on both sides: joint resampling knows the share is 1 in every resample, separate groups do not."""
    values = np.random.default_rng(0).random((1, 30, 1))
    joint = row_of(retention(table(b=values), table(b=values), "b", resamples=400), "b")
    apart = row_of(retention(table(b=values), table(first_group=100, b=values), "b", resamples=400), "b")
    assert joint["kept_low"] == pytest.approx(1) and joint["kept_high"] == pytest.approx(1) and joint["n_groups"] == 30
    assert apart["kept_low"] < 0.9 and apart["kept_high"] > 1.1 and apart["n_groups"] == 60


def test_groups_that_only_one_task_has_keep_their_number_in_every_resample():
    first, second = pd.Index(list("abcd")), pd.Index(list("cdxyz"))
    (one, two), *more = group_counts(first, second, 50, np.random.default_rng(0))
    assert not more and one.shape == (50, 4) and two.shape == (50, 5)
    assert (one[:, 2:] == two[:, :2]).all(), "c and d are drawn once for both"
    assert (one[:, :2].sum(1) == 2).all() and (one[:, 2:].sum(1) == 2).all() and (two[:, 2:].sum(1) == 3).all()
    assert draw_counts(3, 0, np.random.default_rng(0)).shape == (3, 0)


def test_resamples_come_in_blocks_that_bound_the_memory(monkeypatch):
    monkeypatch.setattr("hybridir_utils.rank.significance.BLOCK_CELLS", 70)
    shapes = [one.shape for one, _ in group_counts(pd.RangeIndex(10), pd.RangeIndex(10), 24, np.random.default_rng(0))]
    assert shapes == [(7, 10)] * 3 + [(3, 10)]


def test_a_strategy_that_keeps_more_is_found_and_an_equal_one_is_not():
    rng = np.random.default_rng(0)
    seen = made(rng, {"base": 0.8, "better": 0.8, "same": 0.8})
    news = made(rng, {"base": 0.4, "better": 0.5, "same": 0.4})
    seen["same"], news["same"] = seen["base"], news["base"]
    found = retention(table(**seen), table(**news), "base", resamples=999)
    better, same = row_of(found, "better"), row_of(found, "same")
    assert better["p"] == pytest.approx(2 / 1000) and better["p_holm"] == pytest.approx(4 / 1000) and better["low"] > 0.1
    assert better["seed_low"] > 0 and better["n_seeds"] == 3 and better["note"] == ""
    assert same["p"] == 1 and same["low"] == pytest.approx(0) == same["high"]


def test_lower_accuracy_on_both_tasks_is_no_lost_share():
    """Half as good everywhere keeps the same share: the difference in mAP must not count."""
    rng = np.random.default_rng(1)
    seen, news = rng.random((3, 60, 2)), rng.random((3, 60, 2))
    row = row_of(retention(table(base=seen, half=seen / 2), table(base=news, half=news / 2), "base", resamples=300), "half")
    assert row["difference"] == pytest.approx(0) and row["p"] == 1


def test_under_the_null_small_p_values_are_as_rare_as_they_claim():
    """Each strategy's own noise alone, against a baseline without any, so that the comparisons are independent of each other."""
    rng = np.random.default_rng(0)
    sides = ({"base": np.full((1, 60, 1), 0.6), **{f"s{i}": rng.normal(0.6, 0.1, (1, 60, 1)) for i in range(120)}} for _ in range(2))
    found = retention(*(table(**side) for side in sides), "base", resamples=400).dropna(subset="p")
    assert 0.01 < (found["p"] < 0.05).mean() < 0.12
    assert 0.86 < ((found["low"] < 0) & (found["high"] > 0)).mean() < 0.99


def test_translations_of_a_question_count_as_one_observation():
    rng = np.random.default_rng(3)
    seen, news = made(rng, {"base": 0.8, "other": 0.8}), made(rng, {"base": 0.4, "other": 0.41})
    alone = retention(table(**seen), table(**news), "base", resamples=200)
    copied = retention(*(table(**{k: np.repeat(v, 6, axis=2) for k, v in side.items()}) for side in (seen, news)), "base", resamples=200)
    columns = ["kept", "kept_low", "kept_high", "difference", "low", "high", "p"]
    assert copied[columns].to_numpy(float) == pytest.approx(alone[columns].to_numpy(float), nan_ok=True)


def test_the_interval_over_seeds_is_scipys_of_the_differences_in_share():
    from scipy import stats

    seen = np.full((3, 5, 1), 0.8)
    kept = np.array([0.50, 0.55, 0.51]), np.array([0.60, 0.66, 0.58])
    sides = [dict(base=seen, other=seen), {n: seen * k[:, None, None] for n, k in zip(("base", "other"), kept, strict=True)}]
    row = row_of(retention(table(**sides[0]), table(**sides[1]), "base", resamples=50), "other")
    interval = stats.ttest_1samp(kept[1] - kept[0], 0).confidence_interval()
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((interval.low, interval.high))


def test_one_seed_gives_no_interval_over_seeds_and_says_so():
    values = np.random.default_rng(0).random((1, 20, 1))
    found = retention(table(base=values, other=values**2), table(base=values / 2, other=values**2), "base", resamples=100)
    assert found[["seed_low", "seed_high"]].isna().all(axis=None) and found["note"].str.contains("1 shared seed").all()
    assert row_of(found, "other")[["kept_low", "p", "p_holm"]].notna().all()


def test_holm_counts_the_strategies_compared_and_not_the_baseline():
    rng = np.random.default_rng(0)
    means = dict.fromkeys(("base", "a", "b", "c"), 0.8)
    seen, news = made(rng, means), made(rng, {**means, "base": 0.4})
    found = retention(table(**seen), table(**news), "base", resamples=999).dropna(subset="p")
    assert found["p_holm"].tolist() == pytest.approx([3 * 2 / 1000] * 3)


def test_a_share_of_nothing_is_not_defined():
    zero, some = np.zeros((1, 4, 1)), np.full((1, 4, 1), 0.5)
    found = retention(table(base=some, none=zero), table(base=some, none=some), "base", resamples=50)
    row = row_of(found, "none")
    assert row[["difference", "p", "p_holm", "kept_low"]].isna().all() and "not defined" in row["note"]
    assert row_of(found, "base")["kept"] == 1


def test_result_is_seeded_and_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    seen, news = table(**made(rng, {"base": 0.8, "other": 0.7})), table(**made(rng, {"base": 0.4, "other": 0.36}))
    first = retention(seen, news, "base", resamples=200, seed=3)
    again = retention(seen.sample(frac=1, random_state=1), news.sample(frac=1, random_state=2), "base", resamples=200, seed=3)
    pd.testing.assert_frame_equal(first, again)
    assert retention(seen, news, "base", resamples=200, seed=4)["kept_low"].tolist() != first["kept_low"].tolist()


def test_what_cannot_be_paired_is_refused():
    values = np.ones((2, 5, 2))
    seen, news = table(base=values, other=values), table(base=values, other=values)
    with pytest.raises(InputError, match=r"strategy 'other', seed 1, has no values on the shifted task"):
        retention(seen, news[(news["strategy"] == "base") | (news["seed"] == 0)], "base")
    with pytest.raises(InputError, match=r"strategy 'other', seed 0, has no values on the in-domain task"):
        retention(seen[seen["strategy"] == "base"], news, "base")
    with pytest.raises(InputError, match="have different queries of one task"):
        retention(seen, news[(news["strategy"] == "base") | (news["group"] < 4)], "base")
    with pytest.raises(InputError, match="different queries in different seeds"):
        retention(seen.iloc[:-1], news, "base")
    with pytest.raises(UnknownName, match="did you mean 'base'"):
        retention(seen, news, "bas")
    with pytest.raises(InputError, match=r"missing \['group'\]"):
        retention(seen, news.drop(columns="group"), "base")
