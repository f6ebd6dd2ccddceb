"""One look for every figure: strategies keep their colour, languages their order, files are the same bytes each time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import chain, product
from pathlib import Path

from ..base.files import replacing
from ..provenance import reads

# Of each two in one figure the distance in CIELAB is 15 or more, also for readers with two kinds of cones (a test holds them to it).
COLOURS = {
    "En-En": "#56B4E9",  # the strategies and BM25: Okabe and Ito's palette
    "X-X": "#E69F00",
    "X-X-mono": "#D55E00",
    "X-Y": "#0072B2",
    "hybrid": "#009E73",
    "mono-first": "#562C49",  # the schedules of notebook 05
    "cross-first": "#C0A7F5",
    "annealed": "#C9B458",
    "translation ranking": "#2432A6",  # the methods of notebook 08
    "distillation": "#8D77FE",
    "code-switched": "#70076B",
    "crop": "#800504",
    "dropout": "#C7CA7A",
    "untrained": "#CC79A7",
    "zero-shot": "#F1B8BD",
    "BM25": "#000000",
    "random": "#555555",
}
ORDER = tuple(COLOURS)
VERDICT_COLOURS = {  # light, so that black text reads
    "supported": "#9AD8C4",
    "contradicted": "#F3B38A",
    "undecided": "#F6E7A1",
    "not testable here": "#E4E4E4",
}
SHORT_SETTINGS = {"monolingual": "Mo.", "cross-lingual": "Cr.", "multilingual": "Mul."}
WIDTH = 8.6  # inches of every figure
PIXELS = 100  # of a page for an inch, so that letters are as large in every figure
DPI = 2 * PIXELS  # for screens with two dots a pixel
SALT = "hybridir"  # fixes the ids inside SVG files
LOOK = {
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "figure.labelsize", "figure.titlesize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), 7),
    **dict.fromkeys(("figure.facecolor", "savefig.facecolor", "axes.facecolor"), "white"),  # on a dark page, too
    "svg.hashsalt": SALT,
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
}
BACKED = {"fc": "white", "ec": "none", "pad": 0.3, "alpha": 0.8}  # behind letters on lines
ROOM = 0.3  # of the longest bar, for the numbers beside bars
HIGH = 0.77  # a share whose number does not fit between its bar and the axis' end at 1
FEW = 25  # names that stand side by side on an axis as wide as the figure
CODES = 60  # codes of languages in that width
TITLE = 128  # letters of a title in that width
LINE = 0.125  # inches of a line of a title


class Nothing(Exception):
    """A run has nothing of what a figure shows, such as a setting that its pool lacks."""


def new_figure(rows: int = 1, columns: int = 1, height: float = 2.4, **options):
    """(figure, [rows, columns] array of axes); height: of one axes, in inches; options: of `Figure.subplots`."""
    import matplotlib

    matplotlib.use("agg", force=False)
    import seaborn as sns
    from matplotlib.figure import Figure

    sns.set_theme(context="paper", style="whitegrid", rc=LOOK)
    figure = Figure(figsize=(WIDTH, height * rows), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def panels(rows: Iterable, columns: Iterable, most: int = 6, **options) -> tuple:
    """(figure, [(axes, row, column), …]): one axes for each pair, row by row; options: of `new_figure`.

    Where there is one column, or more than the `most` that fit side by side, the axes follow each other as words do.
    """
    columns = list(columns)
    pairs = list(product(rows, columns))
    if not pairs:
        raise Nothing
    wide = len(columns) if len(columns) > 1 else len(pairs)
    wide = math.ceil(wide / math.ceil(wide / most))
    figure, axes = new_figure(math.ceil(len(pairs) / wide), wide, **options)
    for ax in axes.flat[len(pairs) :]:
        ax.set_axis_off()
    return figure, [(ax, *pair) for ax, pair in zip(axes.flat, pairs, strict=False)]


def label(ax, xlabel: str, ylabel: str, title: str) -> None:
    """Name the axes and the panel, a title in lines as wide as it; the first column's y axis speaks for its row, the last row's x axis for
    its column.
    """
    place = ax.get_subplotspec()
    ax.set(xlabel=xlabel if place.is_last_row() else "", ylabel=ylabel if place.is_first_col() else "", title=_in_lines(ax, title))


def _in_lines(ax, title: str, beside: int = 0) -> str:
    wide = TITLE // ax.get_subplotspec().get_gridspec().ncols - beside
    return "\n".join(textwrap.fill(line, wide) for line in title.splitlines())


def fit_to_width(ax, title: str, beside: int = 0) -> None:
    """Give a panel a title in lines as wide as it, and as many numbers on the x axis as fit; beside: letters of the names at its left."""
    ax.set_title(_in_lines(ax, title, beside))
    if ax.get_subplotspec().get_gridspec().ncols > 2:  # numbers of four digits would touch
        ax.locator_params(axis="x", nbins=4)


def from_zero(ax, axes: str = "y") -> None:
    """Let the y axis, or both, begin at 0, with a margin of all that is shown: one of what the values span may cut a dot."""
    ax.update_datalim([(0, 0)], updatex="x" in axes, updatey="y" in axes)
    ax.autoscale_view()
    ax.set(**{f"{axis}lim": (0, None) for axis in axes})


def make_room_for_titles(figure) -> None:
    """Make the figure higher by the lines of its titles, those of the panel with most in each row: what `label` wrapped is known late."""
    lines = {}
    for ax in figure.axes:
        row = ax.get_subplotspec().rowspan.start
        lines[row] = max(lines.get(row, 0), ax.get_title().count("\n") + 1)
    figure.set_figheight(figure.get_figheight() + LINE * sum(lines.values()))


def name_languages(ax, codes: Iterable[str]) -> None:
    """Every code at its place 0, 1, … of the x axis, on its side where they are many."""
    codes = list(codes)
    ax.set_xticks(range(len(codes)), codes, rotation=0 if len(codes) <= FEW else 90)


def name_strategies(ax, names: list[str]) -> None:
    """The names from top to bottom of the y axis, at 0, 1, …"""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def heats(tables: dict[tuple, tuple], name: str, labels: tuple[str, str], **options):
    """A heat map of each table, all with one bar, called `name`, with a point where cells are beyond its colours; tables: (row, column) ->
    title and table; labels: of the x and y axis; options: `vmax` and others of seaborn's.
    """
    import seaborn as sns

    rows, columns = (list(dict.fromkeys(key)) for key in zip(*tables, strict=True)) if tables else ((), ())
    most = max((table.shape[1] for _, table in tables.values()), default=1)
    figure, drawn = panels(rows, columns, most=max(1, CODES // most), sharey=True)
    grid = drawn[0][0].get_gridspec()
    figure.set_figheight(grid.nrows * ((WIDTH - 1.2) / max(grid.ncols, 3) + 0.5) + 0.2)
    for ax, *key in drawn:
        title, table = tables[tuple(key)]
        sns.heatmap(table, ax=ax, square=True, cbar=False, xticklabels=True, yticklabels=True, **options)
        ax.set(title=title, xlabel="", ylabel="")
        ax.tick_params("x", labelrotation=90 if grid.ncols * most > CODES // 2 else 0)
        ax.tick_params("y", labelrotation=0)
        ax.grid(False)
    beyond = "max" if any(table.max(axis=None) > options["vmax"] for _, table in tables.values()) else "neither"
    figure.colorbar(drawn[0][0].collections[0], ax=[ax for ax, *_ in drawn], label=name, shrink=0.8, aspect=30, extend=beyond)
    figure.supxlabel(labels[0])
    figure.supylabel(labels[1])
    return figure


def bars(ax, table, by: str, groups: list[str], marks: dict | None = None) -> dict[tuple[str, str], float]:
    """A bar and a number for the mean of each strategy and a dot for each value, side by side in each of the groups of a column.

    marks: (group, strategy) -> values of what else is drawn there, which no number hides. Returns where the bars stand: (group, strategy)
    -> x.
    """
    strategies = in_order(table["strategy"])
    if not strategies:
        raise Nothing
    width, places, in_shares = 0.86 / len(strategies), {}, are_shares(table["value"])
    parts, marks = dict(iter(table.groupby([by, "strategy"])["value"])), marks or {}
    for (i, group), (j, strategy) in product(enumerate(groups), enumerate(strategies)):
        x, colour = i - 0.43 + (j + 0.5) * width, COLOURS.get(strategy)
        places[group, strategy] = x
        values = parts.get((group, strategy), [])
        ax.bar(x, values.mean() if len(values) else 0, width * 0.92, color=colour, label=strategy if i == 0 else None)
        if len(values):
            ax.plot([x] * len(values), values, "o", ms=2.2, color=colour, mec="black", mew=0.4)
            end, inside = number_place([*values, *marks.get((group, strategy), [])], in_shares)
            written(ax, values.mean(), (x, end), inside, rotation=90)
    ax.set_xticks(range(len(groups)), groups)
    ax.grid(axis="x", visible=False)
    leave_room(ax, "y", [*table["value"], *chain(*marks.values())])
    return places


def number_place(drawn: Sequence[float], in_shares: bool) -> tuple[float, bool]:
    """(where a bar's number stands, whether that is inside the bar): beyond all dots and marks, below them where an axis of shares ends."""
    highest = max(drawn, key=abs)
    inside = in_shares and highest > HIGH
    return (max(min(drawn), 1 - HIGH), True) if inside else (highest, False)


def leave_room(ax, axis: str, values: Sequence[float]) -> None:
    """Room for the numbers beside bars along an axis, which ends at 1 where all values are shares."""
    if not are_shares(values):
        ax.margins(**{axis: ROOM})
        return
    ax.margins(**{axis: 0})
    end = min(1.0, (1 + ROOM) * max(values, default=1.0))
    ax.update_datalim([(end, end)], updatex=axis == "x", updatey=axis == "y")


def are_shares(values: Iterable[float]) -> bool:
    """Whether all lie between 0 and 1, as mAP and recall do."""
    return all(0 <= value <= 1 for value in values)


def written(ax, value: float, at: tuple[float, float], inside: bool, horizontal: bool = False, **look) -> None:
    """A mean to three digits beside the end of its bar, or inside it."""
    text, side = f"{value:.3f}".replace("0.", ".", 1 if abs(value) < 1 else 0), -1 if inside or value < 0 else 1
    place = (
        {"ha": "left" if side > 0 else "right", "va": "center"} if horizontal else {"ha": "center", "va": "bottom" if side > 0 else "top"}
    )
    offset = (4 * side, 0) if horizontal else (0, 3 * side)
    ax.annotate(text, at, xytext=offset, textcoords="offset points", fontsize=6, bbox=BACKED, **place, **look)


def note_figure(text: str):
    """A figure that says why there is nothing to draw."""
    figure, axes = new_figure(height=0.8)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, textwrap.fill(text, 100), ha="center", va="center")
    return figure


