"""Public training sets become parallel pairs, from folders laid out as on the hub, streamed and with ids that hold over languages."""

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hub_folders import CONTEXT, MAKERS, MARCO_TRIPLES, make_folders, parquet

from hybridir_utils.base.errors import InputError
from hybridir_utils.base.files import read_text
from hybridir_utils.data import pairs as pairs_module
from hybridir_utils.data import public_pairs
from hybridir_utils.data.pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, check_pairs
from hybridir_utils.data.public_pairs import TRAINING_SETS, answer_groups, hub_pairs, stretch_at
from hybridir_utils.data.register import HUB_PAIR_SETS

MARCO = ("en", "de", "ar")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return str(make_folders(tmp_path_factory.mktemp("sets")))


def rows(name, folders, languages=("en",), **options):
    return hub_pairs(name, languages, folders, **options).to_pandas()


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_every_set_gives_pairs(name, folders):
    pairs = check_pairs(hub_pairs(name, data_dir=folders, max_chars=40))
    assert pairs.column_names == PAIR_COLUMNS and set(pairs["language"]) == {"en"} and set(pairs["source"]) == {name}
    assert all(id_.startswith(f"{name}:") for column in ("id", "passage_id") for id_ in pairs[column])
    assert all(len(passage) <= 40 for passage in pairs["passage"])
    assert pairs.cache_files or name == "wikiqa"  # memory-mapped; WikiQA has 1,473 right sentences


def test_every_name_a_profile_may_give_is_in_the_catalogue():
    assert set(HUB_PAIR_SETS) | {"squadshifts"} == set(TRAINING_SETS)
    for name, entry in TRAINING_SETS.items():
        assert entry.licence and entry.checked, name
        assert bool(entry.hub) == bool(entry.revision), name


@pytest.mark.parametrize("name", sorted(set(TRAINING_SETS) - {"mmarco"}))
def test_a_set_without_an_expected_column_is_refused(name, tmp_path):
    (tmp_path / name).mkdir()
    MAKERS[name](tmp_path / name)
    column = TRAINING_SETS[name].columns["question"]
    for path in filter(Path.is_file, (tmp_path / name).rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            pq.write_table(table.rename_columns([f"{c}s" if c == column else c for c in table.column_names]), path)
        else:
            text = read_text(path).replace(f'"{column}"', f'"{column}s"').encode()
            path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    with pytest.raises(InputError, match=rf"{name}: no column '{column}' .did you mean '{column}s'.*Found: "):
        hub_pairs(name, data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("place", "line", "said"),
    [
        ("triples.train.ids.small.tsv", "10\t1\n", r"small.tsv: 2 columns in its first line; expected 3 of 'mmarco': query, positive"),
        ("triples.train.ids.small.tsv", "9\t10\t1\t4\n", r"small.tsv: 4 columns in its first line"),
        ("triples.train.ids.small.tsv", "ten\tone\tfour\n", r"mmarco, triples: column 'query' should hold whole numbers.*'ten'"),
        ("google/collections/english_collection.tsv", "1\n", r"english_collection.tsv: 1 columns.*expected 2 of 'mmarco': id, text"),
        ("google/collections/english_collection.tsv", "1\ta title\ta text\n", r"english_collection.tsv: 3 columns"),
        ("google/queries/train/english_queries.train.tsv", "q10\ta query\n", r"mmarco, queries: column 'id' should hold whole.*'q10'"),
    ],
)
def test_triples_and_texts_with_other_columns_are_refused(place, line, said, tmp_path):
    (tmp_path / "mmarco").mkdir()
    MAKERS["mmarco"](tmp_path / "mmarco")
    path = tmp_path / "mmarco" / "data" / place
    path.write_text(line * 3, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        hub_pairs("mmarco", data_dir=str(tmp_path))


def test_the_passage_is_where_the_answer_starts(folders):
    assert set(rows("squad", folders, max_chars=40)["passage"]) == {"Paris lies in France and has a tower."}
    assert set(rows("newsqa", folders, max_chars=40)["passage"]) == {"Rome lies in Italy. It is old."}
    found = rows("duorc", folders, max_chars=40).set_index("id")["passage"]
    paris = "Paris lies in France and has a tower."
    assert found.to_dict() == {"duorc:d0": "Rome lies in Italy. It is old.", "duorc:d1": paris, "duorc:d3": paris}
    assert set(rows("duorc", folders, max_chars=400)["passage"]) == {CONTEXT}


@pytest.mark.parametrize("max_chars", [5, 12, 30, 60, 500])
def test_stretches_of_a_text_never_overlap(max_chars):
    text = CONTEXT + " Donaudampfschifffahrtsgesellschaft. " + CONTEXT
    found = list(dict.fromkeys(stretch_at(text, start, max_chars) for start in range(len(text))))
    assert all(len(stretch) <= max_chars for stretch in found)
    assert sum(len(stretch.replace(" ", "")) for stretch in found if stretch) <= len(text.replace(" ", ""))
    if max_chars == 30:
        assert found[0] == "Rome lies in Italy. It is old." and stretch_at(text, text.index("Paris"), 30).startswith("Paris")


def test_equal_passages_share_a_passage_id(folders):
    for name in sorted(set(TRAINING_SETS) - {"wikiqa"}):
        frame = rows(name, folders, max_chars=40)
        by_text = frame.groupby("passage")["passage_id"].nunique()
        assert (by_text == 1).all(), name
        if name != "mmarco":
            assert frame["passage_id"].nunique() == frame["passage"].nunique(), name


def test_right_answers_of_one_question_are_never_each_others_negatives(folders):
    frame = rows("wikiqa", folders, negatives=True).set_index("id")
    assert frame["passage_id"].nunique() == 2 and len(frame) == 4  # Q1 twice and Q2, which shares a sentence with it, against Q4
    assert frame.loc["wikiqa:Q1-0", "passage_id"] == frame.loc["wikiqa:Q1-1", "passage_id"] == frame.loc["wikiqa:Q2-0", "passage_id"]
    assert frame.loc["wikiqa:Q2-0", "negative"] == ""  # its first wrong sentence is right for Q1
    assert frame.loc["wikiqa:Q1-0", "negative"] == "Sentence x." and frame.loc["wikiqa:Q4-0", "negative"] == ""


def test_answer_groups_follow_chains():
    import numpy as np

    groups = answer_groups(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3]))
    assert groups[0] == groups[1] == groups[2] and len(set(groups)) == 3


