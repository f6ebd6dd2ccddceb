"""The command `evaluate`: one line for any encoder, with its tables, page, figure and record."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hybridir_utils as hy
from hybridir_utils.__main__ import _parser, main
from hybridir_utils.base.files import ROOT, file_fingerprint
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.encode import corpora
from hybridir_utils.results.measured import CENTRED, COLUMNS, PLAIN, as_text, evaluation_figure, marked, page, side_by_side
from hybridir_utils.results.style import save_figure
from hybridir_utils.suite.evaluate import LEGEND, NAME, TaskResult, asked_encoders, default_folder, write_results
from hybridir_utils.tasks.beir import write_beir
from hybridir_utils.tasks.retrieval_task import RetrievalTask, task_from_pairs

FUNCTIONS = """
import numpy as np

def by_number(texts, role):  # knows the fact, whatever the language
    return np.eye(24)[[next(int(word) for word in text.split() if word.isdigit()) for text in texts]]

def as_given(texts, role):
    return texts

def no_numbers(texts, role):
    return np.full((len(texts), 2), np.nan)

def boom(texts, role):
    return by_number(["no number at all"], role)
"""


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_pairs) -> Path:
    """A working folder with a pool of 24 parallel questions in four languages, and a module of functions."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool").mkdir()
    write_beir(task_from_pairs("pool", tiny_pairs), tmp_path / "pool")
    (tmp_path / "given_functions.py").write_text(FUNCTIONS)
    return tmp_path


def test_one_line_gives_tables_a_page_a_figure_and_a_record(place, tiny_transformer, monkeypatch, capsys):
    call = [
        "evaluate",
        "random",
        f"bert={tiny_transformer}",
        "--encoder",
        "given_functions:by_number",
        "--task",
        "pool",
        "--task",
        "beir:pool",
    ]
    assert main([*call, "--prompts", "ask ", "tell "]) == 0
    printed = capsys.readouterr().out
    assert "pool: 96 questions, 96 candidates, languages ar de en th" in printed and "pool (beir:pool):" in printed
    assert "bert: prompts 'ask ' and 'tell ', as given" in printed and "bert: it names no pooling" in printed and "+ / -: mAP" in printed
    assert "given_functions:by_number: prompts 'ask ' and 'tell ', as given" in printed
    (folder,) = {Path(line).parent for line in printed.splitlines() if line.endswith((".csv", ".json", ".svg"))}
    assert folder.parent == place / "out" / "data" / "runs" / "evaluate" and folder.name.startswith("random-")
    assert {path.name for path in folder.iterdir()} == {f"{NAME}{kind}" for kind in (".csv", "_tests.csv", ".md", ".json", ".png", ".svg")}

    table = pd.read_csv(folder / "evaluation.csv").set_index(["task", "encoder", "vectors"])
    opened = hy.open_encoder(tiny_transformer, prompts=("ask ", "tell "))
    for name, encoder in {"bert": opened, "given_functions:by_number": by_number, "random": "random"}.items():
        own = hy.evaluate(encoder, hy.read_task("pool")).table()
        assert np.allclose(table.loc["pool"].loc[name][own.columns], own, atol=1e-5), name
    record = json.loads((folder / "evaluation.json").read_text())
    assert record["encoders"]["bert"]["opening"]["prompts"] == ["ask ", "tell "] and len(record["encoders"]["bert"]["origin"]) == 64
    assert record["sha256"] == {f.name: file_fingerprint(f) for f in folder.glob("*.csv")} and record["versions"]["torch"]
    assert set(record["tasks"]["pool"]["seconds"]) == {"random", "bert", "given_functions:by_number"} and record["left out"] == {}
    page = (folder / "evaluation.md").read_text()
    assert (
        "](evaluation.png)" in page and "| random | plain |" in page and f"{table.loc[('pool', 'bert', 'centred'), 'Mul. mAP']:.3f}" in page
    )

    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}
    monkeypatch.setattr(corpora, "encode_shard", lambda *rest: pytest.fail("encoded again"))
    assert main([*call, "--prompts", "ask ", "tell ", "--output", "elsewhere"]) == 0
    again = {path.name: path.read_bytes() for path in Path("elsewhere").iterdir() if path.suffix != ".json"}
    assert again["evaluation.csv"] == before["evaluation.csv"] and again["evaluation_tests.csv"] == before["evaluation_tests.csv"]
    assert again.keys() == before.keys() and (place / "pool").exists()


