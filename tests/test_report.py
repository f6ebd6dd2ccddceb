"""The report: what it tells, that it needs no web, that it can be read by everybody, and how a browser shows it."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Browser, chromium
from made_up import made_up_tables
from pages import Element, parsed, width_of_rows
from PIL import Image

from hybridir_utils.__main__ import main
from hybridir_utils.base import places
from hybridir_utils.base.errors import MissingInput
from hybridir_utils.operate.records import FAILED, OK, TIMEOUT, begun, write_record
from hybridir_utils.operate.report import TEMPLATES, UNSEEN, visible, write_report
from hybridir_utils.operate.report_facts import duration
from hybridir_utils.operate.report_tables import table_of, told
from hybridir_utils.operate.suite import Step, notebooks
from hybridir_utils.show.claims import CLAIMS
from hybridir_utils.show.figures import FIGURES, draw, read_result
from hybridir_utils.show.tables import paper_table, score_table
from hybridir_utils.steps.session import open_run, save_table

HOSTILE = "<script>alert('1')</script><img src=x onerror=alert(2)>\"'&amp; \u202egnp.exe\u2066\x1b[31m \u0000end"
SHOWN = "<script>alert('1')</script><img src=x onerror=alert(2)>\"'&amp; [U+202E]gnp.exe[U+2066][U+001B][31m [U+0000]end"
LEAST_CONTRAST = 4.5  # WCAG 2.2, AA


@pytest.fixture(scope="module")
def committed(tmp_path_factory) -> Path:
    """The report of the committed results and figures, without records, as in a fresh clone."""
    folder = tmp_path_factory.mktemp("committed")
    for place in ("data/results", "figures"):
        (folder / place).mkdir(parents=True)
        (folder / place / "sample").symlink_to(places.ROOT / place / "sample")
    return written(folder)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """The report of a made-up run: two figures, one failed notebook, one that took too long, and texts that would harm a careless page."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        run, tables = open_run("sample"), made_up_tables()
        tables["claims"] = tables["claims"].assign(evidence=HOSTILE.replace("\x00", ""), source=HOSTILE.replace("\x00", ""))
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


def record(step: Step, **values) -> None:
    write_record(step.record, replace(begun(step.notebook.name, "", {}), device="cpu", commit="c0ffee" * 7, **values))


def written(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(folder))
        return write_report(open_run("sample"))


@pytest.fixture(params=["committed", "hostile"])
def page(request) -> Element:
    path = request.getfixturevalue(request.param)
    return parsed(path.read_text(encoding="utf-8"))


def section(page: Element, name: str) -> Element:
    """The part of the page below a heading's id."""
    return next(element for element in page.all("section", "article") if element.attributes.get("aria-labelledby") == name)


def flat(text: str) -> str:
    return " ".join(text.split())


# What it tells


def test_the_command_writes_one_small_page_and_prints_its_path(committed, monkeypatch, capsys):
    root = committed.parents[4]
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(root))
    before = re.sub(r"Report of [^<]*", "", committed.read_text(encoding="utf-8"))
    assert main(["report"]) == 0
    assert capsys.readouterr().out == f"{root / 'data/runs/sample/reports/sample.html'}\n"
    assert [path.name for path in committed.parent.iterdir()] == ["sample.html"], "no temporary file stays"
    assert re.sub(r"Report of [^<]*", "", committed.read_text(encoding="utf-8")) == before, "the same bytes but for the time"
    assert committed.stat().st_size < 4_000_000


def test_all_claims_stand_there_with_rule_verdicts_evidence_and_commands(committed, monkeypatch):
    page, table = parsed(committed.read_text(encoding="utf-8")), read_committed("claims", committed, monkeypatch)
    for claim in CLAIMS:
        shown = flat(section(page, f"claim{claim.number}").text)
        assert claim.statement in shown and flat(claim.rule) in shown
        for row in table[table["claim"] == claim.number].itertuples():
            assert f"{row.source} " in shown and row.verdict in shown and flat(row.evidence) in shown
    claims = flat(section(page, "claims").text)
    assert all(f"{row.source}: {row.command}" in claims for row in table.itertuples())


