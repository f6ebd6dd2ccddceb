"""Artefacts: made once, found again by fingerprint, never half-written, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from waiting import alive, wait_for, written

from hybridir_utils.base import parallel
from hybridir_utils.base.errors import Busy, InputError, did_you_mean
from hybridir_utils.base.files import fingerprint, folder_fingerprint
from hybridir_utils.base.parallel import run_jobs
from hybridir_utils.provenance import artefacts
from hybridir_utils.provenance.artefacts import RECORD, Artefact, hold, is_whole, recipe_of
from hybridir_utils.provenance.fingerprints import code_fingerprint

MODULE = did_you_mean  # any small function of the package stands for the code that makes the artefact


def filled(text: str, calls: list | None = None):
    def make(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "text.txt").write_text(text, encoding="utf-8")
        if calls is not None:
            calls.append(folder)

    return make


def child(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_made_once_and_found_again(tmp_path):
    calls = []
    first = Artefact(tmp_path, "thing", {"a": 1}, MODULE).make(filled("x", calls))
    again = Artefact(tmp_path, "thing", {"a": 1}, MODULE).make(filled("y", calls))
    assert first == again == Artefact(tmp_path, "thing", {"a": 1}, MODULE).path
    assert len(calls) == 1 and (again / "part" / "text.txt").read_text() == "x"
    assert visible(tmp_path) == [first.name]


def test_another_recipe_is_another_folder(tmp_path):
    folders = {Artefact(tmp_path, "thing", {"a": a}, MODULE).make(filled(str(a))) for a in (1, 2)}
    assert len(folders) == 2 and all(is_whole(folder) for folder in folders)


def test_key_order_of_a_recipe_does_not_count(tmp_path):
    assert Artefact(tmp_path, "t", {"a": 1, "b": 2}, MODULE).path == Artefact(tmp_path, "t", {"b": 2, "a": 1}, MODULE).path


def test_the_record_says_where_it_came_from(tmp_path):
    record = recipe_of(Artefact(tmp_path, "thing", {"a": [1, "ä"]}, MODULE).make(filled("x")))
    assert record["name"] == "thing" and record["recipe"] == {"a": [1, "ä"]}
    assert record["code"] == code_fingerprint(MODULE) and record["versions"]["numpy"][0].isdigit()
    assert list(record["files"]) == ["part/text.txt"] and len(record["files"]["part/text.txt"]) == 64
    assert record["seconds"] >= 0 and len(record["fingerprint"]) == 64


@pytest.mark.parametrize("versions", [{"numpy": "1"}, {"numpy": "2"}])
def test_other_versions_of_the_libraries_are_another_artefact(tmp_path, monkeypatch, versions):
    before = Artefact(tmp_path, "thing", {}, MODULE).path
    monkeypatch.setattr(artefacts, "versions", lambda: versions)
    assert Artefact(tmp_path, "thing", {}, MODULE).path != before


def damage_truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def damage_flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
@pytest.mark.parametrize("name", ["part/text.txt", RECORD])
def test_a_damaged_file_is_found_and_made_again(tmp_path, damage, name):
    folder = Artefact(tmp_path, "thing", {}, MODULE).make(filled("good"))
    damage(folder / name)
    assert not is_whole(folder)
    assert Artefact(tmp_path, "thing", {}, MODULE).make(filled("good")) == folder
    assert is_whole(folder) and (folder / "part" / "text.txt").read_text() == "good"


def test_a_failing_maker_leaves_nothing(tmp_path):
    def fails(folder: Path) -> None:
        filled("half")(folder)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        Artefact(tmp_path, "thing", {}, MODULE).make(fails)
    assert not [path for path in tmp_path.rglob("*") if path.name == "text.txt"] and not visible(tmp_path)
    assert is_whole(Artefact(tmp_path, "thing", {}, MODULE).make(filled("x")))


KILLED = """
import os, signal, sys
from pathlib import Path
from hybridir_utils.base.errors import did_you_mean
from hybridir_utils.provenance.artefacts import Artefact
def make(folder):
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
Artefact(Path(sys.argv[1]), "thing", {}, did_you_mean).make(make)
"""


def test_a_killed_maker_leaves_nothing_that_looks_done_and_the_next_run_clears_up(tmp_path):
    assert child(KILLED, tmp_path).wait() == -signal.SIGKILL
    assert not visible(tmp_path) and not is_whole(Artefact(tmp_path, "thing", {}, MODULE).path)
    folder = Artefact(tmp_path, "thing", {}, MODULE).make(filled("x"))
    assert is_whole(folder) and visible(tmp_path) == [folder.name]
    assert not list(tmp_path.rglob("half.txt")), "the killed attempt's files stay on the disk"


WAITING = """
import sys
from pathlib import Path
from hybridir_utils.base.errors import did_you_mean
from hybridir_utils.provenance.artefacts import Artefact
def make(folder):
    print("making", flush=True)
    sys.stdin.read()
    (folder / "by.txt").write_text("the other")
