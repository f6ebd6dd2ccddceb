"""Retrieval made visible: the first ten candidates of every strategy side by side, and a browser over all questions."""

from __future__ import annotations

import html
import os

import numpy as np
import pandas as pd

from ..experiment.encoders import EncoderKey
from ..experiment.evaluation import REFERENCE, Evaluations
from ..tasks.retrieval_task import RetrievalTask
from .style import in_order

MARK = {True: "✓", False: ""}
SHOWN_CHARACTERS = 110
STYLE = "text-align:left;vertical-align:top;padding:2px 6px;border-bottom:1px solid #ddd;font-size:11px;max-width:230px"


def ranked_lists(evaluations: Evaluations, task: str, base: str, seed: int) -> dict[str, np.ndarray]:
    """Strategy -> [Q, 10] candidate rows, of one base and seed, and of BM25."""
    keys = [key for key, name in evaluations.folders if name == task and _shown(key, base, seed)]
    lists = {key.strategy: evaluations.top(key, task) for key in keys}
    return {strategy: lists[strategy] for strategy in in_order(lists)}


def _shown(key: EncoderKey, base: str, seed: int) -> bool:
    return (key.base == base and key.seed == seed) or (key.base == REFERENCE and key.strategy == "BM25")


def most_different(questions: pd.DataFrame, task: str, base: str, seed: int, count: int = 4) -> list[int]:
    """Query rows on whose mixed-pool AP the strategies differ most, one a language, languages of the widest gaps first."""
    rows = questions[(questions["task"] == task) & (questions["base"] == base) & (questions["seed"] == seed)]
    rows = rows[rows["setting"] == "multilingual"]
    spread = rows.groupby(["query", "query_language"])["AP"].agg(lambda ap: ap.max() - ap.min()).sort_values(ascending=False, kind="stable")
    return list(spread.reset_index().drop_duplicates("query_language")["query"].head(count))


def side_by_side(task: RetrievalTask, lists: dict[str, np.ndarray], query: int) -> str:
    """HTML table of one question: a column a strategy, a row a rank; language and ✓ for relevant stand before each text.

    Every text is escaped, isolated (`bdi`) and set in its own direction, so right-to-left languages and hostile texts are
    both shown as they are.
    """
    relevant = set(task.relevant_pairs[task.relevant_pairs[:, 0] == query, 1].tolist())
    asked = task.queries.iloc[query]
    head = f"<p><b>{html.escape(asked['language'])}</b> <bdi dir='auto'>{html.escape(_short(asked['text']))}</bdi></p>"
    columns = "".join(f"<th scope='col' style='{STYLE}'>{html.escape(name)}</th>" for name in lists)
    body = "".join(
        f"<tr><th scope='row' style='{STYLE}'>{rank + 1}</th>"
        + "".join(_cell(task, rows[query, rank], relevant) for rows in lists.values())
        + "</tr>"
        for rank in range(min(rows.shape[1] for rows in lists.values()))
    )
    header = f"<thead><tr><th scope='col' style='{STYLE}'>rank</th>{columns}</tr></thead>"
    return f"{head}<table style='border-collapse:collapse'>{header}<tbody>{body}</tbody></table>"


def _cell(task: RetrievalTask, row: int, relevant: set[int]) -> str:
    candidate = task.candidates.iloc[row]
    colour = "background:#d9f0e3" if int(row) in relevant else ""
    mark = f"{html.escape(candidate['language'])} {MARK[int(row) in relevant]}"
    return f"<td style='{STYLE};{colour}'><b>{mark}</b> <bdi dir='auto'>{html.escape(_short(candidate['text']))}</bdi></td>"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


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


def is_interactive() -> bool:
    """Whether a person's Jupyter server started this kernel; papermill, nbconvert and nbval set no session name."""
    return "JPY_SESSION_NAME" in os.environ


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
