"""What a changed value did: the changed rows say it, and one call tests a run against its profile's own or another."""

from __future__ import annotations

import pandas as pd
import pytest
from fault_run import copied, everything
from made_up import made_up_tables

from hybridir_utils.base.errors import MissingInput
from hybridir_utils.experiment.evaluation import evaluate
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.rank.significance import TESTED
from hybridir_utils.results import show, tables
from hybridir_utils.results.tables import compare_runs


@pytest.fixture
def own(finished, tmp_path, monkeypatch):
    """The profile's own run, evaluated."""
    return copied(finished, tmp_path / "out", monkeypatch)


def mean_ap(run, strategy: str, setting: str) -> float:
    rows = evaluate(run).table("questions")
    return rows[(rows["strategy"] == strategy) & (rows["setting"] == setting)]["AP"].mean()


def test_a_run_is_tested_against_its_profiles_own_in_what_changed(own):
    changed = open_run(own.source, alpha=0.9)
    everything(changed)
    table = compare_runs(changed)
    assert set(table["strategy"]) == {"hybrid"} and set(table["baseline"]) == {f"hybrid of {own.name}"}, "other encoders are shared"
    for row in table.itertuples():
        difference = mean_ap(changed, "hybrid", row.setting) - mean_ap(own, "hybrid", row.setting)
        assert row.mean_difference == pytest.approx(difference, abs=1e-9) and row.low <= row.mean_difference <= row.high
    assert "hybrid" in show.tests(table)._repr_html_()
    save_table(changed, "scores", made_up_tables()["scores"])
    back = compare_runs(own, changed.name).sort_values("setting")
    assert back["mean_difference"].tolist() == pytest.approx((-table.sort_values("setting")["mean_difference"]).tolist())


def test_a_run_is_not_different_from_itself(own):
    table = compare_runs(own)
    assert table.empty and set(TESTED) <= set(table.columns)


def test_a_run_that_saved_nothing_is_named(own):
    with pytest.raises(MissingInput, match=r"run 'killed.alpha=0.7': no saved scores in .*Run its notebooks first"):
        compare_runs(own, "killed+alpha=0.7")


def test_rows_of_a_changed_alpha_say_it_and_others_do_not():
    scores, bias = (made_up_tables()[name] for name in ("scores", "bias"))
    for table in (tables.score_table(scores, bias), tables.bias_table(bias, bias["task"].iloc[0])):
        plain, changed = (tables.with_alpha(table, run) for run in (open_run("sample", alpha=0.5), open_run("sample", alpha=0.3)))
        pd.testing.assert_frame_equal(plain, table)
        before, after = table.index.get_level_values("strategy"), changed.index.get_level_values("strategy")
        assert [*after] == ["hybrid (α = 0.3)" if name == "hybrid" else name for name in before] and "hybrid" in before
