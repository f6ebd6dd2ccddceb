"""A corpus' vectors on disk: resumed by shard after a kill, a damaged shard made again alone, several processes, a full disk."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import namedtuple

import distributed
import numpy as np
import pytest
from datasets import Dataset
from tiny_models import save_tiny_bert

from hybridir_utils.base import parallel
from hybridir_utils.base.errors import Busy, InputError
from hybridir_utils.data import register
from hybridir_utils.encode import corpora
from hybridir_utils.encode.corpora import encode_corpus, task_vectors
from hybridir_utils.encode.encoding import encode_texts
from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.provenance.artefacts import hold

WORDS = ["water", "fire", "stone", "tree"]
TEXTS = [f"{WORDS[n % 4]} {WORDS[n // 7 % 4]} {n}" for n in range(25)]


def corpus(texts=TEXTS):
    return Dataset.from_dict({"id": [f"p{n}" for n in range(len(texts))], "text": list(texts)})


@pytest.fixture
def filled(tmp_path, tiny_base):
    """Seven shards of four passages (the last of one)."""
    return encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)


@pytest.fixture
def expected(tiny_base):
    return encode_texts(open_model(tiny_base), TEXTS, "document")


def everything(vectors):
    return np.concatenate([block for _, block in vectors.blocks(6)])


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*.npy"))}


def test_vectors_are_the_encoders_in_the_corpus_order(filled, expected):
    assert (len(filled), filled.width, len(filled.shards)) == (25, 8, 7)
    assert np.array_equal(everything(filled), expected)


@pytest.mark.parametrize("size", [1, 3, 4, 9, 100])
def test_blocks_are_full_over_the_borders_of_shards(filled, expected, size):
    blocks = list(filled.blocks(size))
    assert [start for start, _ in blocks] == list(range(0, 25, size)) and all(len(block) == size for _, block in blocks[:-1])
    assert np.array_equal(np.concatenate([block for _, block in blocks]), expected)


def test_half_precision_is_half_the_disk_and_read_as_fp32(tmp_path, tiny_base, filled, expected):
    half = encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4, vector_precision="fp16")
    assert half.folder != filled.folder and np.load(half.folder / "000000.npy").dtype == np.float16
    assert np.array_equal(everything(half), expected.astype("f2").astype("f4"))


def test_what_is_there_is_not_made_again(filled, tmp_path, tiny_base, monkeypatch):
    monkeypatch.setattr(corpora, "encode_shard", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)
    assert again == filled


def truncate(path):
    path.write_bytes(path.read_bytes()[:-4])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("spoil", [truncate, flip, remove])
def test_a_damaged_shard_is_named_and_made_again_alone(filled, expected, tmp_path, tiny_base, spoil):
    before = written(filled.folder)
    spoil(filled.folder / "000002.npy")
    with pytest.warns(UserWarning, match=r"000002.npy: damaged; this shard alone is encoded again"):
        again = encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)
    after = written(filled.folder)
    assert np.array_equal(everything(again), expected)
    assert [name for name in after if after[name] != before[name]] == ["000002.npy"]


def test_changed_texts_are_encoded_again_in_their_shard_alone(filled, tmp_path, tiny_base):
    before, texts = written(filled.folder), [*TEXTS[:9], "fire fire", *TEXTS[10:], "tree 99"]
    with pytest.warns(UserWarning) as told:
        again = encode_corpus(tiny_base, corpus(texts), tmp_path, shard_size=4)
    assert ["000002.npy: of other texts" in str(told[0].message), "000006.npy: of other texts" in str(told[1].message)] == [True, True]
    assert np.array_equal(everything(again), encode_texts(open_model(tiny_base), texts, "document"))
    after = written(filled.folder)
    assert [name for name in after if after[name] != before[name]] == ["000002.npy", "000006.npy"]


def test_another_encoder_or_opening_has_a_folder_of_its_own(filled, tmp_path, tiny_base):
    model = open_model(tiny_base)
    model.prompts = {"document": "fire "}
    model.save(str(tmp_path / "other"), create_model_card=False)
    other = encode_corpus(tmp_path / "other", corpus(), tmp_path, shard_size=4)
    assert other.folder != filled.folder and not np.array_equal(everything(other), everything(filled))
    assert np.array_equal(everything(other), encode_texts(model, TEXTS, "document"))
    assert encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4, opening=Opening(trust_remote_code=True)).folder != filled.folder


def test_vectors_of_other_code_or_other_libraries_are_made_again(filled, tmp_path, tiny_base, monkeypatch):
    monkeypatch.setattr(corpora, "versions", lambda: {"torch": "0"})
    assert encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4).folder != filled.folder
    monkeypatch.undo()
    monkeypatch.setattr(corpora, "code_fingerprint", lambda *functions: "edited")
    assert encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4).folder != filled.folder


PROMPTED = Opening(prompts=("which ", "fact: "))


def kept_task(encoder, folder):
    task = register.read_task("worldfacts-test", register.Request(("en", "de")))
    return task, task_vectors(encoder, task, folder, opening=PROMPTED, batch_tokens=4096, precision="fp32")


def test_a_tasks_vectors_are_kept_by_role_and_read_the_second_time(tmp_path, monkeypatch):
    encoder = save_tiny_bert(tmp_path / "encoder", TEXTS)
    task, vectors = kept_task(encoder, tmp_path / "kept")
    model = open_model(encoder, PROMPTED)
    for side, role in ((vectors.queries, "query"), (vectors.candidates, "document")):
        frame = task.queries if role == "query" else task.candidates
        assert np.allclose(side, encode_texts(model, frame["text"], role), atol=1e-5)
    monkeypatch.setattr(corpora, "encode_shard", None)
    again = kept_task(encoder, tmp_path / "kept")[1]
    assert np.array_equal(again.queries, vectors.queries) and np.array_equal(again.candidates, vectors.candidates)


def test_vectors_of_subword_bags_are_not_kept(tmp_path, tiny_base):
    task, vectors = kept_task(tiny_base, tmp_path / "kept")
    assert np.array_equal(vectors.candidates, encode_texts(open_model(tiny_base, PROMPTED), task.candidates["text"], "document"))
    assert not (tmp_path / "kept").exists()


WAITING = """
import sys, time
from pathlib import Path
import numpy as np
from datasets import Dataset
from hybridir_utils.encode import corpora

