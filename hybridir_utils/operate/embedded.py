"""What files carry of their origin inside, and which notebook keeps a table."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from .parts import code_cells
from .suite import notebooks

NAME = re.compile(r"[\w+=-]?[\w+=.-]*")
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}source"


def embedded(path: Path) -> dict:
    """notebook, run and tables that a figure (PNG, SVG) or a Markdown table carries (`figures.provenance`); empty where it has none."""
    readers = {".png": _in_png, ".svg": _in_svg, ".md": _in_markdown}
    try:
        found = json.loads(readers[path.suffix](path))
    except (OSError, SyntaxError, ValueError):  # also of a picture that is cut off or none at all
        return {}
    return found if _sound(found) else {}


def _sound(found: object) -> bool:
    """What a file carries may be anybody's: names are names, and lead nowhere else."""
    if not isinstance(found, dict) or not isinstance(found.get("tables"), dict):
        return False
    texts = [found.get("run"), found.get("notebook"), *found["tables"], *found["tables"].values()]
    return all(isinstance(text, str) and NAME.fullmatch(text) for text in texts)


def _in_png(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.info.get("Source", "")


def _in_svg(path: Path) -> str:
    from xml.etree import ElementTree

    return ElementTree.parse(path).findtext(f".//{DUBLIN_CORE}") or ""


def _in_markdown(path: Path) -> str:
    found = re.findall(r"^<!-- (\{.*\}) -->$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[-1] if found else ""


def keeper(table: str) -> str:
    """The suite's notebook that saves a table of this name; "" where none does."""
    return next((path.stem for path in notebooks() if table in kept_tables(path)), "")


def kept_tables(notebook: Path) -> set[str]:
    """Names of the tables in the notebook's calls of `notebook.keep`."""
    calls = [node for cell in code_cells(notebook) for node in _calls(cell) if ast.unparse(node.func) == "notebook.keep"]
    return {keyword.arg for call in calls for keyword in call.keywords if keyword.arg}


def _calls(cell: str) -> list[ast.Call]:
    try:
        return [node for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return []
