"""Verdicts on claims, and claims 6-10, about what the batches do: from paired tests over questions and the spread over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

import pandas as pd
from numpy import fmax

from ...experiment.evaluation import REFERENCE
from ...rank.significance import clear_direction, practically_equal, smallest_detectable
from ...results.style import SHORT_SETTINGS
from ...results.tables import LOWER_IS_BETTER
from .sources import LINES, Source

AHEAD, BEHIND, UNCLEAR = "ahead", "behind", "not clearly different"
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTABLE = "supported", "contradicted", "undecided", "not testable here"
UNTESTABLE = "Cannot be tested by any source here:"  # above the claims of which this is so
LEFT_OPEN = ("could_have_shown", "practically_equal")  # columns: what `Comparison.left_open` says of an undecided comparison
SYMBOLS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "?", NOT_TESTABLE: "–"}
LEAST_REDUCTION = 0.1  # of the rank distance
MARGIN = 0.01  # of mAP or nDCG@10, where a source names none: differences below it count for nothing in practice
LEAST_KEPT = 0.8  # of the trained languages' mAP, by unseen ones
BASELINES = ("X-X-mono", "X-Y")
MOST_TOLD = 2  # comparisons that do not hold, told one by one
FAILING = {AHEAD: "ahead by less than asked", BEHIND: BEHIND, UNCLEAR: UNCLEAR}
METRIC = {"AP": "mAP", "nDCG@10": "nDCG@10"}
PUBLISHED_ONCE = "One training run a model is published: what another would give is not known."


@dataclass(frozen=True)
class Comparison:
    """`better` against `worse` as a claim has it: gain > 0 where the claim is right, with its intervals over questions and seeds."""

    task: str
    base: str
    setting: str
    measure: str
    better: str
    worse: str
    gain: float
    low: float
    high: float
    p: float  # Holm-corrected over the strategies that were compared with one baseline
    effect: float
    n_groups: int
    n_seeds: int
    seed_low: float
    seed_high: float
    language: str = ""

    @property
    def outcome(self) -> str:
        """AHEAD, BEHIND or UNCLEAR, by `significance.clear_direction`."""
        return {1: AHEAD, -1: BEHIND, 0: UNCLEAR}[int(clear_direction(self.gain, self.p, self.seed_low, self.seed_high))]

    @property
    def numbers(self) -> str:
        """Difference, intervals, p-value and effect size; a rank distance is told by how much lower it is."""
        form = "{:z,.0f}" if self.measure == "rank_distance" else "{:+.3f}"
        low, gain, high, seed_low, seed_high = map(form.format, (self.low, self.gain, self.high, self.seed_low, self.seed_high))
        seeds = "" if isnan(self.seed_low) else f", over seeds [{seed_low}, {seed_high}]"
        lower = "lower by " if self.measure == "rank_distance" else ""
        effect = "" if isnan(self.effect) else f", d {self.effect:.2f}"
        return f"{lower}{gain} [{low}, {high}]{seeds}, p {self.p:.2g}{effect}"

    def left_open(self, margin: float) -> tuple[float, str]:
        """LEFT_OPEN: the smallest difference that it shows in four of five cases, and whether two one-sided tests find it within the
        margin, yes or no; "" of ranks, of which the margin is not.
        """
        ranks = self.measure in LOWER_IS_BETTER
        return smallest_detectable(self), "" if ranks else "yes" if practically_equal(self, margin) else "no"

    def unclear_as_text(self, margin: float) -> str:
        """What a difference that is not clear leaves open: nothing beyond the margin, or all that it could not have shown."""
        least, equal = self.left_open(margin)
        return (
            f"practically equal: within {margin:g} by two one-sided tests" if equal == "yes" else f"could have shown {size(least, equal)}"
        )

    @property
    def place(self) -> str:
        """Task, base, setting, and the language where it is of one."""
        return f"{self.task} from {self.base}, {SHORT_SETTINGS[self.setting]}" + (f" {self.language}" if self.language else "")


def size(least: float, equal: str) -> str:
    """The smallest difference of LEFT_OPEN as it is written: of ranks, which are not tested for equality, without decimals."""
    return f"{least:.3f}" if equal else f"{least:,.0f} ranks"


def comparisons(tests: pd.DataFrame, better: str, worse: str, settings: Iterable[str] = tuple(SHORT_SETTINGS)) -> list[Comparison]:
    """The rows of test tables that compare the two strategies in the settings, whichever of them is the baseline there.

    Of `rank_distance`, lower is better.
    """
    pair = {better, worse}
    rows = tests[tests["strategy"].isin(pair) & tests["baseline"].isin(pair) & tests["setting"].isin(list(settings))]
    return [_comparison(row, better, worse) for row in rows.itertuples()]


def _comparison(row, better: str, worse: str) -> Comparison:
    sign = (1 if row.strategy == better else -1) * (-1 if row.measure in LOWER_IS_BETTER else 1)
    low, high = sorted([sign * row.low, sign * row.high])
    seed_low, seed_high = sorted([sign * row.seed_low, sign * row.seed_high])
    place = (row.task, row.base, row.setting, row.measure, better, worse)
    values = (sign * row.mean_difference, low, high, row.p_holm, sign * row.effect_size, int(row.n_groups), int(row.n_seeds))
    return Comparison(*place, *values, seed_low, seed_high, getattr(row, "query_language", ""))


class Verdict(NamedTuple):
    """One of SYMBOLS, the rows, tests and numbers it rests on, and (task, base, setting, language, better, worse, word, *LEFT_OPEN) by
    comparison.
    """

    word: str
    evidence: str
    parts: tuple[tuple, ...] = ()


def decided(holds: bool | None, evidence: str, parts: tuple[tuple, ...] = ()) -> Verdict:
    """Supported where the rule holds, contradicted where its opposite was shown, undecided (None) where neither was."""
    return Verdict({True: SUPPORTED, False: CONTRADICTED, None: UNDECIDED}[holds], evidence, parts)


def not_testable(reason: str) -> Verdict:
    """Not testable here, and why."""
    return Verdict(NOT_TESTABLE, reason)


def untestable(table: pd.DataFrame) -> list[int]:
    """The claims that no source of the table (claim, verdict) can test; they stand last, below UNTESTABLE, wherever verdicts are shown."""
    none = table["verdict"].eq(NOT_TESTABLE).groupby(table["claim"]).all()
    return none.index[none].tolist()


def pure_batches(source: Source) -> Verdict:
    """Claim 6."""
    tests = source.tables["claim_tests"]
    found = comparisons(tests, "X-X-mono", "X-Y", ["monolingual"]) + comparisons(tests, "X-Y", "X-X-mono", ["cross-lingual"])
    both = {(c.task, c.base) for c in found if c.setting == "cross-lingual"}  # searched tasks have one setting only
    return _judged([c for c in found if (c.task, c.base) in both], source, BASELINES, x_x_as_text(source))


def best_multilingual(source: Source) -> Verdict:
    """Claim 7."""
    return _judged(_over_baselines(source, ["multilingual"]), source, ("hybrid", *BASELINES))


def beats_baselines(source: Source) -> Verdict:
    """Claim 8; one base alone can only fail."""
    found = _over_baselines(source, SHORT_SETTINGS)
    verdict, bases = _judged(found, source, ("hybrid", *BASELINES)), {c.base for c in found}
    if len(bases) == 1 and verdict.word != CONTRADICTED:
        return not_testable(f"One base, {bases.pop()}, where the claim names two. {verdict.evidence}")
    return verdict


def less_biased(source: Source) -> Verdict:
    """Claim 9."""
    found = comparisons(source.tables["bias_tests"], "hybrid", "X-X-mono")
    beside = reductions_as_text(source, [(c.task, c.base) for c in found], ("X-X-mono", "X-X", "X-Y"))

    def least_gain(c: Comparison) -> float:
        return LEAST_REDUCTION * rank_distance(source, c.task, c.base, "X-X-mono")

    return _judged(found, source, ("hybrid", "X-X-mono"), beside, least_gain)


def zero_shot(source: Source) -> Verdict:
    """Claim 10: every language above its lines, and unseen languages near the trained ones. The weaker half decides."""
    halves = [_above_lines(source), _unseen_near(source)]
    weakest = [CONTRADICTED, NOT_TESTABLE, UNDECIDED, SUPPORTED]
    word = min((half.word for half in halves), key=weakest.index)
    return Verdict(word, " ".join(half.evidence for half in halves), halves[0].parts)


def zero_shot_tasks(parameters: dict) -> list[str]:
    """The tasks of a profile that no pair set shares its source with, and those it lists under domain shift."""
    shifted, sets = parameters.get("shifted_tasks", ()), parameters["pair_sets"]
    own = {task for task in parameters["tasks"] for name in sets if task == name or task.startswith(f"{name}-")}
    return [task for task in parameters["tasks"] if task in shifted or task not in own]


def _above_lines(source: Source) -> Verdict:
    """Hybrid ahead of BM25 and of the untrained base in every language and setting."""
    if "language_tests" not in source.tables:
        return not_testable("Its tables hold no test against BM25 and an untrained encoder by language.")
    found = [c for line in LINES for c in comparisons(source.tables["language_tests"], "hybrid", line)]
    if not found:
        return not_testable("No hybrid encoder was evaluated on a set that is free of the training sets' sources.")
    if one := one_seed(found, source):
        return not_testable(one)
    return _all_ahead(found, source)


def _unseen_near(source: Source) -> Verdict:
    """Unseen languages keep LEAST_KEPT of the trained ones' mAP in every task, base, setting and seed; contradicted where no seed of some
    task, base and setting does.
    """
    p, rows = source.parameters, source.tables["scores"]
    trained = set(p["languages"]) - set(p.get("unseen_languages", ()))
    rows = rows[(rows["strategy"] == "hybrid") & (rows["metric"] == "mAP") & (rows["query_language"] != "macro")]
    rows = rows[rows["task"].isin(zero_shot_tasks(p))].assign(seen=lambda table: table["query_language"].isin(trained))
    means = rows.groupby(["task", "base", "setting", "seed", "seen"])["value"].mean().unstack("seen").reindex(columns=[False, True])
    if rows["seen"].all():
        return not_testable("No language of such a set is unseen in training.")
    if rows["seed"].nunique() < 2 and not source.published:
        return not_testable("One seed: what another would give in unseen languages is not known.")
    kept = (means[False] / means[True].where(means[True] > 0)).dropna()
    if kept.empty:
        return not_testable("Unseen languages are asked in other sets or settings than trained ones, which leaves no share to give.")
    beside = rows["task"].isin(kept.index.unique("task"))
    unseen = ", ".join(sorted(set(rows.loc[beside & ~rows["seen"], "query_language"])))
    task, base, setting, _ = kept.idxmin()
    shares = f"{kept.min():.0%} ({task} from {base}, {SHORT_SETTINGS[setting]}) to {kept.max():.0%}"
    best_seed = kept.groupby(["task", "base", "setting"]).max().min()
    holds = True if kept.min() >= LEAST_KEPT else False if best_seed < LEAST_KEPT else None
    return decided(holds, f"Unseen {unseen} keep {shares} of the trained languages' mAP.")


def _over_baselines(source: Source, settings) -> list[Comparison]:
    tables = (source.tables["tests"], source.tables["claim_tests"])
    return [c for tests in tables for other in BASELINES for c in comparisons(tests, "hybrid", other, settings)]


def _judged(
    found: list[Comparison], source: Source, strategies: tuple[str, ...], beside: str = "", least_gain: Callable = lambda c: 0.0
) -> Verdict:
    """`_all_ahead`, where there is a test with each of the strategies and more than one seed. beside: more evidence."""
    compared = {name for c in found for name in (c.better, c.worse)}
    if lacking := [name for name in strategies if name not in compared]:
        return not_testable(f"No test with {' and '.join(lacking)} in the settings of this claim.")
    verdict = _all_ahead(found, source, least_gain)
    if one := one_seed(found, source):
        return not_testable(f"{one} By these tests alone: {verdict.evidence}{beside}")
    return verdict._replace(evidence=verdict.evidence + beside)


def _all_ahead(found: list[Comparison], source: Source, least_gain: Callable = lambda c: 0.0) -> Verdict:
    """Supported when every comparison is ahead, by what is asked at least; contradicted when one is behind, or both its intervals below
    the gain that is asked; else undecided. All have to hold, so no correction beyond Holm's is needed.
    """

    def part(c: Comparison) -> str:
        asked = least_gain(c)
        if c.outcome == AHEAD and c.gain >= asked:
            return SUPPORTED
        short = asked > 0 and fmax(c.high, c.seed_high) < asked  # where none is asked, `outcome` alone says what was shown
        return CONTRADICTED if c.outcome == BEHIND or short else UNDECIDED

    words = [part(c) for c in found]
    holds = True if set(words) == {SUPPORTED} else False if CONTRADICTED in words else None
    left = [c.left_open(_margin(source)) if word == UNDECIDED else (nan, "") for c, word in zip(found, words, strict=True)]
    parts = tuple(
        (c.task, c.base, c.setting, c.language, c.better, c.worse, word, *each) for c, word, each in zip(found, words, left, strict=True)
    )
    return decided(holds, as_text(found, source, lambda c: part(c) == SUPPORTED), parts)


def as_text(found: list[Comparison], source: Source, holds: Callable[[Comparison], bool]) -> str:
    """How many hold, those that do not (the furthest first), the weakest of those that do, and what the tests are over."""
    good, failing = ([c for c in sorted(found, key=lambda c: c.gain) if bool(holds(c)) is side] for side in (True, False))
    words = Counter(c.outcome for c in failing)
    others = ", ".join(f"{n} {FAILING[word]}" for word, n in sorted(words.items()))
    parts = [f"{len(good)} of {len(found)} comparisons hold{f'; {others}' if failing else ''}."]
    lines = [line(c, source) for c in failing[:MOST_TOLD]] + ["…"] * (len(failing) > MOST_TOLD)
    parts += [f"Do not hold: {'; '.join(lines)}."] if failing else []
    parts += [f"Smallest that holds: {line(good[0], source)}."] if good else []
    groups = " or ".join(f"{n:,}" for n in sorted({c.n_groups for c in found}))
    seeds = PUBLISHED_ONCE if source.published else f"Seeds: {min(c.n_seeds for c in found)}."
    return " ".join([*parts, f"Paired tests over {groups} {'languages' if source.published else 'parallel questions'}.", seeds])


def line(c: Comparison, source: Source) -> str:
    """One comparison: place, both means, outcome, and the test's numbers; what means and difference are over, where these are not alike."""
    means = ", ".join(f"{strategy} {value}" for strategy in (c.better, c.worse) if (value := _mean(source, c, strategy)))
    over = ("", "") if source.published or c.language or not means else (" (means over languages)", "over questions ")
    more = f"; {c.unclear_as_text(_margin(source))}" if c.outcome == UNCLEAR else ""
    return f"{c.place}: {means}{over[0]}, {c.outcome} ({over[1]}{c.numbers}{more})"


