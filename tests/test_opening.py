"""Any encoder opens from a folder or hub name as the profile asks, or says what to do."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tiny_models import save_tiny_bert

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.files import folder_fingerprint
from hybridir_utils.encode import opening
from hybridir_utils.encode.catalogue import ENCODERS, place_of, prompts_of
from hybridir_utils.encode.opening import Opening, open_model, origin

TEXTS = ["one two three four five six seven eight nine ten", "eleven twelve thirteen"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("models") / "bert", TEXTS)


def test_a_plain_model_gets_mean_pooling_and_a_profile_may_say_otherwise(bert):
    vectors = {pooling: open_model(bert, Opening(pooling=pooling)).encode(TEXTS) for pooling in ("own", "mean", "cls", "max", "lasttoken")}
    assert np.array_equal(vectors["own"], vectors["mean"])
    for pooling in ("cls", "max", "lasttoken"):
        assert not np.allclose(vectors["own"], vectors[pooling]), pooling


@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta"])
def test_the_architectures_of_the_paper_open(architecture, tmp_path):
    model = open_model(save_tiny_bert(tmp_path / "model", TEXTS, architecture, max_position_embeddings=512))
    assert model.encode(TEXTS).shape == (2, 16)


def test_questions_and_passages_are_cut_at_their_own_lengths_also_after_saving(bert, tmp_path):
    model = open_model(bert, Opening(max_query_tokens=4, max_passage_tokens=8))
    model.save(str(tmp_path / "saved"))
    for opened in (model, open_model(tmp_path / "saved")):
        lengths = [opened.preprocess(TEXTS[:1], task=task)["input_ids"].shape[1] for task in ("query", "document")]
        assert lengths == [4, 8]
    assert open_model(bert, Opening(max_passage_tokens=9999))[0].document_length == 66, "no longer than the model's positions"


def test_pooling_of_a_model_without_a_pooling_layer_is_refused(tiny_base):
    with pytest.raises(InputError, match="0 pooling layers; set it to 'own'"):
        open_model(tiny_base, Opening(pooling="cls"))


def test_weights_in_pickle_files_are_not_opened(bert, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(bert, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="weights in pickle files are not opened"):
        open_model(folder)


def test_a_tokenizer_without_a_pad_token_is_refused(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "unpadded")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="no pad token"):
        open_model(folder)


def test_code_of_a_repository_runs_only_when_allowed(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "coded")
    (folder / "code.py").write_text("raise RuntimeError('foreign code ran')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="set trust_remote_code = true"):
        open_model(folder)


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_model(tmp_path / "absent")


def test_origin_changes_with_a_folders_files_and_is_the_commit_of_a_pinned_name(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "copy")
    before = origin(folder)
    assert before == folder_fingerprint(bert)
    (folder / "extra.txt").write_text("changed")
    assert origin(folder) != before
    assert origin("owner/name@" + "a" * 40) == "owner/name@" + "a" * 40


def test_the_catalogue_names_what_is_opened():
    assert (
        place_of("labse") == f"sentence-transformers/LaBSE@{ENCODERS['labse'].revision}" and place_of("st:/models/mine") == "/models/mine"
    )
    assert prompts_of("me5-base") == ("query: ", "passage: ")
    assert prompts_of("labse") is None and prompts_of("st:x") is None
    assert {known.paper for known in ENCODERS.values()} == {"", "mBERT", "XLM-R", "LaBSE"}
    for name, known in ENCODERS.items():
        assert known.licence and known.parameters > 1e8, name
        assert bool(known.package) != bool(known.hub and (len(known.revision) == 40 or known.revision == "main")), name


def test_flash_attention_without_its_package_says_so(bert):
    with pytest.raises(InputError, match="set attention to sdpa"):
        open_model(bert, Opening(attention="flash_attention_2"), device="cpu")


def test_the_attention_kernel_is_the_one_asked_for(bert):
    for kernel in ("sdpa", "eager"):
        assert open_model(bert, Opening(attention=kernel))[0].auto_model.config._attn_implementation == kernel
    assert opening.default_device() in ("cpu", "cuda")
