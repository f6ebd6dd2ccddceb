"""Figures of notebooks 01-04, each a function of result tables by name; the register of figures names them."""

from __future__ import annotations

import pandas as pd

from .style import COLOURS, SHORT_SETTINGS, handle, in_order, legend_below, new_figure, note_figure
from .tables import macro, of_encoders, trained

LINES = {"BM25": "--", "random": ":"}
METHODS = {"none": "o", "centring": "s", "lir": "^", "lsar": "D"}
STEPS = ("translated", "accepted", "without leaks", "enough for a batch", "for training")
SPLITS = {"train": "training batches", "mono": "validation, within a language", "cross": "validation, across languages"}
VECTORS = {
    "alignment_gap": "cosine of translations minus others",
    "translation_accuracy": "translation retrieval accuracy",
    "language_identity": "accuracy of a linear language probe",
    "uniformity": "uniformity (lower is more uniform)",
}


def scores(tables: dict[str, pd.DataFrame]):
    """mAP of every strategy in each setting: a dot a seed, a bar for the mean, lines for BM25 and the untrained base."""
    table = macro(tables["scores"])
    bases = sorted(of_encoders(table)["base"].unique())
    tasks = list(dict.fromkeys(table["task"]))
    figure, axes = new_figure(len(tasks), len(bases), width=3.9, height=2.5, sharey="row")
    for row, task in zip(axes, tasks, strict=True):
        for ax, base in zip(row, bases, strict=True):
            own = table[(table["task"] == task) & (table["base"] == base)]
            lines = table[(table["task"] == task) & (table["base"] == "reference")]
            _grouped_dots(ax, own, lines)
            ax.set(title=f"{task}, from {base}", ylabel="mAP, macro average", ylim=(0, 1.02))
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0], 4)
    return figure


def _grouped_dots(ax, table: pd.DataFrame, lines: pd.DataFrame) -> None:
    strategies = in_order(table["strategy"])
    width = 0.8 / len(strategies)
    for j, strategy in enumerate(strategies):
        for i, setting in enumerate(SHORT_SETTINGS):
            values = table[(table["strategy"] == strategy) & (table["setting"] == setting)]["value"]
            x = i - 0.4 + (j + 0.5) * width
            label = strategy if i == 0 else None
            ax.bar(x, values.mean(), width * 0.92, color=COLOURS.get(strategy), alpha=0.55, label=label)
            ax.plot([x] * len(values), values, "o", ms=2.2, color=COLOURS.get(strategy), mec="black", mew=0.3)
    for reference, style in LINES.items():
        for i, setting in enumerate(SHORT_SETTINGS):
            value = lines[(lines["strategy"] == reference) & (lines["setting"] == setting)]["value"]
            ax.plot([i - 0.42, i + 0.42], [value.mean()] * 2, style, color=COLOURS[reference], lw=1, label=reference if i == 0 else None)
    ax.set_xticks(range(len(SHORT_SETTINGS)), list(SHORT_SETTINGS))
    ax.grid(axis="x", visible=False)


def languages(tables: dict[str, pd.DataFrame]):
    """mAP by question language in each setting, mean over seeds, first task (scores)."""
    table = tables["scores"].query("query_language != 'macro' and metric == 'mAP'")
    task = tables["scores"]["task"].iloc[0]
    table = trained(table[table["task"] == task])
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(len(bases), 3, width=3.1, height=2.2, sharey=True, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, setting in zip(row, SHORT_SETTINGS, strict=True):
            rows = table[(table["base"] == base) & (table["setting"] == setting)]
            means = rows.groupby(["strategy", "query_language"])["value"].mean()
            for strategy in in_order(rows["strategy"]):
                ax.plot(means[strategy].index, means[strategy], "o-", ms=3, lw=0.8, color=COLOURS.get(strategy), label=strategy)
            ax.set(title=f"{base}: {setting}", xlabel="question language", ylabel="mAP", ylim=(0, 1.02))
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0], 6)
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


def rank_distances(tables: dict[str, pd.DataFrame]):
    """Share of questions whose rank distance is at most x, seeds pooled (distances: percentiles 0..100)."""
    table = tables["distances"]
    tasks, bases = list(dict.fromkeys(table["task"])), sorted(of_encoders(table)["base"].unique())
    figure, axes = new_figure(len(tasks), len(bases), width=3.9, height=2.3, sharey=True, sharex="row")
    for row, task in zip(axes, tasks, strict=True):
        for ax, base in zip(row, bases, strict=True):
            rows = table[(table["task"] == task) & table["base"].isin([base, "reference"])]
            for strategy in in_order(rows["strategy"]):
                one = rows[rows["strategy"] == strategy].sort_values("percentile")
                style = LINES.get(strategy, "-")
                ax.plot(one["rank_distance"], one["percentile"] / 100, style, color=COLOURS.get(strategy), label=strategy, lw=1.2)
            ax.set(xscale="log", title=f"{task}, from {base}", xlabel="rank distance (ranks, log scale; left is better)")
            ax.set_ylabel("share of questions" if ax is row[0] else "")
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0], 8)
    return figure


