"""What the command `evaluate` shows beside its table: a page in Markdown and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from .measured import CENTRED, OF_SCORES, PLAIN
from .style import handle, label, legend_below, panels
from .tables import markdown

DRAWN = ("Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance")
LOOKS = {PLAIN: {"color": "#0072B2"}, CENTRED: {"color": "#0072B2", "mfc": "white"}}


def page(command: str, legend: str, parts: Sequence[tuple[str, pd.DataFrame, Sequence[str]]], figure: str) -> str:
    """parts: of each task its title, its table as text and its notes; figure: name of the picture beside the page."""
    told = ["# Encoders evaluated\n", f"    {command}\n", f"![mAP and rank distance by encoder, plain and centred]({figure}.png)\n"]
    for title, table, notes in parts:
        told += [f"## {title}\n", markdown(table), *(f"- {note}" for note in notes), ""]
    return "\n".join(
        [*told, f"Centred: each language's mean vector of the candidates taken off. {legend}. Published values are their authors'.\n"]
    )


def evaluation_figure(tables: Mapping[str, pd.DataFrame]):
    """A row of panels a task: an encoder a line, its measures plain and centred. tables: task -> rows (encoder, vectors)."""
    most = max(len(table.index.unique("encoder")) for table in tables.values())
    figure, drawn = panels(tables, DRAWN, height=1 + 0.22 * most, sharey="row")
    for ax, task, column in drawn:
        table, encoders = tables[task], tables[task].index.unique("encoder")
        for kind, look in LOOKS.items():
            values = table.xs(kind, level="vectors")[column] if column in table and kind in table.index.unique("vectors") else pd.Series()
            ax.plot(values, [encoders.get_loc(name) for name in values.index], "o", ms=5, **look)
        ax.set_yticks(range(len(encoders)), [str(name)[-28:] for name in encoders])
        ax.set_ylim(len(encoders) - 0.5, -0.5)
        if column in OF_SCORES:
            ax.set_xlim(-0.03, 1.03)
        label(ax, column, "", task)
    legend_below(figure, [handle(kind, "o", look["color"], mfc=look.get("mfc", look["color"])) for kind, look in LOOKS.items()])
    return figure
