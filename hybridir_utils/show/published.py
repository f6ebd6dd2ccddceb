"""The paper's numbers, as data: `data/published/elmahdy2024.csv` (arXiv 2408.10536, tables 3-8, 12, 13)."""

from __future__ import annotations

import pandas as pd

from ..base.places import PUBLISHED
from .style import SETTINGS

STRATEGY = {"Hybrid": "hybrid"}
TRAINED_LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")  # of its training data
TASKS = {"XQuAD-R": "xquad-r", "MLQA-R": "mlqa-r", "MIRACL": "miracl"}


def paper_numbers() -> pd.DataFrame:
    """Every per-language number: table, model, task, batching, setting, language, metric, value."""
    return pd.read_csv(PUBLISHED / "elmahdy2024.csv")


def in_our_names() -> pd.DataFrame:
    """The paper's numbers with strategies and tasks named as in a run: model, task, strategy, setting, language, metric, value."""
    numbers = paper_numbers()
    return numbers.assign(strategy=numbers.pop("batching").replace(STRATEGY), task=numbers["task"].map(TASKS))


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