def _margin(source: Source) -> float:
    """Differences below it count for nothing in practice."""
    return source.parameters.get("equivalence_margin", MARGIN)


def one_seed(found: list[Comparison], source: Source) -> str:
    """Why one seed is not enough; "" for more, and for published numbers, of which there are no more."""
    if source.published or not any(isnan(c.seed_low) for c in found):
        return ""
    return "One seed: the tests say nothing about other training runs, so whether a difference is the strategy's cannot be concluded."


def _mean(source: Source, c: Comparison, strategy: str) -> str:
    """The strategy's mean over seeds, as the tables of notebooks 03 and 04 have it; "" where they lack it."""
    if c.measure == "rank_distance":
        return f"{rank_distance(source, c.task, c.base, strategy):,.0f}"
    rows = source.tables["scores"]
    base = REFERENCE if strategy == "BM25" else c.base
    rows = rows[(rows["task"] == c.task) & (rows["base"] == base) & (rows["setting"] == c.setting) & (rows["strategy"] == strategy)]
    rows = rows[(rows["metric"] == METRIC[c.measure]) & (rows["query_language"] == (c.language or "macro"))]
    return f"{rows['value'].mean():.3f}" if len(rows) else ""


def rank_distance(source: Source, task: str, base: str, strategy: str) -> float:
    """Mean over seeds of the macro average; nan where the source has none."""
    rows = source.tables["bias"]
    rows = rows[(rows["measure"] == "rank distance") & (rows["query_language"] == "macro") & (rows["task"] == task)]
    return rows[(rows["base"] == base) & (rows["strategy"] == strategy)]["value"].mean()


