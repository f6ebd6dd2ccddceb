"""What of the committed reference does not hang together: tables, figures, notebook outputs, pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hybridir_utils.base.files import file_fingerprint, read_json
from hybridir_utils.experiment.run import Run, reference_figures, reference_tables
from hybridir_utils.provenance.fingerprints import is_sealed
from hybridir_utils.suite import reference
from hybridir_utils.suite.reference import PAGES, WRITTEN, filled, outputs_fingerprint
from hybridir_utils.suite.whence import embedded


def contradictions(run: Run) -> Iterator[str]:
    """What of the reference of the run's name does not hang on its committed tables, each in a sentence; nothing where all does."""
    tables, figures = reference_tables(run.name), reference_figures(run.name)
    record = read_json(tables / WRITTEN) if (tables / WRITTEN).is_file() else {}
    if not is_sealed(record):
        yield f"{tables / WRITTEN}: not there, or altered"
        return
    for folder, digests in ((tables, record["tables"]), (figures, record["figures"])):
        there = {path.name: file_fingerprint(path) for path in folder.glob("*") if path.name != WRITTEN}
        others = sorted(name for name in {*there, *digests} if there.get(name) != digests.get(name))
        yield from (f"{folder / name}: altered, missing, or left from before" for name in others)
    for path in sorted(figures.glob("*")):
        drawn = embedded(path).get("tables", {"": ""})
        if any(record["tables"].get(f"{table}.csv") != digest for table, digest in drawn.items()):
            yield f"{path}: made from other tables"
    for name, digest in record["notebooks"].items():
        if outputs_fingerprint(read_json(reference.NOTEBOOKS / name)) != digest:
            yield f"{reference.NOTEBOOKS / name}: other outputs than those written with the tables"


def stale_pages() -> list[Path]:
    """The pages of the checkout whose numbers are not those of the reference's tables."""
    pages = [reference.ROOT / page for page in PAGES if (reference.ROOT / page).is_file()]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    return [page for page, text in texts.items() if filled(text, reference._reference_table) != text]
