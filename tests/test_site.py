"""The site: every notebook as it ran, a start page that leads to all, nothing from the web, whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from browser import Browser, needs_chromium
from pages import Element, parsed

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError, MissingInput
from hybridir_utils.base.files import NOTEBOOKS
from hybridir_utils.experiment.run import open_run, saved_run
from hybridir_utils.results.figures import FIGURES
from hybridir_utils.suite import report
from hybridir_utils.suite.running import Step, notebooks

NAMES = [path.stem for path in notebooks()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The site of the committed notebooks, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(tmp_path_factory.mktemp("site")))
        assert main(["site"]) == 0
        return report.run_folder("sample") / "site"


@pytest.fixture(scope="module")
def pages(folder) -> dict[str, Element]:
    return {path.name: parsed(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def test_there_is_a_page_a_notebook_a_report_and_a_start_page_and_nothing_else(folder, pages):
    assert set(pages) == {"index.html", "report.html", *(f"{name}.html" for name in NAMES)} and len(NAMES) == 9
    assert [path.name for path in folder.parent.iterdir()] == ["site"]


def test_the_start_page_leads_to_all_nine_with_the_first_finding_and_figure_of_each(pages):
    start = pages["index.html"]
    cards = start.all("li")
    links = [card.all("a")[0]["href"] for card in cards]
    assert links == [f"{name}.html" for name in NAMES]
    assert "report.html" in [link["href"] for link in start.all("a")]
    for card, name in zip(cards, NAMES, strict=True):
        book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
        drawn = re.search(r'show_figure\(run, "(\w+)"\)', "".join(cell.source for cell in book.cells))[1]
        assert card.all("img")[0]["alt"] == FIGURES[drawn].caption, "the figure that the notebook opens with"
        first = next(
            output.data["text/markdown"]
            for cell in book.cells
            for output in cell.get("outputs", ())
            if "text/markdown" in output.get("data", {})
        )
        assert first.startswith("- ") and re.sub(r"\*\*|`", "", first.splitlines()[0][2:]).split() == card.all("span")[0].text.split()


def test_the_pages_hold_what_the_notebooks_showed(pages):
    for path in notebooks():
        page = pages[f"{path.stem}.html"]
        cells = nbformat.read(path, 4).cells
        shown = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
        data = [output.get("data", {}) for output in shown]
        pictures = sum("image/png" in each for each in data) + sum(each.get("text/html", "").count("<img ") for each in data)
        assert len(page.all("img")) == pictures > 0
        started = next(each["text/plain"] for each in data if each).splitlines()[0]
        assert started.startswith("run sample") and started in " ".join(page.text.split())
        assert [link["href"] for link in page.all("nav")[0].all("a")] == [f"{name}.html" for name in NAMES]


def test_nothing_comes_from_the_web_and_every_link_within_leads_to_a_page(folder, pages):
    for name, page in pages.items():
        text = (folder / name).read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", text), name
        assert not page.all("script", "link", "iframe", "object", "embed", "video", "audio", "source"), name
        assert all(image["src"].startswith("data:") for image in page.all("img")), name
        (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes)
        assert policy.startswith("default-src 'none'") and "http" not in policy
        for link in page.all("a"):
            href = link.attributes.get("href", "")
            assert href.startswith(("#", "https://")) or href in pages, (name, href)


PICTURES = """[...document.querySelectorAll('.output_subarea img')].map(image => {
  for (let fold = image.closest('details'); fold; fold = fold.parentElement.closest('details')) fold.open = true;
  const box = image.closest('.output_subarea');
  return [image.width, Math.abs(image.width / image.height * image.naturalHeight / image.naturalWidth - 1) < 0.01,
    box.clientWidth <= innerWidth && box.scrollWidth >= image.width];
})"""


@needs_chromium
def test_on_a_phone_figures_keep_the_width_of_their_letters_in_a_box_that_scrolls(folder, tmp_path):
    with Browser(tmp_path / "chromium") as browser:
        browser.show(folder / f"{NAMES[2]}.html", 390, 740)
        found = browser.run(PICTURES)
        assert len(found) > 3 and all(each == [33 * 16, True, True] for each in found), found
        assert browser.run("document.documentElement.scrollWidth") == 390
        shown = "[...document.querySelectorAll('nav')].map(nav => nav.checkVisibility())"
        assert browser.run(shown) == [True]
        browser.ask("Emulation.setEmulatedMedia", media="print")
        assert browser.run(shown) == [False], "links to pages that paper does not have"
        assert all(width <= 390 and natural for width, natural, _ in browser.run(PICTURES))


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """A run whose notebooks are there as executed copies of one cell; its site's folder."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample", steps=7)
    run.notebooks.mkdir(parents=True)
    for path in notebooks():
        output = nbformat.v4.new_output("stream", text=f"what {path.stem} printed in this run")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])]), Step(path, run).executed)
    return run


def test_a_site_of_a_run_shows_the_runs_own_notebooks(executed):
    start = report.write_site(executed)
    assert start == executed.report.parent / "site" / "index.html"
    for name in NAMES:
        assert f"what {name} printed in this run" in (start.parent / f"{name}.html").read_text(encoding="utf-8")


def test_a_run_without_all_its_executed_notebooks_is_refused_with_the_command(executed, tmp_path, monkeypatch):
    Step(notebooks()[4], executed).executed.unlink()
    with pytest.raises(MissingInput, match=r"05_mixing_ratio\.ipynb: no executed notebook.*run --profile sample --set steps=7"):
        report.write_site(executed)
    with pytest.raises(MissingInput, match=r"no executed notebook.*run --profile pretrained"):
        report.write_site(saved_run(open_run("pretrained")))  # whose tables are committed; the committed notebooks are the sample's
    assert not list(tmp_path.rglob("site"))


def test_a_site_is_written_whole_or_not_at_all(executed, monkeypatch):
    folder = report.write_site(executed).parent
    (folder / "old.html").touch()
    before, written, write = sorted(path.name for path in folder.iterdir()), [], Path.write_text

    def full(path, text, **how):
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device", str(path))
        return write(path, text, **how)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left on device"):
        report.write_site(executed)
    assert sorted(path.name for path in folder.iterdir()) == before and not list(folder.parent.glob(".site*"))
    monkeypatch.setattr(Path, "write_text", write)
    shutil.copytree(folder, folder.with_name(".site.part"))  # what a killed process left
    report.write_site(executed)
    assert not (folder / "old.html").exists() and not list(folder.parent.glob(".site*"))
