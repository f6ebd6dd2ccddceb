"""The best level of a setting: found again in every resample of questions and seeds, with the levels that are not clearly worse."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.rank.resampling import BEST_COLUMNS, best_level, retention
from hybridir_utils.rank.significance import compare


def table(levels: dict[float, np.ndarray]) -> pd.DataFrame:
    """level -> [S, G] values: S seeds, G groups of one question."""
    parts = []
    for level, values in levels.items():
        seed, group = np.indices(np.shape(values))
        parts.append(pd.DataFrame({"strategy": level, "seed": seed.ravel(), "group": group.ravel(), "value": np.ravel(values)}))
    return pd.concat(parts, ignore_index=True)


def curve(rng, peak: float, height: float = 0.6, noise: float = 0.02, steep: float = 0.4, seeds: int = 3, groups: int = 60):
    """Values that fall away from a peak; groups are as easy or hard for every level."""
    easy = rng.normal(0, 0.1, groups)
    return {a: height - steep * (a - peak) ** 2 + easy + rng.normal(0, noise, (seeds, groups)) for a in (0.0, 0.25, 0.5, 0.75, 1.0)}


def test_a_clear_peak_is_found_with_a_narrow_interval():
    found = best_level(table(curve(np.random.default_rng(0), 0.5)), resamples=300)
    assert list(found.columns) == BEST_COLUMNS and found["level"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert set(found["best"]) == set(found["low"]) == set(found["high"]) == {0.5}
    assert found["wins"].tolist() == [0, 0, 1, 0, 0] and found["among_best"].tolist() == [False, False, True, False, False]
    assert found["p_holm"].isna().tolist() == [False, False, True, False, False] and (found["note"] == "").all()


@pytest.mark.parametrize(("lower", "best"), [(False, 1.0), (True, 0.0)])
def test_the_lowest_is_best_where_lower_is_better(lower, best):
    rng = np.random.default_rng(1)
    values = {a: a + rng.normal(0, 0.05, (3, 30)) for a in (0.0, 0.5, 1.0)}
    found = best_level(table(values), lower_is_better=lower, resamples=200)
    assert set(found["best"]) == {best} and found.set_index("level")["among_best"].to_dict() == {a: a == best for a in values}


def test_equal_levels_are_all_among_the_best_and_the_interval_is_wide():
    rng = np.random.default_rng(2)
    found = best_level(table({a: rng.normal(0.5, 0.1, (3, 50)) for a in (0.0, 0.25, 0.5, 0.75, 1.0)}), resamples=400)
    assert found["among_best"].all() and found["wins"].sum() == pytest.approx(1)
    assert found["high"].iloc[0] - found["low"].iloc[0] >= 0.5


def test_wins_and_interval_are_those_of_all_resamples_of_groups_and_seeds():
    """Two seeds and three groups: every one of the 4 x 27 resamples by hand, the same draws for both levels."""
    values = {0.0: np.array([[0.5, 0.2, 0.9], [0.4, 0.7, 0.3]]), 1.0: np.array([[0.6, 0.1, 0.7], [0.7, 0.4, 0.4]])}
    wins = [
        values[1.0][np.ix_(seeds, groups)].mean() > values[0.0][np.ix_(seeds, groups)].mean() + 1e-12
        for seeds in itertools.product(range(2), repeat=2)
        for groups in itertools.product(range(3), repeat=3)
    ]
    found = best_level(table(values), resamples=20_000).set_index("level")
    assert found.loc[1.0, "wins"] == pytest.approx(np.mean(wins), abs=0.015)
    assert found["value"].to_dict() == pytest.approx({a: v.mean() for a, v in values.items()})
    assert (found["low"].iloc[0], found["high"].iloc[0]) == (0, 1)


def test_levels_that_tie_share_the_wins():
    same = np.random.default_rng(0).random((2, 20))
    found = best_level(table({0.0: same, 0.5: same, 1.0: same - 0.5}), resamples=400).set_index("level")
    assert found["wins"].to_dict() == pytest.approx({0.0: 0.5, 0.5: 0.5, 1.0: 0}, abs=0.1)
    assert (found["best"].iloc[0], found["low"].iloc[0], found["high"].iloc[0]) == (0, 0, 0.5) and found["among_best"][0.5]


def test_a_share_of_nothing_is_never_the_best():
    nothing, some = np.zeros((2, 6)), np.full((2, 6), 0.5)
    found = best_level(table({0.0: some, 1.0: some}), in_domain=table({0.0: nothing, 1.0: some}), resamples=50)
    assert set(found["best"]) == {1.0} and found.set_index("level")["wins"].to_dict() == {0.0: 0, 1.0: 1}


def test_a_seed_that_disagrees_widens_the_interval():
    """Two seeds put 0.25 first, one puts 0.75 far ahead: questions alone would leave no doubt."""
    calm = np.zeros((3, 40)) + 0.5
    values = {0.25: calm + 0.02, 0.75: calm + np.array([[0.0], [0.0], [0.1]])}
    found = best_level(table(values), resamples=500)
    assert found["best"].iloc[0] == 0.75 and 0.1 < found.set_index("level")["wins"][0.25] < 0.5
    assert found["among_best"].all(), "significant over questions, but seeds do not agree"
    one = best_level(table({level: value[2:] for level, value in values.items()}), resamples=200)
    assert one.set_index("level")["wins"].to_dict() == {0.25: 0, 0.75: 1} and one["note"].str.contains("one seed").all()
    assert one.set_index("level")["among_best"].to_dict() == {0.25: False, 0.75: True}


def test_the_corrected_tests_are_those_of_compare_and_retention():
    rng = np.random.default_rng(3)
    seen, news = table(curve(rng, 0.5, noise=0.2)), table(curve(rng, 0.75, 0.3, noise=0.2))
    for found, expected in (
        (best_level(news, resamples=200), lambda best: compare(news, best, 200)),
        (best_level(news, in_domain=seen, resamples=200), lambda best: retention(seen, news, best, 200)),
    ):
        tested = expected(found["best"].iloc[0]).set_index("strategy")["p_holm"].dropna()
        assert found.set_index("level")["p_holm"].dropna().to_dict() == pytest.approx(tested.to_dict())


def test_the_share_kept_has_a_best_level_of_its_own():
    """Highest on the shifted task at 1, but the lowest in domain keeps most."""
    rng = np.random.default_rng(4)
    seen = {0.0: 0.3 + rng.normal(0, 0.01, (3, 40)), 1.0: 0.9 + rng.normal(0, 0.01, (3, 40))}
    news = {0.0: 0.27 + rng.normal(0, 0.01, (3, 40)), 1.0: 0.45 + rng.normal(0, 0.01, (3, 40))}
    assert best_level(table(news), resamples=100)["best"].iloc[0] == 1
    found = best_level(table(news), in_domain=table(seen), resamples=100)
    assert found["best"].iloc[0] == 0 and found["value"].tolist() == pytest.approx([0.9, 0.5], abs=0.02)


def test_result_is_seeded_and_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(5)
    values = table({a: rng.normal(0.5, 0.1, (3, 30)) for a in (0.0, 0.5, 1.0)})
    first = best_level(values, resamples=100, seed=1)
    pd.testing.assert_frame_equal(first, best_level(values.sample(frac=1, random_state=0), resamples=100, seed=1))
    assert best_level(values, resamples=100, seed=2)["wins"].tolist() != first["wins"].tolist()


def test_levels_that_cannot_be_compared_are_told():
    values = table({0.0: np.ones((2, 4)), 1.0: np.ones((2, 4))})
    with pytest.raises(InputError, match="at least two levels"):
        best_level(values[values["strategy"] == 0])
    with pytest.raises(InputError, match="different queries in one task"):
        best_level(values.iloc[:-1])
    with pytest.raises(InputError, match="same levels and training seeds"):
        best_level(values[(values["strategy"] == 0) | (values["seed"] == 0)])
    with pytest.raises(InputError, match="same levels and training seeds"):
        best_level(values, in_domain=values[values["seed"] == 0])
    with pytest.raises(InputError, match=r"missing \['group'\]"):
        best_level(values.drop(columns="group"))
