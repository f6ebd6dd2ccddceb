"""Fingerprints: of the package's code that something uses, of versions and of records; what has the same need not be computed again.

Code is followed definition by definition, through names and imports: an edit of a function that nobody reaches from a notebook or a
training run must not make it stale, though it stands in a file whose other functions are used. Names are followed wherever they stand, in
annotations, too: more is counted than runs, never less. The package holds to what this needs (`tests/test_code_use.py`): no module does
anything by being imported, and only plots are found by a name in a text (`results.figures`).
"""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..base.errors import PACKAGE, InputError
from ..base.files import ROOT, fingerprint, read_json

ALL = "*"
SHOWN = "base.progress"  # bars: nothing that is computed depends on them, so none of their code counts
FACE = "library"  # the module whose names the package itself offers
VALUES = ("experiment.profile", "Profile")  # its fields are values, which stand in recipes; one more key makes nothing old

PINNED = ("torch", "transformers", "sentence-transformers", "datasets", "numpy", "babel", "tokenizers")
CHANGES = "+changes"
RESULTS = (":!data/results", ":!figures", ":!*.md")  # what `run --write-back` writes, outputs of notebooks beside

Place = tuple[str, str]  # (module as a dotted path below the package, definition), or (module, ALL)


@dataclass(frozen=True)
class Source:
    """A module: definition -> digest of what it means, definition -> places it uses, and the places that its imports bind names to."""

    meanings: Mapping[str, str]
    uses: Mapping[str, frozenset[Place]]
    imports: Mapping[str, Place]


def modules() -> dict[str, Path]:
    """Dotted path below the package (`rank.bias`) -> file of every module."""
    return _modules_below(PACKAGE)


@cache
def _modules_below(package: Path) -> dict[str, Path]:
    files = [path for path in sorted(package.rglob("*.py")) if path.stem != "__init__"]
    return {".".join(path.relative_to(package).with_suffix("").parts): path for path in files}


def place_of(function: Callable) -> Place:
    """Where a function of the package is defined."""
    return function.__module__.removeprefix(f"{PACKAGE.name}."), function.__qualname__


def used_code(places: Iterable[Place]) -> dict[Path, dict[str, str]]:
    """File -> its definitions that the places reach, themselves included -> digest of each; comments, prose and layout do not count."""
    reached, waiting = set(), [place for each in places for place in _resolved(each)]
    while waiting:
        place = waiting.pop()
        if place not in reached and place[0] != SHOWN:
            reached.add(place)
            waiting += [found for used in source_of(place[0]).uses[place[1]] for found in _resolved(used)]
    found = {}
    for module, name in sorted(reached):
        found.setdefault(modules()[module], {})[name] = source_of(module).meanings[name]
    return found


def _resolved(place: Place) -> list[Place]:
    """The definitions that a place stands for; a name that a module only imports stands for what it was imported from."""
    module, name = place
    source = source_of(module)
    if name in source.meanings:
        return [place]
    if name in source.imports:
        return _resolved(source.imports[name])
    return [(module, each) for each in source.meanings]


def source_of(module: str) -> Source:
    return _read(module, modules()[module])


@cache
def _read(module: str, path: Path) -> Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports, statements = package_imports(tree, module), {}
    for statement in tree.body:
        for name in _defined(statement):
            statements.setdefault(name, []).append(statement)
    names, libraries = imports | {name: (module, name) for name in statements}, _library_imports(tree)
    meanings, uses = {}, {}
    for name, nodes in statements.items():
        if (module, name) == VALUES:
            nodes = [part for node in nodes for part in node.body if not isinstance(part, ast.AnnAssign)]
        said, mentioned = _meaning(nodes)
        taken = sorted({f"{used} is {libraries[used]}" for used, _ in mentioned if used in libraries})
        meanings[name] = hashlib.sha256("\n".join([*said, *taken]).encode()).hexdigest()[:16]
        uses[name] = frozenset(_places(mentioned, names))
    return Source(meanings, uses, imports)


def _defined(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return []


def package_imports(tree: ast.AST, module: str = "") -> dict[str, Place]:
    """Name -> what an import of the package binds it to, anywhere in the tree: `from .x import y`, `from ..room.x import y`,
    `from . import x`, `from ..room import x`, and the same from `hybridir_utils`, which itself stands for FACE (`import hybridir_utils as
    hy`). module: the tree's own, where it is one of the package.
    """
    bound, known = {}, modules()
    for node in _import_statements(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name: (FACE, ALL) for alias in node.names if alias.name == PACKAGE.name and FACE in known}
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == PACKAGE.name):
            source = _imported_from(node, module)
            for alias in node.names:
                place = (source, alias.name) if source in known else (f"{source}.{alias.name}".lstrip("."), ALL)
                place = (FACE, alias.name) if not source and place[0] not in known else place
                bound |= {alias.asname or alias.name: place} if place[0] in known else {}
    return bound


