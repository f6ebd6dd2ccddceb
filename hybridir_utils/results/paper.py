"""A finished run against published numbers: every row OK, near or off, with the tolerance and the seed spread that decided.

The paper gives one run per model and strategy, other sources one number per public encoder, without seeds. A row is OK when ours lies
within the tolerance or within what another seed could give (95 % prediction interval of one run: t x sd x sqrt(1 + 1/n)), near within
three tolerances, else off.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import nan, sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from ..base.files import PUBLISHED
from ..encode.catalogue import ENCODERS
from ..experiment.evaluation import UNTRAINED, ZERO_SHOT
from ..provenance import reads
from .style import SHORT_SETTINGS

KEYS = ["task", "setting", "metric", "query_language", "strategy"]
AVERAGED = ["task", "model", "base", "strategy", "setting", "metric"]
COLUMNS = [*AVERAGED, "query_language", "published", "ours", "seeds", "spread", "tolerance", "verdict"]
TOLERANCE = 0.01  # of mAP, recall and nDCG: absolute, for the average over languages
TOLERANCE_OF_RANKS = 0.05  # of the rank distance: relative
ONE_LANGUAGE = 2  # a single language may be off by as many tolerances
NEAR = 3
VERDICTS = ("OK", "near", "off")


def check(scores: pd.DataFrame, bias: pd.DataFrame, models: dict[str, str] | None = None, published: pd.DataFrame | None = None):
    """One row per published number the run has a counterpart of, and per average over the languages both have: COLUMNS.

    scores, bias: the run's saved tables. models: base -> model as the published table names it, beside those the encoder
    catalogue knows. published: as `in_our_names`; where it is not given, the paper's, and the averages of other systems
    (`reference_numbers`) that the run evaluates as they are. Raises UnknownName for a base or a model of `models` that is not there,
    InputError when nothing can be compared.
    """
    theirs = in_our_names() if published is None else published
    need_known("base of the run", models or {}, scores["base"].unique())
    need_known("model with published numbers", (models or {}).values(), theirs["model"].unique())
    models = {name: known.paper for name, known in ENCODERS.items() if known.paper} | (models or {})
    theirs = theirs.rename(columns={"language": "query_language", "value": "published"})[[*KEYS, "model", "published"]]
    ours = _ours(scores, bias)
    ours = ours[ours["base"].isin(models)].assign(model=lambda rows: rows["base"].map(models))
    by_seed = ours.merge(theirs, on=[*KEYS, "model"])
    others = beside_references(scores) if published is None else pd.DataFrame()
    if by_seed.empty and others.empty:
        raise InputError(_nothing_shared(scores, theirs, models))
    macro = by_seed.groupby([*AVERAGED, "seed"], sort=False)[["ours", "published"]].mean().reset_index().assign(query_language="macro")
    rows = pd.concat([macro, by_seed]).groupby([*AVERAGED, "query_language"], sort=False)
    table = rows.agg(published=("published", "mean"), ours=("ours", "mean"), seeds=("seed", "nunique"), sd=("ours", "std")).reset_index()
    return judged(pd.concat([part for part in (table, others) if len(part)], ignore_index=True))[COLUMNS]


def beside_references(scores: pd.DataFrame) -> pd.DataFrame:
    """Averages of systems that the run evaluates as they are beside the published ones, where both are over as many languages.

    Columns as the table of `check` has them before its verdicts, and source. Empty where the run has none.
    """
    theirs = reference_numbers().rename(columns={"system": "model", "value": "published"})
    keys = ["task", "base", "strategy", "setting", "metric"]
    single = scores[scores["query_language"] != "macro"].groupby(keys)["query_language"].nunique().rename("languages").reset_index()
    macro = scores[scores["query_language"] == "macro"].groupby(keys)["value"].agg(ours="mean", seeds="size", sd="std").reset_index()
    return theirs.merge(macro, on=keys).merge(single, on=[*keys, "languages"]).assign(query_language="macro")


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with spread, tolerance and verdict."""
    spread = [_spread(row.sd, row.seeds) for row in table.itertuples()]
    tolerance = np.where(table["metric"] == "rank distance", TOLERANCE_OF_RANKS * table["published"], TOLERANCE)
    tolerance = tolerance * np.where(table["query_language"] == "macro", 1, ONE_LANGUAGE)
    away = (table["ours"] - table["published"]).abs()
    allowed = np.fmax(tolerance, spread)  # a spread that is not known counts for nothing
    verdict = np.select([away <= allowed, away <= NEAR * tolerance], VERDICTS[:2], VERDICTS[2])
    return table.assign(spread=spread, tolerance=tolerance, verdict=verdict)


