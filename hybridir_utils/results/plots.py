"""Figures of notebooks 01-04, each a function of result tables; the register of figures names them."""

from __future__ import annotations

from itertools import product

import pandas as pd

from ..experiment.evaluation import REFERENCE, UNTRAINED
from .paper import in_our_names
from .style import COLOURS, SHORT_SETTINGS, bars, handle, heat, in_order, label, legend_below, new_figure, note_figure, panels
from .tables import METHODS, fitted_on_pool, macro, of_encoders, trained

LINES = {"BM25": "--", "random": ":"}
MARKS = dict(zip(METHODS, "os^Dv", strict=True))
PAPER_MARKS = {"XLM-R": "D", "LaBSE": "^"}  # the paper's encoders
PAPER_CELL = ["model", "strategy", "setting"]  # a mean over languages for each
BESIDE = ("none", "centring")
MEASURES = (*((setting, "mAP") for setting in SHORT_SETTINGS), ("multilingual", "rank distance"))
STEPS = ("translated", "accepted", "without leaks", "enough for a batch", "for training")
SPLITS = {"train": "training batches", "mono": "validation, within a language", "cross": "validation, across languages"}
VECTORS = {
    "alignment_gap": "cosine of translations minus others",
    "translation_accuracy": "translation retrieval accuracy",
    "language_identity": "accuracy of a linear language probe",
    "uniformity": "uniformity (lower is more uniform)",
}


def scores(table: pd.DataFrame):
    """mAP of every strategy in each setting: a dot a seed, a bar for the mean, lines for BM25 and random order."""
    table = macro(table)
    figure, drawn = panels(dict.fromkeys(table["task"]), sorted(of_encoders(table)["base"].unique()), width=3.9, height=2.5, sharey="row")
    for ax, task, base in drawn:
        rows = table[table["task"] == task]
        bars(ax, rows[rows["base"] == base], "setting", list(SHORT_SETTINGS))
        _lines(ax, rows[rows["base"] == REFERENCE].set_index(["strategy", "setting"])["value"])
        ax.set(title=f"{task}, from {base}", ylabel="mAP, macro average", ylim=(0, 1.02))
    legend_below(figure, drawn[0][0], 4)
    return figure


def _settings(there) -> list[str]:
    """Of the settings those that a pool has: one of a single language has no cross-lingual one."""
    return [setting for setting in SHORT_SETTINGS if setting in there]


def _lines(ax, values: pd.Series) -> None:
    for (name, style), (i, setting) in product(LINES.items(), enumerate(SHORT_SETTINGS)):
        value = values.get((name, setting), float("nan"))
        ax.plot([i - 0.42, i + 0.42], [value] * 2, style, color=COLOURS[name], lw=1, label=name if i == 0 else None)


def languages(table: pd.DataFrame):
    """mAP by question language in each setting, mean over seeds, first task (scores)."""
    task, table = table["task"].iloc[0], trained(table.query("query_language != 'macro' and metric == 'mAP'"))
    means = table[table["task"] == task].groupby(["base", "setting", "strategy", "query_language"])["value"].mean()
    figure, drawn = panels(
        sorted(table["base"].unique()), _settings(means.index.unique("setting")), width=3.1, height=2.2, sharey=True, sharex=True
    )
    for ax, base, setting in drawn:
        for strategy in in_order(means[base, setting].index.unique("strategy")):
            line = means[base, setting, strategy]
            ax.plot(line.index, line, "o-", ms=3, lw=0.8, color=COLOURS.get(strategy), label=strategy)
        ax.set(title=f"{base}: {setting}", xlabel="question language", ylabel="mAP", ylim=(0, 1.02))
    legend_below(figure, drawn[0][0], 6)
    figure.suptitle(f"{task}, mean over seeds", fontsize=9)
    return figure


