"""Our language codes (ISO 639-1, as `zh`, `no`, `pt`) in each translation model's own spelling, found in its vocabulary.

| family | token of Chinese | what it does |
|---|---|---|
| m2m100 | `__zh__` | begins the source, and is forced as the first token of the translation |
| nllb | `zho_Hans` | the same |
| marian | `>>cmn_Hans<<` | begins the source; models of a single pair have none |
| madlad | `<2zh>` | begins the source |
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import cache

from ..base.languages import known_languages

FORMS = {"m2m100": "__{}__", "nllb": "{}", "marian": ">>{}<<", "madlad": "<2{}>"}
PROBES = {"m2m100": "__en__", "nllb": "eng_Latn", "madlad": "<2en>"}  # a token that tells the family, whatever the model's name

# Spellings that CLDR does not list as aliases of a code: a macrolanguage's main member, or a name of the model's own
_MORE = {
    "ak": ["twi"], "ff": ["fuv"], "kr": ["knc"], "nb": ["no"], "no": ["nob", "nb"], "nso": ["ns"], "om": ["gaz"], "ps": ["pbt"],
    "qu": ["quy"], "sc": ["srd"],
}  # fmt: skip
_SCRIPTS = {"Kore": ["Hang", "Kore"]}


def language_tokens(vocabulary: Container[str], family: str) -> dict[str, str]:
    """{our code: the model's token} of every CLDR language that the vocabulary has a token for.

    NLLB's tokens all name a script; its vocabulary has `en` and `de` too, but as pieces of words.
    """
    tokens = {}
    for code in sorted(known_languages()):
        spellings = (FORMS[family].format(spelling) for spelling in _spellings(code) if family != "nllb" or "_" in spelling)
        token = next((token for token in spellings if token in vocabulary), None)
        if token:
            tokens[code] = token
    return tokens


def same_language(code: str, spelling: str | None) -> bool:
    """Whether a model's own spelling of a language (`deu`, `zho`) stands for our code; a model that does not say has any."""
    return spelling is None or spelling in set(_spellings(code))


def _spellings(code: str) -> Iterator[str]:
    """Code, then its aliases, each with its script before without: `zh_Hans`, `zh`, `cmn_Hans`, `cmn`, `zho_Hans`, …"""
    from babel.core import get_global

    likely = get_global("likely_subtags").get(code, "")
    script = likely.split("_")[1] if "_" in likely else ""
    for name in (code, *_MORE.get(code, ()), *_aliases().get(code, ())):
        yield from (f"{name}_{form}" for form in _SCRIPTS.get(script, [script] if script else []))
        yield name


@cache
def _aliases() -> dict[str, list[str]]:
    from babel.core import get_global

    aliases = {}
    for alias, code in get_global("language_aliases").items():
        aliases.setdefault(code, []).append(alias)
    return aliases
