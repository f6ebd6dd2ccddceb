"""The register of figures: which plot, from which result tables, and what it says in words; drawn by notebooks and by `figures`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..base.errors import InputError, MissingInput, need_known
from ..base.files import file_fingerprint
from ..experiment.run import Run
from ..experiment.stamps import check_unaltered
from ..provenance import reads
from ..provenance.fingerprints import PACKAGE, Place
from .style import Nothing, note_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Number of a notebook -> the modules of its figures' plots, and of their sentences.
MODULES = dict.fromkeys(("01", "02"), ("results.plots", "results.reading")) | {
    "03": ("results.plots", "results.findings"),
    "04": ("results.plots", "results.findings"),
    "05": ("studies.plots", "studies.mixing"),
    "06": ("studies.plots", "studies.shift"),
    "07": ("studies.plots", "studies.questions"),
    "08": ("studies.plots", "studies.languages"),
    "09": ("studies.plots", "studies.claims.judging"),
}


@dataclass(frozen=True)
class FigureRecipe:
    """A plot of result tables, and sentences computed from them: for readers who cannot see it, and beside it for all others.

    The plot is the function of the figure's name in MODULES, the sentences are those of `say`, both of the tables in their order; they are
    named, so that an edit of one plot makes only those notebooks stale that show it. caption: stands in for the picture. read: the tables
    of `say`, where they are not the plot's.
    """

    name: str
    tables: tuple[str, ...]
    caption: str
    say: str
    read: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Module and name of the plot function."""
        return MODULES[self.name[:2]][0], self.name[3:]

    @property
    def told_from(self) -> tuple[str, ...]:
        """The tables that `sentences` takes."""
        return self.read or self.tables

    def draw(self, *tables: pd.DataFrame) -> Figure:
        """The plot of the tables; one that says so where the run has nothing of what it shows."""
        try:
            return _function(*self.place)(*tables)
        except Nothing:
            return note_figure(self.left_out)

    def sentences(self, *tables: pd.DataFrame) -> list[str]:
        """What the figure says; that it is left out where the run has nothing of it."""
        try:
            return _function(MODULES[self.name[:2]][1], self.say)(*tables) or [self.left_out]
        except Nothing:
            return [self.left_out]

    @property
    def left_out(self) -> str:
        return f"Left out, as this run has none: {self.caption}"


def _function(module: str, name: str) -> Callable:
    return getattr(import_module(f"{PACKAGE.name}.{module}"), name)


FIGURES = {
    recipe.name: recipe
    for recipe in (
        FigureRecipe("01_coverage", ("coverage",), "Pairs per language after each step; numbers: after the last.", "on_coverage"),
        FigureRecipe("01_lengths", ("lengths",), "Length of questions and passages by language.", "on_lengths"),
        FigureRecipe("01_rejections", ("rejections",), "Texts refused by language, each by the first check it fails.", "on_rejections"),
        FigureRecipe("02_losses", ("losses",), "Training and validation losses, mean and range over seeds.", "on_losses"),
        FigureRecipe("02_batches", ("language_shares",), "Languages of question x passage in the planned batches.", "on_batches"),
        FigureRecipe("03_scores", ("scores",), "mAP by setting; a dot a seed.", "on_scores", ("scores", "tests")),
        FigureRecipe(
            "03_differences", ("tests",), "AP of each strategy minus hybrid's, with 95 % intervals.", "on_scores", ("scores", "tests")
        ),
        FigureRecipe("03_languages", ("scores",), "mAP by question language.", "on_query_languages"),
        FigureRecipe("03_heatmap", ("heat", "scores"), "mAP of question by answer language in the mixed pool.", "on_heat", ("heat",)),
        FigureRecipe(
            "04_beside_a_mean",
            ("debiasing",),
            "mAP and rank distance of every strategy, as it is and with each language's mean taken off, over the pool or over "
            "training passages; the paper's, where it has the set.",
            "on_beside_a_mean",
        ),
        FigureRecipe(
            "04_rank_distance", ("distances",), "Distribution of the rank distance over questions.", "on_bias", ("bias", "bias_tests")
        ),
        FigureRecipe(
            "04_differences", ("bias_tests",), "Rank distance of each strategy minus hybrid's, with 95 % intervals.", "against_main"
        ),
        FigureRecipe("04_language_share", ("bias",), "Same-language share of the top 10 against the pool.", "on_language_share"),
        FigureRecipe("04_map", ("map",), "Parallel questions and passages on two principal components.", "on_map"),
        FigureRecipe("04_alignment", ("alignment",), "Alignment, uniformity and language identity of the vectors.", "on_vectors"),
        FigureRecipe("04_debiasing", ("debiasing",), "What removing language identity without training changes in mAP.", "on_debiasing"),
        FigureRecipe(
            "05_curves",
            ("mixing",),
            "Every measure against α, mean and range over seeds; schedules beside.",
            "on_curves",
            ("mixing", "mixing_tests"),
        ),
        FigureRecipe("05_pareto", ("mixing",), "Monolingual against cross-lingual mAP of every mix, with the Pareto front.", "on_pareto"),
        FigureRecipe("05_recommended", ("mixing_best",), "Best α of every goal with its 95 % interval.", "on_best"),
        FigureRecipe("06_kept", ("shift",), "mAP kept under shift, by strategy; both values where that is no share.", "on_share"),
        FigureRecipe(
            "06_alignment",
            ("shift_alignment",),
            "Alignment in domain against alignment under shift; more is better.",
            "on_shifted_alignment",
            ("shift_alignment", "shift"),
        ),
        FigureRecipe(
            "07_recall",
            ("question_recall",),
            "Recall of translated questions, by kind of language pair.",
            "on_recall",
            ("question_recall", "question_tests"),
        ),
        FigureRecipe(
            "07_differences",
            ("question_tests",),
            "Recall@1 of each strategy minus hybrid's, with 95 % intervals.",
            "on_recall",
            ("question_recall", "question_tests"),
        ),
        FigureRecipe("07_pairs", ("question_pairs",), "Recall@1 of hybrid minus others, by pair of languages.", "on_pairs"),
        FigureRecipe(
            "08_methods", ("many_scores",), "mAP of each method in each setting; a dot a seed.", "on_methods", ("many_scores", "many_tests")
        ),
        FigureRecipe(
            "08_differences",
            ("many_tests",),
            "AP of each method minus hybrid's, with 95 % intervals.",
            "on_methods",
            ("many_scores", "many_tests"),
        ),
        FigureRecipe("08_languages", ("many_languages",), "mAP by question language, grouped by family.", "on_languages"),
        FigureRecipe(
            "08_cost", ("many_scores", "many_cost"), "mAP of each method against its training time.", "on_training_cost", ("many_cost",)
        ),
        FigureRecipe("08_growth", ("many_growth",), "Time of each step and mAP by number of languages.", "on_growth", ("many_growth",)),
        FigureRecipe("09_verdicts", ("claims",), "Verdicts on the eleven claims, by source.", "on_claims"),
    )
}


