"""The report's page: that it needs no web, that everybody can read it, and how a real browser shows it."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from browser import Browser, needs_chromium
from pages import Element, width_of_rows
from PIL import Image
from report_runs import committed_figures, flat, page_of

from hybridir_utils.suite.report import TEMPLATES
from hybridir_utils.suite.running import notebooks

LEAST_CONTRAST = 4.5  # WCAG 2.2, AA


@pytest.fixture(params=["committed", "hostile"])
def page(request) -> Element:
    return page_of(request.getfixturevalue(request.param))


# No web


def test_nothing_is_fetched_and_every_link_leads_somewhere(page, committed, hostile):
    ids = [element["id"] for element in page.all() if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    folder = (committed if len(page.all("img")) > 5 else hostile).parent
    links = [element["href"] for element in page.all() if "href" in element.attributes]
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (folder / unquote(link)).is_file(), link
    assert len([link for link in links if not link.startswith("#")]) >= 3
    for element in page.all():
        assert set(element.attributes).isdisjoint({"srcset", "poster", "action", "background"})
        assert "url(" not in element.attributes.get("style", "")
        if "src" in element.attributes:
            assert element.tag == "img" and element["src"].startswith("data:image/png;base64,")
    (styles,) = page.all("style")
    assert not re.search(r"url\(|@import|@font-face|https?:", styles.text)


# For everybody


def test_it_has_language_title_landmarks_and_a_way_around_the_contents(page):
    assert page.all("html")[0]["lang"] == "en" and page.all("title")[0].text.endswith(" sample · HybridIR report")
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "h1")] == [1, 1, 1, 1]
    first = page.all("a")[0]
    assert first["href"] == "#main" and page.all("main")[0]["id"] == "main"
    targets = {link["href"] for link in page.all("nav")[0].all("a")}
    parts = {"#run", "#claims", "#scores", "#figures", "#cost", "#missing", *(f"#n{path.stem[:2]}" for path in notebooks())}
    assert targets == parts


def test_headings_follow_in_order(page):
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(element.text.strip() for element in page.all("h1", "h2", "h3", "h4"))


def test_tables_have_captions_scopes_and_even_rows(page):
    assert page.all("table")
    for table in page.all("table"):
        assert table.all("caption")[0].text.strip() and all(header.attributes.get("scope") for header in table.all("th"))
        assert len(width_of_rows(table)) == 1, table.all("caption")[0].text
        assert all(row.all("th") for row in table.all("tr")), "every row begins with its header"


def test_every_picture_has_an_alternative_and_what_scrolls_can_be_reached(page):
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    for box in page.all("div"):
        if "scroll" in box.attributes.get("class", "").split():
            assert box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"]
    references = [element["aria-labelledby"] for element in page.all() if "aria-labelledby" in element.attributes]
    assert set(references) <= {element.attributes.get("id") for element in page.all()}


def test_verdicts_are_told_by_sign_and_word_not_by_colour_alone(committed):
    page = page_of(committed)
    verdicts = {flat(element.text) for element in page.all("span") if element.attributes.get("class", "").startswith("verdict")}
    assert verdicts == {"✓ supported", "✗ contradicted", "? undecided", "– not testable here"}


def palettes() -> dict[str, dict[str, str]]:
    """Scheme -> its colours: the light ones first, which the others change."""
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, dark, paper = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, flags=re.S))
    return {"light": light, "dark": light | dark, "print": light | paper}


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours written #rrggbb."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_every_colour_of_text_reads_on_every_ground(scheme):
    colours = palettes()[scheme]
    for ink in ("text", "muted", "link", "good", "bad"):
        for ground in ("page", "card"):
            assert contrast(colours[ink], colours[ground]) >= LEAST_CONTRAST, f"{ink} on {ground}"
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_colours_are_named_in_one_place():
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    rules = re.sub(r":root \{.*?\}", "", css, flags=re.S)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules)
    assert set(re.findall(r"var\(--(\w+)", rules)) <= {*palettes()["light"], "width"}


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


TOO_WIDE = """[...document.querySelectorAll('body *')].filter(element => !element.closest('.scroll, .hidden, .skip')
  && element.getClientRects().length && element.getBoundingClientRect().right > innerWidth + 1)
  .map(element => element.outerHTML.slice(0, 80))"""


@needs_chromium
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("name", ["committed", "hostile"])
def test_no_window_has_to_be_scrolled_sideways(name, width, request, browser):
    browser.show(request.getfixturevalue(name), width, 740)
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(TOO_WIDE) == []


OPEN = "document.querySelectorAll('details').forEach(fold => fold.open = true)"


@needs_chromium
@pytest.mark.parametrize("name", ["committed", "hostile"])
def test_no_window_has_to_be_scrolled_sideways_with_everything_open(name, request, browser):
    browser.show(request.getfixturevalue(name), 390, 740)
    browser.run(OPEN)
    assert browser.run("document.documentElement.scrollWidth") == 390 and browser.run(TOO_WIDE) == []


@needs_chromium
def test_a_reader_sees_scores_claims_and_one_figure_and_finding_a_notebook(committed, browser):
    """All else is folded: the page is a tenth as long as the notebooks."""
    browser.show(committed, 1280, 900)
    assert browser.run("document.documentElement.scrollHeight") <= 9500
    seen = browser.run(
        "[...document.images].filter(each => each.checkVisibility()).map(each => each.closest('section').getAttribute('aria-labelledby'))"
    )
    assert seen == ["scores", *(f"n{path.stem[:2]}" for path in notebooks() if path.stem[:2] != "03")]
    told = browser.run("[...document.querySelectorAll('.findings li')].filter(each => each.checkVisibility()).length")
    assert told == len(seen)


STRETCHED = """[...document.images].filter(image => image.width)
  .map(image => image.width / image.height * image.naturalHeight / image.naturalWidth)
  .filter(ratio => Math.abs(ratio - 1) > 0.01)"""


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_no_picture_is_stretched(width, committed, browser):
    browser.show(committed, width, 900)
    browser.run(OPEN)
    assert browser.run(STRETCHED) == []
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.run(STRETCHED) == []


CUT = """[...document.querySelectorAll('.verdicts :is(th, td, span)')].filter(cell => !cell.closest('thead, caption')
  && (cell.clientWidth && cell.scrollWidth > cell.clientWidth + 1 || !cell.checkVisibility()
    || cell.getBoundingClientRect().right > innerWidth)).map(cell => cell.outerHTML.slice(0, 80))"""


@needs_chromium
@pytest.mark.parametrize("width", [320, 390, 768, 961, 1280])
@pytest.mark.parametrize("name", ["committed", "hostile", "crowded"])
def test_the_table_of_verdicts_never_scrolls_sideways_and_names_each_source(name, width, request, browser):
    browser.show(request.getfixturevalue(name), width, 740)
    assert browser.run("document.querySelectorAll('.verdicts').length && document.querySelectorAll('.scroll .verdicts').length") == 0
    assert browser.run("document.documentElement.scrollWidth") == width and browser.run(CUT) == []
    sources = browser.run("[...new Set([...document.querySelectorAll('.verdicts td')].map(cell => cell.dataset.source))]")
    told = browser.run("[...document.querySelectorAll('.verdicts thead')].every(head => head.getBoundingClientRect().height > 5)")
    labels = browser.run("[...document.querySelectorAll('.verdicts td')].map(cell => getComputedStyle(cell, '::before').content)")
    assert told == (width > 960) and (told or len(set(labels)) == len(sources)), "at the head, or at each verdict"


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_the_table_of_verdicts_is_a_table_to_a_screen_reader(width, committed, browser):
    browser.show(committed, width, 740)
    nodes = {node["nodeId"]: node for node in browser.ask("Accessibility.getFullAXTree")["nodes"]}
    (table,) = [each for each in nodes.values() if each["role"]["value"] == "table" and each["name"]["value"] == "Verdicts by source"]
    roles, open_ = [], [table]
    while open_:
        node = open_.pop()
        roles.append(node["role"]["value"])
        open_ += [nodes[child] for child in node.get("childIds", ()) if child in nodes]
    assert (roles.count("rowheader"), roles.count("columnheader"), roles.count("cell")) == (12, 5, 44), "one above claim 11"


@needs_chromium
def test_a_claims_number_opens_its_evidence(committed, browser):
    browser.show(committed, 1280, 900)
    state = "[document.querySelector('#evidence7').checkVisibility(), document.querySelectorAll('details[open]').length]"
    assert browser.run(state) == [False, 0]
    browser.click("a[href='#evidence7']")
    assert browser.run(state) == [True, 2], "the fold of all evidence, too"


@needs_chromium
def test_wide_tables_and_pictures_scroll_in_their_own_box_on_a_phone(committed, browser):
    browser.show(committed, 360, 740)
    boxes = browser.run("[...document.querySelectorAll('.scroll')].map(box => [box.clientWidth, box.scrollWidth])")
    assert all(shown <= 360 for shown, _ in boxes) and any(whole > 2 * shown for shown, whole in boxes if shown)


@needs_chromium
@pytest.mark.parametrize("name", ["committed", "hostile"])
def test_it_opens_without_network_scripts_or_complaints(name, request, browser):
    path = request.getfixturevalue(name)
    browser.show(path)
    assert [url for url in browser.asked_for() if not url.startswith("data:image/png")] == [path.as_uri()]
    told = [
        event
        for event in browser.events
        if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening")
    ]
    assert told == []
    pictures = browser.run("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert pictures and all(pictures) and browser.run("document.scripts.length") == 0


CONTRASTS = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parts(getComputedStyle(at).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const shade = colour => colour.slice(0, 3).map(part => part / 255)
    .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [.2126, .7152, .0722][i], 0);
  const found = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    const [one, other] = [shade(parts(getComputedStyle(element).color)), shade(ground(element))];
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    found[element.tagName + '.' + element.className] = Math.min(ratio, found[element.tagName + '.' + element.className] ?? 99);
  }
  return found;
})()"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_as_shown_has_contrast_in_both_schemes(scheme, committed, browser):
    browser.show(committed, scheme=scheme)
    found = browser.run(CONTRASTS)
    assert len(found) > 10 and min(found.values()) >= LEAST_CONTRAST, found
    shown = picture(browser.picture())
    assert len(shown.getcolors(1 << 24)) > 50, "not a blank window"
    assert (shown.getpixel((5, 5))[0] < 60) == (scheme == "dark")


def picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_every_figure_is_drawn_where_one_scrolls_to(width, committed, browser):
    browser.show(committed, width, 740)
    for name in ("01_coverage", "04_map", "09_verdicts"):
        browser.run(f"location.hash = 'f{name}'")  # which opens what is folded
        assert len(picture(browser.picture()).getcolors(1 << 24)) > 100, name


@needs_chromium
def test_print_is_light_whole_and_cuts_no_figure(committed, browser):
    browser.show(committed, scheme="dark")
    pages = browser.pdf()
    assert pages.startswith(b"%PDF") and 5 < len(re.findall(rb"/Type /Page\b", pages)) < 80
    browser.ask("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.ask("Emulation.setDeviceMetricsOverride", width=688, height=1016, deviceScaleFactor=1, mobile=False)  # A4 within its margins
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = browser.run(
        "[...document.querySelectorAll('details > dl, .evidence, .tables table, .further img')].map(e => e.checkVisibility())"
    )
    assert all(folded) and browser.run(CUT) == []
    assert set(browser.run("[...document.querySelectorAll('.together')].map(e => getComputedStyle(e).breakInside)")) == {"avoid"}
    assert max(browser.run("[...document.querySelectorAll('.together')].map(e => e.offsetHeight)")) < 1016
    assert max(browser.run("[...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().right)")) <= 688
    assert min(browser.run(CONTRASTS).values()) >= LEAST_CONTRAST


@needs_chromium
def test_the_keyboard_reaches_the_way_to_the_report_first_and_sees_where_it_is(committed, browser):
    browser.show(committed)
    at = "document.activeElement"
    focus = f"[{at}.textContent, {at}.getBoundingClientRect().left >= 0, getComputedStyle({at}).outlineStyle]"
    browser.press("Tab", 9)
    assert browser.run(focus) == ["Skip to the report", True, "solid"]


@needs_chromium
def test_a_screen_reader_is_told_names_roles_and_levels(committed, browser):
    browser.show(committed)
    browser.run(OPEN)
    nodes = [node for node in browser.ask("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    assert {"banner", "navigation", "main", "table", "figure", "rowheader", "columnheader"} <= {role for role, _ in named}
    pictures = [name for role, name in named if role == "image"]
    figures = committed_figures()
    assert len(pictures) == len(figures) and all(any(name.startswith(recipe.caption) for name in pictures) for recipe in figures.values())
    assert all(name for role, name in named if role in ("link", "heading", "region", "table", "figure"))