def _imported_from(node: ast.ImportFrom, module: str) -> str:
    """Dotted path below the package of the module or room that a statement imports from; "": the package itself."""
    if not node.level:
        return node.module.partition(".")[2]
    return ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])


def _library_imports(tree: ast.AST) -> dict[str, str]:
    """Name -> what an import from elsewhere binds it to: another library's function of the same name is another one."""
    bound = {}
    for node in _import_statements(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def _import_statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def used_places(nodes: Iterable[ast.AST], names: Mapping[str, Place]) -> set[Place]:
    """The places that names stand for in the trees; `module.definition` is the definition alone."""
    return _places(_meaning(list(nodes))[1], names)


def _places(mentioned: Iterable[tuple[str, str]], names: Mapping[str, Place]) -> set[Place]:
    known = [(names[name], attribute) for name, attribute in mentioned if name in names]
    return {(place[0], attribute) if attribute and place[1] == ALL else place for place, attribute in known}


def _meaning(nodes: list[ast.AST]) -> tuple[list[str], set[tuple[str, str]]]:
    """(the syntax trees as words, without docstrings, so that prose may change; the names in them, each with the attribute taken of it, or
    ""), in one go: every process goes through most of the package's code.
    """
    said, mentioned, waiting = [], set(), nodes[::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            said.append(f"[{len(node)}")
            waiting += reversed(node)
        elif isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            mentioned.add((node.id, "") if isinstance(node, ast.Name) else (node.value.id, node.attr))
            said.append(node.id if isinstance(node, ast.Name) else f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.AST):
            said.append(type(node).__name__)
            waiting += [_without_prose(node, field) for field in reversed(node._fields)]
        else:
            said.append(repr(node))
    return said, mentioned


def _without_prose(node: ast.AST, field: str) -> object:
    value = getattr(node, field, None)
    if field != "body" or not isinstance(value, list) or not value:
        return value
    return value[1:] if isinstance(value[0], ast.Expr) and isinstance(value[0].value, ast.Constant) else value


def sealed(record: dict) -> dict:
    """The record with the fingerprint of all it says, under the key `record`, so that an altered one is found."""
    said = {key: value for key, value in record.items() if key != "record"}
    return said | {"record": fingerprint(said)}


def is_sealed(record: object) -> bool:
    """Whether a record that was read says what it said when it was `sealed`."""
    return isinstance(record, dict) and "record" in record and record == sealed(record)


def read_sealed(path: Path) -> dict:
    """What the record in a JSON file says. Raises InputError where it cannot be read, or was altered."""
    record = read_json(path)
    if not is_sealed(record):
        raise InputError(f"{path}: was altered since it was written.")
    return {key: value for key, value in record.items() if key != "record"}


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that decide results."""
    return {name: version(name) for name in PINNED}


@cache
def code_fingerprint(*functions: Callable) -> str:
    """Fingerprint of functions and of all the package's code that they use; comments and layout do not count."""
    return fingerprint(module_fingerprints(*map(place_of, functions)))


def module_fingerprints(*places: Place) -> dict[str, str]:
    """File (below the checkout) -> fingerprint of those of its definitions that are used by the places: (module, definition or ALL)."""
    found = used_code(places)
    return {file.relative_to(PACKAGE.parent).as_posix(): fingerprint(found[file])[:16] for file in sorted(found)}


@cache
def commit() -> str:
    """The checkout's commit, with "+changes" where files differ from it that `run --write-back` does not write; "" where the package lies
    in no checkout (of a wheel).
    """
    if _git("rev-parse", "--show-toplevel") != str(ROOT):  # a package installed below somebody else's checkout
        return ""
    changed = _git("diff", "--name-only", "HEAD", "--", ".", *RESULTS).splitlines()
    return _git("rev-parse", "HEAD") + (CHANGES if not all(map(_has_same_cells, changed)) else "")


def _has_same_cells(path: str) -> bool:
    """Whether a file is a notebook that differs from the commit's in outputs and metadata alone."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        return _cells(_git("show", f"HEAD:{path}")) == _cells((ROOT / path).read_text(encoding="utf-8"))
    return False


def _cells(notebook: str) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"]]


def _git(*arguments: str) -> str:
    """What git says; "" where it fails or is not installed. Locks, which a mere look would take, are left alone."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
