"""A transformer made from nothing: BERT's layers (Devlin et al. 2019) with random weights, over a tokenizer of one's own."""

from __future__ import annotations

from pathlib import Path

UNKNOWN, PADDING = "[UNK]", "[PAD]"
MOST_TOKENS = 512
HEAD_WIDTH = 64


def save_transformer(
    folder: Path, tokenizer, dimension: int, layers: int, seed: int, *, dropout: float = 0.1, most_tokens: int = MOST_TOKENS
) -> None:
    """Save `layers` layers, `dimension` wide, for texts of up to `most_tokens`, in the hub's format; the same seed gives the same weights.

    tokenizer: a `tokenizers.Tokenizer` that knows UNKNOWN. Opened by `opening.open_model`, the vectors of a text's subwords are averaged.
    """
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    texts = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, pad_token=PADDING, model_max_length=most_tokens)
    config = BertConfig(
        vocab_size=len(texts),
        pad_token_id=texts.pad_token_id,
        hidden_size=dimension,
        num_hidden_layers=layers,
        num_attention_heads=max(1, dimension // HEAD_WIDTH),
        intermediate_size=4 * dimension,
        max_position_embeddings=most_tokens,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    texts.save_pretrained(folder)
