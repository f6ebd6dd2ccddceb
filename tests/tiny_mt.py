"""Untrained translation models of a few thousand weights, one a family, written to disk as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path

SENTENCES = [
    "Water boils at one hundred degrees.", "The forest lies behind the old house.", "Ships sail where the river meets the sea.",
    "What is the currency of Thailand?", "In which year was the bridge built?", "Der Wald liegt hinter dem alten Haus.",
    "Wasser kocht bei hundert Grad.", "Les navires passent sous le pont.", "Quelle heure est-il?", "น้ำเดือดที่หนึ่งร้อยองศา ป่าอยู่หลังบ้าน",
]  # fmt: skip
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WIDTH = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "init_std": 1.0,
}  # fmt: skip


def pieces(folder: Path, kind: str = "bpe"):
    """A sentencepiece model trained on SENTENCES; its file is folder/sentencepiece.bpe.model."""
    import sentencepiece

    prefix = folder / "sentencepiece.bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_prefix=str(prefix), vocab_size=150, model_type=kind, character_coverage=1.0,
        minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


def m2m100(folder: Path, positions: int = 128) -> Path:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    names = _names(pieces(folder))
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate([*SPECIAL, *names])}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    config = M2M100Config(vocab_size=len(SPECIAL) + len(names) + 108, max_position_embeddings=positions, **WIDTH)
    return _saved(M2M100ForConditionalGeneration, config, tokenizer, folder)


def nllb(folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    config = M2M100Config(vocab_size=len(tokenizer), max_position_embeddings=128, decoder_start_token_id=2, **WIDTH)
    return _saved(M2M100ForConditionalGeneration, config, tokenizer, folder)


def marian(folder: Path, source: str = "eng", target: str = "deu", tokens: tuple[str, ...] = (), seed: int = 0) -> Path:
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    names = [*tokens, *_names(pieces(folder))]
    vocabulary = {name: i for i, name in enumerate(["</s>", "<unk>", *names, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    model = (folder / "sentencepiece.bpe.model").read_bytes()
    for side in ("source", "target"):
        (folder / f"{side}.spm").write_bytes(model)
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"), source_lang=source, target_lang=target
    )
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=0,
        max_position_embeddings=128, **WIDTH,
    )  # fmt: skip
    return _saved(MarianMTModel, config, tokenizer, folder, seed)


def madlad(folder: Path) -> Path:
    """MADLAD's layout: the embedding lies in the file as decoder.embed_tokens, without shared.weight, beside an output layer of its own."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    model = pieces(folder, "unigram")
    scores = [(model.id_to_piece(i), model.get_score(i)) for i in range(3, model.get_piece_size())]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = T5Tokenizer(vocab=[*special, *((f"<2{code}>", 0.0) for code in ("en", "de", "th", "zh")), *scores], extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=1, feed_forward_proj="gated-gelu", initializer_factor=3.0,
    )  # fmt: skip
    _saved(T5ForConditionalGeneration, config, tokenizer, folder)
    weights = load_file(folder / "model.safetensors")
    weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    torch.manual_seed(1)
    weights["lm_head.weight"] = torch.randn_like(weights["decoder.embed_tokens.weight"])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


def _names(model) -> list[str]:
    return [model.id_to_piece(i) for i in range(3, model.get_piece_size())]


def _saved(kind, config, tokenizer, folder: Path, seed: int = 0) -> Path:
    import torch

    torch.manual_seed(seed)
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
