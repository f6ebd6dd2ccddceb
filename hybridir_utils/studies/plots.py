"""Figures of the studies (notebooks 05-09), each a function of result tables; the register of figures names them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import cycle, product

import pandas as pd

from ..data.batching import SCHEDULES
from ..experiment.evaluation import REFERENCE
from ..rank.alignment import MEASURES
from ..results.findings import HYBRID
from ..results.plots import counted
from ..results.plots import differences as against_hybrid
from ..results.style import (
    BACKED,
    COLOURS,
    SHORT_SETTINGS,
    VERDICT_COLOURS,
    Nothing,
    are_shares,
    bars,
    fit_to_width,
    from_zero,
    handle,
    heats,
    in_order,
    in_settings,
    label,
    leave_room,
    legend_below,
    name_languages,
    name_strategies,
    new_figure,
    number_place,
    panels,
    written,
)
from ..results.tables import macro, of_encoders
from .claims.rules import SYMBOLS, UNTESTABLE, untestable
from .languages import per_count
from .mixing import DISTANCE, ENDS, KEPT, harder, pareto_front, traded
from .questions import COMPARED, KINDS
from .shift import alignment_kept, asked, no_share

MARKERS = dict(zip(SCHEDULES, ("^", "v", "D"), strict=True))
BASE_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
UNITS = {"mAP": "{} mAP", KEPT: "{} kept (share)", DISTANCE: "rank distance (ranks)"}
LEAST = 0.05  # of an axis, so that thousandths do not look large
BESIDE = 1.12  # where the first schedule stands on the axis of α
TITLES = {"alignment_gap": "alignment gap", "translation_accuracy": "translation retrieval accuracy"}
LINES = {"untrained": "-.", "BM25": "--", "random": ":"}
SHOWN = {"X-X-mono": "s", "X-Y": "^", "hybrid": "o", "distillation": "D"}  # more dots than these hide each other
STEPS = {"preparation_seconds": ("preparing pairs", "s"), "training_seconds": ("training", "o"), "evaluation_seconds": ("evaluating", "^")}
LABEL_WIDTH = 66  # characters of a line of a claim's statement


def curves(table: pd.DataFrame):
    """Each measure against α: line for the mean over seeds, band for their range; schedules stand to the right of the line (mixing)."""
    table = pd.concat([table[table["metric"] != KEPT], harder(table[table["metric"] == KEPT], "value")])
    rows = list(dict.fromkeys(zip(table["task"], table["metric"].where(table["metric"] == KEPT, "mAP"), strict=True)))
    columns = [(setting, SHORT_SETTINGS[setting]) for setting in in_settings(table["setting"])]
    columns += [(DISTANCE, "")] if (table["metric"] == DISTANCE).any() else []
    figure, axes = new_figure(len(rows), len(columns), height=1.9, sharex=True)
    for line, (task, metric) in zip(axes, rows, strict=True):
        for ax, (setting, short) in zip(line, columns, strict=True):
            measure = DISTANCE if setting == DISTANCE else metric
            part = table[table["task"].eq(task) & table["metric"].eq(measure) & (table["setting"].eq(setting) | (setting == DISTANCE))]
            if part.empty or (setting == DISTANCE and metric == KEPT):
                ax.set_axis_off()
                continue
            _curve(ax, part)
            title = f"{_short(task)} / {_short(rows[0][0])}" if metric == KEPT else _short(task)
            ax.set(title=textwrap.fill(title, 28), xlabel="α", ylabel=UNITS[measure].format(short))
            ax.xaxis.set_tick_params(labelbottom=True)
    _mix_legend(figure, table, "α: share of monolingual batches", "band", ls="-")
    return figure


def _short(task: str) -> str:
    """The name alone of a task that is named by its folder."""
    return task.rstrip("/").rpartition("/")[2]


def _curve(ax, part: pd.DataFrame) -> None:
    grid, ordered = part[~part["strategy"].isin(SCHEDULES)], part[part["strategy"].isin(SCHEDULES)]
    by_alpha = grid.groupby("alpha")["value"]
    ax.fill_between(by_alpha.mean().index, by_alpha.min(), by_alpha.max(), color=COLOURS["hybrid"], alpha=0.2, lw=0)
    ax.plot(by_alpha.mean().index, by_alpha.mean(), "-", color=COLOURS["hybrid"], lw=1.2, zorder=1)
    for alpha, mean in by_alpha.mean().items():
        ax.plot(alpha, mean, "o", ms=4, color=COLOURS[ENDS.get(alpha, "hybrid")])
    for place, schedule in enumerate(name for name in SCHEDULES if name in set(ordered["strategy"])):
        values, x = ordered[ordered["strategy"] == schedule]["value"], BESIDE + 0.1 * place
        ax.plot([x, x], [values.min(), values.max()], "-", color=COLOURS[schedule], lw=1)
        ax.plot(x, values.mean(), MARKERS[schedule], ms=5, color=COLOURS[schedule])
    if len(ordered):
        ax.axvline(BESIDE - 0.06, color="grey", lw=0.6)
        same = by_alpha.mean().get(ordered["alpha"].iloc[0])
        ax.plot([ordered["alpha"].iloc[0], BESIDE + 0.25], [same, same], ":", color="grey", lw=0.8, zorder=0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    low, high = ax.get_ylim()
    spare = max(0.0, LEAST - (high - low)) / 2
    ax.set_ylim(low - spare, high + spare)


def _mix_legend(figure, table: pd.DataFrame, note: str, spread: str, **line) -> None:
    handles = [handle("hybrid, constant α", "o", COLOURS["hybrid"], **line)]
    handles += [handle(f"α = {end:g}: {name}", "o", COLOURS[name]) for end, name in ENDS.items()]
    alphas = table[table["strategy"].isin(SCHEDULES)].groupby("strategy")["alpha"].first()
    handles += [handle(f"{name}, α = {alphas[name]:g}", MARKERS[name], COLOURS[name]) for name in SCHEDULES if name in alphas]
    seeds = table["seed"].nunique()
    legend_below(figure, handles, title=f"{note}; {f'{spread}: range over {seeds} seeds' if seeds > 1 else 'one seed'}")


def pareto(table: pd.DataFrame):
    """Mo. against Cr. mAP of every mix, mean and range over seeds, α at the dots; the front is what no mix beats in both (mixing)."""
    if not (tasks := traded(table)):
        raise Nothing
    figure, axes = new_figure(1, len(tasks), height=3.8)
    for ax, (task, points) in zip(axes[0], tasks.items(), strict=True):
        _trade_off(ax, points)
        ax.set(xlabel="Mo. mAP, macro average", ylabel="Cr. mAP, macro average")
        fit_to_width(ax, _short(task))
    _mix_legend(figure, table, "numbers: α; grey line: Pareto front", "lines through dots")
    return figure


def _trade_off(ax, points: pd.DataFrame) -> None:
    front = pareto_front(points["mean"])
    ax.plot(*points["mean"][front].sort_values("monolingual").to_numpy().T, "-", color="grey", lw=1, zorder=0)
    for place, ((strategy, alpha), (x, y)) in enumerate(points["mean"].sort_values("monolingual").iterrows()):
        name = strategy if strategy in SCHEDULES else ENDS.get(alpha, "hybrid")
        ends = [points[side].loc[strategy, alpha] for side in ("min", "max")]
        ax.plot([ends[0].iloc[0], ends[1].iloc[0]], [y, y], "-", color=COLOURS[name], lw=0.7)
        ax.plot([x, x], [ends[0].iloc[1], ends[1].iloc[1]], "-", color=COLOURS[name], lw=0.7)
        ax.plot(x, y, MARKERS.get(strategy, "o"), ms=5, color=COLOURS[name])
        if strategy not in SCHEDULES:
            up = 1 if front[strategy, alpha] else -1  # above the front, or below it
            side = 1 if up > 0 or place % 2 else -1  # by turns, as neighbours may lie on each other
            ax.annotate(
                f"{alpha:g}", (x, y), xytext=(5 * side, 4 * up), textcoords="offset points", fontsize=7, va="center",
                ha="left" if side > 0 else "right", bbox=BACKED,
            )  # fmt: skip


def recommended(table: pd.DataFrame):
    """The best α of every goal: a dot, its 95 % interval as a bar, rings for the α that are not clearly worse (mixing_best)."""
    tasks = list(dict.fromkeys(table["task"]))
    most = max(part["goal"].nunique() for _, part in table.groupby("task"))
    figure, axes = new_figure(1, len(tasks), height=0.26 * most + 1.2)
    for ax, task in zip(axes[0], tasks, strict=True):
        part = table[table["task"] == task]
        goals = list(dict.fromkeys(part["goal"]))
        for place, goal in enumerate(goals):
            _recommendation(ax, place, part[part["goal"] == goal])
        n, seeds = (part[column].iloc[0] for column in ("n_groups", "n_seeds"))
        fit_to_width(ax, f"{_short(task)}\nn = {n:,} groups of questions, seeds: {seeds}", max(map(len, goals)))
        ax.set(xlabel="α, share of monolingual batches", xlim=(-0.05, 1.05))
        name_strategies(ax, goals)
    handles = [
        handle("best α", "o", "black", ms=4),
        handle("95 % of resamples of questions and seeds", "", COLOURS["hybrid"], ls="-", lw=5, alpha=0.35),
        handle("not clearly worse than the best", "o", "grey", ms=7, mfc="none"),
    ]
    legend_below(figure, handles)
    return figure


def _recommendation(ax, place: int, rows: pd.DataFrame) -> None:
    first, among = rows.iloc[0], rows.loc[rows["among_best"], "alpha"]
    ax.plot([first["low"], first["high"]], [place, place], "-", color=COLOURS["hybrid"], lw=5, alpha=0.35, solid_capstyle="butt")
    ax.plot(among, [place] * len(among), "o", ms=7, mfc="none", mec="grey", mew=0.9)
    ax.plot(first["best"], place, "o", ms=4, color="black")


def kept(table: pd.DataFrame):
    """mAP under shift / mAP in domain by base and strategy, bars: 95 % over parallel questions; line: BM25; where that is no share
    (`no_share`), both values side by side (shift).
    """
    table = table.dropna(subset=["kept"])
    none = no_share(table)
    figure, drawn = panels(dict.fromkeys(table["task"]), SHORT_SETTINGS, height=2.4, sharey="row", sharex=True)
    for ax, task, setting in drawn:
        part = table[(table["task"] == task) & (table["setting"] == setting)]
        (_side_by_side if task in none else _intervals)(ax, part)
        unit = "mAP (in domain, shifted)" if task in none else "mAP kept (shifted / in domain)"
        label(ax, "", unit, f"{task}: {setting}\n{asked(part)}")
        ax.grid(axis="x", visible=False)
    for ax, *_ in drawn:  # late, as panels of one row share what they all need
        from_zero(ax)
        ax.set_ylim(bottom=min(0, table["kept_low"].min()))
    entries = {entry.get_label(): entry for ax, *_ in drawn for entry in ax.get_legend_handles_labels()[0]}
    sides = [handle("hollow: in domain", "o", "grey", mfc="white", ms=4.5), handle("filled: under shift", "o", "grey", ms=4.5)]
    legend_below(figure, [*(entries[name] for name in in_order(entries)), *(sides if none else [])])
    return figure


def _side_by_side(ax, part: pd.DataFrame) -> None:
    """mAP in domain and under shift of every encoder, and of BM25."""
    for x, row in _placed(ax, part):
        colour = COLOURS.get(row.strategy)
        ax.plot([x, x], [row.in_domain, row.shifted], color=colour, lw=1)
        ax.plot(x, row.in_domain, "o", mfc="white", mec=colour, ms=4.5)
        ax.plot(x, row.shifted, "o", color=colour, ms=4.5, mec="black", mew=0.4, label=row.strategy)


def _placed(ax, part: pd.DataFrame) -> Iterator[tuple]:
    """(x, row): the strategies of a base beside each other, the reference's last."""
    bases = sorted(part["base"].unique(), key=lambda base: (base == REFERENCE, base))
    strategies = {base: in_order(rows["strategy"]) for base, rows in part.groupby("base")}
    names = [base if base == REFERENCE else f"from {base}" for base in bases]
    ax.set(xticks=range(len(bases)), xticklabels=names, xlim=(-0.5, max(len(bases), 1) - 0.5))
    for row in part.itertuples():
        place = (strategies[row.base].index(row.strategy) + 0.5) / len(strategies[row.base])
        yield bases.index(row.base) - 0.4 + 0.8 * place, row


