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

from hybridir_utils.base import fingerprints, places
from hybridir_utils.operate.parts import PARAMETERS, parameter_names
from hybridir_utils.operate.suite import notebooks
from hybridir_utils.show import figures
from hybridir_utils.steps.profiles import Profile, load_profile

NOTEBOOKS = sorted(places.NOTEBOOKS.glob("*.ipynb"))
ABSOLUTE = re.compile(r"(?:(?<=://)|(?<![\w<./-]))/(?:home|root|tmp|work|Users|mnt|opt|var)\b|(?<![A-Za-z])[A-Z]:\\")
MAX_CODE_LINES, MAX_CELLS, MAX_BYTES = 20, 35, 1_500_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def cells(path: Path, kind: str = "") -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if kind in ("", cell["cell_type"])]


def parameters(path: Path):
    (cell,) = [cell for cell in cells(path) if PARAMETERS in cell["metadata"].get("tags", [])]
    return cell


def outputs(path: Path) -> list:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def texts_of(output) -> list[str]:
    """What of an output can be read: streams, and data that are no image."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    return [output.get("text", ""), *(value if isinstance(value, str) else json.dumps(value) for value in data.values())]


def test_is_valid_part_of_the_suite_and_small(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path in notebooks(), "named NN_words.ipynb, else `python -m hybridir_utils run` leaves it out"
    assert path.stat().st_size <= MAX_BYTES
    assert len(cells(path)) <= MAX_CELLS


def test_opens_with_title_and_table_and_ends_with_what_we_see_and_next(path):
    markdown = [cell["source"] for cell in cells(path, "markdown")]
    title, *shows = markdown[0].splitlines()
    assert re.match(rf"# {path.stem[:2]} · \w", title) and len([line for line in shows if line.strip()]) >= 2
    assert all(f"| **{word}** |" in markdown[1] for word in ("Inputs", "Outputs", "Cost"))
    assert cells(path)[2] == parameters(path), "the parameters follow the table"
    assert any(text.startswith("## What we see") for text in markdown)
    assert markdown[-1].startswith("**Next:**") and cells(path)[-1]["cell_type"] == "markdown"


def test_the_next_notebook_it_names_is_there(path):
    named = re.findall(r"`(\d\d_\w+)`", cells(path, "markdown")[-1]["source"])
    assert all((places.NOTEBOOKS / f"{name}.ipynb").is_file() for name in named)


def test_one_parameters_cell_of_commented_literals(path):
    source = parameters(path)["source"]
    tree = ast.parse(source)
    assert tree.body and all(isinstance(node, ast.Assign) and len(node.targets) == 1 for node in tree.body)
    for node in tree.body:
        ast.literal_eval(node.value)
        lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
        assert any(re.search(r"  # \w", line) for line in lines), f"{lines[0]}: no comment"


def test_parameters_are_the_profiles_with_the_samples_values(path):
    sample = load_profile("sample").model_dump()
    names = parameter_names(path)
    assert names[0] == "profile" and len(set(names)) == len(names)
    for node in ast.parse(parameters(path)["source"]).body:
        name, value = node.targets[0].id, ast.literal_eval(node.value)
        if name == "profile":
            assert value == "sample"
            continue
        assert name in Profile.model_fields
        value = tuple(value) if isinstance(value, list) else value
        assert value == sample[name] and type(value) is type(sample[name]), f"{name}: the sample profile has {sample[name]!r}"


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


def test_cells_are_short_plain_python_without_definitions(path):
    for number, cell in enumerate(cells(path, "code"), 1):
        lines = cell["source"].splitlines()
        assert lines and len(lines) <= MAX_CODE_LINES, f"code cell {number}: {len(lines)} lines"
        assert not any(line.rstrip().endswith(";") for line in lines), f"code cell {number}: a line ends with ;"
        for node in ast.walk(ast.parse(cell["source"])):
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)), (
                f"code cell {number}: a definition belongs in the package"
            )


def test_imports_stand_in_one_cell_in_a_form_the_suite_follows(path):
    modules = {f"hybridir_utils.{file.parent.name}.{name}" for name, file in fingerprints.modules().items()}
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
            for name in [alias.name for alias in node.names]:
                room = importlib.import_module(node.module)
                imported[name] = getattr(room, name) if hasattr(room, name) else importlib.import_module(f"{node.module}.{name}")
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
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "notebook.keep":
                kept |= {keyword.arg for keyword in node.keywords}
        for name in re.findall(r'show_figure\(run, "(\w+)"\)', cell["source"]):
            assert set(figures.FIGURES[name].tables) <= kept, f"{name} takes a table that no cell above saves"


def test_no_place_of_one_machine_in_sources_or_outputs(path):
    for text in [*(cell["source"] for cell in cells(path)), *(text for output in outputs(path) for text in texts_of(output))]:
        assert not (found := ABSOLUTE.search(text)), text[max(0, found.start() - 40) : found.end() + 40]


def test_metadata_hold_nothing_that_changes_from_run_to_run(path):
    book = nbformat.read(path, as_version=4)
    assert set(book.metadata) <= {"kernelspec", "language_info"} and set(book.metadata.get("language_info", {})) <= {"name"}
    assert book.metadata["kernelspec"]["name"] == "python3"
    assert all(set(cell["metadata"]) <= {"tags"} for cell in book.cells)
    assert len({cell["id"] for cell in book.cells}) == len(book.cells)


def test_outputs_are_of_one_whole_run_without_errors(path):
    code = cells(path, "code")
    counts = [cell["execution_count"] for cell in code]
    if not outputs(path):
        assert counts == [None] * len(code), "execution counts without outputs"
        return
    assert counts == list(range(1, len(code) + 1)), (
        "outputs of a run from the first cell to the last: python -m hybridir_utils run --write-back"
    )
    for output in outputs(path):
        assert output["output_type"] != "error" and output.get("name") != "stderr"
        assert not any(kind.startswith("application/vnd.jupyter.widget") for kind in output.get("data", {})), (
            "a widget has no state on the web"
        )


def test_pictures_have_an_alternative_text(path):
    for output in outputs(path):
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                assert output["metadata"].get(kind, {}).get("alt"), "show figures with notebook.show_figure"


@pytest.mark.parametrize("text", ["see /home/me/x", "'/tmp/a'", "C:\\Users", "(/opt/x)", "file:///root/x"])
def test_the_pattern_finds_places_of_a_machine(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["data/work/x", "</tmp>", "1/var", "../home/x", "https://a.org/home/x", "a 1:\\n"])
def test_the_pattern_leaves_other_slashes_alone(text):
    assert not ABSOLUTE.search(text)
