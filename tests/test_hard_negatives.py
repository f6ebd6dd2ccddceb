"""A hard negative is a passage of the row's language that answers neither the question nor a translation of it."""

import numpy as np
import pytest
from datasets import Dataset

from hybridir_utils.base.errors import InputError
from hybridir_utils.data import hard_negatives
from hybridir_utils.data.hard_negatives import add_hard_negatives
from hybridir_utils.data.pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, join_pairs, pairs_from_rows

TOPICS = ("river", "mountain", "city", "lake")
N = 60


def row(i, language, question=None, passage=None):
    topic = TOPICS[i % 4]
    return (
        f"i{i}",
        f"p{i}",
        language,
        question or f"{language} where is the {topic} number{i} name{i}",
        passage or f"{language} the {topic} number{i} name{i} lies here",
        "s",
    )


@pytest.fixture
def pairs():
    """60 ids in English and German, without the German of every third; 1 and 5 ask the same, 2 and 6 have one text."""
    rows = []
    for i in range(N):
        for language in ("en", "de"):
            if language == "de" and i % 3 == 0:
                continue
            question = row(1, language)[3] if i == 5 else None
            passage = row(2, language)[4] if i == 6 else None
            rows.append(row(i, language, question, passage))
    return pairs_from_rows(rows)


