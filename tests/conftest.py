"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that HYBRIDIR_DATA names; see data/README.md."""
    folder = os.environ.get("HYBRIDIR_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HYBRIDIR_DATA names no folder with the real data sets (data/README.md tells how to get them)")
    return Path(folder)


LANGUAGES = ("ar", "de", "en", "th")
WORDS = {"ar": "ماء نار حجر شجرة", "de": "Wasser Feuer Stein Baum", "en": "water fire stone tree", "th": "น้ำ ไฟ หิน ต้นไม้"}


@pytest.fixture(scope="session")
def tiny_pairs():
    """24 ids in four languages, each with its own passage."""
    from hybridir_utils.data.pairs import pairs_from_rows

    words = {language: text.split() for language, text in WORDS.items()}
    return pairs_from_rows(
        (f"i{n}", f"p{n}", language, f"{words[language][n % 4]} {n}", f"{words[language][n % 4]} {n} {words[language][n // 6]}", "s")
        for n in range(24)
        for language in LANGUAGES
    )


@pytest.fixture(scope="session")
def prepared(tiny_pairs, tmp_path_factory):
    """What `prepare_pairs` gives of a run whose training pairs are `tiny_pairs`, as far as evaluations ask for it."""
    from types import SimpleNamespace

    from hybridir_utils.base.mapped import write_parquet

    folder = tmp_path_factory.mktemp("prepared") / "pairs" / "pairs-tiny"
    folder.mkdir(parents=True)
    write_parquet(tiny_pairs, folder / "train.parquet")
    return SimpleNamespace(folder=folder, train=tiny_pairs)


@pytest.fixture(scope="session")
def tiny_base(tiny_pairs, tmp_path_factory) -> Path:
    """Folder of a StaticEmbedding encoder, eight numbers a vector, trained on nothing yet."""
    from hybridir_utils.train.base_encoders import make_unaligned

    folder = tmp_path_factory.mktemp("encoders") / "base"
    make_unaligned(folder, [*tiny_pairs["question"], *tiny_pairs["passage"], "Query: Passage: "], vocabulary=300, dimension=8, seed=0)
    return folder


@pytest.fixture(scope="session")
def tiny_transformer(tiny_pairs, tmp_path_factory) -> Path:
    """A one-layer BERT with random weights and dropout, in the folder format of the hub."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from hybridir_utils.train.base_encoders import train_tokenizer

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer([*tiny_pairs["question"], *tiny_pairs["passage"]], 200), unk_token="[UNK]", pad_token="[PAD]"
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **sizes))
    folder = tmp_path_factory.mktemp("encoders") / "bert"
    model.save_pretrained(folder), tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """(notebooks folder, run): two notebooks of one working cell each stand for the suite's."""
    from made_up_suite import notebook

    from hybridir_utils.experiment.run import open_run
    from hybridir_utils.suite import running

    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setattr(running, "NOTEBOOKS", folder)
    for name in ("01_first", "02_second"):
        notebook(folder, name)
    return folder, open_run("sample")


@pytest.fixture
def executions(monkeypatch):
    """Notebooks are executed without a kernel (`made_up_suite.Executions`): for the tests of what is chosen and recorded."""
    from made_up_suite import Executions

    from hybridir_utils.suite import running

    ran = Executions()
    monkeypatch.setattr(running, "watch", ran)
    return ran


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Folder of a tiny run that has ended (`fault_run.finish`)."""
    from fault_run import finish

    return finish(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def committed(tmp_path_factory) -> Path:
    """The report of the committed sample results."""
    from report_runs import committed_report

    return committed_report(tmp_path_factory.mktemp("committed"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Path:
    """The report of a made-up run with failures and harmful texts."""
    from report_runs import hostile_report

    return hostile_report(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def crowded(tmp_path_factory):
    """See report_runs.crowded_report."""
    from report_runs import crowded_report

    return crowded_report(tmp_path_factory.mktemp("crowded"))
