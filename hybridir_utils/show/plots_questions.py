"""Figures of notebook 07: recall of translated questions by strategy, and by pair of languages."""

from __future__ import annotations

import pandas as pd

from ..rank.question_recall import ALL_PAIRS, MEASURES, PAIR_KINDS
from .style import COLOURS, in_order, new_figure, note_figure

COMPARED = ("X-Y", "X-X-mono", "untrained")  # with hybrid, pair by pair


def recall(tables: dict[str, pd.DataFrame]):
    """Recall@k of every strategy by kind of language pair: a dot a seed, a bar for the mean (question_recall)."""
    table = tables["question_recall"]
    bases, kinds = sorted(table["base"].unique()), [kind for kind in (ALL_PAIRS, *PAIR_KINDS) if kind in set(table["setting"])]
    strategies = in_order(table["strategy"])
    figure, axes = new_figure(len(bases), len(MEASURES), width=1.5 + 0.8 * len(kinds), height=2.4, sharey="row", sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, metric in zip(row, MEASURES, strict=True):
            part = table[(table["base"] == base) & (table["metric"] == metric)]
            _bars(ax, part, kinds, strategies)
            pairs = [int(part[part["setting"] == kind]["n"].max()) if kind in set(part["setting"]) else 0 for kind in kinds]
            ax.set_xticks(range(len(kinds)), [f"{kind}\nn = {n}" for kind, n in zip(kinds, pairs, strict=True)], fontsize=6.5)
            ax.set_title(f"{metric}, from {base}", fontsize=8)
            ax.set(xlabel="pairs of languages", ylabel="Recall@k, macro average" if ax is row[0] else "", ylim=(0, 1.02))
            ax.grid(axis="x", visible=False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=7)
    return figure


def _bars(ax, part: pd.DataFrame, kinds: list[str], strategies: list[str]) -> None:
    width = 0.8 / len(strategies)
    for j, strategy in enumerate(strategies):
        for i, kind in enumerate(kinds):
            values = part[(part["strategy"] == strategy) & (part["setting"] == kind)]["value"]
            x = i - 0.4 + (j + 0.5) * width
            ax.bar(x, values.mean(), width * 0.92, color=COLOURS.get(strategy), alpha=0.55, label=strategy if i == 0 else None)
            ax.plot([x] * len(values), values, "o", ms=2.2, color=COLOURS.get(strategy), mec="black", mew=0.3)


def pairs(tables: dict[str, pd.DataFrame]):
    """Recall@1 of hybrid minus another strategy's or the untrained base's, by question language and pool language (question_pairs)."""
    import seaborn as sns

    table = tables["question_pairs"]
    others = [name for name in COMPARED if name in set(table["strategy"])]
    if "hybrid" not in set(table["strategy"]) or not others:
        return note_figure("This run has no hybrid strategy to compare.")
    bases = sorted(table[table["strategy"] == "hybrid"]["base"].unique())
    figure, axes = new_figure(len(bases), len(others), width=2.9, height=2.6, sharex=True, sharey=True)
    wide = table.set_index(["base", "strategy", "query_language", "candidate_language"])["value"].sort_index()
    found = {(base, other): (wide[base, "hybrid"] - wide[base, other]).unstack() for base in bases for other in others}
    most = max(cells.abs().max(axis=None) for cells in found.values()) or 1.0
    for row, base in zip(axes, bases, strict=True):
        for ax, other in zip(row, others, strict=True):
            bar = {"cbar": ax is row[-1], "cbar_kws": {"label": "Recall@1, difference", "shrink": 0.8}}
            sns.heatmap(found[base, other], ax=ax, vmin=-most, vmax=most, cmap="PuOr", square=True, **bar)
            ax.set_title(f"hybrid − {other}, from {base}", fontsize=8)
            ax.set(xlabel="language of the pool", ylabel="language of the question" if ax is row[0] else "")
            ax.tick_params(labelsize=6)
            ax.grid(False)
    return figure
