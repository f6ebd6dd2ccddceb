"""What notebooks show of tables: one style, one table a base, the best value bold; and evidence folded, which opens without JavaScript."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from ..base.files import fingerprint
from ..experiment.evaluation import REFERENCE
from .tables import LOWER_IS_BETTER, as_texts, column_names, difference_table, is_clear

GOALS = re.compile("mAP|R@|Recall@|nDCG@|kept|rank distance")  # columns of which one value is the best
MOST_ROWS = 15  # of a table that lies open
MOST_SENTENCES = 5  # that lie open
NO_STAR = "\u2007\u2007"  # as wide, so that numbers stand below each other
TEXT = re.compile(r"[^\W\d_]{2,} [^\W\d_]{2,}|^[^\s\[(]+, ")  # words, or a list, which may begin with a number
LONG = 60  # characters from which on a column of texts may wrap
STYLE = "hybridir"  # class of each table, by which the tests know them
BESIDE = "display:inline-block;vertical-align:top;max-width:100%;overflow-x:auto;margin:0 2em 0.5em 0"
BLANK = '<th class="blank" >&nbsp;</th>'  # of pandas, above all levels of the index but the last
LOOK = [
    {"selector": "th, td", "props": "text-align:right;white-space:nowrap;vertical-align:top"},
    {"selector": "tbody th, th.blank, th.index_name", "props": "text-align:left"},
    {"selector": ".unclear", "props": "opacity:0.65"},  # grey on white and on black
]


PRINTED = """<style>
@media print {
  table.hybridir { font-size: 6.5pt !important; }
  table.hybridir :is(th, td) { white-space: normal !important; min-width: 0 !important; padding: 1pt 2pt !important; }
  pre { white-space: pre-wrap !important; }
}
</style>"""  # once a notebook: on paper nothing can be scrolled, so all of a table and of a cell has to fit


@dataclass(frozen=True)
class Shown:
    """HTML where a notebook shows it, text elsewhere; the same bytes each time."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def table(frame: pd.DataFrame, best: bool = False, grey: pd.DataFrame | None = None, title: str = "") -> Shown | None:
    """A table in the one style: one for each base; for each task, too, where it is longer than MOST_ROWS, those of the others folded.

    best: the best value of each column of GOALS is bold. grey: bool, shaped as the frame: cells that do not count. None, which shows
    nothing, for a frame without rows.
    """
    if frame.empty:
        return None
    html = ""
    for name, rows, is_first in parts(frame):
        part = frame.iloc[rows].droplevel([*name])
        part = part.loc[:, ~(part.isna() | part.eq("")).all()]
        styled = _styled(part, best, None if grey is None else grey.iloc[rows][part.columns].to_numpy())
        told = ": ".join(filter(None, [title, ", ".join(name.values())]))
        if is_first and len(part) <= MOST_ROWS:
            html += f"<div style='{BESIDE}'>{f'<p>{escape(told)}</p>' if told else ''}{styled}</div>"
        else:
            html += _details(f"{told or 'Table'} ({len(part)} rows)", styled)
    return Shown(html, frame.to_string(max_rows=2 * MOST_ROWS))


def tests(tests: pd.DataFrame) -> Shown | None:
    """`difference_table` to look at: differences that are not clear are grey."""
    if tests.empty:
        return None
    cells, clear = difference_table(tests)
    return table(cells, grey=~clear)


