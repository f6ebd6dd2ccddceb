"""A run beside the reference: equal, within the spread over seeds, or differing, and the verdicts that changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.experiment import run as runs
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.suite.reference import DIFFERS, EQUAL, WITHIN, Comparison, TableDifference, changed_verdicts, compare_tables
from hybridir_utils.suite.reference import compare_with_reference as compare

SCORES = pd.DataFrame(
    {
        "strategy": ["hybrid"] * 3 + ["X-Y"] * 3,
        "seed": [1, 2, 3] * 2,
        "value": [0.50, 0.52, 0.54, 0.10, 0.10, 0.10],
        "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "n": 7,
    }
)
TESTS = pd.DataFrame(
    {
        "strategy": ["X-Y", "X-X"],
        "baseline": "hybrid",
        "mean_difference": [-0.20, 0.10],
        "low": [-0.3, 0.0],
        "high": [-0.1, 0.2],
        "p": [0.001, 0.04],
        "p_holm": [0.002, 0.04],
        "n_groups": 9,
        "seed_low": [-0.25, 0.05],
        "seed_high": [-0.15, 0.15],
        "note": np.nan,
    }
)


def moved(table: pd.DataFrame, row: int, column: str, by: float) -> pd.DataFrame:
    return table.assign(**{column: table[column].astype(float).where(table.index != row, table[column] + by)})


@pytest.mark.parametrize(
    ("new", "state", "largest"),
    [
        (SCORES, EQUAL, 0.0),
        (SCORES.assign(seconds=99.0), EQUAL, 0.0),
        (moved(SCORES, 0, "value", 0.039), WITHIN, 0.039),
        (moved(SCORES, 0, "value", 0.05), DIFFERS, 0.05),
        (moved(SCORES, 4, "value", 0.004), WITHIN, 0.004),
        (moved(SCORES, 4, "value", 0.03), DIFFERS, 0.03),
        (moved(SCORES, 3, "n", 1.0), DIFFERS, 1.0),
        (moved(SCORES, 2, "value", np.nan), DIFFERS, np.inf),
        (SCORES.replace("X-Y", "X-X"), DIFFERS, 0.0),
        (SCORES.head(5), DIFFERS, 0.0),
        (SCORES.assign(more=1), DIFFERS, 0.0),
    ],
    ids=["same", "times", "in its range", "beyond it", "a rounding", "no spread", "a count", "a gap", "a name", "a row", "a column"],
)  # fmt: skip
def test_a_table_with_seeds_may_move_by_their_range(new, state, largest):
    found = compare_tables("scores", SCORES, new)
    assert found.state == state and found.largest == pytest.approx(largest)


def test_what_no_row_names_is_no_difference():
    old = SCORES.assign(alpha=[0.5] * 3 + [np.nan] * 3, language=["de"] * 5 + [np.nan])
    assert compare_tables("scores", old, moved(old, 0, "value", 0.01)).state == WITHIN
    assert compare_tables("scores", old, moved(old, 0, "value", 0.01).assign(language="de")).where == "language of X-Y 3 de"


def test_other_mixes_of_a_strategy_are_no_spread():
    mixes = SCORES.assign(strategy="hybrid", alpha=[0.5, 0.5, 0.5, np.nan, np.nan, np.nan])
    assert compare_tables("mixing", mixes, moved(mixes, 3, "value", 0.1)).state == DIFFERS


def test_the_value_furthest_beyond_its_spread_is_named():
    found = compare_tables("scores", SCORES, moved(moved(SCORES, 0, "value", 0.06), 4, "value", 0.05))
    assert found == TableDifference("scores", DIFFERS, pytest.approx(0.05), "value of X-Y 2"), "0.06 is less beyond the range of hybrid"


def test_tests_may_move_by_their_interval_over_seeds_and_their_words_are_no_numbers():
    assert compare_tables("tests", TESTS, moved(TESTS, 0, "mean_difference", 0.09).assign(note="another")).state == WITHIN
    assert compare_tables("tests", TESTS, moved(TESTS, 0, "mean_difference", 0.11)).state == DIFFERS


def test_a_verdict_that_changed_is_named_before_and_after():
    assert list(changed_verdicts("tests", TESTS, moved(TESTS, 0, "mean_difference", 0.01))) == []
    now = moved(moved(TESTS, 1, "p_holm", 0.02), 0, "seed_high", 0.2)
    assert list(changed_verdicts("tests", TESTS, now)) == [
        "tests, X-Y hybrid: ahead of → not clearly different from", "tests, X-X hybrid: behind → not clearly different from",
    ]  # fmt: skip
    claims = pd.DataFrame({"claim": [1, 2], "source": "sample", "verdict": ["supported", "supported"], "evidence": "0.5"})
    now = claims.assign(verdict=["supported", "not supported"], evidence="0.6")
    assert list(changed_verdicts("claims", claims, now)) == ["claims, claim 2 sample: supported → not supported"]


def test_a_claims_comparisons_are_named_one_by_one():
    """A claim has many of one source; those of a setting have no language."""
    rows = {"claim": 7, "source": "sample", "task": ["a", "b"], "language": [np.nan, "el"], "verdict": ["supported", "undecided"]}
    parts = pd.DataFrame(rows)
    now = parts.assign(verdict=["undecided", "undecided"])
    assert list(changed_verdicts("claim_parts", parts, now)) == ["claim_parts, claim 7 sample a: supported → undecided"]
    open_ = now.assign(could_have_shown=[0.02, 0.03], practically_equal=["yes", "no"])
    parts = parts.assign(could_have_shown=[np.nan, 0.04], practically_equal=[np.nan, "yes"])
    assert list(changed_verdicts("claim_parts", parts, open_)) == ["claim_parts, claim 7 sample a: supported → undecided"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose reference is the same two tables."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    run = open_run("sample")
    for name, table in (("scores", SCORES), ("tests", TESTS)):
        save_table(run, name, table)
    (tmp_path / "data" / "results").mkdir(parents=True)
    run.results.rename(runs.reference_tables("sample"))
    return run


def test_a_run_that_is_the_reference_again_reads_reproduced(run):
    save_table(run, "scores", moved(SCORES, 0, "value", 0.02))
    save_table(run, "tests", TESTS)
    save_table(run, "a_table_of_later_code", TESTS)
    found = compare(run)
    assert not found.differs
    assert found.lines() == [
        "reproduced: of 2 tables 1 equal, 1 within the spread; largest difference 0.02 (scores: value of hybrid 1); no verdict changed"
    ]


def test_all_that_differs_is_named(run):
    save_table(run, "scores", moved(SCORES, 3, "value", 0.3))
    save_table(run, "check", TESTS)
    assert compare(run).lines() == [
        "not the reference: of 2 tables 1 differing, 1 not made yet",
        "scores: 0.3 in value of X-Y 1",
        "no verdict changed",
    ]


def test_tables_that_are_not_made_yet_are_no_difference(run):
    save_table(run, "scores", SCORES)
    found = compare(run)
    assert not found.differs
    assert found.lines() == ["beside the reference: of 2 tables 1 equal, 1 not made yet; no verdict changed"]


def test_a_run_of_one_notebook_is_compared_in_the_tables_that_it_has(run):
    assert compare(run, partial=True) is None, "none yet"
    save_table(run, "scores", SCORES)
    assert compare(run, partial=True).lines() == ["reproduced: of 1 tables 1 equal; no verdict changed"]


@pytest.mark.parametrize("words", [["read", "lost"], [np.nan, "lost"]])
def test_words_where_the_other_has_an_empty_column_differ(words):
    empty, filled = (SCORES.head(2).assign(lacking=column) for column in (np.nan, words))
    for old, new in ((empty, filled), (filled, empty)):
        found = compare_tables("tasks", old, new)
        assert found.state == DIFFERS and found.where.startswith("lacking of hybrid")
    assert compare_tables("tasks", empty, empty.copy()).state == EQUAL


def test_a_verdict_on_what_is_kept_under_shift_is_named_too():
    """Its difference is one of shares; the baseline's own row has none."""
    kept = TESTS.rename(columns={"mean_difference": "difference"}).drop(columns=["p"])
    own = kept.head(1).assign(strategy="hybrid", difference=np.nan, p_holm=np.nan, seed_low=np.nan, seed_high=np.nan)
    kept = pd.concat([own, kept.assign(in_domain=0.5)], ignore_index=True)
    assert list(changed_verdicts("shift", kept, moved(kept, 2, "p_holm", 0.02))) == [
        "shift, X-X hybrid: behind → not clearly different from",
    ]


def test_a_changed_verdict_alone_is_no_reproduction():
    assert Comparison((TableDifference("claims", EQUAL),), ("claims, claim 2: a → b",)).differs


def test_without_a_reference_or_tables_of_its_own_there_is_nothing_to_compare(run):
    save_table(changed := open_run("sample", alpha=0.3), "scores", SCORES)
    assert compare(changed) is None and compare(runs.saved_run(run)) is None
