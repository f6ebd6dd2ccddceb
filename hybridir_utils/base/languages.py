"""Language codes, names and scripts: one spelling of each code through the whole suite (`zh`, not `zh-CN`)."""

from __future__ import annotations

from functools import cache

from .errors import UnknownName

XQUAD_R_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


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
