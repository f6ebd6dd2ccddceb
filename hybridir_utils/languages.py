"""Language codes, names and scripts: one spelling of each code through the whole suite (`zh`, not `zh-CN`)."""

from __future__ import annotations

from functools import cache

from .errors import UnknownName

XQUAD_R_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
PAPER_TRAINING_LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")  # el and vi stay unseen


@cache
def known_languages() -> frozenset[str]:
    """Codes of every language CLDR has a locale for."""
    from babel.localedata import locale_identifiers

    return frozenset(code for code in locale_identifiers() if "_" not in code and code != "root")


def check_languages(codes) -> tuple[str, ...]:
    """The codes as a tuple; raises UnknownName with the nearest known code."""
    codes = tuple(codes)
    for code in codes:
        if code not in known_languages():
            raise UnknownName("language", code, sorted(known_languages()))
    return codes


@cache
def english_name(code: str) -> str:
    """`'de'` -> `'German'`."""
    from babel import Locale

    return Locale.parse(code).english_name.split(" (")[0]


@cache
def is_right_to_left(code: str) -> bool:
    from babel import Locale

    return Locale.parse(code).text_direction == "rtl"