def test_prompts_stand_before_the_texts_of_a_function(place):
    """They were passed over, where the help says that they stand before questions and passages."""
    encode = asked_encoders((), ["given_functions:as_given"], ("ask ", "tell "))["given_functions:as_given"]
    assert encode(["Who?"], "query") == ["ask Who?"] and encode(["She."], "document") == ["tell She."]
    assert asked_encoders((), ["plain=given_functions:as_given"])["plain"](["Who?"], "query") == ["Who?"]


def test_prompts_that_nothing_takes_are_told_of(recwarn):
    """BM25 and random order passed over them in silence."""
    assert asked_encoders(["words=BM25", "random"], (), ("query: ", "passage: ")) == {"words": "BM25", "random": "random"}
    (told,) = recwarn
    assert str(told.message) == "words, random: ranked without --prompts, which stand before the texts of encoders."
    asked_encoders(["BM25"], ())
    assert len(recwarn) == 1


def test_an_encoder_whose_vectors_are_the_same_is_told_not_praised(place):
    """Where all vectors are equal every candidate ties with the relevant one, and each measure is at its best."""
    task = hy.read_task("pool")
    same, coarse, own = (
        hy.evaluate(lambda texts, role, turn=turn: turn(by_number(texts, role)), task)
        for turn in (np.ones_like, lambda rows: np.sign(rows @ TURNED[:, :6]), lambda rows: rows @ TURNED)
    )
    assert "equal scores leave mAP open (Mo. 0.042 to 1.000, Cr. 0.042 to 1.000, Mul. " in repr(same)
    low, high = re.search(r"Mul. (0\.\d+) to ([01]\.\d+)\)", repr(coarse)).groups()
    assert float(low) < float(high) and high == f"{coarse.table().loc['plain', 'Mul. mAP']:.3f}"
    assert not any("equal scores" in note for note in own.notes)


TURNED = np.random.default_rng(0).standard_normal((24, 24))


def by_number(texts, role):
    return np.eye(24)[[next(int(word) for word in text.split() if word.isdigit()) for text in texts]]


