"""Training-free removal of language identity from any encoder's vectors (PAPER §4).

Each method is fitted on an unlabelled collection (the candidates: no queries, no relevance) and applied to queries
and candidates alike. All three have the same form, x -> unit(x - offset[language] - projection onto
basis[language]), and differ only in what they fit, so one class applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base.errors import InputError


@dataclass(frozen=True)
class Debiaser:
    """What a method removes: offsets {language: [d]} and orthonormal bases {language: [d, k]}."""

    offsets: dict[str, np.ndarray]
    bases: dict[str, np.ndarray]

    def remove(self, vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
        """[N, d] float32 without the language's part, not yet rescaled. Raises InputError for a language not fitted."""
        vectors, languages = _checked(vectors, languages)
        unseen = sorted(set(languages) - set(self.offsets))
        if unseen:
            known = ", ".join(sorted(self.offsets))
            raise InputError(
                f"debiasing: no vector of language {unseen[0]!r} was in the fitted collection (it holds {known}). "
                "Fit on a collection that has it, or leave its queries out."
            )
        cleaned = np.empty_like(vectors)
        for language in set(languages):
            rows = languages == language
            centred = vectors[rows] - self.offsets[language]
            cleaned[rows] = centred - (centred @ self.bases[language]) @ self.bases[language].T
        return cleaned

    def apply(self, vectors: np.ndarray, languages: Sequence[str]) -> np.ndarray:
        """[N, d] float32 of unit length, for cosine scoring; a vector of which nothing is left stays zero and scores 0."""
        cleaned = self.remove(vectors, languages)
        return cleaned / np.maximum(np.linalg.norm(cleaned, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def fit_centring(vectors: np.ndarray, languages: Sequence[str]) -> Debiaser:
    """Subtract each language's mean. vectors: [N, d], languages: [N]; needs two vectors a language, else InputError."""
    by_language = _by_language(vectors, languages, at_least=2)
    nothing = np.zeros((np.shape(vectors)[1], 0), dtype=np.float32)
    offsets = {language: rows.mean(axis=0, dtype=np.float64).astype(np.float32) for language, rows in by_language.items()}
    return Debiaser(offsets, dict.fromkeys(offsets, nothing))


def fit_lir(vectors: np.ndarray, languages: Sequence[str], k: int = 1) -> Debiaser:
    """LIR: remove the first k right singular vectors of each language's (uncentred) matrix (Yang et al. 2021, §2).

    vectors: [N, d], languages: [N]. Raises InputError when a language has k vectors or fewer: nothing would be left.
    """
    by_language = _by_language(vectors, languages, at_least=k + 1)
    bases = {language: np.linalg.svd(rows, full_matrices=False)[2][:k].T for language, rows in by_language.items()}
    return Debiaser(dict.fromkeys(bases, _zero(vectors)), bases)


def fit_lsar(vectors: np.ndarray, languages: Sequence[str], rank: int | None = None) -> Debiaser:
    """LSAR: project out the low-rank subspace in which the language means differ (Xie et al. 2022, Algorithm 1).

    vectors: [N, d], languages: [N]; rank: of the subspace, default one less than the number of languages, with
    which the means coincide. The means M [d, L] are approximated by µ 1ᵀ + M_s Γᵀ of that rank, with µ orthogonal
    to M_s, so that what all languages share is kept. Raises InputError when fewer than two languages are given or
    the rank is not in 1..L-1.
    """
    by_language = _by_language(vectors, languages, at_least=1)
    most = min(len(by_language) - 1, np.shape(vectors)[1] - 1)
    rank = most if rank is None else rank
    if not 1 <= rank <= most:
        raise InputError(f"LSAR: expected a rank from 1 to {most} for {len(by_language)} languages; found {rank}.")
    means = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in by_language.values()], axis=1)
    basis = _language_subspace(means, rank).astype(np.float32)
    return Debiaser(dict.fromkeys(by_language, _zero(vectors)), dict.fromkeys(by_language, basis))


DEBIASERS = {"centring": fit_centring, "lir": fit_lir, "lsar": fit_lsar}


def _language_subspace(means: np.ndarray, rank: int) -> np.ndarray:
    """[d, r] orthonormal M_s of the means [d, L]; r < rank when the means span less.

    The algorithm's second step moves µ to the point of the approximated means' affine hull that is orthogonal to M_s.
    The hull's directions, and with them M_s, stay the same, so only the first step is computed.
    """
    left, values, _ = np.linalg.svd(means - means.mean(axis=1, keepdims=True), full_matrices=False)
    return left[:, :rank][:, values[:rank] > 1e-6 * np.abs(means).max()]  # 1e-6: float32 vectors; equal means span nothing


def _by_language(vectors: np.ndarray, languages: Sequence[str], at_least: int) -> dict[str, np.ndarray]:
    vectors, languages = _checked(vectors, languages)
    by_language = {language: vectors[languages == language] for language in sorted(set(languages))}
    for language, rows in by_language.items():
        if len(rows) < at_least:
            raise InputError(
                f"debiasing: language {language!r} has {len(rows)} vector(s), expected at least {at_least}. "
                "Fit on a larger collection or drop the language."
            )
    return by_language


def _checked(vectors: np.ndarray, languages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    vectors, languages = np.asarray(vectors, dtype=np.float32), np.asarray(languages).astype(object)
    if vectors.ndim != 2 or len(vectors) != len(languages):
        raise InputError(f"debiasing: expected one vector per language label, [{len(languages)}, d]; found shape {vectors.shape}.")
    return vectors, languages


def _zero(vectors: np.ndarray) -> np.ndarray:
    return np.zeros(np.shape(vectors)[1], dtype=np.float32)
