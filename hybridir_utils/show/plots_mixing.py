"""Figures of notebook 05: measures against α, monolingual against cross-lingual accuracy, and the best α of every goal."""

from __future__ import annotations

import pandas as pd

from ..data.batching import SCHEDULES
from .mixing_tables import DISTANCE, KEPT
from .style import COLOURS, SETTINGS, new_figure

MARKERS = dict(zip(SCHEDULES, ("^", "v", "D"), strict=True))
MIX = {0.0: "X-Y", 1.0: "X-X-mono"}  # names of the ends of the grid; what lies between is hybrid
UNITS = {"mAP": "{} mAP", KEPT: "{} kept (share)", DISTANCE: "rank distance (ranks)"}
BESIDE = 1.12  # where the first schedule stands on the axis of α


def curves(tables: dict[str, pd.DataFrame]):
    """Each measure against α: line for the mean over seeds, band for their range; schedules stand to the right of the line (mixing)."""
    table = tables["mixing"]
    rows = list(dict.fromkeys(zip(table["task"], table["metric"].where(table["metric"] == KEPT, "mAP"), strict=True)))
    columns = [(setting, short) for setting, short in SETTINGS.items() if setting in set(table["setting"])]
    columns += [(DISTANCE, "")] if (table["metric"] == DISTANCE).any() else []
    figure, axes = new_figure(len(rows), len(columns), width=2.5, height=2.15, sharex=True)
    for line, (task, metric) in zip(axes, rows, strict=True):
        for ax, (setting, short) in zip(line, columns, strict=True):
            measure = DISTANCE if setting == DISTANCE else metric
            part = table[table["task"].eq(task) & table["metric"].eq(measure) & (table["setting"].eq(setting) | (setting == DISTANCE))]
            if part.empty or (setting == DISTANCE and metric == KEPT):
                ax.set_axis_off()
                continue
            _curve(ax, part)
            ax.set_title(f"{_short(task)} / {_short(rows[0][0])}" if metric == KEPT else _short(task), fontsize=7.5)
            ax.set(xlabel="α, share of monolingual batches", ylabel=UNITS[measure].format(short))
            ax.xaxis.set_tick_params(labelbottom=True)
    _legend(figure, table, f"seeds: {table['seed'].nunique()}")
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
        ax.plot(alpha, mean, "o", ms=4, color=COLOURS[MIX.get(alpha, "hybrid")])
    for place, schedule in enumerate(name for name in SCHEDULES if name in set(ordered["strategy"])):
        values, x = ordered[ordered["strategy"] == schedule]["value"], BESIDE + 0.1 * place
        ax.plot([x, x], [values.min(), values.max()], "-", color=COLOURS[schedule], lw=1)
        ax.plot(x, values.mean(), MARKERS[schedule], ms=5, color=COLOURS[schedule])
    if len(ordered):
        ax.axvline(BESIDE - 0.06, color="grey", lw=0.6)
        same = by_alpha.mean().get(ordered["alpha"].iloc[0])
        ax.plot([ordered["alpha"].iloc[0], BESIDE + 0.25], [same, same], ":", color="grey", lw=0.8, zorder=0)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])


