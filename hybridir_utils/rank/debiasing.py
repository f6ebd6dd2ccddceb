"""Training-free removal of language identity from any encoder's vectors (PAPER §4), and the comparison of what it gives.

Each method is fitted on passages without labels (no queries, no relevance): the pool itself, or other text of the same languages. All
have the same form, x -> unit(x - offset[language] - projection onto basis[language]), and differ only in what they fit, so one class
applies them: to queries and candidates alike, but SHIFT, which needs translations to be fitted, to candidates alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from ..base.errors import InputError
from ..base.languages import langid_name
from ..encode.encoding import TaskVectors
from ..tasks.retrieval_task import RetrievalTask, parallel_rows

SOURCE = "en"  # the language that SHIFT moves passages to
NOT_USED = "-"  # fitted_on of no method; question_language of a method that leaves the questions as they are


@dataclass(frozen=True)
class Debiaser:
    """What a method removes: offsets {language: [d]} and orthonormal bases {language: [d, k]}.

    common: the offset and the basis that stand for all languages. of_questions: whether questions are changed as passages are.
    """

    offsets: dict[str, np.ndarray]
    bases: dict[str, np.ndarray]
    common: tuple[np.ndarray, np.ndarray]
    of_questions: bool = True

    def for_languages(self, languages: Sequence[str]) -> Debiaser:
        """The same for these languages, too: one that was not fitted on loses what stands for all (of SHIFT: nothing).

        Left as they are beside centred ones, they would score by the direction that all share: with me5-small-4bit on XQuAD-R and no means
        of Greek and Vietnamese, Mul. mAP is .392 so, .483 with the mean of means (.301 plain, .537 with every language's own).
        """
        offset, basis = self.common
        others = [language for language in languages if language not in self.offsets]
        return replace(self, offsets=dict.fromkeys(others, offset) | self.offsets, bases=dict.fromkeys(others, basis) | self.bases)

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
        """[N, d] float32 of unit length, for cosine scoring, where LIR's and LSAR's authors leave the length as it is; a vector of which
        nothing is left stays zero and scores 0.
        """
        cleaned = self.remove(vectors, languages)
        return cleaned / np.maximum(np.linalg.norm(cleaned, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def fit_centring(vectors: np.ndarray, languages: Sequence[str]) -> Debiaser:
    """Subtract each language's mean. vectors: [N, d], languages: [N]; needs two vectors a language, else InputError."""
    by_language = _by_language(vectors, languages, at_least=2)
    offsets = {language: rows.mean(axis=0, dtype=np.float64).astype(np.float32) for language, rows in by_language.items()}
    mean_of_means, nothing = np.mean(list(offsets.values()), axis=0), _no_basis(vectors)
    return Debiaser(offsets, dict.fromkeys(offsets, nothing), (mean_of_means, nothing))


def fit_lir(vectors: np.ndarray, languages: Sequence[str], k: int = 1) -> Debiaser:
    """LIR: remove the first k right singular vectors of each language's (uncentred) matrix (Yang et al. 2021, §2).

    vectors: [N, d], languages: [N]. Raises InputError when a language has k vectors or fewer: nothing would be left.
    """
    by_language = _by_language(vectors, languages, at_least=k + 1)
    bases = {language: np.linalg.svd(rows, full_matrices=False)[2][:k].T for language, rows in by_language.items()}
    return Debiaser(dict.fromkeys(bases, _zero(vectors)), bases, (_zero(vectors), _first_directions(vectors, k)))


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
    return Debiaser(dict.fromkeys(by_language, _zero(vectors)), dict.fromkeys(by_language, basis), (_zero(vectors), basis))


def fit_shift(vectors: np.ndarray, languages: Sequence[str], groups: Sequence) -> Debiaser:
    """SHIFT: the mean difference between translations in a language and in the source language, taken off the passages (Jang et al. 2026,
    arXiv 2606.18801, Eq. 1 and Algorithm 1); the source's passages, and all questions, stay as they are.

    vectors: [N, d], languages: [N], groups: [N], texts with the same group are translations of each other, one a language. The paper
    scales the difference by a factor up to 1 that it chooses for each encoder; here it is 1, so that nothing is chosen on what is
    measured. Raises InputError when no text in the source language has a translation.
    """
    vectors, languages = _checked(vectors, languages)
    row_of = pd.DataFrame({"group": np.asarray(groups), "language": languages, "row": range(len(vectors))})
    row_of = row_of.pivot(index="group", columns="language", values="row")
    offsets = {SOURCE: _zero(vectors)} if SOURCE in row_of else {}
    for language in row_of.columns.drop(SOURCE, errors="ignore") if offsets else ():
        own, theirs = row_of[[language, SOURCE]].dropna().to_numpy().astype(int).T
        if len(own):
            offsets[language] = (vectors[own] - vectors[theirs]).mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(offsets) < 2:
        raise InputError(f"SHIFT: no text in {SOURCE!r} has a translation. Fit on translations of texts in the source language.")
    nothing = _no_basis(vectors)
    return Debiaser(offsets, dict.fromkeys(offsets, nothing), (_zero(vectors), nothing), of_questions=False)


DEBIASERS = {"centring": fit_centring, "lir": fit_lir, "lsar": fit_lsar}  # those that need no translations


@dataclass(frozen=True)
class FittingText:
    """Passages that methods are fitted on. vectors: [N, d]; languages: [N]; parallel: those with a translation among them, row (of
    `vectors`), group and language, as `retrieval_task.parallel_rows` gives them.
    """

    vectors: np.ndarray
    languages: np.ndarray
    parallel: pd.DataFrame

    def fits(self) -> Iterator[tuple[str, Debiaser]]:
        """Each method by name, fitted on the languages with two texts at least; without those that the text does not suffice for."""
        enough = pd.Series(self.languages).map(pd.Series(self.languages).value_counts()).to_numpy() > 1
        if len(set(self.languages[enough])) > 1:
            for method, fit in DEBIASERS.items():
                yield method, fit(self.vectors[enough], self.languages[enough])
        of_source = self.parallel["group"].isin(self.parallel.loc[self.parallel["language"] == SOURCE, "group"])
        chosen = self.parallel[of_source]
        if chosen["language"].nunique() > 1:
            yield "shift", fit_shift(self.vectors[chosen["row"]], chosen["language"], chosen["group"])


def pool_text(vectors: TaskVectors, task: RetrievalTask) -> FittingText:
    """A task's own candidates, with those that answer the same question as translations."""
    return FittingText(vectors.candidates, task.candidates["language"].to_numpy(), parallel_rows(task, "passage"))


def comparators(vectors: TaskVectors, task: RetrievalTask, texts: Mapping[str, FittingText]) -> Iterator[tuple[dict, TaskVectors]]:
    """The task's vectors after every method: (about, vectors). texts: name -> what to fit on.

    about: method; fitted_on, a name of `texts`; question_language: `given`, or `identified` (`identify_languages`; of centring alone: each
    takes a ranking more, and centring's mAP moved by less than .001 in every committed table); NOT_USED where questions stay as they are;
    languages_right: share of the questions for which it is right; not_fitted: languages of the task that the text lacks
    (`Debiaser.for_languages`).
    """
    passages, given = (frame["language"].to_numpy() for frame in (task.candidates, task.queries))
    for fitted_on, text in texts.items():
        for method, fitted in text.fits():
            lacking = " ".join(sorted(set(task.languages) - set(fitted.offsets)))
            about = {"method": method, "fitted_on": fitted_on, "not_fitted": lacking}
            debiaser = fitted.for_languages(task.languages)
            candidates = debiaser.apply(vectors.candidates, passages)
            if not debiaser.of_questions:
                yield about | {"question_language": NOT_USED}, TaskVectors(vectors.queries, candidates)
                continue
            known = {"given": given} | ({"identified": identify_languages(task)} if method == "centring" else {})
            for how, languages in known.items():
                right = {"question_language": how, "languages_right": float(np.mean(languages == given))}
                yield about | right, TaskVectors(debiaser.apply(vectors.queries, languages), candidates)


def identify_languages(task: RetrievalTask) -> np.ndarray:
    """[Q] language of each query as py3langid tells it from the text alone, among the pool's languages that it knows.

    A question whose language no candidate has, or py3langid does not know, is taken for another.
    """
    pool = sorted(set(task.candidates["language"]))
    return np.array(_identified(tuple(task.queries["text"]), tuple(pool)), dtype=object)


@lru_cache(maxsize=2)
def _identified(texts: tuple[str, ...], languages: tuple[str, ...]) -> list[str]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    names = {langid_name(code): code for code in reversed(languages)}
    known = {name: code for name, code in names.items() if name in identifier.labels}
    if not known:
        return [languages[0]] * len(texts)
    identifier.set_languages(sorted(known))
    return [known[identifier.classify(text)[0]] for text in texts]


def _language_subspace(means: np.ndarray, rank: int) -> np.ndarray:
    """[d, r] orthonormal M_s of the means [d, L]; r < rank when the means span less.

    The algorithm's second step moves µ to the point of the approximated means' affine hull that is orthogonal to M_s.
    The hull's directions, and with them M_s, stay the same, so only the first step is computed.
    """
    left, values, _ = np.linalg.svd(means - means.mean(axis=1, keepdims=True), full_matrices=False)
    return left[:, :rank][:, values[:rank] > 1e-6 * np.abs(means).max()]  # 1e-6: float32 vectors; equal means span nothing


def _first_directions(vectors: np.ndarray, k: int) -> np.ndarray:
    """[d, k] first right singular vectors of all vectors together."""
    rows = np.asarray(vectors, dtype=np.float64)
    return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :k].astype(np.float32)


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


def _no_basis(vectors: np.ndarray) -> np.ndarray:
    return np.zeros((np.shape(vectors)[1], 0), dtype=np.float32)
