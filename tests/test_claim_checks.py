"""What notebook 09 counts anew: the mix from the rows of the plans, leaks on the cleaned pairs, questions by language."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hybridir_utils.data.pairs import join_pairs, pairs_from_rows
from hybridir_utils.experiment.encoders import plans
from hybridir_utils.experiment.preparation import PreparedPairs
from hybridir_utils.experiment.run import open_run
from hybridir_utils.studies.claims import facts
from hybridir_utils.studies.claims.facts import (
    ALL,
    CROSS,
    MIXTURE_COLUMNS,
    MONO,
    NEITHER,
    leaks_left,
    leaks_rechecked,
    mixture,
    task_counts,
)
from hybridir_utils.tasks.retrieval_task import task_from_pairs

STEPS, SEEDS = 150, [1, 2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    return open_run("sample", steps=STEPS, batch_size=6, seeds=SEEDS, strategies=["X-Y", "hybrid"], near_duplicate=0.8)


def others(languages=("de", "en"), ids: int = 8):
    """A second data set."""
    return pairs_from_rows(
        (f"o{n}", f"o{n}", code, f"other question {n} {code}", f"other {n} {code}", "t") for n in range(ids) for code in languages
    )


def prepared_of(pairs, folder) -> PreparedPairs:
    none = pd.DataFrame()
    return PreparedPairs(pairs, pairs, none, none, none, folder / "pairs-0123456789")


def share(table: pd.DataFrame, name: str, of: str) -> pd.Series:
    (row,) = [row for _, row in table.iterrows() if (row["share"], row["of"]) == (name, of)]
    return row


def test_shares_are_counted_over_all_seeds_and_lie_in_their_intervals(run, tiny_pairs, tmp_path):
    table = mixture(run, prepared_of(join_pairs([tiny_pairs, others()]), tmp_path))
    mono = share(table, MONO, ALL)
    assert list(table.columns) == MIXTURE_COLUMNS and mono["batches"] == STEPS * len(SEEDS) and mono["planned"] == 0.5
    assert share(table, NEITHER, ALL)["count"] == 0
    assert (table["p_holm"] > 0.05).all() and mono["low"] < mono["realised"] < mono["high"]
    assert (mono["low"], mono["high"]) == pytest.approx((0.5 - 1.96 * 0.5 / 300**0.5, 0.5 + 1.96 * 0.5 / 300**0.5), abs=0.005)
    for kind in (MONO, CROSS):
        assert share(table, "s", kind)["planned"] == pytest.approx(24 / 32) and share(table, "t", kind)["planned"] == pytest.approx(8 / 32)
        assert share(table, "s", kind)["count"] + share(table, "t", kind)["count"] == share(table, "s", kind)["batches"]
    assert mono["count"] == share(table, "s", MONO)["batches"]


def test_a_data_set_in_one_language_has_no_share_of_cross_batches(run, tiny_pairs, tmp_path):
    table = mixture(run, prepared_of(join_pairs([tiny_pairs, others(("en",))]), tmp_path))
    assert share(table, "t", CROSS)[["planned", "count", "p"]].tolist() == [0, 0, 1] and share(table, "t", MONO)["count"] > 0


def changed(monkeypatch, change) -> None:
    """The plans as drawn, each changed."""
    drawn = plans
    monkeypatch.setattr(facts, "plans", lambda run, prepared, seed: {"hybrid": change(drawn(run, prepared, seed)["hybrid"])})


def test_rows_decide_not_what_a_plan_says_of_itself(run, tiny_pairs, tmp_path, monkeypatch):
    prepared = prepared_of(tiny_pairs, tmp_path)
    changed(monkeypatch, lambda plan: replace(plan, kinds=1 - plan.kinds))
    assert mixture(run, prepared)["p_holm"].min() > 0.05

    def half_crossed(plan):
        rows = np.where(np.arange(plan.batch_size) < 3, plan.question_rows, plan.passage_rows)
        return replace(plan, passage_rows=rows)

    changed(monkeypatch, half_crossed)
    neither = share(mixture(run, prepared), NEITHER, ALL)
    assert neither["count"] > 100 and neither["p_holm"] == 0


def test_another_mix_than_alpha_is_found(run, tiny_pairs, tmp_path, monkeypatch):
    drawn = plans
    other = open_run("sample", steps=STEPS, batch_size=6, alpha=0.7, strategies=["hybrid"])
    monkeypatch.setattr(facts, "plans", lambda run, prepared, seed: drawn(other, prepared, seed))
    mono = share(mixture(run, prepared_of(tiny_pairs, tmp_path)), MONO, ALL)
    assert mono["realised"] == pytest.approx(0.7, abs=0.08) and mono["p_holm"] < 0.001 and mono["realised"] > mono["high"]


def test_a_profile_without_hybrid_has_no_mixture(tiny_pairs, tmp_path):
    table = mixture(open_run("sample", strategies=["X-Y"]), prepared_of(tiny_pairs, tmp_path))
    assert table.empty and list(table.columns) == MIXTURE_COLUMNS


def test_leaks_are_looked_for_again_in_what_is_trained_on_and_kept(run, tiny_pairs, tmp_path, monkeypatch):
    task = task_from_pairs("pool", tiny_pairs.select(range(8)))
    monkeypatch.setattr(facts, "tested_texts", lambda run: [task])
    clean, dirty = (prepared_of(pairs, tmp_path / name) for name, pairs in (("a", others()), ("b", tiny_pairs)))
    dirty = replace(dirty, folder=tmp_path / "pairs-abcdefghij")
    assert leaks_left(run, clean).empty
    found = leaks_left(run, dirty)
    assert set(found[found["kind"] == "exact"]["pair"]) == {"i0", "i1"} and set(found["task"]) == {"pool"}
    table = leaks_rechecked(run, replace(dirty, leaks=found.iloc[:0])).set_index("field")
    assert table.loc["question", "exact"] == 8 and table.loc["question", "dropped"] == 0 and table.loc["question", "texts"] == 96
    assert leaks_rechecked(run, replace(clean, leaks=found)).set_index("field").loc["question", "dropped"] >= 2
    monkeypatch.setattr(facts, "tested_texts", lambda run: pytest.fail("looked for twice"))
    pd.testing.assert_frame_equal(leaks_left(run, dirty), found)
    assert leaks_left(run, clean).empty


def test_questions_are_counted_by_language_with_what_they_lack(run, tiny_pairs, monkeypatch):
    whole = task_from_pairs("pool", tiny_pairs)
    relevance, queries = whole.relevance, whole.queries
    relevance = relevance[~((relevance["query"] == "de:i0") & (relevance["candidate"] == "de:p0"))]
    relevance = relevance[~((relevance["query"] == "en:i1") & (relevance["candidate"] != "en:p1"))]
    alone = queries[(queries["group"] != "i2") | (queries["language"] == "th")]
    relevance = relevance[relevance["query"].isin(alone["id"])]
    task = replace(whole, queries=alone, relevance=relevance)
    monkeypatch.setattr(facts, "evaluation_tasks", lambda run: {"beir:pool": task})
    table = task_counts(run).set_index("language")
    assert set(table["task"]) == {"beir:pool"} and table["candidates"].tolist() == [24] * 4
    assert table["questions"].to_dict() == {"ar": 23, "de": 23, "en": 23, "th": 24}
    assert table["translated"].to_dict() == {"ar": 23, "de": 23, "en": 23, "th": 23}
    assert table["answered"].to_dict() == {"ar": 23, "de": 22, "en": 23, "th": 24}
    assert table["answered_elsewhere"].to_dict() == {"ar": 23, "de": 23, "en": 22, "th": 24}


def test_languages_without_questions_or_without_candidates_count(run, tiny_pairs, monkeypatch):
    """Before, a pool whose languages nobody asks in had "0 candidates" in the report."""
    whole = task_from_pairs("pool", tiny_pairs)
    queries = whole.queries[whole.queries["language"].isin(["de", "en"])]
    candidates = whole.candidates[whole.candidates["language"].isin(["en", "th"])]
    judged = whole.relevance["query"].isin(queries["id"]) & whole.relevance["candidate"].isin(candidates["id"])
    task = replace(whole, queries=queries, candidates=candidates, relevance=whole.relevance[judged])
    monkeypatch.setattr(facts, "evaluation_tasks", lambda run: {"beir:pool": task})
    table = task_counts(run).set_index("language")
    assert table["candidates"].to_dict() == {"de": 0, "en": 24, "th": 24}
    assert table["questions"].to_dict() == {"de": 24, "en": 24, "th": 0}
    assert "48 questions in 2 languages" in facts._counted(table)


def test_lareqas_sets_hold_parallel_questions_in_eleven_and_seven_languages(real_data):
    table = task_counts(open_run("pretrained", tasks=["xquad-r", "mlqa-r"]))
    assert table["task"].value_counts().to_dict() == {"xquad-r": 11, "mlqa-r": 7}
    assert (table[["translated", "answered", "answered_elsewhere"]].eq(table["questions"], axis=0)).all(axis=None)
    assert set(table[table["task"] == "xquad-r"]["questions"]) == {1190}
