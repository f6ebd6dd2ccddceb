"""One encoder on one set of parallel questions, in a process of its own: encode once, rank every pair of languages, keep the measures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..base.runs import artefact
from ..rank.alignment import alignment_scores
from ..rank.encoding import encode_rows, open_encoder
from ..rank.opening import Opening
from ..rank.question_recall import pair_recall, recall_by_question, translation_ranks
from ..tasks.parallel_texts import ParallelQuestions
from .corpora import parallel_questions

ROOM = "questions"


def run_job(root: str, name: str, recipe: dict, encoder: str, means: dict) -> str:
    """Make the artefact of a recipe (see questions.evaluate_questions) below the run's artefacts; returns its folder.

    encoder: the folder or hub name to open. means: data_dir and batch_tokens, which change no result.
    """
    return str(artefact(Path(root) / ROOM, name, recipe, "questions_job", lambda out: _evaluate(out, recipe, encoder, means)))


@lru_cache(maxsize=1)
def _questions(*name_and_languages) -> ParallelQuestions:
    """One process evaluates many encoders on the same questions."""
    return parallel_questions(*name_and_languages)


def _evaluate(out: Path, recipe: dict, encoder: str, means: dict) -> None:
    wanted, languages, task_languages = (tuple(recipe[key]) for key in ("question_languages", "languages", "task_languages"))
    questions = _questions(recipe["task"], wanted, languages, means["data_dir"], recipe["corpus_seed"], task_languages)
    texts, model = questions.texts, open_encoder(encoder, Opening(**recipe["opening"]))
    vectors = encode_rows(model, texts["text"], "query", texts["id"], means["batch_tokens"], recipe["precision"])
    ranks = translation_ranks(vectors, texts["group"], texts["language"])
    pair_recall(ranks).to_parquet(out / "recall.parquet", index=False)
    recall_by_question(ranks, recipe["trained"]).to_parquet(out / "questions.parquet", index=False)
    alignment_scores(vectors, texts["group"], texts["language"], seed=0).to_parquet(out / "alignment.parquet", index=False)
