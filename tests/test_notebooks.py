"""The form every notebook keeps, read from the folder, so that a new notebook is held to it as well (no cell is executed here)."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import nbformat
import pytest
from notebook_guard import ABSOLUTE, ACTIVE, MAX_BYTES, RULES, Notebook, problems

from hybridir_utils.base import files
from hybridir_utils.experiment.profile import Profile
from hybridir_utils.provenance import fingerprints
from hybridir_utils.results import figures
from hybridir_utils.results.show import STYLE
from hybridir_utils.suite.records import PARAMETERS, parameter_names
from hybridir_utils.suite.running import notebooks

NOTEBOOKS = sorted(files.NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def cells(path: Path, kind: str = "") -> list:
    return Notebook(path).cells(kind)


def parameters(path: Path):
    (cell,) = Notebook(path).parameters
    return cell


@pytest.mark.parametrize("rule", RULES)
def test_keeps_every_rule_of_the_guard(path, rule):
    assert list(RULES[rule](Notebook(path))) == [], "where JupyterLab saved into the file: git restore notebooks"


def test_is_valid_and_part_of_the_suite(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path in notebooks(), "named NN_words.ipynb, else `python -m hybridir_utils run` leaves it out"


def test_the_next_notebook_it_names_is_there(path):
    named = re.findall(r"`(\d\d_\w+)`", cells(path, "markdown")[-1]["source"])
    assert all((files.NOTEBOOKS / f"{name}.ipynb").is_file() for name in named)


def test_parameters_are_the_profiles_own_until_someone_changes_them(path):
    names = parameter_names(path)
    assert names[0] == "profile" and len(set(names)) == len(names) and set(names[1:]) <= set(Profile.model_fields)
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(parameters(path)["source"]).body}
    assert values == {"profile": "sample", **dict.fromkeys(names[1:])}


def test_every_parameter_reaches_the_run(path):
    (call,) = [
        node
        for cell in cells(path, "code")
        for node in ast.walk(ast.parse(cell["source"]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "notebook.start"
    ]
    handed = [argument.id for argument in call.args] + [keyword.arg for keyword in call.keywords]
    assert handed == parameter_names(path)
    assert all(keyword.arg == ast.unparse(keyword.value) for keyword in call.keywords)


def test_imports_stand_in_one_cell_in_a_form_the_suite_follows(path):
    modules = {f"hybridir_utils.{name}" for name in fingerprints.modules()}
    importing = [cell for cell in cells(path, "code") if re.search(r"^\s*(import|from) ", cell["source"], flags=re.M)]
    assert len(importing) == 1
    for node in ast.walk(ast.parse(importing[0]["source"])):
        assert not (isinstance(node, ast.Import) and "hybridir_utils" in ast.unparse(node)), "use `from hybridir_utils.room import x`"
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hybridir_utils"):
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            assert node.module in modules or named <= modules


def test_names_of_the_package_that_it_calls_exist(path):
    """Imported names, and attributes of imported modules such as `tables.score_table`, without running the cells."""
    nodes = [node for cell in cells(path, "code") for node in ast.walk(ast.parse(cell["source"]))]
    imported = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hybridir_utils."):
            for name, bound in [(alias.name, alias.asname or alias.name) for alias in node.names]:
                room = importlib.import_module(node.module)
                imported[bound] = getattr(room, name) if hasattr(room, name) else importlib.import_module(f"{node.module}.{name}")
    for node in nodes:
        if isinstance(node, ast.Attribute) and inspect.ismodule(module := imported.get(ast.unparse(node.value))):
            assert hasattr(module, node.attr), ast.unparse(node)


def test_figures_it_shows_are_registered_under_its_number(path):
    shown = re.findall(r'show_figure\(run, "(\w+)"\)', "\n".join(cell["source"] for cell in cells(path, "code")))
    assert set(shown) <= set(figures.FIGURES)
    assert set(shown) == {name for name in figures.FIGURES if name[:2] == path.stem[:2]}, "a registered figure is not shown"


def test_tables_its_figures_take_are_kept_before(path):
    kept = set()
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell["source"])):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "notebook.save":
                kept |= {keyword.arg for keyword in node.keywords}
        for name in re.findall(r'show_figure\(run, "(\w+)"\)', cell["source"]):
            assert set(figures.FIGURES[name].tables) <= kept, f"{name} takes a table that no cell above saves"


# The guard itself, on notebooks made up to break it


TABLE = "| | |\n|---|---|\n| **Inputs** | a |\n| **Outputs** | b |\n| **Cost** | c |"


def sound() -> nbformat.NotebookNode:
    """A notebook that keeps every rule, with outputs of all kinds."""
    v4 = nbformat.v4
    html = f'<details><table class="{STYLE}"><tr><th scope="row">a</th></tr></table></details><style scoped>th {{color: red}}</style>'
    outputs = [v4.new_output("stream", text="one"), v4.new_output("execute_result", {"text/html": html}, execution_count=2)]
    picture = v4.new_output("display_data", {"image/png": "AA=="}, metadata={"image/png": {"alt": "A dot."}})
    said = v4.new_output("execute_result", {"text/markdown": "- a\n\n<details>\n\n- b\n\n</details>"}, execution_count=3)
    written = v4.new_notebook(cells=[
        v4.new_markdown_cell("# 01 · A title\n\nWhat it shows,\nin two lines."),
        v4.new_markdown_cell(f"<details><summary>What</summary>\n\n{TABLE}\n\n</details>"),
        v4.new_code_cell('profile = "sample"  # a profile\nseeds = [1, 2]  # numbers', metadata={"tags": [PARAMETERS]}, execution_count=1),
        v4.new_code_cell("print(1)\nx = 1; y = 2", outputs=outputs, execution_count=2),
        v4.new_markdown_cell("## What we see"),
        v4.new_code_cell('notebook.say("a")', outputs=[said], execution_count=3),
        v4.new_code_cell('notebook.show_figure(run, "01_a")', outputs=[picture], execution_count=4),
        v4.new_markdown_cell("**Next:** nothing."),
    ])  # fmt: skip
    written.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return written


def broken(change, folder: Path) -> list[str]:
    """What the guard says of the sound notebook after a change."""
    book = sound()
    change(book)
    path = folder / "01_made_up.ipynb"
    path.write_text(json.dumps(book), encoding="utf-8")  # nbformat would repair some faults
    return problems(path)


def shown(place: int = 6, **data: str):
    """A change: another output of these kinds."""
    kinds = {kind.replace("_", "/", 1).replace("svg_xml", "svg+xml"): text for kind, text in data.items()}
    return lambda book: book.cells[place].outputs.append(nbformat.v4.new_output("display_data", kinds))


def output(kind: str, **values):
    """A change: another output that is no picture or table."""
    return lambda book: book.cells[6].outputs.append(nbformat.v4.new_output(kind, **values))


def told(place: int, number: int, kind: str, text: str):
    """A change: what a cell's output says."""
    return lambda book: book.cells[place].outputs[number].update(data={kind: text})


