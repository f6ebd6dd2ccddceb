"""Sentences and tables say what the numbers say: change the numbers, and the words change."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from made_up import BASES, SEEDS, STRATEGIES, TASKS, made_up_tables, questions

from hybridir_utils.rank.resampling import retention
from hybridir_utils.rank.significance import compare
from hybridir_utils.results import findings, reading, tables
from hybridir_utils.results.paper import paper_numbers, paper_scores
from hybridir_utils.results.style import SHORT_SETTINGS
from hybridir_utils.suite.readers import paper_languages
from hybridir_utils.suite.running import HEADLINE

PAPER = {  # PAPER §5 (arXiv 2408.10536, tables 3-8): X-X-mono, X-Y, hybrid for Mo., Cr., Mul., rank distance
    ("XQuAD-R", "paper, XLM-R"): ((0.792, 0.755, 0.798), (0.674, 0.700, 0.705), (0.548, 0.593, 0.593), (410, 295, 287)),
    ("MLQA-R", "paper, XLM-R"): ((0.648, 0.626, 0.648), (0.584, 0.620, 0.623), (0.473, 0.508, 0.512), (288, 227, 227)),
    ("XQuAD-R", "paper, LaBSE"): ((0.808, 0.801, 0.817), (0.752, 0.762, 0.767), (0.652, 0.679, 0.682), (262, 225, 221)),
    ("MLQA-R", "paper, LaBSE"): ((0.681, 0.671, 0.686), (0.656, 0.677, 0.681), (0.550, 0.576, 0.579), (225, 198, 195)),
}


@pytest.fixture(scope="module")
def made_up():
    return made_up_tables()


@pytest.mark.parametrize("place", PAPER, ids=" ".join)
def test_the_papers_means_are_those_of_its_tables(place):
    table = paper_scores()
    for column, values in zip([*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "rank distance"], PAPER[place], strict=True):
        found = [float(table.loc[(*place, strategy), column]) for strategy in ("X-X-mono", "X-Y", "hybrid")]
        assert found == pytest.approx(values, abs=1.01 if column == "rank distance" else 0.00101), column


def test_the_papers_numbers_cover_every_language_once():
    numbers = paper_numbers()
    keys = ["table", "model", "task", "batching", "setting", "language", "metric"]
    assert not numbers.duplicated(keys).any() and numbers["value"].notna().all()
    mono = numbers[(numbers["task"] == "XQuAD-R") & (numbers["setting"] == "monolingual") & (numbers["metric"] == "mAP")]
    assert set(mono.groupby(["model", "batching"]).size()) == {11}


def test_every_sentence_ends_and_holds_no_missing_number(made_up):
    tests = tables.test_table(questions({"X-X-mono": 0.3, "X-Y": 0.3, "hybrid": 0.5}), "AP", 200).assign(task=TASKS[0])
    leaks = pd.DataFrame({"pair": ["a", "a", "b"], "kind": ["exact", "near", "near"]})
    said = [
        *reading.on_preparation(made_up["coverage"], made_up["rejections"], leaks),
        *reading.on_batches(made_up["language_shares"]),
        *reading.on_losses(made_up["losses"]),
        *findings.on_scores(made_up["scores"], tests),
        *findings.against_paper(made_up["scores"]),
        *findings.on_bias(made_up["bias"], tests),
        *findings.on_debiasing(made_up["debiasing"]),
    ]
    assert len(said) == 3 + 2 + 2 + 4 + 3 + 4 + 2
    for sentence in said:
        assert sentence.endswith(".") and "nan" not in sentence, sentence


def test_preparation_counts_what_is_left_refused_and_leaked():
    coverage = pd.DataFrame({"step": ["translated", "translated", "for training"], "pairs": [60, 40, 75]})
    rejections = pd.DataFrame({"language": ["de", "en", "en"], "check": ["copied", "copied", "script"], "texts": [2, 1, 2]})
    leaks = pd.DataFrame({"pair": ["a", "a", "b"], "kind": ["exact", "near", "near"]})
    assert reading.on_preparation(coverage, rejections, leaks) == [
        "75 of 100 pairs (75%) are left for training.",
        "Most rejections are in en (3 texts); the most frequent reason is `copied` (3 texts).",
        "2 parallel groups were dropped because a text of theirs stands in an evaluation set (1 exact hits, 2 near ones).",
    ]
    assert reading.on_preparation(coverage, rejections.head(0), leaks.head(0))[1:] == [
        "No quality check refused a text.",
        "No training text equals or nearly equals an evaluation text.",
    ]


def test_batches_tell_the_share_within_a_language_and_the_worst_deviation():
    shares = pd.DataFrame(
        [
            ("hybrid", "de", "de", 0.5, 0.55),
            ("hybrid", "de", "en", 0.5, 0.45),
            ("X-Y", "de", "en", 1.0, 1.0),
            ("X-Y", "en", "en", 0.0, 0.0),
        ],
        columns=["strategy", "question_language", "passage_language", "planned", "realised"],
    )
    within, off = reading.on_batches(shares)
    assert "X-Y 0%, hybrid 55%" in within and "further than 5.0 percentage points" in off


@pytest.mark.parametrize(("better", "worse"), [("X-Y", "hybrid"), ("hybrid", "X-Y")])
def test_losses_name_the_lowest_at_the_last_step(better, worse):
    rows = [
        (
            "aligned",
            strategy,
            1,
            step,
            split,
            1.0 - (step == 100) * (0.5 if strategy == better else 0.25) + (step == 50) * (strategy == better),
        )
        for strategy in (better, worse)
        for step in (50, 100)
        for split in ("train", "mono", "cross")
    ]
    (sentence,) = reading.on_losses(pd.DataFrame(rows, columns=["base", "strategy", "seed", "step", "split", "loss"]))
    assert f"within a language is {better}'s (0.50 nats), across languages {better}'s (0.50)" in sentence


def score_sentence(means: dict[str, float], **options) -> str:
    """What on_scores says of one task and base whose questions have these means."""
    per = questions(means, **options)
    macro = per.groupby(["strategy", "seed", "setting"])["AP"].mean().reset_index(name="value")
    scores = macro.assign(task="t", base="aligned", query_language="macro", metric="mAP", alpha=0.5)
    (sentence,) = findings.on_scores(scores, tables.test_table(per, "AP", 300))
    return sentence


@pytest.mark.parametrize(
    ("means", "options", "verdict"),
    [
        ({"X-X-mono": 0.3, "X-Y": 0.3, "hybrid": 0.4}, {}, "ahead of"),
        ({"X-X-mono": 0.5, "X-Y": 0.5, "hybrid": 0.4}, {}, "behind"),
        ({"X-X-mono": 0.4, "X-Y": 0.4, "hybrid": 0.4}, {}, "not clearly different from"),
        ({"X-X-mono": 0.3, "X-Y": 0.3, "hybrid": 0.4}, {"seeds": (1,)}, "ahead of"),
    ],
    ids=["ahead", "behind", "equal", "one seed"],
)
def test_verdicts_follow_the_tests(means, options, verdict):
    sentence = score_sentence(means, **options)
    for short in SHORT_SETTINGS.values():
        for other in ("X-X-mono", "X-Y"):
            assert re.search(rf"{re.escape(short)} {verdict} [^;]*{other} \(", sentence)
    best = max(means, key=means.get)
    if verdict != "not clearly different from":
        assert f"highest mAP after training: Mo. {best}" in sentence or means["X-Y"] == means["X-X-mono"] == max(means.values())
    gain = means["hybrid"] - means["X-Y"]
    assert f" X-Y ({gain:+.3f})"[:-4] in sentence


def test_a_difference_that_seeds_do_not_agree_on_is_not_called_clear():
    per = questions({"X-X-mono": 0.3, "X-Y": 0.35, "hybrid": 0.4})
    per.loc[(per["strategy"] == "X-Y") & (per["seed"] == 1), "AP"] += 0.12
    tested = tables.test_table(per, "AP", 300)
    row = tested[tested["strategy"] == "X-Y"].iloc[0]
    assert row["seed_low"] < 0 < row["seed_high"]
    sentence = findings._on_tests(tested.assign(p_holm=0.001), "t", "aligned")
    assert sentence.startswith(" Hybrid: Mo. ahead of X-X-mono (+0.") and sentence.count("not clearly different from X-Y") == 3


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        ({"X-X-mono": 30.0, "X-Y": 30.0, "hybrid": 20.0}, "less language-biased than"),
        ({"X-X-mono": 20.0, "X-Y": 20.0, "hybrid": 30.0}, "more language-biased than"),
        ({"X-X-mono": 20.0, "X-Y": 20.0, "hybrid": 20.0}, "not clearly different from"),
    ],
    ids=["less", "more", "equal"],
)
def test_bias_is_told_in_the_right_direction_for_distances(distances, words):
    """The smaller rank distance is the less biased one."""
    per = questions(distances, value="rank_distance")
    per = per[per["setting"] == "multilingual"]
    tested = tables.test_table(per, "rank_distance", 300)
    others = {"same-language share@10": 0.5, "same-language pool share": 0.1, "rank distance (best)": 10, "rank distance (random)": 99}
    rows = [
        (strategy, measure, value) for strategy in distances for measure, value in {**others, "rank distance": distances[strategy]}.items()
    ]
    bias = pd.DataFrame(rows, columns=["strategy", "measure", "value"]).assign(task="t", base="aligned", query_language="macro")
    (sentence,) = findings.on_bias(bias, tested)
    assert re.search(rf"\. Over questions, hybrid is {words} X-X-mono \([+-]\d+ ranks\), X-Y \([+-]\d+ ranks\)\.$", sentence), sentence
    assert "(-0 ranks)" not in "".join(findings.on_bias(bias, tested.assign(mean_difference=0.3))), "no negative zero"
    assert f"lowest: {min(distances, key=distances.get)}" in sentence and "hybrid 50%, pool 10%" in sentence


def clear_tests(*rows: tuple) -> pd.DataFrame:
    """Rows of tests that are clear: task, base, setting, measure, strategy, mean difference from hybrid."""
    table = pd.DataFrame(rows, columns=["task", "base", "setting", "measure", "strategy", "mean_difference"])
    return table.assign(baseline="hybrid", p_holm=0.001, seed_low=np.nan, seed_high=np.nan)


def test_how_often_hybrid_is_ahead_is_counted_in_its_direction_measure_by_measure():
    """Tests hold the other strategy minus hybrid, sentences hybrid minus the other; of a rank distance the lower is ahead."""
    rows = [("t", base, "monolingual", "AP", "X-Y", difference) for base, difference in (("a", -0.1), ("b", -0.3), ("c", 0.05))]
    rows += [("t", "a", "multilingual", "rank_distance", name, gap) for name, gap in (("X-X-mono", 40.0), ("X-Y", -10.0), ("X-X", 99.0))]
    mono, distance = findings.against_main(clear_tests(*rows))
    assert mono == (
        "Mo. mAP, 3 cases (a test set and a base each), with the mean difference: "
        "hybrid is ahead of X-Y in 2 (+0.200), behind X-Y in 1 (-0.050)."
    )
    assert distance == "Rank distance (less is better): hybrid is ahead of X-X-mono (-40 ranks), behind X-Y (+10 ranks)."


def test_a_sentence_of_one_base_takes_no_test_of_another():
    rows = [(task, base, "monolingual", "AP", "X-Y", -0.1) for task in ("t", "other") for base in ("a", "b")]
    rows[0] = (*rows[0][:5], 0.2)
    assert findings._on_tests(clear_tests(*rows), "t", "a") == " Hybrid: Mo. behind X-Y (-0.200)."
    assert findings._on_tests(clear_tests(*rows), "t", "b") == " Hybrid: Mo. ahead of X-Y (+0.100)."


def test_the_interval_of_a_gain_turns_with_its_sign():
    row = clear_tests(("t", "a", "multilingual", "AP", "centred X-Y", -0.1)).assign(low=-0.15, high=-0.02)
    (sentence,) = findings.on_mean_tested(row)
    assert sentence.endswith("uncentred hybrid is ahead of centred X-Y (+0.100 [+0.020, +0.150]).")


def test_the_order_is_told_beside_the_papers():
    rows = [("hybrid", "monolingual", 0.5), ("X-Y", "monolingual", 0.7), ("X-X-mono", "monolingual", 0.6)]
    scores = pd.DataFrame(rows, columns=["strategy", "setting", "value"])
    scores = scores.assign(task="t", base="b", query_language="macro", metric="mAP", seed=1)
    sentence = findings.against_paper(scores)[0]
    assert sentence == "Mo.: the paper's means have hybrid ≥ X-X-mono > X-Y; ours: t from b: X-Y 0.700 > X-X-mono 0.600 > hybrid 0.500."
    alike = scores.assign(value=[0.6001, 0.5999, 0.4])
    assert findings.against_paper(alike)[0].endswith("X-Y 0.600 = hybrid 0.600 > X-X-mono 0.400.")


GIVEN = {"setting": "multilingual", "fitted_on": "pool", "question_language": "given"}


def test_debiasing_names_the_best_method():
    rows = [
        ("X-X-mono", "none", 0.2),
        ("X-X-mono", "lir", 0.4),
        ("X-X-mono", "lsar", 0.3),
        ("hybrid", "none", 0.6),
        ("hybrid", "lsar", 0.7),
    ]
    table = pd.DataFrame(rows, columns=["strategy", "method", "value"]).assign(base="b", task="t", metric="mAP", **GIVEN)
    (sentence,) = findings.on_debiasing(table)
    assert (
        "LIR fitted on the pool moves X-X-mono from 0.200 to 0.400" in sentence and "give 0.600, and LSAR on top of them 0.700" in sentence
    )
    assert findings.on_debiasing(table[table["strategy"] == "hybrid"]) == []
    (worse,) = findings.on_debiasing(table.assign(value=table["value"].where(table["method"] == "none", 0.1)))
    assert "LIR fitted on the pool moves X-X-mono from 0.200 to 0.100" in worse and "LSAR on top of them 0.100" in worse, (
        "a method, though none is better"
    )


def beside(hybrid: float = 0.55, training: float = 0.4) -> pd.DataFrame:
    """Untrained and hybrid as they are and with means taken off, of the pool, and of training passages without Thai."""
    ways = [("none", "-", 0.3, hybrid), ("centring", "pool", 0.5, 0.56), ("centring", "training", training, 0.5)]
    rows = [
        (strategy, *way, metric, value * scale)
        for *way, untrained, own in ways
        for strategy, value in (("untrained", untrained), ("hybrid", own))
        for metric, scale in (("mAP", 1), ("rank distance", 1000))
    ]
    table = pd.DataFrame(rows, columns=["strategy", "method", "fitted_on", "metric", "value"])
    table = table.assign(base="b", task="t", **{**GIVEN, "fitted_on": table["fitted_on"]})
    table["not_fitted"] = table["fitted_on"].map({"training": "th"}).fillna("")
    return pd.concat([table.assign(seed=seed) for seed in (1, 2)])


def test_what_batches_give_stands_beside_what_a_mean_of_the_pool_and_of_other_text_gives():
    table = beside()
    (sentence,) = findings.on_beside_a_mean(table)
    assert sentence == (
        "t, from b, Mul. mAP and rank distance: untrained 0.300 and 300; hybrid batches 0.550 and 550; a mean taken off each language, "
        "nothing trained, fitted on the pool 0.500 and 500 (80% of the mAP gain), on training passages 0.400 and 400 (40% of the mAP gain)"
        "; off hybrid's vectors, fitted on the pool 0.560 and 560 (mAP +0.010), on training passages 0.500 and 500 (mAP -0.050); "
        "no training passages in th."
    )
    (alone,) = findings.on_beside_a_mean(table[table["fitted_on"] != "training"].assign(not_fitted=""))
    assert "on the pool 0.500" in alone and "training" not in alone
    assert findings.on_beside_a_mean(table[table["seed"] == 1])[0].startswith("t, from b, one seed")
    for nothing in (0.3004, 0.1):
        assert "gain" not in findings.on_beside_a_mean(beside(hybrid=nothing))[0]
    assert findings.on_beside_a_mean(table[table["strategy"] == "hybrid"]) == []


def order_tests(minus_y: float, seed_high: float) -> pd.DataFrame:
    """X-X-mono clearly below hybrid, X-Y by this beside it."""
    rows = [("X-X-mono", -0.03, 0.001, -0.04, -0.01), ("X-Y", minus_y, 0.001, -0.03 if minus_y < 0 else -0.002, seed_high)]
    table = pd.DataFrame(rows, columns=["strategy", "mean_difference", "p_holm", "seed_low", "seed_high"])
    return table.assign(task="t", base="b", setting="multilingual", measure="AP")


def test_the_papers_order_in_the_mixed_pool_is_told_by_the_decision_rule():
    (undecided,) = findings.on_order(order_tests(0.015, 0.03))
    assert undecided.endswith("here: t, from b: ahead of X-X-mono (+0.030), not clearly different from X-Y (-0.015).")
    assert "hybrid ahead of both" in undecided and findings.PAPER_SHAPE["multilingual"] in undecided
    (shown,) = findings.on_order(order_tests(-0.02, -0.01))
    assert shown.endswith("t, from b: ahead of X-X-mono (+0.030), X-Y (+0.020).")


@dataclass
class Centred:
    """Evaluations of which the values by question after centring are these."""

    values: pd.DataFrame

    def has(self, part: str) -> bool:
        return part == "debiasing_questions" and len(self.values) > 0

    def table(self, part: str) -> pd.DataFrame:
        return self.values


def mean_tests(centred: dict[str, float], seeds=(1, 2, 3), hybrid: float = 0.5) -> pd.DataFrame:
    """Tests of encoders with these means after centring against uncentred hybrid; of the untrained base there is one, without a seed."""
    parts = [questions({name: mean}, (0,) if name == "untrained" else seeds) for name, mean in centred.items()]
    plain = questions({"X-Y": 0.9, "hybrid": hybrid})
    told = [part.assign(rank_distance=1000 * (1 - part["AP"])) for part in (pd.concat(parts), plain)]
    return tables.debiasing_tests(Centred(told[0]), told[1], 300)


def test_centred_encoders_are_tested_against_hybrid_as_it_is():
    found = mean_tests({"untrained": 0.3, "X-X-mono": 0.45, "hybrid": 0.55})
    assert list(found["setting"].unique()) == ["multilingual"] and list(found["measure"].unique()) == ["AP", "rank_distance"]
    ap = found[found["measure"] == "AP"].set_index("strategy")
    assert set(ap.index) == {"centred untrained", "centred X-X-mono", "centred hybrid"} and set(ap["baseline"]) == {"hybrid"}
    expected = {"centred untrained": -0.2, "centred X-X-mono": -0.05, "centred hybrid": 0.05}
    assert ap["mean_difference"].to_dict() == {name: pytest.approx(value, abs=0.01) for name, value in expected.items()}
    assert (ap["n_seeds"] == 3).all() and ap["seed_low"].notna().all(), "the base without a seed stands beside each"
    (sentence,) = findings.on_mean_tested(found)
    assert sentence.startswith(
        "t, from aligned, Mul. mAP by paired tests, means fitted on the pool: uncentred hybrid is ahead of centred X-X-mono (+0.0"
    )
    assert "a mean on top of hybrid adds to it (+0.0" in sentence


def test_what_a_mean_adds_follows_the_sign_and_what_is_unclear_is_called_so():
    (worse,) = findings.on_mean_tested(mean_tests({"X-X-mono": 0.6, "hybrid": 0.4}))
    assert "uncentred hybrid is behind centred X-X-mono (-0." in worse and "hybrid takes from it (-0." in worse
    (same,) = findings.on_mean_tested(mean_tests({"X-X-mono": 0.5, "hybrid": 0.5}))
    assert "not clearly different from centred X-X-mono" in same and "hybrid does not clearly change it" in same
    (alone,) = findings.on_mean_tested(mean_tests({"hybrid": 0.6}, seeds=(2,)))
    assert "uncentred" not in alone and "adds to it" in alone


def test_seeds_that_were_not_centred_are_no_part_of_its_tests():
    found = mean_tests({"untrained": 0.3, "hybrid": 0.55}, seeds=(2,))
    assert (found["n_seeds"] == 1).all() and found["note"].str.startswith("1 shared seed").all()


@pytest.mark.parametrize("comparisons", [2, 4])
def test_too_few_resamples_are_told_where_the_smallest_corrected_p_is_not_below_the_level(comparisons):
    """The smallest p of the randomisation test, and of the bootstrap of a share kept, as they compute it of a sure difference."""
    rows = questions({f"s{n}": 0.2 for n in range(comparisons)} | {"hybrid": 0.6}).rename(columns={"AP": "value"})
    rows = rows[rows["setting"] == "multilingual"]
    tests = {1: lambda n: compare(rows, "hybrid", n), 2: lambda n: retention(rows.assign(value=0.9), rows, "hybrid", n)}
    for least, test in tests.items():
        enough = 20 * least * comparisons
        for resamples in (enough, enough - 1):
            said = findings.on_resamples(resamples, comparisons, least)
            assert bool(said) == bool(test(resamples)["p_holm"].min() >= 0.05) == (resamples < enough)


def test_a_run_that_centred_nothing_has_no_such_tests():
    found = tables.debiasing_tests(Centred(pd.DataFrame()), questions({"X-Y": 0.3, "hybrid": 0.5}), 300)
    assert found.empty and list(found) == [*tables.TEST_KEYS, *tables.TESTED] and findings.on_mean_tested(found) == []


def test_debiasing_tells_what_a_real_index_would_have(made_up):
    rows = made_up["debiasing"].query("setting == 'multilingual' and metric == 'mAP'")
    expected = rows.query("base == 'aligned' and question_language == 'identified'").groupby("strategy")["value"].mean()
    sentence = findings.on_debiasing(made_up["debiasing"])[0]
    assert "means of training passages; of th, which that text lacks, the mean of all languages" in sentence
    assert f"98.0% right) gives X-X-mono {expected['X-X-mono']:.3f} and hybrid {expected['hybrid']:.3f}." in sentence
    assert "as an index" not in "".join(findings.on_debiasing(rows.query("fitted_on != 'training'")))


def test_the_test_table_is_the_paired_test_of_each_task_base_and_setting():
    per = questions({"X-X-mono": 0.3, "X-Y": 0.45, "hybrid": 0.4})
    extra = per[per["strategy"] == "hybrid"]
    per = pd.concat([per, extra.assign(strategy="untrained"), extra.assign(strategy="BM25", base="reference")], ignore_index=True)
    found = tables.test_table(per, "AP", 200)
    assert list(found["setting"].unique()) == list(SHORT_SETTINGS) and set(found["strategy"]) == {"X-X-mono", "X-Y"}
    part = per[(per["setting"] == "multilingual") & per["strategy"].isin(["X-X-mono", "X-Y", "hybrid"])]
    expected = compare(part[["strategy", "seed", "group", "AP"]].rename(columns={"AP": "value"}), "hybrid", 200)
    rows = found[found["setting"] == "multilingual"][expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected)
    assert tables.test_table(per[per["strategy"] == "hybrid"], "AP", 10).empty


def test_the_score_table_gives_means_and_spread_over_seeds(made_up):
    scores, bias = made_up["scores"], made_up["bias"]
    table = tables.score_table(scores, bias)
    rows = scores[
        (scores["base"] == "aligned") & (scores["strategy"] == "hybrid") & (scores["task"] == TASKS[1]) & (scores["metric"] == "mAP")
    ]
    values = rows[(rows["setting"] == "multilingual") & (rows["query_language"] == "macro")]["value"]
    assert len(values) == len(SEEDS)
    assert table.loc[(TASKS[1], "aligned", "hybrid"), "Mul. mAP"] == f"{values.mean():.3f} ± {values.std():.3f}"
    assert "±" not in table.loc[(TASKS[0], "reference", "BM25"), "Mo. mAP"]
    assert list(table.index.get_level_values("task").unique()) == list(TASKS)
    first = table.loc[TASKS[0]].index.tolist()
    assert first == [*((base, s) for base in BASES for s in (*STRATEGIES, "untrained")), ("reference", "BM25"), ("reference", "random")]


def test_tables_by_language_and_measure_hold_the_means(made_up):
    table = tables.language_table(made_up["scores"], TASKS[0], "aligned")
    rows = made_up["scores"].query("task == @TASKS[0] and base == 'aligned' and strategy == 'X-Y' and query_language == 'de'")
    value = rows[(rows["setting"] == "cross-lingual") & (rows["metric"] == "mAP")]["value"].mean()
    assert table.loc[("cross-lingual", "X-Y"), "de"] == pytest.approx(value, abs=5.1e-4)
    biases = tables.bias_table(made_up["bias"], TASKS[0])
    assert biases.loc[(TASKS[0], "aligned", "hybrid"), "rank distance (best)"] == pytest.approx(2, abs=0.3)
    own = tables.bias_by_base(made_up["bias"].assign(value=lambda rows: rows["value"].where(rows["measure"] != "LPR", 0.5)), TASKS[0])
    assert list(own.index.unique("base")) == list(BASES) and {"hybrid", "BM25", "random"} <= set(own)
    assert "LPR" not in own.index.unique("measure") and "rank distance" in own.index.unique("measure"), "nothing that is alike for all"
    summary = tables.bias_summary(made_up["bias"])
    assert summary["rank distance"].loc[TASKS[0], "aligned", "hybrid"].count("±") == 1 and len(summary) == 28
    assert tables.metric_table(made_up["scores"], TASKS[0]).shape == (14, 9)


def test_the_papers_table_stands_beside_ours_only_where_tasks_are_shared(made_up):
    pd.testing.assert_frame_equal(tables.paper_table(made_up["scores"], made_up["bias"]), paper_scores())
    shared = made_up_tables(("xquad-r",))
    table = tables.paper_table(shared["scores"], shared["bias"])
    assert {"paper, XLM-R", "ours, aligned", "ours, unaligned"} <= set(table.loc["XQuAD-R"].index.get_level_values("encoder"))
    assert list(table.columns) == list(paper_scores().columns)
    beside = tables.beside_paper(shared["scores"], shared["bias"])
    pd.testing.assert_frame_equal(beside, table.loc[["XQuAD-R"]])
    assert tables.beside_paper(made_up["scores"], made_up["bias"]).empty


def test_markdown_has_a_row_a_line_and_no_broken_cell(made_up):
    text = tables.markdown(tables.score_table(made_up["scores"], made_up["bias"]))
    lines = text.splitlines()
    assert len(lines) == 2 + 28 and len({line.count("|") for line in lines}) == 1
    assert tables.markdown(pd.DataFrame({"a": [0.12345]}, index=pd.Index(["x"], name="n"))) == "| n | a |\n| --- | --- |\n| x | 0.123 |\n"


def test_comparators_stand_beside_the_encoder_as_it_is(made_up):
    debiasing = made_up["debiasing"]
    table = tables.debiasing_table(debiasing)
    shown = table.loc[(TASKS[0], "aligned", "hybrid")]
    assert list(shown.index.get_level_values("method")) == ["none", *["centring"] * 3, "LIR", "LSAR", "SHIFT"]
    assert list(table)[:4] == ["Mo. mAP", "Cr. mAP", "Mul. mAP", "Mul. R@10"] and "rank distance" in table
    on_pool = tables.fitted(debiasing, "pool")
    assert (
        set(on_pool["method"]) == set(tables.METHODS)
        and not on_pool.duplicated(["base", "strategy", "seed", "method", "setting", "metric"]).any()
    )
    further = debiasing.assign(task="further")
    assert tables.fitted(pd.concat([debiasing, further]), "pool").equals(on_pool), "the first task's"
    assert tables.lacking(on_pool) == [] and tables.lacking(tables.fitted(debiasing, *tables.FITS)) == ["th"]


def test_what_is_saved_of_the_scores_keeps_macro_averages_and_map_by_language(made_up):
    pairs = made_up["scores"].query("query_language != 'macro'").assign(candidate_language="de")
    scores = pd.concat([made_up["scores"], pairs], ignore_index=True)
    kept = tables.reported_scores(scores)
    assert len(kept) == len(made_up["scores"]) and kept["value"].notna().all()
    expected = made_up["scores"].query("query_language == 'macro'")["value"].sum()
    assert kept.query("query_language == 'macro'")["value"].sum() == pytest.approx(expected)


def test_distance_percentiles_are_those_of_the_questions():
    frame = pd.DataFrame({"task": "t", "base": "b", "strategy": "s", "rank_distance": [1.0, 2.0, 3.0, np.nan]})
    table = tables.distance_percentiles(frame).set_index("percentile")["rank_distance"]
    assert (table[0], table[50], table[100], len(table)) == (1, 2, 3, 101)


def test_the_paper_stands_beside_a_run_language_by_language():
    made_up = made_up_tables(("worldfacts-test", "mlqa-r", "xquad-r"))
    table = tables.paper_by_language(made_up["scores"], made_up["bias"])
    assert table.loc[("xquad-r", "Mo. mAP", "ar"), ("paper, XLM-R", "hybrid")] == pytest.approx(0.762, abs=5e-4)
    where = "task == 'xquad-r' and base == 'aligned' and strategy == 'X-Y' and setting == 'cross-lingual' and metric == 'mAP'"
    expected = made_up["scores"].query(where).query("query_language == 'de'")["value"].mean()
    assert table.loc[("xquad-r", "Cr. mAP", "de"), ("ours, aligned", "X-Y")] == pytest.approx(expected, abs=5e-4)
    measures = [*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "rank distance"]
    assert list(dict.fromkeys(table.index.droplevel(2))) == [(task, measure) for task in ("xquad-r", "mlqa-r") for measure in measures]
    without = made_up_tables(("worldfacts-test",))
    assert tables.paper_by_language(without["scores"], without["bias"]).empty


def test_ranks_by_language_have_no_decimals():
    made_up = made_up_tables(("xquad-r",))
    bias = made_up["bias"].assign(value=made_up["bias"]["value"] / 9)  # of tens, where other numbers have one decimal
    (ranks,) = (table for table in paper_languages(made_up["scores"], bias) if "rank distance" in table["caption"])
    cells = [text for group in ranks["groups"] for row in group for text, _ in row["cells"]]
    assert len(cells) > 100 and not [text for text in cells if "." in text]


def test_miracl_stands_beside_the_papers_ndcg():
    rows = made_up_tables(("miracl",))["scores"].query("setting == 'monolingual'").assign(metric="nDCG@10")
    table = tables.paper_by_language(rows, made_up_tables()["bias"].iloc[:0])
    assert set(table.index.droplevel(2)) == {("miracl", "Mo. nDCG@10")}
    expected = rows.query("base == 'aligned' and strategy == 'hybrid' and query_language == 'ar'")["value"].mean()
    assert table.loc[("miracl", "Mo. nDCG@10", "ar"), ("ours, aligned", "hybrid")] == pytest.approx(expected, abs=5e-4)
    assert table["paper, LaBSE", "hybrid"].notna().sum() == 15, "languages of the paper's table"


def test_public_encoders_stand_beside_what_is_published_of_them():
    rows = [("me5-base", "zero-shot", 0, "miracl", "monolingual", "nDCG@10", f"l{i}", 0.6) for i in range(18)]
    rows += [(*rows[0][:6], "macro", 0.6)]
    scores = pd.DataFrame(rows, columns=["base", "strategy", "seed", "task", "setting", "metric", "query_language", "value"])
    table = tables.reference_table(scores)
    assert table.loc[("miracl", "mE5-base"), ["published", "ours", "verdict"]].tolist() == [0.622, 0.6, "near"]
    assert tables.reference_table(made_up_tables()["scores"]).empty


def test_the_highest_strategy_is_counted_over_tasks_and_bases(made_up):
    (told,) = findings.on_highest(made_up["scores"])
    best = findings.trained(findings.macro(made_up["scores"])).groupby(["setting", "task", "base", "strategy"])["value"].mean()
    names = [key[-1] for key in best["monolingual"].groupby(["task", "base"]).idxmax()]
    assert told.startswith(f"Highest mAP after training, {len(names)} cases (a test set and a base each): Mo. ") and len(told) < HEADLINE
    mono = told.partition("Mo. ")[2].partition(";")[0].split(", ")
    assert sorted(mono) == sorted(f"{name} in {names.count(name)}" for name in set(names))
    assert findings.on_highest(made_up["scores"].head(0)) == []


def test_a_base_that_training_made_worse_is_told_beside_the_highest_strategy():
    """hybrid was the best of what was trained, at less than the base had before."""
    names = [("hybrid", 0.3, 0.6), ("X-Y", 0.2, 0.7), ("untrained", 0.5, 0.4)]
    rows = [
        (name, "aligned", setting, value)
        for name, *pair in names
        for setting, value in zip(("monolingual", "multilingual"), pair, strict=True)
    ]
    scores = pd.DataFrame(rows, columns=["strategy", "base", "setting", "value"]).assign(
        task="t", seed=1, query_language="macro", metric="mAP", alpha=0.5
    )
    assert findings.on_highest(scores) == ["Highest mAP after training: Mo. hybrid, untrained above it; Mul. X-Y."]
    both = pd.concat([scores, scores.assign(base="unaligned", value=scores["value"].where(scores["strategy"] != "untrained", 0.1))])
    assert findings.on_highest(both) == [
        "Highest mAP after training, 2 cases (a test set and a base each): Mo. hybrid in 2, untrained above it in 1; Mul. X-Y in 2."
    ]
    (sentence,) = findings.on_scores(scores, clear_tests())
    assert sentence == "t, from aligned: highest mAP after training: Mo. hybrid (0.300; untrained 0.500), Mul. X-Y (0.700)."
