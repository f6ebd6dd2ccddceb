"""The mixing study: which encoders, evaluated on which tasks, and what its tables hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from made_up import SETTINGS

from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment import encoders, evaluation
from hybridir_utils.experiment.encoders import EncoderKey, encoder_keys
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.rank.resampling import retention
from hybridir_utils.rank.significance import compare
from hybridir_utils.results.figures import FIGURES
from hybridir_utils.studies import mixing
from hybridir_utils.studies.mixing import grid, mix_label, mixing_keys, mixing_tasks, reference_alpha, shifted_tasks
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import task_from_pairs


def test_the_grid_and_the_schedules_are_trained_with_every_seed_from_the_first_base():
    profile = load_profile("sample")
    keys = mixing_keys(profile)
    assert len(keys) == len(set(keys)) == 9 * 3 + 3 * 3 and {key.base for key in keys} == {"aligned"}
    mixes = list(dict.fromkeys((key.strategy, key.alpha) for key in keys))
    assert mixes[0] == ("X-Y", 0.0) and mixes[8] == ("X-X-mono", 1.0) and {name for name, _ in mixes[1:8]} == {"hybrid"}
    assert [alpha for _, alpha in mixes[:9]] == list(profile.alphas)
    assert mixes[9:] == [("mono-first", 0.5), ("cross-first", 0.5), ("annealed", 0.5)]
    assert {key.seed for key in keys} == set(profile.seeds) and len({key.name for key in keys}) == len(keys)


def test_the_study_may_have_fewer_seeds_than_notebook_02():
    profile = load_profile("sample", {"alpha_seeds": [2]})
    assert {key.seed for key in mixing_keys(profile)} == {2} and len(mixing_keys(profile)) == 12
    assert len({*mixing_keys(profile)} - {*encoder_keys(open_run("sample"))}) == 9, "ends and middle of the grid are notebook 02's"


def test_encoders_of_notebook_02_are_found_again(tmp_path, monkeypatch):
    """Same key, so the same recipe and the same folder: nine of the sample's are not trained twice."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    pairs = type("Pairs", (), {"folder": tmp_path / "pairs"})
    monkeypatch.setattr(encoders, "prepare_pairs", lambda run: pairs)
    monkeypatch.setattr(encoders, "base_encoders", lambda run: dict.fromkeys(run.profile.bases, tmp_path / "base"))
    monkeypatch.setattr(encoders, "_train_all", lambda run, jobs: None)
    run = open_run("sample")
    own, study = (encoders.trained_encoders(run, keys=keys) for keys in (encoder_keys(run), mixing_keys(run.profile)))
    shared = set(own) & set(study)
    assert {(key.strategy, key.alpha) for key in shared} == {("X-Y", 0.0), ("hybrid", 0.5), ("X-X-mono", 1.0)} and len(shared) == 9
    assert all(own[key] == study[key] for key in shared)
    assert len(set(study.values())) == 36


