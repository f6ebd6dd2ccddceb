"""What a run will take is said table by table before anything is fetched; unknown is called unknown, and what is missing is told last."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny_mt
from fake_hub import Files, Hub
from hub_folders import MAKERS, MARCO_TRIPLES, parquet
from huggingface_hub.errors import LocalEntryNotFoundError

from hybridir_utils.__main__ import main
from hybridir_utils.base import hub
from hybridir_utils.base.errors import InputError
from hybridir_utils.data.public_pairs import TRAINING_SETS
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.suite import costs, sampling
from hybridir_utils.suite.costs import run_cost, training
from hybridir_utils.suite.sampling import PEAK, UTILISATION, count_rows, first_rows, sample_set


def not_fetched(name, local_files_only=False, **_):
    assert local_files_only, f"{name} was fetched"
    raise LocalEntryNotFoundError("not in the cache")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", not_fetched)
    hub._reachable.cache_clear()
    yield
    hub._reachable.cache_clear()


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """The hub with every training set that lies there; its file system notes what is opened."""
    listed = {}
    for name, entry in TRAINING_SETS.items():
        if entry.hub:
            folder = tmp_path / "files" / "datasets" / f"{entry.hub}@{entry.revision}"
            folder.mkdir(parents=True)
            MAKERS[name](folder)
            listed[entry.hub] = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    Hub(monkeypatch, listed)
    return Files(tmp_path / "files", monkeypatch)


def rows_of(printed: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the others, of the printed table below a heading."""
    lines = printed.split(f"{heading}:\n")[1].split("\n\n")[0].splitlines()
    return {cells[0]: cells[1:] for cells in (re.split(r"\s+", line.strip()) for line in lines)}


def test_the_command_says_what_miracl_and_mkqa_take(tmp_path, capsys):
    for name in ("miracl", "mkqa", "nq"):
        (tmp_path / "sets" / name).mkdir(parents=True)
    assert main(["run", "--cost", "--set", 'tasks=["miracl","mkqa"]', "--set", f"data_dir={tmp_path / 'sets'}"]) == 0
    table = [line.split() for line in capsys.readouterr().out.split("large corpora:\n")[1].split("\n\n")[0].splitlines()]
    assert table[0] == ["task", "encoder", "encoders", "passages", "tokens", "gpu_hours", "disk_gb", "ram_gb"]
    found = {(task, encoder): (int(count), int(passages), float(disk)) for _, task, encoder, count, passages, _, _, disk, _ in table[1:]}
    encoders = 5 * 3 + 1  # strategies, seeds, and the base before training; vectors of 192 numbers in fp32
    for task, passages in (("miracl", 2_449_382), ("mkqa", 2_681_468)):
        for base in ("aligned", "unaligned"):
            assert found[task, base] == (encoders, passages, pytest.approx(encoders * passages * 128 * 4 / 1e9, abs=0.01))


def test_transformers_of_the_suites_own_are_reckoned_and_bags_are_not():
    profile = load_profile("transformer")
    table = training(profile).set_index("base")
    tokens = (9 + 27) * profile.steps * profile.batch_size * (32 + 64)  # strategies x seeds, and notebook 05's
    flops = 6 * 12 * profile.layers * profile.dimension**2 * tokens
    assert table.loc["aligned", "tokens"] == tokens
    assert table.loc["aligned", "gpu_hours"] == pytest.approx(flops / (PEAK["fp32"] * UTILISATION["fp32"]) / 3600)
    longer = (
        training(load_profile("transformer", {"max_query_tokens": 0, "max_passage_tokens": 0})).set_index("base").loc["aligned", "tokens"]
    )
    assert longer == tokens / (32 + 64) * (24 + 128), "where nothing is cut: usual lengths"
    assert training(load_profile("sample")).empty


def test_tasks_of_unknown_size_are_called_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    tasks = ["miracl", "mteb:SciFact", "mteb:DanFEVER", f"beir:{tmp_path}"]
    assert main(["run", "--cost", "--set", f"tasks={json.dumps(tasks)}", "--set", 'bases=["unaligned"]']) == 1
    found = {row[0]: row[2:] for row in rows_of(capsys.readouterr().out, "large corpora").values()}
    assert found["mteb:SciFact"][1] == "5183" and found["miracl"][1] == "2449382"
    for task in tasks[2:]:
        assert found[task][1:] == ["unknown"] * 5, task


def test_a_set_that_is_not_translated_is_never_loaded(on_hub):
    """Of mMARCO the triples are counted; of English-only sets, which stay English, Parquet's footers or lines."""
    run = open_run("sample", pair_sets=("mmarco", "mfaq"), english_only=("mfaq",), languages=("ar", "de", "en"))
    tables = dict(run_cost(run))
    assert list(tables) == ["training data"]
    assert {Path(path).name for path in on_hub.opened if "mmarco" in path} == {"triples.train.ids.small.tsv"}
    data = tables["training data"]
    assert data.loc["mmarco", ["ids", "counted", "languages", "rows"]].tolist() == [len(MARCO_TRIPLES), True, 3, 3 * len(MARCO_TRIPLES)]
    assert data.loc["mfaq", ["ids", "counted", "languages"]].tolist() == [6, True, 1]
    assert data.loc["all", "rows"] == 3 * len(MARCO_TRIPLES) + 6


