"""Samples and counts that notebooks 01-03 show, of pairs, batches, encoders and evaluation tasks; and what the numbers of 01 and 02 say."""

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
from .style import SHORT_SETTINGS, in_order
from .tables import stack, trained

VALIDATION = {"mono": "within a language", "cross": "across languages"}  # the second needs validation pairs in two languages
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """Pairs by language (rows) after each step of the preparation (columns)."""
    return coverage.pivot(index="language", columns="step", values="pairs")[list(dict.fromkeys(coverage["step"]))]


def rejection_counts(rejections: pd.DataFrame) -> pd.DataFrame:
    """Rejected texts by language and check, each once, by the first check that it failed: language, check, texts."""
    once = rejections.drop_duplicates([column for column in ("split", "id", "language", "field") if column in rejections])
    return once.groupby(["language", "check"]).size().rename("texts").reset_index()


def rejected_examples(rejections: pd.DataFrame, per_check: int = 2) -> pd.DataFrame:
    """A few rejections of every check, to read."""
    few = rejections.groupby("check").head(per_check).sort_values("check")
    return few[["check", "language", "field", "detail", "text"]].reset_index(drop=True)


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


# What the numbers of notebooks 01 and 02 say, in sentences computed from them


def on_preparation(coverage: pd.DataFrame, rejections: pd.DataFrame, leaks: pd.DataFrame) -> list[str]:
    """How many pairs came through, what was rejected most, and what leaked."""
    return [*on_coverage(coverage), *on_rejections(rejections), _on_leaks(leaks)]


def on_coverage(coverage: pd.DataFrame) -> list[str]:
    """How many pairs are left after the last step."""
    per_step = coverage.groupby("step", sort=False)["pairs"].sum()
    first, last = per_step.iloc[0], per_step.iloc[-1]
    return [f"{last:,} of {first:,} pairs ({last / first:.0%}) are left for training."]


def on_rejections(rejections: pd.DataFrame) -> list[str]:
    """The language and the reason that most texts were refused for."""
    if rejections.empty:
        return ["No quality check refused a text."]
    language, check = (rejections.groupby(key)[rejections.columns[-1]].sum().sort_values(ascending=False) for key in ("language", "check"))
    return [
        f"Most rejections are in {language.index[0]} ({language.iloc[0]:,} texts); "
        f"the most frequent reason is `{check.index[0]}` ({check.iloc[0]:,} texts)."
    ]


def _on_leaks(leaks: pd.DataFrame) -> str:
    if leaks.empty:
        return "No training text equals or nearly equals an evaluation text."
    groups, exact = leaks["pair"].nunique(), int((leaks["kind"] == "exact").sum())
    return (
        f"{groups} parallel groups were dropped because a text of theirs stands in an evaluation set "
        f"({exact} exact hits, {len(leaks) - exact} near ones)."
    )


def on_lengths(lengths: pd.DataFrame) -> list[str]:
    """Median length of questions and of passages: the languages with the shortest and the longest."""
    told = []
    for part, rows in lengths.groupby("part", sort=False):
        medians = rows.set_index("language")["q50"]
        told.append(f"{part}s {medians.min():.0f} ({medians.idxmin()}) to {medians.max():.0f} ({medians.idxmax()})")
    return [f"Median length in characters, shortest to longest language: {'; '.join(told)}."] if told else []


def on_batches(shares: pd.DataFrame) -> list[str]:
    """How far the drawn batches are from what was planned, and how much of each strategy is monolingual."""
    same = shares[shares["question_language"] == shares["passage_language"]].groupby("strategy")["realised"].sum()
    off = (shares["realised"] - shares["planned"]).abs().max()
    mono = ", ".join(f"{strategy} {same[strategy]:.0%}" for strategy in in_order(same.index))
    return [
        f"Share of pairs whose question and passage are in one language: {mono}.",
        f"No language pair is further than {100 * off:.1f} percentage points from its planned share.",
    ]


def on_losses(losses: pd.DataFrame) -> list[str]:
    """Which strategy ends lowest on each validation loss."""
    last = losses[losses["step"] == losses.groupby(["base", "strategy", "seed", "split"])["step"].transform("max")]
    sentences = []
    for base, rows in last[last["split"] != "train"].groupby("base"):
        means = rows.groupby(["split", "strategy"])["loss"].mean()
        found = [(where, means[split].idxmin(), means[split].min()) for split, where in VALIDATION.items() if split in means]
        (where, first, least), *others = found
        more = "".join(f", {where} {name}'s ({loss:.2f})" for where, name, loss in others)
        sentences.append(f"From {base}, the lowest validation loss {where} is {first}'s ({least:.2f} nats){more}.")
    return sentences
