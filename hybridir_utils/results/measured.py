"""What any encoder is worth on a task, as one object that shows itself: as it is, and with each language's mean taken off its vectors.

One full ranking gives every measure (`rank.metrics`, `rank.bias`); the second one, of centred vectors, says what could be had without
training (`rank.debiasing.fit_centring`, fitted on the task's candidates and applied to questions and candidates alike).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..base.errors import InputError, need_known
from ..experiment.any_encoder import named_encoder, need_ranked, notes_of, vectors_of
from ..rank import metrics, significance
from ..rank.bias import MAIN_MEASURES, bias_scores, not_computed
from ..rank.debiasing import fit_centring
from ..rank.lexical import REFERENCES
from ..rank.ranking import Ranks, dot_scores, rank_task
from ..tasks.beir import unnamed_groups
from ..tasks.retrieval_task import RetrievalTask
from .show import table as shown
from .style import SHORT_SETTINGS, handle, label, legend_below, panels
from .tables import MISSING, as_texts, markdown

DEPTH = 100  # candidates kept of each list, for bias measures
OPEN = 0.005  # of mAP, left open by the order of candidates with equal scores, from which on it is told
PLAIN, CENTRED = "plain", "centred"
OF_SCORES = {f"{short} mAP": (setting, "mAP") for setting, short in SHORT_SETTINGS.items()}  # column -> setting, metric
OF_SCORES |= {f"Mul. {metric}": ("multilingual", metric) for metric in ("R@1", "R@10")}
COLUMNS = (*OF_SCORES, *MAIN_MEASURES)
TESTS = ["setting", *significance.TESTED]  # columns of `compare`
DRAWN = ("Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance")
LOOKS = {PLAIN: {"color": "#0072B2"}, CENTRED: {"color": "#0072B2", "mfc": "white"}}


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What `evaluate` found; shown as a table in a notebook.

    task: its name. questions: a row per setting, question and pool (`rank.metrics.per_query`). scores: as of `rank.metrics.scores`; bias:
    as of `rank.bias.bias_scores`. centred: the same after each language's mean vector is taken off; None where that cannot be done.
    notes: what the task or the encoder does not allow to measure, and why.
    """

    task: str
    questions: pd.DataFrame = field(compare=False)
    scores: pd.DataFrame = field(compare=False)
    bias: pd.DataFrame = field(compare=False)
    centred: Evaluation | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, Evaluation]:
        """The evaluation itself as `plain` and, where there is one, the centred one."""
        return {PLAIN: self} | ({CENTRED: self.centred} if self.centred else {})

    def table(self) -> pd.DataFrame:
        """A row plain and one centred, the macro-averages as columns: mAP in each setting; in the pool of all languages R@1, R@10, the rank
        distance, the share of questions whose first hit is in their language (LPR), and that of the ten best candidates. What the task
        cannot give has no column.
        """
        rows = pd.DataFrame({kind: each._macro() for kind, each in self.kinds.items()}).T
        return rows.reindex(columns=list(COLUMNS)).dropna(axis=1, how="all").rename_axis(columns=self.task)

    def _macro(self) -> dict[str, float]:
        scores, bias = (table[table["query_language"] == "macro"] for table in (self.scores, self.bias))
        of_scores, of_bias = scores.set_index(["setting", "metric"])["value"], bias.set_index("measure")["value"]
        found = {column: of_scores.get(place) for column, place in OF_SCORES.items()}
        return found | {measure: of_bias.get(measure) for measure in MAIN_MEASURES}

    def __repr__(self) -> str:
        return "\n".join([repr(shown(as_text(self.table()), title=self.task)), *self.notes])

    def _repr_html_(self) -> str:
        from html import escape

        return shown(as_text(self.table()), title=self.task)._repr_html_() + "".join(f"<p>{escape(note)}</p>" for note in self.notes)


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of an evaluation's table as they are read; what was not measured is empty."""
    return as_texts(table).replace(MISSING, "")