def test_a_set_that_is_translated_is_sampled(on_hub, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "measured_speed", lambda *given: 10.0)
    (tmp_path / "m2m").mkdir()
    changes = {
        "translator": f"mt:{tiny_mt.m2m100(tmp_path / 'm2m')}",
        "pair_sets": ("natural-questions", "wikiqa"),
        "languages": ("de", "en", "fr"),
    }
    tables = dict(run_cost(open_run("sample", **changes)))
    headings = list(tables)
    assert headings[:2] == ["training data", f"translation by {changes['translator']}"] and "tokens a second" in headings[2]
    assert tables["training data"]["ids"].to_dict() == {
        "natural-questions": 6,
        "wikiqa": 4,
        "all": 10,
    }  # 8 rows less the empty ones, 4 right sentences
    texts = tables[headings[1]]["texts"]
    assert texts.to_dict() == {"de": 20, "fr": 20, "all": 40} and tables[headings[1]].loc["de", "weights_gib"] > 0
    assert tables[headings[2]]["hours"].tolist() == pytest.approx((tables[headings[2]]["tokens"] / 36000).tolist())


def test_mmarco_is_sampled_where_it_would_be_translated(on_hub):
    sample = sample_set("mmarco", ["en"], negatives=True)
    assert sample.ids == len(MARCO_TRIPLES) and set(sample.pairs["language"]) == {"en"}
    assert sample.pairs["question"][0] == "english query 50" and sample.pairs["passage"][1] == '"english" passage 1'


def test_what_is_missing_is_told_after_the_tables_all_at_once(on_hub, tmp_path, capsys):
    settings = {
        "pair_sets": ["entityquestions", "gnome-help", "worldfacts"],
        "data_dir": str(tmp_path),
        "bases": ["aligned", "st:/no/such/model"],
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    assert main(["run", "--cost", *arguments]) == 1
    printed = capsys.readouterr()
    data = rows_of(printed.out, "training data")
    assert (
        data["entityquestions"][0] == "177000"
        and data["gnome-help"] == ["unknown", "False", *["unknown"] * 5]
        and data["worldfacts"][0].isdigit()
    )
    assert "translation by memory:" not in printed.out or "without entityquestions" in printed.out
    assert rows_of(printed.out, "training")["0"][-1] == "unknown", "a base that is not there has no size"
    for part in ("entityquestions: no copy of this set", f"{tmp_path}/gnome-help: no such folder", "/no/such/model: not found on the hub"):
        assert part in printed.err, part


def test_the_papers_training_data_keep_the_mix_and_the_documented_memory():
    """By the catalogue's numbers: mMARCO is 91 % of the ids as in the paper, and 8 GB are enough, which all its triples exceed."""
    profile = load_profile("paper")
    faults = dict.fromkeys(profile.pair_sets, "not asked")
    table = costs.training_data(profile, costs.sized_sets(profile, faults)[0])
    assert table.loc["mmarco", "ids"] / table.loc["all", "ids"] == pytest.approx(0.91, abs=0.01)
    assert table.loc["all", "rows"] < 40_000_000 and table.loc["all", "ram_gb"] < 8
    every = profile.model_copy(update={"pair_share": 1.0, "max_pairs": 0})
    assert costs.training_data(every, costs.sized_sets(every, faults)[0]).loc["all", "ram_gb"] > 30


def test_tables_come_as_soon_as_they_are_known(monkeypatch):
    monkeypatch.setattr(
        "hybridir_utils.experiment.readiness.set_faults", lambda profile: pytest.fail("the hub was asked before the first table")
    )
    tables = run_cost(open_run("paper"))
    assert [next(tables)[0], next(tables)[0]] == ["training", "large corpora"]


@pytest.mark.parametrize("packed", [False, True])
def test_rows_of_a_long_file_are_reckoned_from_its_first_lines(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "READ", 2**18)
    rng = np.random.default_rng(0)
    lines = [json.dumps({"number": i, "text": rng.bytes(50).hex()}) for i in range(19_000)]
    path = tmp_path / f"rows.jsonl{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress("\n".join(lines).encode()) if packed else "\n".join(lines).encode())
    files = sampling.set_files(tmp_path.name, "", ["rows.jsonl*"], data_dir=str(tmp_path.parent))
    rows, counted = count_rows(files)
    assert not counted and rows == pytest.approx(19_000, rel=0.4 if packed else 0.02)
    assert first_rows(files, 3, ["number"])["number"][:] == [0, 1, 2]
    with pytest.raises(InputError, match=r"no column 'numbers' .did you mean 'number'"):
        first_rows(files, 3, ["numbers"])


def test_rows_that_can_be_counted_are(tmp_path):
    for part in range(2):
        parquet(tmp_path / f"{part}.parquet", [{"a": i} for i in range(1500)])
    (tmp_path / "rows.json").write_text(json.dumps([{"a": 1}] * 7))
    (tmp_path / "rows.tsv").write_text("1\tone\n2\ttwo\n")
    place = {"name": tmp_path.name, "repo": "", "data_dir": str(tmp_path.parent)}
    counts = {pattern: count_rows(sampling.set_files(patterns=[pattern], **place)) for pattern in ("*.parquet", "*.json", "*.tsv")}
    assert counts == {"*.parquet": (3000, True), "*.json": (7, True), "*.tsv": (2, True)}
    table = sampling.set_files(patterns=["*.tsv"], **place)
    assert first_rows(table, 1, ["text"], ("id", "text"))["text"][:] == ["one"]
    with pytest.raises(InputError, match=r"no file \*.csv"):
        sampling.set_files(patterns=["*.csv"], **place)