def shard(number, ids, texts, *settings):
    if number == 3 and len(sys.argv) > 3:
        Path(sys.argv[3]).touch()
        time.sleep(600)
    return number, np.array([[len(text), number] for text in texts], dtype=np.float32)

corpora.encode_shard, corpora._gpus = shard, lambda: 1
texts = [str(n) * (n + 1) for n in range(10)]
corpora.encode_corpus(sys.argv[1], Dataset.from_dict({"id": texts, "text": texts}), sys.argv[2], shard_size=2)
"""


def test_a_kill_costs_at_most_the_shard_under_way(tmp_path, tiny_base):
    """Killed while it makes the fourth of five shards, in which it waits."""
    command, reached = [sys.executable, "-c", WAITING, str(tiny_base), str(tmp_path / "out")], tmp_path / "reached"
    killed = subprocess.Popen([*command, str(reached)], stderr=subprocess.DEVNULL)
    while not reached.exists() and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (folder,) = (path for path in tmp_path.glob("out/*") if path.is_dir())
    (folder / f".000004.npy.{socket.gethostname()}-{killed.pid}-1.tmp").write_bytes(b"half")  # as a kill inside a write leaves it
    before = written(folder)
    assert list(before) == ["000000.npy", "000001.npy", "000002.npy"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = written(folder)
    assert {name: after[name] for name in before} == before, "what was there is not made again"
    assert sorted(path.name for path in folder.iterdir()) == [*(f"00000{n}.npy" for n in range(5)), "vectors.json"]
    assert np.concatenate([np.load(folder / name) for name in after])[:, 0].tolist() == [n + 1 for n in range(10)]


def test_room_is_asked_for_before_anything_is_written(tmp_path, tiny_base, monkeypatch):
    monkeypatch.setattr(corpora.shutil, "disk_usage", lambda place: namedtuple("usage", "free")(25 * 8 * 4 - 1))
    with pytest.raises(InputError, match=r"vectors-\w+: 25 vectors of 8 numbers in fp32 need 0.00 GB; 0.00 GB are free.*vector_precision"):
        encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)
    assert not list(tmp_path.rglob("*.npy"))
    assert len(encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4, vector_precision="fp16")) == 25


def test_a_disk_that_fills_up_keeps_what_is_there(tmp_path, tiny_base, expected, monkeypatch):
    save, saved = np.save, []

    def full_after_two(file, vectors):
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        saved.append(save(file, vectors))

    monkeypatch.setattr(corpora.np, "save", full_after_two)
    with pytest.raises(InputError, match=r"000002.npy: cannot be written .No space left.*Earlier results are untouched"):
        encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)
    monkeypatch.undo()
    (folder,) = tmp_path.glob("vectors-*")
    before = written(folder)
    assert list(before) == ["000000.npy", "000001.npy"] and not list(folder.glob("*.tmp"))
    assert np.array_equal(everything(encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)), expected)
    assert before.items() <= written(folder).items()


def test_a_broken_embedding_is_named(tmp_path, tiny_base):
    model = open_model(tiny_base)
    model[0].embedding.weight.data[:] = np.nan
    model.save(str(tmp_path / "broken"), create_model_card=False)
    with pytest.raises(InputError, match="embedding of 'p0' is not finite"):
        encode_corpus(tmp_path / "broken", corpus(), tmp_path, shard_size=4)


def test_two_processes_do_not_fill_one_folder(filled, tmp_path, tiny_base):
    with hold(filled.folder), pytest.raises(Busy):
        encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)


@pytest.mark.parametrize(("rows", "words"), [(corpus([]), "0 passages"), (corpus().remove_columns("id"), "25 passages and columns text;")])
def test_a_corpus_that_is_none_is_told(tmp_path, tiny_base, rows, words):
    with pytest.raises(InputError, match=f"columns id and text, found {words}"):
        encode_corpus(tiny_base, rows, tmp_path)


def test_two_workers_encode_and_one_dies(tmp_path, tiny_base, expected, monkeypatch):
    write, killed = corpora.ShardFolder.write, []

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None) as cluster:
        with distributed.Client(cluster) as client:
            pids = client.run(os.getpid)

        def kill_one_then_write(self, *shard):
            if not killed:
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], signal.SIGKILL)
            write(self, *shard)

        monkeypatch.setattr(corpora.ShardFolder, "write", kill_one_then_write)
        vectors = encode_corpus(tiny_base, corpus(), tmp_path, shard_size=1, scheduler=cluster.scheduler_address)
    assert killed and len(vectors.shards) == 25
    assert np.array_equal(everything(vectors), expected)


def test_workers_of_its_own_encode_as_one_process_does(tmp_path, tiny_base, expected):
    """Two processes of a cluster that is started for the corpus and gone after it."""
    vectors = encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4, workers=2)
    assert len(vectors.shards) == 7 and np.array_equal(everything(vectors), expected)
    assert not distributed.LocalCluster._instances or all(
        cluster.status.name == "closed" for cluster in distributed.LocalCluster._instances
    )


def test_a_scheduler_that_does_not_answer_is_told(tmp_path, tiny_base, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", 1)
    with pytest.raises(InputError, match=r"scheduler tcp://127.0.0.1:9: no answer.*dask scheduler.*leave scheduler empty"):
        encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4, scheduler="tcp://127.0.0.1:9")


def test_a_shard_that_kills_its_workers_is_told():
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=None) as alone,
        pytest.raises(InputError, match=r"died several times.*Lower batch_tokens or shard_size"),
    ):
        list(parallel.run_on_cluster(os._exit, [(1,)], alone.scheduler_address, 0))


def test_an_encoder_trained_anew_in_its_folder_is_opened_anew(tmp_path, tiny_base):
    model = open_model(tiny_base)
    for prompt in ("fire ", "tree "):
        model.prompts = {"document": prompt}
        model.save(str(tmp_path / "encoder"), create_model_card=False)
        vectors = encode_corpus(tmp_path / "encoder", corpus(), tmp_path, shard_size=4)
        assert np.array_equal(everything(vectors), encode_texts(model, TEXTS, "document"))


def test_one_process_a_device(tmp_path, tiny_base, expected, monkeypatch):
    monkeypatch.setattr(corpora, "_gpus", lambda: 2)
    asked = []
    run = lambda function, jobs, scheduler, workers: asked.append((scheduler, workers)) or (function(*job) for job in jobs)  # noqa: E731
    monkeypatch.setattr(parallel, "run_on_cluster", run)
    assert np.array_equal(everything(encode_corpus(tiny_base, corpus(), tmp_path, shard_size=4)), expected)
    assert asked == [("", 2)]
