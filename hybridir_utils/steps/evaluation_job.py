"""One evaluation, in a process of its own: encode a task once, rank it once, and keep every measure of those ranks."""

from __future__ import annotations

from functools import lru_cache
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.files import file_safe
from ..base.runs import artefact
from ..rank.alignment import ALIGNMENT_COLUMNS, alignment_scores
from ..rank.bias import bias_scores, rank_distances
from ..rank.debiasing import DEBIASERS
from ..rank.encoding import TaskVectors, encode_task, open_encoder
from ..rank.lexical import bm25_scores, random_scores
from ..rank.metrics import heat_map, per_query, scores, truncated_ap
from ..rank.opening import Opening
from ..rank.ranking import Ranks, dot_scores, rank_task
from ..rank.search_evaluation import encoder_ranker, evaluate_search
from ..tasks.parallel_texts import SIDES, parallel_rows
from ..tasks.retrieval_task import RetrievalTask
from .corpora import retrieval_task
from .search_tasks import is_search_task, search_task

REFERENCES = {"BM25": bm25_scores, "random": lambda task: random_scores(task, seed=0)}
SHOWN = 10  # length of the ranked lists kept for reading
MAPPED_GROUPS = 25  # parallel questions on the 2-D map


def run_job(root: str, name: str, recipe: dict, encoder: str, means: dict) -> str:
    """Make the evaluation artefact of a recipe (see evaluation.evaluate) below the run's artefacts; returns its folder.

    encoder: the folder (or hub name) to open, or a key of REFERENCES. means: what the result does not depend on: the profile's
    data_dir, batch_tokens, shard_size, scheduler.
    """
    room = Path(root)
    return str(artefact(room / "evaluations", name, recipe, "evaluation_job", lambda out: _evaluate(out, room, recipe, encoder, means)))


def _evaluate(out: Path, root: Path, recipe: dict, encoder: str, means: dict) -> None:
    if is_search_task(recipe["task"]):
        _searched(out, root, recipe, encoder, means)
        return
    languages = (tuple(recipe["languages"]), means["data_dir"], recipe["corpus_seed"], tuple(recipe["task_languages"]))
    task = _task(recipe["task"], *languages)
    if encoder in REFERENCES:
        _save_measures(out, rank_task(REFERENCES[encoder](task), task, recipe["depth"]), task)
        return
    model = open_encoder(encoder, Opening(**recipe["opening"]))
    vectors = encode_task(model, task, means["batch_tokens"], recipe["precision"])
    _save_measures(out, rank_task(dot_scores(vectors.queries, vectors.candidates), task, recipe["depth"]), task)
    several = len(set(task.candidate_language)) > 1  # one language has no identity to remove, and nothing to be aligned with
    if recipe["debias"] and several:
        _debiased(vectors, task, recipe["depth"]).to_parquet(out / "debiasing.parquet", index=False)
    if recipe["aligned"] and several:
        _alignment(vectors, task).to_parquet(out / "alignment.parquet", index=False)
    if recipe["mapped"] and several:
        _map(vectors, task).to_parquet(out / "map.parquet", index=False)


@lru_cache(maxsize=4)
def _task(*name_and_languages) -> RetrievalTask:
    """One process evaluates many encoders on a few tasks, and reading a task may take as long as ranking it."""
    return retrieval_task(*name_and_languages)


def _searched(out: Path, root: Path, recipe: dict, encoder: str, means: dict) -> None:
    """Scores of a task whose pools are searched to a depth; the corpora's vectors stay, in shards, beside the evaluations."""
    task = search_task(recipe["task"], recipe["task_languages"], means["data_dir"])
    options = {"precision": recipe["precision"], "vector_precision": recipe["vector_precision"], "batch_tokens": means["batch_tokens"]}
    options |= {"shard_size": means["shard_size"], "scheduler": means["scheduler"]}
    rank = encoder_ranker(encoder, root / "vectors" / file_safe(recipe["task"]), opening=Opening(**recipe["opening"]), **options)
    per = evaluate_search(task, rank, recipe["depth"])
    scores(per).to_parquet(out / "scores.parquet", index=False)
    per.to_parquet(out / "questions.parquet", index=False)


