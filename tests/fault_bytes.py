"""Files spoilt in every way: for the tests that read them."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

# What a value of JSON, TOML or a table is replaced by, or what is put somewhere into a file.
TOKENS = (
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b'" "',
        b'"x"',
        b"-1",
        b"0",
        b"1e999",
        b"NaN",
        b"1.5",
        b"9" * 5000,
        b"[" * 3000,
        b'{"a":' * 3000,
    ),
    *(b"\x00", b"\xff", b'"\\ud800"', b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b'"', b",", b"=", b"}", b"]", b"\xe2\x80\xae", b"../../x"),
    b"a.b = 1\n",
)
WORD = re.compile(rb'"[^"\n]*"|[^\s"\[\]{}:,=]+|[\[\]{}:,=\t\n]')


def damage_truncate(file: Path) -> None:
    """Half of the file is missing."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def damage_flip(file: Path) -> None:
    """One bit in the middle is another."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))


def spoilt(valid: bytes) -> st.SearchStrategy[bytes]:
    """Files that differ from a valid one in one to three places: a value of another kind, something more, a bit, a part missing."""
    place = st.integers(0, 10**6)
    change = st.one_of(
        st.tuples(st.just(_replace), place, st.sampled_from(TOKENS)),
        st.tuples(st.just(_replace), place, st.sampled_from(TOKENS)),
        st.tuples(st.just(_insert), place, st.sampled_from(TOKENS)),
        st.tuples(st.just(_flip), place, st.integers(0, 7)),
        st.tuples(st.just(_cut), place, place),
        st.tuples(st.just(_drop), place, st.none()),
        st.tuples(st.just(_repeat), place, st.none()),
    )
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _changed(valid, changes))


def _changed(data: bytes, changes: list) -> bytes:
    for change, place, with_ in changes:
        data = change(data, place, with_) if data else data
    return data


def _word(data: bytes, place: int) -> tuple[int, int]:
    words = list(WORD.finditer(data))
    return words[place % len(words)].span() if words else (0, len(data))


def _replace(data: bytes, place: int, token: bytes) -> bytes:
    start, end = _word(data, place)
    return data[:start] + token + data[end:]


def _insert(data: bytes, place: int, token: bytes) -> bytes:
    start = place % len(data)
    return data[:start] + token + data[start:]


def _flip(data: bytes, place: int, bit: int) -> bytes:
    start = place % len(data)
    return data[:start] + bytes([data[start] ^ 1 << bit]) + data[start + 1 :]


def _cut(data: bytes, place: int, other: int) -> bytes:
    """Only a part of the file; often its beginning."""
    return data[: place % len(data)] if other % 2 else data[place % len(data) :]


def _drop(data: bytes, place: int, _) -> bytes:
    start, end = _word(data, place)
    return data[:start] + data[end:]


def _repeat(data: bytes, place: int, _) -> bytes:
    """A line stands twice."""
    lines = data.split(b"\n")
    place %= len(lines)
    return b"\n".join([*lines[: place + 1], *lines[place:]])
