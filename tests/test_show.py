"""The one style of tables that notebooks show: what is bold, grey, starred, folded, escaped, and how numbers are written."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from browser import Browser, needs_chromium

from hybridir_utils.results import show, tables
from hybridir_utils.results.show import MOST_ROWS, STYLE
from hybridir_utils.results.tables import as_texts, markdown

FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)


def scores(tasks=("t",), bases=("a", "b"), strategies=("X-Y", "hybrid")) -> pd.DataFrame:
    """Hybrid is best everywhere; a reference stands once a task."""
    rows = [(task, base, name) for task in tasks for base in bases for name in strategies]
    rows += [(task, "reference", "BM25") for task in tasks]
    index = pd.MultiIndex.from_tuples(rows, names=["task", "base", "strategy"])
    return pd.DataFrame({"Mul. mAP": np.where(index.get_level_values("strategy") == "hybrid", 0.75, 0.5), "seeds": 3}, index=index)


def made_tests(*found: tuple[str, str, float]) -> pd.DataFrame:
    """Tests against hybrid: (base, strategy, p); the difference and its interval over seeds are below 0."""
    rows = [
        {"task": "t", "base": base, "strategy": name, "setting": "multilingual", "measure": "AP", "baseline": "hybrid", "p_holm": p}
        | {"mean_difference": -0.25, "low": -0.3, "high": -0.2, "seed_low": -0.3, "seed_high": -0.2}
        for base, name, p in found
    ]
    return pd.DataFrame(rows)


def test_each_base_has_a_table_with_the_references_and_its_best_in_bold():
    html = show.table(scores(), best=True).html
    first, second = html.split("<table")[1:]
    assert html.count("t, from a") == html.count("t, from b") == 1
    for part in (first, second):
        assert part.count("<tr") == 4 and "BM25" in part and part.count("<b>0.750</b>") == 1 and "<b>0.500" not in part
    assert html.count(f'class="{STYLE}"') == 2 and "white-space: nowrap" in html.replace("white-space:nowrap", "white-space: nowrap")


def test_one_header_row_also_of_two_levels_of_columns():
    frame = pd.DataFrame(
        [[1.0, 2.0]], index=pd.Index(["x"], name="strategy"), columns=pd.MultiIndex.from_product([["Mo."], ["mAP", "kept"]])
    )
    html = show.table(frame.rename_axis(columns=["setting", None])).html
    assert html.count("<tr") == 2 and ">Mo. kept<" in html and ">strategy<" in html


def test_every_level_of_rows_is_named_and_a_gap_is_a_dash():
    index = pd.MultiIndex.from_tuples([("X-Y", "pool"), ("hybrid", "training")], names=["strategy", "fitted_on"])
    html = show.table(pd.DataFrame({"many_steps": [90, np.nan]}, index=index)).html
    assert ">many steps<" in html and ">strategy<" in html and ">fitted on<" in html and ">90<" in html and ">–<" in html
    (head,) = re.findall(r"<thead>.*?</thead>", html, re.DOTALL)
    assert re.findall(r">([^<>\n]+)</th>", head) == ["strategy", "fitted on", "many steps"], "in one row"


def test_further_tasks_and_long_tables_are_folded():
    html = show.table(scores(("t", "u"), strategies=[f"s{n}" for n in range(5)])).html
    assert html.count("<details>") == 2 and "u, from a (6 rows)" in html and "u, from" not in FOLDED.sub("", html)
    long = pd.DataFrame({"n": range(MOST_ROWS + 1)}, index=pd.Index(range(MOST_ROWS + 1), name="k"))
    assert "<table" not in FOLDED.sub("", show.table(long, title="Counted").html)
    assert "<details>" not in show.table(long[:MOST_ROWS]).html


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (20000, "20,000"),
        (float("nan"), "–"),
        ("a", "a"),
        (np.int64(4144), "4,144"),
    ],
)
def test_numbers_have_three_digits_and_separated_thousands(value, told):
    assert tables.cell(value) == told


def test_whole_numbers_stay_whole_beside_a_gap():
    html = show.table(pd.DataFrame({"pairs": [4234.0, np.nan], "mAP": [1.0, 0.5]}, index=pd.Index([11, 25], name="languages"))).html
    assert all(f">{told}<" in html for told in ("4,234", "–", "1.000", "0.500"))


def test_texts_stand_on_the_left_numbers_on_the_right_and_long_texts_wrap():
    frame = pd.DataFrame({"n": ["1 of 2 (3 %)"], "word": ["ja"], "text": ["3 words " + "word " * 30]}, index=pd.Index(["x"], name="k"))
    html = re.sub(r"\s+", " ", show.table(frame).html)
    assert "text-align: right" in html and re.search(r"\.col1 \{ text-align: left; \}", html)
    assert re.search(r"\.col2 \{ text-align: left; white-space: normal", html) and ".col0 {" not in html


def test_lists_of_numbers_stand_on_the_left_and_intervals_on_the_right():
    frame = pd.DataFrame({"levels": ["0", "0, 0.1, 0.25"], "kept": ["0.6 [0.5, 0.7]"] * 2, "many": ["1,190", "20,534"]}, index=["x", "y"])
    html = re.sub(r"\s+", " ", show.table(frame).html)
    assert re.search(r"\.col0 \{ text-align: left; \}", html) and ".col1 {" not in html and ".col2 {" not in html


def test_differences_that_are_not_clear_are_grey_and_only_they():
    html = show.tests(made_tests(("a", "X-Y", 0.01), ("a", "X-X", 0.3))).html
    (grey,) = re.findall(r"<td class=\"[^\"]*unclear[^\"]*\"", html)
    assert "row1" in grey and re.search(r"\.unclear \{\s*opacity: 0.65", html)


def test_a_star_marks_what_a_test_tells_from_the_baseline():
    frame = scores(bases=("a",)).drop(columns="seeds").map("{:.3f} ± 0.001".format)
    marked = show.starred(frame, made_tests(("a", "X-Y", 0.01)))["Mul. mAP"]
    assert marked["t", "a", "X-Y"].endswith("0.001 *") and marked.str.contains("*", regex=False).sum() == 1
    assert marked.str.len().nunique() == 1, "numbers stand below each other"
    untested = show.starred(frame.assign(LPR="0.5"), made_tests(("a", "X-Y", 0.01)))["LPR"]
    assert set(untested) == {"0.5"}
    assert not show.starred(frame, made_tests(("a", "X-Y", 0.3)))["Mul. mAP"].str.contains("*", regex=False).any()
    assert show.table(marked.to_frame(), best=True).html.count("<b>0.750") == 1


def test_what_a_run_lacks_shows_nothing():
    assert show.together(None, show.paragraph("a")).html == "<p>a</p>" and show.together(None) is None
    assert show.table(scores().iloc[:0]) is None and show.tests(made_tests()) is None and show.folded("a", None, None) is None


def test_texts_of_others_act_nowhere():
    frame = pd.DataFrame({"<i>c": ["<script>1</script>"]}, index=pd.Index(["<b>x"], name="<u>k"))
    html = show.folded("<s>", show.table(frame, title="<p onclick=1>")).html
    assert not re.search("<script|<i>|<u>|<s>|<b>x|<p onclick", html)


def test_folded_pictures_keep_their_text_and_need_no_javascript():
    picture = SimpleNamespace(data=b"\x89PNG", alt='mAP "by" language', width=900)
    html = show.folded("Drawn", picture).html
    assert (
        html.startswith("<details><summary>Drawn</summary>")
        and 'alt="mAP &quot;by&quot; language"' in html
        and "data:image/png;base64" in html
    )


def test_five_findings_lie_open():
    listed = show.listed([f"s{n}" for n in range(7)], ["more"])
    first, folded = listed.split("<details>")
    assert first.count("- s") == 5 and "3 more findings" in folded and "\n- more\n" in folded
    assert "<details>" not in show.listed(["a"])


def test_the_same_table_gives_the_same_bytes():
    assert show.table(scores(), best=True).html == show.table(scores(), best=True).html


def test_ranks_have_no_decimals_whichever_way_the_table_lies():
    columns = pd.DataFrame({"rank distance": [58.31, 4790.6], "mAP": [0.5, 0.25]}, index=pd.Index(["a", "b"], name="strategy"))
    assert as_texts(columns).to_numpy().tolist() == [["58", "0.500"], ["4,791", "0.250"]]
    rows = columns.T.rename_axis(index="measure")
    assert as_texts(rows).to_numpy().tolist() == [["58", "4,791"], ["0.500", "0.250"]]
    assert "| 58 | 0.500 |" in markdown(columns)
    goals = pd.DataFrame({"α": [0.35]}, index=pd.Index(["rank distance"], name="goal"))
    assert as_texts(goals).iloc[0, 0] == "0.350", "a goal's value is none of its ranks"


def test_where_no_sentence_lies_open_the_first_folded_one_does():
    assert show.listed([], ["a.", "b."]).startswith("- a.\n") and "1 more finding<" in show.listed([], ["a.", "b."])
    assert show.listed([], ["a."]) == "- a." and show.listed([]) == ""


ENDS = "[...document.querySelectorAll('table, pre')].map(each => each.getBoundingClientRect().left + each.scrollWidth)"


@needs_chromium
def test_on_paper_no_table_and_no_line_of_a_cell_is_cut(tmp_path):
    index = pd.Index(["X-X-mono", "hybrid"], name="strategy")
    wide = pd.DataFrame(
        {f"{name} mAP, macro": ["0.123 ± 0.004 *"] * 2 for name in ("Mo.", "Cr.", "Mul.", "kept", "R@1", "R@10")}, index=index
    )
    page = tmp_path / "page.html"
    page.write_text(f"{show.PRINTED}<div style='width:560px'>{show.table(wide).html}<pre>{'a word ' * 40}</pre></div>", encoding="utf-8")
    with Browser(tmp_path / "chromium") as browser:
        browser.show(page, width=718)
        assert max(browser.run(ENDS)) > 718
        browser.ask("Emulation.setEmulatedMedia", media="print")
        assert max(browser.run(ENDS)) <= 590
