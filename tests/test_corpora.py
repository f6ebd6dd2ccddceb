"""Names in a profile become pair sets and tasks; what is held out for validation shares no answer passage with training."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hub_folders import make_folders, parquet, squad_rows
from hub_sets import write_parts

from hybridir_utils.base.errors import HybridIRError, InputError, UnknownName
from hybridir_utils.base.languages import XQUAD_R_LANGUAGES
from hybridir_utils.data import pairs as pairs_module
from hybridir_utils.data.pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, pairs_from_rows
from hybridir_utils.data.register import (
    HUB_PAIR_SETS,
    SECTIONS,
    Request,
    data_fingerprint,
    data_recipe,
    read_questions,
    read_task,
    task_names,
)
from hybridir_utils.data.sections import section_languages
from hybridir_utils.experiment.preparation import evaluation_tasks
from hybridir_utils.experiment.profile import make_profile
from hybridir_utils.experiment.run import open_run
from hybridir_utils.experiment.sources import hold_out, source_pairs
from hybridir_utils.tasks.public_sets import EVALUATION_SETS

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
    train, validation = hold_out(pairs_from_rows(rows), seed)
    assert len(set(validation["passage_id"])) == 2
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


@pytest.fixture
def public(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    (tmp_path / "data").mkdir()
    return str(make_folders(tmp_path / "data"))


def test_public_sets_in_the_profiles_languages(public):
    names = ["mmarco", "squad", "worldfacts"]
    train, validation = source_pairs(profile(pair_sets=names, languages=["de", "en", "th"], data_dir=public))
    frame = train.select_columns(["source", "language"]).to_pandas()
    there = {source: set(rows["language"]) for source, rows in frame.groupby("source")}
    assert there == {"mmarco": {"de", "en"}, "squad": {"en"}, "worldfacts": {"en"}}
    assert train.column_names == PAIR_COLUMNS and not set(train["passage_id"]) & set(validation["passage_id"])


def test_every_public_set_opens_with_its_own_negatives(public):
    train, validation = source_pairs(profile(pair_sets=list(HUB_PAIR_SETS), languages=["en"], data_dir=public, hard_negatives="given"))
    assert {*train["source"], *validation["source"]} == set(HUB_PAIR_SETS)
    assert train.column_names == [*PAIR_COLUMNS, *NEGATIVE_COLUMNS] and any(train["negative"])
    with pytest.raises(InputError, match=r"'squad' has none of the profile's languages \(de\); it has en"):
        source_pairs(profile(pair_sets=["squad"], languages=["de"], data_dir=public))


def test_the_fingerprint_of_a_public_set_is_its_commit_or_its_files(public, tmp_path):
    local, hub = (data_fingerprint(("squad",), place) for place in (public, str(tmp_path)))
    assert local != hub == data_fingerprint(("squad",), str(tmp_path))
    parquet(tmp_path / "data" / "squad" / "plain_text" / "train-00000-of-00001.parquet", squad_rows(3))
    assert data_fingerprint(("squad",), public) != local


def test_at_most_so_many_ids_of_each_set(public, tmp_path):
    sections(tmp_path / "data" / "mscourses", ["en", "de"])
    names = ["worldfacts", "mscourses", own_pairs(tmp_path / "faq.jsonl", ["en", "de"]), "mmarco"]
    several = profile(pair_sets=names, data_dir=public, max_pairs=5)
    train, _ = source_pairs(several)
    frame = train.select_columns(["source", "id", "language"]).to_pandas()
    assert frame.groupby("source")["id"].nunique().max() == 5 and set(frame["source"]) == {"worldfacts", "mscourses", "faq", "mmarco"}
    assert (frame[frame["source"] == "faq"].groupby("id")["language"].nunique() == 2).all()
    assert source_pairs(several)[0]["id"][:] == train["id"][:]
    others = {tuple(source_pairs(profile(pair_sets=names[2:3], max_pairs=5, corpus_seed=seed))[0]["id"]) for seed in range(4)}
    assert len(others) > 1


def test_the_same_share_of_each_set(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs_module, "SMALL", 10)
    for n, drawn in ((80, 20), (40, 10), (8, 8)):
        name = own_pairs(tmp_path / f"{n}.jsonl", ["en", "de"], n)
        assert sum(len(set(side["id"])) for side in source_pairs(profile(pair_sets=[name], pair_share=0.25))) == drawn


def test_the_share_of_a_public_set_is_drawn_once(public, monkeypatch):
    monkeypatch.setattr(pairs_module, "SMALL", 0)
    for name in ("squad", "mmarco"):
        whole, half = (source_pairs(profile(pair_sets=[name], languages=["en"], data_dir=public, pair_share=share)) for share in (1.0, 0.5))
        assert sum(map(len, half)) == round(sum(map(len, whole)) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_held_out_is_drawn_from_the_sorted_passages(seed):
    """As ever: held-out sets of earlier runs stay as they are."""
    names = np.array([f"é{i * 7 % 50}" if i % 2 else f"p{i}" for i in range(50)])
    held = set(hold_out(pairs_from_rows((str(i), name, "en", "q", "t", "s") for i, name in enumerate(names)), seed)[1]["passage_id"])
    assert held == set(np.random.default_rng(seed).permutation(np.unique(names))[:2])


def test_of_a_large_set_only_so_many_passages_are_held_out(monkeypatch):
    monkeypatch.setattr("hybridir_utils.experiment.sources.VALIDATION_MOST", 3)
    held = hold_out(pairs_from_rows((f"{i}", f"{i}", "en", f"q{i}", f"t{i}", "s") for i in range(500)), 0)[1]
    assert len(held) == 3


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
    with pytest.raises(InputError, match="did you mean 'jsonl:FILE'"):
        profile(pair_sets=["json:FILE"])
    with pytest.raises(InputError, match="did you mean 'beir:FOLDER'"):
        profile(tasks=["bier:FOLDER"])
    for name in ("beir", "squad:", "xquad-r:here"):
        with pytest.raises(UnknownName, match="unknown task"):
            read_task(name, Request(("en",)))


@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_data_that_are_not_there(name, tmp_path, monkeypatch):
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    with pytest.raises(InputError, match=r"neither the profile's data_dir nor HYBRIDIR_DATA names a folder. See data/README.md"):
        read_task(name, Request(("en",)))
    monkeypatch.setenv("HYBRIDIR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no such folder; data/README.md says how '[a-z-]+' gets there"):
        read_task(name, Request(("en",)))
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
    task = read_task(f"squad:{tmp_path / 'mine'}", Request(("de",)))
    assert (task.name, len(task.candidates), list(task.relevance["candidate"])) == ("mine", 2, ["en:0:1"])

    (tmp_path / "beir" / "qrels").mkdir(parents=True)
    for part, id_ in (("corpus", "d"), ("queries", "q")):
        (tmp_path / "beir" / f"{part}.jsonl").write_text(json.dumps({"_id": id_, "text": "A text.", "language": "en"}), encoding="utf-8")
    (tmp_path / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n", encoding="utf-8")
    assert read_task(f"beir:{tmp_path / 'beir'}", Request(("de",))).relevance.to_numpy().tolist() == [["q", "d"]]


def test_the_fingerprint_follows_the_files(tmp_path):
    name = own_pairs(tmp_path / "faq.jsonl", ["en"])
    before = data_fingerprint((name, "worldfacts-test"), "")
    assert before == data_fingerprint((name, "worldfacts-test"), "")
    own_pairs(tmp_path / "faq.jsonl", ["en"], n=51)
    assert before != data_fingerprint((name, "worldfacts-test"), "")


def test_every_name_of_a_task_opens(real_data, tmp_path):
    for name in ("xquad-r", "mlqa-dev", "ntrex-news", "mscourses", "gnome-help", "bitcoin-faq"):
        (tmp_path / name).symlink_to(real_data / name)
    rows = pd.DataFrame({"link": ["l"], "question_number": [1], "flores_passage": ["A passage."], "question": ["A question?"]})
    write_parts(tmp_path / "belebele", {(code, "test"): rows for code in ("eng_Latn", "deu_Latn")})
    tasks = {
        name: read_task(name, Request(("en", "de"), ("en", "de"), data_dir=str(tmp_path)))
        for name in task_names("ranked")
        if ":" not in name
    }
    assert {name: task.name for name, task in tasks.items()} == {
        "worldfacts-test": "worldfacts-test", "worldfacts-shifted": "worldfacts-shifted", "xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R",
        "belebele": "Belebele", "ntrex": "NTREX", **{name: name for name in ("worldfacts-brief", *(f"{name}-test" for name in SECTIONS))},
    }  # fmt: skip
    assert all(task.languages == ("de", "en") for task in tasks.values())
    assert read_task("xquad-r", Request(("en", "de"), data_dir=str(real_data))).languages == XQUAD_R_LANGUAGES
    assert len({data_fingerprint((name,), str(tmp_path)) for name in tasks}) == len(tasks)


def test_each_public_task_takes_those_of_the_languages_that_it_has(real_data):
    tasks = [
        read_task(name, Request(task_languages=("en", "el", "de"), data_dir=str(real_data))) for name in ("xquad-r", "mlqa-r", "ntrex")
    ]
    assert [task.languages for task in tasks] == [("de", "el", "en"), ("de", "en"), ("de", "el", "en")]


@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_a_public_task_that_has_none_of_the_languages(name, tmp_path):
    (tmp_path / "xquad-r").mkdir()
    (tmp_path / "mlqa-dev").mkdir()
    with pytest.raises(UnknownName, match=r"unknown language of .*-R 'fr'.*Known: ar, de"):
        read_task(name, Request(task_languages=("fr",), data_dir=str(tmp_path)))


def test_a_language_that_no_task_has(real_data):
    run = open_run("pretrained", tasks=["xquad-r", "mlqa-r"], data_dir=str(real_data), task_languages=["de", "el", "fr"])
    known = ", ".join(XQUAD_R_LANGUAGES)
    with pytest.raises(UnknownName, match=rf"unknown language of the tasks xquad-r, mlqa-r 'fr'.*Known: {known}\."):
        evaluation_tasks(run)


def test_a_task_that_is_searched_has_no_parallel_questions():
    with pytest.raises(UnknownName, match="unknown question task 'miracl'"):
        read_questions("miracl")


def test_the_fingerprint_of_a_public_set_is_its_commit_or_the_files_of_its_folder(tmp_path):
    pinned = {"hub": "mteb/MIRACLRetrievalHardNegatives", "commit": EVALUATION_SETS["miracl"].revision}
    assert data_recipe(["miracl"])["sets"] == [{"set": "miracl", "licence": "CC BY-SA 4.0", "revision": pinned["commit"]} | pinned]
    assert [entry["hub"] for entry in data_recipe(["mkqa"])["sets"]] == ["Shitao/bge-m3-data", "mteb/nq"]
    prints = [data_fingerprint(("miracl",), str(tmp_path))]
    for text in ("one", "two"):
        (tmp_path / "miracl").mkdir(exist_ok=True)
        (tmp_path / "miracl" / "README.md").write_text(text, encoding="utf-8")
        prints.append(data_fingerprint(("miracl",), str(tmp_path)))
    assert len(set(prints)) == 3 and prints[-1] == data_fingerprint(("miracl",), str(tmp_path))


def test_every_name_of_a_pair_set_opens(real_data):
    languages = ["en", "de", "vi"]
    train, validation = source_pairs(profile(pair_sets=["worldfacts", *SECTIONS], languages=languages, data_dir=str(real_data)))
    assert not set(train["passage_id"]) & set(validation["passage_id"])
    frame = train.select_columns(["source", "language"]).to_pandas()
    there = {source: set(rows["language"]) for source, rows in frame.groupby("source")}
    expected = {name: set(section_languages(real_data / name)) & set(languages) for name in SECTIONS}
    assert there == {"worldfacts": {"en"}} | expected
    assert "vi" not in there["bitcoin-faq"] and "vi" in there["mscourses"]


def test_a_run_records_every_public_set_with_hub_commit_and_licence(public):
    both = profile(pair_sets=["worldfacts", "squad", "mmarco"], tasks=["worldfacts-test", "belebele", "mkqa"], data_dir=public)
    records = data_recipe(both.data_names, public)["sets"]
    assert [record["set"] for record in records] == ["squad", "mmarco", "belebele", "mkqa", "nq"]
    for record in records:
        assert record["licence"] and ("files" in record if record["set"] in ("squad", "mmarco") else len(record["commit"]) == 40)
    validated = data_recipe(profile(validation_set="squadshifts").validation_sets, public)["sets"]
    assert [(record["set"], record["licence"]) for record in validated] == [("squadshifts", "CC-BY-4.0")]