def test_scores_and_the_papers_numbers_are_those_of_the_tables(committed, monkeypatch):
    page = parsed(committed.read_text(encoding="utf-8"))
    scores, bias = (read_committed(name, committed, monkeypatch) for name in ("scores", "bias"))
    cells = [cell.text for cell in section(page, "scores").all("td")]
    for table in (score_table(scores, bias), paper_table(scores, bias)):
        assert set(table.to_numpy().ravel()) <= set(cells)


def read_committed(name: str, committed: Path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(committed.parents[4]))
    return read_result(open_run("sample"), name)


def test_every_figure_is_there_with_question_caption_text_and_trace(committed):
    page = parsed(committed.read_text(encoding="utf-8"))
    pictures = {image.around[-1]["aria-label"]: image for image in page.all("img")}
    assert set(pictures) == {f"Figure {name}" for name in FIGURES}
    questions = {element["id"]: element.text for element in page.all("h4")}
    assert len(set(questions.values())) >= 20 and questions["f03_scores"] == "How good is each strategy in each setting?"
    for name, recipe in FIGURES.items():
        alt = pictures[f"Figure {name}"]["alt"]
        assert alt.startswith(recipe.caption) and re.search(r"\d", alt.removeprefix(recipe.caption)) and len(alt) < 2000, name
    traces = [element.text for element in page.all("details") if element.attributes.get("class") == "trace"]
    assert len(traces) == len(FIGURES)
    assert all(re.search(r"Trace: notebook \d\d_\w+.*Rebuild\s*python -m hybridir_utils run ", text, flags=re.S) for text in traces)


def test_what_was_run_is_told(hostile, committed):
    told, about = facts(committed), json.loads((places.ROOT / "data" / "results" / "sample" / "about.json").read_text(encoding="utf-8"))
    assert told["Machine"] == about["machine"] and f"torch {about['versions']['torch']}" in told["Versions"]
    assert told["Seeds"] == "1, 2, 3" and told["Languages"].startswith("11: ar, de") and told["Training pairs"].endswith("after all checks")
    assert told["Total time"] == told["Started"] == "not recorded" and told["Made by"] == "python -m hybridir_utils run --profile sample"
    told = facts(hostile)
    assert (told["Total time"], told["Peak memory"], told["Device"]) == ("1 h 3 min", "2,048 MB", "cpu")
    assert told["Commit"] == "c0ffeec0ffee" and told["Machine"] == "not recorded"


def facts(path: Path) -> dict[str, str]:
    run = section(parsed(path.read_text(encoding="utf-8")), "run")
    return dict(zip((name.text for name in run.all("dt")), (value.text for value in run.all("dd")), strict=True))


def test_parameters_that_differ_are_named_with_both_values(hostile, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(hostile.parents[4]))
    run = open_run("sample", alpha=0.3, seeds=[7])
    save_table(run, "coverage", made_up_tables()["coverage"])
    path = write_report(run)
    page = parsed(path.read_text(encoding="utf-8"))
    rows = [[cell.text for cell in row.all("th", "td")] for row in section(page, "run").all("tr")]
    assert path.name == f"{run.name}.html" and rows[1:] == [["alpha", "0.5", "0.3"], ["seeds", "1, 2, 3", "7"]]
    assert "--set alpha=0.3 --set 'seeds=[7]'" in section(page, "run").text


def test_cost_and_executed_notebooks_come_from_the_records(hostile):
    rows = cost(hostile)
    assert rows["01_data_translation"][:1] == ["ok"] and rows["01_data_translation"][2:] == [
        "1 min 23 s",
        "512 MB",
        "01_data_translation.ipynb",
    ]
    assert rows["02_hybrid_batch_training"][2:] == ["1 h 1 min", "2,048 MB", "02_hybrid_batch_training.failed.ipynb"]
    assert rows["03_retrieval_evaluation"][0] == "timeout" and rows["04_language_bias"] == ["no record", *["–"] * 4]
    assert rows["05_mixing_ratio"][0] == "not run"


