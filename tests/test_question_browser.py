"""The question browser in a real browser: clicked and typed in, alone and in a notebook's page; and what of it shows without one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser, needs_chromium
from pages import parsed
from PIL import Image

from hybridir_utils.experiment.encoders import EncoderKey
from hybridir_utils.experiment.evaluation import NO_MIX, Evaluations
from hybridir_utils.results import question_browser
from hybridir_utils.results.browsing import FRAME as FRAME_OF_NOTEBOOK
from hybridir_utils.results.browsing import browse, gains_and_losses
from hybridir_utils.results.question_browser import question_page
from hybridir_utils.tasks.retrieval_task import RetrievalTask

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)></bdi></td>"
TEXTS = ["Water and stone", "ما هو الماء؟", HOSTILE, "من أين يأتي الحجر؟ \u202eabc\u2066", "STONE, " + "a long question " * 60, "حجر وماء"]
LANGUAGES = ["en", "ar"] * 3
STRATEGIES, BASES, SEEDS = ("X-X-mono", "X-Y", "hybrid"), ("aligned", "unaligned"), (1, 2)


def a_task(name: str) -> RetrievalTask:
    """Three questions and six candidates in each of two languages; question i is answered by candidates i and i + 6, HOSTILE by none."""
    ids = [f"i{n}" for n in range(12)]
    frame = pd.DataFrame({"id": ids, "group": ids, "language": LANGUAGES * 2, "text": [f"{text} {name}" for text in TEXTS * 2]})
    queries = frame.head(6).assign(text=TEXTS)
    pairs = [(ids[n], ids[n + more]) for n in range(6) for more in (0, 6) if TEXTS[n] != HOSTILE]
    return RetrievalTask(name, queries, frame, pd.DataFrame(pairs, columns=["query", "candidate"]))


@pytest.fixture(scope="module")
def tasks() -> dict[str, RetrievalTask]:
    return {name: a_task(name) for name in ("first", "second")}


@pytest.fixture(scope="module")
def evaluations(tasks, tmp_path_factory) -> Evaluations:
    keys = [EncoderKey(base, strategy, 0.5, seed) for base, strategy, seed in product(BASES, STRATEGIES, SEEDS)]
    keys += [EncoderKey(base, "untrained", NO_MIX, 0) for base in BASES]
    keys += [EncoderKey("reference", name, NO_MIX, 0) for name in ("BM25", "random")]
    rng, folders = np.random.default_rng(5), {}
    for key, name in product(keys, tasks):
        folder = folders[key, name] = tmp_path_factory.mktemp("evaluation")
        np.save(folder / "top.npy", np.stack([rng.permutation(12)[:10] for _ in range(6)]).astype(np.int32))
        ap = pd.DataFrame({"setting": "multilingual", "query": range(6), "query_language": sorted(LANGUAGES), "AP": rng.random(6)})
        ap = ap[ap["query"] != row_of(tasks[name], HOSTILE)]
        pd.concat([ap, ap.assign(setting="monolingual", AP=0.0)]).to_parquet(folder / "questions.parquet")
    return Evaluations(folders)


def row_of(task: RetrievalTask, text: str) -> int:
    return int(np.flatnonzero(task.queries["text"] == text)[0])


@pytest.fixture(scope="module")
def questions(evaluations) -> pd.DataFrame:
    return evaluations.table("questions")


@pytest.fixture(scope="module")
def page(evaluations, tasks, questions, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "questions.html"
    path.write_text(question_page(evaluations, tasks, questions), encoding="utf-8")
    return path


def outcome(evaluations, questions, task, key, query: int) -> str:
    """What stands below a strategy's name, worked out from the tables."""
    rows = questions[(questions["setting"] == "multilingual") & (questions["query"] == query) & (questions["task"] == task.name)]
    rows = rows[(rows["base"] == key.base) & (rows["strategy"] == key.strategy) & (rows["seed"] == key.seed)]
    relevant = set(task.relevant_pairs[task.relevant_pairs[:, 0] == query, 1])
    first = next((rank for rank, row in enumerate(evaluations.top(key, task.name)[query], 1) if row in relevant), None)
    ap = f"{rows['AP'].item():.3f}" if len(rows) else "–"
    return f"AP {ap} · first relevant: {f'rank {first}' if first else 'none in the first 10'}"


# The page