def test_triples_keep_their_ids_over_languages(folders):
    frame = rows("mmarco", folders, MARCO, negatives=True)
    by_id = frame.groupby("id")["passage_id"].nunique()
    assert (by_id == 1).all() and len(by_id) == len(MARCO_TRIPLES)
    languages = frame.groupby("id")["language"].agg(set)
    assert languages["mmarco:0"] == set(MARCO) and languages["mmarco:2"] == {"en", "de"}  # 2 has no Arabic passage
    row = frame.set_index(["id", "language"]).loc[("mmarco:1", "de")]
    assert (row["question"], row["passage"]) == ("german query 10", '"german" passage 1')
    assert row["negative"] == '"german" passage 5'


def test_ids_of_triples_do_not_depend_on_the_other_languages(folders):
    together, alone = rows("mmarco", folders, MARCO), rows("mmarco", folders, ("en",))
    english = together[together["language"] == "en"].reset_index(drop=True)
    assert english.equals(alone)


def test_equal_passages_and_right_ones_of_one_question_are_one_number(folders):
    passage = rows("mmarco", folders).set_index("id")["passage_id"]
    assert passage["mmarco:0"] == passage["mmarco:1"] == passage["mmarco:5"]  # passages 1 and 7 have one text
    assert passage["mmarco:3"] == passage["mmarco:4"] != passage["mmarco:0"]  # question 3 has two right passages


def test_questions_whose_passage_the_collection_lacks_share_none(folders, tmp_path):
    """An incomplete collection: each passage keeps a number of its own, so that batches of them can be filled."""
    folder = make_folders(tmp_path)
    lost = [(question, 900 + question, right) for question, right, _ in MARCO_TRIPLES]
    table = folder / "mmarco" / "data" / "triples.train.ids.small.tsv"
    table.write_text("".join("\t".join(map(str, triple)) + "\n" for triple in MARCO_TRIPLES + lost))
    before, after = (rows("mmarco", str(place)).groupby("passage_id")["id"].agg(list) for place in (folders, folder))
    assert sorted(before) == sorted(after)


