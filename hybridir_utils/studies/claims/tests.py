"""The tests that claims rest on: those that notebooks 03 and 04 do not save, and any of them read in a claim's direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...experiment.evaluation import REFERENCE, UNTRAINED
from ...rank.significance import TESTED, clear_direction, compare, practically_equal, smallest_detectable
from ...results.style import SHORT_SETTINGS
from ...results.tables import LOWER_IS_BETTER, TEST_KEYS, stack, test_table

AHEAD, BEHIND, UNCLEAR = "ahead", "behind", "not clearly different"
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTABLE = "supported", "contradicted", "undecided", "not testable here"
SYMBOLS = {SUPPORTED: "✓", CONTRADICTED: "✗", UNDECIDED: "?", NOT_TESTABLE: "–"}
LINES = ("BM25", UNTRAINED)  # what zero-shot retrieval is held against
LANGUAGE_COLUMNS = [*TEST_KEYS, "query_language", *TESTED]


def claim_tests(questions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Paired tests of X-X and X-Y against X-X-mono (AP), and of all against hybrid where a task is measured in nDCG@10 (no AP).

    questions: `Evaluations.table("questions")`; columns of the result as of `tables.test_table`.
    """
    pure = questions[questions["strategy"].isin(["X-X", "X-X-mono", "X-Y"])]
    parts = [test_table(pure, "AP", resamples, baseline="X-X-mono")]
    if "nDCG@10" in questions:
        parts.append(test_table(questions, "nDCG@10", resamples))
    return stack(parts, [*TEST_KEYS, *TESTED])


def language_tests(questions: pd.DataFrame, tasks: Iterable[str], resamples: int) -> pd.DataFrame:
    """Paired tests of BM25 and of the untrained base against hybrid by question language (AP): LANGUAGE_COLUMNS.

    A line without training is the same whatever seed hybrid is trained with, so the interval over seeds is that of hybrid's seeds.
    A language with a single question is left out: nothing can be tested there.
    """
    keys = ["task", "setting", "query_language"]
    rows = questions[questions["task"].isin(list(tasks))].dropna(subset=["AP"])
    lines = dict(iter(rows[rows["strategy"].isin(LINES)].groupby(keys, sort=False)))
    parts = []
    for (*place, base), hybrid in rows[rows["strategy"] == "hybrid"].groupby([*keys, "base"], sort=False):
        line = lines.get(tuple(place), rows.iloc[:0])
        line = line[line["base"].isin([base, REFERENCE])]
        if len(line) and hybrid["group"].nunique() > 1:
            task, setting, language = place
            about = {"task": task, "base": base, "setting": setting, "measure": "AP", "query_language": language}
            parts.append(compare(_against_lines(hybrid, line), "hybrid", resamples).assign(**about))
    return stack(parts, LANGUAGE_COLUMNS)


def _against_lines(hybrid: pd.DataFrame, line: pd.DataFrame) -> pd.DataFrame:
    """Rows for `compare`, the line's repeated for each of hybrid's seeds."""
    repeated = line.drop(columns="seed").merge(hybrid[["seed"]].drop_duplicates(), how="cross")
    return pd.concat([hybrid, repeated])[["strategy", "seed", "group", "AP"]].rename(columns={"AP": "value"})


def below_hybrid(tests: pd.DataFrame) -> pd.DataFrame:
    """In how many languages a line is below hybrid, and the largest p, by task, base, setting and line; of `language_tests`."""
    rows = tests.assign(lower=tests["mean_difference"] < 0).groupby(["task", "base", "setting", "strategy"], sort=False)
    return rows.agg(languages=("lower", "size"), below_hybrid=("lower", "sum"), largest_p=("p_holm", "max"))


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
        form = "{:,.0f}" if self.measure == "rank_distance" else "{:+.3f}"
        low, gain, high, seed_low, seed_high = map(form.format, (self.low, self.gain, self.high, self.seed_low, self.seed_high))
        seeds = "" if np.isnan(self.seed_low) else f", over seeds [{seed_low}, {seed_high}]"
        lower = "lower by " if self.measure == "rank_distance" else ""
        effect = "" if np.isnan(self.effect) else f", d {self.effect:.2f}"
        return f"{lower}{gain} [{low}, {high}]{seeds}, p {self.p:.2g}{effect}"

    def unclear_as_text(self, margin: float) -> str:
        """What a difference that is not clear leaves open: nothing beyond the margin, or all that it could not have shown."""
        ranks = self.measure in LOWER_IS_BETTER
        if not ranks and practically_equal(self, margin):
            return f"practically equal: within {margin:g} by two one-sided tests"
        least = smallest_detectable(self)
        return f"could have shown {f'{least:,.0f} ranks' if ranks else f'{least:.3f}'}"

    @property
    def place(self) -> str:
        """Task, base, setting, and the language where it is of one."""
        return f"{self.task} from {self.base}, {SHORT_SETTINGS[self.setting]}" + (f" {self.language}" if self.language else "")


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
    """One of SYMBOLS, the rows, tests and numbers it rests on, and (task, base, setting, language, better, worse, word) by comparison."""

    word: str
    evidence: str
    parts: tuple[tuple, ...] = ()


def decided(holds: bool | None, evidence: str, parts: tuple[tuple, ...] = ()) -> Verdict:
    """Supported where the rule holds, contradicted where its opposite was shown, undecided (None) where neither was."""
    return Verdict({True: SUPPORTED, False: CONTRADICTED, None: UNDECIDED}[holds], evidence, parts)


def not_testable(reason: str) -> Verdict:
    """Not testable here, and why."""
    return Verdict(NOT_TESTABLE, reason)
