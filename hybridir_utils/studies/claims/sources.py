"""Where the claims are looked up: this run's tables, other runs', the paper's in the same shape; and the tests that only claims need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...base.errors import HybridIRError, InputError, MissingInput
from ...base.files import read_json
from ...experiment.evaluation import REFERENCE, UNTRAINED
from ...experiment.run import Run, reference_tables, run_folder
from ...experiment.stamps import check_one_origin, is_current, read_stamps
from ...rank.significance import TESTED, compare
from ...results.figures import read_saved
from ...results.paper import TASKS, TRAINED_LANGUAGES, in_our_names
from ...results.tables import TEST_COLUMNS, TEST_KEYS, stack, test_table

EARLIER = ("coverage", "scores", "tests", "bias", "bias_tests")  # of notebooks 01, 03 and 04
COUNTED = ("mixture", "leak_recheck", "task_counts", "claim_tests", "language_tests")  # of notebook 09
METRICS = {"mAP": "AP", "nDCG@10": "nDCG@10", "rank distance": "rank_distance"}  # of the paper's tables -> columns of questions
RESAMPLES = 10_000  # of the paper's tables: no more than 15 languages each
PAPER = "paper, "  # before the encoder's name: the sources of published numbers
LINES = ("BM25", UNTRAINED)  # what zero-shot retrieval is held against
LANGUAGE_COLUMNS = [*TEST_KEYS, "query_language", *TESTED]
PLACE = ["task", "base", "strategy", "setting"]


@dataclass(frozen=True)
class Source:
    """Saved tables by name, with the parameters they were made by, the command that makes them again, and what they ran on."""

    name: str
    tables: dict[str, pd.DataFrame]
    parameters: dict
    command: str
    about: dict
    published: bool = False  # numbers without seeds, batches and texts


def check_earlier(run: Run) -> None:
    """Raise unless the run has the tables of notebooks 01-04, all made by the code and parameters in use now.

    MissingInput where one is missing, InputError where they are of another version; both with the command.
    """
    command = _about(run.results)["command"]
    check_one_origin(run.results, EARLIER, command)
    stamps = read_stamps(run.results)
    if not all(is_current(stamps[name], run.profile) for name in EARLIER):
        raise InputError(
            f"{run.results}: the tables come from an earlier version of the code or of the profile, and are not mixed with new ones. "
            f"Make them all again with: {command} --from 01"
        )


def saved_source(folder: Path, tables: tuple[str, ...] = EARLIER + COUNTED) -> Source:
    """The source in a folder of results. Raises InputError when its tables are of different versions, MissingInput when one lacks."""
    about = _about(folder)
    check_one_origin(folder, tables, about["command"])
    read = {name: read_saved(Path(folder) / f"{name}.csv", about["command"]) for name in tables}
    return Source(about["run"], read, about["parameters"], about["command"], about)


def other_runs(run: Run) -> tuple[list[Source], dict[str, str]]:
    """(sources, reasons) of the references in the checkout, and of the runs of this output folder that the profile's `compare_with` names.

    A run whose tables are of different versions, or cannot be read, is no source: its name and the reason, with the way to make them
    again, are in the second. A run that lacks a table is a source without it; one that lacks all, of notebook 08 alone say, is none.
    """
    sources, refused = [], {}
    for name, folder in compared_folders(run).items():
        there = tuple(table for table in EARLIER + COUNTED if (folder / f"{table}.csv").is_file())
        if not there and name not in run.profile.compare_with:
            continue
        try:
            sources.append(saved_source(folder, there))
        except HybridIRError as error:
            refused[name] = str(error).replace(str(folder), name)
    return sources, refused


def compared_folders(run: Run) -> dict[str, Path]:
    """Other run -> its tables: the references in the checkout and the runs that the profile's `compare_with` names, and no other that lies
    in the output folder; a named run stands in place of the reference of its name.
    """
    found = {record.parent.name: record.parent for record in sorted(reference_tables("").glob("*/about.json"))}
    found |= {name: run_folder(name) / "results" for name in run.profile.compare_with}
    return {name: folder for name, folder in found.items() if name != run.name}


def _about(folder: Path) -> dict:
    path = Path(folder) / "about.json"
    if not path.is_file():
        raise MissingInput(f"{path}: not there, so nothing says what the tables were made by. Run the notebooks that make them.")
    about = read_json(path)
    missing = [key for key in ("run", "command", "parameters", "versions", "machine") if key not in about]
    if missing:
        raise InputError(f"{path}: no {', '.join(missing)} in it. Run the notebooks again.")
    return about


def paper_sources(command: str) -> list[Source]:
    """One source for each of the paper's encoders: its numbers by language in the shape of a run's tables, tested over languages."""
    numbers = in_our_names().rename(columns={"model": "base", "language": "query_language"})
    return [_paper_source(base, rows, command) for base, rows in numbers.groupby("base", sort=False)]


def _paper_source(base: str, rows: pd.DataFrame, command: str) -> Source:
    rows = rows[rows["metric"].isin(METRICS)].assign(seed=1)
    questions = rows.pivot_table(index=[*PLACE, "seed", "query_language"], columns="metric", values="value", sort=False)
    questions = questions.rename(columns=METRICS).reset_index().assign(group=lambda table: table["query_language"])
    is_score = rows["metric"] != "rank distance"
    tables = {
        "tests": test_table(questions, "AP", RESAMPLES),
        "bias_tests": test_table(questions, "rank_distance", RESAMPLES),
        "claim_tests": claim_tests(questions, RESAMPLES),
        "scores": _with_macro(rows[is_score]),
        "bias": _with_macro(rows[~is_score]).assign(measure="rank distance"),
    }
    parameters = {"languages": list(TRAINED_LANGUAGES), "tasks": list(TASKS.values()), "pair_sets": []}
    about = {"machine": "one A100 80 GB", "versions": {}}
    return Source(f"{PAPER}{base}", tables, parameters, command, about, published=True)


def _with_macro(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by language and their means; n: how many languages, unknown in the cross-lingual setting (its pairs are not printed)."""
    macro = rows.groupby([*PLACE, "seed", "metric"], sort=False)["value"].agg(value="mean", n="size").reset_index()
    macro["n"] = macro["n"].where(macro["setting"] != "cross-lingual", np.nan)
    return pd.concat([rows, macro.assign(query_language="macro")], ignore_index=True)


