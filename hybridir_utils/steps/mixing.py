"""Study S2 (notebook 05): encoders over a grid of α, the share of monolingual batches, and over schedules; and their evaluations."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from ..base.errors import InputError
from ..data.batching import SCHEDULES, strategy_alpha
from .encoders import EncoderKey, trained_encoders
from .evaluation import Evaluations, evaluate
from .profiles import Profile
from .search_tasks import is_search_task
from .session import Run

ENDS = {0.0: "X-Y", 1.0: "X-X-mono"}  # what hybrid batches are at the ends of the grid, and what notebook 02 calls them


def grid(profile: Profile) -> list[float]:
    """The values of α that are compared, ascending, each once."""
    return sorted({float(alpha) for alpha in profile.alphas})


def reference_alpha(profile: Profile) -> float:
    """The grid's value nearest to the profile's `alpha` (the lower of two); the others are tested against it, and schedules mix like it."""
    return min(grid(profile), key=lambda alpha: abs(alpha - profile.alpha))


def mixing_keys(profile: Profile) -> list[EncoderKey]:
    """Every α of the grid, then every schedule, with every seed, from the first of the profile's bases.

    They are the keys that `encoders.encoder_keys` makes where both ask for the same encoder, so none is trained twice. Schedules are left
    out where the reference α is 0 or 1, which leaves nothing to order.
    """
    reference = reference_alpha(profile)
    mixes = [(ENDS.get(alpha, "hybrid"), alpha) for alpha in grid(profile)]
    mixes += [(schedule, reference) for schedule in SCHEDULES if schedule in profile.schedules and reference not in ENDS]
    return [EncoderKey(profile.bases[0], *mix, seed) for mix, seed in product(mixes, profile.seeds)]


def further_keys(profile: Profile) -> list[EncoderKey]:
    """Those of `mixing_keys` that only this study asks for; the others are trained by notebook 02."""
    own = {(strategy, strategy_alpha(strategy, profile.alpha)) for strategy in profile.strategies}
    return [key for key in mixing_keys(profile) if (key.strategy, key.alpha) not in own]


def mix_label(strategy: str, alpha: float) -> str:
    """What tables and figures call a mix: `α = 0.25`, or the schedule's name."""
    return strategy if strategy in SCHEDULES else f"α = {alpha:g}"


def mixing_encoders(run: Run) -> dict[EncoderKey, Path]:
    """Folder of every encoder of the study; those that are missing are trained here, also where the profile's train_in_place is false."""
    return trained_encoders(run, keys=mixing_keys(run.profile))


def mixing_tasks(profile: Profile) -> list[str]:
    """The profile's tasks with full rankings, in its order; raises InputError where it has none."""
    ranked = [task for task in profile.tasks if not is_search_task(task)]
    if not ranked:
        raise InputError(
            f"the mixing study compares mAP over full rankings, and the profile's tasks ({', '.join(profile.tasks)}) are all searched to "
            'a depth. Add one that is ranked in full, such as "xquad-r", or "beir:FOLDER" for a set of your own.'
        )
    return ranked


def mixing_evaluations(run: Run, encoders: dict[EncoderKey, Path]) -> Evaluations:
    """Evaluations of the study's encoders, and of the lines that stand beside them, on `mixing_tasks`."""
    return evaluate(run, encoders, mixing_tasks(run.profile))


def shifted_tasks(profile: Profile) -> tuple[str, ...]:
    """Tasks under domain shift whose accuracy is divided by the first task's; none where that one is searched to a depth."""
    return tuple(task for task in profile.shifted_tasks if task in mixing_tasks(profile) and not is_search_task(profile.tasks[0]))
