"""What a profile's pair sets give to train on: a part of each drawn, and some answer passages held out for validation."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from ..base.mapped import codes, keep_rows
from ..data.pairs import join_pairs
from ..data.public_layouts import drawn_size
from ..data.register import pair_set
from .profile import Profile

VALIDATION_SHARE = 0.04
VALIDATION_MOST = 5000  # passages; more of a large set only slow the training down


def source_pairs(profile: Profile):
    """(training pairs, validation pairs) of all pair sets before any check; world facts come in English only.

    Of the other sets, the languages that both the profile and the set have, and `pair_share` of the ids but at most `max_pairs`, drawn by
    `corpus_seed`. World facts have a validation split of their own; of other sets some answer passages are held out by `corpus_seed`, and
    a set whose `<set>-test` the profile evaluates has none of that task's articles. Large sets are memory-mapped. Raises UnknownName for a
    set that does not exist, InputError when a set has none of the languages.
    """
    parts = [_one_set(name, profile) for name in profile.pair_sets]
    return tuple(join_pairs(list(side)) for side in zip(*parts, strict=True))


def _one_set(name: str, profile: Profile):
    entry = pair_set(name)
    pairs = _most(entry.read(name, profile.request), profile)
    return (pairs, entry.validation(name, profile.request)) if entry.validation else hold_out(pairs, profile.corpus_seed)


def _most(pairs, profile: Profile):
    """As many ids as the profile draws (`drawn_size`), each in all its languages."""
    ids, names = codes(pairs, "id")
    most = drawn_size(len(names), profile.max_pairs, profile.pair_share)
    if len(names) <= most:
        return pairs
    kept = np.zeros(len(names), dtype=bool)
    kept[np.random.default_rng(profile.corpus_seed).choice(len(names), most, replace=False)] = True
    return keep_rows(pairs, kept[ids])


def hold_out(pairs, seed: int, share: float = VALIDATION_SHARE):
    """(training, validation): a share of the answer passages, VALIDATION_MOST at most, with all their questions and translations, goes
    to validation.
    """
    numbers, names = codes(pairs, "passage_id")
    chosen = np.random.default_rng(seed).permutation(pc.sort_indices(names).to_numpy())
    held = np.zeros(len(names), dtype=bool)
    held[chosen[: min(max(1, round(share * len(names))), VALIDATION_MOST)]] = True
    return keep_rows(pairs, ~held[numbers]), keep_rows(pairs, held[numbers])
