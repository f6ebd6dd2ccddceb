"""What is missing is told before anything starts, all of it at once; what lies here is not asked for on the hub."""

from __future__ import annotations

import shutil

import httpx2
import pytest
from fake_hub import Hub, pull
from hub_folders import mmarco, natural_questions
from huggingface_hub import errors as hub_library

from hybridir_utils.__main__ import main
from hybridir_utils.base import hub
from hybridir_utils.base.errors import InputError
from hybridir_utils.base.hub import HubSet, model_fault
from hybridir_utils.encode.catalogue import ENCODERS
from hybridir_utils.experiment import encoders
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.sources import check_places
from hybridir_utils.suite import running


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub._reachable.cache_clear()
    yield
    hub._reachable.cache_clear()


@pytest.fixture
def no_weights(tiny_base, tmp_path):
    """A model's folder whose weights are a pickle file."""
    folder = shutil.copytree(tiny_base, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def test_a_retriever_without_safetensors_stops_the_suite_before_its_first_notebook(no_weights, monkeypatch, capsys):
    monkeypatch.setattr(running, "execute", lambda *_: pytest.fail("a notebook was started"))
    assert main(["run", "--set", f'retrievers=["st:{no_weights}"]']) == 1
    said = capsys.readouterr().err
    assert f"{no_weights}: no weights in safetensors" in said and "refs/pr/N" in said and "convert the model" in said


def test_the_training_command_asks_first_too(no_weights, monkeypatch, capsys):
    monkeypatch.setattr(encoders, "trained_encoders", lambda *_: pytest.fail("training was started"))
    assert main(["train", "--set", f'bases=["st:{no_weights}"]']) == 1 and "no weights in safetensors" in capsys.readouterr().err


def test_all_faults_are_told_in_one_message(no_weights, tmp_path):
    (tmp_path / "data").mkdir()
    mmarco(tmp_path / "data" / "mmarco")
    (tmp_path / "data" / "mmarco" / "data" / "google" / "collections" / "arabic_collection.tsv").unlink()
    values = {
        "pair_sets": ("mmarco", "entityquestions", "gnome-help", "jsonl:/nowhere/mine.jsonl"),
        "tasks": ("xquad-r", "beir:/nowhere/pool"),
    }
    values |= {"retrievers": (f"st:{no_weights}",), "bases": (f"st:{tmp_path}",), "languages": ("ar", "de", "en"), "translator": "memory"}
    with pytest.raises(InputError) as told:
        check_places(load_profile("paper", values | {"data_dir": str(tmp_path / "data"), "validation_set": "held-out"}))
    said = str(told.value)
    for part in (
        f"{tmp_path}: no config.json there",
        f"{no_weights}: no weights in safetensors",
        "no file data/google/collections/arabic_collection.tsv",
        "entityquestions: no such folder",
        "gnome-help: no such folder",
        "/nowhere/mine.jsonl: named by 'jsonl:/nowhere/mine.jsonl', but it is not there",
        "xquad-r: no such folder",
        "/nowhere/pool: named by",
    ):
        assert part in said, part
    assert said.count("\n- ") == 8


def test_what_lies_here_and_what_the_suite_makes_is_not_asked_for(tiny_base, tmp_path, monkeypatch):
    asked = Hub(monkeypatch).asked
    natural_questions(tmp_path / "natural-questions")
    for name in ("miracl", "xquad-r"):
        (tmp_path / name).mkdir()
    here = {
        "bases": ("aligned", f"st:{tiny_base}"),
        "pair_sets": ("worldfacts", "natural-questions"),
        "data_dir": str(tmp_path),
        "shifted_tasks": (),
    }
    check_places(load_profile("sample", here | {"tasks": ("worldfacts-test", "xquad-r", "miracl")}))
    assert not asked


def test_an_unreachable_hub_is_asked_once_and_all_that_it_should_give_is_named(monkeypatch):
    asked = Hub(monkeypatch, error=httpx2.ConnectError("[Errno -2] Name or service not known")).asked
    with pytest.raises(InputError, match="the hub cannot be reached") as told:
        check_places(load_profile("paper"))
    lines = [line for line in str(told.value).splitlines() if "cannot be reached" in line]
    assert len(lines) == 1 and asked == ["hub"]
    for name in (
        "FacebookAI/xlm-roberta-base",
        "BAAI/bge-m3",
        "facebook/m2m100_418M",
        "unicamp-dl/mmarco",
        "ludwigschmidt/squadshifts",
        "mteb/MIRACL",
    ):
        assert name in lines[0], name


def test_a_model_in_the_cache_needs_no_hub(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0123456789" * 4
    assert "cannot be reached" in model_fault(f"owner/name@{commit}")
    shutil.copytree(tiny_base, tmp_path / "hub" / "models--owner--name" / "snapshots" / commit)
    assert model_fault(f"owner/name@{commit}") == ""


PICKLED = ["config.json", "pytorch_model.bin", "2_Dense/model.safetensors"]


@pytest.mark.parametrize(
    ("files", "revision", "pulls", "said"),
    [
        (["config.json", "model.safetensors"], "abc", [], ""),
        (["modules.json", "0_Transformer/model.safetensors"], None, [], ""),
        (["config.json", "model.safetensors.index.json"], None, [], ""),
        (PICKLED, "abc", [pull()], "no weights in safetensors"),  # the conversion is of the main branch
        (PICKLED, "main", [pull()], ""),
        (PICKLED, None, [pull()], ""),
        (PICKLED, None, [pull(author="somebody"), pull(title="Safetensors")], "no weights in safetensors"),
        (["model.safetensors"], None, [], "no config.json"),
    ],
)
def test_a_model_on_the_hub_has_a_configuration_and_weights_of_its_first_module(files, revision, pulls, said, monkeypatch):
    Hub(monkeypatch, {"owner/name": files}, pulls)
    fault = model_fault(f"owner/name@{revision}" if revision else "owner/name")
    assert bool(fault) == bool(said) and said in fault


def test_gated_and_absent_repositories_are_told(monkeypatch):
    refused = hub_library.GatedRepoError("401", response=httpx2.Response(401, request=httpx2.Request("GET", "https://a.b")))
    Hub(monkeypatch, {"owner/gated": refused})
    assert "is gated. Accept its terms" in model_fault("owner/gated") and "not found on the hub" in model_fault("owner/absent")


def test_a_set_whose_files_have_moved_is_told(monkeypatch):
    Hub(monkeypatch, {"owner/set": ["README.md", "data/train-0.parquet"]})
    mine = HubSet(name="mine", hub="owner/set", revision="v1", licence="MIT")
    assert mine.fault(patterns=["data/train-*.parquet"]) == ""
    assert "owner/set@v1: no file plain/*.parquet; the set 'mine' is laid out otherwise" in mine.fault(patterns=["plain/*.parquet"])


def test_every_pinned_encoder_is_pinned_to_a_commit():
    """Except where the hub's conversion is the way to safetensors, which transformers takes for the main branch alone."""
    assert {name for name, known in ENCODERS.items() if known.hub and len(known.revision) != 40} == {"mcontriever"}
