"""What a profile's names stand for: pair sets to train on, tasks to evaluate on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from ..base.errors import InputError, UnknownName
from ..base.files import WORLDFACTS, data_folder, file_fingerprint, fingerprint, folder_fingerprint
from ..base.languages import XQUAD_R_LANGUAGES
from ..base.mapped import codes, keep_rows
from ..data import worldfacts
from ..data.pairs import join_pairs, read_pairs_jsonl, read_sections, section_languages
from ..data.public_pairs import TRAINING_SETS, hub_pairs, set_record
from ..data.section_tasks import held_out_articles, section_task, without_articles
from ..data.triples import drawn_size
from ..tasks import beir, large_sets, mteb_tasks, squad
from ..tasks.large_sets import NAMES, miracl_task
from ..tasks.parallel_sets import FOLDER as NTREX
from ..tasks.parallel_sets import NAME as MKQA_QUESTIONS
from ..tasks.parallel_sets import belebele_codes, belebele_task, mkqa_questions, ntrex_codes, ntrex_task
from ..tasks.parallel_texts import ParallelQuestions, questions_of
from ..tasks.public_sets import EvaluationSet, pick_languages, sets_of, state
from ..tasks.retrieval_task import RetrievalTask
from ..tasks.searched_task import SearchTask
from .profile import HUB_PAIR_SETS, PAIR_SETS, PARALLEL_TASKS, SEARCH_TASKS, SECTION_TASKS, Profile

TITLES = {"xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R", "belebele": "Belebele", "ntrex": "NTREX"}
VALIDATION_SHARE = 0.04
VALIDATION_MOST = 5000  # passages; more of a large set only slow the training down


def source_pairs(profile: Profile):
    """(training pairs, validation pairs) of all pair sets before any check; world facts come in English only.

    Of the other sets, the languages that both the profile and the set have, and `pair_share` of the ids but at most `max_pairs`, drawn by
    `corpus_seed`. World facts have a validation split of their own; of other sets some answer passages are held out by `corpus_seed`, and
    a set whose `<set>-test` the profile evaluates has none of that task's articles. Large sets are memory-mapped. Raises InputError when
    a set has none of the languages.
    """
    parts = [_one_set(name, profile) for name in profile.pair_sets]
    return tuple(join_pairs(list(side)) for side in zip(*parts, strict=True))


def _one_set(name: str, profile: Profile):
    if name == "worldfacts":
        train, validation = (worldfacts.english_pairs(split, profile.languages, profile.corpus_seed) for split in ("train", "validation"))
        return _most(train, profile), validation
    if name in HUB_PAIR_SETS:
        pairs = _public_pairs(name, profile)
    elif name.startswith("jsonl:"):
        pairs = _own_pairs(name, profile.languages)
    elif name in PAIR_SETS:
        folder = data_folder(name, profile.data_dir)
        languages = _shared(name, profile.languages, section_languages(folder))
        pairs = read_sections(folder, languages, name, max_chars=profile.max_chars)
        if f"{name}-test" in profile.test_sets:
            pairs = without_articles(pairs, held_out_articles(folder, profile.corpus_seed), name)
    else:
        raise UnknownName("pair set", name, (*PAIR_SETS, "jsonl:FILE"))
    return hold_out(_most(pairs, profile), profile.corpus_seed)


def _own_pairs(name: str, languages: Sequence[str]):
    pairs = read_pairs_jsonl(Path(name.removeprefix("jsonl:")))
    numbers, there = codes(pairs, "language")
    wanted = _shared(name, languages, sorted(there.to_pylist()))
    return keep_rows(pairs, np.isin(there.to_pylist(), wanted)[numbers])


def _public_pairs(name: str, profile: Profile):
    languages = _shared(name, profile.languages, sorted(TRAINING_SETS[name].languages))
    limits = {"max_chars": profile.max_chars, "max_pairs": profile.max_pairs, "share": profile.pair_share, "seed": profile.corpus_seed}
    return hub_pairs(name, languages, profile.data_dir, **limits, negatives=profile.hard_negatives == "given")


def _most(pairs, profile: Profile):
    """As many ids as the profile draws (`drawn_size`), each in all its languages."""
    ids, names = codes(pairs, "id")
    most = drawn_size(len(names), profile.max_pairs, profile.pair_share)
    if len(names) <= most:
        return pairs
    kept = np.zeros(len(names), dtype=bool)
    kept[np.random.default_rng(profile.corpus_seed).choice(len(names), most, replace=False)] = True
    return keep_rows(pairs, kept[ids])


def _shared(name: str, wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """The wanted languages a pair set has, in the profile's order."""
    shared = [language for language in wanted if language in there]
    if not shared:
        raise InputError(
            f"pair set {name!r} has none of the profile's languages ({', '.join(wanted)}); it has {', '.join(there) or 'none'}."
        )
    return shared


