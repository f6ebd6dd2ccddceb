"""Published numbers, as data: the paper's (`data/published/elmahdy2024.csv`, arXiv 2408.10536, tables 3-8, 12, 13), and those of other
systems (`reference.csv`).
"""

from __future__ import annotations

import pandas as pd

from ..base import trace
from ..base.places import PUBLISHED
from ..steps.evaluation import UNTRAINED, ZERO_SHOT
from .style import SETTINGS

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
    trace.used(PUBLISHED / name)
    return pd.read_csv(PUBLISHED / name)


def in_our_names() -> pd.DataFrame:
    """The paper's numbers with strategies and tasks named as in a run: model, task, strategy, setting, language, metric, value."""
    numbers = paper_numbers()
    return numbers.assign(strategy=numbers.pop("batching").replace(STRATEGY), task=numbers["task"].map(TASKS))


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
    numbers["languages"] = counted["languages"].fillna(counted["task"].map(LANGUAGES)).astype(int)
    numbers["task"] = counted["task"].map(REFERENCE_TASKS)
    numbers = numbers.replace({"setting": {"cross-lingual to English": "cross-lingual"}, "metric": {"R@100 (answer hit)": "Recall@100"}})
    columns = ["system", "base", "strategy", "task", "languages", "setting", "metric", "value", "source"]
    return numbers.explode("task", ignore_index=True)[columns]


def paper_scores() -> pd.DataFrame:
    """Mean over languages of mAP per setting and of the rank distance, by task, encoder and strategy."""
    numbers = paper_numbers()
    numbers = numbers[numbers["task"].isin(["XQuAD-R", "MLQA-R"])]
    numbers = numbers.assign(strategy=numbers["batching"].replace(STRATEGY), encoder="paper, " + numbers["model"])
    keys = ["task", "encoder", "strategy"]
    columns = {}
    for setting, short in SETTINGS.items():
        rows = numbers[(numbers["setting"] == setting) & (numbers["metric"] == "mAP")]
        columns[f"{short} mAP"] = rows.groupby(keys)["value"].mean().map("{:.3f}".format)
    distance = numbers[numbers["metric"].str.contains("rank", case=False)]
    columns["rank distance"] = distance.groupby(keys)["value"].mean().map("{:.0f}".format)
    return pd.DataFrame(columns)
