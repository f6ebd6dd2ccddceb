"""What each figure says, in sentences computed from the saved tables: for readers who cannot see it, and beside it for all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from ...experiment.profile import Profile
from ...results.findings import (
    on_batches,
    on_beside_a_mean,
    on_bias,
    on_debiasing,
    on_heat,
    on_language_share,
    on_lengths,
    on_losses,
    on_map,
    on_preparation,
    on_query_languages,
    on_scores,
    on_vectors,
)
from ...studies.claims.judging import on_claims
from ...studies.languages import on_cost, on_languages, on_methods
from ...studies.mixing import on_best, on_pareto, on_schedules, on_stability, reference_alpha
from ...studies.questions import on_pairs, on_recall
from ...studies.shift import alignment_differences, alignment_kept, on_alignment, on_kept

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class FigureText:
    """tables: what `sentences` reads, often more than the figure is drawn from."""

    tables: tuple[str, ...]
    sentences: Callable[[Profile, Tables], list[str]]


def _of(*tables: str, say: Callable[..., list[str]]) -> FigureText:
    """`say` takes the tables alone, in this order."""
    return FigureText(tables, lambda _, read: say(*(read[table] for table in tables)))


def _on_mixing(profile: Profile, read: Tables) -> list[str]:
    reference = reference_alpha(profile)
    return on_stability(read["mixing"], read["mixing_tests"], reference) + on_schedules(read["mixing_tests"], reference)


def _on_shifted_alignment(profile: Profile, read: Tables) -> list[str]:
    means, home, shifted = read["shift_alignment"], profile.tasks[0], profile.shifted_tasks
    kept = alignment_kept(means, home, shifted)
    return on_alignment(means, kept, alignment_differences(kept), [home, *shifted])


TEXTS = {
    "01_coverage": _of("coverage", "rejections", "leaks", say=lambda *tables: on_preparation(*tables)[:1]),
    "01_lengths": _of("lengths", say=on_lengths),
    "01_rejections": _of("coverage", "rejections", "leaks", say=lambda *tables: on_preparation(*tables)[1:2]),
    "02_batches": _of("language_shares", say=on_batches),
    "02_losses": _of("losses", say=on_losses),
    "03_scores": _of("scores", "tests", say=on_scores),
    "03_languages": _of("scores", say=on_query_languages),
    "03_heatmap": _of("heat", say=on_heat),
    "04_rank_distance": _of("bias", "bias_tests", say=on_bias),
    "04_language_share": _of("bias", say=on_language_share),
    "04_map": _of("map", say=on_map),
    "04_alignment": _of("alignment", say=on_vectors),
    "04_debiasing": _of("debiasing", say=on_debiasing),
    "04_beside_a_mean": _of("debiasing", say=on_beside_a_mean),
    "05_curves": FigureText(("mixing", "mixing_tests"), _on_mixing),
    "05_pareto": _of("mixing", say=on_pareto),
    "05_recommended": _of("mixing_best", say=on_best),
    "06_kept": _of("shift", say=on_kept),
    "06_alignment": FigureText(("shift_alignment",), _on_shifted_alignment),
    "07_recall": _of("question_recall", "question_tests", say=on_recall),
    "07_pairs": _of("question_pairs", say=on_pairs),
    "08_methods": _of("many_scores", "many_tests", say=on_methods),
    "08_languages": _of("many_languages", say=on_languages),
    "08_cost": _of("many_cost", "many_growth", say=lambda *tables: on_cost(*tables)[:1]),
    "08_growth": _of("many_cost", "many_growth", say=lambda *tables: on_cost(*tables)[1:]),
    "09_verdicts": _of("claims", say=on_claims),
}
