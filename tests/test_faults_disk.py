"""A disk that is full or cannot be written to, at every kind of write: path and advice, what was there stays, and the next run goes on.

The disks are real ones, small or mounted read-only: as root the permissions of a folder refuse nothing.
"""

from __future__ import annotations

import shutil

import pytest
from fault_disks import full, read_only, small_disk
from fault_pipeline import results
from fault_run import copied, shown
from made_up import made_up_tables
from made_up_suite import notebook

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import HybridIRError, InputError
from hybridir_utils.experiment.encoders import base_encoders, trained_encoders
from hybridir_utils.experiment.evaluation import evaluate
from hybridir_utils.experiment.preparation import fill_translations, prepare_pairs
from hybridir_utils.experiment.run import save_table
from hybridir_utils.provenance.artefacts import hold
from hybridir_utils.results.figures import draw
from hybridir_utils.suite import child, running
from hybridir_utils.suite.records import OK, read_record
from hybridir_utils.suite.running import Step, run_suite

TABLES = made_up_tables()


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", "4m") as place:
        yield place


@pytest.fixture
def run(disk, finished, monkeypatch):
    """The finished run on a small disk."""
    return copied(finished, disk, monkeypatch)


def drop(*places) -> None:
    for place in places:
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def save_again(run) -> None:
    save_table(run, "scores", TABLES["scores"].assign(value=0.5))


def suite_again(run) -> None:
    run_suite(run, start_at="01", say=lambda _: None)


def without_checkpoints(disk) -> dict[str, str]:
    """One that is half-written has no seal, and counts for nothing."""
    return {name: digest for name, digest in results(disk).items() if "/checkpoints/" not in name}


WRITES = {
    # what is written -> (what of the finished run is dropped before, the call, bytes left on the full disk)
    "translation cache": (lambda run: run.artefacts.glob("translations.sqlite*"), fill_translations, 0),
    "pairs": (lambda run: run.artefacts.glob("pairs/pairs-*"), prepare_pairs, 16384),
    "copy of the pairs": (lambda run: run.artefacts.glob("arrow/*"), prepare_pairs, 16384),
    "base encoder": (lambda run: run.artefacts.glob("bases/unaligned-*"), base_encoders, 16384),
    "encoder": (lambda run: run.artefacts.glob("encoders/*"), trained_encoders, 16384),
    "evaluation": (lambda run: run.artefacts.glob("evaluations/*BM25*"), evaluate, 16384),
    "result table": (lambda run: [], save_again, 0),
    "figure": (lambda run: [], lambda run: draw(run, "03_scores"), 8192),
    "run.json": (lambda run: [], suite_again, 0),
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_full_disk_is_told_and_the_next_run_goes_on(run, disk, kind):
    dropped, call, free = WRITES[kind]
    whole = results(disk)
    drop(*dropped(run))
    running.watch.work = {"01_first": lambda: shown(run)}
    before = results(disk)
    with full(disk, free), pytest.raises(InputError) as refused:
        call(run)
    assert str(disk) in str(refused.value) and "free" in str(refused.value).lower(), str(refused.value)
    assert without_checkpoints(disk) == before, "what was there is gone, or something half-written looks done"
    call(run)
    changed = {name for name, digest in results(disk).items() if whole.get(name) != digest}
    assert all(name.endswith(("scores.csv", ".run.json", ".ipynb")) for name in changed), changed


@pytest.mark.parametrize("kind", WRITES)
def test_a_folder_that_cannot_be_written_to_is_told(run, disk, kind):
    dropped, call, _ = WRITES[kind]
    drop(*dropped(run))
    before = results(disk)
    with read_only(disk), pytest.raises(InputError) as refused:
        call(run)
    said = str(refused.value)
    assert str(disk) in said and ("permissions" in said or "may write to" in said), said
    assert results(disk) == before


def test_a_finished_run_is_read_on_a_disk_that_cannot_be_written_to(run, disk):
    with read_only(disk):
        assert len(prepare_pairs(run).train) and trained_encoders(run) and len(evaluate(run).table("scores"))


def test_an_executed_notebook_that_finds_no_room_is_no_finished_one(run, disk, tmp_path, monkeypatch):
    """With a kernel, whose outputs cannot be saved: the record does not say "ok", and the copy of the run before stays."""
    monkeypatch.setattr(running, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(running, "watch", child.watch)
    (step,) = [Step(notebook(tmp_path, "01_first", "print('x' * 400_000)"), run)]
    before = step.executed.read_bytes()
    with full(disk, 65536), pytest.raises(HybridIRError, match="01_first"):
        suite_again(run)
    assert step.executed.read_bytes() == before and read_record(step.record).status != OK


def test_two_commands_in_one_folder_the_second_is_told_by_the_command(run, capsys):
    with hold(run.notebooks):
        assert main(["run", "--profile", run.source]) == 1
    assert "being written by process" in capsys.readouterr().err
