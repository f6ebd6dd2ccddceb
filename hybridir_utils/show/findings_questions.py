"""What notebook 07's numbers say (study S3): does alignment rise or fall with each objective, and with both in one mix?"""

from __future__ import annotations

import json
from collections.abc import Collection

import pandas as pd

from ..rank.question_recall import ALL_PAIRS, PAIR_KINDS
from ..steps.evaluation import NOT_TRAINED, UNTRAINED
from ..steps.session import Run
from .findings import verdict
from .question_tables import KINDS, MAIN
from .style import in_order

PASSAGES = "mkqa"
HYBRID = "hybrid"
OBJECTIVES = {"X-X-mono": "the monolingual objective alone", "X-Y": "the cross-lingual objective alone", HYBRID: "both in one mix"}
CHANGE = {"ahead of": "falls", "behind": "rises"}  # of the untrained base against a strategy
NO_CHANGE = "does not clearly change"
KIND_WORDS = dict(zip(PAIR_KINDS, ("both languages trained", "one language untrained", "both languages untrained"), strict=True))


def on_recall(means: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Recall@1 over all pairs of languages: against the untrained base with each objective, and hybrid against each strategy alone."""
    sentences = []
    rows = tests[(tests["measure"] == MAIN) & (tests["setting"] == ALL_PAIRS)]
    values = means[(means["metric"] == MAIN) & (means["setting"] == ALL_PAIRS)].groupby(["base", "strategy"])["value"].mean()
    for base, part in rows.groupby("base", sort=False):
        before = part[part["baseline"] == UNTRAINED]
        told = [
            f"{_named(row.strategy)} it {change(row)} to {values[base, row.strategy]:.3f} ({row.mean_difference:+.3f}{_seeds(row)})"
            for row in _in_order(before)
        ]
        sentences.append(f"From {base}, {MAIN} is {values[base, UNTRAINED]:.3f} before training; with {'; with '.join(told)}.")
        if mixed := _on_mix(base, part):
            sentences.append(mixed)
    return sentences


def _named(strategy: str) -> str:
    return f"{strategy} ({OBJECTIVES[strategy]})" if strategy in OBJECTIVES else strategy


def _seeds(row) -> str:
    return "" if pd.isna(row.seed_low) else f", over seeds {row.seed_low:+.3f} to {row.seed_high:+.3f}"


def _in_order(rows: pd.DataFrame) -> list:
    ranks = in_order(rows["strategy"])
    return sorted(rows.itertuples(), key=lambda row: ranks.index(row.strategy))


def change(row) -> str:
    """Whether a strategy's value rises or falls from the untrained base's, by the corrected test and the interval over seeds."""
    return CHANGE.get(verdict(row), NO_CHANGE)


def _on_mix(base: str, part: pd.DataFrame) -> str:
    """Where both objectives in one mix stand between, above or below each alone."""
    against = part[(part["baseline"] == HYBRID) & part["strategy"].isin(["X-X-mono", "X-Y"])]
    found = {row.strategy: verdict(row) for row in against.itertuples()}
    if len(found) < 2:
        return ""
    listed = ", ".join(f"{found[row.strategy]} {row.strategy} ({-row.mean_difference:+.3f})" for row in _in_order(against))
    both = set(found.values())
    answer = {
        frozenset({"ahead of"}): "the two objectives help each other",
        frozenset({"behind"}): "the two objectives hinder each other",
        frozenset({"ahead of", "behind"}): "the mix lies between the two objectives",
    }.get(frozenset(both), "the mix is not clearly apart from both")
    return f"From {base}, hybrid is {listed}: {answer}."


def on_languages(tests: pd.DataFrame, languages: Collection[str], trained: Collection[str]) -> list[str]:
    """The same by kind of language pair: trained and untrained languages apart."""
    rows = tests[(tests["measure"] == MAIN) & (tests["setting"] != ALL_PAIRS)]
    untrained = [language for language in languages if language not in set(trained)]
    if rows.empty:
        known = {0: "both languages in training", len(languages): "no language in training"}.get(len(untrained), "one language in training")
        return [f"Every pair of languages of these questions has {known}: trained and untrained ones cannot be told apart here."]
    sentences = [f"No training batch holds {', '.join(untrained)}."]
    for base, part in rows.groupby("base", sort=False):
        for kind in [kind for kind in KINDS if kind in set(part["setting"])]:
            of_kind = part[part["setting"] == kind]
            before, mixed = (_in_order(of_kind[of_kind["baseline"] == baseline]) for baseline in (UNTRAINED, HYBRID))
            changes = ", ".join(f"{row.strategy} {change(row)} ({row.mean_difference:+.3f})" for row in before)
            against = ", ".join(f"{verdict(row)} {row.strategy}" for row in mixed)
            sentences.append(f"From {base}, {KIND_WORDS[kind]}: {changes}." + (f" Hybrid is {against}." if against else ""))
    return sentences


def on_alignment(means: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Whether the vectors' own alignment moves as the recall does."""
    rows = means[(means["setting"] == ALL_PAIRS) & (means["measure"] == "alignment_gap")]
    values = rows.groupby(["base", "strategy"])["value"].mean()
    changed = tests[(tests["measure"] == MAIN) & (tests["setting"] == ALL_PAIRS) & (tests["baseline"] == UNTRAINED)]
    clear = [row for row in changed.itertuples() if change(row) != NO_CHANGE]
    agree = [row for row in clear if (values[row.base, row.strategy] > values[row.base, UNTRAINED]) == (row.mean_difference > 0)]
    sentences = []
    for base, part in values.groupby("base", sort=False):
        part = part.droplevel("base")
        if UNTRAINED in part:
            listed = ", ".join(f"{name} {part[name]:.3f}" for name in in_order(part.index) if name not in NOT_TRAINED)
            sentences.append(f"From {base}, the alignment gap is {part[UNTRAINED]:.3f} before training and after it: {listed}.")
    if clear:
        sentences.append(
            f"The alignment gap moves in the direction of {MAIN} in {len(agree)} of the {len(clear)} cases in which that clearly changes."
        )
    return sentences


def on_seeds(tests: pd.DataFrame) -> list[str]:
    """What one seed leaves open."""
    if len(tests) and (tests["n_seeds"] < 2).all():
        return ["One seed: whether other training runs would rise or fall alike cannot be concluded."]
    return []


def on_passages(run: Run) -> str:
    """How to get the passage recall that this run lacks."""
    tasks = json.dumps([*run.profile.tasks, PASSAGES])
    return (
        "This run has no task `mkqa`. Passage recall in BGE-M3's protocol (questions in 25 languages, English Wikipedia passages, "
        f"Recall@20 and @100 by gold answer): `python -m hybridir_utils run --profile {run.source} --set 'tasks={tasks}'`; the questions "
        "and the corpus of 2.7 million passages come from the hub or from local folders (data/README.md)."
    )