def test_a_given_negative_is_never_a_right_passage(folders):
    for name in TRAINING_SETS:
        frame = rows(name, folders, MARCO if name == "mmarco" else ("en",), negatives=True)
        assert list(frame.columns) == [*PAIR_COLUMNS, *NEGATIVE_COLUMNS]
        assert ((frame["negative"] == "") == (frame["negative_id"] == "")).all(), name
        assert (frame["negative"] != frame["passage"]).all() and (frame["negative_id"] != frame["passage_id"]).all(), name
        passage_of = dict(zip(zip(frame["language"], frame["passage"], strict=True), frame["passage_id"], strict=True))
        for row in frame[frame["negative"] != ""].itertuples():  # a passage has one number, as an answer and as a negative
            assert passage_of.get((row.language, row.negative), row.negative_id) == row.negative_id, name
    negatives = {name: (rows(name, folders, negatives=True)["negative"] != "").sum() for name in TRAINING_SETS}
    assert {name for name, count in negatives.items() if count} == {"mmarco", "mr-tydi", "entityquestions", "wikiqa"}


@pytest.mark.parametrize("name", ["mmarco", "squad"])
def test_at_most_so_many_ids_drawn_by_the_seed(name, folders):
    languages = MARCO if name == "mmarco" else ("en",)
    drawn = [set(rows(name, folders, languages, max_pairs=3, seed=seed)["id"]) for seed in (0, 0, 1, 2, 3)]
    assert all(len(ids) == 3 for ids in drawn) and drawn[0] == drawn[1] and len(set(map(frozenset, drawn))) > 1
    every = rows(name, folders, languages)
    some = rows(name, folders, languages, max_pairs=3)
    kept = every[every["id"].isin(some["id"])].reset_index(drop=True)
    assert kept.drop(columns="passage_id").equals(some.drop(columns="passage_id"))


@pytest.mark.parametrize(
    ("count", "limits", "drawn"),
    [
        (39_800_000, {"share": 0.1}, 3_980_000),
        (39_800_000, {"share": 0.1, "most": 1_000_000}, 1_000_000),
        (1473, {"share": 0.1}, 1473),  # a small set stays whole
        (33_000, {"share": 0.1}, 10_000),
        (33_000, {"most": 5}, 5),
        (33_000, {}, 33_000),
    ],
)
def test_a_share_of_every_set_leaves_their_proportions(count, limits, drawn):
    assert pairs_module.drawn_size(count, **limits) == drawn


@pytest.mark.parametrize("name", ["mmarco", "squad"])
def test_a_share_of_the_ids_is_drawn(name, folders, monkeypatch):
    monkeypatch.setattr(pairs_module, "SMALL", 2)
    every = rows(name, folders)["id"].nunique()
    assert rows(name, folders, share=0.5)["id"].nunique() == round(every / 2) < every


def test_the_same_pairs_every_time(folders, tmp_path, monkeypatch):
    first = rows("mmarco", folders, MARCO, negatives=True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "another")
    assert rows("mmarco", folders, MARCO, negatives=True).equals(first)


def test_what_is_made_is_found_again_and_made_anew_when_asked_otherwise(folders, monkeypatch):
    first = rows("natural-questions", folders, max_chars=400)
    calls = []
    find = public_pairs.LAYOUTS["answers"]
    monkeypatch.setitem(public_pairs.LAYOUTS, "answers", lambda *given: calls.append(1) or find(*given))
    assert rows("natural-questions", folders, max_chars=400).equals(first) and not calls
    assert not rows("natural-questions", folders, max_chars=20).equals(first) and calls


def test_rows_reach_the_converter_a_thousand_at_a_time(tmp_path, monkeypatch):
    """No step holds all rows: one that did would see them at once."""
    seen, table = [], public_pairs.pair_table

    def counted(pairs, features):
        found = table(pairs, features)
        seen.append(len(found["id"]))
        return found

    monkeypatch.setattr(public_pairs, "pair_table", counted)
    parquet(tmp_path / "natural-questions" / "pair" / "train-0.parquet", [{"query": f"q{i}", "answer": f"a{i}"} for i in range(3500)])
    assert len(hub_pairs("natural-questions", data_dir=str(tmp_path))) == 3500
    assert seen == [1000, 1000, 1000, 500]


