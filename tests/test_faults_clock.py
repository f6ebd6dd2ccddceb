"""Nothing depends on the clock: what is up to date is known by hashes, and other versions of a library make what depends on them again."""

from __future__ import annotations

import os
import time

import pytest
from fault_run import copied, everything, shown

from hybridir_utils.experiment.encoders import trained_encoders
from hybridir_utils.experiment.preparation import prepare_pairs
from hybridir_utils.provenance import artefacts, fingerprints
from hybridir_utils.provenance.fingerprints import versions
from hybridir_utils.suite import records, running
from hybridir_utils.suite.plan import CACHED, STALE, plan
from hybridir_utils.suite.records import OK, read_record
from hybridir_utils.suite.running import Step, run_suite

PAST, FUTURE = 86_400.0, 4_000_000_000.0  # 1970, 2096


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """The finished run in a copy of its output folder; its notebook counts as executed."""
    run = copied(finished, tmp_path / "out", monkeypatch)
    running.watch.work = {"01_first": lambda: shown(run)}
    return run


def again(run) -> list[str]:
    """Numbers of the notebooks that ran."""
    running.watch.clear()
    run_suite(run, say=lambda _: None)
    return list(running.watch)


def file_states(run) -> dict:
    """Inode and bytes of all that the run keeps, but for locks."""
    paths = [path for path in run.artefacts.rglob("*") if path.is_file() and path.suffix not in (".lock", ".owner")]
    return {path: (path.stat().st_ino, path.read_bytes()) for path in paths if ".sqlite" not in path.name}


@pytest.mark.parametrize("when", [PAST, FUTURE, "mixed"], ids=["past", "future", "mixed"])
def test_times_of_files_decide_nothing(run, finished, tmp_path, when):
    """Also where what was made later has the earlier time, as after a copy or a clock that was set back."""
    places = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    for number, path in enumerate(places):
        stamp = (PAST, FUTURE)[number % 2] if when == "mixed" else when
        os.utime(path, (stamp, stamp))
    before = file_states(run)
    assert again(run) == []
    everything(run)
    assert file_states(run) == before, "made again"
    running.notebooks()[0].touch()
    assert again(run) == []


def test_a_new_file_with_the_time_of_the_old_one_is_seen(run):
    """As a restored copy has it; to the nanosecond, and of the same length."""
    (file,) = run.artefacts.glob("pairs/pairs-*/train.parquet")
    before, state = file.read_bytes(), file.stat()
    expected = prepare_pairs(run).train[:]
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert prepare_pairs(run).train[:] == expected and file.read_bytes() == before
    table = run.results / "scores.csv"
    text, state = table.read_text(), table.stat()
    table.write_text(text.replace("0.1", "0.2", 1))
    os.utime(table, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert again(run) == ["01"] and table.read_text() == text


def test_a_clock_that_runs_backwards_changes_no_decision(run, monkeypatch):
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    assert again(run) == []
    step = Step(running.notebooks()[0], run)
    step.executed.unlink()
    assert again(run) == ["01"] and again(run) == []
    record = read_record(step.record)
    assert record.status == OK and record.seconds >= 0
    (folder,) = (path for path in run.artefacts.glob("evaluations/*BM25*") if path.is_dir())
    (folder / "scores.parquet").unlink()
    everything(run)
    assert artefacts.is_whole(folder) and artefacts.recipe_of(folder)["seconds"] >= 0
    assert again(run) == []


def test_another_version_of_a_library_makes_all_that_depends_on_it_again_and_names_it(run, monkeypatch):
    kept, encoders = file_states(run), trained_encoders(run)
    other = versions() | {"torch": "99.0"}
    for module in (fingerprints, artefacts, records):
        monkeypatch.setattr(module, "versions", lambda: other)
    (planned,) = plan(run)
    assert planned.state == STALE and any("torch" in reason and "99.0" in reason for reason in planned.reasons)
    assert again(run) == ["01"] and again(run) == [] and plan(run)[0].state == CACHED
    others = trained_encoders(run)
    assert set(others) == set(encoders) and not set(others.values()) & set(encoders.values())
    assert all(artefacts.recipe_of(folder)["versions"]["torch"] == "99.0" for folder in others.values())
    now = file_states(run)
    old = {path for path in kept if not {"notebooks", "results", "figures"} & set(path.parts)}
    assert all(now[path] == kept[path] for path in old), "an artefact of the other version is gone"
    monkeypatch.undo()
    assert all(artefacts.is_whole(folder) for folder in encoders.values())