def _spread(sd: float, seeds: int) -> float:
    """Half the width of the interval that holds one more run in 95 of 100 cases; nan for one seed."""
    from scipy.stats import t

    return t.ppf(0.975, seeds - 1) * sd * sqrt(1 + 1 / seeds) if seeds > 1 else nan


def _ours(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    distances = bias[bias["measure"] == "rank distance"].assign(setting="multilingual", metric="rank distance")
    rows = pd.concat([scores, distances])
    rows = rows[rows["query_language"] != "macro"].rename(columns={"value": "ours"})
    return rows[[*KEYS, "base", "seed", "ours"]]


def _nothing_shared(scores: pd.DataFrame, theirs: pd.DataFrame, models: dict[str, str]) -> str:
    return (
        f"nothing to compare: the run has tasks {', '.join(scores['task'].unique())} and bases {', '.join(scores['base'].unique())}; "
        f"published are {', '.join(theirs['task'].unique())} for {', '.join(theirs['model'].unique())}, and the bases that stand for them "
        f"are {', '.join(models)}. Name another with --as BASE=MODEL."
    )


def read_published(path: Path) -> pd.DataFrame:
    """Another table of expected numbers, a CSV with columns model, task, strategy, setting, language, metric, value,
    strategies and tasks named as in a run. Raises InputError naming what is missing or no number, and its line."""
    wanted = ["model", "task", "strategy", "setting", "language", "metric", "value"]
    try:
        table = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}).") from error
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; expected {', '.join(wanted)}, found {', '.join(table.columns)}.")
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    if table["value"].isna().any():
        raise InputError(f"{path}, line {int(np.flatnonzero(table['value'].isna())[0]) + 2}: the value is not a number.")
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Averages over languages with their verdicts, and how many single languages are OK, near and off."""
    macro, single = (table[(table["query_language"] == "macro") == side] for side in (True, False))
    counts = single.groupby(AVERAGED, sort=False)["verdict"].value_counts().unstack(fill_value=0).reindex(columns=VERDICTS, fill_value=0)
    counts = counts.rename(columns={verdict: f"languages {verdict}" for verdict in VERDICTS}).reset_index()
    rows, of_verdicts = macro.drop(columns="query_language").merge(counts, on=AVERAGED, how="left"), counts.columns.difference(AVERAGED)
    return rows.fillna(dict.fromkeys(of_verdicts, 0)).astype(dict.fromkeys(of_verdicts, int))


def report(table: pd.DataFrame) -> str:
    """What the command prints: the averages, every row that is off, and the counts."""
    off = table[table["verdict"] == "off"].round(4)
    counts = ", ".join(f"{(table['verdict'] == verdict).sum()} {verdict}" for verdict in VERDICTS)
    parts = [summary(table).round(4).to_string(index=False), "off:\n" + off.to_string(index=False) if len(off) else "", counts]
    return "\n\n".join(filter(None, parts))


STRATEGY = {"Hybrid": "hybrid"}
TRAINED_LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")  # of its training data
TASKS = {"XQuAD-R": "xquad-r", "MLQA-R": "mlqa-r", "MIRACL": "miracl"}
REFERENCE_TASKS = {"XQuAD-R": ["xquad-r"], "MLQA-R": ["mlqa-r"], "MIRACL": ["miracl-full", "miracl"], "MKQA": ["mkqa"]}
LANGUAGES = {"XQuAD-R": 11, "MLQA-R": 7}
SYSTEMS = {  # of reference.csv -> (base, strategy) in a run
    "LaBSE off the shelf": ("labse", UNTRAINED),
    "mE5-base": ("me5-base", ZERO_SHOT),
    "mE5-large": ("me5-large", ZERO_SHOT),
    "BGE-M3 dense": ("bge-m3", ZERO_SHOT),
    "mContriever": ("mcontriever", ZERO_SHOT),
}


def paper_numbers() -> pd.DataFrame:
    """Every per-language number: table, model, task, batching, setting, language, metric, value."""
    return _read("elmahdy2024.csv")


def _read(name: str) -> pd.DataFrame:
    """A table of the folder, noted as read: a notebook that shows it is stale when it changes."""
    reads.used(PUBLISHED / name)
    return pd.read_csv(PUBLISHED / name)


def in_our_names() -> pd.DataFrame:
    """The paper's numbers with strategies and tasks named as in a run: model, task, strategy, setting, language, metric, value."""
    numbers = paper_numbers()
    return numbers.assign(strategy=numbers.pop("batching").replace(STRATEGY), task=numbers["task"].map(TASKS))


