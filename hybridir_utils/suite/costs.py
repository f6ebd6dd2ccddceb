"""What a profile will cost before anything starts: `python -m hybridir_utils run --cost`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan

import pandas as pd
from datasets import concatenate_datasets

from ..base.errors import HybridIRError, InputError
from ..base.mapped import codes
from ..data.mt_models import TRANSLATORS
from ..data.public_pairs import TRAINING_SETS
from ..data.triples import drawn_size
from ..encode.catalogue import ENCODERS, place_of
from ..experiment.preparation import to_translate, translator
from ..experiment.profile import HUB_PAIR_SETS, OWN_BASES, Profile
from ..experiment.readiness import as_text, model_faults, set_faults
from ..experiment.run import Run
from ..experiment.sources import is_search_task, source_pairs
from ..studies.mixing import further_keys
from .sampling import COUNTS, MEMORY, PEAK, UTILISATION, SetSample, encoder_shape, measured_speed, sample_set, task_cost, translation_cost

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
        raise InputError("not reckoned, or not there yet:\n" + as_text(failed))


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


PAIR_BYTES = 1000  # of a pair's texts, taken where none are sampled: question, passage and negative of MS MARCO in several scripts
COPIES = 3  # of a row's texts: the converted or translated table, the prepared Parquet file, and the table it is read through
# Peak memory of preparing and planning (GB, bytes a row): of the quality checks, and of the step that takes most of many rows; measured
# on 1 and 5 M rows (data/results/benchmarks/pairs.json)
PEAKS = ((1.75, 70), (0.17, 114))


@dataclass(frozen=True)
class SizedSet:
    """A pair set: ids of it that the profile takes, whether they were counted, languages they will stand in, whether they are translated.

    sample: pairs of it, and the bytes of its files, where it could be asked (`SetSample`).
    """

    ids: int
    counted: bool
    languages: int
    translated: bool
    sample: SetSample | None = None

    @property
    def rows(self) -> int:
        return self.ids * self.languages


def sized_sets(profile: Profile, faults: dict[str, str]) -> tuple[dict[str, SizedSet], list[str]]:
    """(sizes of the profile's pair sets, why some could not be asked). Of those, and of sets with a fault (`readiness.set_faults`), the
    catalogue's numbers are taken; a set that is in no catalogue and not there has no size.
    """
    sized, failed = {}, []
    for name in profile.pair_sets:
        try:
            sized[name] = _sized(name, profile) if name not in faults else _by_catalogue(name, profile)
        except HybridIRError as error:
            failed.append(str(error))
            sized[name] = _by_catalogue(name, profile)
    return {name: size for name, size in sized.items() if size}, failed


def _sized(name: str, profile: Profile) -> SizedSet:
    """A set of the hub by its files' sizes, and its first rows where they will be translated; any other, which lies here, as it is."""
    if name in HUB_PAIR_SETS:
        languages, negatives = _languages(name, profile), profile.hard_negatives == "given"
        translated = _is_translated(name, profile)
        sample = sample_set(name, languages, profile.data_dir, profile.max_chars, negatives, pairs=translated)
    else:
        pairs = concatenate_datasets(list(source_pairs(profile.model_copy(update={"pair_sets": (name,)}))))
        languages, translated = codes(pairs, "language")[1], bool(to_translate(profile, pairs)[0].any())
        sample = SetSample(len(codes(pairs, "id")[1]), True, pairs, 0)
    ids = drawn_size(sample.ids, profile.max_pairs, profile.pair_share)
    return SizedSet(ids, sample.counted, len(profile.languages if translated else languages), translated, sample)


def _by_catalogue(name: str, profile: Profile) -> SizedSet | None:
    if name not in HUB_PAIR_SETS:
        return None
    ids, translated = TRAINING_SETS[name].ids, _is_translated(name, profile)
    languages = profile.languages if translated else _languages(name, profile)
    return SizedSet(drawn_size(ids, profile.max_pairs, profile.pair_share), False, len(languages), translated)


def _languages(name: str, profile: Profile) -> list[str]:
    return [code for code in profile.languages if code in TRAINING_SETS[name].languages]


def _is_translated(name: str, profile: Profile) -> bool:
    """Whether a set of the hub is, as `to_translate` decides by its rows."""
    return _languages(name, profile) == ["en"] and name not in profile.english_only


def training_data(profile: Profile, sized: dict[str, SizedSet]) -> pd.DataFrame:
    """Per pair set and altogether: ids, whether they were counted, languages, rows, gigabytes of its files and of all that is made of
    them, and the peak memory of their preparation; nan where something is not known.
    """
    table = pd.DataFrame([_row(name, sized.get(name)) for name in profile.pair_sets])
    sums = table[["ids", "rows", "files_gb", "disk_gb"]].sum(skipna=False)
    whole = {"set": "all", "counted": bool(table["counted"].all()), "languages": table["languages"].max(skipna=False), **sums}
    table = pd.concat([table, pd.DataFrame([whole])], ignore_index=True)
    memory = pd.DataFrame({i: base + size * table["rows"] / 1e9 for i, (base, size) in enumerate(PEAKS)}).max(axis=1, skipna=False)
    return table.assign(ram_gb=memory).astype(dict.fromkeys(("ids", "languages", "rows"), "Int64")).set_index("set")


def _row(name: str, size: SizedSet | None) -> dict:
    if size is None:
        return {"set": name, "ids": nan, "counted": False, "languages": nan, "rows": nan, "files_gb": nan, "disk_gb": nan}
    sample, files = size.sample, size.sample.bytes if size.sample else nan
    texts = sample.pairs.data.nbytes / len(sample.pairs) if sample and sample.pairs else PAIR_BYTES
    row = {"set": name, "ids": size.ids, "counted": size.counted, "languages": size.languages, "rows": size.rows}
    return row | {"files_gb": files / 1e9, "disk_gb": (files + COPIES * size.rows * texts) / 1e9}


def translation(run: Run, sized: dict[str, SizedSet]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(heading, table): texts, tokens and memory of the translation by language, then its hours, for which the model itself is opened."""
    profile, asked = run.profile, {name: size for name, size in sized.items() if size.translated}
    chosen = {name: size for name, size in asked.items() if size.sample and size.sample.pairs}
    targets = [language for language in profile.languages if language != "en"]
    if not targets or not chosen:
        return
    cached, known = translator(run), TRANSLATORS.get(profile.translator)
    table = _summed([translation_cost(size.sample.pairs, targets, cached, total=size.ids) for size in chosen.values()])
    without = f", without {', '.join(name for name in asked if name not in chosen)}" if len(asked) > len(chosen) else ""
    yield f"translation by {profile.translator}{f' (licence {known.licence})' if known else ''}{without}", table
    pairs = concatenate_datasets([size.sample.pairs.select_columns(["language", "question", "passage"]) for size in chosen.values()])
    speed = measured_speed(pairs, targets[0], cached)
    if speed < inf:
        hours = table[["tokens"]].assign(hours=table["tokens"] / speed / 3600)
        yield f"translation, by one process of this machine at {speed:,.0f} tokens a second", hours


def _summed(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Costs of several sets as one, by language: counts added up, memory the largest."""
    rows = pd.concat(parts).groupby("language", sort=False)
    counts = [column for column in (*COUNTS, "sampled") if column != "hours"]
    return rows[counts].sum().join(rows[MEMORY].max())
