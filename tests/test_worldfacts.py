"""The embedded corpus: templates alike in every language, sentences whole, splits without leaks, near misses, news passages."""

import shutil
import string
import tomllib
from collections import Counter
from itertools import product

import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.files import WORLDFACTS
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES, our_codes
from hybridir_utils.data import worldfacts
from hybridir_utils.data.worldfacts import (
    BRIEF,
    Fact,
    FactsMemory,
    english_pairs,
    facts,
    is_complete,
    news_passage,
    passage,
    pattern_languages,
    question,
    retrieval_task,
    shifted_task,
    split_facts,
    template_languages,
    templates,
)
from hybridir_utils.data.worldnames import all_facts, name_of, named_items

LANGUAGES = XQUAD_R_LANGUAGES
SENTENCES = tuple(sorted(path.stem for path in WORLDFACTS.glob("*.toml")))
PATTERNS = pattern_languages()
QUESTION_ENDS = {"ar": "؟", "fa": "؟", "ur": "؟", "el": ";", "zh": "？", "ja": "？", "th": ""}  # Thai writes neither mark nor full stop
SENTENCE_ENDS = {"hi": "।", "bn": "।", "ur": "۔", "zh": "。", "ja": "。", "th": ""}


@pytest.fixture(scope="module")
def splits():
    return split_facts(LANGUAGES)


@pytest.fixture(scope="module")
def test_task():
    return retrieval_task("test", LANGUAGES)


def fields(template):
    return sorted(field for _, field, _, _ in string.Formatter().parse(template) if field is not None)


def shape(language):
    """Where a template stands -> the placeholders it has."""
    table = tomllib.loads((WORLDFACTS / f"{language}.toml").read_text(encoding="utf-8"))
    return {
        (relation, part, number): fields(template)
        for relation, parts in table.items()
        for part, value in parts.items()
        for number, template in enumerate([value] if isinstance(value, str) else value)
    }


def test_there_are_enough_relations_facts_and_languages():
    assert template_languages() == tuple(sorted((*SENTENCES, *PATTERNS))) and not set(SENTENCES) & set(PATTERNS)
    assert set(LANGUAGES) <= set(SENTENCES) and len(SENTENCES) >= 40 and len(template_languages()) >= 60
    assert len({fact.relation for fact in facts()}) >= 8 and len(facts()) >= 2000
    assert len({fact.id for fact in facts()}) == len(facts())
    assert {fact.relation for fact in facts()} == set(templates("en")) - {"news"}


def test_a_relation_and_an_english_subject_have_one_answer():
    subjects = Counter((fact.relation, name_of("en", *fact.subject)) for fact in facts())
    assert max(subjects.values()) == 1
    assert len(facts()) < len(list(all_facts()))  # some had to go


@pytest.mark.parametrize("language", SENTENCES)
def test_templates_have_the_keys_and_placeholders_of_the_english_ones(language):
    assert shape(language) == shape("en")
    for relation, parts in templates(language).items():
        if relation != "news":
            assert len(parts["questions"]) == len(set(parts["questions"])) == len(parts["passages"]) == len(set(parts["passages"])) == 2


def test_english_questions_ask_and_passages_answer():
    for (relation, part, _), placeholders in shape("en").items():
        if relation != "news":
            assert placeholders == (["subject"] if part == "questions" else ["answer", "subject"])


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_whole_and_end_as_the_languages_sentences_do(language):
    asked, said = QUESTION_ENDS.get(language, "?"), SENTENCE_ENDS.get(language, ".")
    filled = [fact for fact in facts() if is_complete(fact, (language,))]
    assert len(filled) > 2000
    for fact in filled if language in LANGUAGES else filled[::4]:
        questions = [question(fact, language, phrasing) for phrasing in (0, 1)]
        passages = [passage(fact, language, phrasing) for phrasing in (0, 1)] + list(news_passage(fact, language).values())
        assert all(whole(text, asked) for text in questions) and all(whole(text, said) for text in passages)
        assert len({*questions, *passages}) == 8
        assert language != "es" or all(text.count("¿") == 1 for text in questions)
        assert all(name_of(language, *fact.subject) in text for text in questions + passages[:2])
        assert all(name_of(language, *fact.answer) in text for text in passages[:2])


