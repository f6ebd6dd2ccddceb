"""One run against another: what a changed value did to each strategy, over the same questions."""

from __future__ import annotations

import pandas as pd

from ..experiment.evaluation import Evaluations, evaluate
from ..experiment.run import Run, named_run, own_run
from ..rank.significance import TESTED, holm
from .tables import TEST_KEYS, stack, test_table


def compare_runs(run: Run, other: str = "", measure: str = "AP") -> pd.DataFrame:
    """Paired tests of each strategy of a run against the same strategy of another one: a row for each task, base, setting and strategy.

    other: name of a run that has saved its scores; "": the profile's own, as its file stands. measure: AP or rank_distance. Columns as of
    `tables.test_table`; Holm's correction is over the strategies. Strategies that both runs share the encoders of are left out. What of
    either is not there yet is made, as `evaluate` does. Raises MissingInput for a run that has saved nothing.
    """
    there = named_run(other) if other else own_run(run)
    ours, theirs = evaluate(run), evaluate(there)
    both = set(ours.folders.values()) & set(theirs.folders.values())
    ours, theirs = _questions(ours, both), _questions(theirs, both)
    tables = [_tests(name, ours, theirs, there.name, measure, run.profile.resamples) for name in ours["strategy"].unique()]
    table = stack(tables, [*TEST_KEYS, *TESTED])
    return table.assign(p_holm=table.groupby(["task", "base", "setting"])["p"].transform(lambda p: holm(p.to_numpy(float))))


def _questions(evaluations: Evaluations, without: set) -> pd.DataFrame:
    """A value per question of all but some evaluations."""
    kept = {key: folder for key, folder in evaluations.folders.items() if folder not in without}
    return Evaluations(kept).table("questions") if kept else pd.DataFrame(columns=["strategy"])


def _tests(strategy: str, ours: pd.DataFrame, theirs: pd.DataFrame, run: str, measure: str, resamples: int) -> pd.DataFrame:
    """No rows where the other run has no such strategy."""
    baseline = f"{strategy} of {run}"
    rows = [ours[ours["strategy"] == strategy], theirs[theirs["strategy"] == strategy].assign(strategy=baseline)]
    return test_table(pd.concat(rows), measure, resamples, baseline)
