"""The command `evaluate`: any encoders on any tasks that are ranked in full, without a profile and without training.

One table a task is printed and written as CSV, as a page with published values beside it, and as a figure; a JSON file says what they were
made with. Vectors of named encoders are kept (`any_encoder`), so the same command goes on after a kill and encodes nothing twice.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..base.errors import HybridIRError, InputError
from ..base.files import file_fingerprint, file_safe, fingerprint, folder_fingerprint, write_csv, write_json, write_text_atomically, writing
from ..data.register import data_fingerprint, languages_of
from ..experiment.any_encoder import NamedEncoder, named_encoder, named_function, need_ranked
from ..experiment.run import run_folder
from ..provenance.fingerprints import commit, versions
from ..rank.lexical import REFERENCES
from ..results.measured import Evaluation, as_text, evaluated, evaluation_figure, marked, page, side_by_side
from ..results.paper import published_rows
from ..results.style import save_figure
from ..tasks.retrieval_task import RetrievalTask

NAME = "evaluation"  # of every file that is written
LEGEND = "+ / -: mAP clearly above / below that of the first row (paired tests over the same questions, corrected by Holm)"


@dataclass
class TaskResult:
    """What was found on a task. name: as asked for; of_encoder: encoder -> its evaluation; seconds: encoder -> encoding and ranking."""

    name: str
    task: RetrievalTask
    of_encoder: dict[str, Evaluation] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        task = self.task
        counts = f"{len(task.queries):,} questions, {len(task.candidates):,} candidates"
        name = task.name if task.name == self.name else f"{task.name} ({self.name})"
        return f"{name}: {counts}, languages {' '.join(task.languages)}"

    @property
    def published(self) -> pd.DataFrame:
        """Other systems' values, where the pool is the whole set; without rows elsewhere."""
        whole = not Path(self.name).is_dir() and set(languages_of(self.name)) == set(self.task.languages)
        return published_rows(self.name if whole else "")

    def notes(self) -> Iterator[str]:
        for name, found in self.of_encoder.items():
            yield from (f"{name}: {note}" for note in found.notes)


def asked_encoders(models: Sequence[str], functions: Sequence[str], prompts: tuple[str, str] | None = None) -> dict[str, object]:
    """Name -> what `evaluated` takes: BM25 or random, a named encoder or a function, with these prompts. `LABEL=` before one is its name.

    Raises InputError, before any work, where nothing or something else is asked, or two have one name. Warns of those that take no prompts.
    """
    asked = [_labelled(text) for text in (*models, *functions)]
    if not asked:
        raise InputError("no encoder: give a folder, a name on the hub, one of data/encoders.toml, or --encoder module:function.")
    names = [name for name, _ in asked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"encoder {twice[0]!r} is named twice; name each once, or write LABEL=ENCODER.")
    found = {name: place if place in REFERENCES else named_encoder(place, prompts) for name, place in asked[: len(models)]}
    if prompts and (plain := [name for name, encoder in found.items() if isinstance(encoder, str)]):
        warnings.warn(f"{', '.join(plain)}: ranked without --prompts, which stand before the texts of encoders.", stacklevel=2)
    return found | {name: named_function(place, prompts) for name, place in asked[len(models) :]}


def _labelled(text: str) -> tuple[str, str]:
    """(name in tables, encoder); the folders of runs have `=` in their names, too."""
    label, equals, place = text.partition("=")
    return (label, place) if equals and not Path(text).exists() else (text, text)


def evaluate_all(
    encoders: Mapping[str, object], tasks: Mapping[str, RetrievalTask], folder: Path
) -> tuple[list[TaskResult], dict[str, str]]:
    """Every encoder on every task, told as it goes: (results, encoder -> why it was left out). An encoder that fails stops no other.

    Written into `folder` at the end. Raises InputError where none could be evaluated, or the folder cannot be written to.
    """
    for task in tasks.values():
        need_ranked(task)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    results, failed = [TaskResult(*each) for each in tasks.items()], {}
    for name, encoder in encoders.items():
        try:
            _evaluate(name, encoder, results)
        except HybridIRError as error:
            failed[name] = str(error)
            if len(encoders) > 1:
                print(f"left out {name}: {error}", flush=True)
    if len(failed) == len(encoders):
        raise InputError(f"no encoder could be evaluated. {failed[name] if len(failed) == 1 else 'Why each was left out stands above.'}")
    return results, failed


