"""What a profile's names stand for: pair sets to train on, tasks to evaluate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import beir, squad, worldfacts
from .errors import InputError, UnknownName
from .fingerprints import file_fingerprint, fingerprint, folder_fingerprint
from .pairs import join_pairs, read_pairs_jsonl, read_sections, section_languages
from .places import WORLDFACTS, data_folder
from .profiles import PAIR_SETS, TASKS, Profile
from .tasks import RetrievalTask

VALIDATION_SHARE = 0.04


def source_pairs(profile: Profile):
    """(training pairs, validation pairs) of all pair sets before any check; world facts come in English only.

    Of the other sets, the languages that both the profile and the set have. World facts have a validation split of their own; of
    other sets a share of answer passages is held out by `corpus_seed`. Raises InputError when a set has none of the languages.
    """
    parts = [_one_set(name, profile) for name in profile.pair_sets]
    return tuple(join_pairs(list(side)) for side in zip(*parts, strict=True))


def _one_set(name: str, profile: Profile):
    if name == "worldfacts":
        return tuple(worldfacts.english_pairs(split, profile.languages, profile.corpus_seed) for split in ("train", "validation"))
    if name.startswith("jsonl:"):
        return hold_out(_own_pairs(name, profile.languages), profile.corpus_seed)
    if name not in PAIR_SETS:
        raise UnknownName("pair set", name, (*PAIR_SETS, "jsonl:FILE"))
    folder = data_folder(name, profile.data_dir)
    languages = _shared(name, profile.languages, section_languages(folder))
    return hold_out(read_sections(folder, languages, name, max_chars=profile.max_chars), profile.corpus_seed)


def _own_pairs(name: str, languages: Sequence[str]):
    pairs = read_pairs_jsonl(Path(name.removeprefix("jsonl:")))
    wanted = _shared(name, languages, sorted(set(pairs["language"])))
    return pairs.select(np.flatnonzero(np.isin(np.asarray(pairs["language"]), wanted)))


def _shared(name: str, wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """The wanted languages a pair set has, in the profile's order."""
    shared = [language for language in wanted if language in there]
    if not shared:
        raise InputError(
            f"pair set {name!r} has none of the profile's languages ({', '.join(wanted)}); it has {', '.join(there) or 'none'}."
        )
    return shared


def hold_out(pairs, seed: int, share: float = VALIDATION_SHARE):
    """(training, validation): a share of the answer passages, with all their questions and translations, goes to validation."""
    groups = np.unique(np.asarray(pairs["passage_id"]))
    chosen = np.random.default_rng(seed).permutation(groups)[: max(1, round(share * len(groups)))]
    held = np.isin(np.asarray(pairs["passage_id"]), chosen)
    return pairs.select(np.flatnonzero(~held)), pairs.select(np.flatnonzero(held))


def retrieval_task(name: str, languages: Sequence[str], data_dir: str = "", corpus_seed: int = 0) -> RetrievalTask:
    """The evaluation task of a name; raises InputError when its data are not there.

    languages, corpus_seed: of the world facts; the real sets have languages of their own.
    """
    languages = tuple(languages)
    kind, _, place = name.partition(":")
    own = {"beir": beir.read_beir, "squad": squad.squad_folder}
    if place and kind in own:
        return own[kind](Path(place))
    builders = {
        "worldfacts-test": lambda: worldfacts.retrieval_task("test", languages, corpus_seed),
        "worldfacts-shifted": lambda: worldfacts.shifted_task(languages, corpus_seed),
        "xquad-r": lambda: squad.xquad_r(data_folder("xquad-r", data_dir)),
        "mlqa-r": lambda: squad.mlqa_r(data_folder("mlqa-dev", data_dir)),
    }
    if name not in builders:
        raise UnknownName("task", name, (*TASKS, *(f"{kind}:FOLDER" for kind in own)))
    return builders[name]()


def data_fingerprint(names: tuple[str, ...], data_dir: str) -> str:
    """Fingerprint of the files behind pair sets or tasks."""
    return fingerprint({name: _files_fingerprint(name, data_dir) for name in names})


def _files_fingerprint(name: str, data_dir: str) -> str:
    kind, _, place = name.partition(":")
    if kind.startswith("worldfacts"):
        return folder_fingerprint(WORLDFACTS)
    if place:
        path = Path(place)
        if not path.exists():
            raise InputError(f"{path}: named by {name!r}, but it is not there.")
        return folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)
    return folder_fingerprint(data_folder({"mlqa-r": "mlqa-dev"}.get(name, name), data_dir))