def evaluated(encoder, task: RetrievalTask) -> Evaluation:
    """The evaluation of an encoder (`any_encoder.vectors_of`) plain and centred, or of BM25 or a random order, by their names.

    Raises InputError as `vectors_of` and `dot_scores` do: no encoder, a wrong shape, NaN.
    """
    need_ranked(task)
    if isinstance(encoder, str) and encoder in REFERENCES:
        return _of_ranks(rank_task(REFERENCES[encoder](task), task, DEPTH), task)
    if isinstance(encoder, str | Path):
        encoder = named_encoder(str(encoder))
    vectors = vectors_of(encoder, task)
    sides = vectors.queries, vectors.candidates
    plain, (centred, reason) = _of_ranks(rank_task(dot_scores(*sides), task, DEPTH), task), _centred(sides, task)
    notes = (*notes_of(encoder), *plain.notes)
    if centred is None:
        return replace(plain, notes=(*notes, f"{CENTRED}: {reason}"))
    return replace(plain, centred=_of_ranks(rank_task(dot_scores(*centred), task, DEPTH), task), notes=notes)


def _of_ranks(ranks: Ranks, task: RetrievalTask) -> Evaluation:
    questions = metrics.per_query(ranks, task)
    scores = metrics.scores(questions)
    return Evaluation(task.name, questions, scores, bias_scores(ranks, task), notes=(*_ties(scores), *_not_measured(task)))


def _ties(scores: pd.DataFrame) -> Iterator[str]:
    """A note where the order of equal scores decides: an encoder that gives all texts one vector would seem to be perfect."""
    values = scores[scores["query_language"] == "macro"].pivot(index="setting", columns="metric", values="value").reindex(SHORT_SETTINGS)
    left_open = values[values["mAP_best"] - values["mAP_worst"] > OPEN]
    if ranges := [f"{SHORT_SETTINGS[row.Index]} {row.mAP_worst:.3f} to {row.mAP_best:.3f}" for row in left_open.itertuples()]:
        yield f"equal scores leave mAP open ({', '.join(ranges)}); the highest is shown. Are vectors of different texts the same?"


def _not_measured(task: RetrievalTask) -> Iterator[str]:
    """Of the columns of the table, those that the task cannot give, and why; and where tests would count translations as many questions."""
    reasons = not_computed(task)
    if translations := unnamed_groups(task):
        yield translations
    if "TLR" in reasons:
        yield f"Cr.: {reasons['TLR']}"
    yield from (f"{name}: {reason}" for name, reason in reasons.items() if any(column.startswith(name) for column in MAIN_MEASURES))


def _centred(vectors: tuple[np.ndarray, np.ndarray], task: RetrievalTask) -> tuple[list[np.ndarray] | None, str]:
    """(both sides without their languages' means, ""), or (None, why that cannot be done)."""
    if task.candidates["language"].nunique() < 2:
        return None, "the candidates are in one language, so there is no language to take off"
    languages = [side["language"].to_numpy() for side in (task.queries, task.candidates)]
    try:
        centring = fit_centring(vectors[1], languages[1])
        return [centring.apply(*side) for side in zip(vectors, languages, strict=True)], ""
    except InputError as error:
        return None, str(error).removeprefix("debiasing: ")


def compare(evaluations: Mapping[str, Evaluation | Sequence[Evaluation]], baseline: str, metric: str = "AP") -> pd.DataFrame:
    """Is the difference from `baseline` more than chance? Paired tests over the same questions, one row per setting and encoder.

    evaluations: name -> its evaluation (of centred vectors: its `.centred`), or those of encoders trained with other seeds, all of one
    task. metric: a column of `Evaluation.questions`. Columns: setting, then those of `rank.significance.compare` (mean difference with its
    interval, p, corrected by Holm within a setting, effect size, spread over seeds). Raises InputError where encoders were not asked the
    same, UnknownName for an unknown baseline or metric.
    """
    of_seeds = {name: [found] if isinstance(found, Evaluation) else list(found) for name, found in evaluations.items()}
    if len(tasks := {each.task for found in of_seeds.values() for each in found}) > 1:
        raise InputError(f"evaluations of different tasks ({', '.join(sorted(tasks))}) cannot be compared; give those of one.")
    tables = [each.questions.assign(strategy=name, seed=seed) for name, found in of_seeds.items() for seed, each in enumerate(found)]
    questions = pd.concat(tables, ignore_index=True)
    need_known("metric", [metric], [name for name in questions if name not in (*metrics.RUN_COLUMNS, "strategy", "seed")])
    columns = questions[["strategy", "seed", "group"]].assign(value=questions[metric])
    parts = [
        significance.compare(columns[questions["setting"] == setting], baseline).assign(setting=setting)
        for setting in SHORT_SETTINGS
        if (questions["setting"] == setting).any()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["setting", *table.columns.drop("setting")]]


