"""Samples and counts that notebooks 01-03 show: of pairs, batches, encoders and evaluation tasks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.mapped import chunks, codes
from ..data.batching import KINDS, BatchPlan, language_shares
from ..experiment.encoders import EncoderKey
from ..rank.metrics import coverage
from ..tasks.beir import unnamed_groups
from ..tasks.retrieval_task import RetrievalTask
from .style import SHORT_SETTINGS
from .tables import stack, trained

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """Pairs by language (rows) after each step of the preparation (columns)."""
    return coverage.pivot(index="language", columns="step", values="pairs")[list(dict.fromkeys(coverage["step"]))]


def rejection_counts(rejections: pd.DataFrame) -> pd.DataFrame:
    """Rejected texts by language and check: language, check, pairs."""
    return rejections.groupby(["language", "check"]).size().rename("pairs").reset_index()


def rejected_examples(rejections: pd.DataFrame, per_check: int = 2) -> pd.DataFrame:
    """A few rejections of every check, to read."""
    return (
        rejections.groupby("check")
        .head(per_check)
        .sort_values("check")[["check", "language", "field", "detail", "text"]]
        .reset_index(drop=True)
    )


def leak_counts(leaks: pd.DataFrame, tasks) -> pd.DataFrame:
    """Hits of the leak check per task, field and kind, and the parallel groups they drop; a row of zeros where there is none."""
    rows = [
        {
            "task": task.name,
            "field": field,
            **{kind: int((part["kind"] == kind).sum()) for kind in ("exact", "near", "contained")},
            "groups": part["pair"].nunique(),
        }
        for task in tasks
        for field in ("question", "passage")
        for part in [leaks[(leaks["task"] == task.name) & (leaks["field"] == field)]]
    ]
    return pd.DataFrame(rows).set_index(["task", "field"])


def leak_examples(leaks: pd.DataFrame, count: int = 8) -> pd.DataFrame:
    """The first hits of the leak check, to read."""
    return leaks[["kind", "language", "field", "similarity", "pair_text", "match_text"]].head(count)


def length_quantiles(pairs) -> pd.DataFrame:
    """Characters of questions and passages: language, part, q05, q25, q50, q75, q95, n."""
    import pyarrow.compute as pc

    (numbers, names), tables = codes(pairs, "language"), []
    languages = pd.Categorical.from_codes(numbers, names.to_pylist())
    for part in ("question", "passage"):
        lengths = np.concatenate([pc.utf8_length(table[part]).to_numpy() for table in chunks(pairs, [part])])
        grouped = pd.Series(lengths).groupby(languages, observed=True)
        table = pd.DataFrame({name: grouped.quantile(q) for name, q in QUANTILES.items()}).assign(n=grouped.size(), part=part)
        tables.append(table.rename_axis("language").reset_index().astype({"language": str}).sort_values("language"))
    return stack(tables)[["language", "part", *QUANTILES, "n"]]


def show_batch(plan: BatchPlan, pairs, steps: int, slots: int) -> pd.DataFrame:
    """The first slots of one step of each kind of batch the plan has."""
    rows = []
    for kind in sorted(set(plan.kinds.tolist()))[:steps]:
        step = int(np.flatnonzero(plan.kinds == kind)[0])
        for slot in range(min(slots, plan.batch_size)):
            question, passage = pairs[int(plan.question_rows[step, slot])], pairs[int(plan.passage_rows[step, slot])]
            rows.append((step, KINDS[kind], question["language"], question["question"], passage["language"], passage["passage"]))
    return pd.DataFrame(rows, columns=["step", "kind", "question language", "question", "passage language", "passage"])


def encoder_size(folder) -> str:
    """Layers and parameters of an encoder."""
    from ..encode.opening import open_model

    model = open_model(folder)
    modules = " → ".join(type(module).__name__ for module in model)
    return f"{modules}, {model.get_embedding_dimension()} wide, {sum(p.numel() for p in model.parameters()):,} parameters"


def show_card(encoders: Mapping[EncoderKey, Path], strategy: str):
    """The card of the first encoder trained with a strategy, as Markdown, folded."""
    from IPython.display import Markdown

    folder = next(folder for key, folder in encoders.items() if key.strategy == strategy)
    text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    text = text.replace("\n# ", "\n### ").replace("\n## ", "\n#### ")
    return Markdown(f"<details><summary>The card of {folder.name}</summary>\n\n{text}\n\n</details>")


def reported_cost(cost: pd.DataFrame, steps: int) -> pd.DataFrame:
    """What is saved of the cost of training: what another machine has alike, so no seconds."""
    return cost.drop(columns="seconds").assign(steps=steps)


def shares_of(plans: Mapping[str, BatchPlan], pairs) -> pd.DataFrame:
    """Planned and realised shares of pairs of languages (`batching.language_shares`) of each strategy's plan."""
    return stack([language_shares(plan, pairs) for plan in plans.values()])


def task_sizes(tasks: Mapping[str, RetrievalTask]) -> pd.DataFrame:
    """Languages, questions, candidates and relevant candidates of each task, and of each setting the questions that are dropped from a run
    because its pool does not answer them; with a warning as of `unnamed_groups`.
    """
    rows = {}
    for name, task in tasks.items():
        if translations := unnamed_groups(task):
            warnings.warn(f"{name}: {translations}", stacklevel=1)
        dropped = coverage(task).groupby("setting")["dropped"].sum()
        dropped = {f"dropped, {short}": dropped[setting] for setting, short in SHORT_SETTINGS.items() if setting in dropped}
        rows[name] = {"languages": len(task.languages), **task.summary().sum(), **dropped}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")


def furthest_apart(questions: pd.DataFrame, task: str, base: str, seed: int, count: int = 4) -> list[int]:
    """Query rows whose translated answers the trained strategies rank furthest apart (mean rank distance), one a language."""
    rows = trained(questions).query("task == @task and base == @base and seed == @seed").dropna(subset=["rank_distance"])
    means = rows.groupby(["query", "query_language"])["rank_distance"].mean().sort_values(ascending=False, kind="stable")
    return list(means.reset_index().drop_duplicates("query_language")["query"].head(count))
