"""Figures of notebook 03: scores by setting, by language, and by pair of languages."""

from __future__ import annotations

import pandas as pd

from .style import COLOURS, SETTINGS, in_order, new_figure

REFERENCES = ("BM25", "random")


def scores(tables: dict[str, pd.DataFrame]):
    """mAP of every strategy in each setting: a dot a seed, a bar for the mean, lines for BM25 and the untrained base."""
    table = tables["scores"].query("query_language == 'macro' and metric == 'mAP'")
    bases = [base for base in sorted(table["base"].unique()) if base != "reference"]
    tasks = list(dict.fromkeys(table["task"]))
    figure, axes = new_figure(len(tasks), len(bases), width=3.9, height=2.5, sharey="row")
    for row, task in zip(axes, tasks, strict=True):
        for ax, base in zip(row, bases, strict=True):
            own = table[(table["task"] == task) & (table["base"] == base)]
            lines = table[(table["task"] == task) & (table["base"] == "reference")]
            _grouped_dots(ax, own, lines)
            ax.set(title=f"{task}, from {base}", ylabel="mAP, macro average", ylim=(0, 1.02))
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False, fontsize=7)
    return figure


def _grouped_dots(ax, table: pd.DataFrame, lines: pd.DataFrame) -> None:
    strategies = [s for s in in_order(table["strategy"]) if s not in REFERENCES]
    width = 0.8 / len(strategies)
    for j, strategy in enumerate(strategies):
        for i, setting in enumerate(SETTINGS):
            values = table[(table["strategy"] == strategy) & (table["setting"] == setting)]["value"]
            x = i - 0.4 + (j + 0.5) * width
            label = strategy if i == 0 else None
            ax.bar(x, values.mean(), width * 0.92, color=COLOURS.get(strategy), alpha=0.55, label=label)
            ax.plot([x] * len(values), values, "o", ms=2.2, color=COLOURS.get(strategy), mec="black", mew=0.3)
    for reference in REFERENCES:
        for i, setting in enumerate(SETTINGS):
            value = lines[(lines["strategy"] == reference) & (lines["setting"] == setting)]["value"]
            style = "--" if reference == "BM25" else ":"
            ax.plot([i - 0.42, i + 0.42], [value.mean()] * 2, style, color=COLOURS[reference], lw=1, label=reference if i == 0 else None)
    ax.set_xticks(range(len(SETTINGS)), list(SETTINGS))
    ax.grid(axis="x", visible=False)


def languages(tables: dict[str, pd.DataFrame]):
    """mAP by question language in each setting, mean over seeds, first task (scores)."""
    table = tables["scores"].query("query_language != 'macro' and metric == 'mAP'")
    task = tables["scores"]["task"].iloc[0]
    table = table[(table["task"] == task) & ~table["strategy"].isin(("untrained", "zero-shot", "BM25", "random"))]
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(len(bases), 3, width=3.1, height=2.2, sharey=True, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, setting in zip(row, SETTINGS, strict=True):
            rows = table[(table["base"] == base) & (table["setting"] == setting)]
            means = rows.groupby(["strategy", "query_language"])["value"].mean()
            for strategy in in_order(rows["strategy"]):
                ax.plot(means[strategy].index, means[strategy], "o-", ms=3, lw=0.8, color=COLOURS.get(strategy), label=strategy)
            ax.set(title=f"{base}: {setting}", xlabel="question language", ylabel="mAP", ylim=(0, 1.02))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(f"{task}, mean over seeds", fontsize=9)
    return figure


def heat_maps(tables: dict[str, pd.DataFrame]):
    """mAP of question language x answer language in the mixed pool without the other languages' answers (heat)."""
    import seaborn as sns

    table = tables["heat"]
    bases, strategies = sorted(table["base"].unique()), in_order(table["strategy"])
    figure, axes = new_figure(len(bases), len(strategies), width=2.4, height=2.4, sharey=True, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, strategy in zip(row, strategies, strict=True):
            rows = table[(table["base"] == base) & (table["strategy"] == strategy)]
            wide = rows.pivot(index="query_language", columns="candidate_language", values="value")
            sns.heatmap(
                wide, ax=ax, vmin=0, vmax=1, cmap="viridis", cbar=ax is row[-1], square=True, cbar_kws={"label": "mAP", "shrink": 0.7}
            )
            ax.set_title(f"{strategy}, from {base}", fontsize=8)
            ax.set(xlabel="answer language", ylabel="question language" if ax is row[0] else "")
            ax.tick_params(labelsize=6)
    return figure
