"""Which of the package's code a notebook or an artefact uses, definition by definition."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from hybridir_utils.base import code_use, fingerprints
from hybridir_utils.base.code_use import ALL, PACKAGE, modules, package_imports, source_of, used_code, used_places
from hybridir_utils.base.fingerprints import code_fingerprint
from hybridir_utils.operate.parts import code_cells, parts_of
from hybridir_utils.operate.suite import notebooks
from hybridir_utils.show.figures import FIGURES
from hybridir_utils.steps.session import open_run

QUIET = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.AugAssign
ROOMS = ["base", "tasks", "rank", "data", "translate", "train", "steps", "show", "operate"]


def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules().values()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Edit a made-up package: `package(module, old, new)` gives the fingerprint of `top` after it."""
    sources = {
        "top": '"""Top."""\nfrom .middle import number\n\ndef top():\n    """Doc."""\n    return number() + 1  # one more\n',
        "middle": "def number():\n    from . import low\n    return low.VALUE\n\ndef unused():\n    return number() + 2\n",
        "low": "from math import floor, inf\nVALUE: int = floor(1)\nLIMIT = 7\nPAIR = LEFT, RIGHT = 1, LIMIT\n",
        "other": "VALUE = 2\n",
        "room/above": (
            "from ..top import top as roof\nfrom . import beside\nfrom .. import other\n\n"
            "class Above(beside.Base):\n    def go(self):\n        return roof() + other.VALUE\n"
        ),
        "room/beside": (
            "from ..room.below import value\nfrom .. import low\n\nclass Base:\n    size = value\n\ndef whole():\n    return dir(low)\n"
        ),
        "room/below": "value = 1\nvalue += 1\n",
    }
    (tmp_path / "room").mkdir()
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(code_use, "PACKAGE", tmp_path)
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path)

    def forget() -> None:
        for kept in (code_fingerprint, code_use._read, code_use._modules_below):
            kept.cache_clear()

    def edit(name: str, old: str, new: str) -> str:
        text = (tmp_path / f"{name}.py").read_text()
        assert old in text
        (tmp_path / f"{name}.py").write_text(text.replace(old, new))
        forget()
        return code_fingerprint("top")

    forget()
    yield edit
    forget()


def used(module: str, name: str = ALL) -> set[str]:
    return {f"{path.stem}.{definition}" for path, found in used_code([(module, name)]).items() for definition in found}


def test_names_are_followed_through_imports_to_their_definitions(package):
    assert used("top") == {"top.top", "middle.number", "low.VALUE"}
    assert used("above", "Above") == used("top") | {"above.Above", "beside.Base", "below.value", "other.VALUE"}, (
        "through rooms, in every form"
    )
    assert used("low", "RIGHT") == {"low.RIGHT", "low.LIMIT", "low.LEFT", "low.PAIR"}, "a statement with all the names it binds"


def test_a_module_that_is_handed_on_counts_as_a_whole(package):
    assert used("beside", "whole") == {"beside.whole", "low.VALUE", "low.LIMIT", "low.PAIR", "low.LEFT", "low.RIGHT"}


def test_a_name_that_a_module_imports_is_what_it_was_imported_from(package):
    assert used("above", "roof") == used("top")
    assert used("top", "no such name") == used("top"), "where it is not known, all of the module counts"


def test_cells_use_what_their_names_stand_for(package, monkeypatch):
    monkeypatch.setattr(code_use, "PACKAGE", code_use.PACKAGE.rename(code_use.PACKAGE.with_name("hybridir_utils")))
    cell = ast.parse("from hybridir_utils import other\nfrom hybridir_utils.room import above as over\nover.Above().go(x)")
    assert used_places([cell], package_imports(cell)) == {("above", "Above")}, "other is imported, and not used"


@pytest.mark.parametrize(
    ("old", "new"), [("  # one more", ""), ('"""Doc."""', '"""Another."""'), ('"""Top."""', '"""T."""'), ("\n\ndef", "\n\n\n\ndef")]
)
def test_prose_and_layout_do_not_change_the_fingerprint_of_code(package, old, new):
    before = code_fingerprint("top")
    assert package("top", old, new) == before


