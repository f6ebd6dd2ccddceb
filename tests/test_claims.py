"""Verdicts are computed: all eleven turn with the tables they rest on, and the paper's own are judged by the same rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import claim_tables
import nbformat
import numpy as np
import pandas as pd
import pytest
from claim_tables import MEANS, SUPPORTING, questions, source, without_rows

from hybridir_utils.base.errors import InputError, MissingInput
from hybridir_utils.base.files import NOTEBOOKS
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.experiment import run as runs
from hybridir_utils.experiment.profile import Profile, make_profile
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.experiment.stamps import STAGES, STAMPS, read_stamps
from hybridir_utils.provenance.fingerprints import sealed
from hybridir_utils.results.figures import FIGURES, draw
from hybridir_utils.results.paper import in_our_names
from hybridir_utils.results.style import VERDICT_COLOURS
from hybridir_utils.results.tables import test_table as paired_tests
from hybridir_utils.studies.claims import facts, rules, sources
from hybridir_utils.studies.claims.judging import (
    CLAIMS,
    COLUMNS,
    NOTES,
    PART_COLUMNS,
    claims_markdown,
    claims_table,
    evidence_markdown,
    on_claims,
    parts_matrix,
    parts_table,
    show_evidence,
    show_rules,
)
from hybridir_utils.studies.claims.rules import (
    AHEAD,
    BEHIND,
    CONTRADICTED,
    NOT_TESTABLE,
    SUPPORTED,
    SYMBOLS,
    UNCLEAR,
    UNDECIDED,
    UNTESTABLE,
    comparisons,
    untestable,
)
from hybridir_utils.studies.claims.sources import (
    about_sources,
    check_earlier,
    claim_tests,
    language_tests,
    other_runs,
    paper_sources,
    saved_source,
)
from hybridir_utils.suite.readers import write_tables


def verdict(number: int, of):
    (claim,) = [claim for claim in CLAIMS if claim.number == number]
    return claim.verdict(of)


def moved(strategy: str, setting: int, value: float, base: str | None = None) -> pd.DataFrame:
    """The supporting questions with one mean of a strategy (from one base) changed; setting 3: the rank distance."""
    means = list(MEANS[strategy])
    means[setting] = value
    return questions({(strategy, base) if base else strategy: tuple(means)})


def counts(row: int, **values) -> pd.DataFrame:
    table = claim_tables.task_counts()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


def macro_of(number: int, task: str, setting: str) -> pd.DataFrame:
    table = source().tables["scores"].copy()
    table.loc[(table["query_language"] == "macro") & (table["task"] == task) & (table["setting"] == setting), "n"] = number
    return table


def bm25_ahead_in_greek() -> pd.DataFrame:
    table = questions()
    chosen = (table["strategy"] == "BM25") & (table["query_language"] == "el") & (table["setting"] == "monolingual")
    return table.assign(AP=table["AP"].where(~chosen, 0.95))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"claim-{claim.number}")
def test_every_claim_can_be_supported(claim):
    found = claim.verdict(source())
    assert found.word == SUPPORTED, found.evidence
    assert re.search(r"\d", found.evidence), "numbers, not words alone"


def test_choosing_all_languages_is_no_choice():
    parameters = {"task_languages": [*XQUAD_R_LANGUAGES, "fr"]}
    assert [verdict(number, source(parameters=parameters)).word for number in (2, 3)] == [SUPPORTED, SUPPORTED]


REFUTED = {
    "1, off the share asked for": (
        1,
        lambda: source(mixture=claim_tables.mixture(0.9, 0.001)),
        "Outside chance: monolingual batches, 0.900",
    ),
    "2, a language fewer": (2, lambda: source(task_counts=claim_tables.task_counts().iloc[1:]), "in 10 languages"),
    "2, a question without a translation": (2, lambda: source(task_counts=counts(0, translated=11)), "1 without a translation"),
    "2, a question without an answer": (2, lambda: source(task_counts=counts(17, answered_elsewhere=9)), "3 without an answer"),
    "3, a pair missing": (3, lambda: source(scores=macro_of(109, "xquad-r", "cross-lingual")), "109 cross-lingual"),
    "3, a language missing": (3, lambda: source(scores=macro_of(6, "mlqa-r", "monolingual")), "6 monolingual"),
    "4, one strategy without it": (
        4,
        lambda: without_rows(
            "scores", "task == 'mlqa-r' and setting == 'multilingual' and strategy == 'X-Y' and query_language == 'macro'"
        ),
        "mlqa-r: Mo., Cr., Mul. of 4",
    ),
    "5, one text still there": (5, lambda: source(leak_recheck=claim_tables.leak_recheck(exact=1)), "Still there: xquad-r, question: 1"),
    "6, X-Y level in Mo.": (6, lambda: source(moved("X-Y", 0, 0.8)), "Mo.: X-X-mono 0.7"),
    "6, X-X-mono ahead in Cr.": (6, lambda: source(moved("X-X-mono", 1, 0.62)), "behind"),
    "7, X-Y ahead in the pool": (7, lambda: source(moved("X-Y", 2, 0.62)), "behind"),
    "7, from one base only": (7, lambda: source(moved("hybrid", 2, 0.54, "labse")), "xquad-r from labse, Mul."),
    "8, level in one setting from one base": (8, lambda: source(moved("hybrid", 0, 0.80, "xlm-r")), "2 not clearly different"),
    "9, ahead by too little": (9, lambda: source(moved("hybrid", 3, 370)), "ahead by less than asked"),
    "9, further apart": (9, lambda: source(moved("hybrid", 3, 430)), "behind"),
    "10, BM25 ahead in one language": (10, lambda: source(bm25_ahead_in_greek()), "Mo. el: hybrid 0.8"),
    "10, little kept in the unseen one": (10, lambda: source(questions(kept=0.7)), "Unseen el keep 7"),
    "11, a language without pairs": (
        11,
        lambda: source(coverage=claim_tables.coverage().query("language != 'el'")),
        "accepted by the quality checks 0% (el)",
    ),
    "11, most refused": (11, lambda: source(coverage=claim_tables.coverage(accepted=40)), "40%"),
}


@pytest.mark.parametrize("case", REFUTED)
def test_what_speaks_against_a_claim_turns_its_verdict(case):
    number, make, words = REFUTED[case]
    changed = make()
    found = verdict(number, changed)
    assert found.word == (UNDECIDED if "level" in case else CONTRADICTED), found.evidence
    assert words in found.evidence, found.evidence


ONE = {"seeds": (1,)}
APART = "(task == 'xquad-r') == (query_language == 'el')"  # no set has both trained and unseen languages
OPEN = {
    "1, no mix": (1, lambda: source(parameters={"alpha": 1.0}), "α = 1"),
    "1, no hybrid": (1, lambda: source(mixture=claim_tables.mixture().iloc[:0]), "no hybrid"),
    "1, few batches": (1, lambda: source(mixture=claim_tables.mixture().assign(low=0.3, high=0.7)), "100 batches are too few"),
    "1, not counted": (1, lambda: source(mixture=None), "`mixture`"),
    "2, other tasks": (2, lambda: source(task_counts=claim_tables.task_counts().assign(task="mine")), "Its own: mine: 216 questions"),
    "2, languages of one's choice": (2, lambda: source(parameters={"task_languages": ["de", "en"]}), "2 languages of its choice"),
    "3, other tasks": (3, lambda: without_rows("scores", "task == 'mlqa-r'"), "does not evaluate MLQA-R. Its own: xquad-r: 11 monolingual"),
    "4, other tasks": (4, lambda: without_rows("scores", "task == 'xquad-r'"), "does not evaluate XQuAD-R"),
    "5, not checked": (5, lambda: source(leak_recheck=None), "`leak_recheck`"),
    "6, one seed": (6, lambda: source(questions(**ONE)), "One seed"),
    "6, no X-Y": (6, lambda: source(questions().query("strategy != 'X-Y'")), "No test with X-X-mono and X-Y"),
    "7, one seed": (7, lambda: source(questions(**ONE)), "One seed"),
    "7, no X-X-mono": (7, lambda: source(questions().query("strategy != 'X-X-mono'")), "No test with X-X-mono"),
    "8, one seed": (8, lambda: source(questions(**ONE)), "One seed"),
    "8, one base": (8, lambda: source(questions(bases=("labse",))), "One base, labse"),
    "9, one seed": (9, lambda: source(questions(**ONE)), "One seed"),
    "9, no hybrid": (9, lambda: source(questions().query("strategy != 'hybrid'")), "No test with hybrid"),
    "10, one seed": (10, lambda: source(questions(**ONE)), "One seed"),
    "10, nothing unseen": (10, lambda: source(parameters={"unseen_languages": []}), "No language of such a set is unseen"),
    "10, unseen languages in a set of their own": (10, lambda: source(questions().query(APART)), "are asked in other sets or settings"),
    "10, tasks of the training's sources": (
        10,
        lambda: source(questions(), {"pair_sets": ["xquad", "mlqa"]}),
        "free of the training sets'",
    ),
    "11, a translation memory": (
        11,
        lambda: source(parameters={"translator": "memory", "pair_sets": ["worldfacts"]}),
        "no machine translation",
    ),
    "11, parallel as they come": (11, lambda: source(parameters={"pair_sets": ["mscourses", "mmarco"]}), "Nothing is translated"),
    "11, left in English": (11, lambda: source(parameters={"english_only": ["natural-questions"]}), "Nothing is translated"),
}


@pytest.mark.parametrize("case", OPEN)
def test_what_cannot_be_tested_is_said_with_the_reason(case):
    number, make, words = OPEN[case]
    found = verdict(number, make())
    assert found.word == NOT_TESTABLE, found.evidence
    assert words in found.evidence, found.evidence


def test_every_claim_was_turned_in_both_directions():
    numbers = {claim.number for claim in CLAIMS}
    assert numbers == set(range(1, 12)) == {number for number, *_ in REFUTED.values()} == {number for number, *_ in OPEN.values()}


def test_a_difference_that_seeds_do_not_share_supports_nothing():
    """Hybrid is .05 ahead on average, and by the tests over questions; one seed says the reverse."""
    found = verdict(7, source(questions(spread=0.1)))
    assert found.word == UNDECIDED and "not clearly different" in found.evidence
    assert re.search(r"over seeds \[-0\.\d+, \+0\.\d+\], p 0\.0", found.evidence), found.evidence


def test_a_difference_that_seeds_do_not_share_contradicts_nothing():
    """The other way round: hybrid .05 behind on average, its whole interval over questions below 0, and one seed says the reverse."""
    pools = questions({"hybrid": (0.85, 0.65, 0.50, 430)}, spread=0.1)
    behind = comparisons(source(pools).tables["tests"], "hybrid", "X-Y", ["multilingual"])
    assert all(c.high < 0 < c.seed_high for c in behind)
    assert verdict(7, source(pools)).word == UNDECIDED


@pytest.mark.parametrize(("seed_high", "word"), [(0.01, CONTRADICTED), (0.09, UNDECIDED), (np.nan, CONTRADICTED)])
def test_too_little_is_shown_by_both_intervals(seed_high, word):
    """Of published numbers there are no seeds, and the interval over languages decides."""
    (c, *_) = comparisons(SUPPORTING["tests"], "hybrid", "X-Y", ["multilingual"])
    ahead = replace(c, gain=0.02, low=0.01, high=0.03, seed_low=0.005, seed_high=seed_high)
    assert rules._all_ahead([ahead], source(), lambda c: 0.05).word == word


def test_one_base_that_fails_is_enough_against_claim_8():
    found = verdict(8, source(questions({"hybrid": (0.79, 0.65, 0.60, 290)}, bases=("labse",))))
    assert found.word == CONTRADICTED


def test_one_failing_half_decides_claim_10_and_an_open_one_does_not_hide_it():
    below = bm25_ahead_in_greek()
    assert verdict(10, source(below, {"unseen_languages": []})).word == CONTRADICTED
    assert verdict(10, source(questions(kept=0.7), language_tests=None)).word == CONTRADICTED


@pytest.mark.parametrize(("share", "word"), [(rules.LEAST_REDUCTION + 0.01, SUPPORTED), (rules.LEAST_REDUCTION - 0.01, CONTRADICTED)])
def test_the_reduction_asked_for_is_that_of_the_rule(share, word):
    distances = {name: (*MEANS[name][:3], 400.0 * factor) for name, factor in (("X-X-mono", 1), ("hybrid", 1 - share))}
    assert verdict(9, source(questions(distances))).word == word
    assert f"{rules.LEAST_REDUCTION:.0%} lower" in CLAIMS[8].rule


@pytest.mark.parametrize(("kept", "word"), [(rules.LEAST_KEPT + 0.03, SUPPORTED), (rules.LEAST_KEPT - 0.03, CONTRADICTED)])
def test_the_share_unseen_languages_keep_is_that_of_the_rule(kept, word):
    assert verdict(10, source(questions(kept=kept))).word == word
    assert f"at least {rules.LEAST_KEPT:.0%}" in CLAIMS[9].rule


@pytest.mark.parametrize(
    ("shares", "word"),
    [
        ({("a", 1): 0.9, ("a", 2): 0.85, ("b", 1): 0.9, ("b", 2): 0.81}, SUPPORTED),
        ({("a", 1): 0.9, ("a", 2): 0.9, ("b", 1): 0.9, ("b", 2): 0.7}, UNDECIDED),  # one seed of one base says otherwise
        ({("a", 1): 0.7, ("a", 2): 0.9, ("b", 1): 0.9, ("b", 2): 0.7}, UNDECIDED),  # no base of which every seed does
        ({("a", 1): 0.9, ("a", 2): 0.9, ("b", 1): 0.7, ("b", 2): 0.75}, CONTRADICTED),  # both seeds of one base
    ],
)
def test_what_unseen_languages_keep_is_contradicted_only_where_no_seed_of_a_base_keeps_it(shares, word):
    about = {"strategy": "hybrid", "metric": "mAP", "task": "xquad-r", "setting": "multilingual"}
    rows = [
        about | {"base": base, "seed": seed, "query_language": language, "value": 0.5 * (share if language == "el" else 1)}
        for (base, seed), share in shares.items()
        for language in ("de", "el", "en")
    ]
    found = rules._unseen_near(source(scores=pd.DataFrame(rows)))
    assert found.word == word and found.evidence.startswith(f"Unseen el keep {min(shares.values()):.0%} (xquad-r from ")


def test_an_untestable_half_of_claim_10_is_said_before_an_open_one(monkeypatch):
    for halves, word in (
        ((NOT_TESTABLE, UNDECIDED), NOT_TESTABLE),
        ((UNDECIDED, SUPPORTED), UNDECIDED),
        ((NOT_TESTABLE, CONTRADICTED), CONTRADICTED),
    ):
        for one, other in (halves, halves[::-1]):
            monkeypatch.setattr(rules, "_above_lines", lambda _, one=one: rules.Verdict(one, "a"))
            monkeypatch.setattr(rules, "_unseen_near", lambda _, other=other: rules.Verdict(other, "b"))
            assert rules.zero_shot(source()).word == word


def test_one_comparison_of_one_seed_is_enough_to_conclude_nothing():
    (c, d, *_) = comparisons(SUPPORTING["tests"], "hybrid", "X-Y", ["multilingual"])
    alone = replace(d, seed_low=np.nan, seed_high=np.nan)
    assert rules.one_seed([c, alone], source()).startswith("One seed") and rules.one_seed([c, d], source()) == ""


def test_a_gain_of_just_what_is_asked_is_enough_and_one_that_is_not_clear_never_is():
    (c, *_) = comparisons(SUPPORTING["tests"], "hybrid", "X-Y", ["multilingual"])
    assert rules._all_ahead([c], source(), lambda c: c.gain).word == SUPPORTED
    assert rules._all_ahead([replace(c, p=0.2)], source()).word == UNDECIDED


@pytest.mark.parametrize(("accepted", "word"), [(51, SUPPORTED), (49, CONTRADICTED)])
def test_the_accepted_share_is_that_of_the_rule(accepted, word):
    assert verdict(11, source(coverage=claim_tables.coverage(accepted))).word == word
    assert f"at least {facts.LEAST_ACCEPTED:.0%}" in CLAIMS[10].rule


def test_x_x_stands_beside_where_the_run_has_it():
    assert "X-X beside them (Mo. and Cr. mAP): mlqa-r from labse 0.7" in verdict(6, source()).evidence
    assert "Against X-X's rank distance" in verdict(9, source()).evidence
    without = source(questions().query("strategy != 'X-X'"))
    assert "X-X beside" not in verdict(6, without).evidence and verdict(6, without).word == SUPPORTED


def test_comparisons_take_the_claims_direction_whichever_strategy_is_the_baseline():
    asked = questions()
    one = comparisons(paired_tests(asked, "AP", 100), "X-Y", "hybrid", ["multilingual"])[0]
    other = comparisons(paired_tests(asked, "AP", 100, baseline="X-Y"), "X-Y", "hybrid", ["multilingual"])[0]
    for name in ("gain", "low", "high", "effect", "seed_low", "seed_high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=0.02 if name in ("low", "high") else 1e-9)
    assert one.gain < 0 and one.low < one.gain < one.high and one.outcome == BEHIND
    lower = comparisons(paired_tests(asked, "rank_distance", 100), "hybrid", "X-X-mono")[0]
    assert lower.gain == pytest.approx(110, abs=5) and lower.outcome == AHEAD and "lower by" in lower.numbers
    assert replace(one, seed_high=0.01).outcome == UNCLEAR and replace(one, p=0.05).outcome == UNCLEAR
    assert replace(one, seed_low=np.nan, seed_high=np.nan).outcome == BEHIND, "one seed contradicts nothing; the rules ask for two"


def test_what_an_unclear_comparison_leaves_open_is_told():
    (one, *_) = comparisons(paired_tests(questions(), "AP", 100), "X-Y", "hybrid", ["multilingual"])
    level = replace(one, gain=0.001, low=-0.003, high=0.005, seed_low=-0.004, seed_high=0.006)
    assert level.unclear_as_text(0.01) == "practically equal: within 0.01 by two one-sided tests"
    assert level.unclear_as_text(0.004) == "could have shown 0.006"
    assert replace(level, measure="rank_distance", low=-30, high=50).unclear_as_text(100) == "could have shown 56 ranks"
    found = verdict(8, source(moved("hybrid", 0, 0.80, "xlm-r")))
    assert re.search(r"not clearly different \([^)]*; (practically equal|could have shown 0\.0)", found.evidence), found.evidence


@pytest.mark.parametrize(("margin", "equal"), [({}, "no"), ({"equivalence_margin": 0.05}, "yes"), ({"equivalence_margin": 0.004}, "no")])
def test_what_is_practically_equal_is_so_by_the_margin_of_the_profile(margin, equal):
    """Without one, as published numbers are, by the profile's default: 90 % intervals that reach .0125 are beyond it."""
    (one, *_) = comparisons(paired_tests(questions(), "AP", 100), "hybrid", "X-Y", ["multilingual"])
    level = replace(one, gain=0.006, low=-0.002, high=0.014, p=0.2, seed_low=-0.002, seed_high=0.014)
    word = {"yes": "practically equal: within 0.05 by two one-sided tests", "no": "could have shown 0.011"}[equal]
    assert word in rules.line(level, source(parameters=margin))
    ((*place, found, least, practically),) = rules._all_ahead([level], source(parameters=margin)).parts
    assert (place[0], found, practically) == (level.task, UNDECIDED, equal) and least == pytest.approx(0.0112, abs=1e-4)
    assert Profile.model_fields["equivalence_margin"].default == rules.MARGIN


