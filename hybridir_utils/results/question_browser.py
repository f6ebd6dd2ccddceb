"""The question browser: one page, drawn once from a run's evaluations, that needs no kernel, network or library.

It shows what each strategy finds for a question, for every ranked task, base and seed. Texts lie packed in it and come to the page as text
alone; no script but its own may run there.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from ..experiment.encoders import EncoderKey
from ..experiment.evaluation import REFERENCE, Evaluations
from ..tasks.retrieval_task import RetrievalTask
from .style import in_order
from .tables import trained

HERE = Path(__file__).parent
MOST_PLACES = 1_500_000  # of a task's ranked lists in a page, about two bytes each; questions of a larger task are drawn evenly
SHOWN_OF_QUESTION, SHOWN_OF_CANDIDATE = 2000, 300  # characters


def question_page(evaluations: Evaluations, tasks: dict[str, RetrievalTask], questions: pd.DataFrame) -> str:
    """The page of all tasks that are ranked in full; questions: `Evaluations.table("questions")`."""
    import jinja2

    parts = {name: _task_part(evaluations, name, task, questions[questions["task"] == name]) for name, task in tasks.items()}
    packed = gzip.compress(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)
    script = (HERE / "question_browser.js").read_text(encoding="utf-8")
    digest = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = jinja2.Template((HERE / "question_browser.html").read_text(encoding="utf-8"))
    return page.render(data=base64.b64encode(packed).decode(), script=script, digest=digest)


def mixed_pool_ap(questions: pd.DataFrame) -> pd.DataFrame:
    """AP in the mixed pool: a row a query, columns (base, strategy, seed)."""
    rows = questions[questions["setting"] == "multilingual"]
    return rows.pivot(index="query", columns=["base", "strategy", "seed"], values="AP")


def compared(questions: pd.DataFrame) -> tuple[str, str]:
    """(hybrid, X-X-mono): whose AP is held against whose. Of a run without one of them its last or first trained strategy; "" for none."""
    names = in_order(trained(questions)["strategy"])
    leader = next((name for name in ("hybrid", *reversed(names)) if name in names), "")
    return leader, next((name for name in ("X-X-mono", *names) if name in names and name != leader), "")


def relevant_rows(task: RetrievalTask, query: int) -> np.ndarray:
    """The candidate rows that answer a query."""
    first, last = np.searchsorted(task.relevant_pairs[:, 0], [query, query + 1])
    return task.relevant_pairs[first:last, 1]


def _task_part(evaluations: Evaluations, name: str, task: RetrievalTask, questions: pd.DataFrame) -> dict:
    """What the page holds of a task; name: its name in the profile.

    candidates: those that stand in a list. seen: by question, their rows; relevant: which of these answer it; answers: how many do in the
    pool. lists: of each encoder, the AP in thousandths, and the places in `seen` of its first `depth` candidates, question after question.
    Candidates are counted in each question's order of coming, which packs a third smaller.
    """
    keys = _listed(evaluations, name)
    tops = np.stack([evaluations.top(key, name) for key in keys], axis=1)  # [Q, lists, depth]
    drawn = np.unique(np.linspace(0, len(tops) - 1, min(len(tops), MOST_PLACES // tops[0].size)).astype(int))
    used, tops = np.unique(tops[drawn], return_inverse=True)
    places, seen = zip(*(pd.factorize(lists.ravel()) for lists in tops), strict=True)
    answers = [relevant_rows(task, query) for query in drawn]
    return {
        **dict(zip(("leader", "against"), compared(questions), strict=True)),
        "reference": REFERENCE,
        "asked": len(task.queries),
        "texts": [text[:SHOWN_OF_QUESTION] for text in task.queries["text"].iloc[drawn]],
        "languages": list(task.queries["language"].iloc[drawn]),
        "answers": list(map(len, answers)),
        "candidates": [(row.language, row.text[:SHOWN_OF_CANDIDATE]) for row in task.candidates.iloc[used].itertuples()],
        "seen": [rows.tolist() for rows in seen],
        "relevant": [rows[np.isin(used[rows], own)].tolist() for rows, own in zip(seen, answers, strict=True)],
        "depth": tops.shape[2],
        "lists": _lists(keys, mixed_pool_ap(questions).reindex(drawn), np.reshape(places, tops.shape)),
    }


def _listed(evaluations: Evaluations, task: str) -> list[EncoderKey]:
    """The task's evaluations whose lists are worth reading, strategies in the figures' order."""
    keys = [key for key, name in evaluations.folders if name == task and (key.base, key.strategy) != (REFERENCE, "random")]
    order = in_order(key.strategy for key in keys)
    return sorted(keys, key=lambda key: order.index(key.strategy))


def _lists(keys: list[EncoderKey], ap: pd.DataFrame, places: np.ndarray) -> list[dict]:
    """ap: of `mixed_pool_ap`; places: [Q, lists, depth], the lists in the order of `keys`."""
    found = []
    for number, key in enumerate(keys):
        about = {"base": key.base, "strategy": key.strategy, "seed": key.seed}
        values = [None if np.isnan(value) else round(value * 1000) for value in ap[key.base, key.strategy, key.seed]]
        found.append(about | {"ap": values, "top": places[:, number].ravel().tolist()})
    return found
