"""Texts made visible: pairs in every language, the first ten candidates of every strategy side by side, a browser over all questions."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from ..base.files import fingerprint
from ..base.mapped import codes
from ..base.progress import is_interactive
from ..experiment.evaluation import REFERENCE, Evaluations
from ..tasks.retrieval_task import RetrievalTask
from .style import in_order

SHOWN_CHARACTERS = 110  # of a candidate
SHOWN_OF_PAIRS = 2000  # of a text of a pair; a megabyte in one line would make the notebook as long
LOOK = [{"selector": "th, td", "props": "text-align:start;vertical-align:top;padding:2px 6px;font-size:11px;max-width:230px"}]


def show_pairs(pairs, count: int = 3) -> None:
    """Display the first `count` ids that stand in every language: question and passage, a row a language."""
    from IPython.display import HTML, display

    ids, _ = codes(pairs, "id")
    languages = np.bincount(ids)  # an id stands once a language
    widest = np.flatnonzero(languages == languages.max())
    for chosen in widest[:: max(1, len(languages) // count)][:count]:
        rows = pairs.select(np.flatnonzero(ids == chosen)).to_pandas().sort_values("language").set_index("language")
        cells = rows[["question", "passage"]].map(lambda text: _isolated(text, SHOWN_OF_PAIRS))
        display(HTML(f"<p><code>{html.escape(rows['id'].iloc[0])}</code></p>{_text_table(cells.rename_axis(None))}"))


def _isolated(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Escaped, cut, and set in its own direction, so that right-to-left languages and hostile texts are both shown as they are."""
    return f"<bdi dir='auto'>{html.escape(_short(text, most))}</bdi>"


def _short(text: str, most: int = SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _text_table(cells: pd.DataFrame, marked: np.ndarray | None = None) -> str:
    """HTML of a table whose cells are HTML already; marked: bool, shaped as the cells, those on green. The same bytes each time."""
    styler = cells.style.set_uuid(fingerprint(cells.to_dict("list"))[:8]).set_table_styles(LOOK)
    for axis in (0, 1):
        styler = styler.format_index(escape="html", axis=axis)
    return (
        styler.apply(lambda _: np.where(marked, "background:#d9f0e3", ""), axis=None).to_html() if marked is not None else styler.to_html()
    )


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
    """HTML table of one question: a column a strategy, a row a rank; language and ✓ for relevant stand before each text."""
    relevant = task.relevant_pairs[task.relevant_pairs[:, 0] == query, 1]
    asked = task.queries.iloc[query]
    depth = min(ranked.shape[1] for ranked in lists.values())
    rows = pd.DataFrame({name: ranked[query, :depth] for name, ranked in lists.items()}, index=range(1, depth + 1))
    marked = np.isin(rows, relevant)
    cells = rows.map(lambda row: _candidate(task, row, row in relevant))
    return f"<p><b>{html.escape(asked['language'])}</b> {_isolated(asked['text'])}</p>{_text_table(cells, marked)}"


def _candidate(task: RetrievalTask, row: int, is_relevant: bool) -> str:
    candidate = task.candidates.iloc[row]
    return f"<b>{html.escape(candidate['language'])} {'✓' if is_relevant else ''}</b> {_isolated(candidate['text'])}"


def show_questions(task: RetrievalTask, lists: dict[str, np.ndarray], queries: list[int]) -> None:
    """Display the side-by-side tables of some questions."""
    from IPython.display import HTML, display

    for query in queries:
        display(HTML(side_by_side(task, lists, query)))


def browse(task: RetrievalTask, lists: dict[str, np.ndarray], start: int = 0) -> None:
    """A browser over all questions in JupyterLab (language, number, search); headless, the table of question `start`."""
    if not is_interactive():
        show_questions(task, lists, [start])
        return
    from IPython.display import display

    display(question_browser(task, lists, start))


def question_browser(task: RetrievalTask, lists: dict[str, np.ndarray], start: int = 0):
    """ipywidgets box: choose a language, search in the questions, step through the hits."""
    import ipywidgets as widgets

    texts, languages = task.queries["text"].str.casefold(), task.queries["language"]
    language = widgets.Dropdown(options=sorted(set(languages)), value=languages.iloc[start], description="language")
    search = widgets.Text(description="contains", continuous_update=False)
    chosen, shown = widgets.Dropdown(description="question"), widgets.HTML()

    def refill(*_) -> None:
        hits = np.flatnonzero((languages == language.value) & texts.str.contains(search.value.casefold(), regex=False))
        chosen.options = [(_short(task.queries["text"].iloc[row]), int(row)) for row in hits]
        chosen.value = int(hits[0]) if len(hits) else None  # after an empty search the widget would choose nothing

    def render(*_) -> None:
        shown.value = side_by_side(task, lists, chosen.value) if chosen.value is not None else "no such question"

    language.observe(refill, "value")
    search.observe(refill, "value")
    chosen.observe(render, "value")
    refill()
    chosen.value = int(start)
    return widgets.VBox([widgets.HBox([language, search]), chosen, shown])
