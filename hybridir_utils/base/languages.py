"""Language codes, names and scripts: one spelling of each code through the whole suite (`zh`, not `zh-CN`; `zh-TW`, not `zh_tw`)."""

from __future__ import annotations

from functools import cache

from .errors import UnknownName
from .language_codes import our_code

XQUAD_R_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


@cache
def known_languages() -> frozenset[str]:
    """Codes of every language CLDR has a locale for."""
    from babel.localedata import locale_identifiers

    return frozenset(code for code in locale_identifiers() if "_" not in code and code != "root")


def is_regional(code: str) -> bool:
    """Whether a code is a known language in a region that is not the one its plain code stands for, in our spelling: `zh-TW`."""
    language, hyphen, region = code.partition("-")
    return bool(hyphen) and len(region) == 2 and language in known_languages() and our_code(code) == code


def check_languages(codes) -> tuple[str, ...]:
    """The codes as a tuple; raises UnknownName with the nearest known code. A region may follow a language (`pt-PT`)."""
    codes = tuple(codes)
    for code in codes:
        if code not in known_languages() and not is_regional(code):
            raise UnknownName("language", code, sorted(known_languages()))
    return codes
