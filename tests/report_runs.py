"""Runs to report on: the committed one, and a made-up one with failures and with texts that would harm a careless page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_up import made_up_tables
from pages import Element, parsed

from hybridir_utils.experiment.run import open_run, reference_figures, save_table, saved_run
from hybridir_utils.results.figures import FIGURES, FigureRecipe, draw
from hybridir_utils.studies.claims.sources import PAPER
from hybridir_utils.suite.records import FAILED, OK, TIMEOUT, begun, write_record
from hybridir_utils.suite.report import write_report
from hybridir_utils.suite.running import Step, notebooks

HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(2)>\"'&amp; \u202egnp.exe\u2066\x1b[31m \u0000end"
SHOWN = "<script>alert('1')</script><img src=x onerror=alert(2)>\"'&amp; [U+202E]gnp.exe[U+2066][U+001B][31m [U+0000]end"


def committed_report(folder: Path) -> Path:
    """The report of the committed results and figures, without records, as in a fresh clone."""
    return written(folder)


def committed_figures() -> dict[str, FigureRecipe]:
    """The registered figures that the reference has; it may be older than some."""
    return {name: recipe for name, recipe in FIGURES.items() if (reference_figures("sample") / f"{name}.png").is_file()}


def hostile_report(folder: Path) -> Path:
    """The report of a made-up run: two figures, one failed notebook, one that took too long, and texts that would harm a careless page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        run, tables = open_run("sample"), made_up_tables()
        tables["claims"] = tables["claims"].assign(evidence=HOSTILE.replace("\x00", ""), source=PAPER + HOSTILE.replace("\x00", ""))
        tables["scores"] = tables["scores"].replace({"strategy": {"X-X": HOSTILE.replace("\x00", "")}})
        for name in ("coverage", "scores", "bias", "claims"):
            save_table(run, name, tables[name])
        draw(run, "01_coverage")
        first, second, third = (Step(path, run) for path in notebooks()[:3])
        record(first, status=OK, seconds=83.4, peak_memory_mb=512.0)
        record(second, status=FAILED, seconds=3700.0, peak_memory_mb=2048.4, error=f"02, code cell 3: ValueError: {HOSTILE}")
        record(third, status=TIMEOUT, error="03: longer than 5 s")
        first.executed.write_text("{}"), second.failed.write_text("{}")
    return written(folder)


def crowded_report(folder: Path) -> Path:
    """The report of a run whose claims are judged in a dozen sources with long names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        run, claims = open_run("sample"), made_up_tables()["claims"]
        one = claims[claims["source"] == claims["source"].iloc[0]]
        sources = [run.name, *(f"{PAPER}AnEncoderOfALongNameInOneWord{number}" for number in range(11))]
        save_table(run, "claims", pd.concat([one.assign(source=source) for source in sources]))
        return write_report(run)


def record(step: Step, **values) -> None:
    write_record(step.record, replace(begun(step.notebook.name, {}), device="cpu", commit="c0ffee" * 7, **values))


def written(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        return write_report(saved_run(open_run("sample")))


def page_of(path: Path) -> Element:
    """The elements of a written report."""
    return parsed(path.read_text(encoding="utf-8"))


def section(page: Element, name: str) -> Element:
    """The part of the page below a heading's id."""
    return next(element for element in page.all("section", "article") if element.attributes.get("aria-labelledby") == name)


def flat(text: str) -> str:
    return " ".join(text.split())