def hold_out(pairs, seed: int, share: float = VALIDATION_SHARE):
    """(training, validation): a share of the answer passages, VALIDATION_MOST at most, with all their questions and translations, goes
    to validation.
    """
    numbers, names = codes(pairs, "passage_id")
    chosen = np.random.default_rng(seed).permutation(pc.sort_indices(names).to_numpy())
    held = np.zeros(len(names), dtype=bool)
    held[chosen[: min(max(1, round(share * len(names))), VALIDATION_MOST)]] = True
    return keep_rows(pairs, ~held[numbers]), keep_rows(pairs, held[numbers])


def retrieval_task(
    name: str, languages: Sequence[str], data_dir: str = "", corpus_seed: int = 0, task_languages: Sequence[str] = ()
) -> RetrievalTask:
    """The evaluation task of a name that is ranked in full, in memory; the others are `search_tasks.search_task`s.

    languages, corpus_seed: of the world facts, and of held-out sections. task_languages: of the public sets, each in those of them that
    it has; none: all; of held-out sections in place of `languages`. Raises InputError when the task's data are not there, UnknownName for
    a task that does not exist, and where a public set has none of the languages.
    """
    languages, chosen = tuple(languages), partial(_chosen, name, task_languages, data_dir)
    kind, _, place = name.partition(":")
    own = {"beir": beir.read_beir, "squad": squad.squad_folder}
    if place and kind in own:
        return own[kind](Path(place))
    builders = {
        "worldfacts-test": lambda: worldfacts.retrieval_task("test", languages, corpus_seed),
        "worldfacts-brief": lambda: worldfacts.retrieval_task("test", languages, corpus_seed, worldfacts.BRIEF),
        "worldfacts-shifted": lambda: worldfacts.shifted_task(languages, corpus_seed),
        "xquad-r": lambda: squad.xquad_r(data_folder("xquad-r", data_dir), chosen()),
        "mlqa-r": lambda: squad.mlqa_r(data_folder("mlqa-dev", data_dir), chosen()),
        "belebele": lambda: belebele_task(chosen(), data_dir),
        "ntrex": lambda: ntrex_task(chosen(), data_dir),
    }
    builders |= {task: partial(_section_task, task, task_languages or languages, data_dir, corpus_seed) for task in SECTION_TASKS}
    if name not in builders:
        raise UnknownName("task", name, (*PARALLEL_TASKS, *(f"{kind}:FOLDER" for kind in own)))
    return builders[name]()


def languages_of(name: str, data_dir: str = "") -> tuple[str, ...]:
    """All languages of a public set that is ranked in full; none of another task."""
    sets = {
        "xquad-r": lambda: XQUAD_R_LANGUAGES,
        "mlqa-r": lambda: squad.MLQA_LANGUAGES,
        "belebele": belebele_codes,
        "ntrex": lambda: ntrex_codes(data_folder(NTREX, data_dir)),
    }
    return tuple(sets[name]()) if name in sets else ()


def _chosen(name: str, wanted: Sequence[str], data_dir: str) -> tuple[str, ...]:
    """Those of the wanted languages that a public set has; a profile names them once for all its tasks."""
    there = languages_of(name, data_dir)
    return pick_languages(TITLES[name], [code for code in wanted if code in there] or wanted, there)


