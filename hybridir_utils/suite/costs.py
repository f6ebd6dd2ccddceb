"""What a profile will take, reckoned from the catalogues' own counts before anything is fetched: `python -m hybridir_utils run --cost`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from math import nan

import pandas as pd

from ..base.errors import HybridIRError, InputError, need_known
from ..base.files import PUBLISHED
from ..data.mt import TRANSLATORS
from ..data.pairs import drawn_size
from ..data.public_pairs import TRAINING_SETS
from ..data.register import is_search_task
from ..encode.catalogue import ENCODERS
from ..experiment.preparation import RECIPE
from ..experiment.profile import OWN_BASES, Profile
from ..experiment.run import Run
from ..experiment.sources import as_text, place_faults
from ..tasks.mteb_tasks import PREFIX, mteb_sizes
from .plan import STUDIES

QUERY_TOKENS, PASSAGE_TOKENS = 24, 128  # taken where the profile sets no lengths
LETTERS_PER_TOKEN = 4.0  # of a multilingual subword tokenizer on Wikipedia, roughly
CHARACTERS_PER_TOKEN = {"zh": 2.0, "ja": 2.0, "ko": 2.0}  # scripts whose characters say more
BYTES = {"fp32": 4, "fp16": 2}
THREADS, TILE, BLOCK = 8, 512, 16_384  # of the search: threads, questions and passages of each one's scores
PAIR_BYTES = 1000  # of a pair's texts: question, passage and negative of MS MARCO in several scripts
COPIES = 3  # of a row's texts: the converted or translated table, the prepared Parquet file, and the table it is read through
# Peak memory of preparing and planning (GB, bytes a row): of the quality checks, and of the step that takes most of many rows; measured
# on 1 and 5 M rows (data/results/benchmarks/pairs.json)
PEAKS = ((1.75, 70), (0.17, 114))


def run_cost(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """(heading, table): training by base, encoding of large corpora by task and encoder, training data by set, translation by set.

    What no catalogue tells is nan; a table without rows is left out. After the last table InputError names all that is not there.
    """
    profile = run.profile
    licence = f" (licence {TRANSLATORS[profile.translator].licence})" if profile.translator in TRANSLATORS else ""
    tables = {"training": training, "large corpora": corpora, "training data": training_data}
    for heading, table in (tables | {f"translation by {profile.translator}{licence}": translation}).items():
        if len(rows := table(profile)):
            yield heading, rows
    if faults := place_faults(profile):
        raise InputError("not there yet:\n" + as_text(faults))


def training(profile: Profile) -> pd.DataFrame:
    """Per base and length of a training: encoders, steps and tokens of all its trainings in all notebooks, each encoder once; at most:
    early stopping may end before. Bags of subwords, which train in seconds, are left out.
    """
    passages = 1 if profile.hard_negatives == "none" else 2
    pair = (profile.max_query_tokens or QUERY_TOKENS) + passages * (profile.max_passage_tokens or PASSAGE_TOKENS)
    run, trained = Run(profile, profile.name, profile.name), {}
    for own, keys in chain.from_iterable(study(run) for study in STUDIES.values()):
        pairs, steps = str((own.profile.model_dump(include=RECIPE), own.profile.test_sets)), own.profile.steps
        trained |= {(pairs, steps, key.name): (key.base, steps) for key in keys if key.base not in OWN_BASES}
    counts = Counter(trained.values())
    rows = [(base, number, steps, number * steps * profile.batch_size * pair) for (base, steps), number in counts.items()]
    return pd.DataFrame(rows, columns=["base", "encoders", "steps", "tokens"])


def corpora(profile: Profile) -> pd.DataFrame:
    """Per task whose corpora are searched (or a user's own) and encoder: encoders of its size, the corpora's passages and tokens, disk of
    all those encoders, memory of one search beside its memory-mapped vectors.
    """
    trained = len(profile.strategies) * len(profile.seeds) + 1  # and the base before training
    encoders = dict.fromkeys(profile.bases, trained) | dict.fromkeys(profile.retrievers, 1)
    rows = []
    for task in (task for task in profile.tasks if is_search_task(task) or ":" in task):
        passages, tokens = _corpus(task, profile)
        for name, count in encoders.items():
            width = _width(name, profile)
            about = {"task": task, "encoder": name, "encoders": count, "passages": passages, "tokens": tokens}
            disk = count * passages * width * BYTES[profile.vector_precision] / 1e9
            memory = (BLOCK * width * 4 + THREADS * TILE * BLOCK * 5) / 1e9  # a block in fp32, five bytes a score
            rows.append({**about, "disk_gb": disk, "ram_gb": memory})
    return pd.DataFrame(rows).astype({"passages": "Int64", "tokens": "Int64"}) if rows else pd.DataFrame()


def training_data(profile: Profile) -> pd.DataFrame:
    """Per pair set and altogether (`all`): ids, languages, rows, gigabytes of what is made of them, peak memory of the preparation.

    By the catalogue's count of ids; nan for sets that lie here and are in no catalogue.
    """
    rows = []
    for name in profile.pair_sets:
        languages = profile.languages if _is_translated(name, profile) else _own_languages(name, profile)
        rows.append({"set": name, "ids": _ids(name, profile), "languages": len(languages) or nan})
    table = pd.DataFrame(rows).eval("rows = ids * languages")
    whole = {"set": "all", "languages": table["languages"].max(skipna=False), **table[["ids", "rows"]].sum(skipna=False)}
    table = pd.concat([table, pd.DataFrame([whole])], ignore_index=True)
    table["disk_gb"] = COPIES * table["rows"] * PAIR_BYTES / 1e9
    table["ram_gb"] = pd.concat([base + size * table["rows"] / 1e9 for base, size in PEAKS], axis=1).max(axis=1, skipna=False)
    return table.astype(dict.fromkeys(("ids", "languages", "rows"), "Int64")).set_index("set")


def translation(profile: Profile) -> pd.DataFrame:
    """Per pair set of the catalogue that is translated: target languages, and texts and tokens of all of them together."""
    texts, targets = 3 if profile.hard_negatives == "given" else 2, len(profile.languages) - 1
    ids = {name: _ids(name, profile) for name in profile.pair_sets if targets and _is_translated(name, profile)}
    tokens = QUERY_TOKENS + (texts - 1) * PASSAGE_TOKENS
    rows = [(name, targets, count * targets * texts, count * targets * tokens) for name, count in ids.items()]
    return pd.DataFrame(rows, columns=["set", "languages", "texts", "tokens"]).set_index("set")


def corpus_sizes(task: str, languages: Sequence[str] = ()) -> pd.DataFrame:
    """language, passages, mean_chars, source of a task's corpora (miracl, miracl-full, mkqa, neuclir, mteb:NAME); no languages: all.

    MKQA's passages are English whatever the questions' languages. Raises UnknownName for a task whose sizes are not known.
    """
    if task.startswith(PREFIX):
        return mteb_sizes(task, languages)
    table = pd.read_csv(PUBLISHED / "corpus_sizes.csv")
    need_known("task with a large corpus", [task], table["task"].unique())
    rows = table[table["task"] == task].drop(columns="task").reset_index(drop=True)
    return rows if not languages or set(rows["language"]) == {"en"} else rows[rows["language"].isin(languages)].reset_index(drop=True)


def estimated_tokens(sizes: pd.DataFrame, most: int = 512) -> pd.Series:
    """Tokens of each row of `corpus_sizes`: four characters a token (two in Chinese, Japanese, Korean), at most `most` a passage."""
    per_token = sizes["language"].map(CHARACTERS_PER_TOKEN).fillna(LETTERS_PER_TOKEN)
    return (sizes["passages"] * (sizes["mean_chars"] / per_token).clip(upper=most)).round().astype("int64")


def _corpus(task: str, profile: Profile) -> tuple[float, float]:
    """(passages, tokens) of a task's corpora; nan where nobody tells how large they are."""
    try:
        sizes = corpus_sizes(task, profile.task_languages)
    except HybridIRError:
        return nan, nan
    return int(sizes["passages"].sum()), int(estimated_tokens(sizes, profile.max_passage_tokens or 512).sum())


def _width(name: str, profile: Profile) -> float:
    """Of a vector; nan for a model of no catalogue."""
    known = ENCODERS.get(name)
    return profile.dimension if name in OWN_BASES else known.width if known else nan


def _ids(name: str, profile: Profile) -> float:
    known = TRAINING_SETS.get(name)
    return drawn_size(known.ids, profile.max_pairs, profile.pair_share) if known else nan


def _own_languages(name: str, profile: Profile) -> list[str]:
    """The profile's languages in which a set of the catalogue stands."""
    return [code for code in profile.languages if name in TRAINING_SETS and code in TRAINING_SETS[name].languages]


def _is_translated(name: str, profile: Profile) -> bool:
    return _own_languages(name, profile) == ["en"] and name not in profile.english_only
