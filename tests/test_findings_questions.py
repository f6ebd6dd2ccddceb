"""Notebook 07: sentences follow the numbers: rises and falls, the mix above, between or below its objectives, what one seed leaves open."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from made_up_shift import HOME, values

from hybridir_utils.experiment.run import open_run
from hybridir_utils.results import findings
from hybridir_utils.results.style import Nothing
from hybridir_utils.studies import plots
from hybridir_utils.studies import questions as study
from hybridir_utils.studies.questions import NO_CHANGE

MEASURES = ("Recall@1", "Recall@10", "Recall@100")
BEFORE = {"untrained": 0.4}


def questions(means: dict[str, float], kinds=("all pairs",), **options) -> pd.DataFrame:
    parts = [values(means, **options).assign(setting=kind, task=HOME) for kind in kinds]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(**dict.fromkeys(MEASURES, table["value"])).drop(columns="value")


def recall_means(per: pd.DataFrame) -> pd.DataFrame:
    long = per.melt(["base", "strategy", "seed", "task", "setting"], list(MEASURES), var_name="metric")
    return long.groupby(["base", "strategy", "seed", "task", "setting", "metric"])["value"].mean().reset_index()


def said(means: dict[str, float], **options) -> list[str]:
    per = questions(BEFORE | means, **options)
    return study.on_recall(recall_means(per), study.question_tests(per, 300))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "rises with X-X-mono (0.499), X-Y, hybrid."),
        (0.3, "rises with X-Y, hybrid, falls with X-X-mono (0.299)."),
        (0.4, f"rises with X-Y, hybrid, {NO_CHANGE} X-X-mono (0.399)."),
    ],
)
def test_each_objective_is_told_against_the_untrained_base(value, words):
    first = said({"X-X-mono": value, "X-Y": 0.6, "hybrid": 0.6})[0]
    assert re.sub(r"(X-Y|hybrid) \(0\.(599|600|601)\)", r"\1", first) == f"From aligned, Recall@1 is 0.399 before training; it {words}"


@pytest.mark.parametrize(
    ("mono", "cross", "answer"),
    [
        (0.5, 0.5, "hybrid is ahead of X-X-mono (+0.1"),
        (0.5, 0.5, "the two objectives help each other"),
        (0.7, 0.7, "the two objectives hinder each other"),
        (0.5, 0.7, "the mix lies between the two objectives"),
        (0.7, 0.5, "the mix lies between the two objectives"),
        (0.6, 0.5, "the mix is not clearly apart from both"),
    ],
)
def test_the_mix_is_told_against_both_objectives(mono, cross, answer):
    assert answer in said({"X-X-mono": mono, "X-Y": cross, "hybrid": 0.6})[1]


def test_a_profile_without_one_of_the_objectives_says_less():
    assert len(said({"X-Y": 0.5, "hybrid": 0.6})) == 1
    assert len(said({"X-X-mono": 0.5, "X-Y": 0.6})) == 1


def test_the_interval_over_seeds_is_that_of_the_trained_encoders():
    per = questions(BEFORE | {"X-Y": 0.5, "hybrid": 0.5}, spread=0.02)
    tests = study.question_tests(per, 200).query("measure == 'Recall@1'").set_index(["baseline", "strategy"])
    row = tests.loc[("untrained", "X-Y")]
    assert row["n_seeds"] == 3 and row["seed_low"] < row["mean_difference"] < row["seed_high"] and row["seed_high"] - row["seed_low"] > 0.05
    assert set(tests.index) == {("untrained", "X-Y"), ("untrained", "hybrid"), ("hybrid", "X-Y")}, "two families"


def test_one_seed_says_what_stays_open():
    assert "cannot be concluded" in findings.on_seeds([1])[0] and findings.on_seeds([1, 2]) == []


def test_trained_and_untrained_languages_are_told_apart():
    kinds = ("all pairs", "both trained", "one untrained")
    per = questions(BEFORE | {"X-Y": 0.5, "hybrid": 0.6}, kinds=kinds)
    per.loc[(per["setting"] == "one untrained") & (per["strategy"] == "X-Y"), list(MEASURES)] -= 0.25
    tests = study.question_tests(per, 200)
    first, trained, untrained = study.on_languages(tests, ("de", "en", "km"), ("de", "en"))
    assert first == "No training batch holds km."
    assert "both languages trained: Recall@1 rises with X-Y (+0.1" in trained and trained.endswith("Hybrid is ahead of X-Y (+0.099).")
    assert "one language untrained: Recall@1 falls with X-Y (-0.1" in untrained


@pytest.mark.parametrize(("trained", "words"), [
    (("de", "en"), "both languages in training"), ((), "no language in training"), (("de",), "one language in training")])  # fmt: skip
def test_a_single_kind_of_pair_is_not_told_twice(trained, words):
    per = questions(BEFORE | {"X-Y": 0.5, "hybrid": 0.6}, kinds=("all pairs", "both trained"))
    tests = study.question_tests(per, 100)
    assert set(tests["setting"]) == {"all pairs"}
    (sentence,) = study.on_languages(tests, ("de", "en"), trained)
    assert words in sentence


@pytest.mark.parametrize(("gap", "agree"), [(0.3, 2), (0.1, 0)])
def test_the_gap_is_compared_with_the_recall(gap, agree):
    tests = study.question_tests(questions(BEFORE | {"X-Y": 0.5, "hybrid": 0.6}), 200)
    rows = [("aligned", strategy, value) for strategy, value in (("untrained", 0.2), ("X-Y", gap), ("hybrid", gap))]
    means = pd.DataFrame(rows, columns=["base", "strategy", "value"]).assign(setting="all pairs", measure="alignment_gap", seed=1)
    first, second = study.on_alignment(means, tests)
    assert first == f"From aligned, the alignment gap is 0.200 before training and after it: X-Y {gap:.3f}, hybrid {gap:.3f}."
    assert f"in {agree} of the 2 cases" in second


def test_alignment_of_pairs_is_averaged_by_kind():
    rows = [("de", "en", 0.2), ("en", "de", 0.4), ("de", "km", 0.6), ("all", "", -3.0)]
    table = pd.DataFrame(rows, columns=["language", "other_language", "value"])
    table = table.assign(measure=["alignment_gap"] * 3 + ["uniformity"], base="aligned", strategy="hybrid", seed=1)
    means = study.alignment_means(table, ("de", "en")).set_index(["setting", "measure"])["value"]
    assert means.to_dict() == pytest.approx({
        ("all pairs", "alignment_gap"): 0.4, ("all pairs", "uniformity"): -3.0, ("both trained", "alignment_gap"): 0.3,
        ("one untrained", "alignment_gap"): 0.6,
    })  # fmt: skip


def test_the_command_for_passages_adds_the_task_to_the_runs():
    (sentence,) = study.on_passages(open_run("sample"))
    assert """run --profile sample --set 'tasks=["worldfacts-test", "worldfacts-shifted", "mkqa"]'""" in sentence


def test_pairs_are_drawn_only_where_there_is_something_to_compare():
    rows = [("aligned", strategy, one, other, 0.1) for strategy in ("X-Y", "untrained") for one, other in (("de", "en"), ("en", "de"))]
    table = pd.DataFrame(rows, columns=["base", "strategy", "query_language", "candidate_language", "value"])
    with pytest.raises(Nothing):
        plots.pairs(table)
    both = pd.concat([table, table[table["strategy"] == "X-Y"].assign(strategy="hybrid", value=0.3)])
    titles = [axes.get_title() for axes in plots.pairs(both).axes]
    assert titles[:2] == ["hybrid − X-Y, from aligned", "hybrid − untrained, from aligned"]
