"""How long the committed notebooks are to a reader: as HTML in a real browser, at 1,280 pixels, what is folded left folded."""

from __future__ import annotations

import pytest
from browser import Browser, needs_chromium

from hybridir_utils.base.files import NOTEBOOKS

pytestmark = needs_chromium
SCREEN, WIDTHS = 800, (1280, 390)
MOST_SCREENS = {"03": 7, "04": 7, "05": 7, "09": 5}
MOST_OF_OTHERS = 9
ANSWERED = 640  # pixels from the top within which the first finding begins, on the wider page
FINDING = "document.querySelector('.jp-RenderedMarkdown.jp-OutputArea-output li').getBoundingClientRect().top + scrollY"
HEIGHT, SPILLS = "document.documentElement.scrollHeight", "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_as_long_as_a_reader_has_patience(path, browser, tmp_path):
    from nbconvert import HTMLExporter

    (page := tmp_path / "page.html").write_text(HTMLExporter().from_filename(str(path))[0], encoding="utf-8")
    heights = []
    for width in WIDTHS:
        browser.show(page, width=width, height=SCREEN)
        assert browser.run(SPILLS) <= 0, f"{width} pixels: the page scrolls sideways"
        heights.append(browser.run(HEIGHT) / SCREEN)
        assert width < max(WIDTHS) or browser.run(FINDING) < ANSWERED, "the answer first"
    assert heights[0] <= MOST_SCREENS.get(path.stem[:2], MOST_OF_OTHERS)
    assert browser.run("document.querySelectorAll('details:not([open])').length") >= 1, "its settings are folded"
