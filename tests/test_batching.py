"""Batch plans: what may meet in a batch, how often, in which order; and what is said when no plan can be drawn."""

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.data import batching, parallel_index
from hybridir_utils.data.batching import KINDS, SCHEDULES, STRATEGIES, BatchPlan, language_shares, mono_shares, plan_batches
from hybridir_utils.data.pairs import join_pairs, pairs_from_rows
from hybridir_utils.data.parallel_index import ParallelIndex


def parallel(n, languages="de en th", source="s", per_passage=1, lacks=lambda number, language: False):
    """n ids in every language, except where `lacks` says so; `per_passage` questions share a passage."""
    return pairs_from_rows(
        (f"{source}{i}", f"{source}p{i // per_passage}", language, "q", "p", source)
        for i in range(n)
        for language in languages.split()
        if not lacks(i, language)
    )


@pytest.fixture(scope="module")
def complete():
    return parallel(40)


@pytest.fixture(scope="module")
def patchy():
    """Two data sets, two questions a passage, Thai missing for every third id; a third data set in English only."""
    big = parallel(90, source="big", per_passage=2, lacks=lambda i, language: language == "th" and i % 3 == 0)
    return join_pairs([big, parallel(60, "de en tr", source="small"), parallel(50, "en", source="only")])


def columns(pairs, plan):
    """[steps, batch] ids of both sides, passages, languages of both sides and sources of a plan."""
    frame = pairs.to_pandas()
    take = {f"{side}_{c}": frame[c].to_numpy()[rows] for side, rows in (("q", plan.question_rows), ("p", plan.passage_rows)) for c in frame}
    return take["q_id"], take["p_id"], take["p_passage_id"], take["q_language"], take["p_language"], take["q_source"]


def assert_legal(pairs, plan):
    ids, passage_ids, passages, asked, answered, sources = columns(pairs, plan)
    assert (ids == passage_ids).all()
    for step, kind in enumerate(plan.kinds):
        assert len(set(ids[step])) == len(set(passages[step])) == plan.batch_size
        assert len(set(sources[step])) == 1
        together = asked[step] == answered[step]
        assert not together.any() if KINDS[kind] == "cross" else together.all()
        if KINDS[kind] in ("mono", "en"):
            assert len(set(asked[step])) == 1
        if KINDS[kind] == "en":
            assert asked[step][0] == "en"


def equal(one, other):
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("kinds", "question_rows", "passage_rows"))


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("alpha", "strategy"), [(1, "X-X-mono"), (0, "X-Y")])
def test_ends_of_alpha_are_the_pure_strategies(patchy, seed, alpha, strategy):
    asked = {"steps": 60, "batch_size": 16, "seed": seed}
    pure = plan_batches(patchy, strategy, **asked)
    assert equal(plan_batches(patchy, "hybrid", alpha=alpha, **asked), pure)
    assert equal(plan_batches(patchy, strategy, alpha=0.3, **asked), pure)
    assert not equal(plan_batches(patchy, "hybrid", alpha=0.5, **asked), pure)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batches_hold_what_their_kind_says_and_nothing_twice(patchy, strategy):
    plan = plan_batches(patchy, strategy, steps=80, batch_size=20, seed=1)
    assert plan.question_rows.shape == plan.passage_rows.shape == (80, 20)
    assert_legal(patchy, plan)
    kinds = {"En-En": {"en"}, "X-X": {"mixed"}, "X-X-mono": {"mono"}, "X-Y": {"cross"}, "hybrid": {"mono", "cross"}}
    assert {KINDS[kind] for kind in plan.kinds} == kinds["hybrid" if strategy in SCHEDULES else strategy]


@pytest.mark.parametrize("strategy", ["X-X", "X-Y"])
def test_languages_vary_inside_the_batch(complete, strategy):
    asked = columns(complete, plan_batches(complete, strategy, steps=20, batch_size=30, seed=0))[3]
    assert all(set(batch) == {"de", "en", "th"} for batch in asked)


