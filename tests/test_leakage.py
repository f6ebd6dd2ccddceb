"""Leak search: planted leaks are found, with the right kind; strangers are not; the arithmetic equals plain Python sets."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridir_utils.base.errors import InputError
from hybridir_utils.data import leakage
from hybridir_utils.data.leakage import LEAK_COLUMNS, drop_leaks, leaks, normalise
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.tasks.retrieval_task import RetrievalTask
from hybridir_utils.tasks.searched_task import Search, SearchTask
from hybridir_utils.tasks.squad import xquad_r

COLUMNS = ["id", "group", "language", "text"]
ANSWER = "The treaty was signed in the winter of 1648 after five long years of talks in two towns."
GERMAN = "Der Vertrag wurde im Winter 1648 nach fünf langen Jahren in zwei Städten unterschrieben."
AFTER = "And it goes on for very long after that, about nothing in particular, until the page is full."
UNUSED = "This candidate answers no question, so training on it gives nothing away to the model."


@pytest.fixture
def task():
    queries = pd.DataFrame([("en:q", "q", "en", "When was the treaty signed, and in which two towns?")], columns=COLUMNS)
    candidates = [("en:0", "en:0", "en", ANSWER), ("en:1", "en:1", "en", UNUSED), ("de:0", "de:0", "de", GERMAN)]
    relevance = pd.DataFrame([("en:q", "en:0"), ("en:q", "de:0")], columns=["query", "candidate"])
    return RetrievalTask("t", queries, pd.DataFrame(candidates, columns=COLUMNS), relevance)


def pairs(*rows):
    """Rows of (id, language, question, passage)."""
    return pairs_from_rows((id_, id_, language, question, passage, "s") for id_, language, question, passage in rows)


def kinds(found):
    return set(found[["kind", "pair", "field", "match"]].itertuples(index=False, name=None))


def test_each_kind_of_leak_is_found(task):
    found = leaks(
        pairs(
            ("exact", "en", "WHEN was the treaty signed — and in which two towns", "Nothing to see here at all."),
            ("near", "en", "When was the treaty signed, and in which two towns then?", "Nothing else to see."),
            ("inside", "en", "Tell me more.", f"A long section begins far away from it. {ANSWER} {AFTER}"),
            ("in a frame", "en", "Tell me less.", f"A section begins. {ANSWER} And it ends."),  # not twice as long
            ("german", "de", "Was war?", GERMAN.upper()),
            ("longer question", "en", f"When was the treaty signed, and in which two towns? {AFTER}", "A question."),
            ("stranger", "en", "How is bread baked?", "Bread is baked in an oven, at a temperature of about two hundred degrees."),
        ),
        task,
    )
    assert list(found.columns) == LEAK_COLUMNS
    assert kinds(found) == {
        ("exact", "exact", "question", "en:q"),
        ("near", "near", "question", "en:q"),
        ("contained", "inside", "passage", "en:0"),
        ("exact", "german", "passage", "de:0"),
    }
    assert found.set_index("pair")["match_text"]["german"] == GERMAN
    assert found.set_index("pair")["similarity"]["exact"] == 1


def test_only_same_field_same_language_and_relevant_candidates_count(task):
    found = leaks(
        pairs(
            ("other language", "de", "When was the treaty signed, and in which two towns?", ANSWER),
            ("other field", "en", ANSWER, "When was the treaty signed, and in which two towns?"),
            ("not relevant", "en", "Why?", UNUSED),
        ),
        task,
    )
    assert found.empty and list(found.columns) == LEAK_COLUMNS


def test_short_texts_are_not_contained_by_chance(task):
    task = RetrievalTask("t", task.queries, task.candidates.assign(text=[GERMAN, "Winter 1648.", UNUSED]), task.relevance)
    assert leaks(pairs(("p", "en", "Why?", f"{ANSWER} Winter 1648.")), task).empty


def test_threshold_is_inclusive_and_checked(task):
    """abcdefghij against abcdefghijk, alone: 6 of 7 5-grams are shared, and all weigh the same."""
    query = task.queries.assign(text="abcdefghij")
    task = RetrievalTask("t", query, task.candidates, task.relevance)
    ours = pairs(("p", "en", "abcdefghijk", "Nothing."))
    assert list(leaks(ours, task, threshold=6 / 7)["similarity"]) == [pytest.approx(6 / 7)]
    assert leaks(ours, task, threshold=6 / 7 + 1e-6).empty
    for threshold in (0, 1.1):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            leaks(ours, task, threshold=threshold)


def test_a_shingle_weighs_by_how_few_texts_have_it(task):
    """Of three texts, all have abcde (weight 0.001, the least), two bcdef (ln 3/2), one each bcdeg and cdefh (ln 3).

    Unweighted, abcdefh would resemble abcdef by 2/3 and abcdeg by 1/4.
    """
    task = with_queries(task, "abcdef", "abcdeg")
    found = leaks(pairs(("p", "en", "abcdefh", "Nothing.")), task, threshold=1e-4).set_index("match")["similarity"]
    two, three = np.log(3 / 2), np.log(3)
    assert found["en:q0"] == pytest.approx((0.001 + two) / (0.001 + two + three))
    assert found["en:q1"] == pytest.approx(0.001 / (0.001 + two + 2 * three))


def test_a_frame_that_many_questions_share_is_no_leak(task):
    """Only the name differs: plain resemblance says near, the weighted one does not; a planted near copy is still found."""
    frame = "Which currency is used in the following country or territory: {}?"
    names = [
        "Angola",
        "Bhutan",
        "Cyprus",
        "Djibouti",
        "Estonia",
        "Finland",
        "Ghana",
        "Haiti",
        "Iceland",
        "Jordan",
        "Kenya",
        "Latvia",
        "Malta",
        "Nepal",
        "Oman",
        "Peru",
        "Qatar",
    ]
    task = with_queries(task, *map(frame.format, names))
    ours = pairs(
        ("other", "en", frame.format("Chad"), "Nothing."), ("copy", "en", frame.format("Djibouti").removeprefix("Which "), "Nothing.")
    )
    known, other = plain_shingles(frame.format("Oman")), plain_shingles(frame.format("Chad"))
    assert len(known & other) / len(known | other) > 0.8
    assert kinds(leaks(ours, task)) == {("near", "copy", "question", "en:q3")}


def with_queries(task, *texts):
    queries = pd.DataFrame([(f"en:q{n}", f"q{n}", "en", text) for n, text in enumerate(texts)], columns=COLUMNS)
    relevance = pd.DataFrame([(id_, "en:0") for id_ in queries["id"]], columns=["query", "candidate"])
    return RetrievalTask("t", queries, task.candidates, relevance)


def plain_shingles(text):
    text = normalise(text).ljust(5)
    return {text[i : i + 5] for i in range(len(text) - 4)}


@pytest.mark.parametrize("characters", [1, 7, 30, leakage.SLICE])
def test_each_text_has_its_own_shingles_whatever_is_cut_at_once(characters, monkeypatch):
    texts = ["", "ab", "the water is cold", "x" * 40, "ก ข ค ง", "the water is warm in summer", "ab"]
    monkeypatch.setattr(leakage, "SLICE", characters)
    shingles, counts = leakage._shingles(texts)
    assert counts.tolist() == [len(plain_shingles(text)) for text in texts]
    for text, own in zip(texts, np.split(shingles, np.cumsum(counts)[:-1]), strict=True):
        np.testing.assert_array_equal(own, leakage._shingles([text])[0])


def plain_weights(ours, known):
    """Shingle -> ln(texts / texts that have it), at least 0.001; those the known texts lack weigh as much as the heaviest."""
    frequency = Counter(shingle for shingles in ours + known for shingle in shingles)
    vocabulary = set().union(*known)
    weights = {s: max(np.log((len(ours) + len(known)) / frequency[s]), 0.001) for s in vocabulary}
    return {s: weights.get(s, max(weights.values())) for s in frequency}


TEXTS = st.lists(st.text("ab", min_size=5, max_size=9) | st.text("ab ก।中", min_size=1).filter(str.strip), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(ours=TEXTS, known=TEXTS)
def test_resemblance_equals_plain_sets(ours, known):
    queries = pd.DataFrame([(f"q{n}", f"q{n}", "en", text) for n, text in enumerate(known)], columns=COLUMNS)
    candidates = pd.DataFrame([("c", "c", "de", ANSWER)], columns=COLUMNS)
    relevance = pd.DataFrame([(id_, "c") for id_ in queries["id"]], columns=["query", "candidate"])
    found = leaks(
        pairs(*((f"p{n}", "en", text, "Nothing.") for n, text in enumerate(ours))), RetrievalTask("t", queries, candidates, relevance), 0.3
    )
    mine, theirs = ([plain_shingles(text) for text in texts] for texts in (ours, known))
    weights = plain_weights(mine, theirs)
    size = lambda shingles: sum(weights[s] for s in shingles)  # noqa: E731
    resemblance = {(f"p{i}", f"q{j}"): size(a & b) / size(a | b) for i, a in enumerate(mine) for j, b in enumerate(theirs)}
    same = {(f"p{i}", f"q{j}") for i, a in enumerate(ours) for j, b in enumerate(known) if normalise(a) == normalise(b)}
    expected = {key: pytest.approx(1 if key in same else value) for key, value in resemblance.items() if value >= 0.3 - 1e-9}
    assert dict(zip(zip(found["pair"], found["match"], strict=True), found["similarity"], strict=True)) == expected


def test_blocks_do_not_change_the_result(task, monkeypatch):
    ours = pairs(*((f"p{n}", "en", f"When was the treaty signed, and in which two towns {n}?", ANSWER) for n in range(7)))
    whole = leaks(ours, task)
    monkeypatch.setattr(leakage, "BLOCK_CELLS", 2)
    monkeypatch.setattr(leakage, "BLOCK_TEXTS", 3)
    pd.testing.assert_frame_equal(leaks(ours, task), whole)
    assert len(whole) == 14


@settings(max_examples=60, deadline=None)
@given(data=st.data(), threshold=st.sampled_from([0.3, 0.55, 0.8, 1.0]))
def test_containment_equals_plain_sets(data, threshold):
    """Sections that hold whole sentences, parts of them, or none; every pair compared by sets, without a bound."""
    sentences = [
        f"{a} {b} signed in {a}burg the {b} of winter, said the {a}." for a in ("Anna", "Bruno", "Carla") for b in ("treaty", "pact")
    ]
    section = st.lists(st.sampled_from(sentences), max_size=2).map("".join)
    cut = st.tuples(section, st.integers(0, 40), st.text("xyz ", min_size=5, max_size=180)).map(lambda t: t[0][t[1] :] + t[2])
    ours = [text for text in data.draw(st.lists(cut, min_size=1, max_size=5)) if text.strip()] or ["nothing"]
    known = data.draw(st.lists(st.sampled_from(sentences), min_size=1, max_size=4, unique=True))
    candidates = pd.DataFrame([(f"c{n}", "c", "en", text) for n, text in enumerate(known)], columns=COLUMNS)
    queries = pd.DataFrame([("q", "q", "de", "Wer?")], columns=COLUMNS)
    relevance = pd.DataFrame([("q", id_) for id_ in candidates["id"]], columns=["query", "candidate"])
    found = leaks(
        pairs(*((f"p{n}", "en", "Who?", text) for n, text in enumerate(ours))),
        RetrievalTask("t", queries, candidates, relevance),
        threshold,
    )
    mine, theirs = ([plain_shingles(text) for text in texts] for texts in (ours, known))
    weights = plain_weights(mine, theirs)
    size = lambda shingles: sum(weights[s] for s in shingles)  # noqa: E731
    expected = {}
    for (i, a), (j, b) in ((x, y) for x in enumerate(mine) for y in enumerate(theirs)):
        near, inside = size(a & b) / size(a | b) >= threshold - 1e-9, size(a & b) / min(size(a), size(b)) >= threshold - 1e-9
        lengths = sorted((len(a), len(b)))
        if near or (inside and lengths[0] >= 40 and lengths[1] >= 2 * lengths[0]):
            expected[f"p{i}", f"c{j}"] = "exact" if normalise(ours[i]) == normalise(known[j]) else "near" if near else "contained"
    assert {(row.pair, row.match): row.kind for row in found.itertuples()} == expected


def test_relevant_passages_of_a_searched_corpus_are_found():
    """A search names its passages by id in a corpus on disk; one that is judged irrelevant gives nothing away."""
    corpus = Dataset.from_dict({"id": ["0", "1"], "text": [ANSWER, UNUSED]})
    queries = pd.DataFrame([("q", "q", "When was the treaty signed, and in which two towns?")], columns=["id", "group", "text"])
    qrels = pd.DataFrame([("q", "0", 1), ("q", "1", 0)], columns=["query", "candidate", "relevance"])
    searched = Search("de", "en", "c", queries.assign(language="de"), qrels=qrels)
    answered = Search("en", "en", "c", queries.assign(language="en"), answers={"q": ["1648"]})
    task = SearchTask("t", ("R@100",), (searched, answered), lambda name: corpus)
    ours = pairs(
        ("a", "en", "Tell me.", ANSWER),
        ("b", "en", "Who?", UNUSED),
        ("c", "en", queries["text"][0], "A text."),
        ("c", "de", "Wer?", "Ein Text."),
    )
    assert kinds(leaks(ours, task)) == {("exact", "a", "passage", "0"), ("exact", "c", "question", "q")}


def test_dropping_takes_the_whole_parallel_group(task):
    ours = pairs(("a", "en", "Q?", ANSWER), ("a", "th", "ใคร", "คำตอบ"), ("b", "en", "Q?", "Something else."))
    kept = drop_leaks(ours, leaks(ours, task))
    assert list(kept["id"]) == ["b"]
    with pytest.raises(InputError, match="all 2 training pairs"):
        drop_leaks(ours.select([0, 1]), leaks(ours, task))


def test_normalise_levels_form_case_and_punctuation_but_keeps_vowel_signs():
    assert normalise("  ＡＢＣ—“Straße”!\n") == "abc strasse"
    assert normalise("हिन्दी।") == "हिन्दी" and normalise("ที่นี่") == "ที่นี่"
    assert normalise("+") != normalise("=")


def test_planted_real_questions_and_sentences_are_found(real_data):
    """The training pair (question, a section around the answer sentence) leaks in both fields, in every language."""
    task = xquad_r(real_data / "xquad-r")
    text, language = (task.candidates.set_index("id")[column] for column in ("text", "language"))
    answers = {(row.query, language[row.candidate]): text[row.candidate] for row in task.relevance.itertuples()}
    sample = [row for row in task.queries.sample(120, random_state=0).itertuples() if len(answers[row.id, row.language]) > 90]
    ours = pairs(*((row.id, row.language, row.text, f"{answers[row.id, row.language]} {'xyz ' * 200}") for row in sample))
    found = leaks(ours, task)
    assert len(sample) > 20 and set(found["language"]) >= {"ar", "de", "hi", "ru", "th"}
    for field in ("question", "passage"):
        assert set(found.loc[found["field"] == field, "pair"]) == set(ours["id"])


@pytest.mark.parametrize("ours, theirs", [("zh", "zh-TW"), ("pt-PT", "pt"), ("no", "no")])
def test_a_language_is_compared_whatever_its_region(ours, theirs):
    texts = pd.DataFrame([("q", "q", theirs, "Hva er hovedstaden?"), ("p", "p", theirs, ANSWER)], columns=COLUMNS)
    task = RetrievalTask("t", texts[:1], texts[1:], pd.DataFrame([("q", "p")], columns=["query", "candidate"]))
    assert kinds(leaks(pairs(("a", ours, "Noe annet?", ANSWER), ("b", "nn", "Noko?", ANSWER)), task)) == {("exact", "a", "passage", "p")}


def test_what_shares_a_leaked_passage_is_dropped_with_it(task):
    rows = [("a", "1", "de", GERMAN), ("b", "1", "en", "It was long ago."), ("c", "2", "en", "Bread is baked in an oven.")]
    shared = pairs_from_rows((id_, passage, language, f"{id_}?", text, "s") for id_, passage, language, text in rows)
    assert drop_leaks(shared, leaks(shared, task))["id"][:] == ["c"]