def about_sources(sources: list[Source]) -> pd.DataFrame:
    """What each source ran on: machine, seeds, versions, fingerprint of its code and the command, one row each."""
    rows = [
        {
            "source": source.name,
            "machine": source.about["machine"],
            "seeds": " ".join(map(str, source.parameters.get("seeds", ["not stated"]))),
            "versions": ", ".join(f"{name} {number}" for name, number in source.about["versions"].items()),
            "code": source.about.get("code", "")[:12],
            "command": source.command,
        }
        for source in sources
    ]
    return pd.DataFrame(rows).set_index("source")


# Tests that notebooks 03 and 04 do not save


def claim_tests(questions: pd.DataFrame, resamples: int) -> pd.DataFrame:
    """Paired tests of X-X and X-Y against X-X-mono (AP), and of all against hybrid where a task is measured in nDCG@10 (no AP).

    questions: `Evaluations.table("questions")`; columns of the result as of `tables.test_table`.
    """
    pure = questions[questions["strategy"].isin(["X-X", "X-X-mono", "X-Y"])]
    parts = [test_table(pure, "AP", resamples, baseline="X-X-mono")]
    if "nDCG@10" in questions:
        parts.append(test_table(questions, "nDCG@10", resamples))
    return stack(parts, TEST_COLUMNS)


def language_tests(questions: pd.DataFrame, tasks: Iterable[str], resamples: int) -> pd.DataFrame:
    """Paired tests of BM25 and of the untrained base against hybrid by question language (AP): LANGUAGE_COLUMNS.

    A line without training is the same whatever seed hybrid is trained with, so the interval over seeds is that of hybrid's seeds.
    A language with a single question is left out: nothing can be tested there.
    """
    keys = ["task", "setting", "query_language"]
    rows = questions[questions["task"].isin(list(tasks))].dropna(subset=["AP"])
    lines = dict(iter(rows[rows["strategy"].isin(LINES)].groupby(keys, sort=False)))
    parts = []
    for (*place, base), hybrid in rows[rows["strategy"] == "hybrid"].groupby([*keys, "base"], sort=False):
        line = lines.get(tuple(place), rows.iloc[:0])
        line = line[line["base"].isin([base, REFERENCE])]
        if len(line) and hybrid["group"].nunique() > 1:
            task, setting, language = place
            about = {"task": task, "base": base, "setting": setting, "measure": "AP", "query_language": language}
            repeated = line.drop(columns="seed").merge(hybrid[["seed"]].drop_duplicates(), how="cross")
            both = pd.concat([hybrid, repeated])[["strategy", "seed", "group", "AP"]].rename(columns={"AP": "value"})
            parts.append(compare(both, "hybrid", resamples).assign(**about))
    return stack(parts, LANGUAGE_COLUMNS)


def below_hybrid(tests: pd.DataFrame) -> pd.DataFrame:
    """In how many languages a line is below hybrid, and the largest p, by task, base, setting and line; of `language_tests`."""
    rows = tests.assign(lower=tests["mean_difference"] < 0).groupby(["task", "base", "setting", "strategy"], sort=False)
    return rows.agg(languages=("lower", "size"), below_hybrid=("lower", "sum"), largest_p=("p_holm", "max"))