def test_a_batch_as_large_as_all_passages_works():
    pairs = parallel(30, per_passage=3)
    for strategy in STRATEGIES:
        assert_legal(pairs, plan_batches(pairs, strategy, steps=6, batch_size=10, seed=0))


def test_languages_come_as_often_as_planned(complete):
    """Languages of mono batches and ordered pairs of languages of cross slots are uniform; kinds follow alpha."""
    plan = plan_batches(complete, "hybrid", alpha=0.3, steps=3000, batch_size=4, seed=3)
    asked, answered = columns(complete, plan)[3:5]
    mono = plan.kinds == KINDS.index("mono")
    assert binomtest(int(mono.sum()), plan.steps, 0.3).pvalue > 1e-3
    assert chisquare(pd.Series(asked[mono][:, 0]).value_counts()).pvalue > 1e-3
    ordered = pd.Series(asked[~mono].ravel() + answered[~mono].ravel()).value_counts()
    assert len(ordered) == 6 and chisquare(ordered).pvalue > 1e-3


def test_planned_shares_by_hand():
    """id 0 is in de and en, id 1 in de, en and th, id 2 in en only: three ids, two of them in cross batches."""
    there = ("de en", "de en th", "en")
    pairs = pairs_from_rows((f"{i}", f"{i}", language, "q", "p", "s") for i, codes in enumerate(there) for language in codes.split())
    expected = {
        "hybrid": {"de de": 1 / 12, "en en": 1 / 12, "th th": 1 / 12, "de en": 1 / 4, "de th": 1 / 16, "en th": 1 / 16},
        "X-X": {"de de": 5 / 18, "en en": 11 / 18, "th th": 1 / 9},
        "En-En": {"en en": 1},
    }
    for strategy, known in expected.items():
        plan = plan_batches(pairs, strategy, alpha=0.25, steps=3, batch_size=1, seed=0)
        assert_shares(language_shares(plan, pairs), known)


def assert_shares(shares, known):
    """known: 'de en' -> share, symmetric; what is not named is 0."""
    found = {(row.question_language, row.passage_language): row.planned for row in shares.itertuples()}
    wanted = {pair: known.get(" ".join(sorted(pair)), 0) for pair in found}
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_realised_shares_match_the_planned_ones(patchy, strategy):
    plan = plan_batches(patchy, strategy, alpha=0.4, steps=2500, batch_size=8, seed=5)
    shares = language_shares(plan, patchy)
    assert shares["planned"].sum() == pytest.approx(1) and shares["realised"].sum() == pytest.approx(1)
    deviation = np.sqrt(shares["planned"] * (1 - shares["planned"]) / plan.steps)  # as if a batch were one draw: never too small
    assert ((shares["realised"] - shares["planned"]).abs() <= 4 * deviation + 1e-12).all()
    assert set(shares["strategy"]) == {strategy} and list(shares.columns[:4]) == [
        "question_language",
        "passage_language",
        "planned",
        "realised",
    ]


def test_data_sets_come_in_proportion_to_their_pairs_a_language(patchy):
    """90, 60 and 50 ids; the data set in one language sits out cross batches."""
    plan = plan_batches(patchy, "hybrid", steps=4000, batch_size=2, seed=2)
    source = columns(patchy, plan)[5][:, 0]
    mono = pd.Series(source[plan.kinds == KINDS.index("mono")]).value_counts()
    cross = pd.Series(source[plan.kinds == KINDS.index("cross")]).value_counts()
    assert set(mono.index) == {"big", "small", "only"} and set(cross.index) == {"big", "small"}
    assert chisquare(mono[["big", "small", "only"]], np.array([90, 60, 50]) / 200 * mono.sum()).pvalue > 1e-3
    assert chisquare(cross[["big", "small"]], np.array([90, 60]) / 150 * cross.sum()).pvalue > 1e-3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_id_is_used_before_one_comes_again(strategy):
    """Ten ids in batches of four: every ten slots in a row hold all ids, also where they cross from batch to batch."""
    pairs = parallel(10, languages="de en" if strategy in ("X-X", "X-Y") else "en")
    alpha = 1.0 if strategy in ("hybrid", *SCHEDULES) else 0.5
    ids = columns(pairs, plan_batches(pairs, strategy, alpha=alpha, steps=20, batch_size=4, seed=4))[0].ravel()
    passes = [tuple(ids[start : start + 10]) for start in range(0, 80, 10)]
    assert all(set(one) == set(pairs["id"]) for one in passes) and len(set(passes)) == 8


