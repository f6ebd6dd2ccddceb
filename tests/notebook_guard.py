"""The form that every notebook of the suite keeps, as rules over a file: each gives sentences on what is wrong, none where nothing is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

from hybridir_utils.data.batching import STRATEGIES
from hybridir_utils.experiment.profile import OWN_BASES
from hybridir_utils.results.show import MOST_ROWS, MOST_SENTENCES, STYLE
from hybridir_utils.suite.records import PARAMETERS
from hybridir_utils.suite.running import HEADLINE

OF_PROFILE = re.compile(r"^\w+ = None  # .*; None: the profile's$")
ABSOLUTE = re.compile(r"(?:(?<=://)|(?<![\w<./-]))/(?:home|root|tmp|work|Users|mnt|opt|var)\b|(?<![A-Za-z])[A-Z]:\\")
ACTIVE = re.compile(
    r"<(?:script|iframe|object|embed|form|link|base)\b|\son\w+\s*=|javascript:|(?:src|href)\s*=\s*[\"']?(?:https?:)?//|@import", re.I
)
FOLDED = re.compile(r"<details>.*?</details>(?!\s*</details>)", re.DOTALL)
TEXTS = "<div dir='auto'>"  # questions and passages side by side: `results.browsing` has their look
ABSENCE = re.compile(r"\W*(?:This run has no|There is no|No \w+ (?:had|could)|Nothing )")
MAX_CODE_LINES, MAX_IMPORTS, MAX_CELLS, MAX_BYTES = 12, 8, 35, 1_200_000
OF_TABLES = {"groupby", "agg", "query", "pivot", "pivot_table", "melt", "merge", "isin", "where", "assign", "apply"}
TYPES = (str, bool, int, float)


@dataclass(frozen=True)
class Notebook:
    """A notebook's file, read once."""

    path: Path

    @cached_property
    def book(self):
        return nbformat.read(self.path, as_version=4)

    def cells(self, kind: str = "") -> list:
        return [cell for cell in self.book.cells if kind in ("", cell["cell_type"])]

    @property
    def parameters(self) -> list:
        """The cells tagged as parameters; one, in a sound notebook."""
        return [cell for cell in self.book.cells if PARAMETERS in cell["metadata"].get("tags", [])]

    @property
    def outputs(self) -> list:
        return [output for cell in self.cells("code") for output in cell["outputs"]]


def problems(path: Path) -> list[str]:
    """All that is wrong with the form of a notebook: `rule: what`."""
    return [f"{name}: {problem}" for name, rule in RULES.items() for problem in rule(Notebook(path))]


def parameters(notebook: Notebook) -> Iterator[str]:
    """One cell, after title and table; each line a literal of a type with a comment."""
    if len(notebook.parameters) != 1 or notebook.parameters != notebook.book.cells[2:3]:
        yield f"{len(notebook.parameters)} cells tagged {PARAMETERS}; one is expected, the third of the notebook"
        return
    source = notebook.parameters[0]["source"]
    for node in (tree := _parsed(source)).body:
        line = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            yield f"no `name = value`: {line}"
        elif not _is_typed(node.value) and not OF_PROFILE.search(line):
            yield f"no literal text, number, truth value, or list of them: {line}"
        elif not re.search(r"  # \w", line):
            yield f"no comment: {line}"
    if not tree.body:
        yield "no parameter"


def _is_typed(value: ast.expr) -> bool:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return False
    return all(isinstance(each, TYPES) for each in (found if isinstance(found, list) else [found]))


def sections(notebook: Notebook) -> Iterator[str]:
    """Title with the file's number, what it shows, the table, what comes next."""
    markdown = [cell["source"] for cell in notebook.cells("markdown")] or [""]
    title, *shows = markdown[0].splitlines() or [""]
    if not re.match(rf"# {notebook.path.stem[:2]} · \w", title) or len([line for line in shows if line.strip()]) < 2:
        yield f"opens with {title!r}; expected `# {notebook.path.stem[:2]} · Title` and two lines or more on what it shows"
    if len(markdown) < 2 or not all(f"| **{word}** |" in markdown[1] for word in ("Inputs", "Outputs", "Cost")):
        yield "no table of Inputs, Outputs and Cost after the title"
    elif not FOLDED.fullmatch(markdown[1]):
        yield "the table of Inputs, Outputs and Cost lies open above what was found"
    if notebook.book.cells[-1]["cell_type"] != "markdown" or not markdown[-1].startswith("**Next:**"):
        yield "does not end with **Next:**"


