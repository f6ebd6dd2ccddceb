"""Held-out articles of section sets: drawn by seed, in the task, and in no training pair."""

from __future__ import annotations

import gzip
import json

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.data import sections
from hybridir_utils.data.register import Request, data_fingerprint, read_task
from hybridir_utils.data.sections import article, held_out_articles, section_task
from hybridir_utils.experiment.profile import make_profile
from hybridir_utils.experiment.sources import source_pairs


def write_set(folder, languages=("en", "de", "fr"), articles=40, sections=5, skip=()):
    """`articles` documents of `sections` sections in each language but those of `skip` (language, article)."""
    folder.mkdir(parents=True)
    for code in languages:
        there = [(a, s) for a in range(articles) for s in range(sections) if (code, a) not in skip]
        rows = [section(f"doc{a}.md#{s}", code, f"{a} {s}", a) for a, s in there]
        with gzip.open(folder / f"{code}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def section(id_, code, place, number):
    text = f"{code} {place} " + "words of its own " * 5
    return {"id": id_, "title": f"{code} title {number}", "heading": f"{code} heading {place}", "text": text}


def profile(data_dir, **changes):
    values = {
        "name": "tiny", "languages": ["en", "de"], "pair_sets": ["mscourses"], "tasks": ["mscourses-test"], "bases": ["unaligned"],
        "strategies": ["hybrid"], "seeds": [1], "data_dir": str(data_dir),
    }  # fmt: skip
    return make_profile(values | changes, "here")


def articles_of(ids, source="mscourses"):
    return {article(id_.removeprefix(f"{source}:")) for id_ in ids}


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_the_articles_is_drawn_by_the_seed_whatever_the_languages(tmp_path, seed):
    folder = write_set(tmp_path / "set", articles=100, sections=20)
    held = held_out_articles(folder, seed)
    assert len(held) == 10 and held == held_out_articles(folder, seed) != held_out_articles(folder, seed + 1)
    (folder / "fr.jsonl.gz").unlink()
    assert held_out_articles(folder, seed) == held
    (folder / "en.jsonl.gz").unlink()
    assert held_out_articles(folder, seed) == held, "without English, of all languages there"


def test_small_sets_hold_out_more_but_never_more_than_half(tmp_path):
    assert len(held_out_articles(write_set(tmp_path / "faq", articles=200, sections=1))) == sections.LEAST_SECTIONS
    assert len(held_out_articles(write_set(tmp_path / "tiny", articles=20, sections=1))) == 10


def test_ids_without_a_mark_are_articles_of_their_own():
    assert article("a/b.md#3") == "a/b.md" and article("/about-us/control") == "/about-us/control"


def test_a_heading_asks_for_its_passage_in_every_language(tmp_path):
    task = section_task(write_set(tmp_path / "mscourses"), ["en", "de"], "mscourses")
    held = held_out_articles(tmp_path / "mscourses")
    assert task.name == "mscourses-test" and task.languages == ("de", "en")
    assert articles_of(task.queries["group"]) == articles_of(task.candidates["group"]) == held
    number = next(iter(held)).removeprefix("doc").removesuffix(".md")
    row = task.queries[task.queries["id"] == f"de:mscourses:doc{number}.md#2"].iloc[0]
    assert row["text"] == f"de title {number}: de heading {number} 2"
    relevant = set(task.relevance.loc[task.relevance["query"] == row["id"], "candidate"])
    assert relevant == {f"{code}:mscourses:doc{number}.md#2" for code in ("de", "en")}


def test_no_training_or_validation_pair_is_of_an_article_in_the_task(tmp_path):
    write_set(tmp_path / "mscourses")
    parts = source_pairs(profile(tmp_path))
    task = read_task("mscourses-test", Request(("en", "de"), data_dir=str(tmp_path)))
    held = articles_of(task.queries["group"])
    for part in parts:
        assert len(part) and not articles_of(part["id"]) & held
    assert articles_of([*parts[0]["id"], *parts[1]["id"]]) | held == {f"doc{a}.md" for a in range(40)}, "nothing else is left out"


def test_articles_stay_in_training_when_no_task_or_study_tests_on_them(tmp_path):
    write_set(tmp_path / "mscourses")
    ids = {key: {id_ for part in source_pairs(profile(tmp_path, **changes)) for id_ in part["id"]} for key, changes in {
        "other task": {"tasks": ["worldfacts-test"]}, "question task": {"tasks": ["worldfacts-test"], "question_task": "mscourses-test"},
        "task": {},
    }.items()}  # fmt: skip
    assert len(ids["other task"]) == 200 and ids["question task"] == ids["task"] < ids["other task"]


def test_the_seed_of_the_corpus_draws_task_and_training_alike(tmp_path):
    write_set(tmp_path / "mscourses")
    first, second = (read_task("mscourses-test", Request(("en", "de"), data_dir=str(tmp_path), corpus_seed=seed)) for seed in (0, 1))
    assert articles_of(first.queries["group"]) != articles_of(second.queries["group"])
    train, _ = source_pairs(profile(tmp_path, corpus_seed=1))
    assert not articles_of(train["id"]) & articles_of(second.queries["group"])


def test_languages_are_those_both_have_with_enough_passages(tmp_path):
    folder = write_set(tmp_path / "mscourses")
    held = {int(name[3:-3]) for name in held_out_articles(folder)}
    folder.joinpath("de.jsonl.gz").unlink()
    write_set(tmp_path / "german", ("de",), skip={("de", a) for a in sorted(held)[1:]})
    (tmp_path / "german" / "de.jsonl.gz").rename(folder / "de.jsonl.gz")
    task = read_task("mscourses-test", Request(("en",), ("en", "de", "fr", "vi"), data_dir=str(tmp_path)))
    assert task.languages == ("en", "fr"), "German has five held-out passages, Vietnamese no file"
    assert read_task("mscourses-test", Request(("en", "fr"), data_dir=str(tmp_path))).languages == ("en", "fr"), "the profile's languages"
    with pytest.raises(InputError, match=r"none of the languages de, vi has 10 passages.*it has files in de, en, fr"):
        section_task(folder, ["de", "vi"], "mscourses")
    with pytest.raises(InputError, match="'xyz1' is no code of a language"):
        section_task(folder, ["en", "xyz1"], "mscourses")


def test_the_fingerprint_of_the_task_is_that_of_the_sets_files(tmp_path):
    folder = write_set(tmp_path / "mscourses")
    before = data_fingerprint(("mscourses-test",), str(tmp_path))
    write_set(tmp_path / "other", ("it",))
    (tmp_path / "other" / "it.jsonl.gz").rename(folder / "it.jsonl.gz")
    assert data_fingerprint(("mscourses-test",), str(tmp_path)) != before


@pytest.mark.parametrize(("name", "lacking"), [("mscourses", ""), ("gnome-help", "ar hi th tr vi"), ("bitcoin-faq", "th vi")])
def test_the_real_sets(real_data, name, lacking):
    languages = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
    task = read_task(f"{name}-test", Request(languages, data_dir=str(real_data)))
    assert task.languages == tuple(sorted(set(languages) - set(lacking.split())))
    assert task.summary()["questions"].min() >= 40
