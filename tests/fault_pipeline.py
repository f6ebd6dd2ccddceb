"""A run through all its stages, killed again and again: `python fault_pipeline.py FOLDER KILLS SEED` prints what happened as JSON.

The process imports everything once and forks a child for each attempt, which costs no import. A child calls what the notebooks call;
jobs run within it (`run_jobs` would start workers that import anew) and it has one thread, as what is forked must not have others.
The parent kills it after a random time, drawn over the length that the stage had in an unbroken run.
"""

from __future__ import annotations

import gc
import json
import os
import random
import re
import select
import shutil
import signal
import sys
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

STAGES = ("translate", "train", "encode", "evaluate", "write")
IMPORTED = (
    *("sentence_transformers", "datasets", "seaborn", "sklearn.decomposition", "bm25s", "py3langid.langid", "tqdm.auto"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
)
VOLATILE = ("artefact.json", "card.json", "README.md", "tables.json")  # seconds and memory, which are no result, and hashes of them
PROFILE = """name = "killed"
languages = ["de", "en"]
pair_sets = ["jsonl:{folder}/facts.jsonl"]
tasks = ["beir:{folder}/pool"]
bases = ["unaligned"]
strategies = ["hybrid"]
seeds = [1]
steps = 6
batch_size = 4
dimension = 8
vocabulary = 300
validate_every = 3
checkpoint_every = 2
resamples = 20
jobs = 1
"""


def write_inputs(folder: Path) -> None:
    """English facts as a user's own pairs, which the translation memory knows, and a small pool in one language to search."""
    from hybridir_utils.data import worldfacts
    from hybridir_utils.tasks.beir import write_beir
    from hybridir_utils.tasks.retrieval_task import RetrievalTask

    languages = ("de", "en")
    pairs = worldfacts.english_pairs("train", languages, 0)
    rows = [{key: row[key] for key in ("id", "passage_id", "language", "question", "passage")} for row in map(pairs.__getitem__, range(48))]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = worldfacts.retrieval_task("test", languages[:1], 0)
    queries = task.queries[task.queries["group"].isin(task.queries["group"].unique()[:6])]
    relevance = task.relevance[task.relevance["query"].isin(queries["id"])]
    candidates = task.candidates[task.candidates["id"].isin(relevance["candidate"])]
    write_beir(RetrievalTask("pool", queries, candidates, relevance), folder / "pool")
    (folder / "killed.toml").write_text(PROFILE.format(folder=folder), encoding="utf-8")


def pipeline(folder: Path, say) -> None:
    """The notebooks' calls, stage after stage; `say(stage)` when one begins."""
    from datasets import Dataset

    from hybridir_utils.encode.corpora import encode_corpus
    from hybridir_utils.experiment.encoders import loss_curves, trained_encoders
    from hybridir_utils.experiment.evaluation import evaluate
    from hybridir_utils.experiment.preparation import fill_translations, prepare_pairs
    from hybridir_utils.experiment.run import open_run, save_table
    from hybridir_utils.results import tables as saved
    from hybridir_utils.results.figures import draw
    from hybridir_utils.suite.readers import write_tables

    run = open_run(str(folder / "killed.toml"))
    say("translate")
    fill_translations(run)
    prepared = prepare_pairs(run)
    say("train")
    encoders = trained_encoders(run)
    say("encode")
    texts = list(dict.fromkeys(prepared.train["passage"]))
    corpus = Dataset.from_dict({"id": [str(n) for n in range(len(texts))], "text": texts})
    encode_corpus(next(iter(encoders.values())), corpus, run.artefacts / "vectors", shard_size=4)
    say("evaluate")
    evaluations = evaluate(run)
    say("write")
    scores, bias = evaluations.table("scores"), evaluations.table("bias")
    tables = {"coverage": prepared.coverage, "losses": loss_curves(encoders), "scores": saved.reported_scores(scores)}
    for name, table in (tables | {"bias": saved.reported_bias(bias)}).items():
        save_table(run, name, table)
    draw(run, "01_coverage")
    write_tables(run)


def results(out: Path) -> dict[str, str]:
    """Path -> hash of all that a run ends in: tables, figures, pairs, weights, vectors, evaluations. Nothing half-written may be there.

    The vectors' folder is named after the encoder's files, the card's seconds among them.
    """
    places = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in VOLATILE]
    kept = [path for path in places if path.suffix != ".lock" and ".sqlite" not in path.name and "arrow" not in path.relative_to(out).parts]
    assert not [path for path in kept if path.name.startswith(".") or ".part" in path.name], kept
    named = {re.sub(r"/vectors-\w+/", "/", str(path.relative_to(out))): path for path in kept if path.name != "vectors.json"}
    return {name: sha256(path.read_bytes()).hexdigest() for name, path in named.items()}


