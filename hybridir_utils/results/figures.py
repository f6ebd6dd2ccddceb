"""The register of figures: which plot, from which result tables; drawn by notebooks and by `python -m hybridir_utils figures`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..base.errors import InputError, MissingInput, UnknownName
from ..base.files import file_fingerprint
from ..experiment.run import Run
from ..experiment.stamps import check_unaltered
from ..provenance import reads
from ..provenance.code_use import PACKAGE, Place
from .style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureRecipe:
    """A plot function of result tables (`room.module.function`), the tables it takes, and the text that stands in for the picture.

    The function is named, so that an edit of one plot makes only those notebooks stale that show it.
    """

    plot: str
    tables: tuple[str, ...]
    caption: str

    @property
    def place(self) -> Place:
        """Module and name of the plot function."""
        module, _, function = self.plot.rpartition(".")
        return module, function

    def draw(self, tables: Mapping[str, pd.DataFrame]) -> Figure:
        """The plot of the tables, by name."""
        module, function = self.place
        return getattr(import_module(f"{PACKAGE.name}.{module}"), function)(tables)


FIGURES = {
    "01_coverage": FigureRecipe("results.plots.coverage", ("coverage",), "Pairs per language after each step of the preparation."),
    "01_lengths": FigureRecipe("results.plots.lengths", ("lengths",), "Length of questions and passages by language."),
    "01_rejections": FigureRecipe("results.plots.rejections", ("rejections",), "Texts refused by each quality check, by language."),
    "02_batches": FigureRecipe("results.plots.batches", ("language_shares",), "Languages of question x passage in the planned batches."),
    "02_losses": FigureRecipe("results.plots.losses", ("losses",), "Training and validation losses, mean and range over seeds."),
    "03_scores": FigureRecipe("results.plots.scores", ("scores",), "mAP by setting; a dot a seed."),
    "03_languages": FigureRecipe("results.plots.languages", ("scores",), "mAP by question language."),
    "03_heatmap": FigureRecipe("results.plots.heat_maps", ("heat",), "mAP of question language x answer language in the mixed pool."),
    "04_rank_distance": FigureRecipe("results.plots.rank_distances", ("distances",), "Distribution of the rank distance over questions."),
    "04_language_share": FigureRecipe("results.plots.language_share", ("bias",), "Same-language share of the top 10 against the pool."),
    "04_map": FigureRecipe("results.plots.vector_map", ("map",), "Parallel questions and passages on two principal components."),
    "04_alignment": FigureRecipe("results.plots.alignment", ("alignment",), "Alignment, uniformity and language identity of the vectors."),
    "04_debiasing": FigureRecipe("results.plots.debiasing", ("debiasing",), "Training-free removal of language identity."),
    "04_beside_a_mean": FigureRecipe(
        "results.plots.beside_a_mean",
        ("debiasing",),
        "Every strategy as it is and with each language's mean taken off, beside the paper's.",
    ),
    "05_curves": FigureRecipe("studies.plots.curves", ("mixing",), "Every measure against α, mean and range over seeds; schedules beside."),
    "05_pareto": FigureRecipe(
        "studies.plots.pareto", ("mixing",), "Monolingual against cross-lingual mAP of every mix, with the Pareto front."
    ),
    "05_recommended": FigureRecipe("studies.plots.recommended", ("mixing_best",), "Best α of every goal with its 95 % interval."),
    "06_kept": FigureRecipe("studies.plots.kept", ("shift",), "Share of mAP kept under domain shift, by strategy."),
    "06_alignment": FigureRecipe("studies.plots.alignment", ("shift_alignment",), "Alignment in domain against alignment under shift."),
    "07_recall": FigureRecipe("studies.plots.recall", ("question_recall",), "Recall of translated questions, by kind of language pair."),
    "07_pairs": FigureRecipe("studies.plots.pairs", ("question_pairs",), "Recall@1 of hybrid minus others, by pair of languages."),
    "08_methods": FigureRecipe("studies.plots.methods", ("many_scores",), "mAP of each method in each setting; a dot a seed."),
    "08_languages": FigureRecipe("studies.plots.languages", ("many_languages",), "mAP by question language, grouped by family."),
    "08_cost": FigureRecipe("studies.plots.cost", ("many_scores", "many_cost"), "mAP of each method against its training time."),
    "08_growth": FigureRecipe("studies.plots.growth", ("many_growth",), "Time of each step and mAP by number of languages."),
    "09_verdicts": FigureRecipe("studies.plots.verdicts", ("claims",), "Verdicts on the eleven claims, by source."),
}


def draw(run: Run, name: str) -> Path:
    """Draw a registered figure from the run's saved tables into the figures folder; returns the PNG's path.

    Raises UnknownName for a figure that is not registered, MissingInput when a table has not been saved.
    """
    if name not in FIGURES:
        raise UnknownName("figure", name, FIGURES)
    recipe = FIGURES[name]
    tables = {table: read_result(run, table) for table in recipe.tables}
    about = f"{recipe.caption} Run {run.name}; tables {', '.join(recipe.tables)}."
    return save_figure(recipe.draw(tables), run.figures, name, about, provenance(run, recipe.tables, name[:2]))["png"]


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
    """Every registered figure whose tables the run has saved."""
    ready = [name for name, recipe in FIGURES.items() if all((run.results / f"{table}.csv").is_file() for table in recipe.tables)]
    if not ready:
        raise MissingInput(f"{run.results}: no saved results. Run the notebooks first: python -m hybridir_utils run --profile {run.source}")
    return [draw(run, name) for name in ready]