def main_task(tasks: Iterable[str]) -> str:
    """The first of some tasks that the paper has numbers of; where there is none, the first."""
    names = list(dict.fromkeys(tasks))
    return next((name for name in names if name in TASKS.values()), names[0])


def reference_numbers() -> pd.DataFrame:
    """Other systems' averages, tasks, settings and metrics named as in a run: system, base, strategy, task, languages, setting, metric,
    value, source.

    base, strategy: of the public encoder that a run evaluates as it is; "" for a system that no run has, or that was trained on other
    data. languages: how many the average is over. MIRACL's are over its whole corpora; the task of hard-negative pools has a row, too.
    """
    numbers = _read("reference.csv")
    named = [SYSTEMS.get(system, ("", "")) for system in numbers["system"]]
    counted = numbers["task"].str.extract(r"^(?P<task>\S+)(?: \((?P<languages>\d+) languages\))?$")
    numbers = numbers.assign(**dict(zip(("base", "strategy"), zip(*named, strict=True), strict=True)))
    numbers["languages"] = pd.to_numeric(counted["languages"]).fillna(counted["task"].map(LANGUAGES)).astype(int)
    numbers["task"] = counted["task"].map(REFERENCE_TASKS)
    numbers = numbers.replace({"setting": {"cross-lingual to English": "cross-lingual"}, "metric": {"R@100 (answer hit)": "Recall@100"}})
    columns = ["system", "base", "strategy", "task", "languages", "setting", "metric", "value", "source"]
    return numbers.explode("task", ignore_index=True)[columns]


def published_rows(task: str) -> pd.DataFrame:
    """Averages of the paper's and other systems on a task, by (encoder, vectors), columns as an evaluation's (`measured.COLUMNS`); no rows
    of a task without any. vectors: `published, ` and where.
    """
    paper, others = in_our_names(), reference_numbers()
    paper = paper.assign(encoder=paper["model"] + " " + paper["strategy"], vectors="published, the paper")
    others = others.assign(encoder=others["system"], vectors="published, " + others["source"])
    rows = pd.concat([others, paper])
    rows = rows[(rows["task"] == task) & rows["metric"].isin(["mAP", "rank distance"])]
    column = (rows["setting"].map(SHORT_SETTINGS) + " mAP").where(rows["metric"] == "mAP", rows["metric"])
    return rows.assign(column=column).pivot_table(index=["encoder", "vectors"], columns="column", values="value", sort=False)


def paper_scores() -> pd.DataFrame:
    """Mean over languages of mAP per setting and of the rank distance, by task, encoder and strategy."""
    numbers = paper_numbers()
    numbers = numbers[numbers["task"].isin(["XQuAD-R", "MLQA-R"])]
    numbers = numbers.assign(strategy=numbers["batching"].replace(STRATEGY), encoder="paper, " + numbers["model"])
    keys = ["task", "encoder", "strategy"]
    columns = {}
    for setting, short in SHORT_SETTINGS.items():
        rows = numbers[(numbers["setting"] == setting) & (numbers["metric"] == "mAP")]
        columns[f"{short} mAP"] = rows.groupby(keys)["value"].mean().map("{:.3f}".format)
    distance = numbers[numbers["metric"].str.contains("rank", case=False)]
    columns["rank distance"] = distance.groupby(keys)["value"].mean().map("{:.0f}".format)
    return pd.DataFrame(columns)
