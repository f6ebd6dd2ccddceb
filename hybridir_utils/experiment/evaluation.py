"""Every evaluation of a run, gathered into tidy tables (notebooks 03 and 04)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.files import file_safe
from ..base.mapped import codes
from ..base.parallel import run_jobs
from ..data.pairs import read_split
from ..data.register import Request, data_recipe, is_search_task, read_task
from ..encode.catalogue import place_of, prompts_of
from ..encode.corpora import kept_vectors, task_vectors
from ..encode.encoding import TaskVectors
from ..encode.opening import Opening, origin
from ..provenance.artefacts import Artefact, hold
from ..rank.alignment import ALIGNMENT_COLUMNS, alignment_scores
from ..rank.bias import bias_scores, main_scores, rank_distances
from ..rank.debiasing import NOT_USED, FittingText, comparators, pool_text
from ..rank.lexical import REFERENCES
from ..rank.metrics import heat_map, per_query, scores, truncated_ap
from ..rank.ranking import Ranks, dot_scores, rank_task
from ..rank.search import encoder_ranker, evaluate_search
from ..tasks.retrieval_task import SIDES, RetrievalTask, parallel_rows
from .encoders import EncoderKey, base_encoders, encoder_keys, trained_encoders
from .preparation import prepare_pairs
from .profile import OWN_BASES, Profile
from .run import Run, make_missing, make_one

UNTRAINED = "untrained"  # the base encoder before any batch
ZERO_SHOT = "zero-shot"  # a public retriever as it is, with its own prompts
NOT_TRAINED = (UNTRAINED, ZERO_SHOT)
NO_MIX = nan  # the alpha of what has none; one object, so that keys made of it compare equal
REFERENCE = "reference"  # base of the lines that are no encoder
SHOWN = 10  # length of the ranked lists kept for reading
MAPPED_GROUPS = 25  # parallel questions on the 2-D map
POOL = "pool"  # the task's own candidates, which methods that train nothing are fitted on
FITTED_PASSAGES = 100  # training passages a language that the methods that train nothing are fitted on


@dataclass(frozen=True)
class Evaluations:
    """Folders of a run's evaluations by (encoder, task), and readers that gather them."""

    folders: dict[tuple[EncoderKey, str], Path]

    def table(self, part: str, **where) -> pd.DataFrame:
        """One tidy table from every evaluation that has `part` (scores, bias, questions, heat, debiasing, debiasing_questions,
        alignment, map).

        Columns base, strategy, alpha, seed, task come first. where: attribute of the key or `task` -> the value to keep.
        """
        rows = []
        for (key, task), folder in self.folders.items():
            about = {**asdict(key), "task": task}
            if (folder / f"{part}.parquet").exists() and all(about[name] == value for name, value in where.items()):
                rows.append(pd.read_parquet(folder / f"{part}.parquet").assign(**about))
        first = [*asdict(next(iter(self.folders))[0]), "task"]
        table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=first)
        return table[first + [column for column in table.columns if column not in first]]

    def has(self, part: str) -> bool:
        """Whether any evaluation has `part`: not every encoder is debiased, and one language is not mapped."""
        return any((folder / f"{part}.parquet").exists() for folder in self.folders.values())

    def top(self, key: EncoderKey, task: str) -> np.ndarray:
        """[Q, 10] candidate rows of the mixed pool, best first."""
        return np.load(self.folders[key, task] / "top.npy")


def evaluate(
    run: Run, encoders: dict[EncoderKey, Path] | None = None, tasks: Sequence[str] | None = None, in_full: bool = True
) -> Evaluations:
    """Evaluate every trained encoder, the bases before training, public retrievers, BM25 and random order on every task of the profile.

    encoders: those of a study, in place of the profile's. tasks: those of the profile's that a study looks at; none: all. in_full:
    measure the alignment of the languages, too, whose cost grows with the square of their number, and fit what trains nothing on training
    passages, too, not on the pool alone. What was evaluated before is read. The profile's encoders that are missing are trained where it
    says train_in_place, else MissingInput names the notebook to run.
    """
    places = encoder_places(run, trained_encoders(run, make=run.profile.train_in_place) if encoders is None else encoders)
    places |= {EncoderKey(REFERENCE, name, NO_MIX, 0): name for name in REFERENCES}
    data = {task: data_recipe((task,), run.profile.data_dir) for task in tasks or run.profile.tasks}  # hashes the files: once a task
    origins = {key: place if key.base == REFERENCE else encoder_origin(run, place) for key, place in places.items()}
    asked = [(key, task) for key in places for task in data if key.base != REFERENCE or not is_search_task(task)]
    room, pairs, wanted = run.artefacts / "evaluations", prepare_pairs(run).folder, {}
    for key, task in asked:
        recipe = _recipe(run, key, origins[key], task, data[task], in_full)
        recipe["debias"] = (pairs.name if in_full else POOL) if _is_debiased(run, key, task) else ""
        wanted[key, task] = Artefact(room, evaluation_name(key, task), recipe, _evaluate)
    means = run.profile.model_dump(include={"data_dir", "batch_tokens", "shard_size", "scheduler"})
    means |= {"vectors": run.artefacts / "vectors", "pairs": pairs}
    run_all = partial(run_jobs, make_one, workers=run.profile.jobs, label="evaluating")
    return Evaluations(make_missing(wanted, lambda asked: (places[asked[0]], means), run_all))