def prepare(folder: Path) -> None:
    """What every child would do first: imports, and what the package remembers in a process. No tensor is made here."""
    import torch

    torch.set_num_threads(1)
    for name in IMPORTED:
        __import__(name)
    from hybridir_utils.data.quality import unchecked_languages
    from hybridir_utils.encode import corpora
    from hybridir_utils.experiment import encoders, evaluation, preparation, stamps
    from hybridir_utils.provenance.fingerprints import code_fingerprint
    from hybridir_utils.suite import readers

    def here(run_job, jobs, workers, label):
        return [run_job(*job) for job in jobs]

    encoders.run_jobs = evaluation.run_jobs = here
    encoders.ready_workers = lambda: None
    write_inputs(folder)
    for maker in (preparation._make, encoders._make_unaligned, encoders._make_aligned, encoders._make_encoder, evaluation._evaluate):
        code_fingerprint(maker)
    for stage in stamps.STAGES:
        stamps._code_of(stage)
    assert not unchecked_languages(["de"]) and readers and corpora
    gc.freeze()  # else every collection in a child goes through all that was imported


def attempt(folder: Path, wanted: str = "", wait: float = 0.0, keep: Path | None = None) -> tuple[str, dict[str, float]]:
    """Fork a child that runs the pipeline and kill it `wait` seconds into the stage `wanted`, or later.

    keep: folder for a copy of what is there when each stage begins. Returns the stage it was killed in, "" where it ended well; and how
    long each stage took that ended.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(folder, writer, keep)
    os.close(writer)
    began, stage, limit, took = time.monotonic(), "start", None, {}
    with open(reader, "rb", buffering=0) as told:
        while True:
            left = None if limit is None else max(0.0, limit - time.monotonic())
            if not select.select([told], [], [], left)[0]:
                os.killpg(child, signal.SIGKILL)
                break
            line = told.read(64)
            now = time.monotonic()
            took[stage], began = now - began, now
            if not line:
                break
            stage = line.decode().split()[-1]
            if stage == wanted:
                limit = now + wait
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return stage, took
    assert status == 0, f"an attempt failed in {stage}"
    return "", took


def _run_child(folder: Path, writer: int, keep: Path | None) -> None:
    """Never returns."""

    def say(stage: str) -> None:
        if keep and stage != STAGES[0]:
            shutil.copytree(os.environ["HYBRIDIR_OUTPUT"], keep / stage)
        os.write(writer, f"{stage}\n".encode())

    try:
        os.setpgid(0, 0)
        if not os.environ.get("SHOWN"):
            os.dup2(os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        pipeline(folder, say)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def main(folder: Path, kills: int, seed: int) -> dict:
    """Kill `kills` times, in each stage as often; go on to the end after each, and name the results that are not the unbroken run's."""
    out, before = Path(os.environ["HYBRIDIR_OUTPUT"]), folder / "before"
    prepare(folder)
    length = attempt(folder, keep=before)[1]
    expected, draw, counted, differing = results(out), random.Random(seed), Counter(), []
    while not differing and sum(counted.values()) < kills:
        wanted = min(STAGES, key=lambda name: counted[name])
        shutil.rmtree(out)
        if wanted != STAGES[0]:
            shutil.copytree(before / wanted, out)
        stage = attempt(folder, wanted, draw.random() * length[wanted])[0]
        if stage:
            counted[stage] += 1
            assert not attempt(folder)[0]
        found = results(out)
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return {"kills": counted, "differing": differing, "compared": len(expected), "length": length}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
