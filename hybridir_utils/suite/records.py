"""What the suite records of each executed notebook, in `<executed>.run.json`; a killed run never reads as one that ended well."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from ..base.errors import InputError
from ..base.files import read_json, write_json
from ..provenance.fingerprints import is_sealed, sealed

RUNNING, OK, FAILED, KILLED, TIMEOUT = STATUSES = ("running", "ok", "failed", "killed", "timeout")
SAME = 2.0  # seconds: the system's time of start wavers by so much when the clock is set


@dataclass(frozen=True)
class Record:
    """One execution of a notebook.

    parts: what the fingerprint is made of. peak_memory_mb: of all processes of the notebook together. process, process_started: the suite
    that waits for it, and when that began, in seconds after the machine. inputs, outputs: path below the output folder -> SHA-256 (of an
    artefact, its record's). origin: run, profile, and the values that differ from its file. trained_seconds: what the training runs within
    took, one after the other. usual_seconds: of the last execution that ended well, without them. error: notebook, cell and last line.
    """

    notebook: str
    status: str
    fingerprint: str
    parts: dict
    started: str
    process: int
    process_started: float
    host: str
    device: str = ""
    commit: str = ""
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    trained_seconds: float = 0.0
    usual_seconds: float | None = None
    origin: dict = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    error: str = ""


def begun(notebook: str, fingerprint: str, parts: dict, **more) -> Record:
    """The record of an execution that begins now, in this process."""
    about = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname()}
    return Record(notebook, RUNNING, fingerprint, parts, process=os.getpid(), process_started=_start_of(os.getpid()), **about, **more)


def write_record(path: Path, record: Record) -> None:
    """Write the record under a temporary name and rename it. Raises InputError where the disk is full or read-only."""
    write_json(path, sealed(asdict(record)))


def read_record(path: Path) -> Record | None:
    """The record; None where there is none, or it was altered. "running" reads as "killed" where the process that wrote it is gone."""
    try:
        values = read_json(path)
        record = Record(**{key.name: values[key.name] for key in fields(Record)}) if is_sealed(values) else None
    except (InputError, KeyError):
        return None
    if record is None:
        return None
    if record.status == RUNNING and _gone(record):
        return replace(record, status=KILLED, error=f"{record.notebook}: the run was killed (process {record.process})")
    return record


def _gone(record: Record) -> bool:
    """Of another machine's processes nothing is known."""
    if record.host != socket.gethostname():
        return False
    try:
        return abs(_start_of(record.process) - record.process_started) > SAME
    except psutil.Error:
        return True


def _start_of(process: int) -> float:
    """Seconds between the start of the machine and of a process: the clock may be set in between, and numbers are given again.

    Raises psutil.NoSuchProcess where it has ended, also where nobody has collected it yet.
    """
    found = psutil.Process(process)
    if found.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(process)
    return round(found.create_time() - psutil.boot_time(), 2)