def test_clear_differences_from_the_first_row_are_marked(tiny_pairs):
    task = task_from_pairs("pool", tiny_pairs)
    found = {"by chance": hy.evaluate("random", task), "knows": hy.evaluate(by_number, task), "the same": hy.evaluate("random", task)}
    cells = marked(*side_by_side(found))
    of_map = [column for column in COLUMNS if column.endswith("mAP")]
    assert cells.loc[("knows", "plain"), of_map].str.endswith(" +").all() and not cells.loc["by chance"].stack().str.contains(r"[+-]").any()
    assert not cells.loc["the same"].stack().str.contains(r"[+-]").any()
    first = {"knows": found["knows"], "by chance": found["by chance"]}
    assert marked(*side_by_side(first)).loc[("by chance", "plain"), of_map].str.endswith(" -").all()
    alone = side_by_side({"alone": found["by chance"]})[1]
    assert alone.empty and list(alone) == list(side_by_side(first)[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["BM25", "--task", "xquad-rr"], "unknown folder or task 'xquad-rr' (did you mean 'xquad-r'?)"),
        (["BM25", "--task", "pool", "--prompts", "a", "b", "--prompts", "c", "d"], "--prompts is given twice"),
        (["--task", "pool"], "no encoder: give a folder"),
        (["BM25", "BM25", "--task", "pool"], "encoder 'BM25' is named twice"),
        (["a=BM25", "a=random", "--task", "pool"], "encoder 'a' is named twice"),
        (["BM25", "--task", "pool", "--languages", "de"], "leave `languages` out"),
        (["BM25", "--task", "beir:pool", "--languages", "de"], "leave `languages` out"),
        (["BM25", "--task", "worldfacts-test", "--languages", "xx"], "unknown language of the world facts 'xx'"),
        (["BM25", "./nothing-here", "--task", "pool"], "./nothing-here"),
        (["pool", "--task", "pool"], "pool: no config.json there"),
        (["BM25", "--encoder", "given_functions:by_numbre", "--task", "pool"], "did you mean 'by_number'?"),
        (["BM25", "--task", "pool", "--output", "given_functions.py"], "given_functions.py"),
        (["--encoder", "given_functions:no_numbers", "--task", "pool"], "no encoder could be evaluated. encoder"),
        (["BM25", "--task", "nothing", "--encoder", "given_functions:by_numbre"], "unknown folder or task 'nothing'"),
        (["BM25", "--task", "nothing", "--encoder", "given_functions:by_numbre"], "did you mean 'by_number'?"),
        (["BM52", "--task", "pool"], "error: unknown encoder 'BM52' (did you mean 'BM25'?)"),
        (["./me5-smal-4bit", "--task", "nothing"], "did you mean 'me5-small-4bit'?"),
        (["me5-small", "--task", "pool"], "error: no copy of encoder 'me5-small' (did you mean 'me5-small-4bit'?)"),
        (["intfloat/multilingual-e5-small", "--task", "pool"], "'intfloat/multilingual-e5-small' (did you mean 'me5-small-4bit'?)"),
        (["intfloat/multilingual-e5-bass", "--task", "pool"], "did you mean 'me5-base'?"),
        (["st:poool", "--task", "pool"], "did you mean 'pool'?"),
        (["randol", "--task", "pool"], "did you mean 'random'?"),
        (["BM25", "--task", "pol"], "unknown folder or task 'pol' (did you mean 'pool'?)"),
    ],
)
def test_wrong_values_end_with_an_error_and_nothing_written(place, arguments, said, capsys):
    before = {path for path in place.rglob("*") if path.is_file()}
    assert main(["evaluate", *arguments]) == 1
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed
    assert {path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc"} == before


def test_a_folder_here_is_nearer_than_a_name_that_is_less_alike(place, capsys):
    (place / "randst").mkdir()
    assert main(["evaluate", "randts", "--task", "pool"]) == 1
    assert "unknown encoder 'randts' (did you mean 'randst'?)" in capsys.readouterr().err


def test_a_function_that_raises_is_told_once_with_its_file_and_line(place, capsys):
    assert main(["evaluate", "--encoder", "given_functions:boom", "--task", "pool", "--prompts", "ask ", "tell "]) == 1
    printed = capsys.readouterr()
    line = FUNCTIONS[: FUNCTIONS.index("return np.eye")].count("\n") + 1
    assert re.search(rf"StopIteration:  \(/.*/given_functions\.py, line {line}\)\.\n$", printed.err)  # as it was imported first
    assert (printed.out + printed.err).count("StopIteration") == 1
    both = ["--encoder", "a=given_functions:boom", "--encoder", "b=given_functions:boom"]
    assert main(["evaluate", *both, "--task", "pool"]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("StopIteration") == 2 and "Why each was left out stands above" in printed.err


def test_a_module_that_fails_is_told_with_its_line(place, capsys):
    (place / "failing_module.py").write_text("import json\n\n1 / 0\n")
    assert main(["evaluate", "--encoder", "failing_module:encode", "--task", "pool"]) == 1
    assert f"ZeroDivisionError: division by zero ({place / 'failing_module.py'}, line 3)." in capsys.readouterr().err


@pytest.mark.parametrize("prompts", [["a"], []])
def test_another_number_of_prompts_is_a_wrong_call(place, prompts, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "BM25", "--task", "pool", "--prompts", *prompts])
    assert ended.value.code == 2 and "argument --prompts: expected 2 arguments" in capsys.readouterr().err


def test_an_encoder_that_fails_stops_no_other(place, capsys):
    functions = ["--encoder", "broken=given_functions:no_numbers", "--encoder", "given_functions:by_number"]
    assert main(["evaluate", "BM25", *functions, "--task", "pool", "--output", "found"]) == 1
    printed = capsys.readouterr().out
    assert "left out broken: encoder no_numbers: the vector of" in printed
    table, record = pd.read_csv("found/evaluation.csv"), json.loads(Path("found/evaluation.json").read_text())
    assert set(table["encoder"]) == {"BM25", "given_functions:by_number"} and "is not finite" in record["left out"]["broken"]


def random_on(languages, name="xquad-r") -> TaskResult:
    """Of made-up texts under a public set's name."""
    texts = pd.DataFrame([(f"{code}{n}", f"q{n}", code, f"t {n}") for code in languages for n in range(3)])
    texts.columns = ["id", "group", "language", "text"]
    pairs = texts.merge(texts, on="group", suffixes=("_q", "_c"))[["id_q", "id_c"]].set_axis(["query", "candidate"], axis=1)
    task = RetrievalTask("XQuAD-R", texts, texts, pairs)
    return TaskResult(name, task, {"random": hy.evaluate("random", task)})


def test_published_values_stand_beside_a_whole_public_set_alone(place):
    rows = random_on(XQUAD_R_LANGUAGES).published
    assert rows.loc[("mBERT X-Y", "published, LAReQA README"), "Mul. mAP"] == 0.66
    paper = rows.loc[("XLM-R hybrid", "published, the paper")]
    assert paper["Mul. mAP"].round(3) == 0.593 and paper["rank distance"].round() == 287
    assert random_on(["de", "en"]).published.empty and random_on(XQUAD_R_LANGUAGES, "pool").published.empty


def test_the_tests_of_a_single_encoder_have_columns_and_no_rows(place):
    random = TaskResult("pool", task := hy.read_task("pool"), {"random": hy.evaluate("random", task)}, {"random": 0.0})
    write_results(place, [random], {"command": "made up"})
    tests = pd.read_csv(place / "evaluation_tests.csv")
    assert tests.empty and list(tests)[:3] == ["task", "setting", "strategy"] and "p_holm" in tests


def test_a_page_holds_the_published_values(place, real_data):
    """Its record tells the set's files, so they must be there."""
    write_results(place, [random_on(XQUAD_R_LANGUAGES)], {"command": "made up"})
    assert "| mBERT X-Y | published, LAReQA README |" in (place / "evaluation.md").read_text()
    assert "published, the paper" in set(pd.read_csv(place / "evaluation.csv")["vectors"])


def test_folders_of_different_calls_differ_and_those_of_the_same_do_not():
    assert default_folder("a", "evaluate a --task x") != default_folder("a", "evaluate a --task y")
    assert default_folder("st:/models/me5", "c") == default_folder("st:/models/me5", "c")


@pytest.mark.parametrize("record", sorted((ROOT / "data" / "results").glob(f"*/{NAME}.json")), ids=lambda path: path.parent.name)
def test_a_committed_leaderboard_is_the_one_its_record_tells(record):
    said, folder = json.loads(record.read_text(encoding="utf-8")), record.parent
    assert said["sha256"] == {path.name: file_fingerprint(path) for path in folder.glob("*.csv")} and said["left out"] == {}
    table, page = pd.read_csv(folder / f"{NAME}.csv"), (folder / f"{NAME}.md").read_text(encoding="utf-8")
    assert said["command"] in page and set(said["tasks"]) == set(table["task"])
    for _, row in table.iterrows():
        (part,) = [part for part in page.split("\n## ")[1:] if re.match(rf"(.* \()?{re.escape(row['task'])}\)?:", part)]
        cells = re.search(rf"^\| {re.escape(row['encoder'])} \| {re.escape(row['vectors'])} \|.*$", part, flags=re.M)
        assert cells and all(f"{row[c]:.3f}" in cells[0] for c in COLUMNS if c.endswith("mAP") and c in row and pd.notna(row[c]))


BOARD = ROOT / "data" / "results" / "leaderboard"


def board_rows(folder: Path) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Task -> the rows (encoder, vectors) of a leaderboard, measured here and published."""
    rows = pd.read_csv(folder / f"{NAME}.csv").set_index(["encoder", "vectors"])
    ours = rows.index.get_level_values("vectors").isin([PLAIN, CENTRED])
    of_task = {task: part.drop(columns="task").dropna(axis=1, how="all") for task, part in rows[ours].groupby("task", sort=False)}
    published = rows[~ours].dropna(axis=1, how="all")
    return {task: (own, published[published["task"] == task].drop(columns="task")) for task, own in of_task.items()}


def page_again(folder: Path) -> str:
    """The page that the writer makes of a leaderboard's tables and record; the numbers of texts in its headings are the page's own."""
    said, tests = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8")), pd.read_csv(folder / f"{NAME}_tests.csv")
    titles, parts = re.findall("^## (.*)$", (folder / f"{NAME}.md").read_text(encoding="utf-8"), flags=re.M), []
    for title, (task, (own, published)) in zip(titles, board_rows(folder).items(), strict=True):
        about = said["tasks"][task]
        assert title.startswith(about["name"]) and title.endswith(f" languages {' '.join(about['languages'])}")
        shown = pd.concat([marked(own, tests[tests["task"] == task].drop(columns="task")), as_text(published)]).fillna("")
        parts.append((title, shown, about["notes"]))
    return page(said["command"], LEGEND, parts, NAME)


def in_figure(path: Path) -> tuple[np.ndarray, list[str]]:
    """Where the dots of a figure stand, and its words."""
    svg = path.read_text(encoding="utf-8")
    return np.array(re.findall(r'<use xlink:href="#[^"]*" x="([-\d.]+)" y="([-\d.]+)"', svg), float), re.findall("<!-- (.*?) -->", svg)


def check_figure(folder: Path, again: Path) -> None:
    """The figure is the one that the writer draws of the table, to a hundredth of a point."""
    figure = evaluation_figure({task: own for task, (own, _) in board_rows(folder).items()})
    drawn, there = in_figure(save_figure(figure, again, NAME, "drawn again")["svg"]), in_figure(folder / f"{NAME}.svg")
    np.testing.assert_allclose(drawn[0], there[0], atol=0.01)
    assert drawn[1] == there[1] and len(drawn[0]) > 8


def test_page_and_figure_are_what_is_made_of_the_tables_and_tell_when_they_are_not(place, real_data, tmp_path):
    xquad, board = random_on(XQUAD_R_LANGUAGES), place / "board"
    board.mkdir()
    xquad.of_encoder["BM25"] = hy.evaluate("BM25", xquad.task)
    pool = TaskResult("pool", task := hy.read_task("pool"), {"random": hy.evaluate("random", task), "number": hy.evaluate(by_number, task)})
    write_results(board, [xquad, pool], {"command": "made up"})
    assert page_again(board) == (board / f"{NAME}.md").read_text(encoding="utf-8")
    check_figure(board, tmp_path)
    table = pd.read_csv(board / f"{NAME}.csv")
    table.assign(**{"Mul. mAP": table["Mul. mAP"] * 0.9}).to_csv(board / f"{NAME}.csv", index=False)
    assert page_again(board) != (board / f"{NAME}.md").read_text(encoding="utf-8")
    with pytest.raises(AssertionError):
        check_figure(board, tmp_path)


def test_the_committed_leaderboards_page_is_what_is_made_of_its_tables():
    assert page_again(BOARD) == (BOARD / f"{NAME}.md").read_text(encoding="utf-8")


def test_the_committed_leaderboards_figure_is_what_is_made_of_its_table(tmp_path):
    check_figure(BOARD, tmp_path)


def test_the_committed_leaderboard_holds_the_suites_own_encoders():
    encoders = json.loads((BOARD / f"{NAME}.json").read_text(encoding="utf-8"))["encoders"]
    of_suite = {kind: [name for name, each in encoders.items() if f"/{kind}/" in each.get("place", "")] for kind in ("bases", "encoders")}
    assert {"BM25", "me5-small-4bit", "mUSE"} <= set(encoders) and all(of_suite.values())
    for own, _ in board_rows(BOARD).values():
        assert list(own.index.unique("encoder")) == list(encoders)


def test_the_leaderboards_command_names_the_suites_own_encoders():
    (command,) = re.findall(r"^    (python -m hybridir_utils evaluate .*)$", (BOARD.parent / "README.md").read_text(encoding="utf-8"), re.M)
    models = _parser().parse_args(shlex.split(command)[3:]).models
    folders = dict(model.split("=", 1) for model in models if "=" in model)
    assert {"BM25", "me5-small-4bit"} <= set(models) and "mUSE=data.results.leaderboard.muse:encode" in command
    assert {name: "/bases/" in place for name, place in folders.items() if place.startswith("$(first data/runs/sample/")} == {
        "aligned": True,
        "unaligned": True,
        "aligned-X-Y": False,
        "aligned-hybrid": False,
    }
