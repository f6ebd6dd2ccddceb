"""Hostile inputs: archives and names that lead elsewhere, pickles, script in texts, texts of a megabyte, files beyond any reader."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_browsing import ALLOWED, BIDI, HOSTILE, Tags

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.files import read_json, read_jsonl, read_toml
from hybridir_utils.data.batching import plan_batches
from hybridir_utils.data.pairs import pairs_from_rows, read_pairs_jsonl
from hybridir_utils.data.quality import check_pairs_quality
from hybridir_utils.encode.encoding import encode_task, encode_texts
from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.experiment.evaluation import Evaluations
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.settings import read_settings
from hybridir_utils.provenance.fingerprints import modules
from hybridir_utils.rank.metrics import per_query, scores
from hybridir_utils.rank.ranking import dot_scores, rank_task
from hybridir_utils.results import reading
from hybridir_utils.results.browsing import show_pairs, show_questions, side_by_side
from hybridir_utils.tasks.beir import read_beir, write_beir
from hybridir_utils.tasks.retrieval_task import task_from_pairs
from hybridir_utils.tasks.searched_task import mkqa_task
from hybridir_utils.train.training import TrainingSettings, train_encoder

MEGABYTE = "fire " * 200_000


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def syntax() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules().items()}


def called(tree: ast.AST) -> set[str]:
    """Dotted names of what a module calls."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_nothing_is_unpacked_into_a_folder_and_no_pickle_is_read():
    """One module opens an archive, and reads streams of it; arrays are read without `allow_pickle`, checkpoints by the trainer alone."""
    for name, tree in syntax().items():
        calls = called(tree)
        last = {call.rpartition(".")[2] for call in calls}
        assert not last & {"extractall", "unpack_archive", "read_pickle", "unsafe_load"}, name
        assert not calls & {"eval", "exec", "torch.load", "joblib.load", "yaml.load", "files.extract"}, name
        roots = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not roots & {"pickle", "marshal", "shelve", "tarfile", "dill"}, name
        assert name == "tasks.searched_task" or "zipfile" not in roots, name
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                assert "allow_pickle" not in [word.arg for word in node.keywords], name


@pytest.mark.parametrize("member", ["../../de.jsonl", "/tmp/evil/de.jsonl", "a/../../../de.jsonl"])
def test_names_in_an_archive_lead_nowhere(tmp_path, member):
    (tmp_path / "data" / "mkqa").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "data" / "mkqa" / "MKQA_test-data.zip", "w") as archive:
        archive.writestr(member, json.dumps({"id": 1, "question": "wer", "answers": ["Dave"]}) + "\n")
    before = sorted(tmp_path.rglob("*"))
    assert mkqa_task(["de"], str(tmp_path / "data")).searches[0].queries["text"].tolist() == ["wer"]
    assert sorted(tmp_path.rglob("*")) == before and not Path("/tmp/evil").exists()


def test_a_folder_of_beir_writes_and_reads_nothing_outside_whatever_its_texts_are_called(tmp_path, tiny_pairs):
    """Ids are never file names; a link out of the folder is the user's own."""
    rows = [
        (f"../{row['id']}", f"/etc/{row['passage_id']}", *(row[key] for key in ("language", "question", "passage", "source")))
        for row in tiny_pairs
    ]
    write_beir(task_from_pairs("evil", pairs_from_rows(rows)), tmp_path / "a" / "evil")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        f"a/evil/{name}" for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    }
    assert len(read_beir(tmp_path / "a" / "evil").candidates) == len(tiny_pairs)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pt"])
