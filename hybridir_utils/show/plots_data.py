"""Figures of notebooks 01 and 02: what the pairs and the batches hold, how the losses fall."""

from __future__ import annotations

import pandas as pd

from .style import COLOURS, in_order, new_figure

STEPS = ("translated", "accepted", "without leaks", "enough for a batch", "for training")


def coverage(tables: dict[str, pd.DataFrame]):
    """Pairs per language after each step of the preparation (coverage: language, step, pairs)."""
    import seaborn as sns

    table = tables["coverage"]
    steps = [step for step in STEPS if step in set(table["step"])]
    figure, axes = new_figure(width=7, height=2.8)
    ax = axes[0, 0]
    sns.barplot(table, x="language", y="pairs", hue="step", hue_order=steps, palette="crest", ax=ax)
    ax.set(xlabel="language", ylabel="pairs", ylim=(0, table["pairs"].max() * 1.25))
    ax.legend(title="", ncols=len(steps), loc="upper center", frameon=False)
    return figure


def lengths(tables: dict[str, pd.DataFrame]):
    """Length of questions and passages in characters (lengths: language, part, q05, q25, q50, q75, q95, n)."""
    table = tables["lengths"]
    figure, axes = new_figure(columns=2, width=3.8, height=2.6)
    for ax, part in zip(axes[0], ("question", "passage"), strict=True):
        rows = table[table["part"] == part]
        boxes = [{"label": r.language, "whislo": r.q05, "q1": r.q25, "med": r.q50, "q3": r.q75, "whishi": r.q95} for r in rows.itertuples()]
        ax.bxp(boxes, showfliers=False, patch_artist=True, boxprops={"facecolor": "#cfe3f3"}, medianprops={"color": "#0072B2"})
        ax.set(xlabel="language", ylabel=f"{part} length (characters)", ylim=(0, None))
        ax.set_title(f"{part}s: box 25-75 %, whiskers 5-95 % (n = {rows['n'].sum():,})", fontsize=8)
    return figure


def rejections(tables: dict[str, pd.DataFrame]):
    """Pairs refused per language and check (rejections: language, check, pairs)."""
    table = tables["rejections"]
    figure, axes = new_figure(width=7, height=2.6)
    ax = axes[0, 0]
    if table.empty:
        ax.text(0.5, 0.5, "no pair was rejected", ha="center", transform=ax.transAxes)
        return figure
    wide = table.pivot(index="language", columns="check", values="pairs").fillna(0)
    wide.plot.bar(stacked=True, ax=ax, colormap="cividis", width=0.8, rot=0)
    ax.set(xlabel="language", ylabel="rejected texts")
    ax.set_ylim(0, wide.sum(axis=1).max() * 1.2)
    ax.legend(title="", frameon=False, loc="upper center", ncols=len(wide.columns))
    return figure


def batches(tables: dict[str, pd.DataFrame]):
    """Question language x passage language share of each strategy's pairs, realised (language_shares)."""
    import seaborn as sns

    table = tables["language_shares"]
    strategies = in_order(table["strategy"])
    figure, axes = new_figure(columns=len(strategies), width=2.5, height=2.7, sharey=True)
    top = table.loc[table["strategy"] != "En-En", "realised"].max()
    for ax, strategy in zip(axes[0], strategies, strict=True):
        rows = table[table["strategy"] == strategy]
        wide = 100 * rows.pivot(index="question_language", columns="passage_language", values="realised")
        sns.heatmap(
            wide,
            ax=ax,
            vmin=0,
            vmax=100 * top,
            cmap="viridis",
            cbar=ax is axes[0, -1],
            square=True,
            cbar_kws={"label": "% of pairs", "shrink": 0.7},
        )
        off = (rows["realised"] - rows["planned"]).abs().max()
        ax.set_title(f"{strategy}\nplan met within {100 * off:.1f} points", fontsize=8)
        ax.set(xlabel="passage language", ylabel="question language" if ax is axes[0, 0] else "")
        ax.tick_params(labelsize=6)
    return figure


def losses(tables: dict[str, pd.DataFrame]):
    """Training loss and validation losses over the steps, mean and range over seeds (losses)."""
    table = tables["losses"]
    titles = {"train": "training batches", "mono": "validation, within a language", "cross": "validation, across languages"}
    bases, splits = sorted(table["base"].unique()), [split for split in titles if split in set(table["split"])]
    figure, axes = new_figure(len(bases), len(splits), width=3.3, height=2.2, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, split in zip(row, splits, strict=True):
            _bands(ax, table[(table["base"] == base) & (table["split"] == split)])
            ax.set(title=f"{base}: {titles[split]}", xlabel="step", ylabel="InfoNCE loss (nats)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    return figure


def _bands(ax, table: pd.DataFrame) -> None:
    for strategy in in_order(table["strategy"]):
        by_step = table[table["strategy"] == strategy].groupby("step")["loss"]
        mean = by_step.mean()
        ax.plot(mean.index, mean, color=COLOURS.get(strategy), label=strategy)
        ax.fill_between(mean.index, by_step.min(), by_step.max(), color=COLOURS.get(strategy), alpha=0.2, lw=0)