def longer(book) -> None:
    """A change: more cells, above the last."""
    book.cells[-1:-1] = [nbformat.v4.new_markdown_cell("more") for _ in range(29)]


def source(place: int, text: str, instead: bool = False):
    """A change: text after a cell's own, or in place of it."""
    return lambda book: book.cells[place].update(source=text if instead else book.cells[place].source + text)


FAULTS = {
    "no parameters cell": ("parameters", lambda book: book.cells[2].metadata.clear()),
    "two parameters cells": ("parameters", lambda book: book.cells[3].metadata.update(tags=[PARAMETERS])),
    "parameters further down": ("parameters", lambda book: book.cells.insert(2, nbformat.v4.new_markdown_cell("x"))),
    "a parameter that is computed": ("parameters", source(2, "\nsteps = 2 * 3  # of training")),
    "a parameter without a type": ("parameters", source(2, "\nsteps = None  # of training")),
    "a list of lists": ("parameters", source(2, "\nsteps = [[1]]  # of training")),
    "a parameter without a comment": ("parameters", source(2, "\nsteps = 3")),
    "two names in one line": ("parameters", source(2, "\na = b = 3  # both")),
    "a call among the parameters": ("parameters", source(2, "\nprint(1)  # told")),
    "an empty parameters cell": ("parameters", source(2, "# nothing", instead=True)),
    "a title of another number": ("sections", source(0, "# 02 · A title\na\nb", instead=True)),
    "a title alone": ("sections", source(0, "# 01 · A title", instead=True)),
    "no cost": ("sections", source(1, "| **Inputs** | **Outputs** |", instead=True)),
    "an open table": ("sections", source(1, TABLE, instead=True)),
    "a cell without output": ("content", lambda book: book.cells.insert(7, nbformat.v4.new_code_cell("1", execution_count=5))),
    "nothing seen": ("answer", source(4, "## Seen", instead=True)),
    "nothing next": ("sections", source(7, "The end.", instead=True)),
    "code at the end": ("sections", lambda book: book.cells.append(nbformat.v4.new_code_cell("1", execution_count=5))),
    "another question first": ("answer", lambda book: book.cells.insert(4, nbformat.v4.new_markdown_cell("## Another?"))),
    "no findings": ("answer", source(5, "x + y", instead=True)),
    "a first finding of many words": ("answer", told(5, 0, "text/markdown", f"- {'a' * 241}")),
    "six findings": ("answer", told(5, 0, "text/markdown", "- a\n" * 6)),
    "findings folded": ("answer", told(5, 0, "text/markdown", "<details>\n- a\n</details>")),
    "another main cell": ("answer", source(6, "x + y", instead=True)),
    "no main figure": ("answer", lambda book: book.cells[6].update(outputs=[])),
    "a table first": ("answer", told(3, 1, "text/html", f'<table class="{STYLE}">')),
    "a table as pandas shows it": ("style", shown(text_html='<table class="dataframe">')),
    "a table of another look": ("style", told(3, 1, "text/html", "<details><table></table></details>")),
    "a long table": ("style", shown(text_html="<table>" + "<tr></tr>" * 17)),
    "an absence": ("style", lambda book: book.cells[3].outputs.clear() or shown(text_markdown="- This run has no task.", place=3)(book)),
    "a function": ("cells", source(6, "\ndef f():\n    pass")),
    "a coroutine within": ("cells", source(6, "\nfor a in x:\n    async def f(): ...")),
    "a class": ("cells", source(6, "\nclass A: ...")),
    "a semicolon at the end": ("cells", source(6, ";")),
    "a semicolon before the last line": ("cells", source(6, ";  \n1")),
    "a long cell": ("cells", source(6, "\n1" * 12)),
    "a groupby": ("calls", source(6, '\nx.groupby("a").mean()')),
    "a query": ("calls", source(6, '\nx.query("a > 1")')),
    "a filter": ("calls", source(6, '\nx[x["a"] > 1]')),
    "a filter by a list": ("calls", source(6, '\nx[~x["a"].isin(y)]')),
    "a filter in a list": ("calls", source(6, "\n[a for a in x if a]")),
    "a choice of what to show": ("calls", source(6, "\nx if len(x) else y")),
    "a branch": ("calls", source(6, "\nif x:\n    y")),
    "many imports": ("calls", source(6, "".join(f"\nimport a{n}" for n in range(9)))),
    "an empty cell": ("cells", source(3, "", instead=True)),
    "many cells": ("cells", longer),
    "a strategy that a profile may lack": ("profiles", source(6, '\ndrawn["hybrid"]')),
    "a strategy in a comparison": ("profiles", source(6, '\nkey.strategy == "X-Y"')),
    "a base that a profile may lack": ("profiles", source(6, '\nbases["aligned"]')),
    "a place in the code": ("places", source(6, '\nopen("/home/me/x")')),
    "a place in the text": ("places", source(4, " in C:\\data")),
    "a place in an output": ("places", shown(text_plain="'/tmp/x'")),
    "a place in printed text": ("places", lambda book: book.cells[3].outputs[0].update(text="saved to /work/x")),
    "metadata of papermill": ("metadata", lambda book: book.metadata.update(papermill={"duration": 1})),
    "the version of Python": ("metadata", lambda book: book.metadata.language_info.update(version="3.11.7")),
    "another kernel": ("metadata", lambda book: book.metadata.kernelspec.update(name="mine")),
    "times of a cell": ("metadata", lambda book: book.cells[3].metadata.update(execution={"iopub.execute_input": "2026"})),
    "two cells of one id": ("metadata", lambda book: book.cells[3].update(id=book.cells[6].id)),
    "a cell run again": ("order", lambda book: book.cells[6].update(execution_count=6)),
    "a cell not run": ("order", lambda book: book.cells[6].update(execution_count=None)),
    "counts without outputs": ("order", lambda book: [cell.update(outputs=[]) for cell in book.cells if "outputs" in cell]),
    "an output of an earlier run": ("order", lambda book: book.cells[3].outputs[1].update(execution_count=1)),
    "an error": ("results", output("error", ename="E", evalue="e", traceback=[])),
    "a warning": ("results", output("stream", name="stderr", text="w")),
    "a widget": ("results", shown(**{"application_vnd.jupyter.widget-view+json": {"model_id": "1"}})),
    "a picture without text": ("results", lambda book: book.cells[6].outputs[0].metadata.clear()),
    "a script": ("results", shown(text_html="<div><SCRIPT>1</SCRIPT></div>")),
    "JavaScript": ("results", shown(application_javascript="1")),
    "an event": ("results", shown(text_html="<p onclick = 'x()'>a</p>")),
    "a style of the web": ("results", shown(text_html="<link rel='stylesheet' href='x.css'>")),
    "a picture of the web": ("results", shown(text_html='<img src="https://a.org/x.png">')),
    "a script in Markdown": ("results", shown(text_markdown="<script>1</script>")),
    "a large output": ("size", lambda book: book.cells[3].outputs[0].update(text="x" * MAX_BYTES)),
}  # fmt: skip


