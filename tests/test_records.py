"""Records of executions: written whole, read back, and never "ok" for a run that was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from hybridir_utils.suite import records
from hybridir_utils.suite.records import FAILED, KILLED, OK, RUNNING, begun, read_record, write_record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "executed" / "01_x.run.json"


def test_a_record_is_read_as_it_was_written(path):
    record = replace(begun("01_x.ipynb", {"code": {"a.py": "1"}}, commit="abc"), status=FAILED, outputs={"figures/ä.png": "0"})
    write_record(path, record)
    assert read_record(path) == record
    assert "ä" in path.read_text(encoding="utf-8") and sorted(path.parent.iterdir()) == [path], "no temporary file stays"


def test_it_says_which_process_and_when(path):
    record = begun("01_x.ipynb", {})
    assert record.status == RUNNING and record.process == os.getpid() and record.host == os.uname().nodename
    assert record.started.endswith("+00:00") and "T" in record.started


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"status": "ok"}', '{"notebook": "01", "status": "ok", "outputs": ["a"]}'])
def test_what_is_no_whole_record_reads_as_none(path, content):
    if content is not None:
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    assert read_record(path) is None


BEGIN = """
import sys, time
from pathlib import Path
from hybridir_utils.suite.records import begun, write_record
write_record(Path(sys.argv[1]), begun("01_x.ipynb", {}))
print("written", flush=True)
time.sleep(600)
"""


def test_a_running_record_reads_as_killed_once_its_process_is_gone(path):
    child = subprocess.Popen([sys.executable, "-c", BEGIN, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "written\n"
    assert read_record(path).status == RUNNING
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert read_record(path).status == KILLED, "dead, though nobody has collected it yet"
    child.communicate()
    found = read_record(path)
    assert found.status == KILLED and found.error == f"01_x.ipynb: the run was killed (process {child.pid})"
    assert json.loads(path.read_text())["status"] == RUNNING, "reading changes nothing"


def test_another_process_with_the_same_number_is_not_the_one_that_wrote(path):
    record = begun("01_x.ipynb", {})
    write_record(path, replace(record, process_started=record.process_started - 60))
    assert read_record(path).status == KILLED


@pytest.mark.parametrize("shift", [-86_400.0, 3600.0])
def test_a_clock_that_is_set_anew_does_not_end_a_run(path, monkeypatch, shift):
    write_record(path, begun("01_x.ipynb", {}))
    booted, created = psutil.boot_time(), psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + shift)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + shift)
    assert read_record(path).status == RUNNING


def test_of_another_machines_process_nothing_is_concluded(path, monkeypatch):
    write_record(path, begun("01_x.ipynb", {}))
    monkeypatch.setattr(records.socket, "gethostname", lambda: "elsewhere")
    monkeypatch.setattr(records.psutil, "Process", lambda process: pytest.fail("looked for here"))
    assert read_record(path).status == RUNNING


@pytest.mark.parametrize("status", [OK, FAILED, KILLED, "timeout"])
def test_what_has_ended_stays_what_it_was(path, status):
    write_record(path, replace(begun("01_x.ipynb", {}), status=status, process=2**22 + 1))
    assert read_record(path).status == status
