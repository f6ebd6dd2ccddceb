"""Every reader of text files with a small valid file of its kind, for the tests that spoil the file."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from hybridir_utils.base import files
from hybridir_utils.base.errors import did_you_mean
from hybridir_utils.data import worldfacts
from hybridir_utils.data.pairs import read_pairs_jsonl
from hybridir_utils.data.sections import held_out_articles, read_sections
from hybridir_utils.data.translation import open_cache
from hybridir_utils.encode.corpora import ShardFolder, shard_name
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.run import SET_VARIABLE, open_run, save_table
from hybridir_utils.experiment.settings import read_settings
from hybridir_utils.experiment.stamps import STAMPS, check_one_origin
from hybridir_utils.provenance.artefacts import RECORD, Artefact, is_whole, recipe_of
from hybridir_utils.provenance.fingerprints import sealed
from hybridir_utils.results.figures import read_result
from hybridir_utils.results.paper import read_published
from hybridir_utils.studies.claims.sources import saved_source
from hybridir_utils.suite.records import begun, read_record
from hybridir_utils.tasks.beir import read_beir
from hybridir_utils.tasks.public_sets import mkqa_questions, ntrex_task
from hybridir_utils.tasks.searched_task import mkqa_task, neuclir_task
from hybridir_utils.tasks.squad import squad_folder
from hybridir_utils.train.trainer import last_whole


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


PAIR = {"id": "a", "language": "en", "question": "Where is Rome?", "passage": "Rome is in Italy.", "passage_id": "p", "negative": "No."}
PAIRS = lines(PAIR, PAIR | {"language": "de", "question": "Wo liegt Rom?"}, {**PAIR, "id": "b", "passage_id": "q", "negative_id": "p"})
SQUAD = json.dumps({
    "version": "1.1",
    "data": [{"title": "t", "paragraphs": [{
        "context": "Rome is old. It is in Italy.", "sentences": ["Rome is old.", "It is in Italy."], "sentence_breaks": [[0, 12], [13, 28]],
        "qas": [{"id": "q1", "question": "Where?", "answers": [{"text": "Italy", "answer_start": 22}]}],
    }]}],
}).encode()  # fmt: skip
CORPUS = lines(
    {"_id": "d1", "title": "Rome", "text": "A city.", "language": "en"}, {"_id": "d2", "text": "Brot.", "language": "de", "group": 1}
)
QUERIES = lines({"_id": "q1", "text": "rome?", "language": "en"}, {"_id": "q2", "text": "brot?", "language": "de"})
QRELS = b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t1\nq2\td1\t0\n"
MKQA = lines({"id": 5, "question": "who sings", "answers": ["Dave", None]}, {"id": 6, "question": "how many", "answers": ["2"]})
QUESTIONS = lines({"id": "1_en", "question": "who?"}, {"id": "2_en", "question": "what?"})
SECTIONS = lines(
    {"id": "a#1", "heading": "Size", "text": "The size of it is a thing that everybody can see at once, and small.", "title": "It"},
    {"id": "a#2", "heading": "Age", "text": "The age of it is a thing that nobody can see at once, as it is old."},
)
PROFILE = b"""name = "tiny"
languages = ["de", "en"]
pair_sets = ["worldfacts"]
tasks = ["worldfacts-test", "worldfacts-shifted"]
bases = ["aligned"]
strategies = ["hybrid"]
shifted_tasks = ["worldfacts-shifted"]
alpha = 0.5
seeds = [1, 2]
data_dir = ""
"""
PATTERN = b"""ask = "{label} ({subject})?"
stop = "."
[labels]
""" + b"".join(f'"{name}" = "Name"\n'.encode() for name in worldfacts.templates("en") if name != "news")
PUBLISHED = b"""model,task,strategy,setting,language,metric,value
XLM-R,xquad-r,X-X,monolingual,en,mAP,0.5
XLM-R,xquad-r,X-Y,monolingual,de,mAP,.4
"""
ABOUT = json.dumps({"run": "other", "command": "c", "parameters": {"seeds": [1]}, "versions": {"numpy": "2"}, "machine": "m"}).encode()
TOPICS, GAINS = b'7\tnews of "water"\n8\tnews of stone\n', b"7 0 d0 3\n7 0 d1 1\n8 0 d4 0\n"


def _pairs(folder: Path):
    return read_pairs_jsonl(folder / "pairs.jsonl")


def _squad(folder: Path):
    return squad_folder(folder)


def _beir(folder: Path):
    return read_beir(folder)


def _mkqa(folder: Path):
    """The questions' file is spoilt and then packed, so that the archive itself is whole."""
    (folder / "mkqa").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "mkqa" / "MKQA_test-data.zip", "w") as archive:
        archive.write(folder / "de.jsonl", "test/de.jsonl")
    return mkqa_task(["de"], str(folder))


