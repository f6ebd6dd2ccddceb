"""How well an encoder aligns languages, by the vectors of parallel texts alone (PAPER §4, measure 9): `alignment_scores` of their
geometry, and at which rank a question finds its translation (`translation_ranks`, the recall of notebook 07).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from ..base.errors import InputError
from .ranking import dot_scores

UNIFORMITY_SAMPLE = 2_000  # texts: two million pairs, standard error of the mean far below the third digit
PROBE_SAMPLE = 5_000  # texts: keeps the probe within seconds at 768 dimensions
BLOCK = 1_024  # rows of a cosine matrix held at once
ALIGNMENT_COLUMNS = ["measure", "language", "other_language", "value", "n"]
DEPTHS = (1, 10, 100)
MEASURES = tuple(f"Recall@{k}" for k in DEPTHS)
RANK_COLUMNS = ["group", "query_language", "candidate_language", "rank"]
PAIR_KINDS = ("both trained", "one untrained", "both untrained")
ALL_PAIRS = "all pairs"


def alignment_scores(vectors: np.ndarray, groups: Sequence, languages: Sequence[str], seed: int) -> pd.DataFrame:
    """Every alignment measure of one set of parallel texts, of their vectors scaled to unit length.

    vectors: [N, d]; groups: [N], texts with the same group are translations of each other; languages: [N] codes.
    seed: draws the uniformity sample and the probe's split. Returns a frame (measure, language, other_language,
    value, n); measures of the whole set carry language "all" and other_language "":

    * alignment_gap, per ordered pair: mean cosine of translations minus mean cosine of non-translations (exact, over
      all pairs of the shared groups; symmetric, both orders given so that a heat map is full). n: shared groups.
    * translation_accuracy, per ordered pair: share of texts of `language` whose nearest text in `other_language`,
      among the shared groups, is their translation; a tie counts as a miss. n: shared groups, chance is 1/n.
    * uniformity: log mean exp(-2 |x - y|²) over the pairs of a sample (Wang and Isola 2020, §4.1.2); 0 is collapse,
      lower is more uniform. n: texts in the sample.
    * language_identity: accuracy of a linear probe for the language on held-out groups (translations never sit on
      both sides of the split); language_identity_chance: share of the most frequent held-out language. n: held out.

    Raises InputError when lengths differ, a vector is zero or not finite, a (group, language) stands twice, or no
    two languages share two groups.
    """
    frame = pd.DataFrame({"group": np.asarray(groups), "language": np.asarray(languages)})
    unit = _unit_vectors(vectors, frame)
    rows = [*_pair_rows(unit, frame), _uniformity_row(unit, seed), *_probe_rows(unit, frame, seed)]
    return pd.DataFrame(rows, columns=ALIGNMENT_COLUMNS)


def _unit_vectors(vectors: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(frame):
        raise InputError(f"alignment: expected one vector per text, [{len(frame)}, d]; found shape {vectors.shape}.")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        raise InputError(f"alignment: vector {bad[0]} is zero or not finite ({len(bad)} such rows); encode these texts again.")
    repeated = frame.duplicated()
    if repeated.any():
        group, language = frame[repeated].iloc[0]
        raise InputError(f"alignment: group {group} has several texts in {language!r}; keep one text per group and language.")
    return vectors / norms


def _pair_rows(unit: np.ndarray, frame: pd.DataFrame) -> list[tuple]:
    row_of = frame.assign(row=np.arange(len(frame))).pivot(index="group", columns="language", values="row")
    names, place, rows = list(row_of.columns), row_of.fillna(-1).to_numpy().astype(int), []
    for i, j in itertools.combinations(range(len(names)), 2):
        shared = place[(place[:, [i, j]] >= 0).all(axis=1)]
        if len(shared) < 2:
            continue
        x, y = unit[shared[:, i]], unit[shared[:, j]]
        gap, orders = _alignment_gap(x, y), ((names[i], names[j]), (names[j], names[i]))
        for order, accuracy in zip(orders, _translation_accuracies(x, y), strict=True):
            rows.append(("alignment_gap", *order, gap, len(shared)))
            rows.append(("translation_accuracy", *order, accuracy, len(shared)))
    if not rows:
        raise InputError("alignment: no two languages share two groups; expected translations of the same texts.")
    return rows


def _alignment_gap(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of the diagonal of x yᵀ minus mean of the rest; the sum over all pairs is the product of the sums."""
    n = len(x)
    translations = np.einsum("nd,nd->", x, y, dtype=np.float64)
    everything = x.sum(axis=0, dtype=np.float64) @ y.sum(axis=0, dtype=np.float64)
    return float(translations / n - (everything - translations) / (n * (n - 1)))


