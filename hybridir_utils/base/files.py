"""Files: where they lie; read so that a bad one is named with the place in it; written whole or not at all; fingerprints of them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import secrets
import socket
import tomllib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from .errors import PACKAGE, HybridIRError, InputError

CARRIED = PACKAGE / "carried"  # what an installed package brings along of the checkout; setup.py puts it there
ROOT = CARRIED if CARRIED.is_dir() else PACKAGE.parent  # the folder with data/ and notebooks/
NOTEBOOKS = ROOT / "notebooks"
PROFILES = NOTEBOOKS / "profiles"
WORLDFACTS = ROOT / "data" / "worldfacts"
PUBLISHED = ROOT / "data" / "published"


def in_checkout() -> bool:
    """Whether the package lies in a checkout, with notebooks to run; else it was installed, and brings along only what it reads itself."""
    return PACKAGE.parent == ROOT


def need_checkout() -> None:
    """Raises InputError in an installed package, which has no notebooks."""
    if not in_checkout():
        raise InputError(
            "the notebooks are not part of the installed package: get the repository (git clone, or its archive), "
            "`pip install -r requirements.txt` there, and call this again in it. The library and `profiles` work without it."
        )


def output_root() -> Path:
    """Folder below which runs write: HYBRIDIR_OUTPUT, or the checkout; of an installed package the folder one works in."""
    return Path(os.environ.get("HYBRIDIR_OUTPUT") or (ROOT if in_checkout() else ".")).expanduser().resolve()


def data_folder(name: str, data_dir: str = "") -> Path:
    """Folder of a real data set below the profile's `data_dir`, or else below HYBRIDIR_DATA; raises InputError when absent."""
    base = data_dir or os.environ.get("HYBRIDIR_DATA", "")
    if not base:
        raise InputError(
            f"data set {name!r} is needed, but neither the profile's data_dir nor HYBRIDIR_DATA names a folder. See data/README.md."
        )
    folder = Path(base).expanduser() / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; data/README.md says how {name!r} gets there.")
    return folder


def read_text(path: Path) -> str:
    """The file's text, strictly UTF-8 (a byte-order mark is skipped), unpacked when the name ends in `.gz`; line ends are line feeds.

    Raises InputError naming the file and, for bytes that are not UTF-8, the line and the byte.
    """
    return "".join(_lines(Path(path))).replace("\r\n", "\n")


def read_json(path: Path) -> Any:
    """The file's JSON value. Raises InputError naming file, line and column."""
    return parse_json(read_text(path), path)


def read_toml(path: Path) -> dict:
    """The file's TOML table. Raises InputError naming the file and the place in it."""
    try:
        return tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # of numbers too long for Python, too
        raise InputError(f"{path}: not readable as UTF-8 TOML ({error}); mend the file.") from None


def read_jsonl(path: Path, required: Iterable[str] = ()) -> Iterator[tuple[int, dict]]:
    """(line number, object) of every line that is not blank; `.gz` is unpacked.

    Raises InputError naming file and line when a line is no JSON object or lacks a key of `required`.
    """
    for number, line in enumerate(_lines(Path(path)), start=1):
        if not line.strip():
            continue
        row = parse_json(line.removesuffix("\n"), path, first_line=number)
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}.")
        missing = [key for key in required if key not in row]
        if missing:
            raise InputError(f"{path}, line {number}: key {missing[0]!r} is missing; found {', '.join(map(repr, row)) or 'no keys'}.")
        yield number, row


def texts_of(row: dict, where: str, needed: Iterable[str], **given: str) -> dict[str, str]:
    """The texts of a row under the needed keys, and under those given with what holds where a row has none.

    Missing, null, NaN and blank are the same; a whole number stands for an id's text, and for no other. where: file and line. Raises
    InputError for a needed text that is missing, and for any value that is no text.
    """
    found = {}
    for key, default in {**dict.fromkeys(needed), **given}.items():
        value = row.get(key)
        value = str(value) if type(value) is int and key.endswith(("id", "group")) else value
        missing = value is None or value != value or (isinstance(value, str) and not value.strip())
        found[key] = default if missing else value
        if not isinstance(found[key], str):
            raise InputError(f"{where}: {key!r} must be a text{'' if key in given else ' that is not empty'}, found {value!r}.")
    return found


