"""Alignment measures: against the definitions written out, and on vectors whose alignment is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.rank.alignment import alignment_scores

LANGUAGES = ("de", "en", "th")


def parallel_vectors(shift: float, noise: float = 0.3, groups: int = 60, dimensions: int = 16):
    """[3 * groups, d]: a common meaning, noise, and `shift` along a direction of the language."""
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(groups, dimensions))
    direction = np.eye(dimensions)[: len(LANGUAGES)] * shift
    vectors = np.concatenate([meaning + noise * rng.normal(size=meaning.shape) + direction[i] for i in range(len(LANGUAGES))])
    return vectors, np.tile(np.arange(groups), len(LANGUAGES)), np.repeat(LANGUAGES, groups)


def value(table, measure, language="all", other=""):
    row = table[(table["measure"] == measure) & (table["language"] == language) & (table["other_language"] == other)]
    assert len(row) == 1
    return row["value"].item()


def test_gap_and_accuracy_equal_their_definitions_for_every_ordered_pair():
    vectors, groups, languages = parallel_vectors(shift=1.0, noise=0.8)
    shuffled = np.random.default_rng(1).permutation(len(vectors))
    table = alignment_scores(vectors[shuffled], groups[shuffled], languages[shuffled], seed=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for language, other in itertools.permutations(LANGUAGES, 2):
        cosine = unit[languages == language] @ unit[languages == other].T
        own = np.eye(len(cosine), dtype=bool)
        assert value(table, "alignment_gap", language, other) == pytest.approx(cosine[own].mean() - cosine[~own].mean(), abs=1e-6)
        hits = np.mean(cosine.argmax(axis=1) == np.arange(len(cosine)))
        assert 0 < hits < 1
        assert value(table, "translation_accuracy", language, other) == pytest.approx(hits)


def test_accuracy_does_not_depend_on_the_block(monkeypatch):
    given = parallel_vectors(shift=1.0, noise=0.8)
    whole = alignment_scores(*given, seed=0)
    monkeypatch.setattr("hybridir_utils.rank.alignment.BLOCK", 7)
    assert alignment_scores(*given, seed=0).equals(whole)


def test_only_shared_groups_are_paired():
    vectors, groups, languages = parallel_vectors(shift=0.0)
    kept = ~((languages == "th") & (groups >= 20))
    table = alignment_scores(vectors[kept], groups[kept], languages[kept], seed=0)
    n = table[table["measure"] == "translation_accuracy"].set_index(["language", "other_language"])["n"]
    assert n["de", "en"] == 60 and n["th", "en"] == n["en", "th"] == 20


def test_collapsed_vectors_find_no_translation_and_are_not_uniform():
    _, groups, languages = parallel_vectors(shift=0.0)
    table = alignment_scores(np.ones((len(groups), 4)), groups, languages, seed=0)
    assert value(table, "translation_accuracy", "de", "en") == 0
    assert value(table, "alignment_gap", "de", "en") == pytest.approx(0, abs=1e-6)
    assert value(table, "uniformity") == pytest.approx(0, abs=1e-5)


def test_uniformity_equals_wang_and_isolas_formula():
    from scipy.spatial.distance import pdist

    vectors, groups, languages = parallel_vectors(shift=0.5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.log(np.exp(-2 * pdist(unit) ** 2).mean())
    assert value(alignment_scores(vectors, groups, languages, seed=0), "uniformity") == pytest.approx(expected, abs=1e-6)


def test_probe_finds_a_language_direction_and_only_chance_without_one():
    told = alignment_scores(*parallel_vectors(shift=4.0), seed=0)
    assert value(told, "language_identity") > 0.95
    assert value(told, "language_identity_chance") == pytest.approx(1 / 3)
    blind = alignment_scores(*parallel_vectors(shift=0.0, groups=300), seed=0)
    assert value(blind, "language_identity") < 0.45


def test_probe_never_sees_a_translation_of_a_held_out_text(monkeypatch):
    """Translations get equal vectors: the probe must be trained on each vector three times or not at all."""
    from sklearn.linear_model import LogisticRegression

    trained_on, fit = [], LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, x, y: (trained_on.append(x), fit(self, x, y))[1])
    table = alignment_scores(*parallel_vectors(shift=0.0, noise=0.0, groups=40), seed=0)
    copies = np.unique(trained_on[0], axis=0, return_counts=True)[1]
    assert len(copies) == 28 and (copies == 3).all()
    assert table[table["measure"] == "language_identity"]["n"].item() == 36


def test_seed_decides_the_result():
    given = parallel_vectors(shift=0.3)
    first = alignment_scores(*given, seed=1)
    assert first.equals(alignment_scores(*given, seed=1))
    assert not first.equals(alignment_scores(*given, seed=2))


def test_errors_name_the_place():
    vectors, groups, languages = parallel_vectors(shift=0.0)
    with pytest.raises(InputError, match=r"\[180, d\]; found shape \(179, 16\)"):
        alignment_scores(vectors[:-1], groups, languages, seed=0)
    broken = vectors.copy()
    broken[5] = np.nan
    with pytest.raises(InputError, match="vector 5 is zero or not finite"):
        alignment_scores(broken, groups, languages, seed=0)
    with pytest.raises(InputError, match="several texts in 'de'"):
        alignment_scores(vectors, np.where(groups == 1, 0, groups), languages, seed=0)
    with pytest.raises(InputError, match="no two languages share"):
        alignment_scores(vectors, np.arange(len(vectors)), languages, seed=0)