Artefact(Path(sys.argv[1]), "thing", {}, did_you_mean).make(make)
"""


SECOND = """
import sys
from pathlib import Path
from hybridir_utils.base.errors import did_you_mean
from hybridir_utils.provenance.artefacts import Artefact
print(Artefact(Path(sys.argv[1]), "thing", {}, did_you_mean).make(lambda folder: (folder / "by.txt").write_text("the second")))
"""


def two_at_once(tmp_path) -> tuple[subprocess.Popen, subprocess.Popen, str]:
    """(the first, in the middle of making; the second, waiting; what the second says)."""
    first = child(WAITING, tmp_path, stdin=subprocess.PIPE)
    assert first.stdout.readline() == "making\n"
    second = child(SECOND, tmp_path, stderr=subprocess.PIPE)
    return first, second, second.stderr.readline()


def test_two_at_once_the_second_says_on_whom_it_waits_and_takes_what_was_made(tmp_path):
    first, second, said = two_at_once(tmp_path)
    assert re.fullmatch(rf"thing-\w+: being made by process {first.pid} on \S+; waiting for it\n", said)
    first.communicate("")
    made, more = second.communicate()
    assert second.returncode == 0 and more == "", "said once"
    assert (Path(made.strip()) / "by.txt").read_text() == "the other"


def test_where_the_first_is_killed_the_one_that_waits_makes_it(tmp_path):
    first, second, _ = two_at_once(tmp_path)
    first.kill()
    made, _ = second.communicate()
    first.communicate()
    assert is_whole(Path(made.strip())) and (Path(made.strip()) / "by.txt").read_text() == "the second"


def test_the_lock_of_a_killed_process_does_not_stay(tmp_path):
    other = child(WAITING, tmp_path, stdin=subprocess.PIPE)
    other.stdout.readline()
    other.kill()
    other.communicate()
    assert is_whole(Artefact(tmp_path, "thing", {}, MODULE).make(filled("mine")))


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="inside"), hold(tmp_path / "place"):
        raise ValueError("inside")
    with hold(tmp_path / "place"), pytest.raises(Busy), hold(tmp_path / "place"):
        pass


REFUSED = {errno.EACCES: "Check the permissions", errno.EROFS: "Check the permissions", errno.ENOSPC: "Free some space"}


@pytest.mark.parametrize("call", ["mkdir", "rename"])
@pytest.mark.parametrize("number", REFUSED, ids=errno.errorcode.get)
def test_a_folder_that_takes_no_files_is_named_with_what_to_do(tmp_path, monkeypatch, number, call):
    """As root the system refuses nothing, so its refusal is put in the place of the call that makes or renames the folder."""
    earlier = Artefact(tmp_path, "earlier", {}, MODULE).make(filled("x"))
    original = getattr(os, call)

    def refuse(path, *arguments, **options):
        if ".thing-" in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(InputError) as caught:
        Artefact(tmp_path, "thing", {}, MODULE).make(filled("y"))
    message = str(caught.value)
    assert str(tmp_path) in message and "thing-" in message and os.strerror(number) in message
    assert REFUSED[number] in message and "HYBRIDIR_OUTPUT" in message
    assert is_whole(earlier) and visible(tmp_path) == [earlier.name]


def test_an_output_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("I was here first")
    with pytest.raises(InputError, match=r"file.*cannot be written"):
        Artefact(tmp_path / "file" / "pairs", "thing", {}, MODULE).make(filled("x"))
    assert (tmp_path / "file").read_text() == "I was here first"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no such file", "input.txt"), ConnectionError("hub"), OSError("not a model")]
)
def test_errors_that_are_not_about_writing_stay_what_they_are(tmp_path, error):
    def fails(folder: Path) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Artefact(tmp_path, "thing", {}, MODULE).make(fails)
    assert caught.value is error


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode == 0
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield place
    subprocess.run(["umount", place], check=True)


def fill_text(folder: Path) -> None:
    (folder / "text.txt").write_text("y" * 200_000)


def fill_array(folder: Path) -> None:
    np.save(folder / "array.npy", np.zeros(100_000))


def fill_weights(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weights": np.zeros(100_000)}, folder / "model.safetensors")


def fill_table(folder: Path) -> None:
    pd.DataFrame({"value": np.random.default_rng(0).random(100_000)}).to_parquet(folder / "table.parquet")


@pytest.mark.parametrize("fill", [fill_text, fill_array, fill_weights, fill_table])
def test_a_full_disk(tiny_disk, fill):
    earlier = Artefact(tiny_disk, "earlier", {}, MODULE).make(filled("x"))
    with pytest.raises(InputError, match=r"No space left on device.*Free some space.*Earlier results are untouched"):
        Artefact(tiny_disk, "thing", {}, MODULE).make(fill)
    assert is_whole(earlier) and visible(tiny_disk) == [earlier.name]
    assert is_whole(Artefact(tiny_disk, "thing", {}, MODULE).make(filled("y")))


def test_fingerprints_of_folders_see_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = folder_fingerprint(tmp_path)
    (tmp_path / "a").write_text("2")
    second = folder_fingerprint(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, folder_fingerprint(tmp_path)}) == 3
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})


def job(number: int, wait: float, folder: str) -> tuple[int, int]:
    time.sleep(wait)
    (Path(folder) / str(number)).write_text("done")
    if number < 0:
        raise InputError(f"job {number} failed")
    return number, os.getpid()


def test_jobs_run_in_other_processes_and_come_back_in_order(tmp_path):
    results = run_jobs(job, [(1, 0.3, str(tmp_path)), (2, 0.0, str(tmp_path)), (3, 0.0, str(tmp_path))], workers=2, label="test")
    assert [number for number, _ in results] == [1, 2, 3]
    assert os.getpid() not in {process for _, process in results}
    assert run_jobs(job, [], workers=2, label="test") == []


def test_the_first_failing_job_stops_what_has_not_begun(tmp_path):
    jobs = [(-1, 0.0, str(tmp_path)), *((number, 0.2, str(tmp_path)) for number in range(1, 9))]
    with pytest.raises(InputError, match="job -1 failed"):
        run_jobs(job, jobs, workers=1, label="test")
    assert len(list(tmp_path.iterdir())) < len(jobs)


def test_an_interrupt_leaves_workers_alone_that_wait_and_stops_those_at_work(tmp_path, capfd):
    """A notebook's kernel passes an interrupt, and its end, on to its workers."""
    workers = {process for _, process in run_jobs(job, [(1, 0.2, str(tmp_path)), (2, 0.2, str(tmp_path))], workers=2, label="test")}
    for process in workers:
        os.kill(process, signal.SIGINT)
    time.sleep(0.2)
    again = run_jobs(job, [(3, 0.2, str(tmp_path)), (4, 0.2, str(tmp_path))], workers=2, label="test")
    assert {process for _, process in again} == workers and "Traceback" not in capfd.readouterr().err
    threading.Timer(0.5, lambda: [os.kill(process, signal.SIGINT) for process in workers]).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(job, [(5, 60.0, str(tmp_path))], workers=2, label="test")