def _save_measures(out: Path, ranks: Ranks, task: RetrievalTask) -> None:
    per = per_query(ranks, task)
    per["AP@100"] = truncated_ap(ranks, task, 100)
    scores(per).to_parquet(out / "scores.parquet", index=False)
    bias_scores(ranks, task).to_parquet(out / "bias.parquet", index=False)
    _per_question(per, ranks, task).to_parquet(out / "questions.parquet", index=False)
    cells = heat_map(ranks, task).rename_axis("query_language").reset_index()
    cells.melt("query_language", var_name="candidate_language", value_name="value").to_parquet(out / "heat.parquet", index=False)
    np.save(out / "top.npy", ranks.top[:, :SHOWN].astype(np.int32))


def _per_question(per: pd.DataFrame, ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """One row per (setting, question): AP, R@1, R@10 averaged over its pools, and the rank distance in the mixed pool."""
    keys = ["setting", "query", "group", "query_language"]
    means = per.groupby(keys, observed=True)[["AP", "R@1", "R@10"]].mean().reset_index()
    distances = rank_distances(ranks, task)[["query", "rank_distance"]].assign(setting="multilingual")
    return means.astype({"setting": str}).merge(distances, on=["setting", "query"], how="left")


def _debiased(vectors: TaskVectors, task: RetrievalTask, depth: int) -> pd.DataFrame:
    """Macro mAP of each setting and the mean rank distance after each training-free method, fitted on the candidates."""
    languages = {"queries": task.queries["language"].to_numpy(), "candidates": task.candidates["language"].to_numpy()}
    tables = []
    for method, fit in DEBIASERS.items():
        debiaser = fit(vectors.candidates, languages["candidates"])
        sides = [debiaser.apply(getattr(vectors, side), codes) for side, codes in languages.items()]
        ranks = rank_task(dot_scores(*sides), task, depth)
        tables.append(_summary(ranks, task).assign(method=method))
    return pd.concat(tables, ignore_index=True)


def _summary(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    table = scores(per_query(ranks, task)).query("query_language == 'macro' and metric == 'mAP'")
    distance = rank_distances(ranks, task).groupby("query_language")["rank_distance"].mean().mean()
    rows = [*table[["setting", "metric", "value"]].itertuples(index=False, name=None), ("multilingual", "rank distance", distance)]
    return pd.DataFrame(rows, columns=["setting", "metric", "value"])


def _alignment(vectors: TaskVectors, task: RetrievalTask) -> pd.DataFrame:
    """`alignment_scores` of the questions and of the passages that answer them (column side); no rows where a side is not parallel."""
    tables = [pd.DataFrame(columns=[*ALIGNMENT_COLUMNS, "side"]).astype({"value": float, "n": int})]
    for side, own in zip(SIDES, (vectors.queries, vectors.candidates), strict=True):
        texts = parallel_rows(task, side)
        if len(texts):
            rows = texts["row"].to_numpy()
            tables.append(alignment_scores(own[rows], texts["group"], texts["language"], seed=0).assign(side=side))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _map(vectors: TaskVectors, task: RetrievalTask) -> pd.DataFrame:
    """First two principal components of some parallel questions and of their relevant candidates: kind, group, language, x, y."""
    from sklearn.decomposition import PCA

    groups = task.queries["group"].unique()
    chosen = set(groups[np.linspace(0, len(groups) - 1, min(MAPPED_GROUPS, len(groups))).astype(int)])
    queries = np.flatnonzero(task.queries["group"].isin(chosen))
    pairs = task.relevant_pairs[np.isin(task.relevant_pairs[:, 0], queries)]
    own = pairs[task.query_language[pairs[:, 0]] == task.candidate_language[pairs[:, 1]]]
    points = np.concatenate([vectors.queries[queries], vectors.candidates[own[:, 1]]])
    rows = pd.concat([task.queries.iloc[queries].assign(kind="question"), task.queries.iloc[own[:, 0]].assign(kind="passage")])
    xy = PCA(2, svd_solver="full").fit_transform(points) if len(points) > 2 else np.full((len(points), 2), nan)
    return rows[["kind", "group", "language"]].reset_index(drop=True).assign(x=xy[:, 0], y=xy[:, 1])