def test_only_its_own_script_may_run_and_no_text_of_the_data_stands_in_it(page):
    text = page.read_text(encoding="utf-8")
    data, script = parsed(text).all("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html.unescape(text)
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", data.text) and data["type"] == "text/plain" and "alert" not in text
    assert not [name for element in parsed(text).all() for name in element.attributes if name.startswith("on") or name in ("src", "href")]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|url\(|@import|https?:", text)


def unpacked(page: str) -> str:
    return gzip.decompress(base64.b64decode(parsed(page).all("script")[0].text)).decode()


def test_a_megabyte_in_one_text_is_cut(evaluations, tasks, questions):
    task = tasks["first"]
    long = replace(task, queries=task.queries.assign(text="x" * 1_000_000), candidates=task.candidates.assign(text="y" * 1_000_000))
    assert len(unpacked(question_page(evaluations, {"first": long}, questions))) < 50_000


def test_a_page_is_the_same_bytes_each_time(page, evaluations, tasks, questions):
    assert question_page(evaluations, tasks, questions) == page.read_text(encoding="utf-8")


# In a browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.fixture
def browser(opened, page) -> Browser:
    return shown(opened, page)


def shown(browser: Browser, page: Path, **size) -> Browser:
    """The page, once it has unpacked its data."""
    browser.show(page, **size)
    browser.run(
        "new Promise(done => { const look = () => document.querySelector('#hits').textContent ? done() : setTimeout(look, 10); look(); })"
    )
    return browser


def text(browser: Browser, selector: str) -> str:
    return browser.run(f"document.querySelector('{selector}').textContent")


def choose(browser: Browser, name: str, value: str) -> None:
    """Choose an option by the keyboard: to the first, then down."""
    browser.run(f"document.querySelector('#{name}').focus()")
    browser.press("Home", 36)
    while browser.run(f"document.querySelector('#{name}').value") != value:
        before = browser.run(f"document.querySelector('#{name}').selectedIndex")
        browser.press("ArrowDown", 40)
        assert browser.run(f"document.querySelector('#{name}').selectedIndex") > before, f"{name} has no {value}"


def columns(browser: Browser) -> dict[str, str]:
    """Strategy -> what stands below its name."""
    return dict(
        browser.run(
            "[...document.querySelectorAll('section')].map(s => [s.querySelector('h2').textContent, s.querySelector('p').textContent])"
        )
    )


@needs_chromium
def test_it_opens_without_network_or_complaints_and_hostile_texts_do_nothing(browser, page):
    browser.click("#search")
    browser.write("alert")
    assert text(browser, "#question") == HOSTILE and text(browser, "#hits") == "1 of 1 found"
    assert browser.asked_for() == [page.as_uri()] and browser.run("document.images.length") == 0
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening")
    assert [event for event in browser.events if event.get("method") in complaints] == []


@needs_chromium
def test_a_script_that_came_in_with_a_text_would_not_run(page, opened, tmp_path):
    careless = tmp_path / "careless.html"
    careless.write_text(page.read_text(encoding="utf-8").replace("<main>", "<main><script>window.ran = 1</script>"), encoding="utf-8")
    assert shown(opened, careless).run("window.ran ?? 0") == 0


@needs_chromium
def test_next_and_previous_step_through_the_questions_and_stay_where_they_are(browser, tasks):
    asked = list(tasks["first"].queries["text"])
    place = "(() => { const box = document.querySelector('#next').getBoundingClientRect(); return [box.left, box.top]; })()"
    assert browser.run("document.querySelector('#previous').disabled")
    begun, seen = browser.run(place), []
    for number in range(1, 7):
        seen.append(text(browser, "#question"))
        assert text(browser, "#hits") == f"{number} of 6 found" and browser.run(place)[1] == begun[1]
        browser.click("#next")
    assert seen == asked and browser.run("document.querySelector('#next').disabled")
    browser.click("#previous")
    assert text(browser, "#question") == asked[4]
    browser.run("document.querySelector('main').style.height = '3000px'")
    assert browser.run("scrollTo(0, 500), scrollY") == 500 and browser.run(place)[1] == begun[1], "at hand below a long list, too"


@needs_chromium
def test_a_question_is_shown_whole_over_the_full_width(browser):
    browser.click("#search")
    browser.write("long question")
    assert text(browser, "#question") == TEXTS[4]
    box = browser.run(
        "(() => { const h = document.querySelector('h1'); return [h.clientWidth, h.scrollWidth, h.scrollHeight - h.clientHeight]; })()"
    )
    assert box[0] == box[1] > 1200 and box[2] <= 0
    assert browser.run("getComputedStyle(document.querySelector('h1')).textOverflow") == "clip"


@needs_chromium
def test_one_finds_as_one_types_and_hits_are_counted(browser):
    browser.click("#search")
    found = {}
    for letter in "stone":
        browser.write(letter)
        found[letter] = text(browser, "#hits")
    assert found == {"s": "1 of 3 found", "t": "1 of 2 found", "o": "1 of 2 found", "n": "1 of 2 found", "e": "1 of 2 found"}
    assert text(browser, "#question").casefold().count("stone") == 1
    browser.click("#next")
    assert text(browser, "#question") == TEXTS[4] and text(browser, "#hits") == "2 of 2 found"
    browser.click("#search")
    browser.write("[.*")
    assert text(browser, "#hits") == "no question found" and text(browser, "#question") == "" and columns(browser) == {}


@needs_chromium
@pytest.mark.parametrize(("name", "base", "seed"), [("first", "aligned", 1), ("second", "unaligned", 2)])
def test_ap_and_first_relevant_rank_are_those_of_the_tables(name, base, seed, browser, evaluations, questions, tasks):
    choose(browser, "task", name), choose(browser, "base", base), choose(browser, "seed", str(seed))
    keys = {strategy: EncoderKey(base, strategy, 0.5, seed) for strategy in STRATEGIES}
    keys |= {"untrained": EncoderKey(base, "untrained", NO_MIX, 0), "BM25": EncoderKey("reference", "BM25", NO_MIX, 0)}
    for _ in range(6):
        query = row_of(tasks[name], text(browser, "#question"))
        want = {strategy: outcome(evaluations, questions, tasks[name], key, query) for strategy, key in keys.items()}
        assert list(columns(browser).items()) == list(want.items())
        browser.click("#next")


@needs_chromium
def test_another_seed_or_base_keeps_the_question(browser):
    browser.click("#next"), browser.click("#next")
    before = text(browser, "#question"), columns(browser)
    choose(browser, "seed", "2")
    assert text(browser, "#question") == before[0] and columns(browser)["untrained"] == before[1]["untrained"]
    assert columns(browser)["hybrid"] != before[1]["hybrid"]
    choose(browser, "base", "unaligned")
    assert text(browser, "#question") == before[0] and columns(browser)["untrained"] != before[1]["untrained"]
    choose(browser, "task", "second")
    assert text(browser, "#question") == before[0], "the two tasks ask the same"
    choose(browser, "language", "en")
    assert text(browser, "#hits") == "1 of 3 found" and browser.run("document.querySelector('h1').lang") == "en"


@needs_chromium
def test_a_task_that_asks_something_else_begins_with_its_first_question(evaluations, tasks, questions, opened, tmp_path):
    asked = [f"Question {n}?" for n in range(6)]
    other = tasks | {"second": replace(tasks["second"], queries=tasks["second"].queries.assign(text=asked))}
    (tmp_path / "other.html").write_text(question_page(evaluations, other, questions), encoding="utf-8")
    shown(opened, tmp_path / "other.html")
    opened.click("#next"), opened.click("#next")
    choose(opened, "task", "second")
    assert (text(opened, "#question"), text(opened, "#hits")) == ("Question 0?", "1 of 6 found")


@needs_chromium
def test_questions_come_by_what_hybrid_gains_or_loses(browser, questions, tasks):
    rows = questions[(questions["setting"] == "multilingual") & (questions["task"] == "first") & (questions["base"] == "aligned")]
    wide = rows[rows["seed"] == 1].pivot(index="query", columns="strategy", values="AP")
    for against in ("X-X-mono", "X-Y"):
        order = list(wide["hybrid"].sub(wide[against]).sort_values().index)
        for value, want in (("gain", order[::-1]), ("loss", order)):
            choose(browser, "order", value), choose(browser, "against", against)
            seen = []
            for _ in range(6):
                query = row_of(tasks["first"], text(browser, "#question"))
                gain = wide["hybrid"].sub(wide[against])[query] if query in wide.index else np.nan
                told = text(browser, "#about").partition(f" · AP of hybrid − {against}: ")[2].replace("−", "-")
                assert float(told) == pytest.approx(gain, abs=0.0011) if np.isfinite(gain) else not told
                assert [*columns(browser)][:2] == ["hybrid", against], "the two that are compared stand first"
                seen.append(query)
                browser.click("#next")
            assert seen == [*want, row_of(tasks["first"], HOSTILE)], "a question without AP comes last"
    assert browser.run("[...document.querySelectorAll('#order option')].map(o => o.textContent)") == [
        "as in the set",
        "hybrid gains most",
        "hybrid loses most",
    ]


@needs_chromium
def test_right_to_left_texts_stand_in_blocks_of_their_own_at_their_own_side(browser):
    looks = browser.run("""[...document.querySelectorAll('li p, h1')].map(p => {
      const range = document.createRange();
      range.selectNodeContents(p);
      const [text, box, style] = [range.getBoundingClientRect(), p.getBoundingClientRect(), getComputedStyle(p)];
      return [p.lang, style.direction, style.display, Math.round(text.left - box.left), Math.round(box.right - text.right)]; })""")
    assert {look[0] for look in looks} == {"ar", "en"}
    for language, direction, display, left, right in looks:
        assert (direction, display) == ("rtl" if language == "ar" else "ltr", "block")
        assert (right if language == "ar" else left) == 0


@needs_chromium
def test_relevant_candidates_are_told_by_a_mark_and_a_word(browser, evaluations, tasks):
    task = tasks["first"]
    query = row_of(task, text(browser, "#question"))
    relevant = task.relevant_pairs[task.relevant_pairs[:, 0] == query, 1]
    told = browser.run("[...document.querySelector('section').querySelectorAll('li')].map(li => li.textContent.includes('✓ relevant'))")
    assert told == np.isin(evaluations.top(EncoderKey("aligned", "X-X-mono", 0.5, 1), "first")[query], relevant).tolist() and any(told)


@needs_chromium
@pytest.mark.parametrize("width", [240, 390, 1280])
def test_it_fits_any_window_and_can_be_read(opened, page, width):
    """240: what JupyterLab leaves of a phone."""
    from test_report_page import CONTRASTS, LEAST_CONTRAST

    shown(opened, page, width=width)
    assert opened.run("document.documentElement.scrollWidth") == width
    assert opened.run("[...document.querySelectorAll('button')].map(button => button.clientHeight < 40)") == [True, True], "one line each"
    opened.run("document.querySelector('main').style.height = '3000px', scrollTo(0, 2000)")
    assert opened.run("document.querySelector('#controls').getBoundingClientRect().bottom") < 200, "and never most of a small window"
    assert min(opened.run(CONTRASTS).values()) >= LEAST_CONTRAST


# In a notebook


@pytest.fixture
def displayed(monkeypatch) -> list:
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython.display, "display", outputs.append)
    return outputs


MIDDLE = """(() => {{ const box = document.querySelector('#{}').getBoundingClientRect();
  return [(box.left + box.right) / 2, (box.top + box.bottom) / 2]; }})()"""
FRAME = """(() => {
  const frame = document.querySelector('iframe');
  const box = frame.getBoundingClientRect();
  return [box.left + frame.clientLeft, box.top + frame.clientTop, frame.clientWidth, box.height, scrollY, document.body.scrollHeight];
})()"""
LATER = "new Promise(done => setTimeout(done, 300))"


@needs_chromium
def test_in_a_notebook_it_is_a_frame_and_using_it_moves_nothing(
    displayed, evaluations, tasks, questions, opened, page, monkeypatch, tmp_path
):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    browse(evaluations, tasks, questions)
    outer = tmp_path / "exported.html"
    above, below = "<p style='height:300px'>above</p>", "<p style='height:3000px'>below</p>"
    outer.write_text(above + "".join(each.data for each in displayed) + below, encoding="utf-8")
    opened.show(outer)
    width = opened.run(FRAME)[2]
    middles = [shown(opened, page, width=width).run(MIDDLE.format(name)) for name in ("next", "search")]
    opened.show(outer)
    opened.run("document.querySelector('iframe').scrollIntoView()")
    opened.run(LATER)
    before, pictures = opened.run(FRAME), [opened.picture()]
    assert before[3] > 500, "lists are seen without scrolling"
    for x, y in middles:
        opened.click_at(before[0] + x, before[1] + y)
        opened.write("stone")
        opened.run(LATER)
        pictures.append(opened.picture())
        assert opened.run(FRAME) == before
    assert len(set(pictures)) == 3, "the question changed, then the hits"
    assert opened.run("[...document.querySelectorAll('iframe')].map(frame => [frame.sandbox.value, frame.contentDocument])") == [
        ["allow-scripts", None]
    ]


@needs_chromium
@pytest.mark.parametrize(("theme", "scheme", "is_dark"), [("true", "dark", False), ("false", "light", True), ("", "dark", True)])
def test_in_jupyterlab_it_follows_jupyterlabs_theme_elsewhere_the_systems(theme, scheme, is_dark, opened, page, tmp_path):
    outer = tmp_path / "lab.html"
    frame = FRAME_OF_NOTEBOOK.replace("{page}", html.escape(page.read_text(encoding="utf-8")))
    outer.write_text(f"<!doctype html><body data-jp-theme-light='{theme}' style='margin:0'>{frame}", encoding="utf-8")
    opened.show(outer, scheme=scheme)
    opened.run(LATER)
    red, *_ = Image.open(io.BytesIO(opened.picture())).convert("RGB").getpixel((900, 690))
    assert (red < 60) == is_dark


# Without a browser


def test_without_a_person_it_is_a_table_of_gains_and_losses(displayed, evaluations, tasks, questions, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    browse(evaluations, tasks, questions)
    assert [each.data for each in displayed] == [gains_and_losses(evaluations, "first", tasks["first"], questions)]
    assert not re.search("<script|<iframe", displayed[0].data)


def test_gains_and_losses_are_those_of_the_tables(evaluations, tasks, questions):
    task = tasks["first"]
    table = parsed(gains_and_losses(evaluations, "first", task, questions, count=2))
    rows = questions[(questions["setting"] == "multilingual") & (questions["task"] == "first") & (questions["base"] == "aligned")]
    wide = rows[rows["seed"] == 1].pivot(index="query", columns="strategy", values="AP")
    gaps = wide["hybrid"].sub(wide["X-X-mono"]).sort_values(ascending=False)
    shown_rows = [row for row in table.all("tr") if row.all("td")]
    assert [row.all("th")[0].text for row in shown_rows] == [f"{gap:+.3f}" for gap in gaps.iloc[[0, 1, -2, -1]]]
    for row, query in zip(shown_rows, gaps.index[[0, 1, -2, -1]], strict=True):
        cells = [cell.text for cell in row.all("td")]
        assert task.queries["text"][query][:100] in cells[0]
        for strategy, cell in zip(STRATEGIES, cells[1:], strict=True):
            ap, first = (
                outcome(evaluations, questions, task, EncoderKey("aligned", strategy, 0.5, 1), query)
                .removeprefix("AP ")
                .split(" · first relevant: ")
            )
            assert cell.replace("\u00a0", " ") == f"{ap} · {first.replace('none in the first 10', '–').removeprefix('rank ')}"


def test_a_folder_of_ones_own_goes_by_its_name_in_the_profile(evaluations, tasks, questions):
    """Its task has the folder's name; before, such a run had "no two trained strategies to compare", and no browser."""
    renamed = Evaluations({(key, f"beir:{name}"): folder for (key, name), folder in evaluations.folders.items()})
    table = questions.assign(task="beir:" + questions["task"])
    found = gains_and_losses(renamed, "beir:first", tasks["first"], table)
    assert found == gains_and_losses(evaluations, "first", tasks["first"], questions).replace("first, from", "beir:first, from")
    there, own = (
        question_page(*args) for args in ((evaluations, tasks, questions), (renamed, {f"beir:{n}": t for n, t in tasks.items()}, table))
    )
    assert abs(len(own) - len(there)) < 100


def test_a_run_with_nothing_to_compare_says_so_and_offers_no_order(evaluations, tasks, questions, tmp_path):
    alone = questions[questions["strategy"].isin(["X-Y", "BM25"])]
    assert gains_and_losses(evaluations, "first", tasks["first"], alone) == "<p>This run has no two trained strategies to compare.</p>"


@needs_chromium
def test_of_a_large_task_questions_are_drawn_and_the_page_says_how_many(evaluations, tasks, questions, opened, tmp_path, monkeypatch):
    lists = len({key for key, _ in evaluations.folders}) - 1
    monkeypatch.setattr(question_browser, "MOST_PLACES", lists * 10 * 3 + 5)
    (tmp_path / "few.html").write_text(question_page(evaluations, tasks, questions), encoding="utf-8")
    shown(opened, tmp_path / "few.html")
    assert text(opened, "#hits") == "1 of 3 found (3 of the task’s 6 questions are here)"
    opened.click("#next"), opened.click("#next")
    assert text(opened, "#question") == tasks["first"].queries["text"].iloc[-1]
