"""Machine translation, on untrained models: what goes in, what comes out whole and in order, and what is said when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tiny_mt

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data import mt
from hybridir_utils.data.mt import TRANSLATORS, ModelTranslator, language_tokens, open_translator
from hybridir_utils.data.sections import section_languages
from hybridir_utils.data.translation import CachedTranslator

TEXTS = ["Water boils at one hundred degrees.", "The forest lies behind the old house and ships sail.", "", "Quelle heure?", "what", "what"]
FAMILIES = ("m2m100", "nllb", "marian", "madlad")
SHORT = {"GROWTH": 1, "MARGIN": 4}  # untrained models never end by themselves: each token that they may write takes a step


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name, value in SHORT.items():
        monkeypatch.setattr(mt, name, value)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for name in (*FAMILIES, "marian-group"):
        folder = tmp_path_factory.mktemp("models") / name
        folder.mkdir()
        folders[name] = tiny_mt.marian(folder, tokens=(">>deu<<", ">>tha<<")) if name == "marian-group" else getattr(tiny_mt, name)(folder)
    return folders


@pytest.fixture(scope="session")
def opened(models) -> dict[str, ModelTranslator]:
    return {name: open_translator(f"mt:{folder}", tokens=64) for name, folder in models.items()}


def test_the_family_is_told_from_the_files_not_from_the_name(opened):
    assert [opened[name].opened.family for name in (*FAMILIES, "marian-group")] == [*FAMILIES, "marian"]


@pytest.mark.parametrize(
    ("name", "source", "first"),
    [
        ("m2m100", ["__en__", "w"], "__de__"),
        ("nllb", ["eng_Latn", "w"], "deu_Latn"),
        ("marian", ["w"], None),
        ("marian-group", [">>deu<<", "w"], None),
        ("madlad", ["<2de>", "w"], None),
    ],
)
def test_each_family_is_told_the_languages_in_its_own_way(opened, name, source, first):
    translator = opened[name]
    marks = translator._marks("en", "de")
    tokens = translator.opened.tokenizer.convert_ids_to_tokens(translator._ids(["w"], marks)[0])
    assert [token.strip("▁") for token in tokens if token not in ("▁", "</s>")] == source
    assert tokens[-1] == "</s>"
    assert marks.first == (first and translator.opened.tokenizer.convert_tokens_to_ids(first))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("beams", [1, 2])
def test_a_translation_does_not_hang_on_the_texts_beside_it(models, name, beams, monkeypatch):
    if beams > 1:  # where none ends, the best beam is chosen at the last step, which is the longest text's
        monkeypatch.setattr(mt, "GROWTH", 0)
    translator = open_translator(f"mt:{models[name]}", tokens=200, beams=beams)
    together = translator.translate(TEXTS, "en", "de")
    assert together == [translator.translate([text], "en", "de")[0] for text in TEXTS]
    assert together[2] == "" and together[4] == together[5] and len(set(together)) >= 4, "order, blanks and repeats"
    assert translator.translate([], "en", "de") == []


def test_the_target_language_changes_the_translation(opened):
    for name in ("m2m100", "nllb", "marian-group", "madlad"):
        assert opened[name].translate(TEXTS, "en", "de") != opened[name].translate(TEXTS, "en", "th"), name


def test_beams_change_the_translation_and_the_name(models):
    greedy, beam = (open_translator(f"mt:{models['m2m100']}", beams=beams) for beams in (1, 4))
    assert greedy.translate(TEXTS[:2], "en", "de") != beam.translate(TEXTS[:2], "en", "de")
    assert greedy.name != beam.name


def test_the_name_follows_the_files(models, tmp_path):
    other = tmp_path / "m2m100"
    other.mkdir()
    for file in models["m2m100"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    same = open_translator(f"mt:{other}").name
    assert same == open_translator(f"mt:{models['m2m100']}").name
    config = json.loads((other / "generation_config.json").read_text())
    (other / "generation_config.json").write_text(json.dumps(config | {"no_repeat_ngram_size": 2}))
    assert open_translator(f"mt:{other}").name != same


def test_batches_keep_the_token_budget_and_the_longest_come_first(opened, monkeypatch):
    translator, seen = opened["nllb"], []
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: seen.append([len(row) for row in ids]) or ["x"] * len(ids))
    translator.translate([f"{'house ' * n}{n}" for n in range(1, 12)], "en", "de")
    assert all(len(batch) * max(batch) <= 64 for batch in seen) and len(seen) > 1
    assert [length for batch in seen for length in batch] == sorted((n for batch in seen for n in batch), reverse=True)


def test_a_long_text_is_cut_at_sentence_ends_and_nothing_is_lost(opened, monkeypatch):
    translator = opened["m2m100"]
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: [f"<{_text(translator, row)}>" for row in ids])
    words = "bridge river forest year currency ships degrees hundred house sea".split()  # noqa: SIM905
    sentences = [f"The forest lies behind the old {word}." for word in words]
    [joined] = translator.translate([" ".join(sentences)], "en", "de")
    parts = [part.strip() for part in joined[1:-1].split("> <")]
    assert len(parts) > 2 and " ".join(parts) == " ".join(sentences)
    assert all(part.endswith(".") for part in parts)
    assert all(len(ids) <= translator.limit for ids in translator._ids(parts, translator._marks("en", "de")))
    [joined] = translator.translate([" ".join(sentences)], "en", "zh")
    assert "><" in joined, "no blank between Chinese sentences"


def test_a_long_text_without_a_sentence_end_is_cut_at_blanks_and_one_without_blanks_anywhere(opened, monkeypatch):
    translator = opened["m2m100"]
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: [_text(translator, row) for row in ids])
    words = " ".join(["forest"] * 60)
    assert translator.translate([words], "en", "de") == [words]
    solid = "forest" * 60
    assert translator.translate([solid], "en", "zh") == [solid]


def _text(translator: ModelTranslator, ids: list[int]) -> str:
    return translator.opened.tokenizer.decode(ids[1:-1])


def test_no_memory_halves_the_batch_for_good_and_nothing_is_lost(models, monkeypatch):
    import torch

    translator = open_translator(f"mt:{models['nllb']}", tokens=400)
    texts = [f"the old house {n}" for n in range(40)]
    expected = translator.translate(texts, "en", "de")
    real, sizes = translator._generate, []

    def scarce(ids, marks):
        sizes.append(len(ids))
        if len(ids) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(ids, marks)

    monkeypatch.setattr(translator, "_generate", scarce)
    with pytest.warns(UserWarning, match="set translation_tokens to that"):
        assert translator.translate(texts, "en", "de") == expected
    failed = [size for size in sizes if size > 5]
    assert len(failed) <= 4 and translator.budget.tokens <= 60
    translator.translate(texts, "en", "de")
    assert max(sizes[sizes.index(failed[-1]) + 1 :]) <= 5


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")])
def test_no_memory_for_a_single_text_says_what_to_lower(models, monkeypatch, error):
    translator = open_translator(f"mt:{models['nllb']}", tokens=400)
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: (_ for _ in ()).throw(error))
    with pytest.raises(InputError, match=r"out of memory with a single text of \d+ tokens \(translation_tokens was 400\)"):
        translator.translate(["the house"], "en", "de")


def test_an_error_of_another_kind_is_not_taken_for_memory(models, monkeypatch):
    translator = open_translator(f"mt:{models['nllb']}")
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: (_ for _ in ()).throw(RuntimeError("device-side assert")))
    with pytest.raises(RuntimeError, match="device-side assert"):
        translator.translate(["the house"], "en", "de")


def test_a_language_that_the_model_lacks_is_named_with_the_nearest(opened):
    with pytest.raises(UnknownName, match=r"unknown language of m2m100 'eu'"):
        opened["m2m100"].translate(["house"], "en", "eu")
    with pytest.raises(UnknownName, match=r"language of madlad 'dee' \(did you mean 'de'\?\)"):
        opened["madlad"].translate(["house"], "en", "dee")
    with pytest.raises(UnknownName, match=r"language of nllb 'xx'"):
        opened["nllb"].translate(["house"], "xx", "de")
    with pytest.raises(UnknownName, match=r"language pair of marian 'en-fr'.* 'eng-deu'"):
        opened["marian"].translate(["house"], "en", "fr")
    with pytest.raises(UnknownName, match=r"language of marian-group 'fr'"):
        opened["marian-group"].translate(["house"], "en", "fr")


def test_at_least_fifty_languages_are_mapped_and_all_of_the_parallel_sets(real_data):
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

    nllb = language_tokens(set(NLLB), "nllb")
    m2m100 = language_tokens({f"__{code}__" for code in M2M100["m2m100"]}, "m2m100")
    there = {code for name in ("mscourses", "gnome-help", "bitcoin-faq") for code in section_languages(real_data / name)} - {"pcm"}
    wanted = {code for code in there if code.isalpha()}  # regions have no translation model of their own
    assert len(wanted) > 55 and wanted <= set(nllb)
    assert wanted - set(m2m100) == {"as", "eo", "eu", "te"}, "M2M-100 was not trained on these"
    assert len(nllb) > 150 and len(m2m100) == 100


def test_codes_of_macrolanguages_and_scripts_are_each_models_own():
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

    nllb = language_tokens(set(NLLB) | {"en", "de", "zh"}, "nllb")
    ours = ("zh", "ar", "no", "fa", "pt", "ko", "ja", "sr", "ps", "fil", "en")
    theirs = "zho_Hans arb_Arab nob_Latn pes_Arab por_Latn kor_Hang jpn_Jpan srp_Cyrl pbt_Arab tgl_Latn eng_Latn"
    assert [nllb[code] for code in ours] == theirs.split()
    marian = language_tokens({">>cmn_Hans<<", ">>cmn<<", ">>srp_Latn<<", ">>srp_Cyrl<<", ">>tha<<"}, "marian")
    assert {code: marian[code] for code in ("zh", "sr", "th")} == {"zh": ">>cmn_Hans<<", "sr": ">>srp_Cyrl<<", "th": ">>tha<<"}
    assert language_tokens({"<2iw>", "<2fil>"}, "madlad") == {"he": "<2iw>", "fil": "<2fil>"}
    assert language_tokens({"__no__", "__tl__", "__ns__"}, "m2m100") == dict(no="__no__", fil="__tl__", nso="__ns__")


def test_madlads_file_is_read_with_its_own_output_layer_and_the_right_embedding(models, opened):
    """transformers before 5.17 or so took the output layer for the embedding, and translated into garbage without a word."""
    from safetensors.torch import load_file

    saved, model = load_file(models["madlad"] / "model.safetensors"), opened["madlad"].opened.model
    for part in (model.encoder, model.decoder):
        assert part.embed_tokens.weight.equal(saved["decoder.embed_tokens.weight"])
    assert model.lm_head.weight.equal(saved["lm_head.weight"])
    assert model.config.scale_decoder_outputs is False


def test_weights_other_than_safetensors_are_refused(models, tmp_path):
    import torch

    for file in models["nllb"].iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="no weights in safetensors there, and weights in pickle files are not opened"):
        open_translator(f"mt:{tmp_path}").translate(["house"], "en", "de")


def test_a_tokenizer_without_a_pad_token_is_told(models, tmp_path):
    for file in models["nllb"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": None}))
    with pytest.raises(InputError, match=r'no pad token.*"pad_token" in tokenizer_config.json'):
        open_translator(f"mt:{tmp_path}")


def test_places_that_are_no_translation_model_are_told(tmp_path, models):
    with pytest.raises(UnknownName, match=r"unknown translator 'm2m100-418' \(did you mean 'm2m100-418m'\?\)"):
        open_translator("m2m100-418")
    with pytest.raises(InputError, match=r"neither a folder here nor a name"):
        open_translator(f"mt:{tmp_path}/nowhere")
    with pytest.raises(InputError, match=r"cannot be opened as a translation model"):
        open_translator(f"mt:{tmp_path}")
    for file in models["nllb"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("eng_Latn", "xxx_Latn"))
    with pytest.raises(InputError, match="without the language tokens of M2M-100"):
        open_translator(f"mt:{tmp_path}")


def test_the_catalogue_states_licences_and_the_default_is_free():
    assert TRANSLATORS["m2m100-418m"].licence == "MIT" and TRANSLATORS["madlad-3b"].licence == "Apache-2.0"
    assert all("NC" in known.licence for name, known in TRANSLATORS.items() if name.startswith("nllb"))
    assert all(known.revision and known.parameters for known in TRANSLATORS.values())
    opus = TRANSLATORS["opus-mt"]
    assert opus.place("en", "de") == "Helsinki-NLP/opus-mt-en-de@main" and opus.place("en", "th") == "Helsinki-NLP/opus-mt-en-mul@main"


def test_a_model_a_pair_is_cached_under_that_models_name(tmp_path, monkeypatch):
    from hybridir_utils.data.mt import KnownTranslator

    for source, target in (("en", "de"), ("en", "th")):
        folder = tmp_path / f"opus-{source}-{target}"
        folder.mkdir()
        tiny_mt.marian(folder, source, target, seed=ord(target[0]))
    known = KnownTranslator(
        name="opus",
        hub=f"{tmp_path}/opus-{{source}}-{{target}}",
        revision="main",
        family="marian",
        licence="",
        parameters=1,
        note="",
        pairs={"x-y": "z"},
    )
    monkeypatch.setitem(mt.TRANSLATORS, "opus", known)
    translator = open_translator("opus")
    cached = CachedTranslator(translator, tmp_path / "cache.sqlite")
    german, thai = (cached.translate(["The old house"], "en", target) for target in ("de", "th"))
    assert german == translator.for_pair("en", "de").translate(["The old house"], "en", "de") != thai
    assert translator.for_pair("en", "de").name != translator.for_pair("en", "th").name
    assert cached.known(["The old house"], "en", "th") == {"The old house": thai[0]}
    with pytest.raises(InputError, match="opus-de-en: neither a folder here nor a name"):
        cached.translate(["Haus"], "de", "en")


TOGETHER = """
    import json, sys
    from pathlib import Path
    from datasets import Dataset
    from hybridir_utils.base.distributed import rank
    from hybridir_utils.base.errors import InputError
    from hybridir_utils.data import mt
    from hybridir_utils.data.mt import open_translator
    from hybridir_utils.data.translation import CachedTranslator, translate_pairs

    vars(mt).update(json.loads(sys.argv.pop()))
    folder, model = map(Path, sys.argv[1:])
    inner = open_translator(f"mt:{model}", tokens=64)
    counted = []
    real = inner._generate
    inner._generate = lambda ids, marks: counted.append(len(ids)) or real(ids, marks)
    cached = CachedTranslator(inner, folder / "cache.sqlite")
    pairs = Dataset.from_parquet(str(folder / "pairs.parquet"), cache_dir=str(folder / f"cache{rank()}"))
    parallel = translate_pairs(pairs, cached, ["de", "th"], folder / "out")
    again = len(counted)
    translate_pairs(pairs, cached, ["de", "th"], folder / "out")
    assert len(counted) == again, "all was in the cache"
    if rank() == 1:
        inner._generate = lambda ids, marks: (_ for _ in ()).throw(MemoryError())
    try:
        cached.translate([f"another house {n}" for n in range(30)], "en", "de")
        failure = ""
    except InputError as error:
        failure = str(error)
    (folder / f"rank{rank()}.json").write_text(json.dumps([parallel["passage"][:], sum(counted[:again]), failure]))
