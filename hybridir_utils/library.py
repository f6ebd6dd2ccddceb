"""The functions that `import hybridir_utils as hy` offers: pairs, batch plans, training, and the evaluation of any encoder.

    pairs = hy.read_pairs("pairs.jsonl")
    plan = hy.plan_batches(pairs, "hybrid", alpha=0.5, steps=100, batch_size=32, seed=1)
    model, losses = hy.train_encoder("intfloat/multilingual-e5-small", pairs, plan, learning_rate=3e-5)
    hy.evaluate(model, hy.read_task("my-pool"))

A task's texts are encoded once, and every measure is computed from one full ranking (`rank.ranking`, `rank.metrics`, `rank.bias`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from .base.errors import InputError, UnknownName
from .base.languages import XQUAD_R_LANGUAGES
from .data import register
from .data.batching import BatchPlan, plan_batches
from .data.pairs import read_pairs_jsonl as read_pairs
from .encode import encoding
from .encode.catalogue import place_of, prompts_of
from .encode.opening import Opening
from .rank import metrics, ranking, significance
from .rank.bias import bias_scores
from .rank.ranking import Ranks
from .results.style import SHORT_SETTINGS
from .tasks.beir import read_beir
from .tasks.retrieval_task import RetrievalTask
from .tasks.squad import squad_folder
from .train import training

SHOWN_BIAS = {"rank distance": "rank distance", "same-language share@10": "same-language share"}  # measure -> column

__all__ = [
    "Evaluation",
    "bias_scores",
    "compare",
    "evaluate",
    "open_encoder",
    "plan_batches",
    "rank_task",
    "read_pairs",
    "read_task",
    "scores",
    "train_encoder",
]


def train_encoder(base: str | Path, pairs, plan: BatchPlan, *, validation: Mapping | None = None, **settings):
    """Train `base` on the batches of a plan: (SentenceTransformer, losses by step).

    base: a folder, or a name as of `open_encoder`. pairs: of `read_pairs`; plan: of `plan_batches`, over the same pairs. validation:
    name -> (pairs, plan), scored while training goes on. settings: fields of `train.training.TrainingSettings`; the learning rate stands
    at 1e-2, which suits vectors of subwords: give a transformer 2e-5 to 5e-5. Raises UnknownName for another setting, InputError where a
    loss is no number or memory runs out, with the setting to lower.
    """
    for name in settings.keys() - training.TrainingSettings.model_fields.keys():
        raise UnknownName("training setting", name, training.TrainingSettings.model_fields)
    return training.train_encoder(place_of(str(base)), pairs, plan, training.TrainingSettings(**settings), dict(validation or {}))


def open_encoder(name: str | Path, **opening):
    """The SentenceTransformer in a folder, on the hub (`NAME` or `NAME@REVISION`), or of a short name of `data/encoders.toml`.

    opening: fields of `encode.opening.Opening` (pooling, lengths in tokens, prompts). A known encoder gets the prompts of its authors, any
    other its own. Raises InputError, with what to do, when it is not there or cannot be opened safely (no pickles, no foreign code).
    """
    return encoding.open_encoder(place_of(str(name)), Opening(**{"prompts": prompts_of(str(name)), **opening}))


def read_task(place: str | Path, languages: Sequence[str] = (), data_dir: str = "") -> RetrievalTask:
    """A retrieval task: queries, candidates and relevance, each with its language.

    place: a folder in BEIR's layout (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`, a `language` in each text) or with SQuAD files
    `<language>.json`; or a task's name as in a profile (`worldfacts-test`, `xquad-r`, `belebele`, `beir:FOLDER` …). languages: of a named
    task; none: all, of the world facts the paper's eleven. data_dir: folder of real data, else HYBRIDIR_DATA. Raises InputError naming
    file and line of a fault, UnknownName for a name or a language that does not exist.
    """
    folder, languages = Path(place), tuple(languages)
    if not folder.is_dir():
        return register.read_task(str(place), register.Request(languages or XQUAD_R_LANGUAGES, languages, data_dir=data_dir))
    if languages:
        raise InputError(f"{folder}: the languages of a folder are those of its texts; leave `languages` out.")
    return read_beir(folder) if (folder / "corpus.jsonl").is_file() else squad_folder(folder)


def rank_task(encoder, task: RetrievalTask, depth: int = 100) -> Ranks:
    """Rank all candidates for every query, in the pool of each language and in the mixed pool, by cosine.

    encoder: a SentenceTransformer, or vectors that any other made: (query vectors [Q, d], candidate vectors [N, d]), rows in the task's
    order. depth: candidates kept of each list (for bias measures at k up to it). Raises InputError for vectors of a wrong shape or with
    NaN, and for a task whose pools are searched on disk (`rank.search_evaluation` measures those).
    """
    if not isinstance(task, RetrievalTask):
        raise InputError(f"task {task.name}: its pools lie on disk and are searched to a depth; `rank.search_evaluation` measures it.")
    if not isinstance(encoder, tuple):
        vectors = encoding.encode_task(encoder, task)
        encoder = vectors.queries, vectors.candidates
    sizes = [len(side) for side in encoder]
    if sizes != [len(task.queries), len(task.candidates)]:
        raise InputError(f"task {task.name}: {len(task.queries)} queries and {len(task.candidates)} candidates, but vectors for {sizes}.")
    return ranking.rank_task(ranking.dot_scores(*encoder), task, depth)


def scores(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """Means by setting and language, then macro-averages: setting, query_language, candidate_language, metric, value, n.

    Settings and metrics (mAP over full rankings, R@1, R@10, nDCG@10, MRR) are those of `rank.metrics`.
    """
    return metrics.scores(metrics.per_query(ranks, task))


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What `evaluate` found; shown as a table in a notebook.

    task: its name. questions: a row per setting, question and pool (`rank.metrics.per_query`). scores: as of `scores`; bias: as of
    `bias_scores`.
    """

    task: str
    questions: pd.DataFrame = field(compare=False)
    scores: pd.DataFrame = field(compare=False)
    bias: pd.DataFrame = field(compare=False)

    def table(self) -> pd.DataFrame:
        """A row per setting (Mo., Cr., Mul.): macro-averages of mAP, R@1 and R@10; of the mixed pool rank distance and the share of the ten
        best candidates that are in the question's language, where the task can give them."""
        macro, bias = (table[table["query_language"] == "macro"] for table in (self.scores, self.bias))
        rows = macro.pivot(index="setting", columns="metric", values="value")[["mAP", "R@1", "R@10"]]
        rows = rows.reindex([setting for setting in SHORT_SETTINGS if setting in rows.index])
        for measure, value in bias.set_index("measure")["value"].reindex(list(SHOWN_BIAS)).dropna().items():
            rows.loc[rows.index == "multilingual", SHOWN_BIAS[measure]] = value
        return rows.rename(index=SHORT_SETTINGS).rename_axis(index=None, columns=self.task)

    def __repr__(self) -> str:
        return self.table().to_string(float_format="{:,.3f}".format, na_rep="")

    def _repr_html_(self) -> str:
        return self.table().to_html(float_format="{:,.3f}".format, na_rep="")