def language_share(tables: dict[str, pd.DataFrame]):
    """Share of the top 10 that is in the question's language, against that language's share of the pool (bias)."""
    import seaborn as sns

    table = tables["bias"]
    table = table[(table["measure"] == "same-language share@10") & (table["query_language"] != "macro")]
    pool = tables["bias"].query("measure == 'same-language pool share' and query_language != 'macro'")
    task = tables["bias"]["task"].iloc[0]
    table, pool = table[table["task"] == task], pool[pool["task"] == task].groupby("query_language")["value"].mean()
    bases = sorted(of_encoders(table)["base"].unique())
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
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0], 8)
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
    handles = [handle(language, "o", colour) for language, colour in palette.items()]
    legend_below(figure, [*handles, handle("question", "o", "grey"), handle("passage", "x", "grey")], 13)
    return figure


def debiasing(tables: dict[str, pd.DataFrame]):
    """mAP per setting with each training-free method, mean over seeds (debiasing; method `none` is the encoder itself)."""
    table = tables["debiasing"].query("metric == 'mAP'")
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(len(bases), 3, width=3.1, height=2.1, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, setting in zip(row, SHORT_SETTINGS, strict=True):
            rows = table[(table["base"] == base) & (table["setting"] == setting)]
            means = rows.groupby(["strategy", "method"])["value"].mean()
            for i, strategy in enumerate(in_order(rows["strategy"])):
                for j, (method, marker) in enumerate(METHODS.items()):
                    ax.plot(
                        i + 0.16 * (j - 1.5), means[strategy, method], marker, ms=4.5, color=COLOURS.get(strategy), mec="black", mew=0.4
                    )
            ax.set_xticks(range(len(in_order(rows["strategy"]))), in_order(rows["strategy"]), fontsize=7)
            ax.set(title=f"{base}: {setting}", ylabel="mAP" if ax is row[0] else "")
    legend_below(figure, [handle(name, marker, "grey") for name, marker in METHODS.items()], 4)
    return figure


def alignment(tables: dict[str, pd.DataFrame]):
    """Alignment gap, translation accuracy and language identity of the questions' vectors, one seed (alignment)."""
    table = tables["alignment"]
    bases = sorted(table["base"].unique())
    figure, axes = new_figure(1, len(VECTORS), width=2.5, height=2.4)
    for ax, (measure, title) in zip(axes[0], VECTORS.items(), strict=True):
        means = table[table["measure"] == measure].groupby(["base", "strategy"])["value"].mean()
        for i, base in enumerate(bases):
            strategies = in_order(means[base].index)
            for j, strategy in enumerate(strategies):
                x = i + 0.8 * (j + 0.5) / len(strategies) - 0.4
                ax.bar(x, means[base, strategy], 0.75 / len(strategies), color=COLOURS.get(strategy), label=strategy if i == 0 else None)
        ax.set_xticks(range(len(bases)), bases)
        ax.set_title(title, fontsize=8)
        ax.grid(axis="x", visible=False)
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0], 8)
    return figure


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
    if table.empty:
        return note_figure("No pair was rejected.")
    figure, axes = new_figure(width=7, height=2.6)
    ax = axes[0, 0]
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
    bases, splits = sorted(table["base"].unique()), [split for split in SPLITS if split in set(table["split"])]
    figure, axes = new_figure(len(bases), len(splits), width=3.3, height=2.2, sharex=True)
    for row, base in zip(axes, bases, strict=True):
        for ax, split in zip(row, splits, strict=True):
            _bands(ax, table[(table["base"] == base) & (table["split"] == split)])
            ax.set(title=f"{base}: {SPLITS[split]}", xlabel="step", ylabel="InfoNCE loss (nats)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    return figure


def _bands(ax, table: pd.DataFrame) -> None:
    for strategy in in_order(table["strategy"]):
        by_step = table[table["strategy"] == strategy].groupby("step")["loss"]
        mean = by_step.mean()
        ax.plot(mean.index, mean, color=COLOURS.get(strategy), label=strategy)
        ax.fill_between(mean.index, by_step.min(), by_step.max(), color=COLOURS.get(strategy), alpha=0.2, lw=0)
