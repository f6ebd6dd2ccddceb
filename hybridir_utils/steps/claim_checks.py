"""What notebook 09 counts anew about the data and the batches: the realised mix, what leaks after cleaning, what the tasks hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..base.runs import artefact
from ..data.batching import BatchPlan
from ..data.leakage import leaks
from ..data.parallel_index import ParallelIndex, sorted_codes
from ..rank.significance import holm
from ..tasks.retrieval_task import RetrievalTask
from .encoders import plans
from .preparation import PreparedPairs, evaluation_tasks, tested_texts
from .session import Run

MONO, CROSS, NEITHER = "monolingual batches", "cross-lingual batches", "batches of neither kind"
ALL = "all batches"
MIXTURE_COLUMNS = ["share", "of", "planned", "realised", "count", "batches", "low", "high", "p", "p_holm"]
COUNT_COLUMNS = ["task", "language", "questions", "translated", "answered", "answered_elsewhere", "candidates"]


def mixture(run: Run, prepared: PreparedPairs) -> pd.DataFrame:
    """Shares of the hybrid batches over the plans of all seeds, counted from their rows; no rows where the profile trains no hybrid.

    Columns MIXTURE_COLUMNS. share, of: monolingual ones and those of neither kind `of` all batches (planned: alpha and 0), each data
    set `of` the batches of a kind (planned: its share of the ids such a batch can draw from). low, high: the 95 % interval of the
    binomial of `batches` and `planned`, as shares; p: its exact two-sided test; p_holm: corrected over the rows.
    """
    if "hybrid" not in run.profile.strategies:
        return pd.DataFrame(columns=MIXTURE_COLUMNS)
    index, rows = ParallelIndex(prepared.train), [sorted_codes(prepared.train, column)[0] for column in ("language", "source")]
    parts = [_batches(plans(run, prepared, seed)["hybrid"], *rows) for seed in run.profile.seeds]
    kind, source = (np.concatenate(part) for part in zip(*parts, strict=True))
    counted = [(MONO, ALL, run.profile.alpha, kind == MONO, kind != ""), (NEITHER, ALL, 0.0, kind == NEITHER, kind != "")]
    for name, least in ((MONO, 1), (CROSS, 2)):
        sizes = np.bincount(index.sources[index.count >= least], minlength=len(index.source_names))
        shares = zip(index.source_names, sizes / sizes.sum(), strict=True)
        counted += [(source_, name, share, (kind == name) & (source == n), kind == name) for n, (source_, share) in enumerate(shares)]
    table = pd.DataFrame([_share(*each) for each in counted if each[-1].any()])
    return table.assign(p_holm=holm(table["p"].to_numpy()))[MIXTURE_COLUMNS]


def _batches(plan: BatchPlan, language: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([steps] MONO, CROSS or NEITHER, [steps] number of the data set) by the rows that meet; several data sets in one are NEITHER."""
    question, passage = language[plan.question_rows], language[plan.passage_rows]
    mono = (question == question[:, :1]).all(1) & (question == passage).all(1)
    of_one_set = (source[plan.question_rows] == source[plan.question_rows][:, :1]).all(1)
    kind = np.select([~of_one_set, mono, (question != passage).all(1)], [NEITHER, MONO, CROSS], NEITHER)
    return kind, source[plan.question_rows[:, 0]]


def _share(share: str, of: str, planned: float, hits: np.ndarray, among: np.ndarray) -> dict:
    from scipy.stats import binom, binomtest

    count, batches = int(hits.sum()), int(among.sum())
    low, high = binom.interval(0.95, batches, planned)
    realised = {"realised": count / batches, "count": count, "batches": batches, "low": low / batches, "high": high / batches}
    return {"share": share, "of": of, "planned": planned, **realised, "p": binomtest(count, batches, min(planned, 1.0)).pvalue}


def leaks_left(run: Run, prepared: PreparedPairs) -> pd.DataFrame:
    """The leak check of notebook 01 once more, on the pairs that training reads: rows as `PreparedPairs.leaks`, none when all is clean.

    Kept beside the pairs, and read the next time.
    """

    def make(out: Path) -> None:
        found = [leaks(prepared.train, task, run.profile.near_duplicate).assign(task=task.name) for task in tested_texts(run)]
        pd.concat(found, ignore_index=True).to_parquet(out / "leaks.parquet", index=False)

    recipe = {"pairs": prepared.folder.name, "tests": run.profile.test_sets, "near_duplicate": run.profile.near_duplicate}
    folder = artefact(run.artefacts / "pairs", "leaks-left", recipe, "claim_checks", make)
    return pd.read_parquet(folder / "leaks.parquet")


def task_counts(run: Run) -> pd.DataFrame:
    """COUNT_COLUMNS, a row a language, of the tasks that are ranked in full, named as in the profile.

    Of the questions of a language: translated, those whose id stands in another language too; answered, those with a relevant
    candidate in their own language; answered_elsewhere, in another one.
    """
    return pd.concat([_counts(task).assign(task=name) for name, task in evaluation_tasks(run).items()], ignore_index=True)[COUNT_COLUMNS]


def _counts(task: RetrievalTask) -> pd.DataFrame:
    query, candidate = task.relevant_pairs.T
    own = task.query_language[query] == task.candidate_language[candidate]
    rows = np.arange(len(task.queries))
    flags = {
        "questions": np.ones(len(rows), dtype=int),
        "translated": task.queries.groupby("group")["language"].transform("nunique").to_numpy() > 1,
        "answered": np.isin(rows, query[own]),
        "answered_elsewhere": np.isin(rows, query[~own]),
    }
    counts = pd.DataFrame(flags).groupby(task.queries["language"].to_numpy()).sum()
    candidates = task.candidates["language"].value_counts()
    return counts.assign(candidates=candidates.reindex(counts.index).fillna(0).astype(int)).rename_axis("language").reset_index()