def _intervals(ax, part: pd.DataFrame) -> None:
    for value in part[part["base"] == REFERENCE]["kept"]:
        ax.axhline(value, color=COLOURS["BM25"], ls="--", lw=1, label="BM25")
    for x, row in _placed(ax, of_encoders(part)):
        colour = COLOURS.get(row.strategy)
        if pd.notna(row.kept_low):
            ax.plot([x, x], [row.kept_low, row.kept_high], color=colour, lw=1.6)
        ax.plot(x, row.kept, "o", color=colour, ms=4.5, mec="black", mew=0.4, label=row.strategy)


def alignment(means: pd.DataFrame):
    """Alignment of each encoder in domain (x) against under shift (y), a point a seed (shift_alignment; its first task is in domain)."""
    home, *shifted = dict.fromkeys(means["task"])
    moved = alignment_kept(means, home, shifted)
    bases = sorted(moved["base"].unique())
    figure, drawn = panels(dict.fromkeys(moved["task"]), product(dict.fromkeys(moved["side"]), TITLES), height=2.4)
    for ax, task, (side, measure) in drawn:
        _against_home(ax, moved[(moved["task"] == task) & (moved["side"] == side) & (moved["measure"] == measure)], bases)
        label(ax, f"in domain ({home})", "under shift", f"{task}, {side}s:\n{TITLES[measure]}")
    handles = [handle(name, "o", COLOURS.get(name), mec="black", mew=0.4) for name in in_order(moved["strategy"])]
    handles += [handle(f"from {base}", marker, "grey") for marker, base in zip(cycle(BASE_MARKERS), bases, strict=False)]
    legend_below(figure, [*handles, handle("nothing lost", "", "grey", ls="-", lw=0.8)])
    return figure