def _evaluate(name: str, encoder: object, results: Sequence[TaskResult]) -> None:
    """On all tasks or on none."""
    found = {}
    for result in results:
        print(f"{name} on {result.task.name} …", flush=True)
        start = time.perf_counter()
        found[result.name] = evaluated(encoder, result.task), time.perf_counter() - start
    for result in results:
        result.of_encoder[name], result.seconds[name] = found[result.name]


def told(result: TaskResult) -> str:
    """What the command prints of a task."""
    table, tests = side_by_side(result.of_encoder)
    legend = [LEGEND] if len(tests) else []
    return "\n".join(["", result.title, marked(table, tests).to_string(), *legend, *result.notes()])


def write_results(folder: Path, results: Sequence[TaskResult], about: dict) -> list[Path]:
    """CSV, tests, page, figure and JSON of the results; returns their paths. about: what the JSON says beside."""
    paths = {kind: folder / f"{NAME}{kind}" for kind in (".csv", "_tests.csv", ".md", ".json")}
    tables, tests, rows, parts = {}, {}, {}, []
    for result in results:
        table, tests[result.name] = side_by_side(result.of_encoder)
        tables[result.name], rows[result.name] = table, pd.concat([table, result.published])
        shown = pd.concat([marked(table, tests[result.name]), as_text(result.published)]).fillna("")
        parts.append((result.title, shown, [*result.notes()]))
    write_csv(paths[".csv"], pd.concat(rows, names=["task"]).reset_index())
    write_csv(paths["_tests.csv"], pd.concat(tests, names=["task"]).reset_index("task"))
    write_text_atomically(paths[".md"], page(about["command"], LEGEND, parts, NAME))
    pictures = save_figure(evaluation_figure(tables), folder, NAME, f"Encoders evaluated by: {about['command']}")
    hashes = {path.name: file_fingerprint(path) for kind, path in paths.items() if kind.endswith(".csv")}
    write_json(paths[".json"], about | {"tasks": {result.name: _about(result) for result in results}, "sha256": hashes})
    return [*paths.values(), *pictures.values()]


def _about(result: TaskResult) -> dict:
    place = Path(result.name)
    data = folder_fingerprint(place) if place.is_dir() else data_fingerprint((result.name,))
    seconds = {name: round(value, 1) for name, value in result.seconds.items()}
    return {"name": result.task.name, "languages": result.task.languages, "data": data, "seconds": seconds, "notes": [*result.notes()]}


def about(encoders: Mapping[str, object], failed: Mapping[str, str], command: str) -> dict:
    """What the JSON says of a call: command, machine, versions, and of every encoder what it was."""
    return {
        "command": command,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "commit": commit(),
        "versions": versions(),
        "encoders": {name: {"kind": type(encoder).__name__, **_origin(encoder)} for name, encoder in encoders.items()},
        "left out": dict(failed),
    }


def _origin(encoder: object) -> dict:
    if isinstance(encoder, NamedEncoder):
        return {"place": encoder.place, "origin": encoder.origin, "opening": encoder.opening.model_dump(), "notes": encoder.notes}
    file = getattr(sys.modules.get(getattr(encoder, "__module__", "")), "__file__", None)
    return {"sha256": file_fingerprint(Path(file))} if file else {}


def default_folder(first: str, command: str) -> Path:
    """Where a call writes: a folder named by its first encoder and by all that was asked."""
    return run_folder("evaluate") / f"{file_safe(first)}-{fingerprint(command)[:6]}"
