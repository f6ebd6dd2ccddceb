"""What a profile will cost before anything starts: `python -m hybridir_utils run --cost`."""

from __future__ import annotations

from collections.abc import Iterator
from math import nan

import pandas as pd

from ..base.encoder_catalogue import ENCODERS, place_of
from ..base.errors import HybridIRError, InputError
from ..rank.encoding_cost import PEAK, UTILISATION, encoder_shape, task_cost
from .data_costs import sized_sets, training_data, translation
from .mixing import further_keys
from .profiles import OWN_BASES, Profile
from .readiness import model_faults, set_faults, told
from .search_tasks import is_search_task
from .session import Run

QUERY_TOKENS, PASSAGE_TOKENS = 24, 128  # taken for a pair where the profile sets no lengths
COLUMNS = ["passages", "tokens", "gpu_hours", "disk_gb", "ram_gb"]  # of `encoding_cost`


def run_cost(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """(heading, table), each as soon as it is known: training by base, encoding of the large corpora by task and encoder, training data
    by set, translation by language; those that the profile has none of are left out.

    GPU-hours are of one A100 or A800 at the shares of its peak that `encoding_cost` states. What is not known is nan. Sets of the hub
    are asked for their sizes, and for their first rows where they are to be translated; last of all the translator is opened and timed.
    After the last table, InputError names everything that is not there or could not be reckoned.
    """
    failed = []
    for heading, table in (("training", training(run.profile)), ("large corpora", corpora(run.profile))):
        if len(table):
            yield heading, table
    try:
        yield from _data(run, failed)
    except HybridIRError as error:
        failed.append(str(error))
    if failed:
        raise InputError("not reckoned, or not there yet:\n" + told(failed))


def _data(run: Run, failed: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of the training data; what is not there is added to `failed`."""
    sets = set_faults(run.profile)
    sized, unsized = sized_sets(run.profile, sets)
    failed += [*model_faults(run.profile).values(), *sets.values(), *unsized]
    yield "training data", training_data(run.profile, sized)
    yield from translation(run, sized)


def training(profile: Profile) -> pd.DataFrame:
    """Per base: encoders, steps, tokens and GPU-hours of all its trainings, those of notebook 05 included, at most.

    A step costs 6 x parameters x tokens: forward, and twice that backward (Kaplan et al. 2020, section 2.1); gradient checkpointing
    and the cached loss go forward a second time: 8. Early stopping may end before `steps`. Bags of subwords are left out: seconds.
    """
    pair = (profile.max_query_tokens or QUERY_TOKENS) + (profile.max_passage_tokens or PASSAGE_TOKENS) * (
        1 if profile.hard_negatives == "none" else 2
    )
    passes = 8 if profile.gradient_checkpointing or profile.mini_batch_size else 6
    rows = []
    for base in profile.bases:
        if base not in OWN_BASES or profile.layers:
            encoders = len(profile.strategies) * len(profile.seeds) + sum(key.base == base for key in further_keys(profile))
            tokens = encoders * profile.steps * profile.batch_size * pair
            hours = passes * _shape(base, profile)[0] * tokens / (PEAK[profile.precision] * UTILISATION[profile.precision]) / 3600
            rows.append({"base": base, "encoders": encoders, "steps": profile.steps, "tokens": tokens, "gpu_hours": hours})
    return pd.DataFrame(rows)


def corpora(profile: Profile) -> pd.DataFrame:
    """Per task with a large corpus and encoder: how many such encoders, and the sum of `encoding_cost` over all of them.

    Nan where the size of a task (of a user's own, or one that mteb has not counted) or of an encoder is not known.
    """
    rows = []
    for task in filter(_is_large, profile.tasks):
        for name, count in _encoders(profile).items():
            cost = _cost(task, name, profile).reindex(COLUMNS)
            total = {column: cost[column] * count for column in ("gpu_hours", "disk_gb")}
            rows.append({"task": task, "encoder": name, "encoders": count, **cost, **total})
    return pd.DataFrame(rows).astype({"passages": "Int64", "tokens": "Int64"}) if rows else pd.DataFrame()


def _is_large(task: str) -> bool:
    """Whether a task's pools are searched, or are a user's own of any size."""
    return is_search_task(task) or ":" in task


def _encoders(profile: Profile) -> dict[str, int]:
    """Base or retriever -> how many encoders of its size are evaluated, the untrained one included."""
    trained = {base: len(profile.strategies) * len(profile.seeds) + 1 for base in profile.bases}
    return trained | dict.fromkeys(profile.retrievers, 1)


def _shape(name: str, profile: Profile) -> tuple[float, float]:
    """(parameters of the layers, 12 x width² each in the suite's own; width); nan for a model whose configuration cannot be read."""
    if name in OWN_BASES:
        return 12 * profile.layers * profile.dimension**2, profile.dimension
    known = ENCODERS.get(name)
    try:
        return (known.body_parameters, known.width) if known else encoder_shape(place_of(name), profile.opening)
    except HybridIRError:
        return nan, nan


def _cost(task: str, encoder: str, profile: Profile) -> pd.Series:
    """`task_cost` of one encoder; empty where nobody tells how large the task's corpora are."""
    options = {"precision": profile.precision, "vector_precision": profile.vector_precision}
    try:
        return task_cost(task, profile.task_languages, *_shape(encoder, profile), profile.max_passage_tokens or 512, **options).loc["all"]
    except HybridIRError:
        return pd.Series(dtype=float)
