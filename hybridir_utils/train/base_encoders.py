"""The suite's own base encoders: small stand-ins, made from nothing, for the paper's two (DESIGN §4).

`unaligned` stands for XLM-R and mBERT: one vocabulary, no notion of translation. `aligned` stands for LaBSE: the same
start, trained by translation ranking on CLDR names and on the training passages. Both are bags of subwords
(StaticEmbedding), which train in seconds on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..base.mapped import chunks
from ..data.batching import plan_batches
from ..data.pairs import pairs_from_rows
from ..data.worldnames import name_of, named_items
from .training import TrainingSettings, train_encoder

UNKNOWN = "[UNK]"


def make_unaligned(folder: Path, texts: Iterable[str], vocabulary: int, dimension: int, seed: int) -> None:
    """Save a bag of subwords (StaticEmbedding) with a WordPiece tokenizer trained on `texts` and random vectors of a seed."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    tokenizer = train_tokenizer(texts, vocabulary)
    weights = torch.randn(tokenizer.get_vocab_size(), dimension, generator=torch.Generator().manual_seed(seed)) * 0.05
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu")
    model.save(str(folder), create_model_card=False)


def train_tokenizer(texts: Iterable[str], vocabulary: int):
    """WordPiece over scripts split apart, NFKC and lower case; the same texts give the same pieces in the same order.

    The library numbers the letters inside words in the order of a hash table, another one each time, and breaks ties by these
    numbers. Naming them first, as special tokens of the training, fixes both.
    """
    from tokenizers import trainers

    texts, tokenizer = list(texts), _word_splitter()
    parts = {part for text in texts for part in text.split()}  # no word goes across a blank, and most parts come again and again
    inner = sorted({f"##{letter}" for part in parts for word in _words(tokenizer, part) for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=[UNKNOWN, *inner], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    trained = _word_splitter(tokenizer.get_vocab())
    trained.add_special_tokens([UNKNOWN])
    return trained


def _word_splitter(vocabulary: dict[str, int] | None = None):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=400))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.UnicodeScripts(), pre_tokenizers.BertPreTokenizer()])
    return tokenizer


def _words(tokenizer, text: str) -> list[str]:
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


def bitext(pairs, languages: tuple[str, ...]):
    """Translations to rank: CLDR names and the training passages, as parallel pairs whose question is the text itself."""
    names = [
        (f"{kind}:{code}", f"{kind}:{code}", language, name, name, "cldr-names")
        for kind, code in named_items()
        for language in languages
        if (name := name_of(language, kind, code))
    ]
    passages = [
        (f"passage:{number}", f"passage:{passage}", language, text, text, "passages")
        for table in chunks(pairs, ["id", "passage_id", "language", "passage"])
        for number, passage, language, text in zip(*(column.to_pylist() for column in table.columns), strict=True)
    ]
    return pairs_from_rows(names + passages)


def make_aligned(
    folder: Path, unaligned: Path, pairs, languages: tuple[str, ...], *, steps: int, batch_size: int, seed: int, rate: float = 2e-2, **how
) -> None:
    """Save the unaligned encoder after `steps` of translation ranking (cross batches over `bitext`) at a learning rate.

    how: further `TrainingSettings` (precision, compile).
    """
    texts = bitext(pairs, languages)
    plan = plan_batches(texts, "X-Y", steps=steps, batch_size=batch_size, seed=seed)
    settings = TrainingSettings(learning_rate=rate, query_prefix="", passage_prefix="", **how)
    model, _ = train_encoder(unaligned, texts, plan, settings)
    model.save(str(folder), create_model_card=False)
