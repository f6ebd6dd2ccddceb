"""The functions that `import hybridir_utils as hy` offers: pairs, batch plans, training, and the evaluation of any encoder.

A task's texts are encoded once, and every measure is computed from one full ranking (`rank.ranking`, `rank.metrics`, `rank.bias`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from .base.errors import InputError, near_folder, need_known
from .base.languages import XQUAD_R_LANGUAGES, pick_languages
from .base.progress import widget_bars
from .data import register
from .data.batching import BatchPlan
from .data.batching import plan_batches as plan_batches
from .data.pairs import read_pairs_jsonl as read_pairs  # noqa: F401  (offered as it is)
from .data.worldfacts import template_languages
from .encode.catalogue import own_prompts, place_of, prompts_of
from .encode.opening import Opening, open_model
from .experiment.any_encoder import vectors_of
from .rank import metrics, ranking
from .rank.bias import bias_scores as bias_scores
from .rank.ranking import Ranks
from .results.measured import Evaluation, evaluated
from .results.measured import compare as compare
from .tasks.beir import read_beir
from .tasks.mteb_tasks import mteb_tasks as mteb_tasks
from .tasks.retrieval_task import RetrievalTask
from .tasks.squad import BAD_SHARE, squad_folder
from .train import training

OWN_TASKS = ("beir:", "squad:")  # before a folder, as a profile names it
PREFIXES = ("query_prefix", "passage_prefix")


def train_encoder(base: str | Path, pairs, plan: BatchPlan, *, validation: Mapping | None = None, **settings):
    """Train `base` on the batches of a plan: (SentenceTransformer, losses by step).

    base: a folder, or a name as of `open_encoder`. pairs: of `read_pairs`; plan: of `plan_batches`, over the same pairs. validation:
    name -> (pairs, plan), scored while training goes on. settings: fields of `train.training.TrainingSettings`; the learning rate stands
    at 1e-2, which suits vectors of subwords: give a transformer 2e-5 to 5e-5. query_prefix and passage_prefix are the base's own
    prompts unless given, and "Query: ", "Passage: " where it has none. Raises UnknownName for another setting, InputError where a loss is
    no number or memory runs out, with the setting to lower.
    """
    own = prompts_of(str(base)) or next(filter(any, [own_prompts(place_of(str(base))) or ()]), ())
    settings = dict(zip(PREFIXES, own, strict=False)) | settings
    need_known("training setting", settings, training.TrainingSettings.model_fields)
    with widget_bars():
        return training.train_encoder(place_of(str(base)), pairs, plan, training.TrainingSettings(**settings), dict(validation or {}))


def open_encoder(name: str | Path, **opening):
    """The SentenceTransformer in a folder, on the hub (`NAME` or `NAME@REVISION`), or of a short name of `data/encoders.toml`.

    opening: fields of `encode.opening.Opening` (pooling, lengths in tokens, prompts). A known encoder gets the prompts of its authors, any
    other its own. Raises InputError, with what to do, when it is not there or cannot be opened safely (no pickles, no foreign code).
    """
    return open_model(place_of(str(name)), Opening(**{"prompts": prompts_of(str(name)), **opening}))


def read_task(place: str | Path, languages: Sequence[str] = (), data_dir: str = "", bad_share: float = BAD_SHARE) -> RetrievalTask:
    """A retrieval task: queries, candidates and relevance, each with its language.

    place: a folder in BEIR's layout (`corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`, a `language` in each text, one `group` in questions
    that are translations of each other, which tests count once) or with SQuAD files `<language>.json`; or a task's name as in a profile
    (`worldfacts-test`, `xquad-r`, `belebele`, `beir:FOLDER` …). languages: of a named task; none: all, of the world facts the paper's
    eleven. data_dir: folder of real data, else HYBRIDIR_DATA. bad_share: of the questions of a SQuAD file, how many may be left out as
    unusable. Raises InputError naming file and line of a fault, UnknownName for a name or a language that does not exist.
    """
    folder, languages = Path(place), tuple(languages)
    if languages and (folder.is_dir() or str(place).startswith(OWN_TASKS)):
        raise InputError(f"{place}: the languages of a folder are those of its texts; leave `languages` out.")
    if languages and str(place).startswith("worldfacts"):
        languages = pick_languages("the world facts", languages, template_languages())
    if not folder.is_dir():
        if ":" not in str(place):
            need_known("folder or task", [place], [*register.task_names("ranked", "searched"), *near_folder(place)])
        asked = register.Request(languages or XQUAD_R_LANGUAGES, languages, data_dir=data_dir, bad_share=bad_share)
        return register.read_task(str(place), asked)
    return read_beir(folder) if (folder / "corpus.jsonl").is_file() else squad_folder(folder, bad_share)


def rank_task(encoder, task: RetrievalTask, depth: int = 100) -> Ranks:
    """Rank all candidates for every query, in the pool of each language and in the mixed pool, by cosine.

    encoder: a folder or name as of `open_encoder`; a SentenceTransformer; a function (texts, "query" or "document") -> [len(texts), d]; or
    the vectors themselves: (query vectors [Q, d], candidate vectors [N, d]), rows in the task's order. depth: candidates kept of each list
    (for bias measures at k up to it). Raises InputError for what is no encoder, vectors of a wrong shape or with NaN, and for a task whose
    pools are searched on disk (`rank.search` measures those).
    """
    vectors = vectors_of(encoder, task)
    return ranking.rank_task(ranking.dot_scores(vectors.queries, vectors.candidates), task, depth)


def scores(ranks: Ranks, task: RetrievalTask) -> pd.DataFrame:
    """Means by setting and language, then macro-averages: setting, query_language, candidate_language, metric, value, n.

    Settings and metrics (mAP over full rankings, R@1, R@10, nDCG@10, MRR) are those of `rank.metrics`.
    """
    return metrics.scores(metrics.per_query(ranks, task))


def evaluate(encoder, task: RetrievalTask | str | Path) -> Evaluation:
    """Mo., Cr. and Mul. retrieval and every measure of language bias, as the encoder is and with each language's mean vector taken off.

    encoder: as of `rank_task`, or BM25 or random, which have no vectors to centre; those of a folder or name are kept below
    `data/runs/evaluate` and read the next time. task: as of `read_task`, or what it reads. Shown as a table (`Evaluation.table`); which
    prompts were taken, and what cannot be measured, stands below it.
    """
    task = read_task(task) if isinstance(task, str | Path) else task
    return evaluated(encoder, task)
