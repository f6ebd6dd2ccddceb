"""Figures of notebook 08: methods, languages, cost, and what more languages cost."""

from __future__ import annotations

import pandas as pd

from .style import COLOURS, SETTINGS, in_order, new_figure

LINES = {"untrained": "-.", "BM25": "--", "random": ":"}
SHOWN = ("X-X-mono", "X-Y", "hybrid", "distillation")  # more lines than these hide each other

STEPS = {
    "preparation_seconds": ("preparing pairs", "s"),
    "training_seconds": ("training", "o"),
    "evaluation_seconds": ("evaluating", "^"),
}


def methods(tables: dict[str, pd.DataFrame]):
    """mAP of every method in each setting: a dot a seed, a bar for the mean, lines for what was not trained (many_scores)."""
    table = tables["many_scores"].query("query_language == 'macro' and metric == 'mAP'")
    names = [name for name in in_order(table["strategy"]) if name not in LINES][::-1]
    figure, axes = new_figure(1, 3, width=3.1, height=0.24 * len(names) + 1.1, sharey=True)
    for ax, (setting, short) in zip(axes[0], SETTINGS.items(), strict=True):
        rows = table[table["setting"] == setting]
        for place, name in enumerate(names):
            values = rows[rows["strategy"] == name]["value"]
            ax.barh(place, values.mean(), 0.72, color=COLOURS.get(name), alpha=0.55)
            ax.plot(values, [place] * len(values), "o", ms=2.5, color=COLOURS.get(name), mec="black", mew=0.3)
        for name, style in LINES.items():
            ax.axvline(rows[rows["strategy"] == name]["value"].mean(), ls=style, color=COLOURS[name], lw=1, label=name)
        n = int(rows["n"].max())
        ax.set(title=f"{short} ({n} {'pairs' if short == 'Cr.' else 'languages'})", xlabel="mAP, macro average", xlim=(0, 1.02))
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(names)), names)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure


def languages(tables: dict[str, pd.DataFrame]):
    """mAP by question language, families side by side; hollow dots: no training batch held the language (many_languages)."""
    table = tables["many_languages"]
    order = table.drop_duplicates("language").sort_values(["family", "language"], kind="stable")
    place = {code: number for number, code in enumerate(order["language"])}
    names = [name for name in SHOWN if name in set(table["strategy"])]
    figure, axes = new_figure(3, 1, width=max(6.5, 0.19 * len(place)), height=1.9, sharex=True)
    for ax, setting in zip(axes[:, 0], SETTINGS, strict=True):
        for name in names:
            rows = table[(table["strategy"] == name) & (table["setting"] == setting)]
            for training, face in (("trained", COLOURS.get(name)), ("unseen", "white")):
                some = rows[rows["training"] == training]
                label = name if training == "trained" and ax is axes[0, 0] else None
                ax.plot(some["language"].map(place), some["value"], "o", ms=4, mfc=face, mec=COLOURS.get(name), label=label)
        ax.set(ylabel=f"{SETTINGS[setting]} mAP", ylim=(0, 1.03))
        _family_bands(ax, order)
    axes[-1, 0].set_xticks(range(len(place)), list(place), fontsize=6, rotation=90)
    axes[-1, 0].set_xlabel("question language, by family; hollow: unseen in training")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names), frameon=False, fontsize=7)
    return figure


def _family_bands(ax, order: pd.DataFrame) -> None:
    """Every second family on a grey band."""
    ends = order.groupby("family", sort=False).size().cumsum()
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if number % 2:
            ax.axvspan(start - 0.5, end - 0.5, color="0.93", zorder=0)
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.grid(axis="x", visible=False)


def cost(tables: dict[str, pd.DataFrame]):
    """mAP in the mixed pool and across languages against training seconds; a dot a method: mAP as mean over seeds, time of the fastest
    seed, as a worker's first training also reads and tokenises (many_scores, many_cost).
    """
    scores = tables["many_scores"].query("query_language == 'macro' and metric == 'mAP'")
    seconds = tables["many_cost"].groupby("strategy")["seconds"].min()
    figure, axes = new_figure(1, 2, width=3.9, height=3.0, sharex=True)
    for ax, setting in zip(axes[0], ("cross-lingual", "multilingual"), strict=True):
        means = scores[scores["setting"] == setting].groupby("strategy")["value"].mean()
        for name in in_order(seconds.index):
            ax.plot(seconds[name], means[name], "o", color=COLOURS.get(name), ms=6, mec="black", mew=0.4, label=name)
        ax.set(xlabel="training, seconds (fastest seed)", ylabel=f"{SETTINGS[setting]} mAP", ylim=(0, None), xlim=(0, None))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=7)
    return figure


def growth(tables: dict[str, pd.DataFrame]):
    """Seconds of each step, and hybrid's mAP on the languages that all sets hold, by number of languages (many_growth)."""
    table = tables["many_growth"]
    figure, axes = new_figure(1, 2, width=3.7, height=2.7)
    steps = {
        "preparation_seconds": ("preparing pairs", "s"),
        "training_seconds": ("training", "o"),
        "evaluation_seconds": ("evaluating", "^"),
    }
    means, fastest = (table.groupby("languages").agg(how, numeric_only=True) for how in ("mean", "min"))
    for column, (name, marker) in steps.items():
        axes[0, 0].plot(fastest.index, fastest[column], f"{marker}-", color="0.25", mfc="white", label=name)
    axes[0, 0].set(xlabel="languages", ylabel="seconds (fastest seed)", ylim=(0, None), xticks=list(means.index))
    axes[0, 0].legend(frameon=False, fontsize=7)
    for (setting, short), style in zip(SETTINGS.items(), ("-", "--", ":"), strict=True):
        low, high = (table.groupby("languages")[setting].agg(end) for end in ("min", "max"))
        axes[0, 1].plot(means.index, means[setting], f"o{style}", color=COLOURS["hybrid"], ms=4, label=short)
        axes[0, 1].fill_between(means.index, low, high, color=COLOURS["hybrid"], alpha=0.15)
    axes[0, 1].set(
        xlabel="languages trained on", ylabel=f"hybrid, mAP on the same {means.index.min()}", ylim=(0, 1.02), xticks=list(means.index)
    )
    axes[0, 1].legend(frameon=False, fontsize=7)
    return figure
