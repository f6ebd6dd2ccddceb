"""`check`: the paper's rows beside a run's, with verdicts that a shifted number turns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.results.paper import check, in_our_names, read_published, reference_numbers, summary

MODELS = {"aligned": "LaBSE"}


def run_like_the_paper(shift: dict[int, float] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Saved tables of a run whose every number is the paper's for LaBSE; shift: seed -> what its scores are off by."""
    rows = in_our_names()
    rows = rows[rows["model"] == "LaBSE"].rename(columns={"language": "query_language"}).assign(base="aligned", n=9)
    parts = [rows.assign(seed=seed, value=rows["value"] + off * rows["value"].clip(upper=1)) for seed, off in (shift or {1: 0.0}).items()]
    tables = pd.concat(parts, ignore_index=True)
    distance = tables["metric"] == "rank distance"
    return tables[~distance], tables[distance].assign(measure="rank distance")


def test_a_run_equal_to_the_paper_is_ok_in_every_row():
    table = check(*run_like_the_paper(), MODELS)
    published = in_our_names()
    assert (table["verdict"] == "OK").all() and np.allclose(table["ours"], table["published"])
    assert (table["query_language"] != "macro").sum() == (published["model"] == "LaBSE").sum()
    macro = table[(table["query_language"] == "macro") & (table["task"] == "xquad-r") & (table["strategy"] == "hybrid")]
    assert macro.set_index(["setting", "metric"]).loc[("monolingual", "mAP"), "published"] == pytest.approx(0.817, abs=0.001)


@pytest.mark.parametrize(("shift", "verdict"), [(0.005, "OK"), (0.025, "near"), (-0.025, "near"), (0.06, "off"), (-0.06, "off")])
def test_a_shifted_number_turns_its_row_and_its_average(shift, verdict):
    scores, bias = run_like_the_paper()
    moved = (
        (scores["task"] == "mlqa-r") & (scores["setting"] == "multilingual") & (scores["metric"] == "mAP") & (scores["strategy"] == "X-Y")
    )
    table = check(scores.assign(value=scores["value"] + shift * moved), bias, MODELS)
    changed = table[table["verdict"] != "OK"]
    average = table[(table["query_language"] == "macro") & table["setting"].eq("multilingual") & table["task"].eq("mlqa-r")]
    found = average[(average["metric"] == "mAP") & (average["strategy"] == "X-Y")]["verdict"].item()
    assert found == verdict
    assert set(changed["strategy"]) <= {"X-Y"} and set(changed["task"]) <= {"mlqa-r"}


def test_one_language_alone_turns_red():
    scores, bias = run_like_the_paper()
    row = scores.index[(scores["task"] == "miracl") & (scores["query_language"] == "th") & (scores["metric"] == "nDCG@10")][0]
    scores.loc[row, "value"] -= 0.2
    off = check(scores, bias, MODELS).query("verdict == 'off'")
    assert set(off["query_language"]) <= {"th", "macro"} and "th" in set(off["query_language"])


def test_what_another_seed_could_give_is_no_difference():
    """Off by .04 with one seed; the same mean with seeds that differ by that much lies within the spread."""
    one, three = (check(*run_like_the_paper(shift), MODELS) for shift in ({1: 0.06}, {1: 0.01, 2: 0.06, 3: 0.11}))
    score = three["metric"] != "rank distance"
    assert (one[one["metric"] == "mAP"]["verdict"] != "OK").any() and one["spread"].isna().all()
    assert (three[score]["verdict"] == "OK").all() and (three["seeds"] == 3).all() and (three[score]["spread"] > 0.02).all()


def test_rank_distances_are_judged_by_share():
    scores, bias = run_like_the_paper()
    for factor, verdict in ((1.04, "OK"), (1.1, "near"), (1.4, "off")):
        table = check(scores, bias.assign(value=bias["value"] * factor), MODELS)
        assert set(table[(table["metric"] == "rank distance") & (table["query_language"] == "macro")]["verdict"]) == {verdict}


def test_averages_are_taken_over_the_languages_both_have():
    scores, bias = run_like_the_paper()
    scores = scores[scores["query_language"].isin(["ar", "de"])]
    table = check(scores, bias, MODELS).query("task == 'xquad-r' and metric == 'mAP' and strategy == 'X-Y' and setting == 'monolingual'")
    single = table[table["query_language"] != "macro"]
    assert sorted(single["query_language"]) == ["ar", "de"]
    assert table[table["query_language"] == "macro"]["published"].item() == pytest.approx(single["published"].mean())


