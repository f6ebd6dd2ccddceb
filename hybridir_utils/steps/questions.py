"""Study S3 (notebook 07): every encoder of a run on the parallel questions that the profile names."""

from __future__ import annotations

from pathlib import Path

from ..base.parallel import run_jobs
from ..base.runs import artefact_path, is_whole, note_used
from ..tasks.parallel_texts import ParallelQuestions
from . import questions_job
from .corpora import data_fingerprint, parallel_questions
from .encoders import EncoderKey, trained_encoders
from .evaluation import Evaluations, encoder_places, evaluation_name, opening_of, origin_of
from .session import Run


def question_task(run: Run) -> str:
    """The profile's question task, or the first of its tasks."""
    return run.profile.question_task or run.profile.tasks[0]


def questions(run: Run) -> ParallelQuestions:
    """The run's parallel questions. Raises InputError where the task has none, or as the task's reader does."""
    p = run.profile
    return parallel_questions(question_task(run), p.question_languages, p.languages, p.data_dir, p.corpus_seed, p.task_languages)


def trained_languages(run: Run) -> tuple[str, ...]:
    """The languages that training batches hold."""
    return tuple(language for language in run.profile.languages if language not in run.profile.unseen_languages)


def evaluate_questions(run: Run) -> Evaluations:
    """Recall, per-question values and alignment of every trained encoder, the bases before training and public retrievers.

    Parts of the result: recall, questions, alignment. What was evaluated before is read; encoders that are missing are trained where
    the profile says train_in_place, else MissingInput names the notebook to run.
    """
    p, task = run.profile, question_task(run)
    questions(run)  # what is wrong with them is said before any encoder is opened
    places = encoder_places(run, trained_encoders(run, make=p.train_in_place))
    about = p.model_dump(include={"languages", "task_languages", "question_languages", "corpus_seed", "precision"}, mode="json")
    about |= {"task": task, "data": data_fingerprint((task,), p.data_dir), "trained": list(trained_languages(run))}
    recipes = {
        key: {**about, "encoder": origin_of(run, place), "opening": opening_of(p, key).model_dump()} for key, place in places.items()
    }
    folders = {key: _folder(run, key, task, recipe) for key, recipe in recipes.items()}
    means = p.model_dump(include={"data_dir", "batch_tokens"})
    missing = [key for key, folder in folders.items() if not is_whole(folder)]
    jobs = [(str(run.artefacts), evaluation_name(key, task), recipes[key], places[key], means) for key in missing]
    run_jobs(questions_job.run_job, jobs, p.jobs, "questions")
    note_used(folders.values())
    return Evaluations({(key, task): folder for key, folder in folders.items()})


def _folder(run: Run, key: EncoderKey, task: str, recipe: dict) -> Path:
    return artefact_path(run.artefacts / questions_job.ROOM, evaluation_name(key, task), recipe, "questions_job")
