"""The report: what it tells of a run, also of one that failed or hardly began, and that texts of others do nothing in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from made_up import made_up_tables
from pages import parsed
from report_runs import SHOWN, committed_figures, flat, page_of, record, section

from hybridir_utils.__main__ import main
from hybridir_utils.base import files
from hybridir_utils.base.errors import MissingInput
from hybridir_utils.experiment import stamps
from hybridir_utils.experiment.profile import Profile
from hybridir_utils.experiment.run import open_run, reference_tables, save_table, saved_run
from hybridir_utils.experiment.stamps import read_stamps
from hybridir_utils.results.figures import draw, read_result
from hybridir_utils.results.tables import paper_table, score_table
from hybridir_utils.studies.claims.judging import CLAIMS
from hybridir_utils.studies.claims.rules import UNTESTABLE, untestable
from hybridir_utils.suite.readers import page_tables, table_of
from hybridir_utils.suite.records import FAILED
from hybridir_utils.suite.report import UNSEEN, visible, write_report
from hybridir_utils.suite.running import Step, notebooks


def test_the_command_writes_one_small_page_and_prints_its_path(committed, monkeypatch, capsys):
    root = committed.parents[3]
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(root))
    before = re.sub(r"Report of [^<]*", "", committed.read_text(encoding="utf-8"))
    assert main(["report"]) == 0
    assert capsys.readouterr().out == f"{root / 'data/runs/sample/report.html'}\n"
    assert [path.name for path in committed.parent.iterdir()] == ["report.html"], "no temporary file stays, and no table"
    assert re.sub(r"Report of [^<]*", "", committed.read_text(encoding="utf-8")) == before, "the same bytes but for the time"
    assert committed.stat().st_size < 4_000_000


def test_all_claims_stand_there_with_rule_verdicts_evidence_and_commands(committed, monkeypatch):
    page, table = page_of(committed), read_committed("claims", committed, monkeypatch)
    for claim in CLAIMS:
        shown = flat(section(page, f"claim{claim.number}").text)
        assert claim.statement in shown and flat(claim.rule) in shown
        for row in table[table["claim"] == claim.number].itertuples():
            assert f"{row.source} " in shown and row.verdict in shown and flat(row.evidence) in shown
    claims = flat(section(page, "claims").text)
    assert all(f"{row.source}: {row.command}" in claims for row in table.itertuples())


def test_claims_that_no_source_can_test_stand_last_in_the_table_and_among_the_evidence(committed, monkeypatch):
    none = untestable(read_committed("claims", committed, monkeypatch))
    shown = flat(section(page_of(committed), "claims").text)
    assert none and shown.count(UNTESTABLE) == 2, "above them in the table, and above their evidence"
    for part in shown.split("Rule, verdicts and evidence"):
        before, after = part.split(UNTESTABLE)
        assert all((claim.statement in after) == (claim.number in none) != (claim.statement in before) for claim in CLAIMS)


def test_scores_and_the_papers_numbers_are_those_of_the_tables(committed, monkeypatch):
    page = page_of(committed)
    scores, bias = (read_committed(name, committed, monkeypatch) for name in ("scores", "bias"))
    cells = [cell.text for cell in section(page, "scores").all("td")]
    for table in (score_table(scores, bias), paper_table(scores, bias)):
        assert set(table.to_numpy().ravel()) <= set(cells)


def read_committed(name: str, committed: Path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(committed.parents[3]))
    return read_result(saved_run(open_run("sample")), name)


def test_every_figure_is_there_with_question_caption_text_and_trace(committed):
    page = page_of(committed)
    pictures = {image.around[-1]["aria-label"]: image for image in page.all("img")}
    assert set(pictures) == {f"Figure {name}" for name in committed_figures()}
    questions = {element["id"]: element.text for element in page.all("h3", "h4") if element["id"].startswith("f0")}
    assert len(set(questions.values())) >= 20 and questions["f03_scores"] == "Which strategy retrieves best, and where?"
    for name, recipe in committed_figures().items():
        alt = pictures[f"Figure {name}"]["alt"]
        assert alt.startswith(recipe.caption) and re.search(r"\d", alt.removeprefix(recipe.caption)) and len(alt) < 2000, name
    traces = [element.text for element in page.all("details") if element.attributes.get("class") == "trace"]
    assert len(traces) == len(pictures)
    assert all(re.search(r"Trace: notebook \d\d_\w+.*Rebuild\s*python -m hybridir_utils run ", text, flags=re.S) for text in traces)


def test_what_was_run_is_told(hostile, committed):
    told, about = facts(committed), json.loads((files.ROOT / "data" / "results" / "sample" / "about.json").read_text(encoding="utf-8"))
    assert told["Machine"] == about["machine"] and f"torch {about['versions']['torch']}" in told["Versions"]
    assert told["Seeds"] == "1, 2, 3" and told["Languages"].startswith("11: ar, de") and told["Training pairs"].endswith("after all checks")
    assert told["Total time"] == told["Started"] == "not recorded" and told["Made by"] == "python -m hybridir_utils run --profile sample"
    told = facts(hostile)
    assert (told["Total time"], told["Peak memory"], told["Device"]) == ("1 h 3 min", "2,048 MB", "cpu")
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d UTC), the last notebook \d{4}-.* UTC", told["Started"])
    assert told["Commit"] == "c0ffeec0ffee" and told["Machine"] == "not recorded"


def facts(path: Path) -> dict[str, str]:
    run = section(page_of(path), "run")
    return dict(zip((name.text for name in run.all("dt")), (value.text for value in run.all("dd")), strict=True))


def test_parameters_that_differ_are_named_with_both_values(hostile, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(hostile.parents[3]))
    run = open_run("sample", alpha=0.3, seeds=[7])
    save_table(run, "coverage", made_up_tables()["coverage"])
    path = write_report(run)
    page = page_of(path)
    rows = [[cell.text for cell in row.all("th", "td")] for row in section(page, "run").all("tr")]
    assert path.parent.name == run.name and rows[1:] == [["alpha", "0.5", "0.3"], ["seeds", "1, 2, 3", "7"]]
    assert "--set alpha=0.3 --set 'seeds=[7]'" in section(page, "run").text


def test_parameters_that_do_not_differ_are_not_listed(committed):
    run = section(page_of(committed), "run")
    assert not run.all("table") and not [key for key in Profile.model_fields if "_" in key and key in run.text.split()]


def test_scores_and_the_main_figure_come_before_the_claims_and_the_figure_stands_once(committed, hostile):
    for path, there in ((committed, True), (hostile, False)):
        page = page_of(path)
        names = [element["aria-labelledby"] for element in page.all("section") if "aria-labelledby" in element.attributes]
        assert [name for name in names if not name.startswith("n")] == ["run", "scores", "claims", "figures", "cost", "missing"]
        scores = section(page, "scores")
        outside_folds = [table for table in scores.all("table") if "details" not in [outer.tag for outer in table.around]]
        assert outside_folds and len(outside_folds) < len(scores.all("table")), "the mean of each strategy at once, all else folded"
        assert [image.around[-1]["aria-label"] for image in scores.all("img")] == ["Figure 03_scores"] * there
        assert len([link for link in page.all("a") if link.attributes.get("href") == "#f03_scores"]) == there


def test_the_papers_tasks_stand_before_a_runs_others():
    """The first of the profile's tasks was open, held-out course sections, and XQuAD-R was folded."""
    tables = page_tables(saved_run(open_run("pretrained")))
    tasks = {kind: [*dict.fromkeys(re.split("[,:]", table["caption"])[0] for table in tables[kind])] for kind in tables}
    assert tasks["scores"] == ["xquad-r"] and tasks["further"] == ["mlqa-r", "mscourses-test"]
    assert tasks["measures"] == ["xquad-r", "mlqa-r", "mscourses-test"]