"""


def test_two_processes_translate_as_one_and_share_the_work(models, tmp_path, monkeypatch):
    from datasets import Dataset

    columns = {"id": [f"i{n}" for n in range(25)], "language": ["en"] * 25, "source": ["s"] * 25}
    columns |= {"question": [f"where is house {n}?" for n in range(25)], "passage": ["behind the forest " * (n % 7 + 1) for n in range(25)]}
    pairs = Dataset.from_dict(columns | {"passage_id": columns["id"]})
    pairs.to_parquet(tmp_path / "pairs.parquet")
    script = tmp_path / "together.py"
    script.write_text(textwrap.dedent(TOGETHER))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path), str(models["m2m100"]), json.dumps(SHORT)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (first, share, failure), (second, other, _) = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    from hybridir_utils.data.translation import translate_pairs

    translator, made = open_translator(f"mt:{models['m2m100']}", tokens=64), []
    generate = translator._generate
    monkeypatch.setattr(translator, "_generate", lambda ids, marks: made.append(len(ids)) or generate(ids, marks))
    alone = translate_pairs(pairs, translator, ["de", "th"])
    assert first == second == alone["passage"][:]
    assert share + other == sum(made) and min(share, other) > 0.3 * sum(made), "each did its part, and none the other's"
    assert "out of memory with a single text" in failure, "the failure of the other process reaches this one"