def encoder_places(run: Run, trained: dict[EncoderKey, Path]) -> dict[EncoderKey, str]:
    """Folder or hub name of every encoder to evaluate: the trained ones, the bases before training, the public retrievers."""
    places = {key: str(folder) for key, folder in trained.items()}
    places |= {EncoderKey(base, UNTRAINED, NO_MIX, 0): str(folder) for base, folder in base_encoders(run).items()}
    return places | {EncoderKey(name, ZERO_SHOT, NO_MIX, 0): place_of(name) for name in run.profile.retrievers}


def _recipe(run: Run, key: EncoderKey, origin_: str, task: str, data: dict, in_full: bool) -> dict:
    p = run.profile
    first = task == p.tasks[0]
    own = _is_own(run, key)
    return {
        "encoder": origin_,
        "opening": opening_of(p, key).model_dump(),
        "task": task,
        "languages": list(p.languages),
        "task_languages": list(p.task_languages),
        "corpus_seed": p.corpus_seed,
        **p.reading(task),
        **data,
        "depth": p.depth,
        "precision": p.encoding_precision,
        "vector_precision": p.vector_precision,
        "aligned": in_full and own,
        "mapped": first and key.seed in (0, p.seeds[0]),
    }


def _is_own(run: Run, key: EncoderKey) -> bool:
    """Whether an encoder is one of the profile's, trained or not: a study's further encoders are ranked, and no more."""
    return key.strategy in NOT_TRAINED or key.name in {key.name for key in encoder_keys(run)}


def _is_debiased(run: Run, key: EncoderKey, task: str) -> bool:
    """Whether the methods that train nothing are tried: on pretrained encoders always, on those made here by one seed on the first task."""
    p = run.profile
    in_full = key.base not in OWN_BASES or (task == p.tasks[0] and key.seed in (0, p.seeds[0]))
    return in_full and _is_own(run, key) and not is_search_task(task)


def opening_of(profile: Profile, key: EncoderKey) -> Opening:
    """A base is opened as for training; a trained encoder has its pooling, lengths and prompts with it, a retriever its authors'."""
    common = {"attention": profile.attention, "trust_remote_code": profile.trust_remote_code}
    if key.strategy not in NOT_TRAINED or key.base in OWN_BASES:
        return Opening(**common)
    opening = Opening(**common) if key.strategy == ZERO_SHOT else profile.opening
    return opening.model_copy(update={"prompts": profile.encoder_prompts.get(key.base, prompts_of(key.base))})


def encoder_origin(run: Run, place: str) -> str:
    """What an encoder is made of: the fingerprint in the folder's name where the run made it, else its files' or the hub's."""
    return Path(place).name if Path(place).is_relative_to(run.artefacts) else origin(place)


def evaluation_name(key: EncoderKey, task: str) -> str:
    """Name of the artefact of an encoder's evaluation on a task."""
    return f"{key.name}-{file_safe(task)}"


def _evaluate(out: Path, recipe: dict, encoder: str, means: dict) -> None:
    """Measure an encoder as its recipe says. encoder: the folder (or hub name) to open, or a key of REFERENCES. means: what the result does
    not depend on: data_dir, batch_tokens, shard_size and scheduler of the profile, and where the vectors of large corpora lie.
    """
    if is_search_task(recipe["task"]):
        _searched(out, recipe, encoder, means)
        return
    task = _task(recipe["task"], Request.of(recipe, data_dir=means["data_dir"]))
    if encoder in REFERENCES:
        _save_measures(out, rank_task(REFERENCES[encoder](task), task, recipe["depth"]), task)
        return
    how = {"opening": Opening(**recipe["opening"]), "batch_tokens": means["batch_tokens"], "precision": recipe["precision"]}
    vectors = task_vectors(encoder, task, means["vectors"] / file_safe(recipe["task"]), **how)
    ranks = rank_task(dot_scores(vectors.queries, vectors.candidates), task, recipe["depth"])
    _save_measures(out, ranks, task)
    several = len(set(task.candidate_language)) > 1  # one language has no identity to remove
    if recipe["debias"] and several:
        texts = {POOL: pool_text(vectors, task)}
        if recipe["debias"] != POOL:
            texts["training"] = _training_text(encoder, means, how)
        _save_debiased(out, vectors, task, ranks, texts)
    if recipe["aligned"]:
        _alignment(vectors, task).to_parquet(out / "alignment.parquet", index=False)
    if recipe["mapped"] and several:
        _map(vectors, task).to_parquet(out / "map.parquet", index=False)