def test_the_margin_of_the_profile_turns_an_evidence():
    asked = questions({("hybrid", "xlm-r"): (0.80, *MEANS["hybrid"][1:])}, spread=0.01)
    found = {margin: verdict(8, source(asked, {"equivalence_margin": margin})) for margin in (0.001, 0.05)}
    assert "practically equal" not in found[0.001].evidence and "practically equal: within 0.05" in found[0.05].evidence
    equal = {margin: {part[-1] for part in of.parts if part[-3] == UNDECIDED} for margin, of in found.items()}
    assert equal == {0.001: {"no"}, 0.05: {"yes"}}


def test_every_undecided_comparison_says_what_it_leaves_open_and_no_other():
    chance = SUPPORTING["bias_tests"].assign(p_holm=0.2)
    unclear = source(questions({"hybrid": (0.80, 0.60, 0.55, 290)}, spread=0.03), bias_tests=chance)
    parts = parts_table([unclear, source()])
    undecided = parts["verdict"] == UNDECIDED
    assert undecided.sum() > rules.MOST_TOLD and parts.loc[~undecided, "could_have_shown"].isna().all()
    assert parts.loc[undecided, "could_have_shown"].gt(0).all() and set(parts.loc[~undecided, "practically_equal"]) == {""}
    ranks = parts["claim"] == 9
    assert (undecided & ranks).any() and set(parts.loc[undecided & ranks, "practically_equal"]) == {""}
    assert set(parts.loc[undecided & ~ranks, "practically_equal"]) == {"no"}
    html = show_evidence([unclear]).html
    least = parts.loc[undecided & ranks, "could_have_shown"].iloc[0]
    assert f"{least:,.0f} ranks" in html and "could have shown</th>" in html and "practically equal</th>" in html
    assert "could have shown</th>" not in show_evidence([source()]).html


