"""The package stays small enough to be held in mind: bounds on its files, lines of code and functions."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from pathlib import Path

import pytest

from hybridir_utils.provenance.fingerprints import modules

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | FUNCTIONS
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in modules().values()}


def code_lines(source: str) -> int:
    """Lines that hold code: neither blank, nor a comment alone, nor of a docstring."""
    docs = [node.body[0] for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None]
    of_docs = {line for doc in docs for line in range(doc.lineno, doc.end_lineno + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for token in tokens if token.type not in LAYOUT for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - of_docs)


def test_code_is_counted_without_words_about_it():
    assert code_lines('"""Doc."""\n\nx = 1  # one\n# two\n\n\ndef f():\n    """Doc\n    doc."""\n    return """a\nb"""\n') == 4


def test_files_are_few_and_none_is_long(sources):
    assert len(sources) <= 110
    assert sum(map(code_lines, sources.values())) <= 14_750
    longest = max(sources, key=lambda path: sources[path].count("\n"))
    assert sources[longest].count("\n") <= 440, longest


def test_functions_are_short(sources):
    lengths = [
        node.end_lineno - node.lineno + 1
        for source in sources.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, FUNCTIONS)
    ]
    assert statistics.median(lengths) <= 8 and statistics.quantiles(lengths, n=10)[-1] <= 17
