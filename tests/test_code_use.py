"""Which of the package's code a notebook or an artefact uses, definition by definition."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from hybridir_utils.base.files import fingerprint
from hybridir_utils.experiment.run import open_run
from hybridir_utils.provenance import fingerprints
from hybridir_utils.provenance.fingerprints import (
    ALL,
    PACKAGE,
    module_fingerprints,
    modules,
    package_imports,
    source_of,
    used_code,
    used_places,
)
from hybridir_utils.results.figures import FIGURES
from hybridir_utils.suite import records
from hybridir_utils.suite.records import code_cells, parts_of
from hybridir_utils.suite.running import notebooks

QUIET = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.AugAssign
ROOMS = ["base", "provenance", "tasks", "encode", "rank", "data", "train", "experiment", "results", "studies", "suite"]


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
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path)
    monkeypatch.setattr(fingerprints, "PACKAGE", tmp_path)

    def forget() -> None:
        for kept in (fingerprints._read, fingerprints._modules_below):
            kept.cache_clear()

    def edit(name: str, old: str, new: str) -> str:
        text = (tmp_path / f"{name}.py").read_text()
        assert old in text
        (tmp_path / f"{name}.py").write_text(text.replace(old, new))
        forget()
        return top()

    forget()
    yield edit
    forget()


def top() -> str:
    return fingerprint(module_fingerprints(("top", ALL)))


def used(module: str, name: str = ALL) -> set[str]:
    return {f"{path.stem}.{definition}" for path, found in used_code([(module, name)]).items() for definition in found}


def test_names_are_followed_through_imports_to_their_definitions(package):
    assert used("top") == {"top.top", "middle.number", "low.VALUE"}
    assert used("room.above", "Above") == used("top") | {"above.Above", "beside.Base", "below.value", "other.VALUE"}, (
        "through rooms, in every form"
    )
    assert used("low", "RIGHT") == {"low.RIGHT", "low.LIMIT", "low.LEFT", "low.PAIR"}, "a statement with all the names it binds"


def test_a_module_that_is_handed_on_counts_as_a_whole(package):
    assert used("room.beside", "whole") == {"beside.whole", "low.VALUE", "low.LIMIT", "low.PAIR", "low.LEFT", "low.RIGHT"}


def test_a_name_that_a_module_imports_is_what_it_was_imported_from(package):
    assert used("room.above", "roof") == used("top")
    assert used("top", "no such name") == used("top"), "where it is not known, all of the module counts"


def test_cells_use_what_their_names_stand_for(package, monkeypatch):
    monkeypatch.setattr(fingerprints, "PACKAGE", fingerprints.PACKAGE.rename(fingerprints.PACKAGE.with_name("hybridir_utils")))
    cell = ast.parse("from hybridir_utils import other\nfrom hybridir_utils.room import above as over\nover.Above().go(x)")
    assert used_places([cell], package_imports(cell)) == {("room.above", "Above")}, "other is imported, and not used"


@pytest.mark.parametrize(
    ("old", "new"), [("  # one more", ""), ('"""Doc."""', '"""Another."""'), ('"""Top."""', '"""T."""'), ("\n\ndef", "\n\n\n\ndef")]
)
def test_prose_and_layout_do_not_change_the_fingerprint_of_code(package, old, new):
    before = top()
    assert package("top", old, new) == before


@pytest.mark.parametrize(
    ("module", "old", "new"), [("top", "+ 1", "+ 2"), ("middle", "low.VALUE", "-low.VALUE"), ("low", "floor(1)", "floor(3)")]
)
def test_code_does_also_in_what_it_imports(package, module, old, new):
    before = top()
    assert package(module, old, new) != before


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [("size: int = 3", "size: int = 3\n    more: str = LEFT", True), ("size * 2", "size * 4", False), ("9", "8", False)],
)
def test_one_more_key_of_a_profile_makes_nothing_old(package, monkeypatch, old, new, same):
    """Its values stand in recipes; what it does with them is code like any other."""
    source = "from low import LEFT\n\nclass Kept:\n    kind = 9\n    size: int = 3\n\n    def twice(self):\n        return self.size * 2\n"
    package("other", "VALUE = 2\n", source)
    package("top", "number() + 1", "number() + Kept().twice()")
    package("top", "from .middle import number", "from .middle import number\nfrom .other import Kept")
    assert used("top") >= {"other.Kept"}
    for values in (fingerprints.VALUES, ("other", "Kept")):
        monkeypatch.setattr(fingerprints, "VALUES", values)
        fingerprints._read.cache_clear()
        before = top()
        after = package("other", old, new)
        assert (after == before) is (same and values == ("other", "Kept"))
        package("other", new, old)


def test_bars_are_no_code_of_what_they_are_shown_beside(package, monkeypatch):
    monkeypatch.setattr(fingerprints, "SHOWN", "low")
    assert used("top") == {"top.top", "middle.number"}
    before = top()
    assert package("low", "floor(1)", "floor(3)") == before
    monkeypatch.undo()
    assert fingerprints.SHOWN in fingerprints.modules()


def test_the_class_of_values_is_there():
    module, name = fingerprints.VALUES
    assert name in fingerprints.source_of(module).meanings
    assert Path(fingerprints.modules()["train.methods"]) not in used_code([fingerprints.VALUES])


@pytest.mark.parametrize("other", ["from numpy import floor\nfrom math import inf", "from math import ceil as floor, inf"])
def test_another_function_of_the_same_name_does_too(package, other):
    before = top()
    assert package("low", "from math import floor, inf", other) != before


@pytest.mark.parametrize(
    ("module", "old", "new"), [("other", "= 2", "= 9"), ("low", "= 7", "= 8"), ("low", ", inf", ""), ("middle", "+ 2", "+ 3")]
)
def test_code_that_is_not_reached_does_not(package, module, old, new):
    before = top()
    assert package(module, old, new) == before


def test_an_edited_plot_concerns_the_notebooks_that_show_it_and_no_other():
    profile = open_run("sample").profile
    shown = {path.stem[:2]: used_by(path, profile) for path in notebooks()}
    for name, recipe in FIGURES.items():
        module, function = recipe.place
        there = {number for number, found in shown.items() if function in found.get(modules()[module], ())}
        others = {other[:2] for other, drawn in FIGURES.items() if recipe.place in reached(drawn.place)}
        assert name[:2] in there and there <= others, name


def used_by(notebook: Path, profile) -> dict[Path, dict[str, str]]:
    return used_code(records._used_places([ast.parse(cell) for cell in code_cells(notebook)]))


def reached(place) -> set[tuple[str, str]]:
    names = {path: name for name, path in modules().items()}
    return {(names[path], definition) for path, found in used_code([place]).items() for definition in found}


def test_a_notebook_counts_the_files_it_uses_and_no_more():
    """A stranger's sample of both: what trains counts from notebook 02 on, a study's tables for the study, the operator's rooms never."""
    profile = open_run("sample").profile
    code = {path.stem[:2]: set(parts_of(path, profile, {})["code"]) for path in notebooks()}
    where = {
        name: "".join(number[1] for number, files in sorted(code.items()) if path.relative_to(PACKAGE.parent).as_posix() in files)
        for name, path in modules().items()
    }
    expected = {"train.trainer": "23456789", "rank.bias": "3456789", "studies.claims.rules": "9"}
    assert {name: where[name] for name in expected} == expected
    operators = [name for name in where if name.split(".")[0] == "suite" and name not in ("suite.notebook", "suite.records")]
    assert not any(where[name] for name in (*operators, "__main__"))


def test_imports_go_one_way():
    """A room takes from those before it in this order, never from one behind."""
    assert {name.split(".")[0] for name in modules() if "." in name} == set(ROOMS)
    for name in modules():
        room = name.split(".")[0]
        for module, _ in source_of(name).imports.values():
            if room in ROOMS:
                assert ROOMS.index(module.split(".")[0]) <= ROOMS.index(room), f"{name} imports from {module}"


def test_no_modules_import_each_other_in_a_circle():
    above = {name: {module for module, _ in source_of(name).imports.values()} - {name} for name in modules()}
    while ground := {name for name, needed in above.items() if not needed}:
        above = {name: needed - ground for name, needed in above.items() if name not in ground}
    assert not above, f"these import each other, or what does: {sorted(above)}"


def test_the_package_imports_itself_only_in_the_form_that_is_followed():
    for path, tree in trees().items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            assert not any(name.startswith("hybridir_utils") for name in names), f"{path.name}: import modules of the package as `from .x`"
            if isinstance(node, ast.Name) and node.id in ("import_module", "__import__"):
                assert path == modules()["results.figures"], f"{path.name}: a module found by a name in a text is not followed"


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