def _against_home(ax, part: pd.DataFrame, bases: list[str]) -> None:
    for row in part.itertuples():
        marker = BASE_MARKERS[bases.index(row.base) % len(BASE_MARKERS)]
        ax.plot(row.in_domain, row.shifted, marker, color=COLOURS.get(row.strategy), ms=5, mec="black", mew=0.4)
    if part.empty:
        ax.text(0.5, 0.5, "no parallel texts", ha="center", transform=ax.transAxes)
        return
    ax.axline((0, 0), slope=1, color="grey", lw=0.8, zorder=0)
    limits = [(min(0.0, part[name].min()), 1.1 * part[name].max()) for name in ("in_domain", "shifted")]
    ax.set(xlim=limits[0], ylim=limits[1])


def recall(table: pd.DataFrame):
    """Recall@k of every strategy by kind of language pair: a dot a seed, a bar for the mean (question_recall)."""
    kinds = [kind for kind in KINDS if kind in set(table["setting"])]
    figure, drawn = panels(sorted(table["base"].unique()), MEASURES, height=2.2, sharey=True)
    for ax, base, metric in drawn:
        part = table[(table["base"] == base) & (table["metric"] == metric)]
        bars(ax, part, "setting", kinds)
        n = part.groupby("setting")["n"].max().reindex(kinds, fill_value=0)
        ax.set_xticks(range(len(kinds)), [f"{textwrap.fill(kind, 12)}\nn = {n[kind]:,.0f}" for kind in kinds])
        label(ax, "pairs of languages", "Recall@k, macro average", f"{metric}, from {base}")
    legend_below(figure)
    return figure


