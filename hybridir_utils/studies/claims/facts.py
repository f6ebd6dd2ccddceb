"""Claims 1-5 and 11, about data, batches and protocol: verdicts from what is counted in a source's tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ...base.languages import XQUAD_R_LANGUAGES
from ...data.batching import BatchPlan
from ...data.leakage import leaks
from ...data.parallel_index import ParallelIndex, sorted_codes
from ...data.public_pairs import TRAINING_SETS
from ...experiment.encoders import plans
from ...experiment.evaluation import NOT_TRAINED, REFERENCE
from ...experiment.preparation import PreparedPairs, evaluation_tasks, tested_texts
from ...experiment.run import Run
from ...provenance.artefacts import Artefact
from ...rank.significance import LEVEL, holm
from ...results.reading import leak_counts
from ...results.style import SHORT_SETTINGS
from ...tasks.retrieval_task import RetrievalTask
from .rules import Verdict, decided, not_testable
from .sources import Source

LAREQA = {"xquad-r": ("XQuAD-R", 11), "mlqa-r": ("MLQA-R", 7)}  # task -> the paper's name and its number of languages
WIDEST = 0.3  # of the interval of the share of monolingual batches
LEAST_ACCEPTED = 0.5  # of the translations into a language
MONO, CROSS, NEITHER = "monolingual batches", "cross-lingual batches", "batches of neither kind"
ALL = "all batches"
MIXTURE_COLUMNS = ["share", "of", "planned", "realised", "count", "batches", "low", "high", "p", "p_holm"]
COUNT_COLUMNS = ["task", "language", "questions", "translated", "answered", "answered_elsewhere", "candidates"]


def batch_mix(source: Source) -> Verdict:
    """Claim 1."""
    table, alpha = source.tables["mixture"], source.parameters["alpha"]
    if table.empty:
        return not_testable("The run trains no hybrid batches.")
    if not 0 < alpha < 1:
        return not_testable(f"With α = {alpha:g} hybrid batches are of one kind, so there is no mix to look at.")
    off = table[table["p_holm"] < LEVEL]
    mono = table[table["share"] == MONO].iloc[0]
    if off.empty and mono["high"] - mono["low"] > WIDEST:
        return not_testable(f"{mono['batches']:,} batches are too few: chance gives shares of {mono['low']:.2f} to {mono['high']:.2f}.")
    sets = table[table["of"].isin([MONO, CROSS])]
    largest = (sets["realised"] - sets["planned"]).abs().max()
    counted = (
        f"{mono['count']:,} of {mono['batches']:,} batches are monolingual ({mono['realised']:.3f}; α = {alpha:g}, 95 % binomial interval "
        f"{mono['low']:.3f} to {mono['high']:.3f}); {table[table['share'] == NEITHER]['count'].sum():,} of neither kind; "
        f"data sets: {sets['share'].nunique()}, none further than {100 * largest:.1f} points from its size's share."
    )
    return decided(off.empty, counted + "".join(_off(row) for row in off.itertuples()))


def _off(row) -> str:
    of = "" if row.of == ALL else f" of the {row.of}"
    return (
        f" Outside chance: {row.share}{of}, {row.realised:.3f} where {row.planned:.3f} is asked for (exact test, Holm p {row.p_holm:.2g})."
    )


def parallel_languages(source: Source) -> Verdict:
    """Claim 2."""
    table = source.tables["task_counts"]
    if lacking := _without_lareqa(source, set(table["task"])):
        own = "; ".join(f"{task}: {_counted(rows)}" for task, rows in table.groupby("task", sort=False))
        return not_testable(f"{lacking} Its own: {own}.")
    told, holds = [], True
    for task, (name, languages) in LAREQA.items():
        rows = table[table["task"] == task]
        parallel = rows[["translated", "answered", "answered_elsewhere"]].eq(rows["questions"], axis=0).all(axis=None)
        holds &= len(rows) == languages and bool(parallel)
        told.append(f"{name}: {_counted(rows)} ({languages} languages claimed)")
    return decided(holds, "; ".join(told) + ".")


def _counted(rows: pd.DataFrame) -> str:
    asked = rows["questions"].sum()
    alone, unanswered = asked - rows["translated"].sum(), asked - rows[["answered", "answered_elsewhere"]].min(axis=1).sum()
    return (
        f"{asked:,} questions in {(rows.questions > 0).sum()} languages, {alone:,} without a translation, {unanswered:,} without an "
        "answer in their own or in another language"
    )


def _without_lareqa(source: Source, there: set[str]) -> str:
    """Why LAReQA's two sets cannot be counted in this source; "" where they can."""
    missing = [name for task, (name, _) in LAREQA.items() if task not in there]
    if missing:
        return f"The run does not evaluate {' and '.join(missing)}."
    chosen = source.parameters.get("task_languages", [])
    return f"The profile evaluates {len(chosen)} languages of its choice." if chosen and not set(XQUAD_R_LANGUAGES) <= set(chosen) else ""


