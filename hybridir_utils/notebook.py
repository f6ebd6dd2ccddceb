"""What notebooks call first and last: open the run, save and show a table, draw a figure, say what the numbers say."""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections.abc import Iterable

import pandas as pd

from .figures import FIGURES, draw
from .fingerprints import versions
from .session import Run, open_run, save_table


def start(profile: str, **parameters) -> Run:
    """Open the run of a notebook's parameters and print what they resolve to; quiets the libraries' progress and notices."""
    _quiet()
    run = open_run(profile, **parameters)
    print(f"run {run.name}")
    values = run.profile.model_dump().items()
    print(
        _lines(
            f"{key} {' '.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in values if value not in ("", ())
        )
    )
    print(_lines(f"{name} {number}" for name, number in versions().items()))
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


def _lines(parts: Iterable[str]) -> str:
    return textwrap.fill(" · ".join(parts), 120, break_on_hyphens=False)


def _quiet() -> None:
    import datasets

    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("sentence_transformers", "transformers", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
