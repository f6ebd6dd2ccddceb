"""Language codes of public sets (ISO 639-3, with or without a script or region) and ours: `zho-CN`, `zho_Hans`, `zh_cn` -> `zh`."""

from __future__ import annotations

from functools import cache

# Script or region that a language is written in when its code alone is given; any other stays in our code (`zh-Hant`, `ar-Latn`).
USUAL = {
    "ar": "Arab", "az": "Latn", "bn": "Beng", "ckb": "Arab", "hi": "Deva", "ne": "Deva", "sd": "Arab", "si": "Sinh", "sn": "Latn",
    "sr": "Cyrl", "tg": "Cyrl", "ur": "Arab", "zh": "Hans",
}  # fmt: skip
REGION_SCRIPT = {"CN": "Hans"}


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
