"""Figure of notebook 09: verdicts by claim and source."""

from __future__ import annotations

import textwrap

import pandas as pd

from .style import VERDICT_COLOURS, new_figure
from .verdicts import SYMBOLS

LABEL_WIDTH = 70  # characters of a line of a statement


def verdicts(tables: dict[str, pd.DataFrame]):
    """Claims x sources, a coloured cell with symbol and word each (claims)."""
    table = tables["claims"]
    sources, numbers = list(dict.fromkeys(table["source"])), sorted(table["claim"].unique())
    figure, axes = new_figure(width=4.8 + 1.35 * len(sources), height=0.6 + 0.42 * len(numbers))
    ax = axes[0, 0]
    for row in table.itertuples():
        x, y = sources.index(row.source), numbers.index(row.claim)
        ax.add_patch(_cell(x, y, VERDICT_COLOURS[row.verdict]))
        ax.text(x, y, f"{SYMBOLS[row.verdict]} {row.verdict}", ha="center", va="center", fontsize=7)
    statements = table.drop_duplicates("claim").set_index("claim")["statement"]
    ax.set_yticks(range(len(numbers)), [textwrap.fill(f"{number}. {statements[number]}", LABEL_WIDTH) for number in numbers], fontsize=7)
    ax.set_xticks(range(len(sources)), [textwrap.fill(source, 16) for source in sources], fontsize=8)
    ax.set(xlim=(-0.5, len(sources) - 0.5), ylim=(len(numbers) - 0.5, -0.5))
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    ax.set_xlabel("judged from the tables of", fontsize=8)
    ax.xaxis.set_label_position("top")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


def _cell(x: int, y: int, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none")
