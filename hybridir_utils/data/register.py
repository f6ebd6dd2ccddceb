"""The register of tasks and pair sets: what each name in a profile stands for. A new one is one entry here, and its reader.

It lies above `tasks`, as tasks of the world facts and of held-out sections are built from training data. Where the sets behind a name lie,
and their licences, stand in the catalogues (`data/evaluation_sets.toml`, `data/training_sets.toml`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..base.errors import InputError, UnknownName
from ..base.files import WORLDFACTS, data_folder, file_fingerprint, fingerprint, folder_fingerprint
from ..base.languages import XQUAD_R_LANGUAGES, our_codes
from ..base.mapped import codes, keep_rows
from ..tasks.beir import read_beir
from ..tasks.mteb_tasks import mteb_set, read_mteb
from ..tasks.public_sets import EVALUATION_SETS, EvaluationSet, belebele_task, mkqa_questions, ntrex_codes, ntrex_task
from ..tasks.retrieval_task import ParallelQuestions, RetrievalTask
from ..tasks.searched_task import SearchTask, miracl_task, mkqa_task, neuclir_task
from ..tasks.squad import BAD_SHARE, MLQA_LANGUAGES, mlqa_r, squad_folder, xquad_r
from . import worldfacts
from .pairs import draw_pairs, read_pairs_jsonl
from .public_pairs import TRAINING_SETS, TrainingSet, hub_pairs, place_fault
from .sections import held_out_articles, in_articles, read_sections, section_languages, section_task

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Request:
    """What is asked of tasks and pair sets beside their names; the fields are a profile's values (`Profile.request`).

    languages: of training pairs, and of tasks made of the world facts. task_languages: of public tasks and held-out sections; those ranked
    in full take what they have of them; none: all (of sections: `languages`). question_languages: of parallel questions; none: all.
    corpus_seed: draws the splits of the world facts and the articles held out. test_sets: what pair sets must leave out. bad_share: of the
    questions of a user's SQuAD file, how many may be left out as unusable.
    """

    languages: tuple[str, ...] = ()
    task_languages: tuple[str, ...] = ()
    question_languages: tuple[str, ...] = ()
    data_dir: str = ""
    corpus_seed: int = 0
    test_sets: tuple[str, ...] = ()
    max_chars: int = 400
    max_pairs: int = 0
    pair_share: float = 1.0
    hard_negatives: str = "none"
    bad_share: float = BAD_SHARE

    def __post_init__(self):
        for name in ("languages", "task_languages", "question_languages"):
            object.__setattr__(self, name, our_codes(getattr(self, name)))

    @classmethod
    def of(cls, values: Mapping, **more: object) -> Request:
        """The request of those values of a profile or recipe that one has; lists become tuples."""
        known = {field.name for field in fields(cls)}
        found = {key: value for key, value in {**values, **more}.items() if key in known}
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in found.items()})


@dataclass(frozen=True)
class Task:
    """read: (name, request) -> the task. sets: of data/evaluation_sets.toml; none: the world facts, or the user's own files.

    kind: ranked in full in memory, searched to a depth in pools on disk, or parallel questions without passages. languages: data_dir -> all
    that it has, where these are known without reading its texts; else those that the catalogue lists of its first set.
    """

    read: Callable[[str, Request], RetrievalTask | SearchTask | ParallelQuestions]
    sets: tuple[str, ...] = ()
    kind: Literal["ranked", "searched", "questions"] = "ranked"
    languages: Callable[[str], Iterable[str]] | None = None


@dataclass(frozen=True)
class PairSet:
    """read: (name, request) -> pairs drawn from it, of which some are held out for validation unless `validation` reads a split of its own.

    sets: of data/evaluation_sets.toml; none: the world facts, a set of data/training_sets.toml, or the user's own file. languages: as of
    a task.
    """

    read: Callable[[str, Request], Dataset]
    sets: tuple[str, ...] = ()
    languages: Callable[[str], Iterable[str]] | None = None
    validation: Callable[[str, Request], Dataset] | None = None


def _place(name: str) -> Path:
    """Where a user's own data lie: `KIND:PLACE`, below the folder that one works in unless it begins with `/` or `~`."""
    return Path(name.partition(":")[2]).expanduser()


def _of_public(name: str, request: Request) -> tuple[str, ...]:
    """Those of the languages asked for that the task has, as a profile names them once for all its tasks; of none all, to be refused."""
    there = languages_of(name, request.data_dir)
    return tuple(code for code in request.task_languages if code in there) or request.task_languages


def _section_task(name: str, request: Request) -> RetrievalTask:
    source = name.removesuffix("-test")
    folder = data_folder(source, request.data_dir)
    return section_task(folder, request.task_languages or request.languages, source, request.corpus_seed)


def _drawn(pairs: Dataset, request: Request) -> Dataset:
    return draw_pairs(pairs, request.max_pairs, request.pair_share, request.corpus_seed)


def _world_facts(name: str, request: Request) -> Dataset:
    return _drawn(worldfacts.english_pairs("train", request.languages, request.corpus_seed), request)