WATCH = """
import sys, threading, time
sys.path.insert(0, sys.argv[3])
import datasets, pandas
datasets.disable_progress_bars()
datasets.config.HF_DATASETS_CACHE = sys.argv[2]
from hybridir_utils.data import public_pairs
from hybridir_utils.data.public_pairs import hub_pairs
public_pairs.BATCH = 2_000

def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024

most, done = 0, False
def watch():
    global most
    while not done:
        most = max(most, held())
        time.sleep(0.005)

hub_pairs("squad", data_dir=sys.argv[1])  # imports and pools are paid for
before = held()
thread = threading.Thread(target=watch)
thread.start()
pairs = [hub_pairs(name, data_dir=sys.argv[1], max_chars=4000, negatives=True) for name in ("natural-questions", "mmarco")]
done = True
thread.join()
print(most - before, sum(pair.data.nbytes for pair in pairs) / 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no memory of a process")
def test_memory_does_not_grow_with_the_set(tmp_path):
    """Five times the pairs: 149 MB more are written, and a list of them would hold as much; measured are 10 to 40 more."""
    held, written = zip(*(converted(tmp_path / str(pairs), pairs) for pairs in (10_000, 50_000)), strict=True)
    assert written[1] - written[0] > 140 and held[1] - held[0] < 75, (held, written)


def converted(base, pairs):
    """(MB held on the way, MB written) by a process that converts two sets of so many pairs, whose passages have 1.5 kB."""
    text = "word " * 300
    answers = [{"query": f"who made {i}", "answer": f"{i} {text}"} for i in range(pairs // 2)]
    parquet(base / "natural-questions" / "pair" / "train-0.parquet", answers)
    for place, lines in {
        "triples.train.ids.small.tsv": (f"{i % 500}\t{i % 2000}\t{(i * 7 + 1) % 2000}" for i in range(pairs)),
        "google/queries/train/english_queries.train.tsv": (f"{i}\tquery {i}" for i in range(500)),
        "google/collections/english_collection.tsv": (f"{i}\t{i} {text}" for i in range(2000)),
    }.items():
        path = base / "mmarco" / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    MAKERS["squad"](base / "squad")
    given = [sys.executable, "-c", WATCH, str(base), str(base / "arrow"), str(Path(__file__).parents[1])]
    return [float(number) for number in subprocess.run(given, capture_output=True, text=True, check=True).stdout.split()[-2:]]


def test_squadshifts_for_the_validation(folders):
    pairs = hub_pairs("squadshifts", data_dir=folders, max_chars=40)
    assert len(pairs) == 12 and set(pairs["language"]) == {"en"}
    assert {id_.split(":")[1] for id_ in pairs["id"]} == {"new_wiki", "nyt", "reddit", "amazon"}


def test_a_set_that_the_hub_lacks_says_where_to_put_it(tmp_path):
    with pytest.raises(InputError, match=r"entityquestions: no such folder; data.README.md says how 'entityquestions' gets there"):
        hub_pairs("entityquestions", data_dir=str(tmp_path))


def test_sets_out_of_reach_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InputError, match=r"rajpurkar/squad@\w+: no folder here; the hub cannot be reached"):
        hub_pairs("squad", data_dir=str(tmp_path))


def test_a_set_without_a_single_answer_is_refused(tmp_path):
    parquet(tmp_path / "natural-questions" / "pair" / "train-0.parquet", [{"query": " ", "answer": "a"}, {"query": "q", "answer": ""}])
    with pytest.raises(InputError, match="natural-questions: no row has a question and a passage"):
        hub_pairs("natural-questions", data_dir=str(tmp_path))


def test_a_run_records_licence_revision_and_origin(folders, tmp_path):
    local = TRAINING_SETS["mmarco"].record(folders)
    assert (
        local["folder"] == "mmarco" and local["licence"].startswith("Apache-2.0") and local["revision"] == TRAINING_SETS["mmarco"].revision
    )
    hub = TRAINING_SETS["squad"].record(str(tmp_path))
    assert (hub["hub"], hub["commit"]) == ("rajpurkar/squad", TRAINING_SETS["squad"].revision)


def test_texts_are_found_by_id_across_chunks(folders):
    import numpy as np
    from datasets import Dataset, concatenate_datasets

    table = concatenate_datasets(
        [Dataset.from_dict({"id": [9, 3], "text": ["nine", "three"]}), Dataset.from_dict({"id": [5], "text": ["five"]})]
    )
    texts = public_pairs.Texts(table)
    assert texts.take(np.array([5, 4, 3, 9, 5, 99])).tolist() == ["five", None, "three", "nine", "five", None]
