"""Tiny models with random weights, saved in the hub's folder format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def save_tiny_bert(folder: Path, texts: Iterable[str], architecture: str = "Bert", **sizes) -> Path:
    """A one-layer BERT (or XLM-R: architecture="XLMRoberta") with a tokenizer trained on `texts`."""
    import torch
    import transformers

    from hybridir_utils.train.base_encoders import train_tokenizer

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(list(texts), 300), unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 66}
    torch.manual_seed(0)
    sizes = small | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id} | sizes
    config = getattr(transformers, f"{architecture}Config")(**sizes)
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