def handle(label: str, marker: str, colour: str | None, ls: str = "", **look):
    """An entry of a legend: a marker, or a line where `ls` says so."""
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=colour, ls=ls, label=label, **look)


def legend_below(figure, entries: Iterable = (), **options) -> None:
    """The figure's one legend, below its axes, in as many columns as fit; entries: those of all axes where none are given."""
    named = {entry.get_label(): entry for ax in figure.axes for entry in ax.get_legend_handles_labels()[0]}
    if not (entries := list(entries) or list(named.values())):
        return
    lines = math.ceil(sum(0.5 + 0.06 * len(entry.get_label()) for entry in entries) / figure.get_figwidth())  # inches
    figure.set_figheight(figure.get_figheight() + 0.17 * (lines + len(options)) + 0.1)
    figure.legend(handles=entries, loc="outside lower center", ncols=math.ceil(len(entries) / lines), frameon=False, **options)


def in_settings(there: Iterable[str]) -> list[str]:
    """The settings that a pool has, in the figures' order: one of a single language has no cross-lingual one."""
    present = set(there)
    return [setting for setting in SHORT_SETTINGS if setting in present]


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
    separate_thousands(figure)
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


def separate_thousands(figure) -> None:
    """Commas in the numbers of every axis that goes to a thousand or beyond, in place of powers of ten, too; names stay as they are."""
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), ScalarFormatter | LogFormatter) and abs(axis.get_view_interval()).max() >= 1000:
                axis.set_major_formatter("{x:,.10g}")


def _use_palette(path: Path, metadata: dict[str, str]) -> None:
    """Write the PNG again in 256 colours chosen from its own; on the white ground of every figure nothing is transparent."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, value in metadata.items():
        texts.add_text(key, value)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(path, format="png", optimize=True, pnginfo=texts, dpi=(DPI, DPI))