def heatmap(table: pd.DataFrame):
    """mAP of question language x answer language in the mixed pool without the other languages' answers (heat)."""
    bases, strategies = sorted(table["base"].unique()), in_order(table["strategy"])
    figure, drawn = panels(bases, strategies, width=2.4, height=2.4, sharey=True, sharex=True)
    for ax, base, strategy in drawn:
        rows = table[(table["base"] == base) & (table["strategy"] == strategy)]
        heat(ax, rows.pivot(index="query_language", columns="candidate_language", values="value"), "mAP", vmin=0, vmax=1, cmap="viridis")
        label(ax, "answer language", "question language", f"{strategy}, from {base}")
    return figure


def rank_distance(table: pd.DataFrame):
    """Share of questions whose rank distance is at most x, seeds pooled (distances: percentiles 0..100)."""
    table = table.sort_values("percentile", kind="stable")
    bases = sorted(of_encoders(table)["base"].unique())
    figure, drawn = panels(dict.fromkeys(table["task"]), bases, width=3.9, height=2.3, sharey=True, sharex="row")
    for ax, task, base in drawn:
        rows = table[(table["task"] == task) & table["base"].isin([base, REFERENCE])]
        for strategy in in_order(rows["strategy"]):
            one, style = rows[rows["strategy"] == strategy], LINES.get(strategy, "-")
            ax.plot(one["rank_distance"], one["percentile"] / 100, style, color=COLOURS.get(strategy), label=strategy, lw=1.2)
        ax.set(xscale="log")
        label(ax, "rank distance (ranks, log scale; left is better)", "share of questions", f"{task}, from {base}")
    legend_below(figure, drawn[0][0], 8)
    return figure


def language_share(table: pd.DataFrame):
    """Share of the top 10 that is in the question's language, against that language's share of the pool; first task (bias)."""
    import seaborn as sns

    task = table["task"].iloc[0]
    by_language = table[(table["query_language"] != "macro") & (table["task"] == task)]
    pool = by_language[by_language["measure"] == "same-language pool share"].groupby("query_language")["value"].mean()
    table = of_encoders(by_language[by_language["measure"] == "same-language share@10"])
    figure, drawn = panels([task], sorted(table["base"].unique()), width=4.2, height=2.5, sharey=True)
    for ax, _, base in drawn:
        rows, is_first = table[table["base"] == base], ax is drawn[0][0]
        look = {"hue_order": in_order(rows["strategy"]), "palette": COLOURS, "size": 3, "dodge": True, "jitter": False}  # same each time
        sns.stripplot(rows, x="query_language", y="value", hue="strategy", ax=ax, legend=is_first, **look)
        ticks = [tick.get_text() for tick in ax.get_xticklabels()]
        ax.plot(range(len(ticks)), pool.reindex(ticks), "k_", ms=14, label="share of the pool")
        ax.set(title=f"{task}, from {base}", xlabel="question language", ylabel="same-language share, top 10", ylim=(0, 1.02))
    legend_below(figure, drawn[0][0], 8)
    drawn[0][0].get_legend().remove()
    return figure


def map(table: pd.DataFrame):
    """First two principal components of parallel questions and passages by language, one seed (map)."""
    import seaborn as sns

    bases, strategies, languages = sorted(table["base"].unique()), in_order(table["strategy"]), sorted(table["language"].unique())
    figure, drawn = panels(bases, strategies, width=2.3, height=2.3)
    palette = dict(zip(languages, sns.color_palette("husl", len(languages)), strict=True))
    for ax, base, strategy in drawn:
        rows = table[(table["base"] == base) & (table["strategy"] == strategy)]
        for kind, marker, width in (("question", "o", 0), ("passage", "x", 0.7)):
            some = rows[rows["kind"] == kind]
            ax.scatter(some["x"], some["y"], s=7, marker=marker, c=some["language"].map(palette).tolist(), linewidths=width)
        ax.set(title=f"{strategy}, from {base}", xticks=[], yticks=[])
    drawn[-len(strategies)][0].set(xlabel="first principal component", ylabel="second principal component")
    handles = [handle(language, "o", colour) for language, colour in palette.items()]
    legend_below(figure, [*handles, handle("question", "o", "grey"), handle("passage", "x", "grey")], 13)
    return figure