def pairs(table: pd.DataFrame):
    """Recall@1 of hybrid minus another strategy's or the untrained base's, by question language and pool language (question_pairs)."""
    others = [name for name in COMPARED if name in set(table["strategy"])]
    if HYBRID not in set(table["strategy"]) or not others:
        raise Nothing
    bases = sorted(table[table["strategy"] == HYBRID]["base"].unique())
    wide = table.set_index(["base", "strategy", "query_language", "candidate_language"])["value"].sort_index()
    found = {(base, other): (wide[base, HYBRID] - wide[base, other]).unstack() for base in bases for other in others}
    most = max(cells.abs().max(axis=None) for cells in found.values()) or 1.0
    titled = {(base, other): (f"hybrid − {other}, from {base}", cells) for (base, other), cells in found.items()}
    axes = ("language of the pool", "language of the question")
    return heats(titled, "Recall@1, difference", axes, vmin=-most, vmax=most, cmap="PuOr")


def methods(table: pd.DataFrame):
    """mAP of every method in each setting: a dot a seed, a bar for the mean, lines for what was not trained (many_scores)."""
    table = macro(table)
    names = [name for name in in_order(table["strategy"]) if name not in LINES]
    figure, drawn = panels([""], in_settings(table["setting"]), height=0.22 * len(names) + 1, sharey=True)
    for ax, _, setting in drawn:
        rows = table[table["setting"] == setting]
        name_strategies(ax, names)
        in_shares = are_shares(rows["value"])
        for place, name in enumerate(names):
            values = rows[rows["strategy"] == name]["value"]
            ax.barh(place, values.mean(), 0.72, color=COLOURS.get(name))
            ax.plot(values, [place] * len(values), "o", ms=2.5, color=COLOURS.get(name), mec="black", mew=0.4)
            end, inside = number_place(values, in_shares)
            written(ax, values.mean(), (end, place), inside, horizontal=True)
        for name, style in LINES.items():
            ax.axvline(rows[rows["strategy"] == name]["value"].mean(), ls=style, color=COLOURS[name], lw=1, label=name)
        leave_room(ax, "x", rows["value"])
        ax.locator_params(axis="x", nbins=5)
        ax.set(title=counted(rows, setting), xlabel="mAP, macro average")
    legend_below(figure)
    return figure