def evaluate(encoder, task: RetrievalTask | str | Path) -> Evaluation:
    """Mo., Cr. and Mul. retrieval and every measure of language bias, from one encoding of the task's texts.

    encoder: as of `rank_task`, or a folder or name to open. task: as of `read_task`, or what it reads.
    """
    task = read_task(task) if isinstance(task, str | Path) else task
    ranks = rank_task(open_encoder(encoder) if isinstance(encoder, str | Path) else encoder, task)
    questions = metrics.per_query(ranks, task)
    return Evaluation(task.name, questions, metrics.scores(questions), bias_scores(ranks, task))


def compare(evaluations: Mapping[str, Evaluation | Sequence[Evaluation]], baseline: str, metric: str = "AP") -> pd.DataFrame:
    """Is the difference from `baseline` more than chance? Paired tests over the same questions, one row per setting and encoder.

    evaluations: name -> its evaluation, or those of encoders trained with other seeds, all of one task. metric: a column of
    `Evaluation.questions`. Columns: setting, then those of `rank.significance.compare` (mean difference with its interval, p, corrected by
    Holm within a setting, effect size, spread over seeds). Raises InputError where encoders were not asked the same, UnknownName for an
    unknown baseline or metric.
    """
    of_seeds = {name: [found] if isinstance(found, Evaluation) else list(found) for name, found in evaluations.items()}
    if len(tasks := {each.task for found in of_seeds.values() for each in found}) > 1:
        raise InputError(f"evaluations of different tasks ({', '.join(sorted(tasks))}) cannot be compared; give those of one.")
    tables = [each.questions.assign(strategy=name, seed=seed) for name, found in of_seeds.items() for seed, each in enumerate(found)]
    questions = pd.concat(tables, ignore_index=True)
    if metric not in questions.columns:
        raise UnknownName("metric", metric, [name for name in questions.columns if name not in (*metrics.RUN_COLUMNS, "strategy", "seed")])
    columns = questions[["strategy", "seed", "group"]].assign(value=questions[metric])
    parts = [
        significance.compare(columns[questions["setting"] == setting], baseline).assign(setting=setting)
        for setting in SHORT_SETTINGS
        if (questions["setting"] == setting).any()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["setting", *table.columns.drop("setting")]]