def parse_json(text: str, path: Path | str, first_line: int = 1) -> Any:
    """The JSON value of a text that stands in a file from a line on. Raises InputError naming file, line and column.

    Refused beside what is no JSON: a key that stands twice in an object, half a surrogate pair, a number or a nesting beyond Python's.
    """
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text.lower():  # an escape may hide half a surrogate pair, which no later step can encode
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        place = f"{path}, line {first_line + error.lineno - 1}, column {error.colno}"
        raise InputError(f"{place}: no valid JSON ({error.msg}). The file may be cut off; fetch or export it again.") from None
    except UnicodeEncodeError:
        raise InputError(f"{path}, line {first_line}: half a surrogate pair (\\ud…) in a text; repair the export.") from None
    except RecursionError:
        raise InputError(f"{path}, line {first_line}: JSON nested too deeply.") from None
    except ValueError as error:  # a number of thousands of digits, a key that stands twice
        raise InputError(f"{path}, line {first_line}: no usable JSON ({error}). Mend the file or export it again.") from None
    return value


def _lines(path: Path) -> Iterator[str]:
    """The file's lines with their `\n`, one at a time."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            start = 0
            for number, line in enumerate(file, start=1):
                yield _decoded(line, path, number, start)
                start += len(line)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. data/README.md lists the files of each data set.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: cut off or not gzip ({error}). Fetch it again.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def _decoded(line: bytes, path: Path, number: int, start: int) -> str:
    """start: bytes before the line."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        place = f"{path}, line {number}, byte {start + error.start}"
        raise InputError(f"{place}: not UTF-8 (byte 0x{line[error.start]:02x}). Save the file as UTF-8 and read it again.") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice nobody can say which value was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in names if names.count(key) > 1)!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once)


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


@contextmanager
def writing(path: Path):
    """Turn the operating system's complaints about `path` (no space, no permission) into an InputError that says what to do."""
    try:
        yield
    except HybridIRError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number not in NO_SPACE + NO_ACCESS:  # a missing input, the network: not this folder's fault
            raise
        advice = "Free some space" if number in NO_SPACE else "Check the permissions"
        named = str(getattr(error, "filename", None) or path)
        where = path if named.endswith(TEMPORARY) else named
        raise InputError(
            f"{where}: cannot be written ({os.strerror(number)}). {advice}, or set HYBRIDIR_OUTPUT to another folder. "
            "Earlier results are untouched."
        ) from error


def _system_error(error: Exception) -> int | None:
    """The system's number of an error; safetensors and numpy tell a full disk in words only."""
    full = any(words in str(error) for words in ("No space left on device", " requested and "))
    return getattr(error, "errno", None) or (errno.ENOSPC if full else None)


TEMPORARY = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, to be written in the block; at its end the file has its name, and until then the old one stays.

    An error in the block leaves the old file as it was, and nothing else. The folder is made when absent; what killed processes left of
    their writing of the file goes. Raises InputError with what to do when the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all (`replacing`). Raises InputError, also for text that is no Unicode."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: the text has a lone surrogate at character {error.start}; repair its source.") from None
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, **how: Any) -> None:
    """Write a value as JSON, whole or not at all, one key a line; how: arguments of `json.dumps`."""
    write_text_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, **how) + "\n")


def write_csv(path: Path, table: Any) -> None:
    """Write a pandas table as CSV without its index, values to 6 significant digits, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def _prefix(path: Path) -> str:
    """What temporary files of the file begin with on this machine; the number of the process that writes them follows."""
    return f".{path.name}.{socket.gethostname()}-"


def _remove_left(path: Path) -> None:
    """Remove what killed processes of this machine left of their writing of the file; a live one's stays."""
    import psutil

    for left in path.parent.glob(f"{escape(_prefix(path))}*{TEMPORARY}"):
        process = left.name.removeprefix(_prefix(path)).split("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)


def file_safe(name: str) -> str:
    """The name as part of a file name: its last 40 characters, with `_` for all but letters, digits and `-_.`."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-40:]


def fingerprint(value: object) -> str:
    """SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below a folder."""
    return fingerprint({str(p.relative_to(folder)): file_fingerprint(p) for p in sorted(Path(folder).rglob("*")) if p.is_file()})