def test_missing_encoders_are_trained_here_also_where_other_notebooks_do_not(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(encoders, "prepare_pairs", lambda run: type("Pairs", (), {"folder": tmp_path / "pairs"}))
    monkeypatch.setattr(encoders, "base_encoders", lambda run: dict.fromkeys(run.profile.bases, tmp_path / "base"))
    monkeypatch.setattr(encoders, "run_jobs", lambda run_job, asked, workers, label: jobs.extend(asked))
    mixing.mixing_encoders(open_run("sample", train_in_place=False))
    assert len(jobs) == 36


@pytest.mark.parametrize(
    ("changes", "reference", "schedules"),
    [
        ({"alpha": 0.3}, 0.25, 3),
        ({"alpha": 0.45}, 0.4, 3),
        ({"alphas": [1.0, 0.0, 0.7]}, 0.7, 3),
        ({"alphas": [0.0, 1.0]}, 0.0, 0),
        ({"alpha": 1.0}, 1.0, 0),
        ({"schedules": ["annealed"]}, 0.5, 1),
        ({"schedules": []}, 0.5, 0),
    ],
)
def test_the_reference_is_the_nearest_of_the_grid_and_schedules_mix_like_it(changes, reference, schedules):
    profile = load_profile("sample", changes)
    assert reference_alpha(profile) == reference
    ordered = [key for key in mixing_keys(profile) if key.strategy in profile.schedules]
    assert len(ordered) == 3 * schedules and {key.alpha for key in ordered} <= {reference}
    assert grid(profile) == sorted(set(profile.alphas))


def test_an_alpha_named_twice_is_trained_once():
    assert len(mixing_keys(load_profile("sample", {"alphas": [0.5, 0.5, 1], "schedules": [], "seeds": [1]}))) == 2


def test_mixes_are_called_by_their_alpha_and_schedules_by_name():
    assert [mix_label(*mix) for mix in (("X-Y", 0.0), ("hybrid", 0.25), ("X-X-mono", 1.0), ("annealed", 0.5))] == [
        "α = 0",
        "α = 0.25",
        "α = 1",
        "annealed",
    ]


def test_only_tasks_with_full_rankings_take_part():
    paper = load_profile("paper")
    assert mixing_tasks(paper) == ["xquad-r", "mlqa-r"] and shifted_tasks(paper) == ()
    assert shifted_tasks(load_profile("sample")) == ("worldfacts-shifted",)
    searched_first = load_profile("paper", {"tasks": ["miracl", "xquad-r"], "shifted_tasks": ["xquad-r"]})
    assert mixing_tasks(searched_first) == ["xquad-r"] and shifted_tasks(searched_first) == ()
    with pytest.raises(InputError, match=r"tasks \(miracl, mkqa\) are all searched to a depth.*beir:FOLDER"):
        mixing_tasks(load_profile("paper", {"tasks": ["miracl", "mkqa"]}))


@pytest.fixture
def study(tiny_pairs, tiny_base, prepared, tmp_path, monkeypatch):
    """`study(tasks)`: (run, evaluations) of two mixes and a schedule, one untrained encoder under all names, on pools of a user's own."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setattr(evaluation, "run_jobs", lambda run_job, jobs, workers, label: [run_job(*job) for job in jobs])
    monkeypatch.setattr(evaluation, "base_encoders", lambda run: {"unaligned": tiny_base})
    monkeypatch.setattr(evaluation, "prepare_pairs", lambda run: prepared)

    def evaluated(*pools: str):
        for pool in pools:
            (tmp_path / pool).mkdir()
            kept = tiny_pairs if pool != "english" else tiny_pairs.filter(lambda row: row["language"] == "en")
            write_beir(task_from_pairs(pool, kept), tmp_path / pool)
        tasks = [f"beir:{tmp_path / pool}" for pool in pools]
        run = open_run("sample", tasks=tasks, shifted_tasks=tasks[1:], seeds=[1], alphas=[0.0, 0.5], schedules=["annealed"])
        run = replace(run, profile=run.profile.model_copy(update={"bases": ("unaligned",)}))
        return run, mixing.mixing_evaluations(run, dict.fromkeys(mixing_keys(run.profile), tiny_base))

    return evaluated


def test_every_mix_is_evaluated_on_every_task_and_what_is_kept_is_a_ratio(study):
    run, evaluations = study("pool", "news")
    table = mixing.mixing_table(evaluations, shifted_tasks(run.profile))
    assert list(table.columns) == mixing.COLUMNS and table["value"].notna().all()
    assert set(table["strategy"]) == {"X-Y", "hybrid", "annealed"}, "no untrained encoder, BM25 or random order"
    per_mix = table.groupby(["strategy", "task"])["metric"].agg(list).map(sorted)
    assert set(map(tuple, per_mix)) == {("mAP", "mAP", "mAP", "rank distance"), ("kept",) * 3 + ("mAP",) * 3 + ("rank distance",)}
    assert table.loc[table["metric"] == "kept", "value"].to_numpy() == pytest.approx(1), "both pools are the same"
    scores = evaluations.table("scores", strategy="hybrid").query("query_language == 'macro' and metric == 'mAP'")
    own = table.query("strategy == 'hybrid' and metric == 'mAP'")
    assert own.set_index(["task", "setting"])["value"].to_dict() == scores.set_index(["task", "setting"])["value"].to_dict()


def test_debiasing_is_left_to_the_profiles_own_encoders(study):
    """It takes as long as all the rest, and this study does not look at it."""
    _, evaluations = study("pool")
    assert set(evaluations.table("debiasing")["strategy"]) == {"untrained", "X-Y", "hybrid"}


def test_a_task_in_one_language_is_told_and_has_no_cross_lingual_measure(study):
    """Also as the first task, whose vectors are looked at more closely."""
    run, evaluations = study("english")
    table = mixing.mixing_table(evaluations)
    assert set(table["setting"]) == {"monolingual", "multilingual"} and set(table["metric"]) == {"mAP"}
    questions = mixing.mixing_questions(evaluations)
    assert questions["rank_distance"].isna().all()
    tests = mixing.mixing_tests(questions, "α = 0.5", 50)
    assert set(tests["measure"]) == {"AP"} and set(tests["setting"]) == {"monolingual", "multilingual"}
    best = mixing.best_table(questions, (), 50)
    assert set(best["goal"]) == {"Mo. mAP", "Mul. mAP"}
    said = " ".join(mixing.left_out(run.profile, table))
    assert "questions and candidates in one language, so no Cr. and no rank distance" in said and "One seed was trained" in said
    assert "accuracy kept under domain shift is left out" in said
    for name in ("05_curves", "05_pareto", "05_recommended"):
        assert FIGURES[name].draw(best if name == "05_recommended" else table)


def questions(means: dict[tuple[str, float], float], task: str = "home", seeds=(1, 2, 3), groups: int = 40, distance: float = 50.0):
    """Per-question values as `mixing_questions` gives them: (label, alpha) -> mean AP; distances fall with the mean."""
    rng = np.random.default_rng(2)
    easy, rows = rng.normal(0, 0.05, groups), []
    for (label, alpha), mean in means.items():
        for seed in seeds:
            for setting in SETTINGS:
                values = mean + easy + rng.normal(0, 0.01, groups)
                distances = np.where(setting == "multilingual", distance * (1.2 - values), np.nan)
                columns = {"group": [f"g{g}" for g in range(groups)], "AP": values, "rank_distance": distances}
                rows.append(pd.DataFrame({**columns, "strategy": label, "alpha": alpha, "seed": seed, "setting": setting}))
    return pd.concat(rows, ignore_index=True).assign(base="aligned", task=task)


MEANS = {("α = 0", 0.0): 0.40, ("α = 0.5", 0.5): 0.50, ("α = 1", 1.0): 0.45, ("annealed", 0.5): 0.50}
SHIFTED = {("α = 0", 0.0): 0.30, ("α = 0.5", 0.5): 0.30, ("α = 1", 1.0): 0.20, ("annealed", 0.5): 0.30}


def test_tests_are_paired_against_the_reference_by_task_setting_and_measure():
    frame = pd.concat([questions(MEANS), questions(SHIFTED, "news")])
    found = mixing.mixing_tests(frame, "α = 0.5", 200)
    assert set(found["baseline"]) == {"α = 0.5"} and set(found["strategy"]) == {"α = 0", "α = 1", "annealed"}
    assert found.groupby(["task", "measure"])["setting"].nunique().to_dict() == {
        ("home", "AP"): 3,
        ("home", "rank_distance"): 1,
        ("news", "AP"): 3,
        ("news", "rank_distance"): 1,
    }
    part = frame.query("task == 'news' and setting == 'multilingual'").assign(value=lambda rows: rows["rank_distance"])
    expected = compare(part[["strategy", "seed", "group", "value"]], "α = 0.5", 200)
    own = found.query("task == 'news' and measure == 'rank_distance'")[expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, expected)


def test_accuracy_kept_is_that_of_the_retention_statistic():
    frame = pd.concat([questions(MEANS), questions(SHIFTED, "news")])
    found = mixing.kept_table(frame, ("news",), "α = 0.5", 100)
    assert set(found["task"]) == {"news"} and set(found["in_domain_task"]) == {"home"} and len(found) == 4 * 3
    sides = [frame.query("task == @task and setting == 'cross-lingual'").assign(value=lambda rows: rows["AP"]) for task in ("home", "news")]
    expected = retention(*sides, "α = 0.5", 100)
    own = found[found["setting"] == "cross-lingual"][expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, expected)
    assert found.groupby("strategy")["kept"].mean()["α = 0"] == pytest.approx(0.75, abs=0.02)
    shown = mixing.kept_summary(found)
    assert list(shown) == ["Mo. kept", "Cr. kept", "Mul. kept"] and list(shown.loc["news"].index) == [
        "α = 0",
        "α = 0.5",
        "α = 1",
        "annealed",
    ]
    row = own[own["strategy"] == "α = 1"].iloc[0]
    assert shown.loc[("news", "α = 1"), "Cr. kept"].startswith(f"{row.kept:.3f} [{row.kept_low:.3f}, {row.kept_high:.3f}]")
    sure = mixing.kept_summary(found.assign(p_holm=found["p_holm"] / 100))["Cr. kept"]
    assert "*" not in sure["news", "α = 0.5"] and sure["news", "α = 0"].endswith(" *")
    several = pd.concat([found, found[found["strategy"] == "annealed"].assign(strategy="mono-first"), found.assign(task="a later set")])
    order = [*shown.loc["news"].index[:3], "mono-first", "annealed"]
    assert list(mixing.kept_summary(several).index) == [*product(["news"], order), *product(["a later set"], shown.loc["news"].index)]
    empty = mixing.kept_table(questions(MEANS), (), "α = 0.5", 100)
    assert empty.empty and list(empty.columns) == list(found.columns)


def test_the_best_alpha_is_told_for_every_goal_without_the_schedules():
    frame = pd.concat([questions(MEANS | {("annealed", 0.5): 0.9}), questions(SHIFTED, "news")])
    best = mixing.best_table(frame, ("news",), 100)
    assert list(best.columns) == mixing.BEST and set(best["alpha"]) == {0.0, 0.5, 1.0}
    goals = best.groupby("task")["goal"].unique()
    assert list(goals["home"]) == ["Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance"]
    assert list(goals["news"]) == [*goals["home"], "Mo. kept", "Cr. kept", "Mul. kept"]
    chosen = best.groupby(["task", "goal"])["best"].first()
    assert set(chosen["home"]) == {0.5} and set(chosen["news"][["Mo. kept", "Cr. kept", "Mul. kept"]]) == {0.0}
    summary = mixing.best_summary(best)
    values = best[best["alpha"] == best["best"]].set_index(["task", "goal"])["value"]
    told = {"Mo. mAP": "{:.3f}", "rank distance": "{:.0f}"}
    assert [summary.loc[("home", goal), "value"] for goal in told] == [form.format(values["home", goal]) for goal, form in told.items()]
    assert summary.loc[("home", "Mo. mAP"), ["recommended α", "95 % interval", "not clearly worse"]].tolist() == [
        "0.5",
        "0.5 to 0.5",
        "0.5",
    ]


def test_the_summary_has_a_row_a_mix_and_a_column_a_measure():
    rows = [
        ("home", "X-Y", 0.0, 1, "monolingual", "mAP", 0.5),
        ("home", "X-Y", 0.0, 2, "monolingual", "mAP", 0.7),
        ("home", "annealed", 0.5, 1, "multilingual", "rank distance", 1234.4),
    ]
    table = pd.DataFrame(rows, columns=["task", "strategy", "alpha", "seed", "setting", "metric", "value"])
    summary = mixing.mix_summary(table)
    assert summary.loc[("home", "α = 0"), "Mo. mAP"] == "0.600 ± 0.141" and summary.loc[("home", "α = 0"), "rank distance"] == ""
    assert summary.loc[("home", "annealed"), "rank distance"] == "1,234"


def test_keys_of_one_mix_have_names_of_their_own():
    names = {EncoderKey("aligned", "annealed", alpha, 1).name for alpha in (0.25, 0.5)}
    assert names == {"aligned-annealed-a0.25-s1", "aligned-annealed-a0.5-s1"}
