"""What CLDR (through babel) knows of the world: names by language, and facts as (relation, subject, answer).

Items are (kind, code) with kind one of territory, language, script, currency, weekday, time_zone, city, code.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from babel import Locale
from babel.core import get_global
from babel.localedata import locale_identifiers
from babel.numbers import get_currency_precision

Item = tuple[str, str]
NOT_LANGUAGES = {"und", "mul", "zxx", "root", "mis"}


@cache
def name_of(language: str, kind: str, code: str) -> str | None:
    """Dictionary form of an item's name in `language`, or None where CLDR has none."""
    return NAMERS[kind](_locale(language), code)


@cache
def _locale(language: str) -> Locale:
    """Which reads a language's names, and copies them, when it is made."""
    return Locale.parse(language, sep="-")


def all_facts() -> Iterator[tuple[str, Item, Item]]:
    """(relation, subject, answer) in a fixed order."""
    for territory in territories():
        yield from _territory_facts(territory)
    for language in sorted(code for code in Locale("en").languages if "_" not in code and code not in NOT_LANGUAGES):
        yield from _language_facts(language)
    for currency in sorted({code for territory in territories() if (code := current_currency(territory))}):
        yield "currency_code", ("currency", currency), ("code", currency)
        yield "currency_decimals", ("currency", currency), ("code", str(get_currency_precision(currency)))
    for zone, territory in sorted(city_zones().items()):
        yield "city_territory", ("city", zone), ("territory", territory)
        if metazone := get_global("meta_zones").get(zone):
            yield "city_time_zone", ("city", zone), ("time_zone", metazone)


@cache
def territories() -> tuple[str, ...]:
    """ISO 3166 codes that have a time zone, which leaves out groupings; ZZ is CLDR's unknown region."""
    return tuple(
        sorted(code for code in get_global("territory_zones") if len(code) == 2 and code in Locale("en").territories and code != "ZZ")
    )


def current_currency(territory: str) -> str | None:
    """ISO 4217 code of the tender in use; the first where there are several."""
    in_use = [code for code, _, end, tender in get_global("territory_currencies").get(territory, []) if end is None and tender]
    return in_use[0] if in_use else None


def official_language(territory: str) -> str | None:
    """Official language with the largest share of the population."""
    shares = {
        code.split("_")[0]: info["population_percent"]
        for code, info in get_global("territory_languages").get(territory, {}).items()
        if info["official_status"] in ("official", "de_facto_official")
    }
    return max(shares, key=shares.get) if shares else None


def single_time_zone(territory: str) -> str | None:
    """The territory's metazone, if all its zones share one."""
    zones = {get_global("meta_zones").get(zone) for zone in get_global("territory_zones").get(territory, [])}
    return zones.pop() if len(zones) == 1 else None


@cache
def city_zones() -> dict[str, str]:
    """Time zone id that names a city -> its territory."""
    skipped = ("Etc/", "Antarctica/", "SystemV/", "US/")
    return {zone: code for zone, code in get_global("zone_territories").items() if not zone.startswith(skipped) and code in territories()}


def _territory_facts(code: str) -> Iterator[tuple[str, Item, Item]]:
    subject = ("territory", code)
    if currency := current_currency(code):
        yield "currency", subject, ("currency", currency)
    if language := official_language(code):
        yield "official_language", subject, ("language", language)
    if (day := first_weekday(code)) is not None:
        yield "first_weekday", subject, ("weekday", str(day))
    if zone := single_time_zone(code):
        yield "time_zone", subject, ("time_zone", zone)
    yield "territory_code", subject, ("code", code)


def first_weekday(territory: str) -> int | None:
    """0 = Monday; None where CLDR has no locale of the territory."""
    locale = _a_locale_of().get(territory)
    return Locale.parse(locale).first_week_day if locale else None


@cache
def _a_locale_of() -> dict[str, str]:
    """Territory -> one of its locales; week data are the same in all of them."""
    return {identifier.rsplit("_", 1)[1]: identifier for identifier in sorted(locale_identifiers()) if "_" in identifier}


def _language_facts(code: str) -> Iterator[tuple[str, Item, Item]]:
    subject, likely = ("language", code), get_global("likely_subtags").get(code)
    if likely and likely.count("_") == 2:
        _, script, territory = likely.split("_")
        yield "language_script", subject, ("script", script)
        if territory in territories():
            yield "language_home", subject, ("territory", territory)
    yield "language_code", subject, ("code", code)


def _city(locale: Locale, zone: str) -> str | None:
    if city := locale.time_zones.get(zone, {}).get("city"):
        return city
    latin = get_global("likely_subtags").get(locale.language, "_Latn_").split("_")[1] == "Latn"
    return zone.rsplit("/", 1)[1].replace("_", " ") if latin else None  # CLDR's own fallback (UTS 35, exemplar city)


def _time_zone(locale: Locale, metazone: str) -> str | None:
    names = locale.meta_zones.get(metazone, {}).get("long", {})
    return names.get("generic") or names.get("standard")


STAND_ALONE = ("fi", "lv")  # whose weekdays in a date differ from those alone


def _weekday(locale: Locale, number: str) -> str:
    """Not the stand-alone form where the date's is the same: babel 2.18 lets locales share it, and gives Urdu or Swahili names for most
    once one of these two has been opened.
    """
    return locale.days["stand-alone" if locale.language in STAND_ALONE else "format"]["wide"][int(number)]


NAMERS = {
    "territory": lambda locale, code: locale.territories.get(code),
    "language": lambda locale, code: locale.languages.get(code),
    "script": lambda locale, code: locale.scripts.get(code),
    "currency": lambda locale, code: locale.currencies.get(code),
    "weekday": _weekday,
    "time_zone": _time_zone,
    "city": _city,
    "code": lambda locale, code: code,
}


def named_items() -> Iterator[Item]:
    """Every item that CLDR names in English, in a fixed order."""
    english = Locale("en")
    for kind, codes in (
        ("territory", territories()),
        ("language", sorted(english.languages)),
        ("script", sorted(english.scripts)),
        ("currency", sorted(english.currencies)),
        ("weekday", "0123456"),
        ("time_zone", sorted(english.meta_zones)),
        ("city", sorted(city_zones())),
    ):
        yield from ((kind, code) for code in codes if name_of("en", kind, code))