def test_means_and_a_difference_that_are_of_different_averages_say_of_which(papers):
    """Means over languages beside a difference over questions of which one language has more can have the other sign."""
    (c,) = comparisons(SUPPORTING["tests"], "hybrid", "X-Y", ["multilingual"])[:1]
    assert re.search(r"X-Y 0\.\d+ \(means over languages\), ahead \(over questions \+0\.", rules.line(c, source()))
    (rank, *_) = comparisons(SUPPORTING["bias_tests"], "hybrid", "X-X-mono")
    assert re.search(r"X-X-mono \d+ \(means over languages\), ahead \(over questions lower by", rules.line(rank, source()))
    (one, *_) = comparisons(SUPPORTING["language_tests"], "hybrid", "BM25")
    assert " over " not in rules.line(one, source()).partition("over seeds")[0], "of one language both are alike"
    assert "over questions" not in verdict(7, papers["paper, XLM-R"]).evidence, "as they are in tests over languages"


def test_lines_without_training_are_tested_language_by_language_over_hybrids_seeds():
    table = language_tests(questions(), ["xquad-r"], 100)
    assert set(table["task"]) == {"xquad-r"} and set(table["strategy"]) == {"BM25", "untrained"} and set(table["baseline"]) == {"hybrid"}
    assert len(table) == 2 * 2 * 3 * 3, "bases, lines, settings, languages"
    row = table.query("strategy == 'BM25' and base == 'labse' and setting == 'monolingual' and query_language == 'el'").iloc[0]
    assert row["mean_difference"] == pytest.approx(0.95 * (0.5 - 0.85), abs=0.01) and row["seed_high"] < 0 and row["n_groups"] == 12
    assert language_tests(questions(), [], 100).columns.tolist() == table.columns.tolist()


