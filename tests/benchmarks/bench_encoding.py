"""Encoding against `SentenceTransformer.encode` with its defaults, and how often texts are tokenised.

    HYBRIDIR_DATA=FOLDER python tests/benchmarks/bench_encoding.py [--json FILE] [--passages 100000] [--repeat 1]

Passages: sections of the set mscourses, 55 languages. Encoders with random weights, tokenizer trained on the passages: a bag of
subwords 192 wide, a BERT of two layers 128 wide. Each runs in a fresh process, in turn; equal vectors are checked to 1e-5. For the
BERT also the tokens that the modules see, padding counted: that is where the time goes. Without HYBRIDIR_DATA only the world facts'
test task through a fresh bag of subwords.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from bench_ranking import PeakMemory, timed

from hybridir_utils.base.files import read_jsonl
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.data.worldfacts import retrieval_task
from hybridir_utils.encode.encoding import encode_task, encode_texts
from hybridir_utils.encode.opening import open_model
from hybridir_utils.provenance.fingerprints import versions
from hybridir_utils.train.base_encoders import make_unaligned, train_tokenizer

TOKENIZER_TEXTS = 20_000


def passages(folder: Path, count: int) -> list[str]:
    """Sections of all languages in a random order."""
    texts = [row["text"] for file in sorted(folder.glob("*.jsonl.gz")) for _, row in read_jsonl(file, ["text"])]
    return [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[:count]]


def save_bert(folder: Path, texts: list[str], layers: int = 2, width: int = 128, most_tokens: int = 512, dropout: float = 0.1) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = train_tokenizer(texts, 20_000)
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=most_tokens, **names).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64, "intermediate_size": 4 * width}
    sizes |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(width)], device="cpu").save(str(folder / "model"), create_model_card=False)


def encode(kind: str, folder: str, texts: list[str]) -> tuple[float, float, float, int, np.ndarray]:
    """Seconds, processor seconds, MB above the memory at the start, tokens through the modules, vectors."""
    model = open_model(folder)
    work = {
        "ours": lambda: encode_texts(model, texts, "document"),
        "default": lambda: model.encode_document(texts, show_progress_bar=False),
    }
    model.encode_document(texts[:64], show_progress_bar=False)
    seen = []
    model[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]["input_ids"].numel()))
    before = time.process_time()
    with PeakMemory() as memory:
        seconds, vectors = timed(work[kind])
    return seconds, time.process_time() - before, memory.peak_mb, sum(seen), vectors


def compare(folder: Path, texts: list[str], repeat: int) -> dict:
    """Both ways in turn, each in a fresh process; the best of each counts."""
    runs = {"default": [], "ours": []}
    for _ in range(repeat):
        for kind, done in runs.items():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                done.append(fresh.submit(encode, kind, str(folder), texts).result())
    unit = [done[0][4] / np.linalg.norm(done[0][4], axis=1, keepdims=True) for done in runs.values()]
    assert np.abs(unit[0] - unit[1]).max() < 1e-5
    rows = {
        kind: {
            "seconds": [round(run[0], 1) for run in done],
            "processor_seconds": [round(run[1], 1) for run in done],
            "peak_mb": round(done[0][2]),
            "tokens_through_modules": done[0][3],
        }
        for kind, done in runs.items()
    }
    ratio = min(rows["default"]["seconds"]) / min(rows["ours"]["seconds"])
    return {**rows, "faster": round(ratio, 2), "largest_difference": float(np.abs(unit[0] - unit[1]).max())}


class Counting:
    """A tokenizer that counts the texts it is given."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.to_str, self.texts = tokenizer, tokenizer.to_str, 0

    def encode_batch_fast(self, texts: list[str], **options):
        self.texts += len(texts)
        return self.tokenizer.encode_batch_fast(texts, **options)


def world_facts() -> dict:
    """Texts, distinct texts, texts tokenised, seconds of the world-facts test task."""
    task = retrieval_task("test", XQUAD_R_LANGUAGES)
    with tempfile.TemporaryDirectory() as folder:
        make_unaligned(Path(folder), task.candidates["text"], vocabulary=20_000, dimension=192, seed=0)
        model = open_model(folder)
    tokenizer = Counting(model[0].tokenizer)
    model[0].tokenizer = tokenizer
    seconds, _ = timed(encode_task, model, task)
    return {
        "texts": len(task.queries) + len(task.candidates),
        "distinct": task.queries["text"].nunique() + task.candidates["text"].nunique(),
        "tokenised": tokenizer.texts,
        "seconds": round(seconds, 2),
    }


def real_passages(folder: Path, count: int, repeat: int) -> dict:
    texts = passages(folder / "mscourses", count)
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        make_unaligned(place / "bag", texts[:TOKENIZER_TEXTS], vocabulary=20_000, dimension=192, seed=0)
        save_bert(place, texts[:TOKENIZER_TEXTS])
        encoders = {"bag of subwords, 192 wide": place / "bag", "BERT, 2 layers, 128 wide": place / "model"}
        rows = {name: compare(encoder, texts, repeat) for name, encoder in encoders.items()}
    return {"passages": len(texts), "distinct": len(set(texts)), "mean_characters": round(float(np.mean([*map(len, texts)]))), **rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    report = {"world facts": world_facts()}
    if os.environ.get("HYBRIDIR_DATA"):
        report["real passages"] = real_passages(Path(os.environ["HYBRIDIR_DATA"]), options.passages, options.repeat)
    report |= {"cpus": os.cpu_count(), "machine": platform.machine(), "versions": versions()}
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