def debiasing(table: pd.DataFrame):
    """mAP per setting with each training-free method fitted on the pool, mean over seeds (debiasing; `none` is the encoder itself)."""
    table = fitted_on_pool(table).query("metric == 'mAP'")
    means = table.groupby(["base", "setting", "strategy", "method"])["value"].mean()
    strategies = in_order(table["strategy"])
    figure, drawn = panels(sorted(table["base"].unique()), SHORT_SETTINGS, width=3.1, height=2.1, sharex=True)
    for ax, base, setting in drawn:
        for (i, strategy), (j, (method, marker)) in product(enumerate(strategies), enumerate(MARKS.items())):
            value = means.get((base, setting, strategy, method), float("nan"))
            ax.plot(i + 0.15 * (j - 2), value, marker, ms=4, color=COLOURS.get(strategy), mec="black", mew=0.4)
        ax.set_xticks(range(len(strategies)), strategies, fontsize=7)
        label(ax, "", "mAP", f"{base}: {setting}")
    legend_below(figure, [handle(name, marker, "grey") for name, marker in MARKS.items()], 5)
    return figure


def beside_a_mean(table: pd.DataFrame):
    """Mo., Cr., Mul. mAP and rank distance of every strategy, as it is and with each language's mean taken off its vectors; beside them the
    paper's encoders, where it has the task (debiasing, centring fitted on the pool, languages of questions given).
    """
    table, published = fitted_on_pool(table), in_our_names().query("metric in ['mAP', 'rank distance']")
    table, published = table[table["method"].isin(BESIDE)], published[published["task"].isin(table["task"])]
    if table.empty:
        return note_figure("No method without training was tried.")
    strategies = [UNTRAINED, *in_order(set(table["strategy"]) - {UNTRAINED})]
    figure, drawn = panels(sorted(table["base"].unique()), MEASURES, width=2.3, height=2.5)
    maps = [*table.loc[table["metric"] == "mAP", "value"], *published.loc[published["metric"] == "mAP"].groupby(PAPER_CELL)["value"].mean()]
    for ax, base, (setting, metric) in drawn:
        rows, theirs = (part[(part["setting"] == setting) & (part["metric"] == metric)] for part in (table, published))
        _beside(ax, rows[rows["base"] == base], theirs, strategies)
        if metric == "mAP":  # one scale: a hundredth is as high in each setting
            ax.set_ylim(min(maps) - 0.03, max(maps) + 0.03)
        label(ax, "", f"from {base}", f"{SHORT_SETTINGS[setting]} mAP" if metric == "mAP" else "rank distance (less is better)")
    marks = [handle("as it is", "o", "grey"), handle("centred", "s", "grey", mfc="white")]
    marks += [handle(f"paper: {model}", marker, "black", mfc="none", ms=4) for model, marker in PAPER_MARKS.items() if len(published)]
    legend_below(figure, marks, len(marks))
    figure.suptitle(f"{table['task'].iloc[0]}; lines join means, small dots are seeds", fontsize=8)
    return figure


def _beside(ax, rows: pd.DataFrame, theirs: pd.DataFrame, strategies: list[str]) -> None:
    for i, strategy in enumerate(strategies):
        colour, own = COLOURS.get(strategy), rows[rows["strategy"] == strategy]
        means = own.groupby("method")["value"].mean().reindex(list(BESIDE))
        ax.plot([i - 0.14, i + 0.14], means, "-", color=colour, lw=1)
        for x, method, inside in ((i - 0.14, "none", colour), (i + 0.14, "centring", "white")):
            seeds = own.loc[own["method"] == method, "value"]
            ax.plot([x] * len(seeds), seeds, ".", ms=2, color="black", zorder=3)
            ax.plot([x], means[[method]], MARKS[method], ms=6, color=colour, mfc=inside)
        for model, marker in PAPER_MARKS.items():
            value = theirs.loc[(theirs["model"] == model) & (theirs["strategy"] == strategy), "value"].mean()
            ax.plot([i + 0.32], [value], marker, ms=4, color="black", mfc="none", mew=0.7)
    ax.set_xticks(range(len(strategies)), strategies, fontsize=7, rotation=20)
    ax.grid(axis="x", visible=False)


