"""Comparisons and their numbers as the text that a verdict rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..steps.evaluation import REFERENCE
from .claim_sources import Source
from .claim_tests import AHEAD, BEHIND, UNCLEAR, Comparison
from .style import SETTINGS

MOST_TOLD = 2  # comparisons that do not hold, told one by one
FAILING = {AHEAD: "ahead by less than asked", BEHIND: BEHIND, UNCLEAR: UNCLEAR}
METRIC = {"AP": "mAP", "nDCG@10": "nDCG@10"}
PUBLISHED_ONCE = "One training run a model is published: what another would give is not known."


def told(found: list[Comparison], source: Source, holds: Callable[[Comparison], bool], alone: bool = False) -> str:
    """How many hold, those that do not (the furthest first), the weakest of those that do, and what the tests are over.

    alone: outcomes by the tests alone, without an interval over seeds.
    """
    good, failing = ([c for c in sorted(found, key=lambda c: c.gain) if bool(holds(c)) is side] for side in (True, False))
    words = Counter(c.outcome(alone) for c in failing)
    others = ", ".join(f"{n} {FAILING[word]}" for word, n in sorted(words.items()))
    parts = [f"{len(good)} of {len(found)} comparisons hold{f'; {others}' if failing else ''}."]
    lines = [line(c, source, alone) for c in failing[:MOST_TOLD]] + ["…"] * (len(failing) > MOST_TOLD)
    parts += [f"Do not hold: {'; '.join(lines)}."] if failing else []
    parts += [f"Smallest that holds: {line(good[0], source, alone)}."] if good else []
    groups = " or ".join(f"{n:,}" for n in sorted({c.groups for c in found}))
    seeds = PUBLISHED_ONCE if source.published else f"Seeds: {min(c.seeds for c in found)}."
    return " ".join([*parts, f"Paired tests over {groups} {'languages' if source.published else 'parallel questions'}.", seeds])


def line(c: Comparison, source: Source, alone: bool) -> str:
    """One comparison: place, both means, outcome, and the test's numbers."""
    means = ", ".join(f"{strategy} {value}" for strategy in (c.better, c.worse) if (value := _mean(source, c, strategy)))
    return f"{c.place}: {means}, {c.outcome(alone)} ({c.numbers})"


def one_seed(found: list[Comparison], source: Source) -> str:
    """Why one seed is not enough; "" for more, and for published numbers, of which there are no more."""
    if source.published or all(c.seeds > 1 for c in found):
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


def reduction(source: Source, task: str, base: str, other: str) -> float:
    """By which share hybrid's mean rank distance is below the other's."""
    return 1 - rank_distance(source, task, base, "hybrid") / rank_distance(source, task, base, other)


def told_reductions(source: Source, places: list[tuple[str, str]], others: tuple[str, ...]) -> str:
    """Hybrid's rank distance against that of other strategies, in per cent; those that the source lacks are left out."""
    parts = []
    for other in others:
        shares = {place: reduction(source, *place, other) for place in places}
        told_ = ", ".join(f"{task} from {base} {round(-share, 3) + 0.0:+.1%}" for (task, base), share in shares.items() if share == share)
        parts += [f" Against {other}'s rank distance: {told_}."] if told_ else []
    return "".join(parts)


def told_x_x(source: Source) -> str:
    """The means of X-X, which mixes languages in a batch and has no part in the rule."""
    rows = source.tables["scores"]
    rows = rows[(rows["strategy"] == "X-X") & (rows["query_language"] == "macro") & (rows["metric"] == "mAP")]
    means = rows.groupby(["task", "base", "setting"], sort=False)["value"].mean().unstack().reindex(columns=list(SETTINGS)[:2])
    told_ = [
        f"{task} from {base} {mono:.3f} and {cross:.3f}" for (task, base), (mono, cross) in zip(means.index, means.values, strict=True)
    ]
    return f" X-X beside them (Mo. and Cr. mAP): {', '.join(told_)}." if told_ else ""
