"""Study S3 (notebook 07): every encoder of a run on the parallel questions that the profile names; tables, and what they say."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.parallel import run_jobs
from ..data.register import Request, data_fingerprint, read_questions
from ..encode.encoding import encode_rows
from ..encode.opening import Opening, open_model
from ..experiment.encoders import trained_encoders
from ..experiment.evaluation import (
    NOT_TRAINED,
    UNTRAINED,
    Evaluations,
    encoder_origin,
    encoder_places,
    evaluate,
    evaluation_name,
    opening_of,
)
from ..experiment.run import Run, make_missing, make_one
from ..provenance.artefacts import Artefact
from ..rank.alignment import (
    ALL_PAIRS,
    MEASURES,
    PAIR_KINDS,
    alignment_scores,
    pair_kinds,
    pair_recall,
    recall_by_question,
    translation_ranks,
)
from ..results.findings import AHEAD, BEHIND, HYBRID, grouped, verdict
from ..results.style import in_order
from ..results.tables import TEST_COLUMNS, at_every_seed, ordered, search_table, stack, test_table, with_spread
from ..tasks.retrieval_task import ParallelQuestions

PASSAGES = "mkqa"
ENCODER = ["base", "strategy", "alpha", "seed", "task"]
KINDS = (ALL_PAIRS, *PAIR_KINDS)
KIND_WORDS = dict(zip(PAIR_KINDS, ("both languages trained", "one language untrained", "both languages untrained"), strict=True))
MAIN = MEASURES[0]
COMPARED = ("X-Y", "X-X-mono", UNTRAINED)  # with hybrid, pair by pair
CHANGE = {BEHIND: "rises with", AHEAD: "falls with"}  # of the untrained base against a strategy
NO_CHANGE = "does not clearly change with"


def question_task(run: Run) -> str:
    """The profile's question task, or the first of its tasks."""
    return run.profile.question_task or run.profile.tasks[0]


def questions(run: Run) -> ParallelQuestions:
    """The run's parallel questions. Raises InputError where the task has none, or as the task's reader does."""
    p = run.profile
    return read_questions(question_task(run), p.request)


def without_questions(run: Run) -> str:
    """Why the run has no parallel questions; "" where it has some."""
    try:
        questions(run)
    except InputError as error:
        return f"This notebook is left out: {error}"
    return ""


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
    about = p.model_dump(include={"languages", "task_languages", "question_languages", "corpus_seed", "encoding_precision"}, mode="json")
    about |= p.reading(task) | {"task": task, "data": data_fingerprint((task,), p.data_dir), "trained": list(trained_languages(run))}
    recipes = {
        key: {**about, "encoder": encoder_origin(run, place), "opening": opening_of(p, key).model_dump()} for key, place in places.items()
    }
    room, means = run.artefacts / "questions", p.model_dump(include={"data_dir", "batch_tokens"})
    wanted = {(key, task): Artefact(room, evaluation_name(key, task), recipe, _evaluate) for key, recipe in recipes.items()}
    run_all = partial(run_jobs, make_one, workers=p.jobs, label="questions")
    return Evaluations(make_missing(wanted, lambda asked: (places[asked[0]], means), run_all))


@lru_cache(maxsize=1)
def _questions(name: str, request: Request) -> ParallelQuestions:
    """One process evaluates many encoders on the same questions."""
    return read_questions(name, request)


def _evaluate(out: Path, recipe: dict, encoder: str, means: dict) -> None:
    questions = _questions(recipe["task"], Request.of(recipe, data_dir=means["data_dir"]))
    texts, model = questions.texts, open_model(encoder, Opening(**recipe["opening"]))
    vectors = encode_rows(model, texts["text"], "query", texts["id"], means["batch_tokens"], recipe["encoding_precision"])
    ranks = translation_ranks(vectors, texts["group"], texts["language"])
    pair_recall(ranks).to_parquet(out / "recall.parquet", index=False)
    recall_by_question(ranks, recipe["trained"]).to_parquet(out / "questions.parquet", index=False)
    alignment_scores(vectors, texts["group"], texts["language"], seed=0).to_parquet(out / "alignment.parquet", index=False)


def apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of all pairs, and of each kind of pair where there is more than one kind: a single one is all pairs once more."""
    return rows if rows["setting"].nunique() > 2 else rows[rows["setting"] == ALL_PAIRS]


def recall_means(recall: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Recall@k of each encoder, macro-averaged over the ordered pairs of languages of each of KINDS (`apart`).

    recall: ENCODER, query_language, candidate_language, metric, value. Returns ENCODER, setting, metric, value, n (pairs).
    """
    kinds = recall.assign(setting=pair_kinds(recall, trained))
    rows = apart(pd.concat([recall.assign(setting=ALL_PAIRS), kinds]))
    grouped = rows.groupby([*ENCODER, "setting", "metric"], sort=False, dropna=False)["value"]
    return grouped.agg(value="mean", n="size").reset_index()


