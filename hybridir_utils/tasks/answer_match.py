"""Does a passage hold a gold answer? The test of open-domain question answering, as BGE-M3 runs it on MKQA.

Chen et al. 2017 (DrQA) and Karpukhin et al. 2020 (DPR): both texts are decomposed (Unicode NFD), cut into tokens and lower-cased;
the answer must stand in the passage as an unbroken run of tokens. A token is a run of letters, digits and combining marks, or any
other visible character alone. No dictionary cuts words: in Thai, Khmer, Chinese or Japanese a run without a blank or a mark is one
token, and an answer inside it is not found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

BREAK = "\x1f"  # a control character, which no token holds


def tokens(text: str) -> list[str]:
    """The text's tokens, decomposed and lower-cased."""
    return [token.lower() for token in _pattern().findall(unicodedata.normalize("NFD", text))]


def token_text(text: str) -> str:
    """The tokens between BREAKs: a run of tokens stands in another text exactly if its `token_text` is a part of the other's."""
    return BREAK + "".join(token + BREAK for token in tokens(text))


def has_answer(passage: str, answers: Iterable[str]) -> bool:
    """Whether any answer stands in the passage. An answer without a token (white space) stands in none."""
    text = token_text(passage)
    return any(answer in text for answer in usable(answers))


def usable(answers: Iterable[str]) -> list[str]:
    """`token_text` of the answers that have a token."""
    return [text for answer in answers if answer and (text := token_text(answer)) != BREAK]


@cache
def _pattern():
    import regex

    return regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")