def reductions_as_text(source: Source, places: list[tuple[str, str]], others: tuple[str, ...]) -> str:
    """Hybrid's rank distance against that of other strategies, in per cent; those that the source lacks are left out."""
    parts = []
    for other in others:
        changes = {place: rank_distance(source, *place, "hybrid") / rank_distance(source, *place, other) - 1 for place in places}
        told = ", ".join(f"{task} from {base} {round(by, 3) + 0.0:+.1%}" for (task, base), by in changes.items() if by == by)
        parts += [f" Against {other}'s rank distance: {told}."] if told else []
    return "".join(parts)


def x_x_as_text(source: Source) -> str:
    """The means of X-X, which mixes languages in a batch and has no part in the rule."""
    rows = source.tables["scores"]
    rows = rows[(rows["strategy"] == "X-X") & (rows["query_language"] == "macro") & (rows["metric"] == "mAP")]
    means = rows.groupby(["task", "base", "setting"], sort=False)["value"].mean().unstack().reindex(columns=list(SHORT_SETTINGS)[:2])
    told = [f"{task} from {base} {mono:.3f} and {cross:.3f}" for (task, base), (mono, cross) in zip(means.index, means.values, strict=True)]
    return f" X-X beside them (Mo. and Cr. mAP): {', '.join(told)}." if told else ""
