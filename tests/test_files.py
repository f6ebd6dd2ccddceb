"""Files: read strictly with the place of a fault named, written whole or not at all."""

import gzip
import os
import socket
import subprocess
import sys

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.files import read_json, read_jsonl, read_text, write_text_atomically


def test_bytes_that_are_not_utf8_are_named_with_line_and_byte(tmp_path):
    path = tmp_path / "latin1.json"
    path.write_bytes('{"a": 1,\n"b": "Köln"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"latin1\.json, line 2, byte 16: not UTF-8 \(byte 0xf6\)"):
        read_json(path)


def test_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_cut_off_json_is_named_with_line_and_column(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text('{"data": [\n{"title": "x"', encoding="utf-8")
    with pytest.raises(InputError, match=r"cut\.json, line 2, column 14: no valid JSON.*cut off"):
        read_json(path)


def test_cut_off_gzip_and_missing_file(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": 1}\n' * 100)[:-9])
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: cut off or not gzip"):
        list(read_jsonl(path))
    path.write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="cut off or not gzip"):
        list(read_jsonl(path))
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2]", "line 3: expected a JSON object, found list"),
        ('{"text": "b"}', "line 3: key 'id' is missing; found 'text'"),
        ('{"id": ', r"line 3, column \d+: no valid JSON"),
        (r'{"id": "\ud83d"}', "line 3: half a surrogate pair"),
    ],
)
def test_a_bad_line_is_named_counting_blank_ones(tmp_path, line, message):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(read_jsonl(path, required=["id"]))


def test_line_separators_inside_a_text_do_not_split_the_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a\u2028b\x85c"}\n{"id": "d"}\n', encoding="utf-8")
    assert [(number, row["id"]) for number, row in read_jsonl(path)] == [(1, "a\u2028b\x85c"), (2, "d")]


def test_what_a_killed_process_left_of_a_file_goes_with_its_next_writing(tmp_path):
    path = tmp_path / "a[1].json"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = f".{path.name}.{socket.gethostname()}"
    left = {name: tmp_path / name for name in (f"{here}-{gone.pid}-x1.tmp", f"{here}-{os.getpid()}-x2.tmp", f".{path.name}.other-1-x3.tmp")}
    for file in left.values():
        file.write_text("half")
    write_text_atomically(path, "whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*list(left)[1:], path.name]), "another writer's stays"


def test_written_text_is_read_back_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text_atomically(path, "eins\nδύο\n")
    write_text_atomically(path, "三\n")
    assert path.read_bytes() == "三\n".encode()
    assert os.listdir(path.parent) == ["a.txt"]


def test_failed_write_keeps_the_old_file_and_removes_the_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")
    with pytest.raises(InputError, match="lone surrogate at character 1"):
        write_text_atomically(path, "x\ud800")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(InputError, match=r"/a\.txt: cannot be written \(No space left on device\)\. Free some space"):
        write_text_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_where_a_folder_is_needed_is_an_input_error(tmp_path):
    (tmp_path / "a").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        write_text_atomically(tmp_path / "a" / "b.txt", "x")
