"""Names in a profile become pair sets and tasks; what is held out for validation shares no answer passage with training."""

import gzip
import json

import pytest

from hybridir_utils.corpora import data_fingerprint, hold_out, retrieval_task, source_pairs
from hybridir_utils.errors import HybridIRError, InputError, UnknownName
from hybridir_utils.languages import XQUAD_R_LANGUAGES
from hybridir_utils.pairs import pairs_from_rows, section_languages
from hybridir_utils.profiles import PAIR_SETS, TASKS, make_profile

ENGLISH = "Paris lies in France. Rome lies in Italy."


def profile(**changes):
    values = {
        "name": "tiny", "languages": ["en", "de"], "pair_sets": ["worldfacts"], "tasks": ["worldfacts-test"], "bases": ["unaligned"],
        "strategies": ["hybrid"], "seeds": [1],
    }  # fmt: skip
    return make_profile(values | changes, "here")


def own_pairs(path, languages, n=50):
    """A file in which every two questions have the same answer passage."""
    rows = [
        {"id": f"p{i}", "passage_id": f"p{i // 2}", "language": code, "question": f"{code} question {i}?", "passage": f"{code} {i // 2}"}
        for code in languages
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return f"jsonl:{path}"


def sections(folder, languages):
    """A folder of sections in the place of the course sections."""
    folder.mkdir()
    for code in languages:
        rows = [{"id": str(i), "heading": f"{code} heading {i}", "text": f"{code} {i} " + "a text of its own " * 5} for i in range(9)]
        with gzip.open(folder / f"{code}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_validation_shares_no_answer_passage_with_training(seed):
    rows = [(f"{i}", f"p{i % 37}", language, f"q{i}", f"t{i % 37}", "s") for i in range(120) for language in ("en", "de")]
    train, validation = hold_out(pairs_from_rows(rows), seed, share=0.1)
    assert len(set(validation["passage_id"])) == 4
    assert not set(train["passage_id"]) & set(validation["passage_id"])
    assert sorted([*train["id"], *validation["id"]]) == sorted(row[0] for row in rows)


def test_what_is_held_out_follows_the_seed():
    pairs = pairs_from_rows((f"{i}", f"{i}", "en", f"q{i}", f"t{i}", "s") for i in range(200))
    held = [tuple(hold_out(pairs, seed)[1]["id"]) for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_worldfacts_have_a_validation_split_of_their_own():
    train, validation = source_pairs(profile())
    assert set(train["language"]) == set(validation["language"]) == {"en"}
    assert not set(train["id"]) & set(validation["id"])


def test_a_users_pairs_in_the_profiles_languages(tmp_path):
    name = own_pairs(tmp_path / "faq.jsonl", ["en", "de", "fr"])
    train, validation = source_pairs(profile(pair_sets=[name], languages=["en", "de", "th"]))
    assert set(train["language"]) == set(validation["language"]) == {"en", "de"}
    assert len(train) + len(validation) == 100 and set(train["source"]) == {"faq"}


def test_pair_sets_are_joined(tmp_path):
    names = [own_pairs(tmp_path / "faq.jsonl", ["en"]), "worldfacts"]
    train, _ = source_pairs(profile(pair_sets=names))
    assert set(train["source"]) == {"faq", "worldfacts"}


def test_sections_in_the_languages_the_folder_has(tmp_path):
    sections(tmp_path / "mscourses", ["en", "de", "fr"])
    train, _ = source_pairs(profile(pair_sets=["mscourses"], languages=["en", "de", "th"], data_dir=str(tmp_path)))
    assert set(train["language"]) == {"en", "de"}


def test_a_pair_set_in_none_of_the_languages(tmp_path):
    sections(tmp_path / "mscourses", ["en", "de"])
    for name in ("mscourses", own_pairs(tmp_path / "faq.jsonl", ["en", "de"])):
        with pytest.raises(InputError, match=r"none of the profile's languages \(th\); it has de, en"):
            source_pairs(profile(pair_sets=[name], languages=["th"], data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("kind", "found", "near"),
    [("pair set", "mscourse", "mscourses"), ("task", "xquad_r", "xquad-r"), ("strategy", "X-X-mon", "X-X-mono")],
)
def test_a_misspelt_name_is_refused_with_the_nearest(kind, found, near):
    key = {"pair set": "pair_sets", "task": "tasks", "strategy": "strategies"}[kind]
    with pytest.raises(HybridIRError, match=f"unknown {kind} {found!r} .did you mean {near!r}"):
        profile(**{key: [found]})


def test_a_misspelt_kind_of_own_data_is_refused():
    """The profile lets names with a colon pass; what opens them knows the kinds."""
    with pytest.raises(UnknownName, match="did you mean 'jsonl:FILE'"):
        source_pairs(profile(pair_sets=["json:FILE"]))
    with pytest.raises(UnknownName, match="did you mean 'beir:FOLDER'"):
        retrieval_task("bier:FOLDER", ["en"])
    for name in ("beir", "squad:", "xquad-r:here"):
        with pytest.raises(UnknownName, match="unknown task"):
            retrieval_task(name, ["en"])


@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_data_that_are_not_there(name, tmp_path, monkeypatch):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    with pytest.raises(InputError, match=r"neither the profile's data_dir nor HYBRIDIR_DATA names a folder. See data/README.md"):
        retrieval_task(name, ["en"])
    monkeypatch.setenv("HYBRIDIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no such folder; data/README.md gives the command"):
        retrieval_task(name, ["en"])
    with pytest.raises(InputError, match="mscourses: no such folder"):
        source_pairs(profile(pair_sets=["mscourses"]))


def test_own_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"faq\.jsonl: named by 'jsonl:.*', but it is not there"):
        data_fingerprint((f"jsonl:{tmp_path}/faq.jsonl",), "")


def test_a_users_squad_and_beir_folders(tmp_path):
    answers = [{"text": "Italy", "answer_start": ENGLISH.index("Italy")}]
    paragraph = {"context": ENGLISH, "qas": [{"id": "q", "question": "Where is Rome?", "answers": answers}]}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "en.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}), encoding="utf-8")
    task = retrieval_task(f"squad:{tmp_path / 'mine'}", ["de"])
    assert (task.name, len(task.candidates), list(task.relevance["candidate"])) == ("mine", 2, ["en:0:1"])

    (tmp_path / "beir" / "qrels").mkdir(parents=True)
    for part, id_ in (("corpus", "d"), ("queries", "q")):
        (tmp_path / "beir" / f"{part}.jsonl").write_text(json.dumps({"_id": id_, "text": "A text.", "language": "en"}), encoding="utf-8")
    (tmp_path / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n", encoding="utf-8")
    assert retrieval_task(f"beir:{tmp_path / 'beir'}", ["de"]).relevance.to_numpy().tolist() == [["q", "d"]]


def test_the_fingerprint_follows_the_files(tmp_path):
    name = own_pairs(tmp_path / "faq.jsonl", ["en"])
    before = data_fingerprint((name, "worldfacts-test"), "")
    assert before == data_fingerprint((name, "worldfacts-test"), "")
    own_pairs(tmp_path / "faq.jsonl", ["en"], n=51)
    assert before != data_fingerprint((name, "worldfacts-test"), "")


def test_every_name_of_a_task_opens(real_data):
    tasks = {name: retrieval_task(name, ("en", "de"), str(real_data)) for name in TASKS}
    assert {name: task.name for name, task in tasks.items()} == {
        "worldfacts-test": "worldfacts-test", "worldfacts-shifted": "worldfacts-shifted", "xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R",
    }  # fmt: skip
    assert tasks["worldfacts-test"].languages == ("de", "en") and tasks["xquad-r"].languages == XQUAD_R_LANGUAGES
    assert data_fingerprint(TASKS, str(real_data))


def test_every_name_of_a_pair_set_opens(real_data):
    languages = ["en", "de", "vi"]
    train, validation = source_pairs(profile(pair_sets=list(PAIR_SETS), languages=languages, data_dir=str(real_data)))
    assert not set(train["passage_id"]) & set(validation["passage_id"])
    frame = train.select_columns(["source", "language"]).to_pandas()
    there = {source: set(rows["language"]) for source, rows in frame.groupby("source")}
    expected = {name: set(section_languages(real_data / name)) & set(languages) for name in PAIR_SETS[1:]}
    assert there == {"worldfacts": {"en"}} | expected
    assert "vi" not in there["bitcoin-faq"] and "vi" in there["mscourses"]
