"""Training-free debiasing: what each method promises to remove is gone, and what it promises to keep is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.encode.encoding import TaskVectors
from hybridir_utils.rank.debiasing import (
    DEBIASERS,
    FittingText,
    comparators,
    fit_centring,
    fit_lir,
    fit_lsar,
    fit_shift,
    identify_languages,
    pool_text,
)
from hybridir_utils.tasks.retrieval_task import RetrievalTask

LANGUAGES = np.repeat(["de", "en", "th", "zh"], 50)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    of_language = np.repeat(rng.normal(size=(4, 12)), 50, axis=0)
    raw = rng.normal(size=(200, 12)) + 2 * of_language + 1
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def means(vectors):
    return np.stack([vectors[language == LANGUAGES].mean(axis=0) for language in np.unique(LANGUAGES)])


@pytest.mark.parametrize("name", DEBIASERS)
def test_results_have_unit_length_and_keep_the_input(vectors, name):
    before = vectors.copy()
    applied = DEBIASERS[name](vectors, LANGUAGES).apply(vectors, LANGUAGES)
    np.testing.assert_allclose(np.linalg.norm(applied, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors, before)


def test_centring_leaves_no_mean_in_any_language(vectors):
    np.testing.assert_allclose(means(fit_centring(vectors, LANGUAGES).remove(vectors, LANGUAGES)), 0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_lir_removes_the_first_k_directions_of_each_language_and_no_more(vectors, k):
    removed = fit_lir(vectors, LANGUAGES, k=k).remove(vectors, LANGUAGES)
    for language in np.unique(LANGUAGES):
        rows = language == LANGUAGES
        values, right = np.linalg.svd(vectors[rows], full_matrices=False)[1:]
        np.testing.assert_allclose(removed[rows] @ right[:k].T, 0, atol=1e-5)
        np.testing.assert_allclose(np.linalg.svd(removed[rows], compute_uv=False)[: 12 - k], values[k:], rtol=1e-4)


def test_lsar_makes_the_language_means_coincide_and_keeps_what_is_common(vectors):
    debiaser = fit_lsar(vectors, LANGUAGES)
    after = means(debiaser.remove(vectors, LANGUAGES))
    assert np.ptp(means(vectors), axis=0).max() > 0.1
    np.testing.assert_allclose(after, np.tile(after[0], (4, 1)), atol=1e-5)
    assert np.linalg.norm(after[0]) > 0.05, "what all languages share stays"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lsar_subspace_is_that_of_the_published_algorithm(vectors, rank):
    """Both steps of Algorithm 1 written out: low-rank approximation, then µ made orthogonal to M_s."""
    matrix = means(vectors).T.astype(float)
    common = matrix.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(matrix - common, full_matrices=False)
    approximated = common + left[:, :rank] * values[:rank] @ right[:rank]
    common = np.linalg.pinv(approximated).sum(axis=0)[:, None]
    common /= np.sum(common**2)
    expected = np.linalg.svd(approximated - common)[0][:, :rank]
    np.testing.assert_allclose(common.T @ expected, 0, atol=1e-6)
    basis = fit_lsar(vectors, LANGUAGES, rank=rank).bases["de"]
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-5)


def test_lsar_basis_is_orthonormal_of_the_asked_rank_and_the_same_for_all(vectors):
    for rank in (1, 2, 3):
        bases = list(fit_lsar(vectors, LANGUAGES, rank=rank).bases.values())
        assert bases[0].shape == (12, rank)
        np.testing.assert_allclose(bases[0].T @ bases[0], np.eye(rank), atol=1e-5)
        assert all(basis is bases[0] for basis in bases)


def test_lsar_rank_reduces_to_the_shared_difference():
    """Means that differ along one axis only span one direction, whatever rank is allowed."""
    rng = np.random.default_rng(0)
    vectors = np.tile(rng.normal(size=(50, 6)), (4, 1))
    vectors[:, 0] += np.repeat([0.0, 1.0, 2.0, 5.0], 50)
    basis = fit_lsar(vectors, LANGUAGES).bases["en"]
    assert basis.shape == (6, 1)
    np.testing.assert_allclose(np.abs(basis[:, 0]), np.eye(6)[0], atol=1e-5)


def test_a_fit_on_candidates_is_applied_to_queries(vectors):
    debiaser = fit_centring(vectors, LANGUAGES)
    query = np.random.default_rng(1).normal(size=(1, 12)).astype(np.float32)
    expected = query - vectors[LANGUAGES == "th"].mean(axis=0)
    np.testing.assert_allclose(debiaser.apply(query, ["th"]), expected / np.linalg.norm(expected), rtol=1e-5)


@pytest.mark.parametrize("name", DEBIASERS)
def test_a_language_that_was_not_fitted_is_refused(vectors, name):
    with pytest.raises(InputError, match=r"no vector of language 'hi' was in the fitted collection .*de, en, th, zh"):
        DEBIASERS[name](vectors, LANGUAGES).apply(vectors[:2], ["de", "hi"])


def test_too_little_to_fit_on_is_refused(vectors):
    with pytest.raises(InputError, match="'en' has 1 vector"):
        fit_centring(vectors[:3], ["de", "de", "en"])
    with pytest.raises(InputError, match=r"'de' has 3 vector.*at least 4"):
        fit_lir(vectors[:3], ["de"] * 3, k=3)
    with pytest.raises(InputError, match="rank from 1 to 3 for 4 languages; found 4"):
        fit_lsar(vectors, LANGUAGES, rank=4)
    with pytest.raises(InputError, match="found 0"):
        fit_lsar(vectors[:50], LANGUAGES[:50])
    with pytest.raises(InputError, match="one vector per language label"):
        fit_centring(vectors[:3], LANGUAGES)


def test_a_vector_of_which_nothing_is_left_scores_zero():
    debiaser = fit_centring(np.array([[1.0, 0.0], [3.0, 0.0]]), ["de", "de"])
    np.testing.assert_array_equal(debiaser.apply(np.array([[2.0, 0.0]]), ["de"]), [[0.0, 0.0]])


def test_shift_takes_the_mean_difference_of_translations_off_the_passages():
    """Two German and three English passages by hand; the third English one has no translation and counts for nothing."""
    vectors = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [9.0, 9.0]])
    debiaser = fit_shift(vectors, ["de", "de", "en", "en", "en"], ["a", "b", "a", "b", "c"])
    np.testing.assert_allclose(debiaser.offsets["de"], [1.5, 0.5])  # the mean of (1, 1) and (2, 0)
    np.testing.assert_array_equal(debiaser.offsets["en"], [0, 0])
    np.testing.assert_allclose(debiaser.remove(vectors[:2], ["de", "de"]), [[-0.5, 1.5], [1.5, -0.5]])
    assert not debiaser.of_questions and fit_centring(vectors, ["de", "de", "en", "en", "en"]).of_questions


def test_shift_is_fitted_on_translations_alone():
    vectors = np.eye(4)
    with pytest.raises(InputError, match="no text in 'en' has a translation"):
        fit_shift(vectors, ["de", "de", "en", "en"], ["a", "b", "c", "d"])
    with pytest.raises(InputError, match="no text in 'en' has a translation"):
        fit_shift(vectors, ["de", "de", "th", "th"], ["a", "b", "a", "b"])
    assert set(fit_shift(vectors, ["de", "th", "en", "en"], ["a", "b", "a", "c"]).offsets) == {"de", "en"}, "Thai has no English text"


def test_a_language_that_was_not_fitted_loses_what_stands_for_all(vectors):
    query = vectors[:1]
    grand = means(vectors).mean(axis=0)
    centred = fit_centring(vectors, LANGUAGES).for_languages(["hi"]).remove(query, ["hi"])
    np.testing.assert_allclose(centred, query - grand, atol=1e-6)
    first = np.linalg.svd(vectors, full_matrices=False)[2][:1].T
    np.testing.assert_allclose(
        fit_lir(vectors, LANGUAGES).for_languages(["hi"]).remove(query, ["hi"]), query - (query @ first) @ first.T, atol=1e-5
    )
    lsar = fit_lsar(vectors, LANGUAGES).for_languages(["hi"])
    np.testing.assert_allclose(lsar.remove(query, ["hi"]), lsar.remove(query, ["de"]), atol=1e-6)
    shift = fit_shift(vectors, LANGUAGES, np.tile(np.arange(50), 4)).for_languages(["hi"])
    np.testing.assert_array_equal(shift.remove(query, ["hi"]), query)
    assert set(fit_centring(vectors, LANGUAGES).offsets) == set(LANGUAGES), "the one that was fitted stays as it is"


TEXTS = {
    "de": ("Wie hoch ist der höchste Berg des Landes?", "Wann wurde die Universität gegründet?"),
    "en": ("How high is the highest mountain of the country?", "When was the university founded?"),
    "th": ("ภูเขาที่สูงที่สุดของประเทศสูงเท่าไร", "มหาวิทยาลัยก่อตั้งขึ้นเมื่อใด"),
}


def parallel_task(pool=("de", "en", "th"), asked=("de", "en", "th")) -> RetrievalTask:
    """Two questions in every language and the same texts as passages, of which every translation answers."""

    def side(kind, languages):
        rows = [(f"{kind}{number}{code}", str(number), code, TEXTS[code][number]) for code in languages for number in range(2)]
        return pd.DataFrame(rows, columns=["id", "group", "language", "text"])

    queries, candidates = side("q", asked), side("p", pool)
    pairs = queries.merge(candidates, on="group")[["id_x", "id_y"]].set_axis(["query", "candidate"], axis=1)
    return RetrievalTask("parallel", queries, candidates, pairs)


def side_vectors(task: RetrievalTask) -> TaskVectors:
    rng = np.random.default_rng(2)
    draw = lambda frame: (rng.normal(size=(len(frame), 5)) + 1).astype(np.float32)  # noqa: E731
    return TaskVectors(draw(task.queries), draw(task.candidates))


def test_comparators_are_every_method_on_every_text_with_languages_given_and_identified():
    task = parallel_task()
    vectors = side_vectors(task)
    other = FittingText(vectors.candidates[:4], np.array(["de", "de", "en", "en"]), pd.DataFrame(columns=["row", "group", "language"]))
    found = list(comparators(vectors, task, {"pool": pool_text(vectors, task), "training": other}))
    names = [(about["fitted_on"], about["method"], about["question_language"], about["not_fitted"]) for about, _ in found]
    centring = [("centring", "given"), ("centring", "identified"), ("lir", "given"), ("lsar", "given")]
    assert names == [
        *(("pool", *pair, "") for pair in centring), ("pool", "shift", "-", ""),
        *(("training", *pair, "th") for pair in centring),
    ]  # fmt: skip
    changed = dict(zip(names, (vectors for _, vectors in found), strict=True))
    np.testing.assert_array_equal(changed["pool", "shift", "-", ""].queries, vectors.queries)
    fitted = fit_centring(vectors.candidates, task.candidates["language"])
    given = changed["pool", "centring", "given", ""]
    np.testing.assert_allclose(given.queries, fitted.apply(vectors.queries, task.queries["language"]), rtol=1e-6)
    np.testing.assert_allclose(given.candidates, fitted.apply(vectors.candidates, task.candidates["language"]), rtol=1e-6)
    np.testing.assert_array_equal(changed["pool", "centring", "identified", ""].candidates, given.candidates)


def test_questions_are_centred_by_the_language_they_are_taken_for(monkeypatch):
    from hybridir_utils.rank import debiasing

    task = parallel_task()
    vectors = side_vectors(task)
    monkeypatch.setattr(debiasing, "identify_languages", lambda task: np.array(["th"] * len(task.queries), dtype=object))
    found = {about["question_language"]: changed for about, changed in comparators(vectors, task, {"pool": pool_text(vectors, task)})}
    fitted = fit_centring(vectors.candidates, task.candidates["language"])
    np.testing.assert_allclose(found["identified"].queries, fitted.apply(vectors.queries, ["th"] * 6), rtol=1e-6)


def test_languages_are_identified_among_those_of_the_pool():
    task = parallel_task()
    assert list(identify_languages(task)) == list(task.queries["language"])
    only = parallel_task(pool=("de", "th"))
    assert set(identify_languages(only)) == {"de", "th"}, "English questions, which no passage is in, are taken for another"


def test_a_language_is_identified_under_the_code_of_the_task():
    from hybridir_utils.rank.debiasing import _identified

    texts = ("Dette er en norsk setning om været i dag", "Ito ay isang pangungusap sa Filipino tungkol sa panahon", TEXTS["de"][0])
    assert _identified(texts, ("de", "fil", "nb")) == ["nb", "fil", "de"]


def test_what_a_text_does_not_suffice_for_is_left_out():
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    none = pd.DataFrame(columns=["row", "group", "language"])
    few = FittingText(vectors, np.array(["de", "de", "en", "en", "th"]), none)
    assert {name: set(debiaser.offsets) for name, debiaser in few.fits()} == {method: {"de", "en"} for method in DEBIASERS}, "no Thai"
    assert not list(FittingText(vectors, np.array(["de", "de", "de", "de", "th"]), none).fits())
