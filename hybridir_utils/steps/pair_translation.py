"""What a profile has translated: which pairs, by what, and into a cache that survives a kill (notebook 01)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from datasets import Dataset

from ..base.distributed import first_process_first
from ..base.errors import InputError
from ..base.mapped import codes, keep_rows
from ..base.runs import writing
from ..data import worldfacts
from ..data.pairs import join_pairs
from ..rank.opening import origin
from ..translate.translation import CachedTranslator, MemoryTranslator, translate_pairs
from .corpora import source_pairs
from .profiles import Profile
from .session import Run


def translator(run: Run) -> CachedTranslator:
    """The profile's translator behind a cache that survives a kill."""
    p = run.profile
    if p.translator == "memory":
        targets = [language for language in p.languages if language != "en"]
        inner = MemoryTranslator({target: worldfacts.FactsMemory(target) for target in targets}, worldfacts.edition())
    else:
        from ..translate.mt import open_translator

        inner = open_translator(
            p.translator, beams=p.beams, tokens=p.translation_tokens, precision=p.precision, trust_remote_code=p.trust_remote_code
        )
    with writing(run.artefacts):
        run.artefacts.mkdir(parents=True, exist_ok=True)
    return CachedTranslator(inner, run.artefacts / "translations.sqlite")


def fill_translations(run: Run) -> Path:
    """Translate what the profile has translated into the cache alone, for `prepare_pairs` to find; returns the cache's path.

    Under `accelerate launch` every process calls this, and they share the texts.
    """
    with first_process_first():
        parts = source_pairs(run.profile)
    cached = translator(run)
    for pairs in parts:
        chosen, targets = to_translate(run.profile, pairs)
        if targets and chosen.any():
            with TemporaryDirectory() as folder:
                translate_pairs(keep_rows(pairs, chosen), cached, targets, Path(folder))
    return cached.path


def translation_sample(run: Run) -> pd.DataFrame:
    """chrF of `back_translated` passages a language, into it and back: language, chrF, low, high, n (`back_translation`).

    No rows where nothing was translated, or by the translation memory, which holds one direction only.
    """
    from ..translate.translation_quality import back_translation

    pairs, profile = source_pairs(run.profile)[0], run.profile
    chosen, targets = to_translate(profile, pairs)
    if profile.translator == "memory" or not profile.back_translated or not targets or not chosen.any():
        return pd.DataFrame(columns=["language", "chrF", "low", "high", "n"])
    return back_translation(keep_rows(pairs, chosen), translator(run), targets, profile.back_translated, profile.corpus_seed).scores


def translated(run: Run, pairs: Dataset, folder: Path) -> Dataset:
    """Data sets that are English only are translated into the profile's other languages; parallel ones, and those that the profile
    names in `english_only`, stay as they are.
    """
    chosen, targets = to_translate(run.profile, pairs)
    if not targets or not chosen.any():
        return pairs
    return join_pairs([keep_rows(pairs, ~chosen), translate_pairs(keep_rows(pairs, chosen), translator(run), targets, folder)])


def to_translate(profile: Profile, pairs: Dataset) -> tuple[np.ndarray, list[str]]:
    """([rows] bool, target languages): the pairs of sets that are in English only and not in the profile's `english_only`."""
    stay = {Path(name).name.split(".")[0] for name in profile.english_only}  # the source of jsonl:FILE is the file's name
    (source, sources), (language, languages) = codes(pairs, "source"), codes(pairs, "language")
    parallel = np.isin(sources.to_pylist(), sorted(stay))
    parallel[source[np.array(languages.to_pylist())[language] != "en"]] = True
    return ~parallel[source], [language for language in profile.languages if language != "en"]


def translating_model(profile: Profile) -> dict:
    """What decides a translation: the translator's name, the models it stands for, each with its commit or the fingerprint of its folder,
    and the decoding.
    """
    if profile.translator == "memory":
        return {"name": "memory"}
    from ..translate.mt_catalogue import TRANSLATORS, model_places

    known = TRANSLATORS.get(profile.translator)
    models = {place: _commit(place) for place in model_places(profile.translator, profile.languages)}
    about = {"models": models, "licence": known.licence, "max_tokens": known.max_tokens} if known else {"models": models}
    return {"name": profile.translator, **about, "beams": profile.beams, "precision": profile.precision}


def _commit(place: str) -> str | None:
    """`NAME@COMMIT` or a folder's fingerprint; None where neither the hub nor the cache answers."""
    try:
        return origin(place)
    except InputError:
        return None