def _sections(name: str, request: Request) -> Dataset:
    """The articles that `<name>-test` holds are left out where it is among the test sets."""
    folder = data_folder(name, request.data_dir)
    pairs = read_sections(folder, shared_languages(name, request, list(section_languages(folder))), name, request.max_chars)
    if f"{name}-test" in request.test_sets:
        pairs = keep_rows(pairs, ~in_articles(pairs, held_out_articles(folder, request.corpus_seed), name))
    return _drawn(pairs, request)


def _public_pairs(name: str, request: Request) -> Dataset:
    languages = shared_languages(name, request, sorted(TRAINING_SETS[name].languages))
    limits = {"max_chars": request.max_chars, "max_pairs": request.max_pairs, "share": request.pair_share, "seed": request.corpus_seed}
    return hub_pairs(name, languages, request.data_dir, **limits, negatives=request.hard_negatives == "given")


def _own_pairs(name: str, request: Request) -> Dataset:
    pairs = read_pairs_jsonl(_place(name))
    numbers, there = codes(pairs, "language")
    wanted = shared_languages(name, request, sorted(there.to_pylist()))
    return _drawn(keep_rows(pairs, np.isin(there.to_pylist(), wanted)[numbers]), request)


def shared_languages(name: str, request: Request, there: Sequence[str]) -> list[str]:
    """The languages asked for that a pair set has, in their order; raises InputError where it has none."""
    shared = [language for language in request.languages if language in there]
    if not shared:
        raise InputError(
            f"pair set {name!r} has none of the profile's languages ({', '.join(request.languages)}); it has {', '.join(there) or 'none'}."
        )
    return shared


def _of_facts(data_dir: str) -> tuple[str, ...]:
    return worldfacts.template_languages()


def _of_sections(name: str, data_dir: str) -> Iterable[str]:
    return section_languages(data_folder(name, data_dir))


SECTIONS = ("mscourses", "gnome-help", "bitcoin-faq")
HUB_PAIR_SETS = ("mmarco", "squad", "newsqa", "natural-questions", "entityquestions", "mfaq", "mr-tydi", "wikiqa", "duorc")

PAIR_SETS = {
    "worldfacts": PairSet(
        _world_facts, languages=_of_facts, validation=lambda _, r: worldfacts.english_pairs("validation", r.languages, r.corpus_seed)
    ),
    **{name: PairSet(_sections, (name,), partial(_of_sections, name)) for name in SECTIONS},
    **dict.fromkeys(HUB_PAIR_SETS, PairSet(_public_pairs)),
    "jsonl:FILE": PairSet(_own_pairs),
}

TASKS = {
    "worldfacts-test": Task(lambda _, r: worldfacts.retrieval_task("test", r.languages, r.corpus_seed), languages=_of_facts),
    "worldfacts-shifted": Task(lambda _, r: worldfacts.shifted_task(r.languages, r.corpus_seed), languages=_of_facts),
    "worldfacts-brief": Task(
        lambda _, r: worldfacts.retrieval_task("test", r.languages, r.corpus_seed, worldfacts.BRIEF), languages=_of_facts
    ),
    "xquad-r": Task(
        lambda n, r: xquad_r(data_folder("xquad-r", r.data_dir), _of_public(n, r)), ("xquad-r",), languages=lambda _: XQUAD_R_LANGUAGES
    ),
    "mlqa-r": Task(
        lambda n, r: mlqa_r(data_folder("mlqa-dev", r.data_dir), _of_public(n, r)), ("mlqa-dev",), languages=lambda _: MLQA_LANGUAGES
    ),
    "belebele": Task(lambda n, r: belebele_task(_of_public(n, r), r.data_dir), ("belebele",)),
    "ntrex": Task(
        lambda n, r: ntrex_task(_of_public(n, r), r.data_dir),
        ("ntrex-news",),
        languages=lambda data_dir: ntrex_codes(data_folder("ntrex-news", data_dir)),
    ),
    **{f"{name}-test": Task(_section_task, (name,), languages=partial(_of_sections, name)) for name in SECTIONS},
    "squad:FOLDER": Task(lambda n, r: squad_folder(_place(n), r.bad_share)),
    "beir:FOLDER": Task(lambda n, r: read_beir(_place(n))),
    "mkqa-questions": Task(lambda _, r: mkqa_questions(r.question_languages, r.data_dir), ("mkqa-questions",), "questions"),
    "miracl": Task(lambda n, r: miracl_task(n, r.task_languages, r.data_dir), ("miracl",), "searched"),
    "miracl-full": Task(lambda n, r: miracl_task(n, r.task_languages, r.data_dir), ("miracl-full",), "searched"),
    "mkqa": Task(lambda _, r: mkqa_task(r.task_languages, r.data_dir), ("mkqa", "nq"), "searched"),
    "neuclir": Task(lambda _, r: neuclir_task(r.task_languages, r.data_dir), ("neuclir", "neuclir-documents"), "searched"),
    "mteb:NAME": Task(lambda n, r: read_mteb(n, r.task_languages, r.data_dir), kind="searched"),
}


