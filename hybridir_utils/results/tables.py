"""Result tables: what of the evaluations is saved (tidy), and what readers see of it (wide)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd

from ..data.batching import SCHEDULES
from ..experiment.evaluation import NOT_TRAINED, REFERENCE, UNTRAINED, Evaluations, evaluate
from ..experiment.run import Run, changes_of, named_run, own_run
from ..rank.bias import MAIN_MEASURES
from ..rank.debiasing import NOT_USED
from ..rank.significance import TESTED, clear_direction, compare, holm
from .paper import TASKS, beside_references, in_our_names, judged, main_task, paper_scores
from .style import SHORT_SETTINGS, in_order

KEYS = ["task", "base", "strategy"]
ENCODER = ["base", "strategy", "alpha", "seed"]
TEST_KEYS = ["task", "base", "setting", "measure"]
TEST_COLUMNS = [*TEST_KEYS, *TESTED]  # of a table of paired tests, also where nothing can be tested
MEASURE_NAMES = {"AP": "mAP", "rank_distance": "rank distance"}  # of a value per question -> of its mean
LOWER_IS_BETTER = ("rank_distance", "rank distance")
RANKS = ("rank distance", "Max@R")  # in the names of the measures that count ranks
BY_LANGUAGE = [*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "Mo. nDCG@10", "rank distance"]
PRINTED_BY_LANGUAGE = ("mAP", "R@1", "R@10", "nDCG@10", "nDCG@20", "R@100", "Recall@20", "Recall@100")
SHOWN_OF_BIAS = ("same-language share@10", "same-language pool share", "rank distance")  # by language; the others as averages alone
PAPER_TASKS = {"xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R"}  # those of all three settings
# Methods that train nothing: as tables name them -> as the field writes them.
METHODS = {"none": "none", "centring": "centring", "lir": "LIR", "lsar": "LSAR", "shift": "SHIFT"}
COMPARATOR = ["method", "fitted_on", "question_language"]
FITS = {"pool": "the pool", "training": "training passages"}  # fitted_on -> its words
IDENTIFIED = "identified"  # question_language where none is given
CENTRED = "centred "  # before the name of a strategy whose vectors have each language's mean, over the pool, taken off
NOTHING, MISSING = "This run has nothing of this.", "–"  # in place of a table without rows, and of a cell without a value


# Rows of tidy tables


def stack(tables: Sequence[pd.DataFrame], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Tables below each other, those without rows left out; columns: of the result, also where no table has a row."""
    filled = [table for table in tables if len(table)]
    stacked = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    return stacked[list(columns)] if columns else stacked


def macro(scores: pd.DataFrame, metric: str = "mAP") -> pd.DataFrame:
    """The averages over languages, or over pairs of them, of one metric; "" of a table that has no metrics."""
    rows = scores[scores["query_language"] == "macro"]
    return rows[rows["metric"] == metric] if metric else rows


def of_encoders(table: pd.DataFrame) -> pd.DataFrame:
    """Without BM25 and random order, which are no encoders."""
    return table[table["base"] != REFERENCE]


