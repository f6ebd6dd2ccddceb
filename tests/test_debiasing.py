"""Training-free debiasing: what each method promises to remove is gone, and what it promises to keep is kept."""

from __future__ import annotations

import numpy as np
import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.rank.debiasing import DEBIASERS, fit_centring, fit_lir, fit_lsar

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