def test_a_run_of_notebook_08_alone_leads_with_its_methods(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    page = page_of(write_report(saved_run(open_run("courses"))))
    assert [image.around[-1]["aria-label"] for image in section(page, "scores").all("img")] == ["Figure 08_methods"]


def test_evidence_is_folded_until_it_is_asked_for(committed):
    page = page_of(committed)
    folds = [section(page, f"claim{claim.number}").all("details") for claim in CLAIMS]
    assert all(len(details) == 1 and "open" not in details[0].attributes for details in folds)
    assert all(not article.text.replace(article.all("details")[0].text, "").strip() for article in page.all("article"))


def test_other_runs_are_compared_only_where_they_are_references_or_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, claims = open_run("sample", compare_with=["mine"]), made_up_tables()["claims"]
    one = claims[claims["source"] == claims["source"].iloc[0]]
    sources = [run.name, "paper, XLM-R", "pretrained", "mine", "stray"]
    save_table(run, "claims", pd.concat([one.assign(source=source, command=f"make {source}") for source in sources]))
    shown = section(page_of(write_report(run)), "claims")
    (table,) = shown.all("table")
    assert [header.text for header in table.all("tr")[0].all("th")[1:]] == sources[:-1] and "stray" not in shown.text


def test_cost_and_executed_notebooks_come_from_the_records(hostile):
    rows = cost(hostile)
    assert rows["01_data_translation"][:1] == ["ok"] and rows["01_data_translation"][2:] == [
        "1 min 23 s",
        "512 MB",
        "01_data_translation.ipynb",
    ]
    assert rows["02_hybrid_batch_training"][2:] == ["1 h 1 min", "2,048 MB", "02_hybrid_batch_training.failed.ipynb"]
    assert rows["03_retrieval_evaluation"][0] == "timeout" and rows["04_language_bias"] == ["no record", *["–"] * 4]
    assert rows["05_mixing_ratio"][0] == "not run" and rows["01_data_translation"][1].endswith(" UTC")


def cost(path: Path) -> dict[str, list[str]]:
    rows = section(page_of(path), "cost").all("tr")[1:]
    return {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in rows}


def test_without_records_the_cost_says_so(committed):
    assert {tuple(cells) for cells in cost(committed).values()} == {("no record", *["–"] * 4)}
    assert "are not here" in section(page_of(committed), "cost").text


def test_an_unfinished_run_is_beside_the_reference_without_alarm(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    save_table(run, "coverage", pd.read_csv(reference_tables("sample") / "coverage.csv"))
    (beside,) = [each for each in section(page_of(write_report(run)), "run").all("p") if "reference" in each.text]
    assert re.fullmatch(r"beside the reference: of \d+ tables 1 equal, \d+ not made yet; no verdict changed", beside.text)
    assert beside["class"] == "notice plain"
    save_table(run, "coverage", made_up_tables()["coverage"])
    (beside,) = [each for each in section(page_of(write_report(run)), "run").all("p") if "reference" in each.text]
    assert "1 differing" in beside.text and beside["class"] == "notice"


def test_a_reference_of_earlier_code_is_told_as_such_and_a_run_that_is_old_warned_of(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    now = stamps._code_of
    codes = read_stamps(reference_tables("sample"))["scores"]["code"]
    monkeypatch.setattr(stamps, "_code_of", lambda stage: "edited" if stage == "evaluation" else codes[stage])
    page = page_of(write_report(saved_run(open_run("sample"))))
    (notice,) = [each for each in section(page, "run").all("p") if "notice" in each.attributes.get("class", "")]
    assert page.all("h1")[0].text == "The committed reference of sample" and notice["class"] == "notice plain"
    assert re.match(
        r"Changed since these tables were committed: code of evaluation \(for \d\d of them\)\. python.* anew\.", flat(notice.text)
    )
    monkeypatch.setattr(stamps, "_code_of", now)
    save_table(open_run("sample"), "coverage", made_up_tables()["coverage"])
    monkeypatch.setattr(stamps, "_code_of", lambda stage: "edited")
    page = page_of(write_report(open_run("sample")))
    (notice,) = [each for each in section(page, "run").all("p") if "earlier version" in each.text]
    assert page.all("h1")[0].text == "Run sample" and notice["class"] == "notice"
    assert "since this run’s tables were saved: code of encoders (for 1 of them)" in flat(notice.text)


def test_what_is_missing_is_said_with_the_command(hostile, committed):
    shown = flat(section(page_of(hostile), "missing").text)
    run = "python -m hybridir_utils run --profile sample"
    assert f"02_hybrid_batch_training: The last execution failed. 02, code cell 3: ValueError: {flat(SHOWN)} {run}" in shown
    assert f"03_retrieval_evaluation: The last execution took too long and was ended. 03: longer than 5 s {run}" in shown
    assert "Figure 03_scores is not drawn. python -m hybridir_utils figures --profile sample" in shown
    assert re.search(rf"05_mixing_ratio: Not there: tables [\w, ]*mixing[\w, ]*\. {run}", shown)
    assert "Nothing: every notebook has saved its tables" in section(page_of(committed), "missing").text


def test_a_figure_drawn_from_other_tables_is_said_to_be_stale(hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run, table = open_run("sample"), made_up_tables()["coverage"]
    save_table(run, "coverage", table)
    draw(run, "01_coverage")
    assert "Drawn from earlier tables" not in write_report(run).read_text(encoding="utf-8")
    save_table(run, "coverage", table.assign(pairs=1))
    assert "Drawn from earlier tables:</strong> data/runs/sample/results/coverage.csv" in write_report(run).read_text(encoding="utf-8")


def test_without_any_result_the_command_is_named_and_nothing_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    with pytest.raises(
        MissingInput, match=r"no saved results to report\. Run the .* first: python -m hybridir_utils run --profile pretrained"
    ):
        write_report(open_run("pretrained"))
    assert main(["report", "--profile", "pretrained", "--set", "alpha=0.3"]) == 1 and "error: " in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_run_that_failed_at_once_is_reported_without_any_table(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    record(Step(notebooks()[0], run), status=FAILED, error="01, code cell 1: boom")
    page = parsed(write_report(run).read_text(encoding="utf-8"))
    assert "01, code cell 1: boom" in section(page, "missing").text and not page.all("img")
    assert "Not judged yet" in section(page, "claims").text and "No scores yet" in section(page, "scores").text


def test_a_page_that_cannot_be_made_leaves_the_earlier_one(hostile, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(hostile.parents[3]))
    before = hostile.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert main(["report"]) == 1
    assert hostile.read_bytes() == before and not list(hostile.parent.glob("*.tmp"))


def test_a_table_of_two_levels_spans_its_groups():
    frame = score_table(made_up_tables()["scores"]).loc["worldfacts-test"]
    table = table_of(frame, "x")
    assert [group[0]["headers"][0]["span"] for group in table["groups"]] == [len(group) for group in table["groups"]]
    assert [row["headers"][-1]["text"] for group in table["groups"] for row in group] == [name for _, name in frame.index]


def test_scores_stand_in_a_table_a_base_with_the_best_of_each_column_marked(committed):
    scores = section(page_of(committed), "scores")
    tables = {table.all("caption")[0].text.strip(): table for table in scores.all("table")}
    table = tables["worldfacts-test, from aligned: mean over seeds ± standard deviation"]
    assert [row.all("th")[0].text for row in table.all("tr")[1:]][-2:] == ["BM25", "random"], "the references in each"
    frame = score_table(*(read_result(saved_run(open_run("sample")), name) for name in ("scores", "bias"))).loc["worldfacts-test"]
    numbers = frame.loc[["aligned", "reference"]].map(lambda cell: float(cell.split()[0].replace(",", "")))
    best = [cell for cell in table.all("td") if cell.attributes.get("class") == "best"]
    extremes = [numbers[column].min() if column == "rank distance" else numbers[column].max() for column in numbers]
    assert {float(cell.text.split()[0]) for cell in best} == set(extremes) and len(best) == len(extremes)


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