def alignment(table: pd.DataFrame):
    """Alignment gap, translation accuracy and language identity of the questions' vectors, one seed (alignment)."""
    figure, drawn = panels([""], VECTORS, width=2.5, height=2.4)
    for ax, _, measure in drawn:
        bars(ax, table[table["measure"] == measure], "base", sorted(table["base"].unique()))
        ax.set_title(VECTORS[measure], fontsize=8)
    legend_below(figure, drawn[0][0], 8)
    return figure


def coverage(table: pd.DataFrame):
    """Pairs per language after each step of the preparation (coverage: language, step, pairs)."""
    import seaborn as sns

    steps = [step for step in STEPS if step in set(table["step"])]
    figure, axes = new_figure(width=7, height=2.8)
    ax = axes[0, 0]
    sns.barplot(table, x="language", y="pairs", hue="step", hue_order=steps, palette="crest", ax=ax)
    ax.set(xlabel="language", ylabel="pairs", ylim=(0, table["pairs"].max() * 1.25))
    ax.legend(title="", ncols=len(steps), loc="upper center", frameon=False)
    return figure


def lengths(table: pd.DataFrame):
    """Length of questions and passages in characters (lengths: language, part, q05, q25, q50, q75, q95, n)."""
    figure, axes = new_figure(columns=2, width=3.8, height=2.6)
    for ax, part in zip(axes[0], ("question", "passage"), strict=True):
        rows = table[table["part"] == part]
        boxes = [{"label": r.language, "whislo": r.q05, "q1": r.q25, "med": r.q50, "q3": r.q75, "whishi": r.q95} for r in rows.itertuples()]
        ax.bxp(boxes, showfliers=False, patch_artist=True, boxprops={"facecolor": "#cfe3f3"}, medianprops={"color": "#0072B2"})
        ax.set(xlabel="language", ylabel=f"{part} length (characters)", ylim=(0, None))
        ax.set_title(f"{part}s: box 25-75 %, whiskers 5-95 % (n = {rows['n'].sum():,})", fontsize=8)
    return figure


def rejections(table: pd.DataFrame):
    """Pairs refused per language and check (rejections: language, check, pairs)."""
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


def batches(table: pd.DataFrame):
    """Question language x passage language share of each strategy's pairs, realised (language_shares)."""
    figure, drawn = panels([""], in_order(table["strategy"]), width=2.5, height=2.7, sharey=True)
    top = table.loc[table["strategy"] != "En-En", "realised"].max()
    for ax, _, strategy in drawn:
        rows = table[table["strategy"] == strategy]
        wide = 100 * rows.pivot(index="question_language", columns="passage_language", values="realised")
        heat(ax, wide, "% of pairs", vmin=0, vmax=100 * top, cmap="viridis")
        off = (rows["realised"] - rows["planned"]).abs().max()
        label(ax, "passage language", "question language", f"{strategy}\nplan met within {100 * off:.1f} points")
    return figure


def losses(table: pd.DataFrame):
    """Training loss and validation losses over the steps, mean and range over seeds (losses)."""
    splits = [split for split in SPLITS if split in set(table["split"])]
    figure, drawn = panels(sorted(table["base"].unique()), splits, width=3.3, height=2.2, sharex=True)
    for ax, base, split in drawn:
        _bands(ax, table[(table["base"] == base) & (table["split"] == split)])
        ax.set(title=f"{base}: {SPLITS[split]}", xlabel="step", ylabel="InfoNCE loss (nats)")
    drawn[0][0].legend(frameon=False, fontsize=7)
    return figure


def _bands(ax, table: pd.DataFrame) -> None:
    for strategy in in_order(table["strategy"]):
        by_step = table[table["strategy"] == strategy].groupby("step")["loss"]
        mean = by_step.mean()
        ax.plot(mean.index, mean, color=COLOURS.get(strategy), label=strategy)
        ax.fill_between(mean.index, by_step.min(), by_step.max(), color=COLOURS.get(strategy), alpha=0.2, lw=0)