def settings_counted(source: Source) -> Verdict:
    """Claim 3."""
    found = _runs(source)
    if lacking := _without_lareqa(source, set(found.index)):
        return not_testable(f"{lacking} Its own: {_runs_as_text(found)}.")
    if found.loc[list(LAREQA), "cross-lingual"].isna().any():
        return not_testable(f"Of the pairs of languages only means by question language are published; counted are {_runs_as_text(found)}.")
    holds = all(
        (found.loc[task, "monolingual"], found.loc[task, "cross-lingual"]) == (languages, languages * (languages - 1))
        for task, (_, languages) in LAREQA.items()
    )
    return decided(holds, f"Runs averaged in mAP: {_runs_as_text(found)}.")


def _runs(source: Source) -> pd.DataFrame:
    """Number of runs whose mAP is averaged: tasks x (monolingual, cross-lingual)."""
    rows = source.tables["scores"].query("query_language == 'macro' and metric == 'mAP'")
    return rows.pivot_table(index="task", columns="setting", values="n", sort=False, dropna=False).reindex(columns=list(SHORT_SETTINGS)[:2])


def _runs_as_text(found: pd.DataFrame) -> str:
    tasks = [[f"{n:g} {setting}" for setting, n in row.dropna().items()] for _, row in found.iterrows()]
    return "; ".join(f"{task}: {' and '.join(counts) or 'none'}" for task, counts in zip(found.index, tasks, strict=True)) or "none"


def map_reported(source: Source) -> Verdict:
    """Claim 4."""
    scores = source.tables["scores"]
    macro = scores[(scores["query_language"] == "macro") & (scores["metric"] == "mAP")].dropna(subset=["value"])
    trained = macro[(macro["base"] != REFERENCE) & ~macro["strategy"].isin(NOT_TRAINED)]
    told = "; ".join(
        f"{task}: {', '.join(short for s, short in SHORT_SETTINGS.items() if s in set(rows['setting']))} of "
        f"{rows['strategy'].nunique()} strategies"
        for task, rows in trained.groupby("task", sort=False)
    )
    if missing := [name for task, (name, _) in LAREQA.items() if task not in set(scores["task"])]:
        return not_testable(f"The run does not evaluate {' and '.join(missing)}. Its own mAP: {told}.")
    encoders, keys = trained[["base", "strategy"]].drop_duplicates(), ["task", "setting", "base", "strategy"]
    found = trained[trained["task"].isin(LAREQA)][keys].drop_duplicates()
    return decided(0 < len(LAREQA) * len(SHORT_SETTINGS) * len(encoders) == len(found), f"mAP: {told or 'none'}.")