def answer(notebook: Notebook) -> Iterator[str]:
    """What was found stands first: after computation that shows no table or picture, at most five sentences and the main figure."""
    cells = notebook.book.cells
    heading = next((n for n, cell in enumerate(cells) if cell["cell_type"] == "markdown" and cell["source"].startswith("## ")), 0)
    before, (said, drawn) = cells[:heading], [*cells[heading + 1 : heading + 3], *[{}] * 2][:2]
    if not heading or not cells[heading]["source"].startswith("## What we see"):
        yield "the first section is not `## What we see`"
    for cell, start in ((said, ("notebook.say(", "main, further = ")), (drawn, ("notebook.show_figure(",))):
        if not cell.get("source", "").startswith(start):
            yield f"{cell.get('source', '')[:40]!r} where {start[0]}…) is expected below it"
    if any("image/png" in each.get("data", {}) or "<table" in opened(each) for cell in before for each in cell.get("outputs", [])):
        yield "a table or picture stands before what we see"
    if not notebook.outputs:
        return
    sentences = [line for each in said.get("outputs", []) for line in opened(each, "text/markdown").splitlines() if line.startswith("- ")]
    if not 0 < len(sentences) <= MOST_SENTENCES:
        yield f"{len(sentences)} findings lie open; at least one and at most {MOST_SENTENCES}"
    if sentences and len(sentences[0]) > HEADLINE:
        yield f"the first finding has {len(sentences[0])} characters: the command prints {HEADLINE}"
    if not any("image/png" in each.get("data", {}) for each in drawn.get("outputs", [])):
        yield "the main figure is not shown"


def content(notebook: Notebook) -> Iterator[str]:
    """Below what was found every cell shows something: what a run may lack stands in one cell with what it has (`show.section`)."""
    below = next((n for n, cell in enumerate(notebook.book.cells) if cell["source"].startswith("## What we see")), 0) + 3
    for cell in notebook.book.cells[below:-1] if notebook.outputs else ():
        if cell["cell_type"] == "code" and not cell["outputs"]:
            yield f"a cell without output: {cell['source'][:60]}"


def opened(output, kind: str = "text/html") -> str:
    """What of an output lies open, without what is folded."""
    return FOLDED.sub("", output.get("data", {}).get(kind, ""))


def style(notebook: Notebook) -> Iterator[str]:
    """Tables in the one style, at most fifteen rows of each open; no cell that only says what a run has not."""
    for number, cell in enumerate(notebook.cells("code"), 1):
        for output in cell["outputs"]:
            html = output.get("data", {}).get("text/html", "")
            styled = output["output_type"] != "execute_result" or TEXTS in html or html.count("<table") == html.count(f'class="{STYLE}"')
            if "dataframe" in html or not styled:
                yield f"code cell {number}: a table in another style; show it with show.table"
            if any(table.count("<tr") > MOST_ROWS + 1 for table in opened(output).split("<table")[1:]):
                yield f"code cell {number}: a table of more than {MOST_ROWS} rows lies open"
        texts = [text for output in cell["outputs"] for text in output.get("data", {}).values()]
        if cell["outputs"] and texts and all(ABSENCE.match(str(text)) for text in texts if "IPython" not in str(text)):
            yield f"code cell {number}: only says what this run has not: {texts[0][:60]}"


def cells(notebook: Notebook) -> Iterator[str]:
    """Short plain Python without definitions; no line that ends with a semicolon, which nbval cannot run."""
    if len(notebook.book.cells) > MAX_CELLS:
        yield f"{len(notebook.book.cells)} cells; at most {MAX_CELLS}"
    for number, cell in enumerate(notebook.cells("code"), 1):
        lines = cell["source"].splitlines()
        if not 0 < len(lines) <= MAX_CODE_LINES:
            yield f"code cell {number}: {len(lines)} lines; at most {MAX_CODE_LINES}"
        if any(line.rstrip().endswith(";") for line in lines):
            yield f"code cell {number}: a line ends with ;"
        nodes = ast.walk(_parsed(cell["source"]))
        if any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in nodes):
            yield f"code cell {number}: a definition belongs in the package"


