"""Fingerprints of values, files and the package's own code; what has the same fingerprint need not be computed again."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
PINNED = ("torch", "transformers", "sentence-transformers", "datasets", "numpy", "babel", "tokenizers")


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def sealed(record: dict) -> dict:
    """The record with the fingerprint of all it says, under the key `record`, so that an altered one is found."""
    said = {key: value for key, value in record.items() if key != "record"}
    return said | {"record": fingerprint(said)}


def is_sealed(record: object) -> bool:
    """Whether a record that was read says what it said when it was `sealed`."""
    return isinstance(record, dict) and "record" in record and record == sealed(record)


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below a folder."""
    return fingerprint({str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(Path(folder).rglob("*")) if p.is_file()})


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that decide results."""
    found = {}
    for name in PINNED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def modules() -> dict[str, Path]:
    """Name -> file of every module of the package; a name stands in one room only."""
    return _modules_below(PACKAGE)


@cache
def _modules_below(package: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(package.rglob("*.py")) if path.stem != "__init__"}


@cache
def code_fingerprint(module: str) -> str:
    """Fingerprint of a package module and of every package module it imports; comments and layout do not count."""
    return fingerprint(module_fingerprints(module))


def module_fingerprints(*names: str) -> dict[str, str]:
    """File (below the checkout) -> fingerprint, of package modules and of all that they import; comments and layout do not count."""
    reached = {module for name in names for module in modules_used(name)}
    files = {name: modules()[name] for name in reached}
    return {file.relative_to(PACKAGE.parent).as_posix(): _parsed(file)[0] for _, file in sorted(files.items())}


@cache
def modules_used(module: str) -> frozenset[str]:
    """The module and all package modules it reaches through imports."""
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _parsed(modules()[name])[1]
    return frozenset(reached)


@cache
def _parsed(path: Path) -> tuple[str, tuple[str, ...]]:
    """(what a module means, the package modules it imports)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = _package_imports(tree)
    return fingerprint(_meaning(tree))[:16], imports


def _package_imports(tree: ast.AST) -> tuple[str, ...]:
    """`from .x import y`, `from ..room.x import y`, `from . import x` or `from ..room import x`: x."""
    found, known = [], modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            last = (node.module or "").rpartition(".")[2]
            found += [last] if last in known else [alias.name for alias in node.names]
    return tuple(name for name in found if name in known)


def _meaning(tree: ast.AST) -> str:
    """The syntax tree without docstrings, so that prose may change."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0].value.value = ""
    return ast.dump(tree)
