"""What notebooks call first and last: open the run, save and show a table, draw a figure, say what the numbers say."""

from __future__ import annotations

import logging
import warnings

import pandas as pd

from .figures import FIGURES, draw
from .fingerprints import versions
from .session import Run, _short, open_run, save_table


def start(profile: str, **parameters) -> Run:
    """Open the run of a notebook's parameters and print what they resolve to; quiets the libraries' progress and notices."""
    _quiet()
    run = open_run(profile, **parameters)
    print(f"run {run.name}")
    print(" · ".join(f"{key} {_short(value)}" for key, value in run.profile.model_dump().items() if value not in ("", ())))
    print(" · ".join(f"{name} {number}" for name, number in versions().items()))
    return run


def show_figure(run: Run, name: str):
    """Draw a registered figure from the saved tables, write it as PNG and SVG, and show the PNG."""
    from IPython.display import Image

    return Image(filename=str(draw(run, name)), alt=FIGURES[name].caption, width=900)


def keep(run: Run, **tables: pd.DataFrame) -> None:
    """Save result tables under their names; figures, reports and later notebooks read them."""
    for name, table in tables.items():
        save_table(run, name, table)


def say(*sentences: str):
    """Sentences computed from the numbers, as a Markdown list."""
    from IPython.display import Markdown

    return Markdown("\n".join(f"- {sentence}" for sentence in sentences))


def _quiet() -> None:
    import datasets

    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("sentence_transformers", "transformers", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