def trained(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the encoders that this run trained: no reference, no base before training, no public retriever."""
    return of_encoders(table)[lambda rows: ~rows["strategy"].isin(NOT_TRAINED)]


def ordered(table: pd.DataFrame, tasks: Sequence[str] = ()) -> pd.DataFrame:
    """Rows in a reader's order: tasks as they come in `tasks`, bases before the references, strategies as in the figures."""
    bases, strategies, tasks = table.index.unique("base"), in_order(table.index.unique("strategy")), list(dict.fromkeys(tasks))
    order = {
        "task": tasks,
        "base": sorted(bases, key=lambda base: (base == REFERENCE, base)),
        "strategy": strategies,
        "method": list(METHODS),
    }
    return table.sort_index(key=lambda level: level.map(order[level.name].index) if order.get(level.name) else level)


def falling(means: pd.Series) -> str:
    """`A 0.700 > B 0.600 = C 0.600`: what is alike as it is written is not told as larger."""
    means = means.round(3).sort_values(ascending=False, kind="stable")
    signs = means.diff().map(lambda step: " > " if step < 0 else " = ").to_numpy()
    return "".join(f"{sign}{name} {value:.3f}" for sign, (name, value) in zip(["", *signs[1:]], means.items(), strict=True))


def with_spread(values: pd.Series, digits: int = 3) -> str:
    """Mean over seeds ± standard deviation; the mean alone of one value."""
    mean = f"{values.mean():,.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std():,.{digits}f}"


# What is saved of a run's evaluations


def reported_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """What is saved of all scores: every metric's macro average, and by question language those that papers print so."""
    by_language = scores[(scores["query_language"] != "macro") & scores["metric"].isin(PRINTED_BY_LANGUAGE)]
    keys = [*ENCODER, "task", "setting", "query_language", "metric"]
    means = by_language.groupby(keys, dropna=False, sort=False).agg(value=("value", "mean"), n=("n", "sum")).reset_index()
    return pd.concat([macro(scores, ""), means], ignore_index=True)


def reported_bias(bias: pd.DataFrame) -> pd.DataFrame:
    """What is saved of all bias measures: the macro averages, and by language those that figures show."""
    return bias[(bias["query_language"] == "macro") | bias["measure"].isin(SHOWN_OF_BIAS)]


def reported_heat(heat: pd.DataFrame) -> pd.DataFrame:
    """mAP of question language x answer language of the trained encoders, mean over seeds."""
    keys = ["base", "strategy", "query_language", "candidate_language"]
    return trained(heat).groupby(keys)["value"].mean().reset_index()


def reported_alignment(alignment: pd.DataFrame, seed: int) -> pd.DataFrame:
    """base, strategy, measure, value of the alignment of the questions' vectors: of one seed's encoders, and of those that have no seed."""
    rows = alignment[(alignment["side"] == "question") & alignment["seed"].isin([0, seed])]
    return rows.groupby(["base", "strategy", "measure"])["value"].mean().reset_index()


def distance_percentiles(questions: pd.DataFrame) -> pd.DataFrame:
    """Percentiles 0..100 of the rank distance over questions and seeds: task, base, strategy, percentile, rank_distance."""
    grid, rows = np.arange(0, 101), questions.dropna(subset=["rank_distance"])
    parts = [
        pd.DataFrame({**dict(zip(KEYS, about, strict=True)), "percentile": grid, "rank_distance": np.percentile(values, grid)})
        for about, values in rows.groupby(KEYS, sort=False)["rank_distance"]
    ]
    return stack(parts, [*KEYS, "percentile", "rank_distance"])


def comparators(evaluations: Evaluations) -> pd.DataFrame:
    """ENCODER, task, COMPARATOR, not_fitted, languages_right, setting, metric, value of the methods that train nothing, beside the encoder
    as it is (method `none`); no rows where no encoder was debiased.
    """
    columns = [*ENCODER, "task", *COMPARATOR, "not_fitted", "languages_right", "setting", "metric", "value"]
    return evaluations.table("debiasing").reindex(columns=columns) if evaluations.has("debiasing") else pd.DataFrame(columns=columns)


def fitted(debiasing: pd.DataFrame, *texts: str, identified: bool = False) -> pd.DataFrame:
    """The main task's rows (`main_task`) of the encoders as they are and of the methods fitted on each of some of FITS: one value a
    text and method, languages of questions given; identified: also those where they are not.
    """
    rows = debiasing[debiasing["fitted_on"].isin([NOT_USED, *texts]) & (identified | (debiasing["question_language"] != IDENTIFIED))]
    return rows[rows["task"] == main_task(rows["task"])] if len(rows) else rows


def lacking(debiasing: pd.DataFrame) -> list[str]:
    """The languages that the text lacks which these rows' methods were fitted on."""
    return sorted(set(" ".join(debiasing["not_fitted"].fillna("")).split()))


def test_table(questions: pd.DataFrame, value: str, resamples: int, baseline: str = "hybrid") -> pd.DataFrame:
    """Paired tests of every trained strategy against `baseline`, a strategy or the untrained base, for each task, base and setting.

    questions: task, base, strategy, seed, setting, group and the column `value`. See significance.compare for the columns. No rows
    where nothing can be compared.
    """
    left_out = [name for name in NOT_TRAINED if name != baseline]
    rows = of_encoders(questions)[lambda rows: ~rows["strategy"].isin(left_out)].dropna(subset=[value])
    tables = []
    for (task, base, setting), part in rows.groupby(["task", "base", "setting"], sort=False):
        if min(part["strategy"].nunique(), part["group"].nunique()) > 1 and baseline in set(part["strategy"]):
            per = part[["strategy", "seed", "group", value]].rename(columns={value: "value"})
            tables.append(compare(per, baseline, resamples).assign(task=task, base=base, setting=setting, measure=value))
    return stack(tables, TEST_COLUMNS)


def debiasing_tests(evaluations: Evaluations, questions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Paired tests of every encoder after centring on the pool, the untrained base too, against hybrid as it is, in the mixed pool: AP and
    rank distance, for each task and base, over the seeds that were centred.

    questions: as of `test_table`. Columns as of `test_table`; strategies are named CENTRED and their own name, and Holm's correction is
    over them. No rows where no encoder was centred.
    """
    if not evaluations.has("debiasing_questions"):
        return stack([], TEST_COLUMNS)
    centred = at_every_seed(evaluations.table("debiasing_questions"))
    seeds = centred[["task", "base", "seed"]].drop_duplicates()
    plain = questions[questions["strategy"] == "hybrid"].merge(seeds, on=[*seeds])
    rows = pd.concat([plain, centred.assign(strategy=CENTRED + centred["strategy"])], ignore_index=True)
    rows = rows[rows["setting"] == "multilingual"]
    return stack([test_table(rows, value, resamples) for value in MEASURE_NAMES], TEST_COLUMNS)


def compare_runs(run: Run, other: str = "", measure: str = "AP") -> pd.DataFrame:
    """Paired tests of each strategy of a run against the same strategy of another one: a row for each task, base, setting and strategy.

    other: name of a run that has saved its scores; "": the profile's own, as its file stands. measure: AP or rank_distance. Columns as of
    `test_table`; Holm's correction is over the strategies. Strategies that both runs share the encoders of are left out. What of
    either is not there yet is made, as `evaluate` does. Raises MissingInput for a run that has saved nothing.
    """
    there = named_run(other) if other else own_run(run)
    ours, theirs = evaluate(run), evaluate(there)
    both = set(ours.folders.values()) & set(theirs.folders.values())
    ours, theirs = _questions_of(ours, both), _questions_of(theirs, both)
    tables = []
    for name in ours["strategy"].unique():
        baseline = f"{name} of {there.name}"
        rows = [ours[ours["strategy"] == name], theirs[theirs["strategy"] == name].assign(strategy=baseline)]
        tables.append(test_table(pd.concat(rows), measure, run.profile.resamples, baseline))
    table = stack(tables, TEST_COLUMNS)
    return table.assign(p_holm=table.groupby(["task", "base", "setting"])["p"].transform(lambda p: holm(p.to_numpy(float))))


def _questions_of(evaluations: Evaluations, without: set) -> pd.DataFrame:
    """A value per question of all but some evaluations."""
    kept = {key: folder for key, folder in evaluations.folders.items() if folder not in without}
    return Evaluations(kept).table("questions") if kept else pd.DataFrame(columns=["strategy"])


def at_every_seed(values: pd.DataFrame) -> pd.DataFrame:
    """Trained encoders' values, and the untrained bases' beside every seed: they have none of their own, and so the interval over seeds is
    that of the training runs.

    values: task, base, strategy, seed and any others.
    """
    own = values[~values["strategy"].isin(NOT_TRAINED)]
    runs = own[["task", "base", "seed"]].drop_duplicates()
    before = values[values["strategy"] == UNTRAINED].drop(columns="seed").merge(runs, on=["task", "base"])
    return pd.concat([own, before], ignore_index=True)


# What readers see


def score_table(scores: pd.DataFrame, bias: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of the macro mAP in each setting, R@1, R@10, and the rank distance; those that are there."""
    cells = {f"{short} mAP": _cells(scores, setting, "mAP") for setting, short in SHORT_SETTINGS.items()}
    cells |= {f"{short} R@1": _cells(scores, setting, "R@1") for setting, short in list(SHORT_SETTINGS.items())[:2]}
    cells["Mul. R@10"] = _cells(scores, "multilingual", "R@10")
    if bias is not None:
        cells["rank distance"] = bias_summary(bias)["rank distance"]
    return ordered(pd.DataFrame(cells), scores["task"]).dropna(axis=1, how="all")


def with_alpha(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    """The table, the names of strategies that mix by alpha with its value where the run has another than its profile."""
    mixed = [*SCHEDULES, "hybrid"] if "alpha" in changes_of(run) else []
    return table.rename(index={name: f"{name} (α = {run.profile.alpha:g})" for name in mixed}, level="strategy")


def bias_summary(bias: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds (± standard deviation) of MAIN_MEASURES."""
    rows = macro(bias, "")
    cells = {}
    for measure in MAIN_MEASURES:
        values = rows[rows["measure"] == measure].groupby(KEYS, sort=False)["value"]
        cells[measure] = values.agg(with_spread, digits=0 if measure in LOWER_IS_BETTER else 3)
    return ordered(pd.DataFrame(cells), bias["task"])


def _cells(scores: pd.DataFrame, setting: str, metric: str) -> pd.Series:
    rows = macro(scores, metric)
    return rows[rows["setting"] == setting].groupby(KEYS, sort=False)["value"].agg(with_spread)


def metric_table(scores: pd.DataFrame, task: str) -> pd.DataFrame:
    """Macro average over languages or pairs of every metric in each setting, mean over seeds, of one task."""
    rows = macro(scores, "")
    wide = rows[rows["task"] == task].pivot_table(index=KEYS, columns=["setting", "metric"], values="value")
    return ordered(wide, [task]).round(3)


def search_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Macro averages of the tasks whose large pools are searched to a depth, their own measures as columns, mean over seeds ± deviation.

    Empty where a run has none: such tasks have no mAP over full rankings.
    """
    searched = macro(scores[~scores["task"].isin(scores.loc[scores["metric"] == "mAP", "task"])], "")
    return searched.groupby([*KEYS, "setting", "metric"], sort=False)["value"].agg(with_spread).unstack("metric")


def language_table(scores: pd.DataFrame, task: str, base: str) -> pd.DataFrame:
    """mAP by question language and setting, mean over seeds, of one task and base."""
    rows = scores[(scores["query_language"] != "macro") & (scores["metric"] == "mAP") & (scores["task"] == task)]
    rows = rows[rows["base"].isin([base, REFERENCE])]
    wide = rows.pivot_table(index=["setting", "strategy"], columns="query_language", values="value")
    order = [(setting, s) for setting in SHORT_SETTINGS for s in in_order(rows["strategy"]) if (setting, s) in wide.index]
    return wide.loc[order].round(3)


def bias_table(bias: pd.DataFrame, task: str) -> pd.DataFrame:
    """Every measure of language bias, macro average over question languages, mean over seeds, of one task."""
    rows = macro(bias, "")[lambda rows: rows["task"] == task]
    return ordered(rows.pivot_table(index=KEYS, columns="measure", values="value", sort=False), [task]).round(3)


def bias_by_base(bias: pd.DataFrame, task: str) -> pd.DataFrame:
    """`bias_table` by (base, measure), strategies and references as columns, without the measures that are alike for all."""
    wide = bias_table(bias, task).droplevel("task")
    wide = wide.loc[:, wide.nunique() > 1]
    bases = dict.fromkeys(of_encoders(wide.reset_index())["base"])
    parts = {base: wide[wide.index.get_level_values("base").isin([base, REFERENCE])].droplevel("base").T for base in bases}
    return pd.concat(parts, names=["base", "measure"])


def debiasing_table(debiasing: pd.DataFrame) -> pd.DataFrame:
    """mAP per setting, R@10 and MAIN_MEASURES of the mixed pool by encoder and COMPARATOR, mean over seeds."""
    rows = of_encoders(debiasing)
    wide = rows.assign(column=column_names(rows)).pivot_table(index=[*KEYS, *COMPARATOR], columns="column", values="value")
    measures = [*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "Mul. R@10", *MAIN_MEASURES]
    return ordered(wide, debiasing["task"]).reindex(columns=measures).rename(index=METHODS, level="method").round(3)


def column_names(rows: pd.DataFrame, metric: str = "metric") -> pd.Series:
    """`Mo. mAP`, … of rows with a setting and a metric; measures of bias have one setting."""
    names = rows[metric].replace(MEASURE_NAMES)
    return (rows["setting"].replace(SHORT_SETTINGS) + " " + names).where(~names.isin(MAIN_MEASURES), names)


def difference_table(tests: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(difference from the baseline with its 95 % interval over questions, whether it is clear: `significance.clear_direction`).

    tests: of `test_table`. Rows task, base, strategy and what else tells the tests apart, columns setting and measure.
    """
    digits = np.where(tests["measure"].isin(LOWER_IS_BETTER), 0, 3)
    cells = [
        f"{row.mean_difference:+z,.{places}f} [{row.low:+,.{places}f}, {row.high:+,.{places}f}]"
        for row, places in zip(tests.itertuples(), digits, strict=True)
    ]
    rows = tests.assign(column=column_names(tests, "measure"), cell=cells, clear=is_clear(tests))
    keys = [name for name in (*KEYS, "baseline", "questions") if name in rows and (name == "strategy" or rows[name].nunique() > 1)]
    columns = rows["column"].unique()
    wide = [rows.pivot(index=keys, columns="column", values=values)[columns] for values in ("cell", "clear")]
    order = rows[keys].drop_duplicates().set_index(keys).index
    cells, clear = (table.reindex(order).rename_axis(columns=None) for table in wide)
    return cells.fillna(""), clear.eq(True)


def is_clear(tests: pd.DataFrame) -> np.ndarray:
    """[rows] bool: the test tells the strategy from its baseline (`significance.clear_direction`)."""
    return clear_direction(*(tests[name] for name in ("mean_difference", "p_holm", "seed_low", "seed_high"))) != 0


# The paper and others beside a run


def paper_table(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """The paper's macro averages beside ours for the tasks they share; without such a task, the paper's alone."""
    shared = [task for task in PAPER_TASKS if task in set(scores["task"])]
    paper = paper_scores()
    if not shared:
        return paper
    ours = score_table(scores[scores["task"].isin(shared)], bias[bias["task"].isin(shared)])
    ours = ours.reindex(columns=[*(f"{short} mAP" for short in SHORT_SETTINGS.values()), "rank distance"])
    ours = ours.rename(index=PAPER_TASKS, level="task").reset_index().rename(columns={"base": "encoder"})
    ours["encoder"] = "ours, " + ours["encoder"]
    both = pd.concat([paper.reset_index(), ours], ignore_index=True).set_index(["task", "encoder", "strategy"])
    return both.sort_index(level=0, sort_remaining=False)


def beside_paper(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """`paper_table` of the tasks that the run shares with the paper alone; no rows where there is none."""
    return paper_table(scores, bias).loc[[name for task, name in PAPER_TASKS.items() if task in set(scores["task"])]]


def paper_by_language(scores: pd.DataFrame, bias: pd.DataFrame) -> pd.DataFrame:
    """The paper's numbers per question language beside ours (mean over seeds), on each of its tasks that the run has: mAP and rank
    distance, for MIRACL nDCG@10.

    Rows are (task, measure, language), columns (encoder, strategy); none where the run has none of its tasks.
    """
    theirs = in_our_names().rename(columns={"language": "query_language"})
    distances = bias[bias["measure"] == "rank distance"].assign(setting="multilingual", metric="rank distance")
    ours = pd.concat([scores, distances])
    ours = of_encoders(ours[ours["query_language"] != "macro"])
    shared = [task for task in TASKS.values() if task in set(ours["task"])]
    rows = pd.concat([theirs.assign(encoder="paper, " + theirs["model"]), ours.assign(encoder="ours, " + ours["base"])])
    rows = rows[rows["task"].isin(shared)].assign(measure=column_names)
    rows = rows[rows["measure"].isin(BY_LANGUAGE)].sort_values("task", key=lambda names: names.map(shared.index), kind="stable")
    keys = ["task", "measure", "query_language"]
    wide = rows.pivot_table(index=keys, columns=["encoder", "strategy"], values="value", sort=False)
    order = {"task": shared.index, "measure": BY_LANGUAGE.index}
    return wide.sort_index(key=lambda level: level.map(order[level.name]) if level.name in order else level).round(3)


def reference_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Published averages of public encoders beside ours, by task and system: setting, metric, published, ours, verdict, source.

    Empty where the run evaluates none of them on all languages of a task (`checking.check` has the tolerances).
    """
    rows = judged(beside_references(scores))
    return rows.set_index(["task", "model"])[["setting", "metric", "published", "ours", "verdict", "source"]].round(3)


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as it is read, column by column; ranks, in columns or in rows of measures, have no decimals."""
    measures = frame.index.get_level_values("measure") if "measure" in frame.index.names else [""] * len(frame)
    rows, columns = (
        np.array([any(name in str(label) for name in RANKS) for label in labels], dtype=bool) for labels in (measures, frame.columns)
    )
    return frame.apply(_as_text).mask(rows[:, None] | columns, frame.map(lambda value: cell(value, in_ranks=True)))


def _as_text(column: pd.Series) -> pd.Series:
    """Cells as they are read; a column of whole numbers has no decimals, also where a gap made it one of floats."""
    numbers = column.dropna()
    whole = pd.api.types.is_float_dtype(column) and len(numbers) and (numbers % 1 == 0).all() and numbers.abs().max() > 1
    return column.map(lambda value: cell(value, whole))


def cell(value: object, in_ranks: bool = False) -> str:
    """Three decimals below ten, one below a hundred, none from there on and of ranks; thousands separated, a dash for nothing."""
    if isinstance(value, Integral) and not isinstance(value, bool | np.bool_):
        return f"{value:,}"
    if not isinstance(value, float):
        return MISSING if value is None or value is pd.NA else str(value)
    digits = 0 if in_ranks or abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return MISSING if pd.isna(value) else f"{value:,.{digits}f}"


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, its index as columns; a bar or line break inside a cell is escaped."""
    flat = as_texts(table).reset_index().astype(object).fillna(MISSING)
    columns = [" ".join(filter(None, map(str, c))) if isinstance(c, tuple) else str(c) for c in flat.columns]
    rows = [[*map(str, row)] for row in flat.itertuples(index=False, name=None)]
    cells_of = [[" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells] for cells in [columns, ["---"] * len(columns), *rows]]
    lines = ["| " + " | ".join(cells) + " |" for cells in cells_of]
    return "\n".join(lines) + "\n"
