"""Figures of notebooks 01-04, each a function of result tables; the register of figures names them."""

from __future__ import annotations

import textwrap
from itertools import product

import pandas as pd

from ..experiment.evaluation import REFERENCE, UNTRAINED
from ..rank.debiasing import NOT_USED
from .paper import in_our_names
from .style import (
    BACKED,
    CODES,
    COLOURS,
    SHORT_SETTINGS,
    Nothing,
    bars,
    from_zero,
    handle,
    heats,
    in_order,
    in_settings,
    label,
    legend_below,
    make_room_for_titles,
    name_languages,
    name_strategies,
    new_figure,
    panels,
)
from .tables import COMPARATOR, FITS, IDENTIFIED, LOWER_IS_BETTER, METHODS, fitted, lacking, macro, of_encoders, trained

LINES = {"BM25": "--", "random": ":"}
MARKS = dict(zip(METHODS, "os^Dv", strict=True))
PAPER_LOOKS = {  # of the paper's encoders
    model: {"marker": marker, "ms": 4, "mew": 0.8, "mec": "black", "mfc": "white", "ls": ""}
    for model, marker in (("XLM-R", "D"), ("LaBSE", "^"))
}
BESIDE = {NOT_USED: "o", "pool": "s", "training": "X"}  # text whose means are taken off -> mark
MEASURES = (*((setting, "mAP") for setting in SHORT_SETTINGS), ("multilingual", "rank distance"))
STEPS = ("translated", "accepted", "without leaks", "enough for a batch", "for training")
SPLITS = {"train": "training batches", "mono": "validation, within a language", "cross": "validation, across languages"}
VECTORS = {
    "alignment_gap": "cosine of translations minus others",
    "translation_accuracy": "translation retrieval accuracy",
    "language_identity": "accuracy of a linear language probe",
    "uniformity": "uniformity (lower is more uniform)",
}
INTERVALS = {"over questions": 3.2, "over training seeds": 0.9}  # widths of the lines of 95 % intervals


def scores(table: pd.DataFrame):
    """mAP of every strategy in each setting: a dot a seed, a bar for the mean, lines for BM25 and random order; the paper's beside."""
    table = macro(table)
    published = _published("mAP")
    figure, drawn = panels(dict.fromkeys(table["task"]), sorted(of_encoders(table)["base"].unique()), most=2, height=2.4, sharey="row")
    for ax, task, base in drawn:
        rows = table[table["task"] == task]
        papers = published[task] if task in published else published[:0].droplevel("task")
        marks = papers.groupby(level=["setting", "strategy"]).agg(list).to_dict()
        places = bars(ax, rows[rows["base"] == base], "setting", list(SHORT_SETTINGS), marks)
        _lines(ax, rows[rows["base"] == REFERENCE].set_index(["strategy", "setting"])["value"])
        for ((setting, strategy), x), (model, look) in product(places.items(), PAPER_LOOKS.items()):
            ax.plot([x], [papers.get((setting, strategy, model))], **look)
        ax.set_xticks(range(len(SHORT_SETTINGS)), [counted(rows, setting) for setting in SHORT_SETTINGS])
        ax.set(title=f"{task}, from {base}", ylabel="mAP, macro average")
    legend_below(figure, [*drawn[0][0].get_legend_handles_labels()[0], *_paper_handles(table["task"])])
    return figure


def counted(table: pd.DataFrame, setting: str) -> str:
    """The setting, and over how many languages, or pairs of them, its macro averages go."""
    n = table.loc[table["setting"] == setting, "n"].max()
    return f"{setting}\nn = {n:,.0f} {'pairs of ' if setting == 'cross-lingual' else ''}languages" if n > 0 else setting


def _published(metric: str) -> pd.Series:
    """The paper's means over languages: (task, setting, strategy, model) -> value."""
    return in_our_names().query("metric == @metric").groupby(["task", "setting", "strategy", "model"])["value"].mean()


