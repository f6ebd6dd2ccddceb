"""Texts made visible: pairs in every language, the first ten candidates of every strategy side by side, a browser over all questions."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from ..base.files import fingerprint
from ..base.mapped import codes
from ..base.progress import is_interactive, told_while
from ..experiment.evaluation import REFERENCE, Evaluations
from ..tasks.retrieval_task import RetrievalTask
from .question_browser import compared, mixed_pool_ap, question_page, relevant_rows
from .style import in_order
from .tables import trained

SHOWN_CHARACTERS = 110  # of a candidate
SHOWN_OF_PAIRS = 2000  # of a text of a pair; a megabyte in one line would make the notebook as long
LOOK = [
    {"selector": "th, td", "props": "text-align:start;vertical-align:top;padding:2px 6px;font-size:11px;max-width:230px"},
    {"selector": "div", "props": "min-width:7em"},  # of a text, on a phone too
]
EXTREMES = (
    "{task}, from {base}, seed {seed}: where {leader} gains most on {against}, and where it loses most. AP in the mixed pool · rank of \
the first relevant candidate (– where the first ten have none)"
)
# Closed to the notebook and the notebook to it: the page is a light one, and turned dark as a whole where JupyterLab's theme is dark, or
# outside of JupyterLab the system's. A frame in a process of its own does not learn the scheme of the page that it stands in.
FRAME = (
    "<style>body[data-jp-theme-light=false] .hybridir-questions { filter: invert(0.93) hue-rotate(180deg) } "
    "@media (prefers-color-scheme: dark) { body:not([data-jp-theme-light=true]) .hybridir-questions "
    "{ filter: invert(0.93) hue-rotate(180deg) } }</style>"
    '<iframe title="Questions, and what each strategy finds" class="hybridir-questions" sandbox="allow-scripts" \
style="width:100%;height:44rem;border:1px solid #888" srcdoc="{page}"></iframe>'
)


def show_pairs(pairs, count: int = 3) -> None:
    """Display the first `count` ids that stand in every language: question and passage, a row a language."""
    from IPython.display import HTML, display

    ids, _ = codes(pairs, "id")
    languages = np.bincount(ids)  # an id stands once a language
    widest = np.flatnonzero(languages == languages.max())
    for chosen in widest[:: max(1, len(languages) // count)][:count]:
        rows = pairs.select(np.flatnonzero(ids == chosen)).to_pandas().sort_values("language").set_index("language")
        cells = rows[["question", "passage"]].map(lambda text: _block(text, SHOWN_OF_PAIRS))
        display(HTML(f"<p><code>{html.escape(rows['id'].iloc[0])}</code></p>{_text_table(cells.rename_axis(None))}"))


def _block(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Escaped, cut, and in a block of its own direction, so that right-to-left languages and hostile texts are both shown as they are."""
    return f"<div dir='auto'>{html.escape(text if len(text) <= most else text[:most] + '…')}</div>"


def _text_table(cells: pd.DataFrame, marked: np.ndarray | None = None) -> str:
    """HTML of a table whose cells are HTML already; marked: bool, shaped as the cells, those on green. The same bytes each time."""
    styler = cells.style.set_uuid(fingerprint(cells.to_dict("list"))[:8]).set_table_styles(LOOK)
    for axis in (0, 1):
        styler = styler.format_index(escape="html", axis=axis)
    if marked is not None:
        styler = styler.apply(lambda _: np.where(marked, "background:#d9f0e3;color:#000", ""), axis=None)
    return styler.to_html()


def ranked_lists(evaluations: Evaluations, task: str, base: str, seed: int) -> dict[str, np.ndarray]:
    """Strategy -> [Q, 10] candidate rows, of one base and seed, and of BM25."""
    keys = [key for key, name in evaluations.folders if name == task]
    shown = [key for key in keys if (key.base, key.seed) == (base, seed) or (key.base, key.strategy) == (REFERENCE, "BM25")]
    lists = {key.strategy: evaluations.top(key, task) for key in shown}
    return {strategy: lists[strategy] for strategy in in_order(lists)}