def encode(texts, role):
    """Bags of words of unit length, by a hash that holds over calls."""
    vectors = np.zeros((len(texts), 512), dtype=np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in text.split():
            vector[sum(ord(c) * 31**k for k, c in enumerate(word)) % 512] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def mined(pairs, method, **options):
    return add_hard_negatives(pairs, method, encode=encode, **options).to_pandas()


@pytest.mark.parametrize("method", ["bm25", "dense"])
def test_a_mined_negative_is_no_answer_in_any_language(method, pairs):
    frame = mined(pairs, method, margin=0.0)
    assert list(frame.columns) == [*PAIR_COLUMNS, *NEGATIVE_COLUMNS]
    assert frame[PAIR_COLUMNS].equals(pairs.to_pandas())
    found = frame[frame["negative"] != ""]
    assert len(found) > 0.9 * N
    assert (found["negative_id"] != found["passage_id"]).all() and (found["negative"] != found["passage"]).all()
    text_of = frame.set_index(["passage_id", "language"])["passage"].to_dict()
    for one in found.itertuples():
        assert one.negative == text_of[one.negative_id, one.language]
    by_id = found.groupby("id")["negative_id"]
    assert (by_id.nunique() == 1).all()  # the same passage in every language


@pytest.mark.parametrize("method", ["bm25", "dense"])
@pytest.mark.parametrize("seed", range(4))
def test_answers_of_the_same_question_and_equal_texts_are_masked(method, seed, pairs):
    negative = mined(pairs, method, margin=0.0, seed=seed).drop_duplicates("id").set_index("id")["negative_id"]
    assert negative["i1"] not in ("p1", "p5") and negative["i5"] not in ("p1", "p5")
    assert negative["i2"] not in ("p2", "p6") and negative["i6"] not in ("p2", "p6")


def test_without_the_masks_they_would_be_drawn(pairs, monkeypatch):
    """The masked passages are the hardest there are, so that the tests above can fail."""
    monkeypatch.setattr(hard_negatives, "_answers", lambda question, own, text: lambda row: own[[row]])
    monkeypatch.setattr(hard_negatives, "DEPTH", 1)
    negative = mined(pairs, "bm25", margin=0.0).drop_duplicates("id").set_index("id")["negative_id"]
    assert negative["i5"] == "p1" or negative["i1"] == "p5" or negative["i2"] == "p6"


def test_negatives_are_hard_ones(pairs):
    frame = mined(pairs, "bm25").drop_duplicates("id")
    frame = frame[frame["negative"] != ""]
    topic = [next(t for t in TOPICS if t in text) for text in frame["question"]]
    same = np.mean([t in negative for t, negative in zip(topic, frame["negative"], strict=True)])
    assert same > 0.9  # by chance .25


def test_a_negative_lies_a_margin_below_the_positive():
    rows = [(f"i{k}", f"p{k}", "en", "a b c d", text, "s") for k, text in enumerate(("a b c d", "a b c x", "a b y z", "a u v w"))]
    rows = [(*row[:3], "a b c d" if row[0] == "i0" else row[4], *row[4:]) for row in rows]
    pairs = pairs_from_rows(rows)
    scores = encode(["a b c d"], "query") @ encode([row[4] for row in rows], "document").T
    assert scores.round(2).tolist() == [[1, 0.75, 0.5, 0.25]]
    for margin, possible in ((0.0, {"p1", "p2", "p3"}), (0.3, {"p2", "p3"}), (0.6, {"p3"}), (0.8, {""})):
        drawn = {mined(pairs, "dense", margin=margin, seed=seed)["negative_id"][0] for seed in range(20)}
        assert drawn == possible


def test_the_seed_draws(pairs):
    drawn = [tuple(mined(pairs, "bm25", seed=seed)["negative_id"]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_blocks_hold_whole_passages_and_bound_what_is_scored(pairs, monkeypatch):
    sizes, score = [], hard_negatives.bm25
    monkeypatch.setattr(hard_negatives, "BLOCK", 25)
    monkeypatch.setattr(hard_negatives, "QUERIES", 7)

    def counted(questions, passages):
        sizes.append((len(questions), len(passages)))
        return score(questions, passages)

    monkeypatch.setattr(hard_negatives, "bm25", counted)
    found = mined(pairs, "bm25")
    assert sizes == [(25, 25), (25, 25), (10, 10)]
    assert (found["negative"] != "").mean() > 0.5 and (found["negative_id"] != found["passage_id"]).all()


def test_sets_are_mined_apart_each_in_a_language_it_has(pairs):
    other = pairs_from_rows((f"j{i}", f"o{i}", "fr", f"où est la ville {i}", f"la ville {i} est ici", "t") for i in range(20))
    frame = mined(join_pairs([pairs, other]), "bm25")
    french = frame[frame["language"] == "fr"]
    assert (french["negative"] != "").all() and french["negative_id"].str.startswith("o").all()
    assert not frame[frame["language"] != "fr"]["negative_id"].str.startswith("o").any()


def test_a_row_without_a_translated_negative_has_none(pairs):
    frame = mined(pairs, "bm25").set_index(["id", "language"])
    german = frame.xs("de", level="language")
    lacking = german[german["negative"] == ""]
    assert len(lacking)  # every third passage has no German
    for id_ in lacking.index:
        named = frame.loc[(id_, "en"), "negative_id"]
        assert named == "" or int(named[1:]) % 3 == 0


def with_given(rows):
    pairs = pairs_from_rows(row[:6] for row in rows)
    for place, column in enumerate(NEGATIVE_COLUMNS):
        pairs = pairs.add_column(column, [row[6 + place] for row in rows])
    return pairs


def test_given_negatives_stay_and_pass_to_the_other_languages():
    rows = [
        (*row(0, "en"), "a wrong one", "x1"),  # of no pair: no German text is known
        (*row(0, "de"), "", ""),
        (*row(1, "en"), row(2, "en")[4], "p2"),
        (*row(1, "de"), "", ""),
        (*row(2, "en"), "", ""),
        (*row(2, "de"), "", ""),
        (*row(3, "en"), "translated by machine", "x1"),
        (*row(4, "en"), row(4, "en")[4], "x9"),  # the positive's own text
        (*row(5, "en"), "another text", "p5"),  # the positive's own passage
    ]
    frame = add_hard_negatives(with_given(rows), "given").to_pandas()
    assert frame["negative"].tolist() == [
        "a wrong one", "", row(2, "en")[4], row(2, "de")[4], "", "", "translated by machine", "", "",
    ]  # fmt: skip
    assert frame["negative_id"].tolist() == ["x1", "", "p2", "p2", "", "", "x1", "", ""]


def test_what_given_needs(pairs):
    with pytest.raises(InputError, match=r"no pair set brings negatives\. Take bm25 or dense"):
        add_hard_negatives(pairs, "given")


def test_a_memory_mapped_set_stays_one(pairs, tmp_path):
    pairs.to_parquet(str(tmp_path / "pairs.parquet"))
    mapped = Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path / "cache"))
    found = add_hard_negatives(mapped.select(range(40)), "bm25")
    assert found.cache_files and found.to_pandas().equals(add_hard_negatives(pairs.select(range(40)), "bm25").to_pandas())