def variable(name: str) -> str | None:
    return os.environ.get(name)


def test_workers_have_the_environment_of_now_and_libraries_imported_in_it(monkeypatch):
    """Forks of a process that imported them before would not; so a variable that libraries read then makes workers import anew."""
    before = parallel.preload_libraries()
    for value in ("/one", "/two"):
        monkeypatch.setenv("HYBRIDIR_OUTPUT", value)
        assert run_jobs(variable, [("HYBRIDIR_OUTPUT",)], workers=2, label="test") == [value]
    monkeypatch.delenv("HYBRIDIR_OUTPUT")
    assert run_jobs(variable, [("HYBRIDIR_OUTPUT",)], workers=2, label="test") == [None]
    for name in {**os.environ, **before}:
        if not name.startswith(parallel.UNREAD):
            monkeypatch.setenv(name, before[name]) if name in before else monkeypatch.delenv(name)
    assert parallel._start_method() == "forkserver"
    monkeypatch.setenv("HF_HUB_OFFLINE", "never" + before.get("HF_HUB_OFFLINE", ""))
    assert parallel._start_method() == "spawn"


def means() -> tuple[int, int, str]:
    import torch
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return torch.get_num_threads(), max(pool["num_threads"] for pool in threadpool_info()), os.environ["TOKENIZERS_PARALLELISM"]