@pytest.mark.parametrize(
    ("module", "old", "new"), [("top", "+ 1", "+ 2"), ("middle", "low.VALUE", "-low.VALUE"), ("low", "floor(1)", "floor(3)")]
)
def test_code_does_also_in_what_it_imports(package, module, old, new):
    before = code_fingerprint("top")
    assert package(module, old, new) != before


@pytest.mark.parametrize("other", ["from numpy import floor\nfrom math import inf", "from math import ceil as floor, inf"])
def test_another_function_of_the_same_name_does_too(package, other):
    before = code_fingerprint("top")
    assert package("low", "from math import floor, inf", other) != before


@pytest.mark.parametrize(
    ("module", "old", "new"), [("other", "= 2", "= 9"), ("low", "= 7", "= 8"), ("low", ", inf", ""), ("middle", "+ 2", "+ 3")]
)
def test_code_that_is_not_reached_does_not(package, module, old, new):
    before = code_fingerprint("top")
    assert package(module, old, new) == before


def test_an_edited_plot_concerns_the_notebooks_that_show_it_and_no_other():
    profile = open_run("sample").profile
    code = {path.stem[:2]: parts_of(path, profile, {})["code"] for path in notebooks()}
    for module in {recipe.place[0] for recipe in FIGURES.values()}:
        shown = {name[:2] for name, recipe in FIGURES.items() if recipe.place[0] == module}
        assert {number for number, files in code.items() if f"hybridir_utils/show/{module}.py" in files} == shown


def test_a_notebook_counts_the_files_it_uses_and_no_more():
    """A stranger's sample of both: what trains counts from notebook 02 on, a study's tables for the study, the operator's rooms never."""
    profile = open_run("sample").profile
    code = {path.stem[:2]: {Path(file).stem for file in parts_of(path, profile, {})["code"]} for path in notebooks()}
    where = {name: "".join(number[1] for number, files in sorted(code.items()) if name in files) for name in modules()}
    expected = {"plan_trainer": "23456789", "bias": "3456789", "many_tables": "8", "claims": "9", "translation_quality": "1", "mixing": "5"}
    assert {name: where[name] for name in expected} == expected
    assert not any(where[name] for name in ("suite", "plan", "sweep", "report", "whence", "__main__"))


def test_a_module_name_stands_in_one_room_only():
    files = [path for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    assert len(files) == len(modules())


def test_imports_between_rooms_go_one_way():
    """A room takes from those before it in this order, never from one behind."""
    assert {path.parent.name for path in modules().values()} == {*ROOMS, PACKAGE.name}
    for path, tree in trees().items():
        if path.parent != PACKAGE:
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
                    room = node.module.split(".")[0]
                    assert ROOMS.index(room) < ROOMS.index(path.parent.name), f"{path.parent.name}/{path.name} imports from {room}"


def test_the_package_imports_itself_only_in_the_form_that_is_followed():
    for path, tree in trees().items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            assert not any(name.startswith("hybridir_utils") for name in names), f"{path.name}: import modules of the package as `from .x`"
            if isinstance(node, ast.Name) and node.id in ("import_module", "__import__"):
                assert path.stem == "figures", f"{path.name}: a module found by a name in a text is not followed"


def test_no_module_does_anything_by_being_imported():
    """Else what it does would count for nobody."""
    for path, tree in trees().items():
        for node in tree.body[1:]:
            quiet = isinstance(node, QUIET)
            guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
            assert quiet or guard, f"{path.name}, line {node.lineno}: {ast.unparse(node)}"


def test_every_name_that_notebooks_take_from_the_package_is_there():
    for path in notebooks():
        found = [ast.parse(cell) for cell in code_cells(path)]
        names = {name: place for tree in found for name, place in package_imports(tree).items()}
        for module, name in used_places(found, names):
            assert name == ALL or name in source_of(module).meanings or name in source_of(module).imports, f"{path.stem}: {module}.{name}"


def test_every_name_that_a_module_takes_from_another_is_there():
    """Also where it is imported only when it is called for."""
    for name in modules():
        for bound, (module, taken) in source_of(name).imports.items():
            source = source_of(module)
            assert taken == ALL or taken in source.meanings or taken in source.imports, f"{name}: no {module}.{taken} ({bound})"