def _translation_accuracies(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """From x to y and from y to x, out of one product."""
    own, best_of_x, best_of_y = (np.full(len(x), -np.inf, dtype=np.float32) for _ in range(3))
    for start in range(0, len(x), BLOCK):
        cosine = x[start : start + BLOCK] @ y.T
        rows = np.arange(len(cosine))
        own[start + rows] = cosine[rows, start + rows]
        cosine[rows, start + rows] = -np.inf
        best_of_x[start + rows] = cosine.max(axis=1)
        best_of_y = np.maximum(best_of_y, cosine.max(axis=0))
    return float(np.mean(own > best_of_x)), float(np.mean(own > best_of_y))


def _uniformity_row(unit: np.ndarray, seed: int) -> tuple:
    sample = np.random.default_rng(seed).permutation(len(unit))[:UNIFORMITY_SAMPLE]
    chosen = unit[np.sort(sample)].astype(np.float64)
    kernel = np.exp(4 * (chosen @ chosen.T) - 4)  # |x-y|² = 2 - 2 cos
    pairs = len(chosen) * (len(chosen) - 1)
    return ("uniformity", "all", "", float(np.log((kernel.sum() - np.trace(kernel)) / pairs)), len(chosen))


def _probe_rows(unit: np.ndarray, frame: pd.DataFrame, seed: int) -> list[tuple]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupShuffleSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kept = np.flatnonzero(frame["group"].isin(_probe_groups(frame["group"], seed)))
    x, language = unit[kept], frame["language"].to_numpy()[kept]
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.3, random_state=seed)
    train, test = next(splitter.split(x, groups=frame["group"].to_numpy()[kept]))
    if len(set(language[train])) < 2:
        raise InputError("alignment: the probe's training split holds one language only; expected more parallel groups.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are the probe's measure of effort
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x[train], language[train])
    accuracy = float(np.mean(probe.predict(x[test]) == language[test]))
    chance = float(np.unique(language[test], return_counts=True)[1].max() / len(test))
    return [("language_identity", "all", "", accuracy, len(test)), ("language_identity_chance", "all", "", chance, len(test))]


def _probe_groups(groups: pd.Series, seed: int) -> np.ndarray:
    """Whole groups in seeded order until PROBE_SAMPLE texts are reached (two groups at least, to split)."""
    sizes = groups.value_counts(sort=False).sample(frac=1, random_state=seed)
    return sizes.index[: max(2, int((sizes.cumsum() <= PROBE_SAMPLE).sum()))].to_numpy()


def translation_ranks(vectors: np.ndarray, groups: Sequence, languages: Sequence[str]) -> pd.DataFrame:
    """Rank of each question's translation in each other language: columns RANK_COLUMNS.

    vectors: [N, d] of unit length; groups: [N], translations share one; languages: [N]. rank: 1 + the number of other questions that
    score as high or higher: equal scores count against the encoder, as in `alignment.translation_accuracy`. Raises InputError as
    `dot_scores`.
    """
    frame = pd.DataFrame({"group": np.asarray(groups), "language": np.asarray(languages)})
    rows = {language: np.flatnonzero(frame["language"] == language) for language in sorted(frame["language"].unique())}
    tables = []
    for language, other in itertools.permutations(rows, 2):
        theirs = pd.Index(frame["group"].iloc[rows[other]])
        own = theirs.get_indexer(frame["group"].iloc[rows[language]])
        asked = np.flatnonzero(own >= 0)
        if len(asked):
            scores = dot_scores(vectors[rows[language][asked]], vectors[rows[other]])(0, len(asked))
            rank = (scores >= scores[np.arange(len(asked)), own[asked]][:, None]).sum(axis=1)
            about = {"group": theirs[own[asked]], "query_language": language, "candidate_language": other}
            tables.append(pd.DataFrame({**about, "rank": rank}))
    return pd.concat(tables, ignore_index=True)[RANK_COLUMNS]


def pair_recall(ranks: pd.DataFrame) -> pd.DataFrame:
    """Recall@k of every ordered pair: query_language, candidate_language, metric, value, n (questions asked)."""
    keys = ["query_language", "candidate_language"]
    hits = _hits(ranks)
    means = hits.groupby(keys, sort=False)[list(MEASURES)].mean().reset_index()
    sizes = hits.groupby(keys, sort=False).size().rename("n").reset_index()
    return means.merge(sizes, on=keys).melt([*keys, "n"], var_name="metric")[[*keys, "metric", "value", "n"]]


def recall_by_question(ranks: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Recall@k of each parallel question, the unit of the paired tests: setting, group, then MEASURES.

    setting: ALL_PAIRS, or one of PAIR_KINDS: the ordered pairs of languages whose mean a row is. trained: languages of training batches.
    """
    hits = _hits(ranks)
    kinds = hits.assign(setting=pair_kinds(hits, trained))
    tables = [hits.assign(setting=ALL_PAIRS), kinds]
    return pd.concat([table.groupby(["setting", "group"], sort=False)[list(MEASURES)].mean().reset_index() for table in tables])


def pair_kinds(pairs: pd.DataFrame, trained: Collection[str], columns=("query_language", "candidate_language")) -> np.ndarray:
    """[rows] of PAIR_KINDS: how many of a row's two languages no training batch holds."""
    untrained = sum((~pairs[column].isin(list(trained))).to_numpy().astype(int) for column in columns)
    return np.array(PAIR_KINDS, dtype=object)[untrained]


def _hits(ranks: pd.DataFrame) -> pd.DataFrame:
    return ranks.assign(**{name: (ranks["rank"] <= k).astype(float) for name, k in zip(MEASURES, DEPTHS, strict=True)})