def test_a_single_worker_has_all_cores_and_several_one_thread_each():
    """By what was asked for: the last of two workers' jobs, run again alone, rounds as it did beside the other."""
    cores = os.cpu_count()
    assert run_jobs(means, [()], workers=1, label="test") == [(cores, cores, str(cores > 1).lower())]
    assert run_jobs(means, [()], workers=2, label="test") == [(1, 1, "false")]


@pytest.mark.parametrize(
    ("workers", "gpu", "threads"), [(1, False, 16), (2, False, 1), (4, False, 1), (1, True, 16), (4, True, 4), (32, True, 1)]
)
def test_beside_a_gpu_workers_share_the_cores(workers, gpu, threads, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 16)
    assert parallel.threads_of(workers) == threads


READY = """
import psutil, sys
sys.path.insert(0, sys.argv[1])
from test_runs import parent
from hybridir_utils.base.parallel import ready_workers, run_jobs
if __name__ == "__main__":
    ready_workers()
    started = {child.pid for child in psutil.Process().children()}
    import sentence_transformers  # which sets variables, as where a process makes what its workers start from
    (forked_from,) = run_jobs(parent, [()], 1, "test")
    print(forked_from in started)
"""


def parent() -> int:
    return os.getppid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_workers_are_forks_of_the_process_that_was_started_for_them_before_whatever_was_imported_since(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(READY)
    assert subprocess.run([sys.executable, script, Path(__file__).parent], capture_output=True, text=True).stdout == "True\n"


ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_runs import stay
from hybridir_utils.base.parallel import run_jobs
if __name__ == "__main__":
    run_jobs(stay, [(sys.argv[2],)], 1, "test")
"""


def stay(folder: str) -> None:
    (Path(folder) / "worker").write_text(str(os.getpid()))
    time.sleep(600)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, script, Path(__file__).parent, tmp_path], stderr=subprocess.DEVNULL)
    worker = wait_for(lambda: written(tmp_path / "worker"))
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not alive(int(worker)))


def test_records_are_json_that_people_can_read(tmp_path):
    text = (Artefact(tmp_path, "thing", {"b": "ü"}, MODULE).make(filled("x")) / RECORD).read_text(encoding="utf-8")
    assert "ü" in text and text.count("\n") > 10 and list(json.loads(text)) == sorted(json.loads(text))