def test_searched_tasks_are_compared_in_their_own_measure():
    searched = questions().query("task == 'mlqa-r' and setting == 'monolingual'").assign(task="miracl").rename(columns={"AP": "nDCG@10"})
    asked = pd.concat([questions(), searched], ignore_index=True)
    table = claim_tests(asked, 100)
    assert set(table[table["measure"] == "nDCG@10"]["task"]) == {"miracl"} and set(table[table["measure"] == "AP"]["baseline"]) == {
        "X-X-mono"
    }
    with_it = source(claim_tests=table)
    assert "of 28 comparisons" in verdict(8, with_it).evidence and verdict(8, with_it).word == SUPPORTED
    swapped = {"hybrid": "X-Y", "X-Y": "hybrid"}
    worse = pd.concat([questions(), searched.assign(strategy=searched["strategy"].replace(swapped))], ignore_index=True)
    assert "miracl from" in verdict(8, source(claim_tests=claim_tests(worse, 100))).evidence
    assert verdict(6, with_it).word == SUPPORTED, "a task in one setting has no part in claim 6"


@pytest.mark.parametrize(
    ("parameters", "tasks"),
    [
        ({"pair_sets": ["worldfacts"], "tasks": ["worldfacts-test", "xquad-r"]}, ["xquad-r"]),
        (
            {"pair_sets": ["worldfacts"], "tasks": ["worldfacts-test", "worldfacts-shifted"], "shifted_tasks": ["worldfacts-shifted"]},
            ["worldfacts-shifted"],
        ),
        ({"pair_sets": ["squad"], "tasks": ["xquad-r", "squad:mine", "belebele"]}, ["xquad-r", "squad:mine", "belebele"]),
    ],
)
def test_sets_of_the_trainings_sources_are_not_zero_shot(parameters, tasks):
    assert rules.zero_shot_tasks(parameters) == tasks