def task_names(*kinds: str) -> tuple[str, ...]:
    """The tasks of these kinds, as a profile writes them; `KIND:PLACE` stands for any place."""
    return tuple(name for name, task in TASKS.items() if task.kind in kinds)


def is_known(name: str, known: Iterable[str]) -> bool:
    """Whether a name is one of the known, or of the form of one (`beir:FOLDER`)."""
    kind, _, place = name.partition(":")
    return any(name == each or (place and each.startswith(f"{kind}:")) for each in known)


def _entry(kind: str, entries: Mapping, name: str):
    """Raises UnknownName with the nearest; kind: what the name is called in the message."""
    found = [entry for each, entry in entries.items() if is_known(name, [each])]
    if not found:
        raise UnknownName(kind, name, entries)
    return found[0]


def pair_set(name: str) -> PairSet:
    """Raises UnknownName for a pair set that does not exist."""
    return _entry("pair set", PAIR_SETS, name)


def is_search_task(name: str) -> bool:
    """Whether a task's pools lie on disk and are searched to a depth; the others are ranked in full."""
    return is_known(name, task_names("searched"))


def read_task(name: str, request: Request = Request()) -> RetrievalTask | SearchTask:
    """The task of a name: a RetrievalTask, ranked in full in memory, or a SearchTask, whose corpora are opened when asked for.

    Raises UnknownName for a task that does not exist, or a language that a public set lacks (ranked in full: where it has none of them),
    InputError when the data are not there or are not as expected.
    """
    return _entry("task", {each: TASKS[each] for each in task_names("ranked", "searched")}, name).read(name, request)


def read_questions(name: str, request: Request = Request()) -> ParallelQuestions:
    """The questions that a question task's name stands for: those of a task ranked in full, or a set of questions alone.

    Raises InputError where a task's questions are not parallel, UnknownName for a language they are not in.
    """
    found = _entry("question task", {each: TASKS[each] for each in task_names("ranked", "questions")}, name).read(name, request)
    return found if isinstance(found, ParallelQuestions) else ParallelQuestions(found.name, found.queries).only(request.question_languages)


def languages_of(name: str, data_dir: str = "") -> tuple[str, ...]:
    """All languages of a task or pair set; none where they are known from its texts alone."""
    entry = _entry("task or pair set", {**TASKS, **PAIR_SETS}, name)
    if entry.languages:
        return tuple(entry.languages(data_dir))
    return tuple(sorted(our_codes(code for each in entry.sets[:1] for code in EVALUATION_SETS[each].languages)))


def sets_behind(name: str) -> list[EvaluationSet | TrainingSet]:
    """The sets that a task or pair set of any kind is made of; none where that is the world facts or the user's own."""
    if name in TRAINING_SETS:
        return [TRAINING_SETS[name]]
    if name.startswith("mteb:"):
        return [mteb_set(name)]
    return [EVALUATION_SETS[each] for each in _entry("task or pair set", {**TASKS, **PAIR_SETS}, name).sets]


def data_recipe(names: Iterable[str], data_dir: str = "") -> dict:
    """What stands behind pair sets and tasks. data: fingerprint of the files, or of the repositories of the hub at a commit. sets: of every
    set among it name, licence, and hub and commit, or the fingerprint of a folder's files. Each file is read once.
    """
    records = {name: [each.record(data_dir) for each in sets_behind(name)] for name in names}
    sets = {record["set"]: record for found in records.values() for record in found}
    return {"data": fingerprint({name: found or _own_fingerprint(name) for name, found in records.items()}), "sets": list(sets.values())}


def data_fingerprint(names: Iterable[str], data_dir: str = "") -> str:
    """The `data` of `data_recipe`."""
    return data_recipe(names, data_dir)["data"]


def _own_fingerprint(name: str) -> str:
    """Of the world facts' templates, or of the user's own file or folder."""
    if fault := _own_fault(name):
        raise InputError(fault)
    path = _place(name) if ":" in name else WORLDFACTS
    return folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)


def data_fault(name: str, request: Request) -> str:
    """Why the data of a pair set or task cannot be read, with what to do; "" where they are there. The hub is asked where it is to give
    them; a training set must have the files of the request's languages.
    """
    if name in TRAINING_SETS:
        return place_fault(name, request.languages, request.data_dir)
    faults = (each.fault(request.data_dir) for each in sets_behind(name))
    return next(filter(None, faults), _own_fault(name) or _language_fault(name, request))


def _language_fault(name: str, request: Request) -> str:
    """That a set has none of the languages asked for, or lacks one where it takes part with all (world facts, sets that are searched)."""
    there, facts = languages_of(name, request.data_dir), name.startswith("worldfacts")
    asked = request.languages if facts or name in PAIR_SETS else request.task_languages
    missing = [code for code in asked if code not in there]
    if not there or not missing or (len(missing) < len(asked) and not facts and not is_search_task(name)):
        return ""
    return f"{name}: not in {', '.join(missing)}; it has {', '.join(there)}."


def _own_fault(name: str) -> str:
    place = _place(name)
    here = ":" not in name or name.startswith("mteb:") or place.exists()
    return "" if here else f"{place}: named by {name!r}, but it is not there."