def side_by_side(found: Mapping[str, Evaluation]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the tables of several encoders on one task below each other, rows (encoder, vectors); `compare` of every row with the first).

    No tests where there is nothing to compare: a single row, or questions of a single group.
    """
    table = pd.concat({name: each.table() for name, each in found.items()}, names=["encoder", "vectors"])
    table = table[[column for column in COLUMNS if column in table]].rename_axis(columns=None)
    rows = {row_name(name, kind): each for name, both in found.items() for kind, each in both.kinds.items()}
    groups = next(iter(rows.values())).questions["group"].nunique()
    return table, compare(rows, next(iter(rows))) if len(rows) > 1 and groups > 1 else pd.DataFrame(columns=TESTS)


def row_name(encoder: str, kind: str) -> str:
    """What a row is called in tests and figures."""
    return encoder if kind == PLAIN else f"{encoder}, {kind}"


def marked(table: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """The table's cells as text, with + or - behind an mAP that is clearly above or below the first row's (`clear_direction`)."""
    cells, names = as_text(table), [row_name(*place) for place in table.index]
    signs = pd.DataFrame("", cells.index, cells.columns)
    for row in tests.itertuples():
        sign = int(significance.clear_direction(row.mean_difference, row.p_holm, row.seed_low, row.seed_high))
        signs.loc[table.index[names.index(row.strategy)], f"{SHORT_SETTINGS[row.setting]} mAP"] = ("", " +", " -")[sign]
    return cells + signs


def page(command: str, legend: str, parts: Sequence[tuple[str, pd.DataFrame, Sequence[str]]], figure: str) -> str:
    """parts: of each task its title, its table as text and its notes; figure: name of the picture beside the page."""
    told = ["# Encoders evaluated\n", f"    {command}\n", f"![mAP and rank distance by encoder, plain and centred]({figure}.png)\n"]
    for title, table, notes in parts:
        told += [f"## {title}\n", markdown(table), *(f"- {note}" for note in notes), ""]
    return "\n".join(
        [*told, f"Centred: each language's mean vector of the candidates taken off. {legend}. Published values are their authors'.\n"]
    )


def evaluation_figure(tables: Mapping[str, pd.DataFrame]):
    """A row of panels a task: an encoder a line, its measures plain and centred. tables: task -> rows (encoder, vectors)."""
    most = max(len(table.index.unique("encoder")) for table in tables.values())
    figure, drawn = panels(tables, DRAWN, height=1 + 0.22 * most, sharey="row")
    for ax, task, column in drawn:
        table, encoders = tables[task], tables[task].index.unique("encoder")
        for kind, look in LOOKS.items():
            values = table.xs(kind, level="vectors")[column] if column in table and kind in table.index.unique("vectors") else pd.Series()
            ax.plot(values, [encoders.get_loc(name) for name in values.index], "o", ms=5, **look)
        ax.set_yticks(range(len(encoders)), [str(name)[-28:] for name in encoders])
        ax.set_ylim(len(encoders) - 0.5, -0.5)
        most = table[column].max() if column in table and column not in OF_SCORES else 1.0
        ax.set_xlim(-0.03 * most, 1.03 * most)
        label(ax, column, "", task if ax.get_subplotspec().is_first_col() else "")
    legend_below(figure, [handle(kind, "o", look["color"], mfc=look.get("mfc", look["color"])) for kind, look in LOOKS.items()])
    return figure