@pytest.fixture(scope="module")
def papers():
    return {of.name: of for of in paper_sources("python -m hybridir_utils run")}


PAPER_VERDICTS = {
    "paper, XLM-R": {4: SUPPORTED, 6: SUPPORTED, 7: UNDECIDED, 9: SUPPORTED},
    "paper, LaBSE": {4: SUPPORTED, 6: UNDECIDED, 7: UNDECIDED, 8: CONTRADICTED, 9: SUPPORTED},
}


@pytest.mark.parametrize("name", PAPER_VERDICTS)
def test_the_papers_own_tables_carry_some_claims_and_not_others(papers, name):
    found = {claim.number: claim.verdict(papers[name]) for claim in CLAIMS}
    assert {number: verdict.word for number, verdict in found.items() if verdict.word != NOT_TESTABLE} == PAPER_VERDICTS[name]
    for number in (6, 7, 8, 9):
        assert "what another would give is not known" in found[number].evidence and "languages" in found[number].evidence
    for number in (1, 2, 5, 11):
        assert found[number].evidence == CLAIMS[number - 1].unpublished != ""
    assert "question language" in found[3].evidence and "Unseen el, vi keep 9" in found[10].evidence


def test_known_contradictions_of_the_paper_are_found(papers):
    xlmr, labse = papers["paper, XLM-R"], papers["paper, LaBSE"]
    assert "xquad-r from XLM-R, Mul.: hybrid 0.593, X-Y 0.593, not clearly different (-0.001" in verdict(7, xlmr).evidence
    assert "miracl from LaBSE, Mo.: hybrid 0.441, X-X-mono 0.455, behind (-0.014" in verdict(8, labse).evidence
    assert "miracl from XLM-R, Mo.: hybrid 0.405, X-X-mono 0.415" in verdict(8, xlmr).evidence
    assert "Against X-Y's rank distance: xquad-r from XLM-R -3.0%, mlqa-r from XLM-R +0.2%" in verdict(9, xlmr).evidence
    bound = 2 / 2**7
    assert all(c.p >= bound - 0.005 for c in comparisons(xlmr.tables["tests"], "hybrid", "X-Y") if c.n_groups == 7), (
        "seven languages say no more"
    )