@lru_cache(maxsize=4)
def _task(name: str, request: Request) -> RetrievalTask:
    """One process evaluates many encoders on a few tasks, and reading a task may take as long as ranking it."""
    return read_task(name, request)


def _searched(out: Path, recipe: dict, encoder: str, means: dict) -> None:
    """Scores of a task whose pools are searched to a depth; the corpora's vectors stay, in shards, beside the evaluations."""
    task = read_task(recipe["task"], Request.of(recipe, data_dir=means["data_dir"]))
    options = {"precision": recipe["precision"], "vector_precision": recipe["vector_precision"], "batch_tokens": means["batch_tokens"]}
    options |= {"shard_size": means["shard_size"], "scheduler": means["scheduler"]}
    rank = encoder_ranker(encoder, means["vectors"] / file_safe(recipe["task"]), opening=Opening(**recipe["opening"]), **options)
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


def _training_text(encoder: str, means: dict, how: dict) -> FittingText:
    """Training passages of the run, encoded as candidates are: text of the pool's languages, but not of its domain.

    Tasks of one encoder that are evaluated side by side want the same vectors, so the second waits for the first.
    """
    passages, folder = _training_passages(means["pairs"]), means["vectors"] / means["pairs"].name / file_safe(Path(encoder).name)
    with hold(folder, wait=True):
        vectors = kept_vectors(encoder, passages, "document", folder, **how)
    return FittingText(vectors, passages["language"].to_numpy(), passages.assign(row=range(len(passages))))


@lru_cache(maxsize=1)
def _training_passages(folder: Path) -> pd.DataFrame:
    """id, group, language, text of at most FITTED_PASSAGES a language, drawn once; those that stand in most languages first."""
    pairs = read_split(folder, "train")
    (group, groups), (language, languages) = codes(pairs, "passage_id"), codes(pairs, "language")
    rows = pd.DataFrame({"group": group, "language": language}).drop_duplicates()
    rows["order"] = np.random.default_rng(0).permutation(len(groups))[rows["group"]]
    rows["languages"] = rows.groupby("group")["language"].transform("size")
    chosen = rows.sort_values(["languages", "order"], ascending=[False, True]).groupby("language").head(FITTED_PASSAGES).sort_index()
    texts = {"language": np.array(languages.to_pylist())[chosen["language"]], "text": pairs.select(chosen.index)["passage"][:]}
    return pd.DataFrame({"id": chosen.index, "group": chosen["group"].to_numpy(), **texts})


def _save_debiased(out: Path, vectors: TaskVectors, task: RetrievalTask, plain: Ranks, texts: dict[str, FittingText]) -> None:
    """The measures that comparators are judged by, of the encoder as it is (method `none`) and after each method; and by question, of
    centring on the pool, for paired tests.
    """
    none = {"method": "none", "fitted_on": NOT_USED, "question_language": NOT_USED, "not_fitted": ""}
    tables = [_summary(per_query(plain, task), plain, task).assign(**none)]
    for about, changed in comparators(vectors, task, texts):
        ranks = rank_task(dot_scores(changed.queries, changed.candidates), task, plain.top.shape[1])
        per = per_query(ranks, task)
        tables.append(_summary(per, ranks, task).assign(**about))
        if (about["method"], about["fitted_on"], about["question_language"]) == ("centring", POOL, "given"):
            _per_question(per, ranks, task).to_parquet(out / "debiasing_questions.parquet", index=False)
    pd.concat(tables, ignore_index=True).to_parquet(out / "debiasing.parquet", index=False)


def _summary(per: pd.DataFrame, ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """setting, metric, value: macro mAP of each setting; of the mixed pool also R@10 and `bias.main_scores`."""
    table = scores(per).query("query_language == 'macro'")
    table = table[(table["metric"] == "mAP") | ((table["metric"] == "R@10") & (table["setting"] == "multilingual"))]
    bias = main_scores(ranks, task).rename(columns={"measure": "metric"}).assign(setting="multilingual")
    return pd.concat([table, bias], ignore_index=True)[["setting", "metric", "value"]]


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