def pair_means(recall: pd.DataFrame) -> pd.DataFrame:
    """Recall@1 of each ordered pair of languages, mean over seeds: base, strategy, query_language, candidate_language, value."""
    rows = recall[recall["metric"] == MAIN]
    return rows.groupby(["base", "strategy", "query_language", "candidate_language"], sort=False)["value"].mean().reset_index()


def recall_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: Recall@k by kind of language pair, mean over seeds ± standard deviation."""
    cells = means.groupby(["base", "strategy", "setting", "metric"], sort=False)["value"].agg(with_spread)
    wide = cells.unstack(["setting", "metric"])
    return ordered(wide)[[(kind, metric) for kind in KINDS for metric in MEASURES if (kind, metric) in wide]]


def question_tests(questions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Paired tests over the parallel questions, for each kind of language pair and MEASURES: every trained strategy against the untrained
    base (baseline untrained), and against hybrid (baseline hybrid). Columns as of `tables.test_table`; Holm's correction in each family.

    questions: task, base, strategy, seed, setting, group and MEASURES; the untrained base stands beside every seed (`at_every_seed`).
    """
    rows = apart(at_every_seed(questions))
    tables = [test_table(rows, value, resamples, baseline) for baseline in (UNTRAINED, HYBRID) for value in MEASURES]
    return stack(tables, TEST_COLUMNS)


def main_tests(tests: pd.DataFrame) -> pd.DataFrame:
    """Those of MAIN."""
    return tests[tests["measure"] == MAIN]