def cost(path: Path) -> dict[str, list[str]]:
    rows = section(parsed(path.read_text(encoding="utf-8")), "cost").all("tr")[1:]
    return {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in rows}


def test_without_records_the_cost_says_so(committed):
    assert {tuple(cells) for cells in cost(committed).values()} == {("no record", *["–"] * 4)}
    assert "are not here" in section(parsed(committed.read_text(encoding="utf-8")), "cost").text


def test_what_is_missing_is_said_with_the_command(hostile, committed):
    shown = flat(section(parsed(hostile.read_text(encoding="utf-8")), "missing").text)
    run = "python -m hybridir_utils run --profile sample"
    assert f"02_hybrid_batch_training: The last execution failed. 02, code cell 3: ValueError: {flat(SHOWN)} {run}" in shown
    assert f"03_retrieval_evaluation: The last execution took too long and was ended. 03: longer than 5 s {run}" in shown
    assert "Figure 03_scores is not drawn. python -m hybridir_utils figures --profile sample" in shown
    assert re.search(rf"05_mixing_ratio: Not there: tables [\w, ]*mixing[\w, ]*\. {run}", shown)
    assert "Nothing: every notebook has saved its tables" in section(parsed(committed.read_text(encoding="utf-8")), "missing").text


def test_a_figure_drawn_from_other_tables_is_said_to_be_stale(hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, table = open_run("sample"), made_up_tables()["coverage"]
    save_table(run, "coverage", table)
    draw(run, "01_coverage")
    assert "Drawn from earlier tables" not in write_report(run).read_text(encoding="utf-8")
    save_table(run, "coverage", table.assign(pairs=1))
    assert "Drawn from earlier tables:</strong> data/results/sample/coverage.csv" in write_report(run).read_text(encoding="utf-8")


def test_without_any_result_the_command_is_named_and_nothing_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    with pytest.raises(MissingInput, match=r"no saved results to report\. Run the .* first: python -m hybridir_utils run --profile xquad"):
        write_report(open_run("xquad"))
    assert main(["report", "--profile", "xquad"]) == 1 and "error: " in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_run_that_failed_at_once_is_reported_without_any_table(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    record(Step(notebooks()[0], run), status=FAILED, error="01, code cell 1: boom")
    page = parsed(write_report(run).read_text(encoding="utf-8"))
    assert "01, code cell 1: boom" in section(page, "missing").text and not page.all("img")
    assert "Not judged yet" in section(page, "claims").text and "No scores yet" in section(page, "scores").text


def test_a_page_that_cannot_be_made_leaves_the_earlier_one(hostile, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(hostile.parents[4]))
    before = hostile.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert main(["report"]) == 1
    assert hostile.read_bytes() == before and len(list(hostile.parent.glob("*"))) == len(list(hostile.parent.glob("*.html")))


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")])
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (float("nan"), "–"), ("0.1 ± 0.0", "0.1 ± 0.0")]
)
def test_cells(value, text):
    assert told(value) == text


def test_a_table_of_two_levels_spans_its_groups():
    frame = score_table(made_up_tables()["scores"]).loc["worldfacts-test"]
    table = table_of(frame, "x")
    assert [row.headers[0].span for row in (group[0] for group in table.groups)] == [len(group) for group in table.groups]
    assert [row.headers[-1].text for group in table.groups for row in group] == [name for _, name in frame.index]


# Hostile texts


