"""Languages: the codes that tasks and pair sets use, their families and their names."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from functools import cache

from langcodes import Language, LanguageTagError, standardize_tag, tag_is_valid
from langcodes.data_dicts import LIKELY_SUBTAGS

from .errors import InputError, need_known

XQUAD_R_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
SAME = {"nb": "no", "fuv": "ff", "pbt": "ps", "quy": "qu"}  # one language to most sets, two to CLDR
APART = {"ajp": "ajp", "prs": "prs", "tw": "tw", "twi": "tw"}  # two languages to FLORES, one to CLDR
SCRIPTS = {"Hang": "Kore"}  # of Korean, as FLORES writes it
LANGID_NAMES = {"fil": "tl", "nb": "no"}  # py3langid's code where it is not ours
MODIFIERS = {"@latin": "-Latn", "@cyrillic": "-Cyrl"}  # of a POSIX locale
SPLITS = ("train", "dev", "val", "validation", "test", "all")  # file names that are no languages, though `dev` and `val` are codes of some
FAMILIES = {
    "Germanic": "af da de en fo is lb nl nn no sv yi",
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
FAMILY_OF = {code: family for family, codes in FAMILIES.items() for code in codes.split()}
OTHER = "other"


def our_code(code: str, where: str = "") -> str:
    """Our one code of a language, of whatever form: ISO 639-1 and -3, with `-` or `_`, a script, a region, retired.

    The shortest that CLDR's likely subtags take for the same: `deu_Latn`, `de-DE` -> `de`; `zho_Hant` -> `zh-TW`; `sr-Latn`, `pt-PT` stay.
    A macro-language stands for its main member (`cmn` -> `zh`, `arb` -> `ar`, `nob` -> `no`). A well-formed code that no registry knows is
    kept, with a warning. where: file and line. Raises InputError, with the code of a language of that name, for what is no code.
    """
    try:
        ours, known = _read(code)
    except (LanguageTagError, AttributeError):
        hint = _code_of_name(str(code))
        raise InputError(
            f"{where}{': ' if where else ''}{code!r} is no code of a language{f' (did you mean {hint!r}?)' if hint else ''}; expected "
            "ISO 639's two or three letters, with a script or region where one is needed, such as de, deu, pt-BR, zh_Hant."
        ) from None
    if not known:
        warnings.warn(f"language {code!r} stands in no registry of languages; it is kept as {ours!r}.", stacklevel=2)
    return ours


def our_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """`our_code` of each, each once."""
    return tuple(dict.fromkeys(map(our_code, codes)))


def by_language(names: Iterable[str], folder: object) -> dict[str, str]:
    """Our code -> name, of files or parts named by language; of several for one language the plainest (`por` before `por-BR`).

    A warning names those that are passed over as they stand for no language. folder: where they are, for it.
    """
    found, odd = {}, []
    for name in sorted(names, key=lambda name: (len(name), name)):
        try:
            found.setdefault(our_code(name), name) if name not in SPLITS else odd.append(name)
        except InputError:
            odd.append(name)
    if odd:
        warnings.warn(f"{folder}: passed over, as not named by a language: {', '.join(sorted(odd)[:5])}.", stacklevel=3)
    return dict(sorted(found.items()))


def pick_languages(task: str, wanted: Iterable[str], there: Sequence[str]) -> tuple[str, ...]:
    """The wanted languages, or all there are where none is asked for; raises UnknownName for one that the set lacks."""
    wanted = our_codes(wanted)
    need_known(f"language of {task}", wanted, there)
    return wanted or tuple(there)


def langid_name(code: str) -> str:
    """py3langid's code of a language."""
    return LANGID_NAMES.get(primary(code), primary(code))


def primary(code: str) -> str:
    """The language of our code without script and region: texts of `zh` and `zh-TW` are compared with each other where leaks are sought."""
    return code.partition("-")[0]


@cache
def _read(code: str) -> tuple[str, bool]:
    """(our code, whether a registry has it); raises LanguageTagError."""
    for modifier, script in MODIFIERS.items():
        code = code.replace(modifier, script)
    tag = Language.get(code, normalize=False)
    written = tag.extlangs[-1] if tag.extlangs else tag.language  # `zh-yue`
    if len(written or "") not in (2, 3):
        raise LanguageTagError(code)
    base = Language.get(APART.get(written) or standardize_tag(written, macro=True), normalize=False)
    language, script = SAME.get(base.language, base.language), SCRIPTS.get(tag.script, tag.script) or base.script
    full = Language.make(language, script=script, territory=tag.territory or base.territory)
    return _shortest(full, tag.variants), tag_is_valid(code)


def _shortest(tag: Language, variants: Sequence[str] | None) -> str:
    """CLDR's "remove likely subtags": the shortest tag that is expanded to the same. The script of a language it does not know goes."""
    if tag.language not in LIKELY_SUBTAGS:
        return Language.make(tag.language, territory=tag.territory, variants=variants).to_tag()
    full = tag.maximize()
    language, script, region = full.language, full.script, full.territory
    for parts in ({}, {"territory": region}, {"script": script}, {"script": script, "territory": region}):
        if Language.make(language, **parts).maximize() == full:
            break
    return Language.make(language, **parts, variants=variants).to_tag()


def _code_of_name(name: str) -> str:
    """Our code of the language of that English name, or one near it; "" where none is."""
    from babel import Locale

    codes = {english.casefold(): code for code, english in Locale("en").languages.items()}
    near = difflib.get_close_matches(name.casefold(), codes, n=1, cutoff=0.8)
    return our_code(codes[near[0]]) if near else ""


def family_of(language: str) -> str:
    """Family of a language code, its region or script left aside (`zh-Hant` as `zh`); `other` for one that is not listed."""
    return FAMILY_OF.get(primary(language), OTHER)


def script_of(language: str) -> str:
    """ISO 15924 code of the script a language is usually written in (CLDR's likely subtags): `hi` -> `Deva`.

    A script or region in the code counts (`az-Arab`, `zh-TW`); `other` where CLDR knows none.
    """
    from babel.core import get_global

    tag, likely = Language.get(language, normalize=False), get_global("likely_subtags")
    full = likely.get(f"{tag.language}_{tag.territory}") or likely.get(tag.language) or ""
    return tag.script or (full.split("_")[1] if full.count("_") == 2 else OTHER)