def differences(tests: pd.DataFrame):
    """What was tested of every method, or strategy, minus hybrid's, with 95 % intervals (many_tests; question_tests)."""
    return against_hybrid(tests)


def languages(table: pd.DataFrame):
    """mAP by question language, families side by side; hollow dots: no training batch held the language (many_languages)."""
    order = table.drop_duplicates("language").sort_values(["family", "language"], kind="stable")
    place = {code: number for number, code in enumerate(order["language"])}
    names = [name for name in SHOWN if name in set(table["strategy"])]
    figure, axes = new_figure(3, 1, height=1.8, sharex=True)
    for ax, (setting, short) in zip(axes[:, 0], SHORT_SETTINGS.items(), strict=True):
        for (j, name), training in product(enumerate(names), ("trained", "unseen")):
            rows = table[(table["strategy"] == name) & (table["setting"] == setting) & (table["training"] == training)]
            look = {"mec": COLOURS.get(name), "mfc": COLOURS.get(name) if training == "trained" else "white"}
            x = [place[code] + 0.16 * (j - 1.5) for code in rows["language"]]
            ax.plot(x, rows["value"], SHOWN[name], ms=3, mew=0.8, **look)
        _family_bands(ax, order)
        ax.set_ylabel(f"{short} mAP")
        from_zero(ax)
    name_languages(axes[-1, 0], place)
    axes[-1, 0].set_xlabel("question language; white and grey: families")
    unseen = handle("hollow: unseen in training", "o", "grey", mfc="white", ms=4)
    legend_below(figure, [*(handle(name, SHOWN[name], COLOURS.get(name), ms=4) for name in names), unseen])
    return figure


