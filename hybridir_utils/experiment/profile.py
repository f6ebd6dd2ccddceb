"""Profiles: every value a run uses, typed and closed, in one TOML file each (`notebooks/profiles/`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..base.errors import HybridIRError, InputError, UnknownName, in_plain_words, need_known
from ..base.files import PROFILES, read_toml
from ..base.languages import our_codes
from ..data.batching import SCHEDULES, STRATEGIES
from ..data.register import PAIR_SETS, Request, is_known, task_names
from ..encode.catalogue import ENCODERS
from ..encode.opening import Opening
from ..tasks.squad import BAD_SHARE
from ..train.methods import METHODS

Languages = Annotated[tuple[str, ...], AfterValidator(our_codes)]  # of any form of code, read as ours
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
TASKS = task_names("ranked", "searched")
QUESTION_TASKS = task_names("ranked", "questions")  # whose parallel questions notebook 07 looks at
MEANS = ("jobs", "processes", "batch_tokens", "shard_size", "scheduler", "translation_tokens")  # change no result beyond its rounding
OWN_BASES = ("aligned", "unaligned")
KEYS_PAGE = "notebooks/profiles/README.md"  # which documents the keys
RETRIEVERS = (*ENCODERS, "st:FOLDER_OR_NAME[@REVISION]")
BASES = (*OWN_BASES, *RETRIEVERS)


def _name(kind: str, known):
    """One name, or none at all."""

    def check(value: str) -> str:
        if value and not is_known(value, known):
            raise UnknownName(kind, value, known)
        return value

    return Annotated[str, AfterValidator(check)]


def _names(kind: str, known, least: int = 1):
    return Annotated[tuple[Annotated[_name(kind, known), Field(min_length=1)], ...], Field(min_length=least)]


def _several(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) < 2:
        raise ValueError("expected two or more different values, which is what notebook 05 compares")
    return values


class Profile(BaseModel):
    """The resolved parameters of a run. Field comments say what each means; a TOML file gives them under the same names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=60)]  # names the folder below data/runs
    languages: Annotated[Languages, Field(min_length=1)]  # languages of the training pairs
    unseen_languages: Languages = ()  # languages of `languages` that no training batch may hold
    pair_sets: _names("pair set", PAIR_SETS)  # training data; "jsonl:FILE" is a user's own
    tasks: _names("task", TASKS)  # evaluation; "beir:FOLDER", "squad:FOLDER" are a user's own, "mteb:NAME" a retrieval set of MTEB
    task_languages: Languages = ()  # of the public tasks; those ranked in full take what they have of them; empty: all a task has
    bad_share: Share = BAD_SHARE  # of each file of "squad:FOLDER": questions that may be left out as unusable; 0: one of them is refused
    data_dir: str = ""  # folder of the real data sets; empty: HYBRIDIR_DATA
    english_only: tuple[str, ...] = ()  # pair sets that are not translated and take part in monolingual batches only
    max_pairs: Annotated[int, Field(ge=0)] = 0  # most pairs a pair set gives; 0: all
    pair_share: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of each pair set's ids that is drawn; sets of up to 10,000 stay whole
    hard_negatives: Literal["none", "given", "bm25", "dense"] = "none"  # given by the pair set, or mined
    negative_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05  # a mined negative scores at least this share below the positive
    max_chars: Count = 400  # training passages are cut at a sentence end before this many characters
    clean_tasks: _names("task", TASKS, least=0) = ()  # further tasks whose texts no training pair may hold: to evaluate on later
    near_duplicate: Share = 0.9  # Jaccard similarity of character 5-grams from which a training text counts as leaked
    corpus_seed: int = 0  # seed of the corpus splits

    translator: str = "memory"  # the world facts' translation memory, a name of data/translators.toml, or "mt:FOLDER_OR_NAME[@REVISION]"
    beams: Count = 1  # 1: greedy
    translation_tokens: Count = 4096  # tokens of a batch of texts to translate, padding counted
    back_translated: Annotated[int, Field(ge=0)] = 50  # passages a language whose back-translation is scored by chrF

    bases: _names("base encoder", BASES)  # start of training; "st:FOLDER_OR_NAME[@REVISION]" is any other model
    retrievers: _names("retriever", RETRIEVERS, least=0) = ()  # public encoders evaluated as they are, with their own prompts
    pooling: Literal["own", "mean", "cls", "max", "lasttoken"] = "own"  # own: what the model's folder says, else the mean
    max_query_tokens: Annotated[int, Field(ge=0)] = 0  # longer questions are cut; 0: the model's own length
    max_passage_tokens: Annotated[int, Field(ge=0)] = 0  # likewise of passages
    trust_remote_code: bool = False  # run code that a model's repository brings; read it first
    dimension: Count = 192  # width of the suite's own encoders
    vocabulary: Count = 20000  # subwords of the suite's own tokenizer
    alignment_steps: Count = 300  # steps of translation ranking that make the aligned base
    alignment_rate: Annotated[float, Field(gt=0)] = 2e-2  # their learning rate
    query_prefix: str = "Query: "  # before every question of a base
    passage_prefix: str = "Passage: "  # before every passage
    encoder_prompts: dict[str, Annotated[tuple[str, str], Field(strict=False)]] = {}  # by encoder: [query, passage], in place of its own

    strategies: _names("strategy", STRATEGIES)  # of mixing batches; each is trained from every base
    alpha: Share = 0.5  # hybrid: share of monolingual batches
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]  # one training run each
    steps: Count = 300  # batches of one training run
    batch_size: Annotated[int, Field(ge=2)] = 128  # pairs; a language needs as many different passages
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2  # suits vectors of subwords; a transformer wants 2e-5 to 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2  # of AdamW
    warmup_share: Share = 0.1  # of the steps, in which the learning rate rises
    scale: Annotated[float, Field(gt=0)] = 20.0  # 1 / temperature of the loss
    denominator: Literal["all", "in-batch", "hard-negatives"] = "all"  # negatives of the loss; hard-negatives: Eq. 1 as printed
    mini_batch_size: Annotated[int, Field(ge=0)] = 0  # rows embedded at once by the cached loss (GradCache); 0: the plain loss
    precision: Literal["fp32", "bf16"] = "fp32"  # of training, mining and translation
    encoding_precision: Literal["fp32", "bf16"] = "fp32"  # of the layers that encode what is evaluated; scores are always fp32
    gradient_checkpointing: bool = False  # less memory, about a third more time
    compile: bool = False  # torch.compile
    freeze_embeddings: bool = False  # leave the subwords' vectors as they are: of a small multilingual encoder, most of its weights
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"  # how transformers compute it
    validate_every: Count = 50  # steps between two values of the validation loss
    validation_set: Literal["held-out", "squadshifts"] = "held-out"  # what the validation loss is measured on
    patience: Annotated[int, Field(ge=0)] = 0  # stop after so many validations without a lower loss, keep the best; 0: never
    checkpoint_every: Annotated[int, Field(ge=0)] = 0  # steps; a killed training goes on from the last checkpoint; 0: none
    jobs: Count = 2  # training runs side by side, one thread each; 1 (on a GPU): all cores
    processes: Count = 1  # processes (GPUs) that share the batches of one training run
    train_in_place: bool = True  # 03 and 04 train encoders they miss; false where training is long

    batch_tokens: Count = 16384  # tokens encoded at once, padding counted
    shard_size: Count = 50_000  # passages in one file of a large corpus' vectors
    vector_precision: Literal["fp32", "fp16"] = "fp32"  # of vectors on disk
    scheduler: str = ""  # address of a dask scheduler (tcp://…) that encodes shards; empty: this machine

    alphas: Annotated[tuple[Share, ...], AfterValidator(_several)] = (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0)  # notebook 05
    alpha_seeds: tuple[int, ...] = ()  # seeds of notebook 05; empty: `seeds`
    schedules: _names("schedule", SCHEDULES, least=0) = SCHEDULES  # notebook 05: hybrid batches in an order, beside the constant mix
    shifted_tasks: _names("task", TASKS, least=0) = ()  # notebook 06: those of `tasks` under domain shift; the first is in domain
    question_task: _name("question task", QUESTION_TASKS) = ""  # notebook 07; empty: the first of `tasks`
    question_languages: Languages = ()  # notebook 07: languages of its questions; empty: all they have
    many_languages: Languages = ()  # notebook 08: languages of its pairs and pool; empty: `languages`
    many_unseen: Languages = ()  # notebook 08: those of them that no training batch holds
    many_base: _name("base encoder", BASES) = ""  # notebook 08; empty: the last of `bases`
    many_counts: tuple[Count, ...] = ()  # notebook 08: sizes of the language sets whose cost is compared
    many_pair_sets: _names("pair set", PAIR_SETS, least=0) = ()  # notebook 08; empty: `pair_sets`
    many_task: _name("task", task_names("ranked")) = ""  # notebook 08; empty: the first of `tasks`
    many_steps: Annotated[int, Field(ge=0)] = 0  # notebook 08; 0: `steps`
    many_pairs: Annotated[int, Field(ge=0)] = 0  # notebook 08: most ids of each pair set; 0: all
    methods: _names("method", (*STRATEGIES, *METHODS)) = ("En-En", "X-X", "X-X-mono", "X-Y", "hybrid", *METHODS)  # notebook 08

    depth: Annotated[int, Field(ge=100)] = 100  # length of the ranked lists kept for the measures at k, whose largest k is 100
    resamples: Count = 2000  # of the paired tests
    equivalence_margin: Share = 0.01  # of mAP: two strategies whose difference is surely smaller count as practically equal
    compare_with: tuple[Annotated[str, Field(max_length=130)], ...] = ()  # notebook 09: runs of yours, judged beside those of data/results

    @field_validator("*")
    @classmethod
    def _each_once(cls, value):
        """What a list has twice counts once."""
        return tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value

    @property
    def data_names(self) -> tuple[str, ...]:
        """Every pair set and task whose data some notebook reads."""
        training = (*self.pair_sets, *self.validation_sets, *self.many_pair_sets)
        return tuple(dict.fromkeys(filter(None, (*training, *self.test_sets, self.many_task))))

    @property
    def validation_sets(self) -> tuple[str, ...]:
        """The public set that the validation loss is measured on; none where pairs are held out for it."""
        return () if self.validation_set == "held-out" else (self.validation_set,)

    @property
    def request(self) -> Request:
        """What is asked of tasks and pair sets."""
        return Request.of(dict(self), test_sets=self.test_sets)

    def reading(self, *tasks: str) -> dict[str, float]:
        """What decides beside the files how tasks are read, for recipes: `bad_share`, of SQuAD folders alone."""
        return {"bad_share": self.bad_share} if any(task.startswith("squad:") for task in tasks) else {}

    @property
    def opening(self) -> Opening:
        """How bases are opened for training."""
        return Opening(**self.model_dump(include=set(Opening.model_fields)))

    @property
    def test_sets(self) -> tuple[str, ...]:
        """Names of all that training pairs may not hold, sorted: the tasks, the questions of notebook 07, and `clean_tasks`.

        A task that moves from `clean_tasks` to `tasks` leaves the pairs, and with them every encoder, as they are.
        """
        return tuple(sorted(filter(None, {*self.tasks, self.question_task, *self.clean_tasks})))