def most_different(questions: pd.DataFrame, task: str, base: str, seed: int, count: int = 4) -> list[int]:
    """Query rows on whose mixed-pool AP the strategies differ most, one a language, languages of the widest gaps first."""
    rows = questions[(questions["task"] == task) & (questions["base"] == base) & (questions["seed"] == seed)]
    rows = rows[rows["setting"] == "multilingual"]
    spread = rows.groupby(["query", "query_language"])["AP"].agg(lambda ap: ap.max() - ap.min()).sort_values(ascending=False, kind="stable")
    return list(spread.reset_index().drop_duplicates("query_language")["query"].head(count))


def side_by_side(task: RetrievalTask, lists: dict[str, np.ndarray], query: int) -> str:
    """HTML table of one question: a column a strategy, a row a rank; before each text its language, and `✓ relevant` where it answers."""
    relevant, depth = relevant_rows(task, query), min(ranked.shape[1] for ranked in lists.values())
    rows = pd.DataFrame({name: ranked[query, :depth] for name, ranked in lists.items()}, index=range(1, depth + 1))
    cells = rows.map(lambda row: _text(task.candidates, row, " ✓ relevant" if row in relevant else ""))
    return _text(task.queries, query) + _text_table(cells, np.isin(rows, relevant))


def _text(frame: pd.DataFrame, row: int, mark: str = "") -> str:
    """A text of a task below its language."""
    return f"<b>{html.escape(frame['language'].iloc[row])}{mark}</b>{_block(frame['text'].iloc[row])}"


def show_questions(task: RetrievalTask, lists: dict[str, np.ndarray], queries: list[int]) -> None:
    """Display the side-by-side tables of some questions."""
    from IPython.display import HTML, display

    for query in queries:
        display(HTML(side_by_side(task, lists, query)))


def browse(evaluations: Evaluations, tasks: dict[str, RetrievalTask], questions: pd.DataFrame) -> None:
    """Display the questions that hybrid gains and loses most on; where a person has the notebook open, the browser over all questions, too.

    The browser is a page in a frame of fixed height, which can do nothing to the notebook and goes with it into an exported page.
    """
    from IPython.display import HTML, display

    with told_while("putting the questions together"):
        shown = gains_and_losses(evaluations, *next(iter(tasks.items())), questions)
        if is_interactive():
            shown += FRAME.replace("{page}", html.escape(question_page(evaluations, tasks, questions)))
    display(HTML(shown))


def gains_and_losses(evaluations: Evaluations, name: str, task: RetrievalTask, questions: pd.DataFrame, count: int = 3) -> str:
    """HTML table of the questions on which hybrid gains most, then of those on which it loses most, in the first base and seed; a sentence
    where no two strategies can be compared. name: the task's in the profile.
    """
    questions = questions[questions["task"] == name]
    leader, against = compared(questions)
    if not against:
        return "<p>This run has no two trained strategies to compare.</p>"
    base, seed = trained(questions)[["base", "seed"]].iloc[0]
    ap = mixed_pool_ap(questions)[base].xs(seed, axis="columns", level="seed")
    gaps = (ap[leader] - ap[against]).dropna().sort_values(ascending=False, kind="stable")
    shown = pd.concat([gaps.head(count), gaps.tail(count)])
    lists = ranked_lists(evaluations, name, base, seed)
    cells = {"question": [_text(task.queries, row) for row in shown.index]}
    cells |= {key: [_outcome(task, row, lists[key], ap[key]) for row in shown.index] for key in lists if key in ap}
    title = EXTREMES.format(task=name, base=base, seed=seed, leader=leader, against=against)
    table = pd.DataFrame(cells, index=[f"{gap:+z.3f}" for gap in shown]).rename_axis(columns=f"{leader} − {against}")
    return f"<p>{html.escape(title)}</p>{_text_table(table)}"


def _outcome(task: RetrievalTask, row: int, top: np.ndarray, ap: pd.Series) -> str:
    """A strategy's AP of a question and the rank of its first relevant candidate."""
    first = np.flatnonzero(np.isin(top[row], relevant_rows(task, row)))[:1] + 1
    return f"{ap[row]:.3f}\u00a0·\u00a0{first[0] if len(first) else '–'}"
