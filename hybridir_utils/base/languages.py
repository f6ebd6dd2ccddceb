"""Languages: the codes that tasks and pair sets use, their families and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from .errors import UnknownName

XQUAD_R_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
# Script or region that a language is written in when its code alone is given; any other stays in our code (`zh-Hant`, `ar-Latn`).
USUAL = {
    "ar": "Arab", "az": "Latn", "bn": "Beng", "ckb": "Arab", "hi": "Deva", "ne": "Deva", "sd": "Arab", "si": "Sinh", "sn": "Latn",
    "sr": "Cyrl", "tg": "Cyrl", "ur": "Arab", "zh": "Hans",
}  # fmt: skip
REGION_SCRIPT = {"CN": "Hans"}
FAMILIES = {
    "Germanic": "af da de en fo is lb nb nl nn no sv yi",
    "Romance": "ca es fr gl it oc pt ro",
    "Slavic": "be bg bs cs hr mk pl ru sk sl sr uk",
    "Baltic": "lt lv",
    "Celtic": "br cy ga gd",
    "Greek": "el",
    "Armenian": "hy",
    "Albanian": "sq",
    "Indo-Iranian": "as bn ckb dv fa gu hi ku mr ne or pa ps sd si tg ur",
    "Uralic": "et fi hu se",
    "Turkic": "az ba kk ky tk tr tt ug uz",
    "Afro-Asiatic": "am ar ha he kab mt om so ti",
    "Atlantic-Congo": "bem ee ig lg nso ny nd rw sn ss st sw tn ts ve wo xh yo zu",
    "Dravidian": "kn ml ta te",
    "Austroasiatic": "km vi",
    "Austronesian": "fil fj id jv mg mi ms sm to ty",
    "Kra-Dai": "lo th",
    "Sino-Tibetan": "bo dz my yue zh",
    "Hmong-Mien": "hmn",
    "Mongolic": "mn",
    "Japonic": "ja",
    "Koreanic": "ko",
    "Kartvelian": "ka",
    "Basque": "eu",
    "constructed": "eo",
    "creole": "pcm",
}
OTHER = "other"


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


def pick_languages(task: str, wanted: Iterable[str], there: Sequence[str]) -> tuple[str, ...]:
    """The wanted languages, or all there are where none is asked for; raises UnknownName for one that the set lacks."""
    wanted = tuple(dict.fromkeys(wanted))
    for language in wanted:
        if language not in there:
            raise UnknownName(f"language of {task}", language, there)
    return wanted or tuple(there)


@cache
def our_code(code: str, single: bool = False) -> str:
    """Our code of a language tag with `-` or `_`: two letters where CLDR's aliases know them (`pes` -> `fa`, `tgl` -> `fil`).

    The script is left out where it is the usual one. single: the set has one script a language, so that it is always left out.
    A dialect without an alias keeps its own code (`arz`), as does an alias of a region (`prs`, which CLDR calls `fa_AF`).
    """
    from babel.core import get_global

    first, *rest = code.replace("_", "-").split("-")
    alias = get_global("language_aliases").get(first.lower(), first.lower())
    language = first.lower() if "_" in alias else alias
    variant = rest[0] if rest else ""
    variant = REGION_SCRIPT.get(variant.upper(), variant.title() if len(variant) == 4 else variant.upper())
    if not variant or single or variant == USUAL.get(language):
        return language
    return f"{language}-{variant}"


@cache
def _by_code() -> dict[str, str]:
    return {code: family for family, codes in FAMILIES.items() for code in codes.split()}


def family_of(language: str) -> str:
    """Family of a language code, its region or script left aside (`zh-Hant` as `zh`); `other` for one that is not listed."""
    return _by_code().get(language.split("-")[0], OTHER)


def script_of(language: str) -> str:
    """ISO 15924 code of the script a language is usually written in (CLDR's likely subtags): `hi` -> `Deva`.

    A script in the code counts (`az-Arab`); `other` where CLDR knows none.
    """
    from babel.core import get_global

    written = [part for part in language.split("-")[1:] if len(part) == 4]
    likely = get_global("likely_subtags").get(language.split("-")[0], "").split("_")
    return written[0] if written else likely[1] if len(likely) == 3 else OTHER