def alignment_means(alignment: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Alignment measures of each encoder: the mean over the ordered pairs of each of KINDS, or of the whole set (kind `all pairs`).

    Returns base, strategy, seed, setting, measure, value.
    """
    pairs = alignment[alignment["other_language"] != ""]
    kinds = pairs.assign(setting=pair_kinds(pairs, trained, ("language", "other_language")))
    rows = apart(pd.concat([alignment.assign(setting=ALL_PAIRS), kinds]))
    return rows.groupby(["base", "strategy", "seed", "setting", "measure"], sort=False)["value"].mean().reset_index()


def alignment_wide(means: pd.DataFrame) -> pd.DataFrame:
    """For readers: mean over seeds of every measure, by kind of language pair where it is one of pairs."""
    return ordered(means.pivot_table(index=["base", "strategy"], columns=["measure", "setting"], values="value", sort=False)).round(3)


def passage_table(run: Run) -> pd.DataFrame:
    """Recall of passages (`tables.search_table`); no rows where the run has no task PASSAGES."""
    return search_table(evaluate(run).table("scores", task=PASSAGES)) if PASSAGES in run.profile.tasks else pd.DataFrame()


def on_recall(means: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Recall@1 over all pairs of languages: against the untrained base with each objective, and hybrid against each strategy alone."""
    sentences = []
    rows = main_tests(tests)[lambda rows: rows["setting"] == ALL_PAIRS]
    values = means[(means["metric"] == MAIN) & (means["setting"] == ALL_PAIRS)].groupby(["base", "strategy"])["value"].mean()
    for base, part in rows.groupby("base", sort=False):
        before = part[part["baseline"] == UNTRAINED]
        told = ", ".join(
            f"{word} {', '.join(f'{row.strategy} ({values[base, row.strategy]:.3f})' for row in rows)}"
            for word in (*CHANGE.values(), NO_CHANGE)
            if (rows := [row for row in _in_order(before) if change(row) == word])
        )
        sentences.append(f"From {base}, {MAIN} is {values[base, UNTRAINED]:.3f} before training; it {told}.")
        if mixed := _on_mix(base, part):
            sentences.append(mixed)
    return sentences


def _in_order(rows: pd.DataFrame) -> list:
    ranks = in_order(rows["strategy"])
    return sorted(rows.itertuples(), key=lambda row: ranks.index(row.strategy))


def change(row) -> str:
    """Whether a strategy's value rises or falls from the untrained base's, by the corrected test and the interval over seeds."""
    return CHANGE.get(verdict(row), NO_CHANGE)


def _on_mix(base: str, part: pd.DataFrame) -> str:
    """Where both objectives in one mix stand between, above or below each alone."""
    against = part[(part["baseline"] == HYBRID) & part["strategy"].isin(["X-X-mono", "X-Y"])]
    if len(against) < 2:
        return ""
    both = {verdict(row) for row in against.itertuples()}
    answer = {
        frozenset({AHEAD}): "the two objectives help each other",
        frozenset({BEHIND}): "the two objectives hinder each other",
        frozenset({AHEAD, BEHIND}): "the mix lies between the two objectives",
    }.get(frozenset(both), "the mix is not clearly apart from both")
    return f"From {base}, hybrid is {grouped(against)}: {answer}."


def on_languages(tests: pd.DataFrame, languages: Collection[str], trained: Collection[str]) -> list[str]:
    """The same by kind of language pair: trained and untrained languages apart."""
    rows = main_tests(tests)[lambda rows: rows["setting"] != ALL_PAIRS]
    untrained = [language for language in languages if language not in set(trained)]
    if rows.empty:
        known = {0: "both languages in training", len(languages): "no language in training"}.get(len(untrained), "one language in training")
        return [f"Every pair of languages of these questions has {known}: trained and untrained ones cannot be told apart here."]
    sentences = [f"No training batch holds {', '.join(untrained)}."]
    for base, part in rows.groupby("base", sort=False):
        for kind in [kind for kind in KINDS if kind in set(part["setting"])]:
            of_kind = part[part["setting"] == kind]
            before, mixed = (of_kind[of_kind["baseline"] == baseline] for baseline in (UNTRAINED, HYBRID))
            changes = ", ".join(f"{change(row)} {row.strategy} ({row.mean_difference:+z.3f})" for row in _in_order(before))
            against = grouped(mixed)
            sentences.append(f"From {base}, {KIND_WORDS[kind]}: {MAIN} {changes}." + (f" Hybrid is {against}." if against else ""))
    return sentences


def on_pairs(pairs: pd.DataFrame) -> list[str]:
    """Hybrid's Recall@1 minus another strategy's over all pairs of languages: the mean and the extremes."""
    wide = pairs.set_index(["base", "query_language", "candidate_language", "strategy"])["value"].unstack()
    if HYBRID not in wide:
        return ["This run has no hybrid strategy to compare."]
    sentences = []
    for base, part in wide.dropna(subset=[HYBRID]).groupby("base"):
        part = part.droplevel("base")
        others = [name for name in COMPARED if name in part]
        told = [f"{other} {_extremes(part[HYBRID] - part[other])}" for other in others]
        sentences.append(f"From {base}, Recall@1 of hybrid minus that of {'; '.join(told)}.")
    return sentences


def _extremes(values: pd.Series) -> str:
    low, high = (" → ".join(place) for place in (values.idxmin(), values.idxmax()))
    return f"{values.mean():+z.3f} on average, {values.min():+z.3f} ({low}) to {values.max():+z.3f} ({high})"


def on_alignment(means: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Whether the vectors' own alignment moves as the recall does."""
    rows = means[(means["setting"] == ALL_PAIRS) & (means["measure"] == "alignment_gap")]
    values = rows.groupby(["base", "strategy"])["value"].mean()
    changed = main_tests(tests)[lambda rows: (rows["setting"] == ALL_PAIRS) & (rows["baseline"] == UNTRAINED)]
    clear = [row for row in changed.itertuples() if change(row) != NO_CHANGE]
    agree = [row for row in clear if (values[row.base, row.strategy] > values[row.base, UNTRAINED]) == (row.mean_difference > 0)]
    sentences = []
    for base, part in values.groupby("base", sort=False):
        part = part.droplevel("base")
        if UNTRAINED in part:
            listed = ", ".join(f"{name} {part[name]:.3f}" for name in in_order(part.index) if name not in NOT_TRAINED)
            sentences.append(f"From {base}, the alignment gap is {part[UNTRAINED]:.3f} before training and after it: {listed}.")
    if clear:
        sentences.append(
            f"The alignment gap moves in the direction of {MAIN} in {len(agree)} of the {len(clear)} cases in which that clearly changes."
        )
    return sentences


def on_passages(run: Run) -> list[str]:
    """How to get the passage recall, where this run lacks it."""
    if PASSAGES in run.profile.tasks:
        return []
    tasks = json.dumps([*run.profile.tasks, PASSAGES])
    return [
        "This run has no task `mkqa`. Passage recall in BGE-M3's protocol (questions in 25 languages, English Wikipedia passages, "
        f"Recall@20 and @100 by gold answer): `python -m hybridir_utils run --profile {run.source} --set 'tasks={tasks}'`; the questions "
        "and the corpus of 2.7 million passages come from the hub or from local folders (data/README.md)."
    ]