def whole(text, end):
    no_mark = not end and text[-1] not in ".?!;:。"
    return not set(text) & set("{}") and "None" not in text and (no_mark or (end and text.endswith(end) and not text.endswith(end * 2)))


def test_splits_are_disjoint_and_cover_all_facts(splits):
    pairs = {split: {(fact.relation, fact.subject) for fact in chosen} for split, chosen in splits.items()}
    assert sum(len(pair) for pair in pairs.values()) == len(set().union(*pairs.values())) == len(facts())
    assert len(splits["test"]) == int(0.04 * len(facts())) and len(splits["validation"]) == int(0.04 * len(facts()))


def test_every_held_out_subject_stands_in_training_through_another_relation(splits):
    trained = {}
    for fact in splits["train"]:
        if is_complete(fact, LANGUAGES):
            trained.setdefault(fact.subject, set()).add(fact.relation)
    for fact in splits["test"] + splits["validation"]:
        assert is_complete(fact, LANGUAGES)
        assert trained[fact.subject] - {fact.relation}


def test_splits_are_a_function_of_the_seed():
    fresh = split_facts.__wrapped__
    assert fresh(LANGUAGES, 3) == fresh(LANGUAGES, 3) and fresh(LANGUAGES, 3)["test"] != fresh(LANGUAGES, 4)["test"]
    first, again = (english_pairs("train", LANGUAGES) for _ in range(2))
    assert first.to_dict() == again.to_dict()
    assert first["id"] == [fact.id for fact in split_facts(LANGUAGES)["train"]] and set(first["language"]) == {"en"}