def nothing_leaks(source: Source) -> Verdict:
    """Claim 5."""
    table = source.tables["leak_recheck"]
    kinds = ["exact", "near", "contained"]
    found = ", ".join(f"{table[kind].sum():,} {kind}" for kind in kinds)
    places = [f"{row.task}, {row.field}: {row.exact + row.near + row.contained}" for row in table.itertuples() if row.groups]
    dropped = [f"{row.dropped:,} for a {row.field} of {row.task}" for row in table.itertuples() if row.dropped]
    evidence = (
        f"{table['texts'].max():,} training rows against {table['task'].nunique()} tasks, after cleaning: {found} "
        f"(similarity from {source.parameters['near_duplicate']:g}); parallel groups dropped before: {'; '.join(dropped) or 'none'}."
    )
    return decided(not table[kinds].to_numpy().any(), evidence + (f" Still there: {'; '.join(places)}." if places else ""))


def machine_translated(source: Source) -> Verdict:
    """Claim 11."""
    p = source.parameters
    english = [name for name in p["pair_sets"] if name not in p.get("english_only", []) and _in_english_only(name)]
    targets = [language for language in p["languages"] if language != "en"]
    if not english or not targets:
        return not_testable(
            f"Nothing is translated: the pair sets ({', '.join(p['pair_sets'])}) are parallel as they come, or stay in English."
        )
    steps = source.tables["coverage"].pivot(index="language", columns="step", values="pairs")
    steps = steps.reindex(targets).fillna(0)
    share = (steps["accepted"] / steps["translated"]).fillna(0)
    told = f"{', '.join(english)} into {len(targets)} languages: {steps['translated'].sum():,.0f} pairs, accepted by the quality checks "
    told += f"{share.min():.0%} ({share.idxmin()}) to {share.max():.0%} ({share.idxmax()})"
    if p.get("translator", "memory") == "memory":
        return not_testable(f"The translator is a memory of hand-written sentences with names from CLDR, no machine translation. {told}.")
    return decided(bool((steps["translated"] > 0).all() and (share >= LEAST_ACCEPTED).all()), f"By {p['translator']}: {told}.")


def _in_english_only(name: str) -> bool:
    return name == "worldfacts" or (name in TRAINING_SETS and set(TRAINING_SETS[name].languages) == {"en"})


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
    folder = Artefact(run.artefacts / "pairs", "leaks-left", recipe, leaks).make(make)
    return pd.read_parquet(folder / "leaks.parquet")


def leaks_rechecked(run: Run, prepared: PreparedPairs) -> pd.DataFrame:
    """Hits per task, field and kind in `leaks_left`, the parallel groups they are of, those dropped before, and the texts compared."""
    tasks, texts = tested_texts(run), len(prepared.train)
    before = leak_counts(prepared.leaks, tasks)["groups"]
    return leak_counts(leaks_left(run, prepared), tasks).assign(dropped=before, texts=texts).reset_index()


def task_counts(run: Run) -> pd.DataFrame:
    """COUNT_COLUMNS, a row a language of questions or candidates, of the tasks that are ranked in full, named as in the profile.

    Of the questions of a language: translated, those whose id stands in another language too; answered, those with a relevant
    candidate in their own language; answered_elsewhere, in another one.
    """
    return pd.concat([_counts(task).assign(task=name) for name, task in evaluation_tasks(run).items()], ignore_index=True)[COUNT_COLUMNS]


def counts_by_task(counts: pd.DataFrame) -> pd.DataFrame:
    """`task_counts` over all languages of a task, and how many there are."""
    sums = {name: (name, "sum") for name in COUNT_COLUMNS[2:]}
    return counts.groupby("task", sort=False).agg(languages=("language", "nunique"), **sums)


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
    asked = pd.DataFrame(flags).groupby(task.queries["language"].to_numpy()).sum()
    counts = asked.join(task.candidates["language"].value_counts().rename("candidates"), how="outer").fillna(0).astype(int)
    return counts.rename_axis("language").reset_index()
