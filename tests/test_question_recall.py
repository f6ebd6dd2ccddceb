"""Recall of translated questions: against the definition written out, ties, missing questions, and kinds of language pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.rank.alignment import (
    ALL_PAIRS,
    MEASURES,
    alignment_scores,
    pair_kinds,
    pair_recall,
    recall_by_question,
    translation_ranks,
)

LANGUAGES = ("de", "en", "km")


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def questions(groups=150, noise=1.5, seed=0):
    """Vectors [3 * groups, 16], groups and languages, shuffled; a common meaning and noise."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(groups, 16))
    vectors = np.concatenate([meaning + noise * rng.normal(size=meaning.shape) for _ in LANGUAGES])
    order = rng.permutation(len(vectors))
    return unit(vectors[order]), np.tile([f"g{n}" for n in range(groups)], 3)[order], np.repeat(LANGUAGES, groups)[order]


def test_ranks_equal_the_definition_for_every_ordered_pair():
    vectors, groups, languages = questions()
    ranks = translation_ranks(vectors, groups, languages).set_index(["query_language", "candidate_language", "group"])["rank"]
    assert len(ranks) == 6 * 150
    for one, other in itertools.permutations(LANGUAGES, 2):
        theirs = {group: vector for group, vector, code in zip(groups, vectors, languages, strict=True) if code == other}
        for group, vector in list(zip(groups[languages == one], vectors[languages == one], strict=True))[:20]:
            own = vector @ theirs[group]
            assert ranks[one, other, group] == 1 + sum(vector @ v > own for g, v in theirs.items() if g != group)


def test_recall_is_the_share_within_k_and_macro_averages_to_the_questions():
    ranks = translation_ranks(*questions())
    pairs = pair_recall(ranks)
    assert set(pairs["metric"]) == set(MEASURES) and (pairs["n"] == 150).all()
    value = pairs.set_index(["query_language", "candidate_language", "metric"])["value"]
    part = ranks[(ranks["query_language"] == "km") & (ranks["candidate_language"] == "de")]["rank"]
    for k in (1, 10, 100):
        assert value["km", "de", f"Recall@{k}"] == pytest.approx((part <= k).mean())
    assert 0 < value["km", "de", "Recall@1"] < value["km", "de", "Recall@10"] < value["km", "de", "Recall@100"] < 1
    by_question = recall_by_question(ranks, trained=["de", "en"]).query("setting == @ALL_PAIRS")
    assert by_question["Recall@10"].mean() == pytest.approx(value.xs("Recall@10", level="metric").mean())


def test_recall_at_1_is_the_alignments_translation_accuracy():
    vectors, groups, languages = questions()
    ours = pair_recall(translation_ranks(vectors, groups, languages)).query("metric == 'Recall@1'")
    table = alignment_scores(vectors, groups, languages, seed=0).query("measure == 'translation_accuracy'")
    both = ours.merge(table, left_on=["query_language", "candidate_language"], right_on=["language", "other_language"])
    assert len(both) == 6 and np.allclose(both["value_x"], both["value_y"])


def test_equal_scores_count_against_the_encoder():
    groups, languages = np.tile([f"g{n}" for n in range(5)], 2), np.repeat(["de", "en"], 5)
    collapsed = unit(np.ones((10, 4)))
    assert (translation_ranks(collapsed, groups, languages)["rank"] == 5).all(), "a collapsed encoder finds nothing"
    twins = unit(np.concatenate([np.eye(5), np.eye(5)]))
    twins[6] = twins[5]  # two English questions with one vector
    ranks = translation_ranks(twins, groups, languages)
    found = ranks[ranks["query_language"] == "de"].set_index("group")["rank"]
    assert found["g0"] == 2 and found["g2"] == 1


def test_a_question_the_other_language_lacks_is_not_asked_there_but_stands_in_its_own_pool():
    vectors, groups, languages = questions()
    kept = ~((languages == "km") & np.isin(groups, [f"g{n}" for n in range(100)]))
    pairs = pair_recall(translation_ranks(vectors[kept], groups[kept], languages[kept])).query("metric == 'Recall@1'")
    sizes = pairs.set_index(["query_language", "candidate_language"])["n"]
    assert sizes["de", "en"] == 150 and sizes["de", "km"] == sizes["km", "de"] == 50
    whole = translation_ranks(vectors, groups, languages)
    ranks = translation_ranks(vectors[kept], groups[kept], languages[kept])
    keys = ["group", "query_language", "candidate_language"]
    same = ranks[ranks["candidate_language"] != "km"].merge(whole, on=keys)
    assert (same["rank_x"] == same["rank_y"]).all(), "Khmer questions are asked in the whole German pool"
    smaller = ranks[ranks["candidate_language"] == "km"].merge(whole, on=keys)
    assert (smaller["rank_x"] <= smaller["rank_y"]).all() and (smaller["rank_x"] < smaller["rank_y"]).any()


def test_pairs_are_told_apart_by_how_many_languages_are_untrained():
    pairs = pd.DataFrame({"query_language": ["de", "de", "km"], "candidate_language": ["en", "km", "fi"]})
    assert pair_kinds(pairs, ("de", "en")).tolist() == ["both trained", "one untrained", "both untrained"]
    table = recall_by_question(translation_ranks(*questions()), trained=["de", "en"])
    assert table.groupby("setting").size().to_dict() == {ALL_PAIRS: 150, "both trained": 150, "one untrained": 150}
    means = table.groupby("setting")["Recall@1"].mean()
    assert means[ALL_PAIRS] == pytest.approx((2 * means["both trained"] + 4 * means["one untrained"]) / 6)