def test_questions_that_share_a_passage_are_used_alike():
    pairs = parallel(60, "en", per_passage=5)
    ids = columns(pairs, plan_batches(pairs, "X-X-mono", steps=100, batch_size=6, seed=0))[0].ravel()
    used = pd.Series(ids).value_counts()
    assert len(used) == 60 and used.max() - used.min() <= 2


@pytest.mark.parametrize("seed", range(4))
def test_a_passage_with_many_questions_has_them_take_turns(seed):
    """Four questions of passage A, one each of B and C: every batch of three holds one of A, each in its turn."""
    pairs = pairs_from_rows((f"{p}{n}", p, "en", "q", "p", "s") for p, count in (("A", 4), ("B", 1), ("C", 1)) for n in range(count))
    ids = columns(pairs, plan_batches(pairs, "X-X-mono", steps=40, batch_size=3, seed=seed))[0].ravel()
    turns = [id_ for id_ in ids if id_.startswith("A")]
    assert len(turns) == 40 and all(len(set(turns[start : start + 4])) == 4 for start in range(0, 40, 4))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_is_a_plan(patchy, strategy):
    first, again, other = (plan_batches(patchy, strategy, steps=30, batch_size=8, seed=seed) for seed in (1, 1, 2))
    assert equal(first, again) and not np.array_equal(first.question_rows, other.question_rows)
    assert equal(plan_batches(ParallelIndex(patchy), strategy, steps=30, batch_size=8, seed=1), first)


DRAWN = {
    "En-En": "cd1f29a659b5899a", "X-X": "e7fb59f179047952", "X-X-mono": "5ad75e0d6613ba6b", "X-Y": "48d09f30c57403ec",
    "hybrid": "9457b7b13f13862c", "mono-first": "2a28f55d01972e3c", "cross-first": "b219a4ef075847ff", "annealed": "f24e3d663f039c5b",
}  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("block", [None, 7])
def test_a_seed_draws_the_plan_it_always_drew(patchy, strategy, block, monkeypatch):
    """Results that lie in the repository come from these plans; blocks that bound the memory do not change them."""
    if block:
        monkeypatch.setattr(batching, "PILE", block)
        monkeypatch.setattr(parallel_index, "BLOCK", block)
    plan = plan_batches(patchy, strategy, steps=80, batch_size=20, seed=1)
    parts = (np.ascontiguousarray(part, dtype="<i4").tobytes() for part in (plan.kinds, plan.question_rows, plan.passage_rows))
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == DRAWN[strategy]