def test_texts_of_others_are_shown_and_do_nothing(hostile):
    html = hostile.read_text(encoding="utf-8")
    page = parsed(html)
    assert not page.all("script", "iframe", "object", "embed", "form", "link", "base")
    assert not [name for element in page.all() for name in element.attributes if name.startswith("on")]
    assert not UNSEEN.search(html.replace("\n", ""))
    assert flat(SHOWN) in flat(page.text) and page.text.count("[U+202E]gnp.exe") > 20
    assert flat(SHOWN.replace(" [U+0000]", " ")) in flat(section(page, "scores").text), "names in tables, too"


@pytest.mark.parametrize("text", ["مرحبا بالعالم", "नमस्ते क्ष", "می‌خواهم", "日本語 a\tb\nc", "é"])
def test_texts_of_any_language_stay_as_they_are(text):
    assert visible(text) == text


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
    assert page.all("html")[0]["lang"] == "en" and page.all("title")[0].text == "Run sample · HybridIR report"
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
    page = parsed(committed.read_text(encoding="utf-8"))
    verdicts = {flat(element.text) for element in page.all("span") if element.attributes.get("class", "").startswith("verdict")}
    assert verdicts == {"✓ supported", "✗ not supported", "– not testable here"}


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

WHY_NOT = f"no Chromium on this machine ({os.environ.get('HYBRIDIR_NO_BROWSER', 'Debian: apt-get install chromium')})"
needs_chromium = pytest.mark.skipif(chromium() is None, reason=WHY_NOT)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


TOO_WIDE = """[...document.querySelectorAll('body *')].filter(element => !element.closest('.scroll, .hidden, .skip')
  && element.getClientRects().length && element.getBoundingClientRect().right > innerWidth + 1)
  .map(element => element.outerHTML.slice(0, 80))"""


@needs_chromium
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
@pytest.mark.parametrize("name", ["committed", "hostile"])
def test_no_window_has_to_be_scrolled_sideways(name, width, request, browser):
    browser.show(request.getfixturevalue(name), width, 740)
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(TOO_WIDE) == []


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
        browser.run(f"document.getElementById('f{name}').scrollIntoView()")
        assert len(picture(browser.picture()).getcolors(1 << 24)) > 100, name


@needs_chromium
def test_print_is_light_whole_and_cuts_no_figure(committed, browser):
    browser.show(committed, scheme="dark")
    pages = browser.pdf()
    assert pages.startswith(b"%PDF") and 5 < len(re.findall(rb"/Type /Page\b", pages)) < 80
    browser.ask("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.ask("Emulation.setDeviceMetricsOverride", width=688, height=1016, deviceScaleFactor=1, mobile=False)  # A4 within its margins
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(
        height > 10 for height in browser.run("[...document.querySelectorAll('details > dl, .tables table')].map(e => e.offsetHeight)")
    )
    assert set(browser.run("[...document.querySelectorAll('.together')].map(e => getComputedStyle(e).breakInside)")) == {"avoid"}
    assert max(browser.run("[...document.querySelectorAll('.together')].map(e => e.offsetHeight)")) < 1016
    assert max(browser.run("[...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().right)")) <= 688
    assert min(browser.run(CONTRASTS).values()) >= LEAST_CONTRAST


@needs_chromium
def test_the_keyboard_reaches_the_way_to_the_report_first_and_sees_where_it_is(committed, browser):
    browser.show(committed)
    at = "document.activeElement"
    focus = f"[{at}.textContent, {at}.getBoundingClientRect().left >= 0, getComputedStyle({at}).outlineStyle]"
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.run(focus) == ["Skip to the report", True, "solid"]


@needs_chromium
def test_a_screen_reader_is_told_names_roles_and_levels(committed, browser):
    browser.show(committed)
    nodes = [node for node in browser.ask("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    assert {"banner", "navigation", "main", "table", "figure", "rowheader", "columnheader"} <= {role for role, _ in named}
    pictures = [name for role, name in named if role == "image"]
    assert len(pictures) == len(FIGURES) and all(any(name.startswith(recipe.caption) for name in pictures) for recipe in FIGURES.values())
    assert all(name for role, name in named if role in ("link", "heading", "region", "table", "figure"))