def test_the_pool_holds_near_misses_of_subject_and_relation(test_task, splits):
    english = test_task.candidates[test_task.candidates["language"] == "en"]
    groups = set(english["group"])
    by_id = {fact.id: fact for fact in facts()}
    pool = [by_id[group.removesuffix("~")] for group in groups]
    for fact in splits["test"]:
        assert any(other.subject == fact.subject and other.relation != fact.relation for other in pool), fact
        assert any(other.relation == fact.relation and other.subject != fact.subject for other in pool), fact
    assert groups == {fact.id for fact in splits["test"]} | {group for group in groups if group.endswith("~")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_the_test_is_a_training_text(language, test_task, splits):
    trained = [fact for fact in splits["train"] if is_complete(fact, (language,))]
    passages, questions = {passage(fact, language) for fact in trained}, {question(fact, language) for fact in trained}
    pool = test_task.candidates[test_task.candidates["language"] == language]
    assert len(pool) > 500 and not set(pool["text"]) & passages and not pool["text"].duplicated().any()
    assert not set(test_task.queries.loc[test_task.queries["language"] == language, "text"]) & questions


@pytest.mark.parametrize("make", [lambda: retrieval_task("test", LANGUAGES), lambda: retrieval_task("validation", ("de", "en"))])
def test_one_candidate_a_language_is_relevant(make):
    task = make()
    language = task.candidates.set_index("id")["language"]
    counts = task.relevance.assign(language=task.relevance["candidate"].map(language)).value_counts(["query", "language"])
    assert (counts == 1).all() and len(counts) == len(task.queries) * len(task.languages)
    group = task.candidates.set_index("id")["group"][task.relevance["candidate"]].to_numpy()
    assert (group == task.queries.set_index("id")["group"][task.relevance["query"]].to_numpy()).all()


def test_shifted_passages_have_four_sentences_one_of_them_relevant(splits):
    task = shifted_task(LANGUAGES)
    facts_of = task.candidates["group"].str.partition("~")[0]
    assert (task.candidates.groupby([facts_of, "language"]).size() == 4).all()
    assert set(facts_of) == {fact.id for fact in splits["test"]}
    relevant = task.candidates[task.candidates["id"].isin(task.relevance["candidate"])]
    assert (relevant.groupby(["group", "language"]).size() == 1).all() and len(relevant) == len(splits["test"]) * len(LANGUAGES)
    by_id = {fact.id: fact for fact in splits["test"]}
    for row in relevant.itertuples():
        assert name_of(row.language, *by_id[row.group].answer) in row.text
    assert list(news_passage(splits["test"][0], "en")) == ["lead", "background", "news", "closing"]


def test_shifted_texts_share_nothing_with_the_plain_passages(test_task):
    assert not set(shifted_task(LANGUAGES).candidates["text"]) & set(test_task.candidates["text"])


def test_translation_memory_holds_both_phrasings_and_knows_what_is_asked(splits):
    memory, fact = FactsMemory(("de", "th")), splits["test"][0]
    ways = [(write, phrasing) for write in (question, passage) for phrasing in (0, 1)]
    for language in ("de", "th"):
        asked = [write(fact, "en", phrasing) for write, phrasing in ways]
        assert memory.translate(asked, "en", language) == [write(fact, language, phrasing) for write, phrasing in ways]


def test_translation_memory_copies_what_it_does_not_hold():
    unnamed = next(fact for fact in facts() if not is_complete(fact, ("de",)))
    copied = ["What is this?", question(unnamed, "en")]
    assert FactsMemory(("de",)).translate(copied, "en", "de") == copied
    with pytest.raises(UnknownName, match=r"target language of the translation memory 'es'"):
        FactsMemory(("de",)).translate(copied, "en", "es")


def test_the_edition_of_the_memory_follows_templates_and_code(own_folder, monkeypatch):
    editions = {worldfacts.edition()}
    assert FactsMemory(("de",)).name == f"memory-{worldfacts.edition()}", "translations of its own in the cache"
    (own_folder / "de.toml").write_text((own_folder / "de.toml").read_text(encoding="utf-8").replace("Währung", "Münze"), encoding="utf-8")
    editions.add(worldfacts.edition())
    monkeypatch.setattr(worldfacts, "code_fingerprint", lambda *functions: "edited")
    editions.add(worldfacts.edition())
    monkeypatch.setattr(worldfacts, "versions", lambda: {"babel": "3"})
    assert len(editions | {worldfacts.edition()}) == 4


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder of templates in the place of the suite's own."""
    shutil.copytree(WORLDFACTS, tmp_path / "worldfacts")
    monkeypatch.setattr(worldfacts, "WORLDFACTS", tmp_path / "worldfacts")
    yield forget(tmp_path / "worldfacts")
    forget(None)


def forget(folder):
    template_languages.cache_clear(), templates.cache_clear(), worldfacts._english_sentences.cache_clear()
    return folder


def test_a_new_file_is_a_new_language(own_folder):
    english = (own_folder / "en.toml").read_text(encoding="utf-8")
    (own_folder / "yo.toml").write_text(english.replace("official currency", "owó ìjọba"), encoding="utf-8")
    assert template_languages() == tuple(sorted((*SENTENCES, *PATTERNS, "yo")))
    swiss = Fact("currency", ("territory", "CH"), ("currency", "CHF"))
    switzerland = name_of("yo", "territory", "CH")
    assert passage(swiss, "yo", 0) == f"{switzerland} – owó ìjọba: {name_of('yo', 'currency', 'CHF')}."
    task = retrieval_task("test", ("en", "yo"))
    assert task.languages == ("en", "yo") and len(task.queries) == 2 * len(split_facts(("en", "yo"))["test"])
    assert switzerland in FactsMemory(("yo",)).translate([passage(swiss, "en", 0)], "en", "yo")[0]


@pytest.mark.parametrize("language", PATTERNS)
def test_a_pattern_has_a_noun_for_every_relation_and_makes_whole_texts(language):
    table = tomllib.loads((WORLDFACTS / "patterns" / f"{language}.toml").read_text(encoding="utf-8"))
    labels = table["labels"]
    assert set(labels) == set(templates("en")) - {"news"} and len(set(labels.values())) == len(labels)
    filled = [fact for fact in facts() if is_complete(fact, (language,))][::20]
    for fact in filled:
        texts = [make(fact, language, phrasing) for make in (question, passage) for phrasing in (0, 1)]
        assert len(set(texts)) == 4 and all(labels[fact.relation] in text and not set(text) & set("{}") for text in texts)
        assert all(text.endswith(table["ask"]) for text in texts[:2]) and all(text.endswith(table["stop"]) for text in texts[2:])
        assert all(name_of(language, *fact.answer) in text for text in texts[2:])


def test_patterns_have_no_news():
    with pytest.raises(InputError, match=f"no news in {PATTERNS[0]}, only names in a pattern"):
        shifted_task(("en", PATTERNS[0]))


def test_a_pattern_without_a_label_is_named(own_folder):
    path = own_folder / "patterns" / f"{PATTERNS[0]}.toml"
    path.write_text("".join(line for line in path.open(encoding="utf-8") if not line.startswith("time_zone")), encoding="utf-8")
    with pytest.raises(InputError, match=rf"{PATTERNS[0]}\.toml: 'time_zone' is missing"):
        templates(PATTERNS[0])


def test_the_brief_task_is_the_first_facts_of_the_test(splits):
    brief, whole = retrieval_task("test", LANGUAGES, most=BRIEF), retrieval_task("test", LANGUAGES)
    assert brief.name == "worldfacts-brief" and len(brief.queries) == BRIEF * len(LANGUAGES)
    assert set(brief.queries["id"]) < set(whole.queries["id"]) and set(brief.candidates["id"]) < set(whole.candidates["id"])


def test_weekdays_keep_their_language_whatever_was_opened_before():
    """Babel 2.18 shares data between locales: once Urdu has been opened, many had its weekdays."""
    name_of.cache_clear()
    assert name_of("ur", "weekday", "0") and name_of("sw", "weekday", "0")
    assert [name_of(code, "weekday", "0") for code in ("de", "es", "fi", "ta")] == ["Montag", "lunes", "maanantai", "திங்கள்"]


def test_the_unknown_region_is_no_subject():
    assert not any(("territory", "ZZ") in (fact.subject, fact.answer) for fact in facts())


def test_a_broken_file_is_named(own_folder):
    (own_folder / "yo.toml").write_text("[currency\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"yo\.toml: not readable as UTF-8 TOML"):
        templates("yo")
    forget(None)
    (own_folder / "yo.toml").write_bytes("[currency]\nx = 'é'".encode("latin-1"))
    with pytest.raises(InputError, match=r"yo\.toml, line 2, byte 16: not UTF-8"):
        templates("yo")


def test_unknown_languages_are_told_with_the_nearest_one():
    with pytest.raises(UnknownName, match=r"unknown world-facts language 'eng' .did you mean 'en'"):
        templates("eng")
    assert our_codes(iter(LANGUAGES)) == LANGUAGES


def test_known_facts_are_right():
    known = {fact.id: fact.answer for fact in facts()}
    assert known["currency:CH"] == ("currency", "CHF") and known["official_language:BR"] == ("language", "pt")
    assert known["first_weekday:US"] == ("weekday", "6") and known["first_weekday:DE"] == ("weekday", "0")
    assert known["language_script:hi"] == ("script", "Deva") and known["language_home:el"] == ("territory", "GR")
    assert known["currency_decimals:JPY"] == ("code", "0") and known["currency_decimals:EUR"] == ("code", "2")
    assert known["city_territory:Europe/Oslo"] == ("territory", "NO") and known["currency_code:CHF"] == ("code", "CHF")
    assert name_of("de", "territory", "CH") == "Schweiz" and name_of("th", "city", "Europe/Oslo") is not None


def test_names_are_looked_up_for_every_kind():
    kinds = Counter(kind for kind, _ in named_items())
    assert set(kinds) == {"territory", "language", "script", "currency", "weekday", "time_zone", "city"} and kinds["weekday"] == 7
    assert all(name_of("en", kind, code) for kind, code in named_items())
    for language, item in product(("de", "th"), [("territory", "XX"), ("script", "none"), ("time_zone", "none")]):
        assert name_of(language, *item) is None