@pytest.mark.parametrize("world", [1, 2, 5])
def test_ranks_share_every_batch(patchy, world):
    """Same kind on every rank of a step, no id on two, and side by side the whole batch."""
    plan = plan_batches(patchy, "hybrid", steps=30, batch_size=20, seed=3)
    shards = [plan.shard(rank, world) for rank in range(world)]
    assert all(shard.batch_size == 20 // world and np.array_equal(shard.kinds, plan.kinds) for shard in shards)
    for part in ("question_rows", "passage_rows"):
        assert np.array_equal(np.concatenate([getattr(shard, part) for shard in shards], axis=1), getattr(plan, part))
    ids = [columns(patchy, shard)[0] for shard in shards]
    assert all(len(set().union(*(rows[step] for rows in ids))) == 20 for step in range(30))


def test_batches_that_ranks_cannot_share_are_told(complete):
    plan = plan_batches(complete, "X-X", steps=2, batch_size=10, seed=0)
    with pytest.raises(InputError, match=r"batches of 10 cannot be shared by 4 processes .* batch_size to a multiple of 4"):
        plan.shard(0, 4)
    for rank in (-1, 2):
        with pytest.raises(InputError, match=rf"rank {rank}: expected a number from 0 to 1"):
            plan.shard(rank, 2)


@pytest.mark.parametrize("slots", [1, 12, 1_000_000])
def test_a_plan_is_saved_in_row_groups_of_whole_steps(complete, tmp_path, slots, monkeypatch):
    monkeypatch.setattr(batching, "SAVED_SLOTS", slots)
    plan = plan_batches(complete, "hybrid", steps=9, batch_size=5, seed=11)
    plan.save(tmp_path / "plan.parquet")
    file = pa.parquet.ParquetFile(tmp_path / "plan.parquet")
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert rows == {1: [5] * 9, 12: [10] * 4 + [5], 1_000_000: [45]}[slots]
    assert file.read().equals(plan.table())
    assert equal(BatchPlan.load(tmp_path / "plan.parquet"), plan)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_saved_plan_comes_back(complete, tmp_path, strategy):
    plan = plan_batches(complete, strategy, alpha=0.3, steps=9, batch_size=5, seed=11)
    plan.save(tmp_path / "plan.parquet")
    loaded = BatchPlan.load(tmp_path / "plan.parquet")
    assert equal(loaded, plan) and loaded.kinds.dtype == plan.kinds.dtype
    assert (loaded.strategy, loaded.seed, loaded.steps, loaded.batch_size) == (strategy, 11, 9, 5)
    assert loaded.alpha == plan.alpha or (np.isnan(loaded.alpha) and np.isnan(plan.alpha))


def test_table_has_a_row_for_every_slot(complete):
    plan = plan_batches(complete, "hybrid", steps=6, batch_size=3, seed=0, alpha=0.25)
    table = plan.table()
    assert table.schema.names == ["step", "slot", "kind", "question_row", "passage_row"]
    assert [pa.types.is_integer(table.schema.field(name).type) for name in ("step", "slot", "question_row", "passage_row")] == [True] * 4
    assert table.schema.field("kind").type.value_type == pa.string()
    assert table.schema.metadata == {b"strategy": b"hybrid", b"alpha": b"0.25", b"seed": b"0"}
    frame = table.to_pandas()
    assert list(frame["step"]) == [s for s in range(6) for _ in range(3)] and list(frame["slot"]) == [0, 1, 2] * 6
    assert list(frame["kind"]) == [KINDS[plan.kinds[s]] for s in range(6) for _ in range(3)]
    assert list(frame["question_row"]) == plan.question_rows.ravel().tolist()


def test_unknown_strategy_and_alpha_are_told(complete):
    with pytest.raises(UnknownName, match=r"unknown strategy 'hybird' .did you mean 'hybrid'"):
        plan_batches(complete, "hybird", steps=1, batch_size=2, seed=0)
    for alpha in (-0.1, 1.01, float("nan")):
        with pytest.raises(InputError, match=r"alpha is .*between 0 and 1"):
            plan_batches(complete, "hybrid", alpha=alpha, steps=1, batch_size=2, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_too_small_a_language_is_told_for_every_seed(seed):
    """tr has 3 of 40 pairs of `few`; whether its turn comes in two batches must not decide."""
    few = parallel(40, "de en th tr", source="few", lacks=lambda i, language: language == "tr" and i >= 3)
    pairs = join_pairs([parallel(40), few])
    with pytest.raises(InputError, match=r"language tr of data set 'few': 3 pairs .* batch_size is 8.* at most 3"):
        plan_batches(pairs, "hybrid", steps=2, batch_size=8, seed=seed)
    assert_legal(pairs, plan_batches(pairs, "hybrid", steps=20, batch_size=3, seed=seed))
    assert_legal(pairs, plan_batches(pairs, "X-Y", steps=20, batch_size=8, seed=seed))  # languages vary: tr need not fill a batch


def test_language_with_one_pair_is_told():
    with pytest.raises(
        InputError, match=r"language th of data set 's': 1 pairs with 1 different passages.* at most 1, or leave that language"
    ):
        plan_batches(parallel(9, lacks=lambda i, language: language == "th" and i > 0), "X-X-mono", steps=1, batch_size=2, seed=0)


def test_passages_not_questions_limit_the_batch():
    with pytest.raises(InputError, match=r"12 pairs with 4 different passages, but batch_size is 5"):
        plan_batches(parallel(12, per_passage=3), "X-Y", steps=1, batch_size=5, seed=0)


def test_pairs_that_cannot_serve_are_told(complete):
    with pytest.raises(InputError, match="no pairs to plan batches from"):
        plan_batches(complete.select([]), "X-X", steps=1, batch_size=2, seed=0)
    with pytest.raises(InputError, match=r"en batches need English pairs.*Languages there: de, th"):
        plan_batches(parallel(5, "de th"), "En-En", steps=1, batch_size=2, seed=0)
    for strategy in ("X-Y", "hybrid"):
        with pytest.raises(InputError, match=r"at least two languages; found none.*de"):
            plan_batches(parallel(5, "de"), strategy, steps=1, batch_size=2, seed=0)


def test_translations_that_name_different_passages_are_told():
    rows = [("a", "p", "en", "q", "p", "s"), ("a", "other", "de", "q", "p", "s"), ("b", "other", "de", "q", "p", "s")]
    with pytest.raises(InputError, match=r"pair 'a' has passage_id 'other' in language de, but 'p' in en"):
        ParallelIndex(pairs_from_rows(rows))


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(
        st.tuples(st.sets(st.sampled_from(["de", "en", "th"]), min_size=1), st.integers(0, 5), st.booleans()), min_size=1, max_size=16
    ),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    alpha=st.floats(0, 1),
    batch_size=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_any_parallel_data_give_a_legal_plan_or_a_reason(ids, strategy, alpha, batch_size, seed):
    pairs = pairs_from_rows(
        (f"i{n}", f"p{passage}", language, "q", "p", "one" if one else "two")
        for n, (languages, passage, one) in enumerate(ids)
        for language in sorted(languages)
    )
    asked = {"alpha": alpha, "steps": 7, "seed": seed}
    try:
        plan = plan_batches(pairs, strategy, batch_size=batch_size, **asked)
    except InputError as error:
        if "found none" in str(error):
            return
        largest = int(str(error).split("at most ")[1].split(",")[0])
        assert largest < batch_size
        plan = plan_batches(pairs, strategy, batch_size=largest, **asked)  # the size the message offers does work
    assert_legal(pairs, plan)
    assert language_shares(plan, pairs)["planned"].sum() == pytest.approx(1)


SHARES = [0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("alpha", SHARES)
def test_a_schedule_has_alphas_share_of_mono_batches_in_its_order(schedule, alpha):
    shares = mono_shares(schedule, alpha, 40)
    assert shares.shape == (40,) and ((shares >= 0) & (shares <= 1)).all() and shares.mean() == pytest.approx(alpha)
    falling = np.diff(shares) <= 1e-12
    assert falling.all() if schedule != "cross-first" else (np.diff(shares) >= 0).all()
    if schedule != "annealed":
        assert set(shares) <= {0.0, 1.0}


@pytest.mark.parametrize(("alpha", "first", "last"), [(0.5, 1, 0), (0.25, 0.5, 0), (0.75, 1, 0.5), (1, 1, 1), (0, 0, 0)])
def test_an_annealed_share_falls_as_steeply_as_alpha_allows(alpha, first, last):
    shares = mono_shares("annealed", alpha, 1000)
    assert (shares[0], shares[-1]) == pytest.approx((first, last), abs=0.002)
    assert np.diff(shares) == pytest.approx((last - first) / 1000, abs=1e-9), "a straight line"
    assert [mono_shares("annealed", alpha, steps).mean() for steps in (1, 2, 7)] == pytest.approx([alpha] * 3)


def test_shares_that_are_no_whole_number_of_steps_are_rounded():
    counts = {(schedule, alpha): mono_shares(schedule, alpha, 10).sum() for schedule in SCHEDULES[:2] for alpha in (0.26, 0.74)}
    assert counts == {("mono-first", 0.26): 3, ("mono-first", 0.74): 7, ("cross-first", 0.26): 3, ("cross-first", 0.74): 7}


@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_plans_keep_the_order_of_their_schedule(patchy, alpha):
    """60 steps of 8: the mono batches all stand first, or last, or thin out."""
    mono = {s: plan_batches(patchy, s, alpha=alpha, steps=60, batch_size=8, seed=1).kinds == KINDS.index("mono") for s in SCHEDULES}
    count = round(alpha * 60)
    assert mono["mono-first"][:count].all() and not mono["mono-first"][count:].any()
    assert mono["cross-first"][-count:].all() and not mono["cross-first"][:-count].any()
    long = plan_batches(patchy, "annealed", alpha=alpha, steps=4000, batch_size=2, seed=1).kinds == KINDS.index("mono")
    quarters = [part.mean() for part in np.array_split(long, 4)]
    expected = [part.mean() for part in np.array_split(mono_shares("annealed", alpha, 4000), 4)]
    assert quarters == pytest.approx(expected, abs=0.06) and binomtest(int(long.sum()), 4000, alpha).pvalue > 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_of_one_kind_is_that_kind(patchy, schedule):
    """alpha 1 and 0 leave nothing to order; what a pure strategy cannot use is not asked for either."""
    kinds = {alpha: set(plan_batches(patchy, schedule, alpha=alpha, steps=30, batch_size=8, seed=2).kinds) for alpha in (0, 1)}
    assert kinds == {0: {KINDS.index("cross")}, 1: {KINDS.index("mono")}}
    german = parallel(20, "de")
    assert_legal(german, plan_batches(german, schedule, alpha=1, steps=5, batch_size=4, seed=0))
    with pytest.raises(InputError, match="at least two languages"):
        plan_batches(german, schedule, alpha=0, steps=5, batch_size=4, seed=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_kinds_of_a_schedule_draw_languages_and_data_sets_as_hybrid_does(patchy, schedule):
    plan = plan_batches(patchy, schedule, alpha=0.5, steps=4000, batch_size=2, seed=2)
    source = columns(patchy, plan)[5][:, 0]
    for kind, sizes in {"mono": {"big": 90, "small": 60, "only": 50}, "cross": {"big": 90, "small": 60}}.items():
        found = pd.Series(source[plan.kinds == KINDS.index(kind)]).value_counts()
        assert set(found.index) == set(sizes)
        assert chisquare(found[list(sizes)], np.array(list(sizes.values())) / sum(sizes.values()) * found.sum()).pvalue > 1e-3


def test_schedules_differ_in_order_and_say_their_alpha(complete):
    plans = {s: plan_batches(complete, s, alpha=0.5, steps=40, batch_size=4, seed=3) for s in ("hybrid", *SCHEDULES)}
    assert {s: plan.table().schema.metadata[b"alpha"] for s, plan in plans.items()} == dict.fromkeys(plans, b"0.5")
    assert len({plan.kinds.tobytes() for plan in plans.values()}) == 4
