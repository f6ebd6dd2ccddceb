"""Notebook 06: what is kept under shift, by hand; sentences follow the numbers, in every direction."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from made_up_shift import AWAY, HOME, SETTINGS, shift_tables, values

from hybridir_utils.rank.resampling import retention
from hybridir_utils.results.style import Nothing
from hybridir_utils.studies import plots, shift
from hybridir_utils.tasks.retrieval_task import task_from_pairs

NEWS = "neuclir"


def questions(home: dict[str, float], away: dict[str, float], **options) -> pd.DataFrame:
    """Per-question AP of one base in all settings, in domain and shifted."""
    parts = [
        values(means, **options).rename(columns={"value": "AP"}).assign(task=task, setting=setting, query_language="de")
        for task, means in ((HOME, home), (AWAY, away))
        for setting in SETTINGS
    ]
    return pd.concat(parts, ignore_index=True)


def kept_sentence(home, away, **options) -> str:
    kept = shift.kept_table(questions(home, away, **options), HOME, [AWAY], 300)
    (sentence,) = shift.on_kept(kept)
    return sentence


def test_kept_is_the_retention_of_each_task_base_and_setting():
    table = questions({"X-Y": 0.8, "hybrid": 0.8, "untrained": 0.4}, {"X-Y": 0.4, "hybrid": 0.6, "untrained": 0.3})
    lines = table[table["strategy"] == "untrained"].assign(base="reference")
    table = pd.concat([table, lines.assign(strategy="BM25"), lines.assign(strategy="random"), table.assign(base="unaligned")])
    kept = shift.kept_table(table, HOME, [AWAY], 200)
    assert len(kept) == 3 * (2 * 3 + 1) and "random" not in set(kept["strategy"])
    part = table[(table["base"] == "aligned") & (table["setting"] == "multilingual")].rename(columns={"AP": "value"})
    expected = retention(part[part["task"] == HOME], part[part["task"] == AWAY], "hybrid", 200)
    found = kept[(kept["base"] == "aligned") & (kept["setting"] == "multilingual")][expected.columns]
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert kept[kept["base"] == "reference"]["baseline"].eq("BM25").all()
    wide = shift.kept_wide(kept)
    assert list(wide.index.get_level_values("strategy")[:3]) == ["X-Y", "hybrid", "untrained"] and wide.index[-1][1] == "reference"
    assert wide.loc[(AWAY, "aligned", "hybrid"), ("Cr.", "kept")].startswith("0.75 [0.7")


@pytest.mark.parametrize(
    ("away", "words"),
    [
        ({"X-X-mono": 0.4, "X-Y": 0.4, "hybrid": 0.6}, "more than X-X-mono (50%), X-Y (50%)"),
        ({"X-X-mono": 0.6, "X-Y": 0.6, "hybrid": 0.4}, "less than X-X-mono (75%), X-Y (75%)"),
        ({"X-X-mono": 0.4, "X-Y": 0.6, "hybrid": 0.52}, "more than X-X-mono (50%), less than X-Y (75%)"),
        ({"X-X-mono": 0.6, "X-Y": 0.6, "hybrid": 0.6}, "not clearly different from X-X-mono (75%), X-Y (75%)"),
    ],
)
def test_what_hybrid_keeps_is_told_beside_the_others(away, words):
    sentence = kept_sentence(dict.fromkeys(away, 0.8), away)
    assert sentence.startswith(f"{AWAY}, from aligned: hybrid keeps {away['hybrid'] / 0.8:.0%} of its Mo. mAP (0.8")
    assert sentence.count(words) == 3, "in each setting"


@pytest.mark.parametrize(("away", "easier"), [(0.5, True), (0.3, False)])
def test_a_task_that_is_easier_without_any_training_is_named(away, easier):
    kept = shift.kept_table(questions({"hybrid": 0.6, "untrained": 0.4}, {"hybrid": 0.7, "untrained": away}), HOME, [AWAY], 50)
    (said,), home = shift.on_share(kept), "the easier task: Mo. mAP of the untrained bases and BM25 is 125% of that in domain"
    if easier:
        gains = ", ".join(f"{short} +0.198 / +0.198" for short in ("Mo.", "Cr.", "Mul."))
        assert said.startswith(f"{AWAY}: no share of the mAP in domain is told ({home}). ") and said.endswith(f": from aligned {gains}.")
    else:
        assert said.startswith(f"Under domain shift ({AWAY}; from aligned) hybrid keeps 117% of its Mo. mAP, 117% of its Cr. mAP")
    assert (shift.on_kept(kept) == []) is easier and (shift.kept_wide(kept).xs("kept", axis=1, level=1) == "").all(axis=None) == easier
    alike = shift.kept_table(questions({"hybrid": 0.6, "untrained": 0.4}, {"hybrid": 0.6, "untrained": 0.4001}), HOME, [AWAY], 50)
    assert "hybrid keeps 100%" in shift.on_share(alike)[0], "100% is not easier"


@pytest.mark.parametrize(("renamed", "told"), [(40, "40 and 40 questions, other ones"), (30, "40 and 40 questions, 10 of them in both")])
def test_what_other_questions_get_is_no_share_and_is_drawn_beside_what_those_in_domain_get(renamed, told):
    asked = questions({"hybrid": 0.8, "untrained": 0.6}, {"hybrid": 0.6, "untrained": 0.5})
    bm25 = asked[asked["strategy"] == "untrained"].assign(base="reference", strategy="BM25")
    others = asked["group"].isin([f"g{n}" for n in range(renamed)]) & (asked["task"] == AWAY)
    same, table = pd.concat([asked, bm25]), asked.assign(group=asked["group"].where(~others, "other " + asked["group"]))
    table = pd.concat([table, table[table["strategy"] == "untrained"].assign(base="reference", strategy="BM25")])
    kept = shift.kept_table(table, HOME, [AWAY], 50)
    (said,) = shift.on_share(kept)
    assert f"no share of the mAP in domain is told ({told}). " in said and "aligned Mo. +0.198 / +0.098, Cr. +0.198 / +0.098" in said
    figure = plots.kept(kept)
    ax, labels = figure.axes[0], [text.get_text() for text in figure.legends[0].get_texts()]
    assert ax.get_ylabel() == "mAP (in domain, shifted)" and told in ax.get_title().replace("\n", " ")
    assert labels == ["hybrid", "untrained", "BM25", "hollow: in domain", "filled: under shift"]
    dots = {dot.get_markerfacecolor(): dot.get_ydata()[0] for dot in ax.lines if dot.get_marker() == "o" and dot.get_xdata()[0] == -0.2}
    hybrid = kept[(kept["strategy"] == "hybrid") & (kept["setting"] == "monolingual")].iloc[0]
    assert list(dots.values()) == [hybrid["in_domain"], hybrid["shifted"]] and next(iter(dots)) == "white"
    ax = plots.kept(shift.kept_table(same, HOME, [AWAY], 50)).axes[0]
    assert ax.get_ylabel() == "mAP kept (shifted / in domain)" and "40 parallel questions in both tasks" in ax.get_title()


def test_a_task_is_easier_only_where_all_that_learnt_nothing_says_so_within_a_language():
    rows = [("news", "a", "untrained", "monolingual", 1.2), ("news", "reference", "BM25", "monolingual", 0.9)]
    rows += [("talks", "a", "untrained", "monolingual", 1.1), ("talks", "a", "untrained", "cross-lingual", 0.5)]
    rows += [("talks", "a", "hybrid", "monolingual", 0.4), ("talks", "reference", "BM25", "monolingual", 1.3)]
    kept = pd.DataFrame(rows, columns=["task", "base", "strategy", "setting", "kept"])
    easier = {"talks": "the easier task: Mo. mAP of the untrained bases and BM25 is 110% to 130% of that in domain"}
    assert shift.no_share(kept.assign(n_groups=9)) == easier


def test_shares_that_seeds_do_not_agree_on_are_not_called_clear():
    home, away = dict.fromkeys(("X-Y", "hybrid"), 0.8), {"X-Y": 0.5, "hybrid": 0.6}
    assert "more than X-Y" in kept_sentence(home, away)
    table = questions(home, away)
    table.loc[(table["task"] == AWAY) & (table["strategy"] == "X-Y") & (table["seed"] == 1), "AP"] += 0.25
    (sentence,) = shift.on_kept(shift.kept_table(table, HOME, [AWAY], 300))
    assert "not clearly different from X-Y" in sentence


def test_one_seed_says_what_stays_open():
    assert "more than X-Y" in kept_sentence({"X-Y": 0.8, "hybrid": 0.8}, {"X-Y": 0.4, "hybrid": 0.6}, seeds=(1,))
    means = alignment({"hybrid": (0.8, 0.4), "X-Y": (0.8, 0.2)}, seeds=(1,))
    kept = shift.alignment_kept(means, HOME, [AWAY])
    said = shift.on_alignment(means, kept, shift.alignment_differences(kept), [HOME, AWAY])
    assert "(one seed: which strategy keeps more cannot be concluded)" in said[0]


@pytest.mark.parametrize(
    ("other", "words"), [(0.4, "ahead of X-Y (+0.1"), (0.6, "behind X-Y (-0.1"), (0.5, "not clearly different from X-Y (")]
)
def test_the_shifted_task_itself_is_tested_and_unseen_languages_once_more(other, words):
    table = questions({"X-Y": 0.8, "hybrid": 0.8}, {"X-Y": other, "hybrid": 0.5})
    table = pd.concat([table, table.assign(query_language="el")])
    tests = shift.shift_tests(table, [AWAY], ["el"], 200)
    assert set(tests["task"]) == {AWAY} and tests.groupby("questions").size().to_dict() == {"all": 3, "unseen": 3}
    (sentence,) = shift.on_shifted_tests(tests)
    first, second = sentence.split("; on questions in unseen languages ")
    assert f"in Cr. mAP, hybrid is {words}" in first and words in second
    assert set(shift.shift_tests(table, [AWAY], [], 200)["questions"]) == {"all"}
    swapped = table.assign(AP=table["AP"].where(table["query_language"] == "de", 0.9 - table["AP"]))
    greek = shift.shift_tests(swapped, [AWAY], ["el"], 200).query("questions == 'unseen'")
    np.testing.assert_allclose(greek["mean_difference"], -tests.query("questions == 'unseen'")["mean_difference"], atol=1e-9)


def test_a_shifted_task_with_a_large_pool_is_tested_by_its_own_measure_and_has_no_share():
    table = questions({"X-Y": 0.8, "hybrid": 0.8}, {"X-Y": 0.4, "hybrid": 0.5})
    searched = values({"X-Y": 0.3, "hybrid": 0.6}, task=NEWS, setting="cross-lingual", query_language="en")
    table = pd.concat([table, searched.rename(columns={"value": "nDCG@20"})], ignore_index=True)
    assert set(shift.kept_table(table, HOME, [HOME, AWAY, NEWS], 50)["task"]) == {AWAY}, "a task is not shifted from itself"
    tests = shift.shift_tests(table, [AWAY, NEWS], [], 100)
    assert tests.groupby("task")["measure"].first().to_dict() == {AWAY: "AP", NEWS: "nDCG@20"}
    assert "in Cr. nDCG@20, hybrid is ahead of X-Y (+0.3" in shift.on_shifted_tests(tests)[-1]


def alignment(means: dict[str, tuple[float, float]], seeds=(1, 2, 3), base="aligned", spread=0.002) -> pd.DataFrame:
    """Alignment of passages in domain and shifted, as `alignment_means` gives it; the questions are the same in both."""
    rows = [
        (task, base, strategy, seed, side, measure, pair[place] + spread * seed * (side == "passage"))
        for (strategy, pair), side, measure in product(means.items(), ("question", "passage"), ("alignment_gap", "translation_accuracy"))
        for seed in ((0,) if strategy == "untrained" else seeds)
        for place, task in enumerate((HOME, AWAY) if side == "passage" else (HOME,))
    ]
    rows += [(AWAY, *row[1:]) for row in rows if row[4] == "question"]
    return pd.DataFrame(rows, columns=["task", "base", "strategy", "seed", "side", "measure", "value"])


def test_alignment_means_are_over_pairs_of_languages():
    pairs = list(permutations(("de", "en", "th"), 2))
    rows = [("alignment_gap", *pair, 0.1 * n) for n, pair in enumerate(pairs)] + [("uniformity", "all", "", -2.0)]
    table = pd.DataFrame(rows, columns=["measure", "language", "other_language", "value"])
    table = table.assign(task=HOME, base="aligned", strategy="hybrid", seed=1, side="passage")
    means = shift.alignment_means(pd.concat([table, table.assign(task="other")]), [HOME])
    assert means.set_index("measure")["value"].to_dict() == pytest.approx({"alignment_gap": 0.25, "uniformity": -2.0})
    assert set(means["task"]) == {HOME} and shift.alignment_wide(means).shape == (1, 2)


def test_the_share_of_alignment_kept_leaves_out_sides_that_are_not_shifted():
    kept = shift.alignment_kept(alignment({"hybrid": (0.8, 0.4), "X-Y": (-0.1, 0.2)}, spread=0.0), HOME, [AWAY])
    assert set(kept["side"]) == {"passage"} and len(kept) == 2 * 3 * 2
    moved = alignment({"hybrid": (0.8, 0.4)}, spread=0.0)
    moved.loc[(moved["task"] == AWAY) & (moved["side"] == "question") & (moved["seed"] == 2), "value"] += 0.1
    assert set(shift.alignment_kept(moved, HOME, [AWAY])["side"]) == {"question", "passage"}, "a side that moved in one measure is shifted"
    shares = kept.groupby("strategy")["kept"].mean()
    assert shares["hybrid"] == 0.5 and np.isnan(shares["X-Y"]), "no share of what was not there"


@pytest.mark.parametrize(
    ("other", "words", "counts"),
    [(0.2, "more than X-Y", "2 of 2 cases and less in 0"), (0.6, "less than X-Y", "0 of 2 cases and less in 2"),
     (0.4, "not clearly different from X-Y", "0 of 2 cases and less in 0")],
)  # fmt: skip
def test_whether_hybrid_keeps_more_alignment_follows_the_seeds(other, words, counts):
    means = alignment({"hybrid": (0.8, 0.4), "X-Y": (0.8, other), "untrained": (0.5, 0.1)})
    kept = shift.alignment_kept(means, HOME, [AWAY])
    differences = shift.alignment_differences(kept)
    assert set(differences["strategy"]) == {"X-Y"} and (differences["n_seeds"] == 3).all()
    (sentence,) = shift.on_alignment(means, kept, differences, [HOME, AWAY])
    assert "passages untrained 0.500 → 0.100 (20% kept), X-Y" in sentence
    assert f"(hybrid's share, by the interval over seeds: {words})" in sentence
    (count,) = shift.on_survival(differences, pd.DataFrame(columns=["task", "base", "correlation", "n"]))
    assert count.startswith(f"Under shift hybrid keeps clearly more of its alignment than X-Y in {counts} (")


def test_a_task_without_parallel_texts_gets_a_sentence():
    means = alignment({"hybrid": (0.8, 0.4), "X-Y": (0.8, 0.2)})
    kept = shift.alignment_kept(means, HOME, [AWAY])
    said = shift.on_alignment(means, kept, shift.alignment_differences(kept), [HOME, AWAY, NEWS])
    assert said[0] == "neuclir has no parallel texts, so its alignment is not measured." and len(said) == 2


@pytest.mark.parametrize("sign", [1, -1])
def test_alignment_and_accuracy_that_go_together_are_correlated(sign):
    strategies = {f"s{n}": (0.8, 0.1 * n) for n in range(1, 6)}
    kept = shift.alignment_kept(alignment(strategies), HOME, [AWAY])
    table = questions(dict.fromkeys(strategies, 0.8), {name: 0.4 + sign * 0.5 * pair[1] for name, pair in strategies.items()})
    found = shift.survival(kept, table, HOME)
    assert len(found) == 2 and (found["n"] == 15).all() and (sign * found["correlation"] > 0.9).all()
    said = shift.on_survival(shift.alignment_differences(kept), found)
    assert f"translation accuracy {'+' if sign > 0 else '-'}0.9" in said[-1] or f"{'+' if sign > 0 else '-'}1.00" in said[-1]
    other = table.assign(AP=table["AP"].where(table["setting"] == "cross-lingual", 1 - table["AP"]))
    pd.testing.assert_frame_equal(shift.survival(kept, other, HOME), found)  # accuracy across languages alone
    bent = kept.assign(kept=np.exp(20 * kept["kept"]))
    pd.testing.assert_frame_equal(shift.survival(bent, table, HOME), found)  # of ranks, not of values
    two = shift.survival(kept[kept["strategy"] == "s1"].query("seed < 3"), table, HOME)
    assert two["correlation"].isna().all(), "two encoders show nothing"


def scores(tasks=(HOME, AWAY), languages=("de", "en", "el")) -> pd.DataFrame:
    """mAP 1 + 2 if the question is Greek, + 4 if the pool is."""
    rows = [
        (task, strategy, seed, setting, one, other, 1 + 2 * (one == "el") + 4 * (other == "el") + (strategy == "X-Y") / 10)
        for task, strategy, seed, one in product(tasks, ("X-Y", "hybrid"), (1, 2), languages)
        for setting, others in (("monolingual", [one]), ("cross-lingual", set(languages) - {one}), ("multilingual", ["all"]))
        for other in others
    ]
    table = pd.DataFrame(rows, columns=["task", "strategy", "seed", "setting", "query_language", "candidate_language", "value"])
    return table.assign(base="aligned", metric="mAP")


def test_trained_and_unseen_languages_are_told_apart():
    kinds = shift.language_kinds(scores(), [HOME, AWAY], ["el"]).set_index(["task", "strategy", "setting", "question", "pool"])
    hybrid = kinds.sort_index().loc[(AWAY, "hybrid")]
    assert hybrid["value"].to_dict() == {
        ("monolingual", "trained", "trained"): 1, ("monolingual", "unseen", "unseen"): 7, ("cross-lingual", "trained", "trained"): 1,
        ("cross-lingual", "trained", "unseen"): 5, ("cross-lingual", "unseen", "trained"): 3, ("multilingual", "trained", "all"): 1,
        ("multilingual", "unseen", "all"): 3,
    }  # fmt: skip
    assert hybrid["pairs"]["cross-lingual", "trained", "unseen"] == 2 and (hybrid["n_seeds"] == 2).all()
    said = shift.on_languages(kinds.reset_index(), ["el"])
    (sentence,) = said  # Greek is in four ordered pairs of six: two of value 5, two of 3
    assert sentence.startswith("From aligned, Cr. mAP between trained languages / with el: ")
    assert sentence.count("hybrid 1.000 (best: X-Y 1.100) / hybrid 4.000 (best: X-Y 4.100)") == 2, "in both tasks"
    assert shift.language_kinds_wide(kinds.reset_index()).shape == (4, 7)
    near = kinds.reset_index().assign(value=lambda rows: rows["value"] - (rows["strategy"] == "X-Y") * 0.0999)
    assert "hybrid" not in shift.on_languages(near, ["el"])[0].replace("best: hybrid", ""), "X-Y's 1.000 is not better than hybrid's 1.000"


def test_unseen_languages_that_are_not_there_get_a_sentence():
    kinds = shift.language_kinds(scores(), [HOME, AWAY], ["vi"])
    assert shift.on_languages(kinds, ["vi"]) == ["No task of this run has the unseen languages (vi)."]
    one = shift.language_kinds(pd.concat([scores((HOME,), ("de", "en")), scores((AWAY,))]), [HOME, AWAY], ["el"])
    assert f"{HOME} hybrid 1.000 (best: X-Y 1.100) / none; {AWAY} hybrid" in shift.on_languages(one, ["el"])[0]
    greek = shift.language_kinds(scores(languages=("de", "el")), [HOME], ["el"])
    assert f"{HOME} none / hybrid 4.000 (best: X-Y 4.100)." in shift.on_languages(greek, ["el"])[0], "one trained language alone"
    (sentence,) = shift.on_languages(shift.language_kinds(scores(), [HOME], []), [])
    assert "notebook 08" in sentence


def test_tasks_and_the_languages_they_lack_are_named(tiny_pairs):
    task = task_from_pairs("tiny", tiny_pairs)
    table = shift.languages_of({HOME: task, AWAY: task, "other": task}, [HOME, AWAY], ("ar", "de", "en", "th", "vi"))
    assert table["lacking"].tolist() == ["vi", "vi"] and table["questions"].tolist() == [96, 96]
    said = shift.on_tasks(table, [AWAY])
    lacks = [f"{name} lacks vi; its numbers are over the languages it has." for name in (HOME, AWAY)]
    assert said == [f"In domain: {HOME}; shifted: {AWAY}.", *lacks]


def test_without_a_shifted_task_every_table_is_empty_and_a_sentence_says_why():
    table, means = questions({"X-Y": 0.8, "hybrid": 0.8}, {}), alignment({"hybrid": (0.8, 0.4)})
    kept, tests = shift.kept_table(table, HOME, [], 50), shift.shift_tests(table, [], [], 50)
    aligned = shift.alignment_kept(means, HOME, [])
    differences = shift.alignment_differences(aligned)
    assert kept.empty and tests.empty and aligned.empty and differences.empty and shift.survival(aligned, table, HOME).empty
    assert shift.kept_wide(kept).empty
    assert shift.on_kept(kept) == shift.on_share(kept) == shift.on_shifted_tests(tests) == []
    assert shift.on_alignment(means, aligned, differences, [HOME]) == []
    assert "name one or more of its `tasks`" in shift.on_tasks(pd.DataFrame(), [])[0]
    for plot, nothing in ((plots.kept, kept), (plots.alignment, means[means["task"] == HOME])):
        with pytest.raises(Nothing):
            plot(nothing)


def test_every_interval_of_what_is_kept_lies_within_its_axis():
    """Panels of one row share their axis: what a later one needs counts for the first, too."""
    table = shift_tables()["shift"]
    late = table["setting"].eq("multilingual") & table["strategy"].eq("hybrid")
    table.loc[late, ["kept", "kept_low", "kept_high"]] = 1.5, -0.1, 2.5
    for ax in plots.kept(table).axes:
        low, high = ax.get_ylim()
        assert low <= -0.1 and high >= 2.5
    assert plots.kept(table.assign(kept=0.5, kept_low=0.4, kept_high=0.6)).axes[0].get_ylim()[0] == 0