def _paper_handles(tasks) -> list:
    there = set(_published("mAP").index.unique("task")) & set(tasks)
    return [handle(f"paper: {model}", colour=None, **look) for model, look in PAPER_LOOKS.items() if there]


def _lines(ax, values: pd.Series) -> None:
    for (name, style), (i, setting) in product(LINES.items(), enumerate(SHORT_SETTINGS)):
        value = values.get((name, setting), float("nan"))
        ax.plot([i - 0.42, i + 0.42], [value] * 2, style, color=COLOURS[name], lw=1, label=name if i == 0 else None)


def differences(tests: pd.DataFrame):
    """What was tested of every strategy minus hybrid's, the first of several measures, with 95 % intervals over questions and over seeds
    (tests).
    """
    rows = tests[tests["baseline"] == "hybrid"].astype({"mean_difference": float})
    if rows.empty:
        raise Nothing
    measure, there = rows["measure"].iloc[0], dict.fromkeys(rows["setting"])
    rows, less = rows[rows["measure"] == measure], measure in LOWER_IS_BETTER
    cases, settings = list(dict.fromkeys(zip(rows["task"], rows["base"], strict=True))), in_settings(there) or [*there]
    names = in_order(rows["strategy"])
    figure, drawn = panels(cases, settings, height=0.19 * len(names) + 0.5, sharey=True, sharex="row")
    for ax, (task, base), setting in drawn:
        part = rows[(rows["task"] == task) & (rows["base"] == base) & (rows["setting"] == setting)]
        name_strategies(ax, names)
        ax.axvline(0, color=COLOURS["hybrid"], lw=1.2)
        _intervals(ax, part, names)
        n = f"n = {part['n_groups'].max():,} groups" if len(part) else "not tested"
        ax.locator_params(axis="x", nbins=5)
        title = f"{task}, from {base}\n{SHORT_SETTINGS.get(setting, setting)}, {n}"
        label(ax, f"{'ranks' if less else measure} minus hybrid's", "", title)
    make_room_for_titles(figure)
    there = [name for name, end in zip(INTERVALS, ("low", "seed_low"), strict=True) if rows[end].notna().any()]
    lines = [handle(f"95 % {name}", "", "grey", ls="-", lw=INTERVALS[name]) for name in there]
    legend_below(figure, lines, title=f"{'left' if less else 'right'} of the green line: better than hybrid")
    return figure


def _intervals(ax, part: pd.DataFrame, names: list[str]) -> None:
    """A dot a strategy, with its intervals over questions and over seeds, at its name's place."""
    for row in part.itertuples():
        place, colour = names.index(row.strategy), COLOURS.get(row.strategy)
        for ends, width in zip(((row.low, row.high), (row.seed_low, row.seed_high)), INTERVALS.values(), strict=True):
            ax.plot(ends, [place, place], "-", color=colour, lw=width, solid_capstyle="butt")
        ax.plot(row.mean_difference, place, "o", color=colour, ms=4.5, mec="black", mew=0.5)


