"""Figures of notebook 04: rank distances, languages of the top k, a map of the vectors, and training-free comparators."""

from __future__ import annotations

import pandas as pd

from .style import COLOURS, SETTINGS, in_order, new_figure

METHODS = {"none": "o", "centring": "s", "lir": "^", "lsar": "D"}


def rank_distances(tables: dict[str, pd.DataFrame]):
    """Share of questions whose rank distance is at most x, seeds pooled (distances: percentiles 0..100)."""
    table = tables["distances"]
    tasks, bases = list(dict.fromkeys(table["task"])), [b for b in sorted(table["base"].unique()) if b != "reference"]
    figure, axes = new_figure(len(tasks), len(bases), width=3.9, height=2.3, sharey=True, sharex="row")
    for row, task in zip(axes, tasks, strict=True):
        for ax, base in zip(row, bases, strict=True):
            rows = table[(table["task"] == task) & table["base"].isin([base, "reference"])]
            for strategy in in_order(rows["strategy"]):
                one = rows[rows["strategy"] == strategy].sort_values("percentile")
                style = {"BM25": "--", "random": ":"}.get(strategy, "-")
                ax.plot(one["rank_distance"], one["percentile"] / 100, style, color=COLOURS.get(strategy), label=strategy, lw=1.2)
            ax.set(xscale="log", title=f"{task}, from {base}", xlabel="rank distance (ranks, log scale; left is better)")
            ax.set_ylabel("share of questions" if ax is row[0] else "")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=7)
    return figure


def language_share(tables: dict[str, pd.DataFrame]):
    """Share of the top 10 that is in the question's language, against that language's share of the pool (bias)."""
    import seaborn as sns

    table = tables["bias"]
    table = table[(table["measure"] == "same-language share@10") & (table["query_language"] != "macro")]
    pool = tables["bias"].query("measure == 'same-language pool share' and query_language != 'macro'")
    task = tables["bias"]["task"].iloc[0]
    table, pool = table[table["task"] == task], pool[pool["task"] == task].groupby("query_language")["value"].mean()
    bases = [b for b in sorted(table["base"].unique()) if b != "reference"]
    figure, axes = new_figure(1, len(bases), width=4.2, height=2.5, sharey=True)
    for ax, base in zip(axes[0], bases, strict=True):
        rows = table[table["base"] == base]
        order = in_order(rows["strategy"])
        sns.stripplot(
            rows,
            x="query_language",
            y="value",
            hue="strategy",
            hue_order=order,
            palette=COLOURS,
            ax=ax,
            size=3,
            dodge=True,
            jitter=False,  # seaborn's is another one each time
            legend=ax is axes[0, 0],
        )
        ticks = [label.get_text() for label in ax.get_xticklabels()]
        ax.plot(range(len(ticks)), pool.reindex(ticks), "k_", ms=14, label="share of the pool")
        ax.set(title=f"{task}, from {base}", xlabel="question language", ylabel="same-language share, top 10", ylim=(0, 1.02))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=7)
    axes[0, 0].get_legend().remove()
    return figure


def vector_map(tables: dict[str, pd.DataFrame]):
    """First two principal components of parallel questions and passages by language, one seed (map)."""
    import seaborn as sns

    table = tables["map"]
    bases, strategies = sorted(table["base"].unique()), in_order(table["strategy"])
    figure, axes = new_figure(len(bases), len(strategies), width=2.3, height=2.3)
    palette = dict(zip(sorted(table["language"].unique()), sns.color_palette("husl", table["language"].nunique()), strict=True))
    for row, base in zip(axes, bases, strict=True):
        for ax, strategy in zip(row, strategies, strict=True):
            rows = table[(table["base"] == base) & (table["strategy"] == strategy)]
            for kind, marker in (("question", "o"), ("passage", "x")):
                of_kind = rows[rows["kind"] == kind]
                style = {"linewidths": 0} if marker == "o" else {"linewidths": 0.7}
                ax.scatter(of_kind["x"], of_kind["y"], s=7, marker=marker, c=of_kind["language"].map(palette).tolist(), **style)
            ax.set(title=f"{strategy}, from {base}", xticks=[], yticks=[])
    axes[-1, 0].set(xlabel="first principal component", ylabel="second principal component")
    _map_legend(figure, palette)
    return figure


def _map_legend(figure, palette: dict) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", ls="", color=colour, label=language) for language, colour in palette.items()]
    handles += [Line2D([], [], marker=marker, ls="", color="grey", label=kind) for kind, marker in (("question", "o"), ("passage", "x"))]
    figure.legend(handles=handles, loc="outside lower center", ncols=13, frameon=False, fontsize=7)


def debiasing(tables: dict[str, pd.DataFrame]):
    """mAP per setting with each training-free method, mean over seeds (debiasing; method `none` is the encoder itself)."""
    table = tables["debiasing"].query("metric == 'mAP'")
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(len(bases), 3, width=3.1, height=2.1, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, setting in zip(row, SETTINGS, strict=True):
            rows = table[(table["base"] == base) & (table["setting"] == setting)]
            means = rows.groupby(["strategy", "method"])["value"].mean()
            for i, strategy in enumerate(in_order(rows["strategy"])):
                for j, (method, marker) in enumerate(METHODS.items()):
                    ax.plot(
                        i + 0.16 * (j - 1.5), means[strategy, method], marker, ms=4.5, color=COLOURS.get(strategy), mec="black", mew=0.4
                    )
            ax.set_xticks(range(len(in_order(rows["strategy"]))), in_order(rows["strategy"]), fontsize=7)
            ax.set(title=f"{base}: {setting}", ylabel="mAP" if ax is row[0] else "")
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[Line2D([], [], marker=m, ls="", color="grey", label=name) for name, m in METHODS.items()],
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    return figure


def alignment(tables: dict[str, pd.DataFrame]):
    """Alignment gap, translation accuracy and language identity of the questions' vectors, one seed (alignment)."""
    table = tables["alignment"]
    names = {
        "alignment_gap": "cosine of translations minus others",
        "translation_accuracy": "translation retrieval accuracy",
        "language_identity": "accuracy of a linear language probe",
        "uniformity": "uniformity (lower is more uniform)",
    }
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(1, len(names), width=2.5, height=2.4)
    for ax, (measure, title) in zip(axes[0], names.items(), strict=True):
        means = table[table["measure"] == measure].groupby(["base", "strategy"])["value"].mean()
        for i, base in enumerate(bases):
            strategies = in_order(means[base].index)
            for j, strategy in enumerate(strategies):
                x = i + 0.8 * (j + 0.5) / len(strategies) - 0.4
                ax.bar(x, means[base, strategy], 0.75 / len(strategies), color=COLOURS.get(strategy), label=strategy if i == 0 else None)
        ax.set_xticks(range(len(bases)), bases)
        ax.set_title(title, fontsize=8)
        ax.grid(axis="x", visible=False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False, fontsize=7)
    return figure
