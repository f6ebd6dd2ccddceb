"""Figures of notebook 06: the share of accuracy kept under shift, and alignment in domain against alignment under shift."""

from __future__ import annotations

import pandas as pd

from .shift_tables import alignment_kept
from .style import COLOURS, SETTINGS, in_order, new_figure, note_figure

NO_SHIFT = "This run evaluates no shifted task: nothing to compare."
TITLES = {"alignment_gap": "alignment gap", "translation_accuracy": "translation retrieval accuracy"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def kept(tables: dict[str, pd.DataFrame]):
    """mAP under shift / mAP in domain by base and strategy, bars: 95 % over parallel questions; line: BM25 (shift)."""
    table = tables["shift"].dropna(subset=["kept"])
    if table.empty:
        return note_figure(NO_SHIFT)
    tasks = list(dict.fromkeys(table["task"]))
    figure, axes = new_figure(len(tasks), len(SETTINGS), width=3.1, height=2.5, sharey="row", sharex=True)
    for row, task in zip(axes, tasks, strict=True):
        for ax, setting in zip(row, SETTINGS, strict=True):
            part = table[(table["task"] == task) & (table["setting"] == setting)]
            _intervals(ax, part[part["base"] != "reference"])
            for value in part[part["base"] == "reference"]["kept"]:
                ax.axhline(value, color=COLOURS["BM25"], ls="--", lw=1, label="BM25")
            ax.set_title(f"{task}: {setting}\n{part['n_groups'].max():.0f} parallel questions", fontsize=8)
            ax.set_ylabel("mAP kept (shifted / in domain)" if ax is row[0] else "")
            ax.set_ylim(bottom=0)
            ax.grid(axis="x", visible=False)
    named = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    labels = in_order(named)
    figure.legend([named[label] for label in labels], labels, loc="outside lower center", ncols=8, frameon=False, fontsize=7)
    return figure


def _intervals(ax, part: pd.DataFrame) -> None:
    bases, strategies = sorted(part["base"].unique()), in_order(part["strategy"])
    for row in part.itertuples():
        x = bases.index(row.base) - 0.4 + 0.8 * (strategies.index(row.strategy) + 0.5) / len(strategies)
        colour = COLOURS.get(row.strategy)
        if pd.notna(row.kept_low):
            ax.plot([x, x], [row.kept_low, row.kept_high], color=colour, lw=1.6)
        ax.plot(x, row.kept, "o", color=colour, ms=4.5, mec="black", mew=0.4, label=row.strategy)
    ax.set_xticks(range(len(bases)), [f"from {base}" for base in bases], fontsize=8)


def alignment(tables: dict[str, pd.DataFrame]):
    """Alignment of each encoder in domain (x) against under shift (y), a point a seed (shift_alignment; its first task is in domain)."""
    means = tables["shift_alignment"]
    home, *shifted = dict.fromkeys(means["task"]) or [""]
    moved = alignment_kept(means, home, shifted)
    if moved.empty:
        return note_figure("No texts of a shifted task whose alignment could be compared.")
    panels = [(side, measure) for side in dict.fromkeys(moved["side"]) for measure in TITLES]
    tasks, bases = list(dict.fromkeys(moved["task"])), sorted(moved["base"].unique())
    figure, axes = new_figure(len(tasks), len(panels), width=3.1, height=2.6)
    for row, task in zip(axes, tasks, strict=True):
        for ax, (side, measure) in zip(row, panels, strict=True):
            part = moved[(moved["task"] == task) & (moved["side"] == side) & (moved["measure"] == measure)]
            _against_home(ax, part, bases)
            ax.set_title(f"{task}\n{TITLES[measure]} of {side}s", fontsize=8)
            ax.set(xlabel=f"in domain ({home})", ylabel="under shift" if ax is row[0] else "")
    _legend(figure, in_order(moved["strategy"]), bases)
    return figure


def _against_home(ax, part: pd.DataFrame, bases: list[str]) -> None:
    for row in part.itertuples():
        marker = MARKERS[bases.index(row.base) % len(MARKERS)]
        ax.plot(row.in_domain, row.shifted, marker, color=COLOURS.get(row.strategy), ms=5, mec="black", mew=0.4)
    if part.empty:
        ax.text(0.5, 0.5, "no parallel texts", ha="center", transform=ax.transAxes, fontsize=8)
        return
    ax.axline((0, 0), slope=1, color="grey", lw=0.8, zorder=0)
    limits = [(min(0.0, part[name].min()), 1.1 * part[name].max()) for name in ("in_domain", "shifted")]
    ax.set(xlim=limits[0], ylim=limits[1])


def _legend(figure, strategies: list[str], bases: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", ls="", color=COLOURS.get(name), mec="black", mew=0.4, label=name) for name in strategies]
    marks = [MARKERS[i % len(MARKERS)] for i in range(len(bases))]
    handles += [Line2D([], [], marker=mark, ls="", color="grey", label=f"from {base}") for mark, base in zip(marks, bases, strict=True)]
    handles.append(Line2D([], [], color="grey", lw=0.8, label="nothing lost"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=7)