def starred(frame: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """The cells with a star behind those that a test tells from its baseline (`tables.is_clear`); frame: indexed by what the tests name."""
    if tests.empty:
        return frame
    stars = tests.assign(column=column_names(tests, "measure"), star=np.where(is_clear(tests), " *", NO_STAR))
    wide = stars.pivot(index=list(frame.index.names), columns="column", values="star").reindex(frame.index).fillna(NO_STAR)
    wide = wide.reindex(columns=frame.columns, fill_value="")
    return frame.where(frame.isna() | frame.eq(""), frame.astype(str) + wide)


def folded(title: str, *shown) -> Shown | None:
    """Tables and figures below a line that opens them; None where there is none of them."""
    there = [each for each in shown if each is not None]
    return Shown(_details(title, "".join(map(_html, there))), "\n\n".join([title, *map(repr, there)])) if there else None


def together(*shown: Shown | None) -> Shown | None:
    """One below the other, as one output; None where there is none of them."""
    there = [each for each in shown if each is not None]
    return Shown("".join(each.html for each in there), "\n\n".join(each.text for each in there if each.text)) if there else None


def section(heading: str, text: str, *shown) -> Shown | None:
    """What only some runs have, below a heading of its own; None, and no heading, where there is none of it."""
    there = together(*shown)
    return there and together(Shown(f"<h2>{escape(heading)}</h2>", heading), paragraph(text), there)


def paragraph(text: str) -> Shown:
    """A text below a table; what stands between back quotes is code."""
    html = re.sub("`(.+?)`", r"<code>\1</code>", escape(text))
    return Shown(f"<p>{html}</p>", text)


def listed(sentences: Sequence[str], further: Sequence[str] = ()) -> str:
    """A Markdown list of the first MOST_SENTENCES, one of `further` where there is none; the others folded below it."""
    told, opened = [*sentences, *further], min(max(len(sentences), 1), MOST_SENTENCES)
    first, others = told[:opened], told[opened:]
    fold = [
        "",
        f"<details><summary>{len(others)} more finding{'s' * (len(others) > 1)}</summary>",
        "",
        *(f"- {other}" for other in others),
        "",
        "</details>",
    ]
    return "\n".join([*(f"- {sentence}" for sentence in first), *(fold if others else [])])


def _details(title: str, html: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def _html(each) -> str:
    """HTML of what Jupyter would show; of a picture, with its alternative text."""
    if not hasattr(each, "alt"):
        return each._repr_html_()
    data = base64.b64encode(each.data).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(each.alt)}" width="{each.width}" style="max-width:100%">'


def parts(frame: pd.DataFrame) -> Iterator[tuple[dict[str, str], np.ndarray, bool]]:
    """(what the caption says: task, base; row numbers; whether of the first task), each base with the references' rows."""
    index, rows = frame.index, np.arange(len(frame))
    names = [name for name in ("task", "base") if name in index.names and index.nlevels > 1]
    of = {name: index.get_level_values(name) for name in names}
    tasks = of["task"].unique() if "task" in of and (len(frame) > MOST_ROWS or of["task"].nunique() == 1) else [None]
    bases = [base for base in of["base"].unique() if base != REFERENCE] if "base" in of else [None]
    for task in tasks:
        for base in bases or [REFERENCE]:
            chosen = np.ones(len(frame), bool) if task is None else of["task"] == task
            chosen = chosen if base is None else chosen & of["base"].isin([base, REFERENCE])
            name = ({} if task is None else {"task": str(task)}) | ({} if base is None else {"base": f"from {base}"})
            if chosen.any():
                yield name, rows[chosen], task == tasks[0]


def _styled(frame: pd.DataFrame, best: bool, grey: np.ndarray | None) -> str:
    from pandas.io.formats.style import Styler

    bold = best_of_columns(frame) if best else pd.DataFrame(False, frame.index, frame.columns)
    cells = as_texts(frame)
    texts = cells.map(escape).mask(bold, cells.map(lambda cell: f"<b>{escape(cell)}</b>"))
    labels = [" ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in frame.columns]
    texts.columns = [label.replace("_", " ") for label in labels]
    names = [escape(str(name or "").replace("_", " ")) for name in frame.index.names]
    texts = texts.rename_axis(index=names, columns=names[-1])
    styler = Styler(texts, uuid=fingerprint(cells.to_csv())[:8], cell_ids=False).hide(names=True)
    styler = styler.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
    if grey is not None:
        styler = styler.set_td_classes(pd.DataFrame(np.where(grey, "unclear", ""), texts.index, texts.columns))
    if isinstance(frame.index, pd.RangeIndex):
        styler = styler.hide(axis="index")
    html = styler.set_table_styles([*LOOK, *_of_texts(cells)]).to_html(table_attributes=f'class="{STYLE}"')
    for name in names[:-1]:  # at the head of the columns, where pandas leaves their places blank for a row of their own
        html = html.replace(BLANK, f'<th class="index_name">{name}</th>', 1)
    return html


def _of_texts(cells: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Styles of the columns that hold texts: on the left, and wrapped where they are long."""
    for place, (_, column) in enumerate(cells.items()):
        if column.map(_number).isna().all() or column.str.contains(TEXT).any():
            wrapped = ";white-space:normal;min-width:16em" if column.str.len().max() > LONG else ""
            yield {"selector": f".col{place}", "props": f"text-align:left{wrapped}"}


def best_of_columns(table: pd.DataFrame) -> pd.DataFrame:
    """bool, shaped as the table: the best of each column of GOALS among the rows of its task; cells may be numbers or begin with one."""
    signs = {column: -1 if any(name in str(column) for name in LOWER_IS_BETTER) else 1 for column in table if GOALS.search(str(column))}
    numbers = table[list(signs)].map(_number) * list(signs.values())
    tasks = table.index.get_level_values("task") if "task" in table.index.names else np.zeros(len(table))
    return numbers.eq(numbers.groupby(tasks).transform("max")).reindex(columns=table.columns, fill_value=False)


def _number(cell: object) -> float:
    return pd.to_numeric("".join(str(cell).split()[:1]).replace(",", "").removesuffix("%"), errors="coerce")