def _legend(figure, table: pd.DataFrame, note: str) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", color=COLOURS["hybrid"], label="hybrid, constant α")]
    handles += [Line2D([], [], marker="o", ls="", color=COLOURS[name], label=f"α = {end:g}: {name}") for end, name in MIX.items()]
    present = table[table["strategy"].isin(SCHEDULES)]
    for schedule in [name for name in SCHEDULES if name in set(present["strategy"])]:
        label = f"{schedule}, α = {present['alpha'].iloc[0]:g}"
        handles.append(Line2D([], [], marker=MARKERS[schedule], ls="", color=COLOURS[schedule], label=label))
    columns = int(figure.get_figwidth() // 1.6)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7, title=note, title_fontsize=7)


def pareto(tables: dict[str, pd.DataFrame]):
    """Mo. against Cr. mAP of every mix, mean and range over seeds, α at the dots; the front is what no mix beats in both (mixing)."""
    table = tables["mixing"].query("metric == 'mAP'")
    tasks = list(dict.fromkeys(table.loc[table["setting"] == "cross-lingual", "task"]))
    if not tasks:
        figure, axes = new_figure(1, 1, width=4, height=0.6)
        axes[0, 0].text(0.5, 0.5, "no task in two languages, so no cross-lingual mAP", ha="center", va="center")
        axes[0, 0].set_axis_off()
        return figure
    figure, axes = new_figure(1, len(tasks), width=4, height=3.2)
    for ax, task in zip(axes[0], tasks, strict=True):
        _trade_off(ax, table[table["task"] == task])
        ax.set(title=_short(task), xlabel="Mo. mAP, macro average", ylabel="Cr. mAP, macro average")
    _legend(figure, table, f"seeds: {table['seed'].nunique()}; grey line: Pareto front")
    return figure


def _trade_off(ax, table: pd.DataFrame) -> None:
    wide = table.pivot_table(index=["strategy", "alpha"], columns="setting", values="value", aggfunc=["mean", "min", "max"])
    points = {side: wide[side][["monolingual", "cross-lingual"]] for side in ("mean", "min", "max")}
    front = pareto_front(points["mean"])
    ax.plot(*points["mean"][front].sort_values("monolingual").to_numpy().T, "-", color="grey", lw=1, zorder=0)
    for (strategy, alpha), (x, y) in points["mean"].iterrows():
        name = strategy if strategy in SCHEDULES else MIX.get(alpha, "hybrid")
        ends = [points[side].loc[strategy, alpha] for side in ("min", "max")]
        ax.plot([ends[0].iloc[0], ends[1].iloc[0]], [y, y], "-", color=COLOURS[name], lw=0.7)
        ax.plot([x, x], [ends[0].iloc[1], ends[1].iloc[1]], "-", color=COLOURS[name], lw=0.7)
        ax.plot(x, y, MARKERS.get(strategy, "o"), ms=5, color=COLOURS[name])
        if strategy not in SCHEDULES:
            side = 1 if front[strategy, alpha] else -1  # above the front, or below it
            ax.annotate(
                f"{alpha:g}", (x, y), xytext=(5 * side, 4 * side), textcoords="offset points", fontsize=7, va="center",
                ha="left" if side > 0 else "right", bbox={"fc": "white", "ec": "none", "pad": 0.4, "alpha": 0.7},
            )  # fmt: skip


def pareto_front(points: pd.DataFrame) -> pd.Series:
    """[rows] bool: no other point is at least as high in every column and higher in one."""
    values = points.to_numpy()
    beaten = [((values >= own).all(1) & (values > own).any(1)).any() for own in values]
    return ~pd.Series(beaten, index=points.index)


def recommended(tables: dict[str, pd.DataFrame]):
    """The best α of every goal: a dot, its 95 % interval as a bar, rings for the α that are not clearly worse (mixing_best)."""
    table = tables["mixing_best"]
    tasks = list(dict.fromkeys(table["task"]))
    most = max(part["goal"].nunique() for _, part in table.groupby("task"))
    figure, axes = new_figure(1, len(tasks), width=3.9, height=0.32 * most + 1.5)
    for ax, task in zip(axes[0], tasks, strict=True):
        part = table[table["task"] == task]
        goals = list(dict.fromkeys(part["goal"]))
        for place, goal in enumerate(goals):
            _recommendation(ax, place, part[part["goal"] == goal])
        n, seeds = (part[column].iloc[0] for column in ("n_groups", "n_seeds"))
        ax.set_title(f"{_short(task)}\nn = {n} groups of questions, seeds: {seeds}", fontsize=8)
        ax.set(xlabel="α, share of monolingual batches", xlim=(-0.05, 1.05))
        ax.set_yticks(range(len(goals)), goals)
        ax.set_ylim(len(goals) - 0.4, -0.6)
    figure.legend(
        handles=_recommendation_handles(), loc="outside lower center", ncols=int(3.9 * len(tasks) // 2.5), frameon=False, fontsize=7
    )
    return figure


def _recommendation(ax, place: int, rows: pd.DataFrame) -> None:
    first, among = rows.iloc[0], rows.loc[rows["among_best"], "alpha"]
    ax.plot([first["low"], first["high"]], [place, place], "-", color=COLOURS["hybrid"], lw=5, alpha=0.35, solid_capstyle="butt")
    ax.plot(among, [place] * len(among), "o", ms=7, mfc="none", mec="grey", mew=0.9)
    ax.plot(first["best"], place, "o", ms=4, color="black")


def _recommendation_handles() -> list:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker="o", ls="", ms=4, color="black", label="best α"),
        Line2D([], [], color=COLOURS["hybrid"], lw=5, alpha=0.35, label="95 % of resamples of questions and seeds"),
        Line2D([], [], marker="o", ls="", ms=7, mfc="none", mec="grey", label="not clearly worse than the best"),
    ]
