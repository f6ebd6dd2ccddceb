"""Family and script of a language, to read results by: families as in Glottolog's top level, Indo-European by branch; scripts from CLDR."""

from __future__ import annotations

from functools import cache

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
