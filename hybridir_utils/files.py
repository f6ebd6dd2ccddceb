"""Reading and writing text files so that a bad file is named, with the place in it, and a good one is never half written."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import InputError


def read_text(path: Path) -> str:
    """The file's text, strictly UTF-8 (a byte-order mark is skipped), unpacked when the name ends in `.gz`.

    Raises InputError naming the file and, for bytes that are not UTF-8, the line and the byte.
    """
    data = _read_bytes(Path(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f"{path}, line {line}, byte {error.start}"
        raise InputError(f"{place}: not UTF-8 (byte 0x{data[error.start]:02x}). Save the file as UTF-8 and read it again.") from None


def read_json(path: Path) -> Any:
    """The file's JSON value. Raises InputError naming file, line and column."""
    return _parse(read_text(path), path, first_line=1)


def read_jsonl(path: Path, required: Iterable[str] = ()) -> Iterator[tuple[int, dict]]:
    """(line number, object) of every line that is not blank; `.gz` is unpacked.

    Raises InputError naming file and line when a line is no JSON object or lacks a key of `required`.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        row = _parse(line, path, first_line=number)
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}.")
        missing = [key for key in required if key not in row]
        if missing:
            raise InputError(f"{path}, line {number}: key {missing[0]!r} is missing; found {', '.join(map(repr, row)) or 'no keys'}.")
        yield number, row


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends; the old file stays until the new one is complete. The folder is made when absent.

    Raises InputError naming the path when the disk is full, the folder cannot be written to, or the text is no valid Unicode.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
            temporary = file.name
            file.write(text.encode("utf-8"))
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}). Free space there, or name a folder you may write to.") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: the text has a lone surrogate at character {error.start}; repair its source.") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def file_safe(name: str) -> str:
    """The name as part of a file name: its last 40 characters, with `_` for all but letters, digits and `-_.`."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-40:]


def _umask() -> int:
    """The process's file mask (a temporary file is private; the finished one is as open as any other)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. data/README.md lists the files of each data set.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: cut off or not gzip ({error}). Fetch it again.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def _parse(text: str, path: Path, first_line: int) -> Any:
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # an escape may hide half a surrogate pair, which no later step can encode
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        place = f"{path}, line {first_line + error.lineno - 1}, column {error.colno}"
        raise InputError(f"{place}: no valid JSON ({error.msg}). The file may be cut off; fetch or export it again.") from None
    except UnicodeEncodeError:
        raise InputError(f"{path}, line {first_line}: half a surrogate pair (\\ud…) in a text; repair the export.") from None
    except RecursionError:
        raise InputError(f"{path}, line {first_line}: JSON nested too deeply.") from None
    return value
