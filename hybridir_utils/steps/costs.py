"""What a profile will cost before anything starts: `python -m hybridir_utils run --cost`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..base.encoder_catalogue import ENCODERS, place_of
from ..base.errors import UnknownName
from ..base.mapped import keep_rows
from ..rank.encoding_cost import PEAK, UTILISATION, corpus_sizes, encoder_shape, task_cost
from ..translate.mt_catalogue import TRANSLATORS
from ..translate.translation_cost import measured_speed, translation_cost
from .corpora import source_pairs
from .mixing import further_keys
from .preparation import to_translate, translator
from .profiles import OWN_BASES, Profile
from .session import Run

QUERY_TOKENS, PASSAGE_TOKENS = 24, 128  # taken for a pair where the profile sets no lengths


def run_cost(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """(heading, table): training by base, encoding of the large corpora by task and encoder, translation by language, as far as
    the profile has them.

    GPU-hours are of one A100 or A800 at the shares of its peak that `encoding_cost` states. The last table reads the training sets, from
    the hub where they lie there, and times the translator.
    """
    for heading, table in (("training", training(run.profile)), ("large corpora", corpora(run.profile))):
        if len(table):
            yield heading, table
    if len(table := translation(run)):
        known = TRANSLATORS.get(run.profile.translator)
        yield f"translation by {run.profile.translator}{f' (licence {known.licence})' if known else ''}", table


def translation(run: Run) -> pd.DataFrame:
    """`translation_cost` of the English pairs that the profile has translated, in hours of one process of this machine, which translates
    a few texts for it; empty where none are.
    """
    train, _ = source_pairs(run.profile)
    chosen, targets = to_translate(run.profile, train)
    if not targets or not chosen.any():
        return pd.DataFrame()
    english, cached = keep_rows(train, chosen), translator(run)
    return translation_cost(english, targets, cached, measured_speed(english, targets[0], cached)).set_index("language")


def training(profile: Profile) -> pd.DataFrame:
    """Per base: encoders, steps, tokens and GPU-hours of all its trainings, those of notebook 05 included, at most.

    A step costs 6 x parameters x tokens: forward, and twice that backward (Kaplan et al. 2020, section 2.1); gradient checkpointing
    and the cached loss go forward a second time: 8. Early stopping may end before `steps`. The suite's own bases are left out: seconds.
    """
    pair = (profile.max_query_tokens or QUERY_TOKENS) + (profile.max_passage_tokens or PASSAGE_TOKENS) * (
        1 if profile.hard_negatives == "none" else 2
    )
    passes = 8 if profile.gradient_checkpointing or profile.mini_batch_size else 6
    rows = []
    for base in profile.bases:
        if base not in OWN_BASES:
            encoders = len(profile.strategies) * len(profile.seeds) + sum(key.base == base for key in further_keys(profile))
            tokens = encoders * profile.steps * profile.batch_size * pair
            hours = passes * _shape(base, profile)[0] * tokens / (PEAK[profile.precision] * UTILISATION[profile.precision]) / 3600
            rows.append({"base": base, "encoders": encoders, "steps": profile.steps, "tokens": tokens, "gpu_hours": hours})
    return pd.DataFrame(rows)


def corpora(profile: Profile) -> pd.DataFrame:
    """Per task with a large corpus and encoder: how many such encoders, and the sum of `encoding_cost` over all of them."""
    rows = []
    for task in profile.tasks:
        for name, count in _encoders(profile).items():
            if _has_large_corpus(task):
                options = {"precision": profile.precision, "vector_precision": profile.vector_precision}
                longest = profile.max_passage_tokens or 512
                cost = task_cost(task, profile.task_languages, *_shape(name, profile), longest, **options).loc["all"]
                total = {column: cost[column] * count for column in ("gpu_hours", "disk_gb")}
                rows.append({"task": task, "encoder": name, "encoders": count, **cost, **total})
    return pd.DataFrame(rows).astype({"passages": np.int64, "tokens": np.int64}) if rows else pd.DataFrame()


def _encoders(profile: Profile) -> dict[str, int]:
    """Base or retriever -> how many encoders of its size are evaluated, the untrained one included."""
    trained = {base: len(profile.strategies) * len(profile.seeds) + 1 for base in profile.bases if base not in OWN_BASES}
    return trained | dict.fromkeys(profile.retrievers, 1)


def _shape(name: str, profile: Profile) -> tuple[int, int]:
    known = ENCODERS.get(name)
    return (known.body_parameters, known.width) if known else encoder_shape(place_of(name), profile.opening)


def _has_large_corpus(task: str) -> bool:
    try:
        return bool(len(corpus_sizes(task)))
    except UnknownName:
        return False