def load_profile(name_or_path: str, changes: dict | None = None) -> Profile:
    """Profile by name or TOML path, with single values changed; raises UnknownName or InputError before anything runs, and says whether
    the file or a change of it is at fault.

    Changed `tasks` keep those of the profile's `shifted_tasks` that they still have after the first, unless the changes name others.
    """
    path = _find(name_or_path)
    values, changes = read_toml(path), changes or {}
    if "tasks" in changes and "shifted_tasks" in values:
        changes = {"shifted_tasks": [task for task in values["shifted_tasks"] if task in changes["tasks"][1:]], **changes}
    profile = make_profile(values, str(path))
    where = path.name if path.parent == PROFILES else path
    return make_profile({**values, **changes}, f"changes to {where}") if changes else profile


def make_profile(values: dict, where: str) -> Profile:
    """Check values against the profile's types; `where` names their origin in the message."""
    need_known(f"parameter (in {where})", values, Profile.model_fields, KEYS_PAGE)
    try:
        profile = Profile(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    except HybridIRError as error:
        raise InputError(f"{where}: {error}") from error
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_explain(problem) for problem in error.errors())) from error
    many = profile.many_languages or profile.languages
    for unseen, all_ in ((profile.unseen_languages, profile.languages), (profile.many_unseen, many)):
        need_known(f"unseen language (in {where})", unseen, all_)
    if (most := max(profile.many_counts, default=0)) > len(many):
        raise InputError(f"{where}: many_counts asks for {most} languages, and there are {len(many)}. Lower it, or add to many_languages.")
    need_known(f"shifted task (in {where}; `tasks` after the first)", profile.shifted_tasks, profile.tasks[1:])
    kind = f"encoder of `encoder_prompts` (in {where}; a base or retriever of the profile)"
    need_known(kind, profile.encoder_prompts, others_encoders(profile))
    barred = [name for name in (*profile.bases, *profile.retrievers) if name in ENCODERS and ENCODERS[name].needs_remote_code]
    if barred and not profile.trust_remote_code:
        raise InputError(
            f"{where}: {barred[0]} runs code that its repository {ENCODERS[barred[0]].hub} brings. Read that code, then set "
            "trust_remote_code = true, or leave it out."
        )
    return profile


def others_encoders(profile: Profile) -> list[str]:
    """Bases and retrievers that are not made here, each once."""
    named = dict.fromkeys((*profile.bases, profile.many_base, *profile.retrievers))
    return [name for name in named if name and name not in OWN_BASES]


def trained_prompts(profile: Profile, base: str) -> tuple[str, str]:
    """What goes before a base's questions and passages in training."""
    return profile.encoder_prompts.get(base, (profile.query_prefix, profile.passage_prefix))


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml":
        if not os.path.isfile(path):  # `Path.is_file` raises where a name is longer than a disk takes
            raise InputError(f"{path}: no such profile file.")
        return path
    need_known("profile", [name_or_path], sorted(p.stem for p in PROFILES.glob("*.toml")))
    return PROFILES / f"{name_or_path}.toml"


def _explain(problem: dict) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{key} is missing; notebooks/profiles/sample.toml shows a value"
    if problem["type"] == "tuple_type":
        found = repr(problem["input"])
        return f"{key} = {found}: expected a list, as [{found}]; on the command line --set '{key}=[…]', to papermill -y '{key}: […]'"
    return f"{key} = {problem['input']!r}: {in_plain_words(problem)}"