def test_the_guard_finds_nothing_in_a_sound_notebook(tmp_path):
    assert broken(lambda book: None, tmp_path) == []


def test_the_guard_takes_a_value_that_is_the_profiles(tmp_path):
    assert broken(source(2, "\nsteps = None  # of training; None: the profile's"), tmp_path) == []


def test_the_guard_takes_a_notebook_that_was_not_run(tmp_path):
    def emptied(book) -> None:
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)

    assert broken(emptied, tmp_path) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_guard_finds_every_fault_and_nothing_else(fault, tmp_path):
    rule, change = FAULTS[fault]
    found = broken(change, tmp_path)
    assert found and {problem.split(":")[0] for problem in found} == {rule}, found


def test_every_rule_of_the_guard_is_seen_to_fail():
    assert {rule for rule, _ in FAULTS.values()} == set(RULES)


@pytest.mark.parametrize(
    "text", ["<p style='x'>on = 1</p>", "a href", "<table border='1' class='dataframe'>", "<b>javascript</b> <i>script</i>"]
)
def test_tables_and_texts_do_not_count_as_acting(text):
    assert not ACTIVE.search(text)


@pytest.mark.parametrize("text", ["see /home/me/x", "'/tmp/a'", "C:\\Users", "(/opt/x)", "file:///root/x"])
def test_the_pattern_finds_places_of_a_machine(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["data/work/x", "</tmp>", "1/var", "../home/x", "https://a.org/home/x", "a 1:\\n"])
def test_the_pattern_leaves_other_slashes_alone(text):
    assert not ABSOLUTE.search(text)
