"""What notebooks call first and last: open the run, save and show a table, draw a figure, say what the numbers say."""

from __future__ import annotations

import logging
import os
import platform
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..base.errors import HybridIRError, UnknownName, did_you_mean, warn_in_lines
from ..base.files import fingerprint, output_root, write_json
from ..data.register import data_recipe
from ..encode.opening import default_device
from ..experiment.profile import Profile, load_profile
from ..experiment.run import Run, changes_of, open_run, origin_of, reference_figures, reference_tables, run_command, save_table
from ..experiment.sources import prompt_notes
from ..experiment.stamps import stage_code
from ..provenance import reads
from ..provenance.fingerprints import PACKAGE, versions
from ..results import show
from ..results.figures import FIGURES, draw, read_result
from ..results.style import PIXELS, WIDTH
from ..results.tables import NOTHING


def start(profile: str, **parameters) -> Run:
    """Open the run of a notebook's parameters, record it beside its results, and show in a line what the notebook uses and the run changes;
    below it, which encoders lack their family's prompts.

    All values of the run stand in `about.json` beside the tables. A notebook that the suite does not execute says with which checkout it
    works, and warns where it lies in another. Quiets the libraries' progress and notices; errors and warnings of this package show a line
    alone, and a table without rows is a sentence. Raises UnknownName for a parameter, of a person or put in by papermill, that the notebook
    does not have.
    """
    from IPython import get_ipython
    from IPython.display import display

    _quiet()
    if shell := get_ipython():
        shell.user_ns.pop("run", None)  # the one of before: where this start fails, the next cell would go on with it
        shell.set_custom_exc((HybridIRError, KeyboardInterrupt), _in_a_line)
        _say_what_is_empty(shell)
        _refuse_unknown(shell.user_ns.get("In", []), ["profile", *parameters])
    run, by_hand = open_run(profile, **parameters), reads.FILE not in os.environ
    reads.set_origin(notebook=reads.origin().get("notebook", ""), **origin_of(run))
    reads.device(default_device())
    _record(run)
    folder, *warned = _checkouts() if by_hand else [""]
    made_with = " · ".join(f"{name} {number}" for name, number in versions().items())
    details = map(show.paragraph, filter(None, [made_with, folder]))
    told_of_run = show.folded(" · ".join([f"run {run.name}", *_values(run, parameters)]), *details)
    display(show.together(show.Shown(show.PRINTED, ""), told_of_run))
    if told := [*prompt_notes(run.profile), *warned]:
        print(*told, sep="\n")
    return run


def _in_a_line(shell, kind: type, error: BaseException, trace, tb_offset: int | None = None) -> None:
    """What IPython calls in place of showing a traceback, which `%tb` still shows."""
    shell._get_exc_info((kind, error, trace))  # remembers it
    again = ". Run the cell again: it goes on from there." if isinstance(error, KeyboardInterrupt) else ""
    said = f"{kind.__name__}: {str(error) or 'stopped; what was finished is kept'}{again}"
    shell._showtraceback(kind, error, [f"{said}\n(`%tb` in a cell shows where.)"])


def _values(run: Run, keys: Iterable[str]) -> Iterator[str]:
    """`key value` of the notebook's own keys and of all that the run changes, these with the value that the profile has."""
    values, own, changed = run.profile.model_dump(), load_profile(run.source).model_dump(), changes_of(run)
    for key in dict.fromkeys((*keys, *changed)):
        yield f"{key} {_shown(values[key])}" + (f" (profile: {_shown(own[key])})" if key in changed else "")


def _refuse_unknown(cells: list[str], known: list[str]) -> None:
    """Raises UnknownName for a parameter that the notebook does not have: it would change nothing, and the right name would keep its value.

    cells: sources of those that ran. known: the notebook's parameters. Every name counts that papermill put in; of those that a person
    set beside the profile the misspelt ones, and keys of a profile: a cell may have names of its own.
    """
    put_in = [cell for cell in cells if cell.startswith("# Parameters\n")]
    by_hand = [cell for cell in cells[:-1] if known[0] in _assigned(cell) and cell not in put_in]
    for cell in (*by_hand[-1:], *put_in[-1:]):
        for name in _assigned(cell):
            meant = cell in put_in or name in Profile.model_fields or did_you_mean(name, known[1:]) != "."
            if meant and name not in known:
                raise UnknownName("parameter of this notebook", name, known)


