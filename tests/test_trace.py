"""What processes note of the files they read and write, and the commit they work from."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.files import file_fingerprint
from hybridir_utils.provenance import fingerprints, reads


@pytest.fixture
def traced(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(reads.FILE, str(tmp_path / "trace"))
    monkeypatch.setattr(reads, "_used", {})
    return tmp_path / "trace"


def test_files_are_noted_as_they_were_when_used_and_as_they_were_written_last(traced, tmp_path):
    file = tmp_path / "ä\n.csv"
    file.write_text("1")
    reads.used(file)
    first = file_fingerprint(file)
    for text in ("2", "3"):
        file.write_text(text)
        reads.wrote(file)
    reads.device("cuda")
    assert reads.read_trace(traced) == ({str(file): first}, {str(file): file_fingerprint(file)}, "cuda")
    assert reads.used_so_far() == {str(file): first}


def test_without_a_suite_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(reads.FILE, raising=False)
    (tmp_path / "a").write_text("1")
    reads.used(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and reads.read_trace(tmp_path / "trace") == ({}, {}, "")


@pytest.mark.parametrize("rest", [b'["wrote", "/b', b"\xff\xfe\n", b'{"a": 1}\n', b'["other", "a", "b"]\n', b"7\n"])
def test_a_line_that_was_cut_off_is_left_out(traced, tmp_path, rest):
    (tmp_path / "a").write_text("1")
    reads.wrote(tmp_path / "a")
    traced.write_bytes(traced.read_bytes() + rest + b'\n["used", "/c", "0"]\n')
    used, wrote, _ = reads.read_trace(traced)
    assert used == {"/c": "0"} and list(wrote) == [str(tmp_path / "a")]


def test_a_place_that_takes_no_lines_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(reads.FILE, str(tmp_path / "absent" / "trace"))
    (tmp_path / "a").write_text("1")
    with pytest.raises(InputError, match=r"absent/trace: cannot be written.*earlier results are untouched"):
        reads.wrote(tmp_path / "a")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout of one commit; `commit()` looks anew each time."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    for name in ("code.py", "figures/a.svg", "data/results/a/b.csv", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["a\n", "b"], "outputs": []}]}))
    git("add", "-A")
    git("commit", "-qm", "first")
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path.resolve())
    return tmp_path, git("rev-parse", "HEAD")


def test_the_commit_is_marked_where_the_code_was_changed_but_not_where_results_were(repository):
    folder, commit = repository
    look = fingerprints.commit.__wrapped__
    assert look() == commit and len(commit) == 40
    for name in ("figures/a.svg", "data/results/a/b.csv", "new.txt", "README.md"):
        (folder / name).write_text("2")
    (folder / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "a\nb", "outputs": ["1"]}]}))
    assert look() == commit, "`run --write-back` writes these"
    for name, text in (("code.py", "2"), ("a.ipynb", '{"cells": [{"cell_type": "code", "source": "a"}]}'), ("a.ipynb", "{")):
        before = (folder / name).read_text()
        (folder / name).write_text(text)
        assert look() == f"{commit}+changes", name
        (folder / name).write_text(before)
    assert look() == commit


def test_a_package_outside_of_a_checkout_has_no_commit(repository, monkeypatch, tmp_path):
    monkeypatch.setattr(fingerprints, "ROOT", (tmp_path / "data").resolve())
    assert fingerprints.commit.__wrapped__() == "", "somebody else's repository"
    monkeypatch.setenv("PATH", "")
    assert fingerprints.commit.__wrapped__() == "", "no git"


def test_workers_inherit_for_whom_they_work(monkeypatch):
    monkeypatch.setenv(reads.ORIGIN, "{}")
    reads.set_origin(run="a", notebook="02_x")
    assert reads.origin() == {"run": "a", "notebook": "02_x"} == json.loads(os.environ[reads.ORIGIN])
