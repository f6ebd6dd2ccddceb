"""Make a finished run the reference, all at once: tables, figures, Markdown tables, notebook outputs, and the numbers in the pages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from ..base.errors import InputError
from ..base.files import NOTEBOOKS, ROOT, file_fingerprint, fingerprint, replacing, write_text_atomically
from ..experiment.evaluation import REFERENCE
from ..experiment.run import Run, reference_figures, reference_tables, run_command
from ..experiment.stamps import STAMPS, check_unaltered, is_current, read_stamps
from ..provenance.fingerprints import sealed
from ..results.figures import FIGURES
from ..results.findings import on_beside_a_mean
from ..results.tables import markdown, score_table
from ..studies.claims.judging import claims_markdown
from .cells import INJECTED
from .readers import markdown_tables
from .records import OK, read_record
from .running import Step, notebooks
from .whence import embedded

SHOWN = "sample"  # the run whose outputs the notebooks carry
PAGES = ("README.md", "data/results/README.md", "notebooks/profiles/README.md")
ABOUT = "about.json"
WRITTEN = "reference.json"  # beside the reference's tables: what was written with them
KEPT_CELL_METADATA = ("tags",)
BLOCK = re.compile(r"(<!-- numbers: (\S+) (\S+)([^\n]*?) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
SCORES = ["Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance"]


def write_back(run: Run) -> list[Path]:
    """Replace the reference of the run's name by the run; returns what was written.

    Nothing is written before everything is there. Raises InputError where a table was made by other code or values than the ones in use
    now, a figure was drawn from other tables, or, in the run whose outputs the notebooks carry, a notebook has not ended well.
    """
    import nbformat

    _check_current(run)
    tables = {path.name: path.read_bytes() for path in (*sorted(run.results.glob("*.csv")), run.results / STAMPS, run.results / ABOUT)}
    pictures = _figures(run) | {name: text.encode() for name, text in markdown_tables(run).items()}
    books = {path.name: cleaned(_executed(Step(path, run))) for path in (notebooks() if run.name == SHOWN else ())}
    books = {name: (nbformat.writes(book) + "\n").encode() for name, book in books.items()}
    outputs = {name: outputs_fingerprint(json.loads(content)) for name, content in books.items()}
    record = {"tables": _digests(tables), "figures": _digests(pictures), "notebooks": outputs}
    tables[WRITTEN] = (json.dumps(sealed(record), indent=1, sort_keys=True) + "\n").encode()
    written = _fill(reference_tables(run.name), tables) + _fill(reference_figures(run.name), pictures)
    return [*written, *(_replace(NOTEBOOKS / name, content) for name, content in books.items()), *_fill_pages()]


def _fill(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Make the folder hold these files and no others."""
    written = [_replace(folder / name, content) for name, content in files.items()]
    for path in set(folder.glob("*")) - set(written):
        path.unlink()
    return written


def _check_current(run: Run) -> None:
    stamps, again = read_stamps(run.results), f"{run_command(run.source, {})} --from 01"
    old = [name for name, stamp in stamps.items() if not is_current(stamp, run.profile)]
    if old or not stamps:
        what = f"tables of other code or values than the ones in use now ({', '.join(old)})" if old else "no saved tables"
        raise InputError(f"{run.results}: {what}. Make them with: {again}")
    for path in run.results.glob("*.csv"):
        check_unaltered(path, again)


def _figures(run: Run) -> dict[str, bytes]:
    """File name -> content of every figure whose tables are saved, all of them drawn from these."""
    found = {}
    for name, recipe in FIGURES.items():
        places = {table: run.results / f"{table}.csv" for table in recipe.tables}
        if all(place.is_file() for place in places.values()):
            now = {table: file_fingerprint(place) for table, place in places.items()}
            for path in (run.figures / f"{name}.png", run.figures / f"{name}.svg"):
                if embedded(path).get("tables") != now:
                    again = run_command(run.source, {}, verb="figures")
                    raise InputError(f"{path}: not there, or drawn from other tables. Draw it with: {again}")
                found[path.name] = path.read_bytes()
    return found


def _executed(step: Step):
    import nbformat

    record = read_record(step.record)
    if record is None or record.status != OK:
        state = record.status if record else "never run"
        raise InputError(f"{step.notebook.name}: {state}. The outputs are written back of all notebooks together: leave --only out.")
    return nbformat.read(step.executed, as_version=4)


def cleaned(notebook):
    """The notebook without injected cells, standard error, widget state and metadata that change from run to run."""
    notebook.cells = [cell for cell in notebook.cells if INJECTED not in cell["metadata"].get("tags", [])]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    number = 0
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
        cell["metadata"] = {key: cell["metadata"][key] for key in KEPT_CELL_METADATA if cell["metadata"].get(key)}
        if cell["cell_type"] == "code":
            number += 1
            cell["outputs"] = [output for output in cell["outputs"] if not _passing(output)]
            for numbered in (cell, *(output for output in cell["outputs"] if "execution_count" in output)):
                numbered["execution_count"] = number
    return notebook


def _passing(output) -> bool:
    """Progress bars: standard error, and widgets, which without their state are empty on the web."""
    return output.get("name") == "stderr" or any(kind.startswith("application/vnd.jupyter.widget") for kind in output.get("data", {}))


def outputs_fingerprint(notebook: Mapping) -> str:
    """Of all outputs of a notebook's file."""
    return fingerprint([cell.get("outputs") for cell in notebook["cells"]])


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _replace(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _fill_pages() -> list[Path]:
    pages = [ROOT / page for page in PAGES if (ROOT / page).is_file()]
    for page in pages:
        write_text_atomically(page, filled(page.read_text(encoding="utf-8"), _reference_table))
    return pages


def filled(page: str, read: Callable[[str, str], pd.DataFrame]) -> str:
    """A page whose blocks `<!-- numbers: RUN WHAT … -->` to `<!-- end -->` hold what the tables say now.

    WHAT: `scores TASK [BASE …]`, `claims [SOURCE …]` or `beside-a-mean` (sentences). read: the saved table of a run, by both names.
    Raises InputError for another block.
    """
    return BLOCK.sub(
        lambda found: f"{found[1]}{readme_block(found[3], found[4].split(), lambda table: read(found[2], table))}{found[5]}", page
    )


def readme_block(what: str, which: list[str], read: Callable[[str], pd.DataFrame]) -> str:
    """The Markdown table of a block; which: task and bases of the scores, or sources of the claims; all where none is named."""
    if what == "claims":
        claims = read("claims")
        return claims_markdown(claims[claims["source"].isin(which or claims["source"])])
    if what == "beside-a-mean":
        return "\n".join(on_beside_a_mean(read("debiasing"))) + "\n"
    if what != "scores" or not which:
        raise InputError(f"numbers: {what} {' '.join(which)}: expected `scores TASK [BASE …]`, `claims [SOURCE …]` or `beside-a-mean`.")
    rows = score_table(read("scores"), read("bias")).loc[which[0]]
    bases = rows.index.get_level_values("base")
    return markdown(rows.loc[bases.isin([*(which[1:] or bases), REFERENCE]), SCORES])


def _reference_table(run: str, table: str) -> pd.DataFrame:
    path = reference_tables(run) / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"{path}: a page names its numbers, and it is not there.")
    return pd.read_csv(path, keep_default_na=False, na_values=[""])