def calls(notebook: Notebook) -> Iterator[str]:
    """Cells call the package: no table is grouped, filtered or joined in one, nothing is decided there, and what they import is little."""
    parsed = [_parsed(cell["source"]) for cell in notebook.cells("code")]
    imports = [node for tree in parsed for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    if len(imports) > MAX_IMPORTS:
        yield f"{len(imports)} import lines; at most {MAX_IMPORTS}"
    for number, tree in enumerate(parsed, 1):
        for node in ast.walk(tree):
            if what := _computes(node):
                yield f"code cell {number}: {what} belongs in the package: {ast.unparse(node)[:80]}"


def _computes(node: ast.AST) -> str:
    """What of a cell is no call: `groupby` and the like, a filter, a choice; "" for all else."""
    if isinstance(node, ast.Attribute) and node.attr in OF_TABLES:
        return node.attr
    if isinstance(node, ast.IfExp | ast.If):
        return "a choice"
    filters = [node.slice] if isinstance(node, ast.Subscript) else node.ifs if isinstance(node, ast.comprehension) else []
    if isinstance(node, ast.comprehension):
        return "a filter" if filters else ""
    choosing = ast.Compare | ast.Invert | ast.Lambda
    return "a filter" if any(isinstance(inner, choosing) for each in filters for inner in ast.walk(each)) else ""


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise AssertionError(f"no plain Python: {source}") from error


def profiles(notebook: Notebook) -> Iterator[str]:
    """No cell looks a strategy or a base up by name: a profile may be without it."""
    names = {*STRATEGIES, *OWN_BASES}
    for number, cell in enumerate(notebook.cells("code"), 1):
        for node in ast.walk(_parsed(cell["source"])):
            asked = [node.slice] if isinstance(node, ast.Subscript) else node.comparators if isinstance(node, ast.Compare) else []
            yield from (f"code cell {number}: {ast.unparse(node)}" for a in asked if isinstance(a, ast.Constant) and a.value in names)


def places(notebook: Notebook) -> Iterator[str]:
    """No absolute path of a machine, in sources or outputs."""
    for text in [*(cell["source"] for cell in notebook.book.cells), *(text for output in notebook.outputs for text in texts_of(output))]:
        if found := ABSOLUTE.search(text):
            yield text[max(0, found.start() - 40) : found.end() + 40]


def texts_of(output) -> list[str]:
    """What of an output can be read: streams, errors, and data that are no image."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    told = [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
    return [*told, *(value if isinstance(value, str) else json.dumps(value) for value in data.values())]


def metadata(notebook: Notebook) -> Iterator[str]:
    """Nothing that changes from run to run or from machine to machine."""
    found = notebook.book.metadata
    if extra := set(found) - {"kernelspec", "language_info"} | set(found.get("language_info", {})) - {"name"}:
        yield f"of the notebook: {', '.join(sorted(extra))}"
    if found.get("kernelspec", {}).get("name") != "python3":
        yield f"kernel {found.get('kernelspec', {}).get('name')!r}; expected 'python3'"
    for number, cell in enumerate(notebook.book.cells, 1):
        if extra := set(cell["metadata"]) - {"tags"}:
            yield f"of cell {number}: {', '.join(sorted(extra))}"
    ids = [cell.get("id") for cell in json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]]  # nbformat repairs them when it reads
    if None in ids or len(set(ids)) < len(ids):
        yield "a cell has no id, or another's"


def order(notebook: Notebook) -> Iterator[str]:
    """Outputs of one run from the first cell to the last, or none at all."""
    code = notebook.cells("code")
    counts, whole = [cell["execution_count"] for cell in code], list(range(1, len(code) + 1))
    if counts != (whole if notebook.outputs else [None] * len(code)):
        yield f"executed in the order {counts}; made again by: python -m hybridir_utils run --write-back"
    if any(
        output.get("execution_count", cell["execution_count"]) != cell["execution_count"] for cell in code for output in cell["outputs"]
    ):
        yield "an output has another number than its cell"


def results(notebook: Notebook) -> Iterator[str]:
    """Outputs that a reader on the web sees as they were: no errors, progress bars or widgets; nothing that acts; pictures with a text."""
    for output in notebook.outputs:
        if output["output_type"] == "error" or output.get("name") == "stderr":
            yield f"{output.get('ename', 'standard error')}: {''.join(texts_of(output))[:80]}"
        for kind in output.get("data", {}):
            if "widget" in kind or kind == "application/javascript":
                yield f"{kind}: has no state on the web"
            if kind.startswith("image/") and not output["metadata"].get(kind, {}).get("alt"):
                yield f"{kind} without alternative text; show figures with notebook.show_figure"
        for kind in ("text/html", "image/svg+xml", "text/markdown"):
            if found := ACTIVE.search(output.get("data", {}).get(kind, "")):
                yield f"{kind} that acts or fetches: {found[0].strip()}"


def size(notebook: Notebook) -> Iterator[str]:
    """A file that the web shows and git keeps without effort."""
    if (found := notebook.path.stat().st_size) > MAX_BYTES:
        yield f"{found:,} bytes; at most {MAX_BYTES:,}"


RULES = {
    rule.__name__: rule
    for rule in (parameters, sections, answer, content, style, cells, calls, profiles, places, metadata, order, results, size)
}
