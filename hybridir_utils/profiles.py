"""Profiles: every value a run uses, typed and closed, in one TOML file each (`notebooks/profiles/`)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .batching import STRATEGIES
from .errors import InputError, UnknownName
from .languages import check_languages
from .places import PROFILES

Languages = Annotated[tuple[str, ...], AfterValidator(check_languages), Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
PAIR_SETS = ("worldfacts", "mscourses", "gnome-help", "bitcoin-faq")
TASKS = ("worldfacts-test", "worldfacts-shifted", "xquad-r", "mlqa-r")
BASES = ("aligned", "unaligned")


def _names(kind: str, known):
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in known and ":" not in value:
                raise UnknownName(kind, value, known)
        return values

    return Annotated[tuple[str, ...], AfterValidator(check), Field(min_length=1)]


class Profile(BaseModel):
    """The resolved parameters of a run. Field comments say what each means; a TOML file gives them under the same names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # names the folders below data/results and figures
    languages: Languages  # languages of the training pairs
    unseen_languages: tuple[str, ...] = ()  # languages of `languages` that no training batch may hold
    pair_sets: _names("pair set", PAIR_SETS)  # training data; or "jsonl:FILE" for a user's own pairs
    tasks: _names("task", TASKS)  # evaluation; or "beir:FOLDER", "squad:FOLDER" for a user's own
    data_dir: str = ""  # folder of the real data sets; empty: HYBRIDIR_DATA
    max_chars: Count = 400  # training passages are cut at a sentence end before this many characters
    near_duplicate: Share = 0.9  # Jaccard similarity of character 5-grams from which a training text counts as leaked
    corpus_seed: int = 0  # seed of the corpus splits

    bases: _names("base encoder", BASES)  # encoders to start from; or "st:FOLDER_OR_NAME" for any sentence-transformers model
    dimension: Count = 192  # width of the suite's own encoders
    vocabulary: Count = 20000  # subwords of the suite's own tokenizer
    alignment_steps: Count = 300  # steps of translation ranking that make the aligned base
    query_prefix: str = "Query: "
    passage_prefix: str = "Passage: "

    strategies: _names("strategy", STRATEGIES)
    alpha: Share = 0.5  # hybrid: share of monolingual batches
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]  # one training run each
    steps: Count = 300
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup_share: Share = 0.1
    scale: Annotated[float, Field(gt=0)] = 20.0  # 1 / temperature of the loss
    validate_every: Count = 50  # steps between two values of the validation loss
    jobs: Count = 2  # training runs side by side (1 on a GPU)
    train_in_place: bool = True  # 03 and 04 train encoders they miss; false where training is long

    depth: Annotated[int, Field(ge=100)] = 100  # length of the ranked lists kept for the measures at k, whose largest k is 100
    resamples: Count = 2000  # of the paired tests


def load_profile(name_or_path: str, changes: dict | None = None) -> Profile:
    """Profile by name or TOML path, with single values changed; raises UnknownName or InputError before anything runs."""
    path = _find(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file in UTF-8 ({error}).") from error
    return make_profile({**values, **(changes or {})}, str(path))


def make_profile(values: dict, where: str) -> Profile:
    """Check values against the profile's types; `where` names their origin in the message."""
    for key in values:
        if key not in Profile.model_fields:
            raise UnknownName(f"parameter (in {where})", key, Profile.model_fields)
    try:
        profile = Profile(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    except UnknownName as error:
        raise InputError(f"{where}: {error}") from error
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_explain(problem) for problem in error.errors())) from error
    unknown = set(profile.unseen_languages) - set(profile.languages)
    if unknown:
        raise UnknownName(f"unseen language (in {where})", sorted(unknown)[0], profile.languages)
    return profile


def parse_setting(text: str) -> tuple[str, object]:
    """`"alpha=0.3"` -> ("alpha", 0.3): the value is read as TOML, and as plain text where that fails."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r}: expected key=value, for example --set alpha=0.3.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"{path}: no such profile file.")
        return path
    named = PROFILES / f"{name_or_path}.toml"
    if not named.is_file():
        raise UnknownName("profile", name_or_path, sorted(p.stem for p in PROFILES.glob("*.toml")))
    return named


def _explain(problem: dict) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{key} is missing; notebooks/profiles/sample.toml shows a value"
    return f"{key} = {problem['input']!r}: {problem['msg']}"
