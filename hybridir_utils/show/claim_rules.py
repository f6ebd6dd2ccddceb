"""Claims 6-10, about what the batches do: verdicts from paired tests over questions and the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable

from .claim_evidence import one_seed, reduction, told, told_reductions, told_x_x
from .claim_sources import Source
from .claim_tests import AHEAD, LINES, Comparison, comparisons
from .style import SETTINGS
from .verdicts import NOT_SUPPORTED, Verdict, decided, undecided

LEAST_REDUCTION = 0.1  # of the rank distance
LEAST_KEPT = 0.8  # of the trained languages' mAP, by unseen ones
BASELINES = ("X-X-mono", "X-Y")


def pure_batches(source: Source) -> Verdict:
    """Claim 6."""
    tests = source.tables["claim_tests"]
    found = comparisons(tests, "X-X-mono", "X-Y", ["monolingual"]) + comparisons(tests, "X-Y", "X-X-mono", ["cross-lingual"])
    both = {(c.task, c.base) for c in found if c.setting == "cross-lingual"}  # searched tasks have one setting only
    return _judged([c for c in found if (c.task, c.base) in both], source, BASELINES, told_x_x(source))


def best_multilingual(source: Source) -> Verdict:
    """Claim 7."""
    return _judged(_over_baselines(source, ["multilingual"]), source, ("hybrid", *BASELINES))


def beats_baselines(source: Source) -> Verdict:
    """Claim 8; one base alone can only fail."""
    found = _over_baselines(source, SETTINGS)
    verdict, bases = _judged(found, source, ("hybrid", *BASELINES)), {c.base for c in found}
    if len(bases) == 1 and verdict.word != NOT_SUPPORTED:
        return undecided(f"One base, {bases.pop()}, where the claim names two. {verdict.evidence}")
    return verdict


def less_biased(source: Source) -> Verdict:
    """Claim 9."""
    found = comparisons(source.tables["bias_tests"], "hybrid", "X-X-mono")
    beside = told_reductions(source, [(c.task, c.base) for c in found], ("X-X-mono", "X-X", "X-Y"))

    def enough(c: Comparison) -> bool:
        return reduction(source, c.task, c.base, "X-X-mono") >= LEAST_REDUCTION

    return _judged(found, source, ("hybrid", "X-X-mono"), beside, enough)


def zero_shot(source: Source) -> Verdict:
    """Claim 10: every language above its lines, and unseen languages near the trained ones."""
    halves = [_above_lines(source), _unseen_near(source)]
    evidence = " ".join(text for _, text in halves)
    if any(holds is False for holds, _ in halves):
        return decided(False, evidence)
    return undecided(evidence) if any(holds is None for holds, _ in halves) else decided(True, evidence)


def zero_shot_tasks(parameters: dict) -> list[str]:
    """The tasks of a profile that no pair set shares its source with, and those it lists under domain shift."""
    shifted, sets = parameters.get("shifted_tasks", ()), parameters["pair_sets"]
    own = {task for task in parameters["tasks"] for name in sets if task == name or task.startswith(f"{name}-")}
    return [task for task in parameters["tasks"] if task in shifted or task not in own]


def _above_lines(source: Source) -> tuple[bool | None, str]:
    """(whether hybrid is ahead of BM25 and the untrained base in every language and setting, evidence); None where nothing can say so."""
    if "language_tests" not in source.tables:
        return None, "Its tables hold no test against BM25 and an untrained encoder by language."
    found = [c for line in LINES for c in comparisons(source.tables["language_tests"], "hybrid", line)]
    if not found:
        return None, "No hybrid encoder was evaluated on a set that is free of the training sets' sources."
    if one := one_seed(found, source):
        return None, one
    return all(c.outcome() == AHEAD for c in found), told(found, source, lambda c: c.outcome() == AHEAD)


def _unseen_near(source: Source) -> tuple[bool | None, str]:
    """(whether unseen languages keep LEAST_KEPT of the trained ones' mAP in every task, base, setting and seed, evidence); None without
    unseen languages.
    """
    p, rows = source.parameters, source.tables["scores"]
    trained = set(p["languages"]) - set(p.get("unseen_languages", ()))
    rows = rows[(rows["strategy"] == "hybrid") & (rows["metric"] == "mAP") & (rows["query_language"] != "macro")]
    rows = rows[rows["task"].isin(zero_shot_tasks(p))].assign(seen=lambda table: table["query_language"].isin(trained))
    means = rows.groupby(["task", "base", "setting", "seed", "seen"])["value"].mean().unstack("seen")
    if means.shape[1] < 2:
        return None, "No language of such a set is unseen in training."
    if rows["seed"].nunique() < 2 and not source.published:
        return None, "One seed: what another would give in unseen languages is not known."
    kept = (means[False] / means[True]).dropna()
    unseen = ", ".join(sorted(set(rows.loc[~rows["seen"], "query_language"])))
    task, base, setting, _ = kept.idxmin()
    shares = f"{kept.min():.0%} ({task} from {base}, {SETTINGS[setting]}) to {kept.max():.0%}"
    return bool(kept.min() >= LEAST_KEPT), f"Unseen {unseen} keep {shares} of the trained languages' mAP."


def _over_baselines(source: Source, settings) -> list[Comparison]:
    tables = (source.tables["tests"], source.tables["claim_tests"])
    return [c for tests in tables for other in BASELINES for c in comparisons(tests, "hybrid", other, settings)]


def _judged(
    found: list[Comparison], source: Source, strategies: tuple[str, ...], beside: str = "", enough: Callable = lambda c: True
) -> Verdict:
    """Supported when every comparison is ahead and large enough. All have to hold, so no correction beyond Holm's is needed."""
    compared = {name for c in found for name in (c.better, c.worse)}
    if lacking := [name for name in strategies if name not in compared]:
        return undecided(f"No test with {' and '.join(lacking)} in the settings of this claim.")

    one = one_seed(found, source)
    alone = source.published or bool(one)

    def holds(c: Comparison) -> bool:
        return c.outcome(alone) == AHEAD and enough(c)

    evidence = told(found, source, holds, alone) + beside
    return undecided(f"{one} By these tests alone: {evidence}") if one else decided(all(map(holds, found)), evidence)