def _assigned(cell: str) -> list[str]:
    return re.findall(r"^(\w+)\s*=(?!=)", cell, flags=re.MULTILINE)


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _checkouts() -> list[str]:
    """The folder of the package, and a warning where the notebook lies in another checkout."""
    used, place = PACKAGE.parent, Path(os.environ.get("JPY_SESSION_NAME") or "x.ipynb").absolute()
    own = next((folder for folder in place.parents if (folder / PACKAGE.name / "__main__.py").is_file()), used)
    lines = [f"package and results of {used}" if output_root() == used else f"package of {used}, results of {output_root()}"]
    if own.resolve() != used:
        lines.append(f"warning: this notebook lies in {own}, and works with another checkout; set PYTHONPATH={own} for its kernel.")
    return lines


def _say_what_is_empty(shell) -> None:
    """What a run cannot have has no rows, whichever cell shows it."""
    html, plain = (shell.display_formatter.formatters[kind] for kind in ("text/html", "text/plain"))
    html.for_type(pd.DataFrame, lambda table: f"<p>{NOTHING}</p>" if table.empty else table._repr_html_())
    plain.for_type(pd.DataFrame, lambda table, printer, cycle: printer.text(NOTHING if table.empty else repr(table)))


def show_figure(run: Run, name: str):
    """Draw a registered figure from the saved tables, write it as PNG and SVG, and show the PNG; a sentence where there is none."""
    path = draw(run, name)
    return _picture(path) if path else show.paragraph(FIGURES[name].left_out)


def beside(run: Run, *names: str) -> show.Shown | None:
    """A section: what these registered figures say and show of every other run of the reference that has them, folded; from committed files
    alone.
    """
    others = sorted({path.name for path in reference_tables("").glob("*")} - {run.name})
    parts = [_of_reference(replace(run, name=other, source=other, committed=True), names) for other in others]
    return show.section("And in other runs?", "What the committed tables of other runs say, by the same rules, and their figures.", *parts)


def _of_reference(run: Run, names: Sequence[str]) -> show.Shown | None:
    pictures, recipes = [reference_figures(run.name) / f"{name}.png" for name in names], [FIGURES[name] for name in names]
    if not all(map(Path.is_file, pictures)) or not all(run.has(table) for recipe in recipes for table in recipe.told_from):
        return None
    first, *others = [told for recipe in recipes for told in recipe.sentences(*(read_result(run, table) for table in recipe.told_from))]
    return show.folded(f"{run.name}: {first}", *map(show.paragraph, others), *map(_picture, pictures))


def _picture(path: Path):
    from IPython.display import Image

    return Image(filename=str(path), alt=FIGURES[path.stem].caption, width=round(WIDTH * PIXELS))


def save(run: Run, **tables: pd.DataFrame) -> None:
    """Save result tables under their names; figures, reports and later notebooks read them."""
    for name, table in tables.items():
        save_table(run, name, table)


def say(*sentences: str, further: Sequence[str] = ()):
    """Sentences computed from the numbers (`show.listed`), those that lie open first."""
    from IPython.display import Markdown

    return Markdown(show.listed(sentences, further))


def leave_out(sentence: str):
    """Say why a run cannot have the rest of a notebook, and do nothing in its other cells; an empty sentence changes nothing."""
    from IPython import get_ipython

    if sentence and (shell := get_ipython()):
        shell.input_transformers_cleanup.append(lambda lines: [])
    return say(sentence) if sentence else None


def _record(run: Run) -> None:
    """Write `about.json` beside the tables: what they were made from, with what, and on what."""
    p = run.profile
    about = {
        "run": run.name,
        "command": run_command(run.source, changes_of(run)),
        "parameters": p.model_dump(mode="json"),
        **data_recipe(p.data_names, p.data_dir),
        "code": fingerprint(stage_code()),
        "versions": {"python": platform.python_version(), **versions()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {default_device()}",
    }
    write_json(run.results / "about.json", about)


def _quiet() -> None:
    import datasets

    datasets.disable_progress_bars()
    warn_in_lines()
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("sentence_transformers", "transformers", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