def _family_bands(ax, order: pd.DataFrame) -> None:
    """Every second family on a grey band."""
    ends = order.groupby("family", sort=False).size().cumsum()
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if number % 2:
            ax.axvspan(start - 0.5, end - 0.5, color="0.93", zorder=0)
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.grid(axis="x", visible=False)


def cost(scores: pd.DataFrame, cost: pd.DataFrame):
    """mAP in the mixed pool and across languages against training seconds; a dot a method: mAP as mean over seeds, time of the fastest
    seed, as a worker's first training also reads and tokenises (many_scores, many_cost).
    """
    scores = macro(scores)
    if scores.empty:
        raise Nothing
    seconds = cost.groupby("strategy")["seconds"].min()
    figure, axes = new_figure(1, 2, height=3.0, sharex=True)
    for ax, setting in zip(axes[0], ("cross-lingual", "multilingual"), strict=True):
        means = scores[scores["setting"] == setting].groupby("strategy")["value"].mean()
        for name in in_order(set(seconds.index) & set(means.index)):
            ax.plot(seconds[name], means[name], "o", color=COLOURS.get(name), ms=6, mec="black", mew=0.4, label=name)
        ax.set(xlabel="training, seconds (fastest seed)", ylabel=f"{SHORT_SETTINGS[setting]} mAP")
        from_zero(ax, "xy")
    legend_below(figure)
    return figure


def growth(table: pd.DataFrame):
    """Seconds of each step, and hybrid's mAP on the languages that all sets hold, by number of languages (many_growth)."""
    figure, axes = new_figure(1, 2, height=2.5)
    means = per_count(table)
    for column, (name, marker) in STEPS.items():
        axes[0, 0].plot(means.index, means[column], f"{marker}-", color="0.25", mfc="white", label=name)
    axes[0, 0].set(xlabel="languages", ylabel="seconds (fastest seed)")
    for (setting, short), style in zip(SHORT_SETTINGS.items(), ("-", "--", ":"), strict=True):
        low, high = (table.groupby("languages")[setting].agg(end) for end in ("min", "max"))
        axes[0, 1].plot(means.index, means[setting], f"o{style}", color=COLOURS["hybrid"], ms=4, label=short)
        axes[0, 1].fill_between(means.index, low, high, color=COLOURS["hybrid"], alpha=0.15)
    axes[0, 1].set(xlabel="languages trained on", ylabel=f"hybrid, mAP on the same {means.index.min()}")
    for ax in axes[0]:
        ax.set_xticks(means.index)
        from_zero(ax)
    legend_below(figure)
    return figure


def verdicts(table: pd.DataFrame):
    """Claims x sources, a coloured cell with symbol and word each; last, below a line, the claims that no source can test (claims)."""
    from matplotlib.patches import Rectangle

    sources, none = list(dict.fromkeys(table["source"])), untestable(table)
    numbers = [*sorted({*table["claim"]} - {*none}), *([UNTESTABLE, *none] if none else [])]
    figure, axes = new_figure(height=0.7 + 0.36 * len(numbers))
    ax = axes[0, 0]
    for row in table.itertuples():
        x, y = sources.index(row.source), numbers.index(row.claim)
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=VERDICT_COLOURS.get(row.verdict, "white"), edgecolor="none"))
        ax.text(x, y, textwrap.fill(f"{SYMBOLS.get(row.verdict, '')} {row.verdict}", 15), ha="center", va="center", fontsize=7)
    statements = table.drop_duplicates("claim").set_index("claim")["statement"]
    told = {number: f"{number}. {statement}" for number, statement in statements.items()}
    ax.set_yticks(range(len(numbers)), [textwrap.fill(told.get(number, UNTESTABLE), LABEL_WIDTH) for number in numbers])
    if none:
        ax.axhline(numbers.index(UNTESTABLE), color="grey", lw=0.6)
    ax.set_xticks(range(len(sources)), [textwrap.fill(source, 12) for source in sources])
    ax.set(xlim=(-0.5, len(sources) - 0.5), ylim=(len(numbers) - 0.5, -0.5))
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.set_xlabel("judged from the tables of")
    ax.xaxis.set_label_position("top")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure
