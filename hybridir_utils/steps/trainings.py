"""The training runs within a notebook: which are there, which would be made and why, found without making anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ..base.runs import artefact_path, records_of, why_made
from ..train.methods import DISTILLATION
from .encoders import EncoderKey, base_artefact, encoder_keys, encoder_recipes, teacher_of
from .many_languages import growth_keys, many_run, method_keys
from .mixing import mixing_keys
from .preparation import pairs_artefact
from .profiles import OWN_BASES
from .session import Run


@dataclass(frozen=True)
class Training:
    """A training run. reasons: why it would be made; none where it is there. seconds: what it took, or is likely to take."""

    name: str
    folder: Path
    reasons: tuple[str, ...]
    seconds: float | None


def trainings(run: Run, notebook: str) -> list[Training]:
    """The training runs of a notebook (its name without `.ipynb`), each once, as it would train them now; none where it trains nothing."""
    studies = STUDIES.get(notebook, lambda _: [])(run)
    found = {training.folder: training for study, keys in studies for training in _of_study(study, keys)}
    return list(found.values())


def _profiles_own(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    return [(run, encoder_keys(run))]


def _where_missing(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    return _profiles_own(run) if run.profile.train_in_place else []


def _many(run: Run) -> list[tuple[Run, list[EncoderKey]]]:
    growing = [many_run(run, count) for count in sorted(run.profile.many_counts)]
    many = many_run(run)
    return [(many, method_keys(many)), *((grown, growth_keys(grown)) for grown in growing)]


STUDIES = {
    "02_hybrid_batch_training": _profiles_own,
    "03_retrieval_evaluation": _where_missing,
    "04_language_bias": _where_missing,
    "05_mixing_ratio": lambda run: [(run, mixing_keys(run.profile))],
    "06_domain_shift": _where_missing,
    "07_mkqa_alignment": _where_missing,
    "08_fifty_languages": _many,
    "09_claims": _where_missing,
}


# key of a recipe whose value is the name of an artefact -> what to say where it is another
STARTS = {"pairs": "other pairs", "teacher": "another teacher", "start": "another start"}
STARTS |= dict.fromkeys(("base_folder", "base_origin"), "another base")


def _of_study(run: Run, keys: list[EncoderKey]) -> list[Training]:
    keys = [*(teacher_of(key) for key in keys if key.strategy == DISTILLATION), *keys]
    recipes, room = encoder_recipes(run, keys), run.artefacts / "encoders"
    starts, records = _starts(run, keys), list(records_of(room, "*").values())
    return [_training(room, key.name, recipe, starts, records) for key, recipe in recipes.items()]


def _training(room: Path, name: str, recipe: dict, starts: dict[str, list[str]], records: list[dict]) -> Training:
    about = (room, name, recipe, "encoder_job")
    reasons = [_explained(reason, recipe, starts) for reason in why_made(*about)]
    return Training(name, artefact_path(*about), tuple(dict.fromkeys(reasons)), _seconds(name, recipe, records))


def _starts(run: Run, keys: list[EncoderKey]) -> dict[str, list[str]]:
    """Name of the pairs' and each base's artefact -> why it would be made."""
    pairs = pairs_artefact(run)
    name = artefact_path(*pairs).name
    found, bases = {name: why_made(*pairs)}, {key.base for key in keys} & set(OWN_BASES)
    for base in OWN_BASES[::-1] if bases else ():  # the aligned one starts from the other
        about = base_artefact(run, base, name)
        found[artefact_path(*about).name] = [_explained(reason, about[2], found) for reason in why_made(*about)]
    return found


def _explained(reason: str, recipe: dict, starts: dict[str, list[str]]) -> str:
    """In place of two fingerprints: why the pairs or the base are others."""
    key = reason.split(" ")[0]
    if key not in STARTS:
        return reason
    because = "; ".join(starts.get(recipe[key], []))
    return f"{STARTS[key]} ({because})" if because else STARTS[key]


def _seconds(name: str, recipe: dict, records: list[dict]) -> float | None:
    """Of the encoder of this name, else the mean of those with as many steps, else unknown."""
    same = [record["seconds"] for record in records if record["name"] == name and record["recipe"]["steps"] == recipe["steps"]]
    like = [record["seconds"] for record in records if record["recipe"]["steps"] == recipe["steps"]]
    return same[-1] if same else mean(like) if like else None