def _section_task(name: str, languages: Sequence[str], data_dir: str, seed: int) -> RetrievalTask:
    source = name.removesuffix("-test")
    return section_task(data_folder(source, data_dir), languages, source, seed)


def parallel_questions(
    name: str,
    wanted: Sequence[str] = (),
    languages: Sequence[str] = (),
    data_dir: str = "",
    corpus_seed: int = 0,
    task_languages: Sequence[str] = (),
) -> ParallelQuestions:
    """The questions that a question task's name stands for, in the `wanted` languages; none: all they have.

    The other arguments are `retrieval_task`'s, whose questions they are unless they are MKQA's. Raises InputError where a task's questions
    are not parallel, UnknownName for a language they are not in.
    """
    if name == MKQA_QUESTIONS:
        return mkqa_questions(wanted, data_dir)
    return questions_of(retrieval_task(name, languages, data_dir, corpus_seed, task_languages)).only(wanted)


def data_fingerprint(names: tuple[str, ...], data_dir: str) -> str:
    """Fingerprint of what stands behind pair sets or tasks: files, or repositories of the hub at a commit."""
    return fingerprint({name: public_data(name, data_dir) or _files_fingerprint(name, data_dir) for name in names})


def public_data(name: str, data_dir: str) -> list[dict[str, str]]:
    """Name, licence, repository and commit, or folder and fingerprint of its files, of each public set that a task reads
    (`evaluation_sets.state`).
    """
    return [state(entry, data_dir) for entry in sets_behind(name)]


def set_records(profile: Profile, names: Sequence[str]) -> list[dict[str, str]]:
    """What a run records of every public set behind these pair sets and tasks, and of its validation set (`set_record`, `public_data`)."""
    pairs = [name for name in (*names, profile.validation_set) if name in TRAINING_SETS]
    tasks = [name for name in names if name not in TRAINING_SETS]
    return [set_record(name, profile.data_dir) for name in pairs] + [
        record for task in tasks for record in public_data(task, profile.data_dir)
    ]


def _files_fingerprint(name: str, data_dir: str) -> str:
    kind, _, place = name.partition(":")
    if kind.startswith("worldfacts"):
        return folder_fingerprint(WORLDFACTS)
    if name in HUB_PAIR_SETS:
        return fingerprint(set_record(name, data_dir))
    if place:
        path = Path(place)
        if not path.exists():
            raise InputError(f"{path}: named by {name!r}, but it is not there.")
        return folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)
    folders = {"mlqa-r": "mlqa-dev", "ntrex": "ntrex-news"} | {task: task.removesuffix("-test") for task in SECTION_TASKS}
    return folder_fingerprint(data_folder(folders.get(name, name), data_dir))


def is_search_task(name: str) -> bool:
    """Whether a task's pools lie on disk and are searched to a depth; the others are `corpora.retrieval_task`s, ranked in full."""
    return name in SEARCH_TASKS or name.startswith(mteb_tasks.PREFIX)


def search_task(name: str, languages: Sequence[str] = (), data_dir: str = "") -> SearchTask:
    """The task of a name (`mteb:NAME[@REVISION]` too) in the given languages, or in all it has.

    Questions and judgements are read; a corpus is opened when it is asked for. Raises UnknownName for a name or a language that
    does not exist, InputError when the data cannot be had or are not as expected.
    """
    if name in NAMES:
        return miracl_task(name, languages, data_dir)
    if name == "mkqa":
        return large_sets.mkqa_task(languages, data_dir)
    if name == "neuclir":
        return large_sets.neuclir_task(languages, data_dir)
    if name.startswith(mteb_tasks.PREFIX):
        return mteb_tasks.mteb_task(name, languages, data_dir)
    raise UnknownName("search task", name, (*SEARCH_TASKS, "mteb:NAME"))


def sets_behind(name: str) -> list[EvaluationSet]:
    """The public sets that a task of any kind is made of; none where it is made of local files alone."""
    return [mteb_tasks.mteb_set(name)] if name.startswith(mteb_tasks.PREFIX) else sets_of(name)
