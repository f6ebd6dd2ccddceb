"""One look for every figure: strategies keep their colour, languages their order, files are the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from ..base.files import replacing
from ..provenance import reads

# Okabe and Ito's palette, which readers with any colour vision can tell apart.
COLOURS = {
    "En-En": "#56B4E9",
    "X-X": "#E69F00",
    "X-X-mono": "#D55E00",
    "X-Y": "#0072B2",
    "hybrid": "#009E73",
    "mono-first": "#661100",  # the schedules of notebook 05
    "cross-first": "#6699CC",
    "annealed": "#999933",
    "translation ranking": "#332288",  # the methods of notebook 08: Tol's muted palette
    "distillation": "#117733",
    "code-switched": "#AA4499",
    "crop": "#882255",
    "dropout": "#DDCC77",
    "untrained": "#CC79A7",
    "zero-shot": "#F0E442",
    "BM25": "#000000",
    "random": "#999999",
}
ORDER = tuple(COLOURS)
VERDICT_COLOURS = {  # light, so that black text reads
    "supported": "#9AD8C4",
    "contradicted": "#F3B38A",
    "undecided": "#F6E7A1",
    "not testable here": "#E4E4E4",
}
SHORT_SETTINGS = {"monolingual": "Mo.", "cross-lingual": "Cr.", "multilingual": "Mul."}
DPI = 110
SALT = "hybridir"  # fixes the ids inside SVG files


class Nothing(Exception):
    """A run has nothing of what a figure shows, such as a setting that its pool lacks."""


def new_figure(rows: int = 1, columns: int = 1, width: float = 3.2, height: float = 2.6, **options):
    """(figure, [rows, columns] array of axes); width and height in inches of one axes."""
    import matplotlib

    matplotlib.use("agg", force=False)
    import seaborn as sns
    from matplotlib.figure import Figure

    sns.set_theme(
        context="paper", style="whitegrid", font_scale=0.9, rc={"svg.hashsalt": SALT, "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    )
    figure = Figure(figsize=(width * columns, height * rows), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def panels(rows: Iterable, columns: Iterable, **options) -> tuple:
    """(figure, [(axes, row, column), …]): one axes for each pair, row by row; options: of `new_figure`."""
    pairs, columns = list(rows), list(columns)
    if not pairs or not columns:
        raise Nothing
    figure, axes = new_figure(len(pairs), len(columns), **options)
    return figure, list(zip(axes.flat, *zip(*product(pairs, columns), strict=True), strict=True))


def label(ax, xlabel: str, ylabel: str, title: str) -> None:
    """Name the axes and the panel, in small print; the first column's y axis speaks for its row."""
    ax.set(xlabel=xlabel, ylabel=ylabel if ax.get_subplotspec().is_first_col() else "")
    ax.set_title(title, fontsize=8)


def heat(ax, wide, name: str, **options) -> None:
    """A heat map of a table; the last column has the bar, called `name`, for its row."""
    import seaborn as sns

    is_last = ax.get_subplotspec().is_last_col()
    sns.heatmap(wide, ax=ax, square=True, cbar=is_last, cbar_kws={"label": name, "shrink": 0.7}, **options)
    ax.tick_params(labelsize=6, labelrotation=0)
    ax.grid(False)


def bars(ax, table, by: str, groups: list[str]) -> None:
    """A bar for the mean of each strategy and a dot for each value, side by side in each of the groups of a column."""
    strategies = in_order(table["strategy"])
    if not strategies:
        raise Nothing
    width = 0.8 / len(strategies)
    parts = dict(iter(table.groupby([by, "strategy"])["value"]))
    for (i, group), (j, strategy) in product(enumerate(groups), enumerate(strategies)):
        values, x, colour = parts.get((group, strategy), []), i - 0.4 + (j + 0.5) * width, COLOURS.get(strategy)
        ax.bar(x, values.mean() if len(values) else 0, width * 0.92, color=colour, alpha=0.55, label=strategy if i == 0 else None)
        ax.plot([x] * len(values), values, "o", ms=2.2, color=colour, mec="black", mew=0.3)
    ax.set_xticks(range(len(groups)), groups)
    ax.grid(axis="x", visible=False)


def note_figure(text: str):
    """A figure that says why there is nothing to draw."""
    figure, axes = new_figure(width=6, height=0.8)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center")
    return figure


def handle(label: str, marker: str, colour: str | None, ls: str = "", **look):
    """An entry of a legend: a marker, or a line where `ls` says so."""
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=colour, ls=ls, label=label, **look)


def legend_below(figure, handles, columns: int, **options) -> None:
    """The figure's one legend, below its axes; handles: its entries, or the axes that has them."""
    entries = handles if isinstance(handles, list) else handles.get_legend_handles_labels()[0]
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False, fontsize=7, **options)


def in_order(strategies) -> list[str]:
    """The strategies that occur, in the figures' order."""
    present = set(strategies)
    return [name for name in ORDER if name in present] + sorted(present - set(ORDER))


def save_figure(figure, folder: Path, name: str, about: str, source: str = "") -> dict[str, Path]:
    """Write `<name>.png` and `<name>.svg`; `about` (words) and `source` (what it was drawn from, for programs) go into their metadata.

    Dates and random ids are left out, so the same data give the same bytes. The PNG has a palette: a third of the bytes in notebooks.
    Axes are laid out once for both, which takes as long as drawing.
    """
    folder = Path(folder)
    common = {"Title": name, "Description": about} | ({"Source": source} if source else {})
    metadata = {"png": common, "svg": common | {"Date": None, "Creator": "hybridir"}}
    paths = {kind: folder / f"{name}.{kind}" for kind in metadata}
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine(None)
    for kind, path in paths.items():
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata[kind], format=kind)
            if kind == "png":
                _use_palette(temporary, metadata[kind])
        reads.wrote(path)
    return paths


def _use_palette(path: Path, metadata: dict[str, str]) -> None:
    """Write the PNG again in 256 colours chosen from its own; on the white ground of every figure nothing is transparent."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, value in metadata.items():
        texts.add_text(key, value)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(path, format="png", optimize=True, pnginfo=texts)