def _archive(folder: Path):
    return mkqa_task(["de"], str(folder))


def _packed(name: str, text: bytes) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _sections(folder: Path):
    (folder / "en.jsonl.gz").write_bytes(gzip.compress((folder / "en.jsonl").read_bytes()))
    return read_sections(folder, ["en"], "s"), held_out_articles(folder)


def _packed_sections(folder: Path):
    return read_sections(folder, ["en"], "s")


def _pattern(folder: Path):
    worldfacts.templates.cache_clear()
    usual = files.WORLDFACTS
    try:
        files.WORLDFACTS = folder
        (folder / "patterns").mkdir(exist_ok=True)
        shutil.copy(folder / "af.toml", folder / "patterns" / "af.toml")
        shutil.copy(usual / "en.toml", folder / "en.toml")
        return worldfacts.templates("af")
    finally:
        files.WORLDFACTS = usual
        worldfacts.templates.cache_clear()


def _stamps(folder: Path):
    return check_one_origin(folder, ["scores"], "the command")


def _source(folder: Path):
    return saved_source(folder, ())


def _neuclir(folder: Path):
    (folder / "neuclir" / "data").mkdir(parents=True, exist_ok=True)
    for name in ("news.eng.tsv", "qrels.fas.gains.txt"):
        shutil.copy(folder / name, folder / "neuclir" / "data" / name)
    return neuclir_task(["fa"], str(folder))


def _ntrex(folder: Path):
    (folder / "ntrex-news").mkdir(exist_ok=True)
    for name in ("document_ids.txt", "eng.txt", "deu.txt"):
        shutil.copy(folder / name, folder / "ntrex-news" / name)
    return ntrex_task(["en", "de"], str(folder))


def _mkqa_questions(folder: Path):
    (folder / "mkqa-questions").mkdir(exist_ok=True)
    for name in ("en.jsonl", "de.jsonl"):
        shutil.copy(folder / name, folder / "mkqa-questions" / name)
    return mkqa_questions(data_dir=str(folder))


def _made(folder: Path) -> Path:
    return Artefact(folder, "thing", {"a": [1, "ä"]}, did_you_mean).make(lambda out: (out / "text.txt").write_text("x"))


def _artefact(folder: Path):
    """What counts as whole says what was written, however it is spelt."""
    place = next(folder.glob("thing-*"))
    assert not is_whole(place) or recipe_of(place)["recipe"] == {"a": [1, "ä"]}
    return recipe_of(place)


def _shards(folder: Path):
    shards = ShardFolder(folder, {"encoder": "e"})
    return [shards.fault(number, "t") for number in range(2)]


def _setting(folder: Path):
    return read_settings([f"alpha={(folder / 'value').read_bytes().decode('utf-8', 'replace')}"])


def _in_environment(folder: Path):
    value = (folder / "set.json").read_bytes().replace(b"\0", b"")
    os.environ[SET_VARIABLE] = value.decode("utf-8", "surrogateescape")
    try:
        return open_run("sample")
    finally:
        del os.environ[SET_VARIABLE]


def _cache(folder: Path):
    for beside in folder.glob("cache.sqlite-*"):
        beside.unlink()
    with open_cache(folder / "cache.sqlite", "t", "en", "de") as cache:
        found = cache.find([f"text {n}" for n in range(300)])
        assert all(translation == text.title() for text, translation in found.items()), "an altered translation is used"
        cache.keep({"new": "neu"})
        return cache.find(["new"])


def _cache_bytes(folder: Path) -> bytes:
    with open_cache(folder / "made.sqlite", "t", "en", "de") as cache:
        cache.keep({f"text {n}": f"Text {n}" for n in range(300)})
    return (folder / "made.sqlite").read_bytes()