def test_other_published_numbers_would_turn_the_verdict(monkeypatch):
    numbers = in_our_names()
    worse = numbers["strategy"].eq("X-Y") & numbers["setting"].eq("multilingual") & numbers["metric"].eq("mAP")
    monkeypatch.setattr(sources, "in_our_names", lambda: numbers.assign(value=numbers["value"] - 0.1 * worse))
    assert [verdict(7, of).word for of in paper_sources("")] == [SUPPORTED, SUPPORTED]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A sample run with all tables saved, and no other run beside it."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(runs, "ROOT", tmp_path / "checkout")
    return saved(open_run("sample"))


def saved(run, name: str = ""):
    """The supporting tables saved as a run's; under another name, as those of another run."""
    run = replace(run, name=name or run.name)
    for table in SUPPORTING:
        save_table(run, table, SUPPORTING[table])
    about = {"run": run.name, "command": f"python -m hybridir_utils run --profile {run.name}", "parameters": claim_tables.PARAMETERS}
    about |= {"versions": {"python": "3.11"}, "machine": "a large one", "code": "f" * 64}
    (run.results / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return run


def test_saved_tables_give_the_verdicts_of_the_tables_in_memory(run):
    check_earlier(run)
    own = saved_source(run.results)
    assert [verdict.word for verdict in (claim.verdict(own) for claim in CLAIMS)] == [SUPPORTED] * 11
    assert own.name == "sample" and own.command.endswith("--profile sample")


def test_a_missing_table_names_the_command(run):
    (run.results / "tests.csv").unlink()
    with pytest.raises(MissingInput, match=r"tests\.csv: not there yet.*python -m hybridir_utils run --profile sample"):
        saved_source(run.results)
    stamps = read_stamps(run.results)
    (run.results / STAMPS).write_text(json.dumps(sealed({name: stamp for name, stamp in stamps.items() if name != "bias"})))
    with pytest.raises(MissingInput, match=r"bias\.csv: not there yet, or saved by hand\. Make it with: python -m hybridir_utils run"):
        check_earlier(run)
    (run.results / "about.json").unlink()
    with pytest.raises(MissingInput, match=r"about\.json: not there"):
        check_earlier(run)


def restamp(results: Path, names, code: str) -> None:
    stamps, codes = read_stamps(results), dict.fromkeys(STAGES, code)
    (results / STAMPS).write_text(json.dumps(sealed(stamps | {name: stamps[name] | {"code": codes} for name in names})))


def committed(run, name: str) -> Path:
    """The supporting tables as the reference of another run."""
    place = runs.reference_tables(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    return saved(run, name).results.rename(place)


def test_tables_of_different_versions_are_refused_with_the_command(run):
    restamp(run.results, ["tests"], "another")
    for read in (lambda: saved_source(run.results), lambda: check_earlier(run)):
        with pytest.raises(
            InputError, match=r"different versions.*tests.*Make them all again with: python -m hybridir_utils run --profile sample"
        ):
            read()
    restamp(run.results, sources.EARLIER, "another")
    with pytest.raises(InputError, match=r"earlier version.*Make them all again with: python -m hybridir_utils run --profile sample"):
        check_earlier(run)


def test_other_runs_are_judged_from_their_own_tables_and_mixed_ones_left_out(run):
    large, mixed, old, methods = (committed(run, name) for name in ("large", "mixed", "old", "methods"))
    restamp(large, read_stamps(large), "another version, throughout")
    restamp(mixed, ["bias"], "another")
    (old / "mixture.csv").unlink()
    runs.reference_tables("benchmarks").mkdir()
    for name in sources.EARLIER + sources.COUNTED:  # of notebook 08 alone, nothing is left to judge
        (methods / f"{name}.csv").unlink()
    others, refused = other_runs(run)
    assert [of.name for of in others] == ["large", "old"] and list(refused) == ["mixed"]
    assert "different versions" in refused["mixed"] and "--profile mixed" in refused["mixed"]
    assert verdict(1, others[0]).word == SUPPORTED and verdict(1, others[1]).word == NOT_TESTABLE
    about = about_sources(others).loc["large"]
    assert (about["machine"], about["versions"], about["command"]) == ("a large one", "python 3.11", others[0].command)
    assert about["seeds"] == "1 2 3" and about["code"] == "f" * 12


def test_a_run_without_stamps_or_with_a_broken_record_is_left_out(run):
    bare, broken = committed(run, "bare"), committed(run, "broken")
    (bare / STAMPS).unlink()
    (broken / "about.json").write_text("{")
    others, refused = other_runs(run)
    assert not others and "saved by hand" in refused["bare"] and "about.json" in refused["broken"]
    (broken / "about.json").write_text("{}")
    assert "no run, command" in other_runs(run)[1]["broken"]


def test_own_runs_are_judged_where_the_profile_names_them_in_place_of_a_reference_of_their_name(run):
    committed(run, "shift"), saved(run, "mine"), saved(run, "shift")
    assert [of.name for of in other_runs(run)[0]] == ["shift"], "what lies in the output folder by chance decides nothing"
    (runs.run_folder("shift") / "results" / "mixture.csv").unlink()
    named = replace(run, profile=make_profile(run.profile.model_dump() | {"compare_with": ("mine", "shift", "absent")}, "test"))
    others, refused = other_runs(named)
    assert [of.name for of in others] == ["shift", "mine"] and list(refused) == ["absent"] and "not there" in refused["absent"]
    assert "mixture" not in others[0].tables and "mixture" in others[1].tables


@pytest.fixture(scope="module")
def table(papers):
    return claims_table([*papers.values(), source(), replace(source(questions(seeds=(1,))), name="one | seed")])


def test_the_table_has_a_row_for_every_claim_and_source(table):
    assert list(table.columns) == COLUMNS and len(table) == 11 * 4 and set(table["verdict"]) == set(SYMBOLS)
    assert table[table["source"] == "made-up"]["verdict"].tolist() == [SUPPORTED] * 11
    assert table[table["source"] == "one | seed"].set_index("claim")["verdict"].loc[[6, 7, 8, 9, 10]].tolist() == [NOT_TESTABLE] * 5
    assert table["command"].str.startswith("python -m hybridir_utils run").all() and table["evidence"].str.len().gt(10).all()


def test_markdown_is_complete_and_no_cell_breaks_it(table):
    lines = claims_markdown(table).splitlines()
    assert len(lines) == 2 + 11 and lines[0] == r"| claim | statement | paper, XLM-R | paper, LaBSE | made-up | one \| seed |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}
    assert all(line.count("✓ supported") >= 1 for line in lines[2:]), "the made-up source supports all"
    for claim in CLAIMS:
        assert f"| {claim.number} | {claim.statement} |" in lines[claim.number + 1]
    evil = table.assign(evidence="a | b\nc")
    told = evidence_markdown(evil)
    assert told.count("a \\| b c") == len(table) and "- made-up: `python -m hybridir_utils run --profile made-up`" in told


def test_claims_that_no_source_can_test_stand_last_below_a_line_that_says_so(table):
    assert untestable(table) == []
    turned = table.assign(verdict=table["verdict"].where(~table["claim"].isin([3, 11]), NOT_TESTABLE))
    assert untestable(turned) == [3, 11]
    order = ["1", "2", *map(str, range(4, 11)), "…", "3", "11"]
    lines = claims_markdown(turned).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == order and lines[2 + 9].split("|")[2].strip() == UNTESTABLE
    told = evidence_markdown(turned).partition("Reproduced")[0].splitlines()
    assert list(dict.fromkeys(line.split("|")[1].strip() for line in told[2:] if line)) == order and sum(map(len, told)) > 1000
    labels = [text.get_text() for text in FIGURES["09_verdicts"].draw(turned).axes[0].get_yticklabels()]
    assert [text.partition(".")[0] for text in labels] == [*order[:9], UNTESTABLE, "3", "11"]
    sentences = on_claims(turned)
    assert f"{UNTESTABLE} claims 3, 11." in sentences and sum("11" in sentence for sentence in sentences) == 1
    html, _, other = show_evidence(paper_sources("again")).html.partition("paper, LaBSE")
    for told in (html, other):
        tested, last = told.split(UNTESTABLE)
        assert [claim.number for claim in CLAIMS if escape(claim.statement) in tested] == [4, 6, 7, 8, 9], "10 by one half"
        assert [claim.number for claim in CLAIMS if escape(claim.statement) in last] == [1, 2, 3, 5, 10, 11]


def test_a_claim_over_tasks_and_bases_shows_which_part_holds():
    found = parts_table([source(moved("hybrid", 0, 0.80, "xlm-r"))])
    assert list(found.columns) == PART_COLUMNS and set(found["claim"]) == {6, 7, 8, 9, 10}
    matrix = parts_matrix(found)
    assert matrix.loc[(8, "made-up", "xquad-r")].to_dict() == {"labse": "✓ 6", "xlm-r": "✓ 5 ? 1"}
    assert matrix.loc[(7, "made-up", "mlqa-r")].tolist() == ["✓ 2", "✓ 2"]
    behind = parts_matrix(parts_table([source(moved("hybrid", 2, 0.54, "labse"))]))
    assert behind.loc[(7, "made-up", "xquad-r")].to_dict() == {"labse": "✓ 1 ✗ 1", "xlm-r": "✓ 2"}
    assert parts_matrix(parts_table([])).empty


def test_rules_shown_are_the_rules_used(table):
    html = show_rules().html
    assert all(escape(text) in html for claim in CLAIMS for text in (claim.statement, claim.rule)) and all(
        map(html.count, map(escape, NOTES))
    )
    cells = nbformat.read(NOTEBOOKS / "09_claims.ipynb", as_version=4).cells
    (shown,) = [cell for cell in cells if "show_rules()" in cell["source"]]
    for output in shown["outputs"]:
        assert output["data"].get("text/html") == html, "the committed notebook shows other rules: run it again"


def test_evidence_is_folded_by_source_with_its_command(table):
    html = show_evidence([source(), *paper_sources("again")]).html
    assert html.count("<details>") == 3 and html.count("<table") == 3 + 2 and "<p>again</p>" in html, "two of what is undecided"
    assert all(escape(told) in html for told in table.loc[table["source"] == "made-up", "evidence"])


def test_sentences_name_what_holds_where_and_where_sources_part(table):
    sentences = on_claims(table)
    assert sentences[0] == "Claims judged from made-up: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 supported.", "a run before the paper"
    papers = [sentence for sentence in sentences if sentence.startswith("Claims judged from paper, ")]
    assert papers == sentences[-1 - len(papers) : -1] and all("7 undecided;" in sentence for sentence in papers)
    assert sentences[-1] == "Sources disagree on claim 8 (supported in made-up; contradicted in paper, LaBSE)."
    assert on_claims(table[table["source"] == "made-up"])[-1].startswith("No source contradicts")


def test_the_figure_says_each_verdict_in_words_symbol_and_colour(run, table):
    save_table(run, "claims", table)
    svg = draw(run, "09_verdicts").with_suffix(".svg").read_text(encoding="utf-8")
    words = " ".join(re.findall(r">([^<>]+)</text>", svg))  # long ones stand in two lines
    for word, symbol in SYMBOLS.items():
        assert words.count(f"{symbol} {word}") == (table["verdict"] == word).sum()
        assert svg.lower().count(VERDICT_COLOURS[word].lower()) == (table["verdict"] == word).sum()
    assert len(set(VERDICT_COLOURS.values())) == len(SYMBOLS) == len(VERDICT_COLOURS)


def test_the_figures_command_writes_the_claims_as_markdown(run, table):
    bias = source().tables["bias"].assign(alpha=np.nan, n=1)
    save_table(run, "bias", bias)
    save_table(run, "claims", table)
    (path,) = [path for path in write_tables(run) if path.name == "claims.md"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith(claims_markdown(table)) and evidence_markdown(table) in text