def can_be_drawn(run: Run, name: str) -> bool:
    """Whether the run has saved the figure's tables, and the first of them has rows: of none there is nothing to see."""
    tables = FIGURES[name].tables
    return all(map(run.has, tables)) and not read_result(run, tables[0]).empty


def draw(run: Run, name: str) -> Path | None:
    """Draw a registered figure from the run's saved tables into the figures folder; returns the PNG's path, None where `can_be_drawn`
    finds no rows.

    Raises UnknownName for a figure that is not registered, MissingInput when a table has not been saved.
    """
    need_known("figure", [name], FIGURES)
    recipe = FIGURES[name]
    tables = [read_result(run, table) for table in recipe.tables]
    if tables[0].empty:
        return None
    about = f"{recipe.caption} Run {run.name}; tables {', '.join(recipe.tables)}."
    return save_figure(recipe.draw(*tables), run.figures, name, about, provenance(run, recipe.tables, name[:2]))["png"]


def provenance(run: Run, tables: Iterable[str], notebook: str = "") -> str:
    """What a figure or a table for readers carries in its file: run, number of the notebook, and the saved tables with their SHA-256."""
    hashes = {table: file_fingerprint(run.results / f"{table}.csv") for table in tables}
    return json.dumps({"notebook": notebook, "run": run.name, "tables": hashes}, sort_keys=True)


def read_result(run: Run, table: str) -> pd.DataFrame:
    """A saved result table of the run (`read_saved`)."""
    return read_saved(run.results / f"{table}.csv", f"python -m hybridir_utils run --profile {run.source}")


def read_saved(path: Path, command: str) -> pd.DataFrame:
    """A saved result table; raises MissingInput with the command where it is not there yet, InputError where it cannot be read."""
    if not path.is_file():
        raise MissingInput(f"{path}: not there yet. Run the notebooks first: {command}")
    reads.used(path)
    check_unaltered(path, command)
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas' parser and UTF-8 errors
        raise InputError(f"{path}: not a CSV table ({error}). Delete it and run the notebooks again.") from error


def draw_all(run: Run) -> list[Path]:
    """Every registered figure that `can_be_drawn`."""
    saved = [name for name, recipe in FIGURES.items() if all(map(run.has, recipe.tables))]
    drawn = [path for name in saved if (path := draw(run, name))]
    if not drawn:
        raise MissingInput(f"{run.results}: no saved results. Run the notebooks first: python -m hybridir_utils run --profile {run.source}")
    return drawn