def run_of_public_encoders(tasks=("miracl", "mkqa"), languages: int | None = None) -> pd.DataFrame:
    """Scores of a run whose public encoders have the published averages; languages: fewer than those are over."""
    rows = reference_numbers().query("base != '' and task in @tasks")
    parts = [
        {**row, "query_language": language, "seed": 0, "n": 9}
        for row in rows.to_dict("records")
        for language in (*(f"l{i}" for i in range(languages or row["languages"])), "macro")
    ]
    return pd.DataFrame(parts)[["base", "strategy", "seed", "task", "setting", "metric", "query_language", "value", "n"]]


def no_bias() -> pd.DataFrame:
    return run_like_the_paper()[1].iloc[:0]


def test_public_encoders_are_compared_with_their_published_averages():
    table = check(run_of_public_encoders(), no_bias()).set_index(["task", "model"])
    assert (table["verdict"] == "OK").all() and (table["query_language"] == "macro").all()
    assert table.loc[("miracl", "BGE-M3 dense"), ["base", "strategy", "metric"]].tolist() == ["bge-m3", "zero-shot", "nDCG@10"]
    assert table.loc[("miracl", "LaBSE off the shelf"), "strategy"] == "untrained" and ("mkqa", "mE5-large") in table.index
    assert len(summary(table.reset_index())) == len(table)


@pytest.mark.parametrize(("shift", "verdict"), [(0.009, "OK"), (-0.02, "near"), (0.04, "off")])
def test_a_shifted_reference_number_turns_its_row_alone(shift, verdict):
    scores = run_of_public_encoders()
    moved = (scores["base"] == "me5-base") & (scores["query_language"] == "macro")
    table = check(scores.assign(value=scores["value"] + shift * moved), no_bias())
    assert set(table[table["base"] == "me5-base"]["verdict"]) == {verdict} and set(table[table["base"] != "me5-base"]["verdict"]) == {"OK"}


def test_published_averages_are_over_all_languages_or_none():
    with pytest.raises(InputError, match="nothing to compare"):
        check(run_of_public_encoders(languages=2), no_bias())


def test_the_command_is_red_for_a_public_encoder_that_is_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, scores = open_run("pretrained"), run_of_public_encoders()
    for change, status in ((0.0, 0), (0.1, 1)):
        save_table(run, "scores", scores.assign(value=scores["value"] - change))
        save_table(run, "bias", no_bias())
        assert main(["check", "--profile", "pretrained"]) == status
        assert "BGE-M3 dense" in capsys.readouterr().out


def test_nothing_to_compare_is_said_with_what_could_be():
    with pytest.raises(InputError, match="Name another with --as BASE=MODEL"):
        check(*run_like_the_paper(), {})


def test_a_misspelt_base_or_model_is_refused_with_the_nearest(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("pretrained")
    for name, table in zip(("scores", "bias"), run_like_the_paper(), strict=True):
        save_table(run, name, table)
    for stands_for, said in (
        ("alined=LaBSE", "base of the run 'alined' (did you mean 'aligned'?)"),
        ("aligned=LaBES", "did you mean 'LaBSE'?"),
    ):
        assert main(["check", "--profile", "pretrained", "--as", "aligned=LaBSE", "--as", stands_for]) == 1
        assert said in capsys.readouterr().err


def test_tables_for_readers():
    table = check(*run_like_the_paper(), MODELS)
    short = summary(table)
    assert (short["languages off"] == 0).all() and short[short["task"] == "xquad-r"]["languages OK"].eq(11).all()


@pytest.mark.parametrize(("change", "status"), [(0.0, 0), (0.2, 1)])
def test_the_command_ends_with_status_one_when_a_row_is_off(change, status, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, (scores, bias) = open_run("pretrained"), run_like_the_paper()
    save_table(run, "scores", scores.assign(value=scores["value"] - change * (scores["query_language"] == "zh")))
    save_table(run, "bias", bias)
    assert main(["check", "--profile", "pretrained", "--as", "aligned=LaBSE"]) == status
    printed = capsys.readouterr().out
    assert ("0 off" in printed) == (status == 0) and (run.results / "check.csv").is_file()
    assert main(["check", "--profile", "pretrained"]) == 1 and "nothing to compare" in capsys.readouterr().err


def test_other_expected_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, (scores, bias) = open_run("pretrained"), run_like_the_paper()
    save_table(run, "scores", scores)
    save_table(run, "bias", bias)
    expected = tmp_path / "expected.csv"
    in_our_names().assign(model="mine").drop_duplicates(["task", "strategy", "setting", "language", "metric"]).to_csv(expected, index=False)
    assert main(["check", "--profile", "pretrained", "--as", "aligned=mine", "--against", str(expected)]) in (0, 1)
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,task\na,b\n", "column 'strategy' is missing"),
        ("model,task,strategy,setting,language,metric,value\na,b,c,d,e,f,x\n", "line 2: the value is not a number"),
    ],
)
def test_broken_expectations_are_refused_by_place(text, said, tmp_path):
    (tmp_path / "expected.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_published(tmp_path / "expected.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_published(tmp_path / "absent.csv")