def test_a_pickle_in_an_encoders_folder_is_never_opened(tiny_base, tiny_transformer, tmp_path, name):
    for number, source in enumerate((tiny_base, tiny_transformer)):
        folder, trace = shutil.copytree(source, tmp_path / f"{number}"), tmp_path / f"bomb{number}"
        for weights in folder.rglob("*.safetensors"):
            weights.unlink()
        (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
        with pytest.raises(InputError) as refused:
            open_model(folder)
        assert str(folder) in str(refused.value) and not trace.exists(), "a pickle was opened"


def test_an_array_of_objects_is_not_read(tmp_path):
    trace = tmp_path / "bomb"
    np.save(tmp_path / "top.npy", np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Evaluations({("key", "task"): tmp_path}).top("key", "task")
    assert not trace.exists()


@pytest.fixture
def displayed(monkeypatch) -> list:
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    return shown


def test_script_and_control_characters_in_tables_are_escaped():
    """The tables of notebook 01, which pandas writes: rejected texts and leaks."""
    frame = pd.DataFrame({"check": ["copied"] * 2, "language": "de", "field": "question", "detail": HOSTILE, "text": [HOSTILE, BIDI]})
    page = reading.rejected_examples(frame)._repr_html_()
    assert "<script" not in page and "<img" not in page and "&lt;script" in page
    table = Tags(page[page.index("<table") : page.index("</table>") + 8])
    assert {name for name, _ in table.tags} <= ALLOWED and table.open == []


def test_a_megabyte_in_one_line_through_the_whole_way(tmp_path, tiny_base, displayed, monkeypatch):
    """Pairs file, quality checks, training, encoding, ranking, and what is shown of it."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    rows = [{"id": f"i{n}", "language": code, "question": f"fire {n}", "passage": f"tree {n}"} for n in range(6) for code in ("en", "de")]
    rows[0] |= {"question": MEGABYTE.strip(), "passage": MEGABYTE.strip()}
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pairs = read_pairs_jsonl(path)
    assert len(pairs[0]["question"]) == len(MEGABYTE) - 1
    check_pairs_quality(pairs)
    plan = plan_batches(pairs, "X-X-mono", steps=2, batch_size=4, seed=0)
    model, history = train_encoder(tiny_base, pairs, plan, TrainingSettings())
    assert np.isfinite(history["loss"]).all()
    task = task_from_pairs("long", pairs)
    vectors = encode_task(model, task)
    ranks = rank_task(dot_scores(vectors.queries, vectors.candidates), task, 5)
    assert np.isfinite(scores(per_query(ranks, task))["value"]).all()
    show_questions(task, {"X-Y": ranks.top}, [0])
    show_pairs(pairs, count=1)
    assert len(displayed) == 2 and all(len(page.data) < 20_000 for page in displayed)
    assert len(side_by_side(task, {"X-Y": ranks.top}, 0)) < 20_000


@pytest.mark.parametrize("most", [0, 16])
def test_a_passage_of_ten_thousand_tokens_is_cut_at_the_models_length(tiny_transformer, tiny_pairs, most):
    """In training and in encoding: at the model's own 64 positions, or where the profile says."""
    opening = Opening(max_passage_tokens=most)
    long = pairs_from_rows(
        (*(row[key] for key in ("id", "passage_id", "language", "question")), row["passage"] + " stone" * 10_000, "s") for row in tiny_pairs
    )
    model = open_model(tiny_transformer, opening)
    lengths = model.preprocess([long[0]["passage"]], task="document")["input_ids"].shape[1]
    assert lengths == (most or 64)
    vectors = encode_texts(model, long["passage"][:4], "document")
    cut = encode_texts(model, [text[:400] for text in long["passage"][:4]], "document")
    assert np.allclose(vectors, cut, atol=1e-6), "what is cut off counts"
    plan = plan_batches(long, "X-X-mono", steps=1, batch_size=3, seed=0)
    _, history = train_encoder(tiny_transformer, long, plan, TrainingSettings(learning_rate=1e-3), opening=opening)
    assert np.isfinite(history["loss"]).all()


DEEP = 100_000
BEYOND = {
    "deep": (b"[" * DEEP, "nested too deeply"),
    "deep objects": (b'{"a":' * DEEP, "nested too deeply"),
    "huge": (b'{"id": ' + b"9" * 5000 + b"}", "no usable JSON"),
    "NUL": (b'{"id": "a\x00b"}', "no valid JSON"),
    "surrogate": (b'{"id": "\\ud800"}', "half a surrogate pair"),
    "twice": (b'{"id": 1, "id": 2}', "the key 'id' stands twice"),
    "empty": (b"", "no valid JSON"),
}


@pytest.mark.parametrize("kind", BEYOND)
def test_json_that_no_reader_takes_is_refused_by_name(tmp_path, kind):
    content, said = BEYOND[kind]
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        read_json(path)
    assert "odd.json" in str(refused.value)
    path.write_bytes(b"{}\n" + content + b"\n")
    if content:
        with pytest.raises(InputError, match=rf"line 2.*{said}"):
            list(read_jsonl(path))


@pytest.mark.parametrize(
    "content", [b"a = " + b"[" * DEEP, b"a = " + b"9" * 5000, b"a = 1\na = 2\n", b"a = 'x\x00'", b"a.b = 1\na.b.c = 2\n"]
)
def test_toml_that_no_reader_takes_is_refused_by_name(tmp_path, content):
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    for read in (read_toml, lambda place: load_profile(str(place))):
        with pytest.raises(InputError, match=r"odd\.toml: not readable as UTF-8 TOML"):
            read(path)


def test_a_value_on_the_command_line_that_no_reader_takes_is_refused_by_its_key():
    for value in ("[" * DEEP, "9" * 5000):
        with pytest.raises(InputError, match="--set alpha: no usable value"):
            read_settings([f"alpha={value}"])


def test_line_ends_of_windows_and_byte_order_marks_change_nothing(tmp_path, tiny_pairs):
    profile = Path(__file__).parents[1] / "notebooks" / "profiles" / "sample.toml"
    (tmp_path / "sample.toml").write_bytes(b"\xef\xbb\xbf" + profile.read_bytes().replace(b"\n", b"\r\n"))
    assert load_profile(str(tmp_path / "sample.toml")) == load_profile("sample")
    write_beir(task_from_pairs("pool", tiny_pairs), tmp_path / "pool")
    before = read_beir(tmp_path / "pool")
    for path in (tmp_path / "pool").rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    after = read_beir(tmp_path / "pool")
    for kind in ("queries", "candidates", "relevance"):
        pd.testing.assert_frame_equal(getattr(after, kind), getattr(before, kind))
    rows = "".join(json.dumps(dict(row)) + "\n" for row in tiny_pairs)
    for name, text in (("unix", rows), ("windows", "\ufeff" + rows.replace("\n", "\r\n"))):
        (tmp_path / f"{name}.jsonl").write_bytes(text.encode())
    unix, windows = (read_pairs_jsonl(tmp_path / f"{name}.jsonl")[:] for name in ("unix", "windows"))
    assert unix == windows


def test_an_empty_file_of_each_kind_is_refused_by_name(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="no rows"):
        read_pairs_jsonl(tmp_path / "pairs.jsonl")
    (tmp_path / "mine.toml").write_bytes(b"")
    with pytest.raises(InputError, match=r"mine\.toml: .*is missing"):
        load_profile(str(tmp_path / "mine.toml"))
    (tmp_path / "qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"corpus\.jsonl: empty; expected a JSON object"):
        read_beir(tmp_path)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (tmp_path / name).write_bytes(b'{"_id": "a", "text": "t", "language": "en"}\n')
    with pytest.raises(InputError, match=r"test\.tsv, line 1: expected the header"):
        read_beir(tmp_path)


def test_no_reader_warns_of_its_own_in_place_of_an_error(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(b'{"id": "a", "language": "en", "question": "\xe2\x80\xae", "passage": "\xc2\xa0"}\n')
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"pairs\.jsonl, line 1: 'passage' must be a text"):
        warnings.simplefilter("error")
        read_pairs_jsonl(tmp_path / "pairs.jsonl")