def languages(table: pd.DataFrame):
    """mAP by question language in each setting, mean over seeds, first task (scores)."""
    task, table = table["task"].iloc[0], trained(table.query("query_language != 'macro' and metric == 'mAP'"))
    means = table[table["task"] == task].groupby(["base", "setting", "strategy", "query_language"])["value"].mean()
    codes = sorted(means.index.unique("query_language"))
    grid = sorted(table["base"].unique()), in_settings(means.index.unique("setting"))
    figure, drawn = panels(*grid, most=max(1, CODES // len(codes)), height=2.0, sharey=True)
    for ax, base, setting in drawn:
        for strategy in in_order(means[base, setting].index.unique("strategy")):
            line = means[base, setting, strategy].reindex(codes)
            ax.plot(range(len(codes)), line, "o-", ms=3, lw=0.8, color=COLOURS.get(strategy), label=strategy)
        name_languages(ax, codes)
        label(ax, "question language", "mAP", f"{setting}, from {base}")
    legend_below(figure)
    figure.suptitle(f"{task}, mean over seeds")
    return figure


def heatmap(table: pd.DataFrame, scores: pd.DataFrame):
    """mAP of question language x answer language in the mixed pool without the other languages' answers, mean over seeds, first task
    (heat; its name: scores).
    """
    wide = {
        (base, strategy): (f"{strategy}, from {base}", rows.pivot(index="query_language", columns="candidate_language", values="value"))
        for base, of_base in table.groupby("base")
        for strategy in in_order(of_base["strategy"])
        if len(rows := of_base[of_base["strategy"] == strategy])
    }
    top = table["value"].max()
    figure = heats(wide, f"mAP, 0 to the highest, {top:.3f}", ("answer language", "question language"), vmin=0, vmax=top, cmap="viridis")
    figure.suptitle(f"{scores['task'].iloc[0]}, mean over seeds")
    return figure


def rank_distance(table: pd.DataFrame):
    """Share of questions whose rank distance is at most x, seeds pooled (distances: percentiles 0..100)."""
    table = table.sort_values("percentile", kind="stable")
    bases = sorted(of_encoders(table)["base"].unique())
    figure, drawn = panels(dict.fromkeys(table["task"]), bases, most=2, height=2.2, sharey=True)
    for ax, task, base in drawn:
        rows = table[(table["task"] == task) & table["base"].isin([base, REFERENCE])]
        for strategy in in_order(rows["strategy"]):
            one, style = rows[rows["strategy"] == strategy], LINES.get(strategy, "-")
            ax.plot(one["rank_distance"], one["percentile"] / 100, style, color=COLOURS.get(strategy), label=strategy, lw=1.2)
        ax.set(xscale="log")
        label(ax, "rank distance (ranks, log scale; left is better)", "share of questions", f"{task}, from {base}")
    legend_below(figure)
    return figure


def language_share(table: pd.DataFrame):
    """Share of the top 10 that is in the question's language, against that language's share of the pool; first task (bias)."""
    task = table["task"].iloc[0]
    by_language = table[(table["query_language"] != "macro") & (table["task"] == task)]
    pool = by_language[by_language["measure"] == "same-language pool share"].groupby("query_language")["value"].mean()
    table = of_encoders(by_language[by_language["measure"] == "same-language share@10"])
    codes, names = sorted(table["query_language"].unique()), in_order(table["strategy"])
    figure, drawn = panels([task], sorted(table["base"].unique()), most=2 if len(codes) <= 15 else 1, height=2.4, sharey=True)
    for ax, _, base in drawn:
        for j, name in enumerate(names):
            rows = table[(table["base"] == base) & (table["strategy"] == name)]
            x = [codes.index(code) + 0.8 * ((j + 0.5) / len(names) - 0.5) for code in rows["query_language"]]
            ax.plot(x, rows["value"], "o", ms=3, color=COLOURS.get(name), label=name)
        ax.plot(range(len(codes)), pool.reindex(codes), "k_", ms=14, label="share of the pool")
        name_languages(ax, codes)
        ax.set_ylim(0, 1.02)
        label(ax, "question language", "same-language share, top 10", f"{task}, from {base}")
    legend_below(figure)
    return figure


def map(table: pd.DataFrame):
    """First two principal components of parallel questions and passages by language, one seed (map)."""
    import seaborn as sns

    table = table.dropna(subset=["x", "y"])
    bases, strategies, languages = sorted(table["base"].unique()), in_order(table["strategy"]), sorted(table["language"].unique())
    figure, drawn = panels(bases, strategies, most=3, height=2.6)
    hues = (sns.husl_palette(len(languages), l=light) for light in (0.45, 0.75))  # neighbours differ in lightness, too
    palette = {language: (dark, light)[i % 2] for i, (language, dark, light) in enumerate(zip(languages, *hues, strict=True))}
    for ax, base, strategy in drawn:
        rows = table[(table["base"] == base) & (table["strategy"] == strategy)]
        for kind, marker, width in (("question", "o", 0), ("passage", "x", 0.9)):
            some = rows[rows["kind"] == kind]
            ax.scatter(some["x"], some["y"], s=10, marker=marker, c=some["language"].map(palette).tolist(), linewidths=width)
        ax.set(xticks=[], yticks=[])
        label(ax, "first component", "second component", f"{strategy}, from {base}")
    handles = [handle(language, "o", colour) for language, colour in palette.items()]
    legend_below(figure, [*handles, handle("question", "o", "grey"), handle("passage", "x", "grey")])
    return figure


def debiasing(table: pd.DataFrame):
    """What each training-free method changes in mAP, fitted on the pool and on training passages, mean and range over seeds; at the right
    mAP of the encoder as it is (debiasing; `none` is the encoder itself).
    """
    table = fitted(table, *FITS, identified=True).query("metric == 'mAP'")
    wide = table.pivot_table(index=["base", "setting", "strategy", "seed"], columns=COMPARATOR, values="value")
    plain = wide["none"].iloc[:, 0]
    changed, names = wide.drop(columns="none").sub(plain, axis=0), in_order(table["strategy"])
    grid = sorted(table["base"].unique()), in_settings(table["setting"])
    figure, drawn = panels(*grid, height=0.33 * len(names) + 0.8, sharey=True)
    for ax, base, setting in drawn:
        name_strategies(ax, names)
        for i, name in enumerate(names):
            if (base, setting, name) in changed.index:
                _changes(ax, i, changed.loc[base, setting, name].dropna(axis=1, how="all"), COLOURS.get(name))
                ax.text(1.02, i, f"{plain[base, setting, name].mean():.3f}", fontsize=7, va="center", transform=ax.get_yaxis_transform())
        ax.axvline(0, color="grey", lw=1)
        ax.locator_params(axis="x", nbins=5)
        label(ax, "change of mAP", "", f"{setting}, from {base}")
    marks = [handle(METHODS[name], marker, "grey") for name, marker in MARKS.items() if name in changed]
    marks += [handle(f"open: fitted on {text}", "s", "grey", mfc="white") for text in _other_text(table)]
    marks += [handle("languages of questions identified", ".", "black", ms=2)] * (IDENTIFIED in set(table["question_language"]))
    seeds = table.groupby(["base", "strategy"])["seed"].nunique().max()
    spread = "lines: range over seeds" if seeds > 1 else "one seed"
    legend_below(figure, marks, title=f"{spread}; at the right: mAP of the encoder as it is")
    figure.suptitle(table["task"].iloc[0])
    return figure


def _changes(ax, place: int, changed: pd.DataFrame, colour: str | None) -> None:
    """The methods of one strategy below each other, one fitted on other text than the pool open, at the same height."""
    methods = [name for name in MARKS if name in changed]
    for (method, text, languages), values in changed.items():
        y = place + 0.7 * ((methods.index(method) + 0.5) / len(methods) - 0.5)
        if languages == IDENTIFIED:
            ax.plot(values.mean(), y, ".", ms=2, color="black", zorder=4)
            continue
        look = {"mec": "black", "mew": 0.4} if text == "pool" else {"mfc": "white", "mew": 0.8, "zorder": 3}
        ax.plot([values.min(), values.max()], [y, y], "-", color=colour, lw=1)
        ax.plot(values.mean(), y, MARKS[method], ms=4, color=colour, **look)


def _other_text(table: pd.DataFrame) -> list[str]:
    """What text methods are fitted on beside the pool, with the languages that it lacks; nothing where they are fitted on none."""
    without = f" (none in {', '.join(there)})" if (there := lacking(table)) else ""
    return [f"{FITS['training']}{without}"] if "training" in set(table["fitted_on"]) else []


def beside_a_mean(table: pd.DataFrame):
    """Mo., Cr., Mul. mAP and rank distance of every strategy, as it is and with each language's mean taken off its vectors; beside them the
    paper's encoders, where it has the task (debiasing, centring fitted on the pool and on training passages, languages of questions given).
    """
    table = fitted(table, *FITS)
    table = table[table["method"].isin(["none", "centring"])]
    task, names = table["task"].iloc[0], [UNTRAINED, *in_order(set(table["strategy"]) - {UNTRAINED})]
    published = {metric: _published(metric) for metric in ("mAP", "rank distance")}
    figure, drawn = panels(sorted(table["base"].unique()), MEASURES, height=0.42 * len(names) + 0.7, sharey=True)
    for ax, base, (setting, metric) in drawn:
        rows = table[(table["base"] == base) & (table["setting"] == setting) & (table["metric"] == metric)]
        name_strategies(ax, names)
        ax.margins(x=0.1)
        ax.locator_params(axis="x", nbins=6)
        for place, name in enumerate(names):
            _beside(ax, place, rows[rows["strategy"] == name], COLOURS.get(name))
            for model, look in PAPER_LOOKS.items():
                ax.plot([published[metric].get((task, setting, name, model))], [place + 0.29], **look)
        unit = "mAP" if metric == "mAP" else "ranks, less is better"
        label(ax, unit, f"from {base}", f"{SHORT_SETTINGS[setting]} mAP" if metric == "mAP" else metric)
    marks = [
        handle("as it is", BESIDE[NOT_USED], "grey"),
        handle(f"each language's mean over {FITS['pool']} taken off", BESIDE["pool"], "grey", mfc="white"),
        *(handle(f"mean over {text} taken off", BESIDE["training"], "grey", mfc="white") for text in _other_text(table)),
        handle("a seed", ".", "black", ms=2),
    ]
    legend_below(figure, marks + _paper_handles([task]))
    figure.suptitle(task)
    return figure


def _beside(ax, place: int, rows: pd.DataFrame, colour: str | None) -> None:
    means, spots = rows.groupby("fitted_on")["value"].mean().reindex(list(BESIDE)), (place - 0.36, place - 0.14, place + 0.08)
    ax.plot(means, spots, "-", color=colour, lw=1)
    for y, (text, marker) in zip(spots, BESIDE.items(), strict=True):
        seeds = rows.loc[rows["fitted_on"] == text, "value"]
        ax.plot([means[text]], [y], marker, ms=5.5, color=colour, mfc=colour if text == NOT_USED else "white")
        ax.plot(seeds, [y] * len(seeds), ".", ms=2, color="black", zorder=3)


def alignment(table: pd.DataFrame):
    """Alignment gap, translation accuracy and language identity of the questions' vectors, one seed (alignment)."""
    figure, drawn = panels([""], VECTORS, height=2.4)
    for ax, _, measure in drawn:
        bars(ax, table[table["measure"] == measure], "base", sorted(table["base"].unique()))
        ax.set_title(textwrap.fill(VECTORS[measure], 24))
    legend_below(figure)
    return figure


def coverage(table: pd.DataFrame):
    """Pairs per language after each step of the preparation, the last one's written (coverage: language, step, pairs)."""
    steps = [step for step in STEPS if step in set(table["step"])]
    wide = table.pivot(index="language", columns="step", values="pairs")[steps].fillna(0)
    return _by_language(wide, "pairs", wide.iloc[:, -1:], wide.max(axis=1))


def rejections(table: pd.DataFrame):
    """Texts refused per language and check, each once (rejections: language, check, how many)."""
    wide = table.set_index(["language", "check"]).iloc[:, 0].unstack(fill_value=0).rename(columns=lambda check: check.replace("_", " "))
    return _by_language(wide, "rejected texts", wide.sum(axis=1).to_frame("all"), wide.sum(axis=1), stacked=True)


def _by_language(wide: pd.DataFrame, what: str, numbers: pd.DataFrame, tops: pd.Series, **options):
    """Bars of each column by language, with a number on top of each language's."""
    import seaborn as sns

    figure, axes = new_figure(height=2.2)
    ax = axes[0, 0]
    wide.plot.bar(ax=ax, color=sns.color_palette("viridis", len(wide.columns)), width=0.85, legend=False, **options)
    name_languages(ax, wide.index)
    for place, (number, top) in enumerate(zip(numbers.iloc[:, 0], tops, strict=True)):
        look = {"ha": "center", "fontsize": 7, "bbox": BACKED, "zorder": 4}
        ax.annotate(f"{number:,.0f}", (place, top), xytext=(0, 3), textcoords="offset points", **look)
    ax.set(xlabel="language", ylabel=what)
    ax.margins(y=0.12)
    ax.grid(axis="x", visible=False)
    legend_below(figure, title=f"numbers: {numbers.columns[0]}")
    return figure


def lengths(table: pd.DataFrame):
    """Length of questions and passages in characters (lengths: language, part, q05, q25, q50, q75, q95, n)."""
    figure, axes = new_figure(columns=2, height=2.4)
    for ax, part in zip(axes[0], ("question", "passage"), strict=True):
        rows = table[table["part"] == part]
        boxes = [{"whislo": r.q05, "q1": r.q25, "med": r.q50, "q3": r.q75, "whishi": r.q95} for r in rows.itertuples()]
        look = {"boxprops": {"facecolor": "#cfe3f3"}, "medianprops": {"color": "#0072B2"}}
        ax.bxp(boxes, positions=range(len(boxes)), showfliers=False, patch_artist=True, **look)
        name_languages(ax, rows["language"])
        ax.set(xlabel="language", ylabel=f"{part} length (characters)")
        from_zero(ax)
        ax.set_title(f"{part}s: box 25-75 %, whiskers 5-95 % (n = {rows['n'].sum():,})")
    return figure


def batches(table: pd.DataFrame):
    """Question language x passage language share of each strategy's pairs, realised; En-En's one cell is beyond the others' colours
    (language_shares).
    """
    tops = 100 * table.groupby("strategy")["realised"].max()
    top = max(tops.drop("En-En", errors="ignore"), default=100)
    name = f"% of pairs (En-En: {tops.max():.0f})" if tops.max() > top else "% of pairs"
    wide = {("", strategy): _shares(strategy, table[table["strategy"] == strategy]) for strategy in in_order(table["strategy"])}
    return heats(wide, name, ("passage language", "question language"), vmin=0, vmax=top, cmap="viridis")


def _shares(strategy: str, rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    off = (rows["realised"] - rows["planned"]).abs().max()
    wide = 100 * rows.pivot(index="question_language", columns="passage_language", values="realised")
    return f"{strategy}\n≤ {100 * off:.1f} points off plan", wide


def losses(table: pd.DataFrame):
    """Training loss and validation losses over the steps, mean and range over seeds (losses)."""
    splits = [split for split in SPLITS if split in set(table["split"])]
    figure, drawn = panels(sorted(table["base"].unique()), splits, height=2.0, sharex=True)
    for ax, base, split in drawn:
        _bands(ax, table[(table["base"] == base) & (table["split"] == split)])
        label(ax, "step", "InfoNCE loss (nats)", f"{SPLITS[split]}\nfrom {base}")
    legend_below(figure)
    return figure


def _bands(ax, table: pd.DataFrame) -> None:
    for strategy in in_order(table["strategy"]):
        by_step = table[table["strategy"] == strategy].groupby("step")["loss"]
        mean = by_step.mean()
        ax.plot(mean.index, mean, color=COLOURS.get(strategy), label=strategy)
        ax.fill_between(mean.index, by_step.min(), by_step.max(), color=COLOURS.get(strategy), alpha=0.2, lw=0)