def _saved(folder: Path) -> bytes:
    run = open_run("sample")
    save_table(run, "scores", pd.DataFrame({"strategy": ["a", "ü,x"], "value": [0.5, 0.25]}))
    return (run.results / "scores.csv").read_bytes()


def _table(folder: Path):
    table = read_result(open_run("sample"), "scores")
    assert table["value"].tolist() == [0.5, 0.25], "an altered table is read"
    return table


SHARDS = json.dumps(
    sealed({"recipe": {"encoder": "e"}, "width": 2, "shards": {shard_name(0): {"rows": 1, "texts": "t", "file": "f"}}})
).encode()
NTREX = {"document_ids.txt": b"a\na\nb\nb\n", "eng.txt": b"One.\nTwo.\nThree.\nFour.\n", "deu.txt": b"Eins.\nZwei.\nDrei.\nVier.\n"}
READERS = {
    # what is read -> (files, which of them is spoilt, reader of their folder)
    "pairs jsonl": ({"pairs.jsonl": PAIRS}, _pairs),
    "squad": ({"en.json": SQUAD}, _squad),
    "beir corpus": ({"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}, _beir),
    "beir queries": ({"queries.jsonl": QUERIES, "corpus.jsonl": CORPUS, "qrels/test.tsv": QRELS}, _beir),
    "beir qrels": ({"qrels/test.tsv": QRELS, "queries.jsonl": QUERIES, "corpus.jsonl": CORPUS}, _beir),
    "mkqa": ({"de.jsonl": MKQA}, _mkqa),
    "mkqa archive": ({"mkqa/MKQA_test-data.zip": _packed("test/de.jsonl", MKQA)}, _archive),
    "mkqa questions": ({"en.jsonl": QUESTIONS, "de.jsonl": QUESTIONS}, _mkqa_questions),
    "sections": ({"en.jsonl": SECTIONS}, _sections),
    "packed sections": ({"en.jsonl.gz": gzip.compress(SECTIONS, mtime=0)}, _packed_sections),
    "ntrex": (NTREX, _ntrex),
    "neuclir topics": ({"news.eng.tsv": TOPICS, "qrels.fas.gains.txt": GAINS}, _neuclir),
    "neuclir gains": ({"qrels.fas.gains.txt": GAINS, "news.eng.tsv": TOPICS}, _neuclir),
    "profile": ({"mine.toml": PROFILE}, lambda folder: load_profile(str(folder / "mine.toml"))),
    "pattern": ({"af.toml": PATTERN}, _pattern),
    "published": ({"mine.csv": PUBLISHED}, lambda folder: read_published(folder / "mine.csv")),
    "stamps": ({STAMPS: json.dumps(sealed({"scores": {"code": {"preparation": "a"}, "parameters": "b"}})).encode()}, _stamps),
    "about": ({"about.json": ABOUT, STAMPS: json.dumps(sealed({})).encode()}, _source),
    "run record": (
        {"01.run.json": json.dumps(sealed(asdict(begun("01.ipynb", {})))).encode()},
        lambda folder: read_record(folder / "01.run.json"),
    ),
    "shard record": ({"vectors.json": SHARDS}, _shards),
    "artefact record": (lambda folder: {f"{_made(folder).name}/{RECORD}": (_made(folder) / RECORD).read_bytes()}, _artefact),
    "translation cache": (lambda folder: {"cache.sqlite": _cache_bytes(folder)}, _cache),
    "saved table": (lambda folder: {"data/runs/sample/results/scores.csv": _saved(folder)}, _table),
    "seal": ({"checkpoint-5/whole.json": b'{"model.safetensors": "0"}'}, last_whole),
    "--set": ({"value": b"[0.5, 'x', {a = 1}]"}, _setting),
    "settings of a run": ({"set.json": b'{"alpha": 0.3, "seeds": [1, 2]}'}, _in_environment),
}


def prepared(kind: str, folder: Path) -> tuple[str, bytes]:
    """Write the files of a kind into the folder; name and bytes of the one to spoil."""
    contents = READERS[kind][0]
    contents = contents(folder) if callable(contents) else contents
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return next(iter(contents.items()))


def read(kind: str, folder: Path):
    return READERS[kind][1](folder)
