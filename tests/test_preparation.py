"""From a user's own pairs to training pairs: what is left out is counted, what leaks goes as a group, a kill leaves nothing half done."""

import json
import random
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
from hub_folders import squad

from hybridir_utils.base.errors import InputError
from hybridir_utils.data import quality
from hybridir_utils.data.mt import model_places
from hybridir_utils.data.pairs import NEGATIVE_COLUMNS, PAIR_COLUMNS, pairs_from_rows, read_pairs_jsonl
from hybridir_utils.data.quality import rejected
from hybridir_utils.experiment import preparation
from hybridir_utils.experiment.preparation import enough_for_a_batch, prepare_pairs
from hybridir_utils.experiment.run import open_run
from hybridir_utils.experiment.sources import hold_out
from hybridir_utils.provenance.artefacts import recipe_of

GERMAN = "der Wald liegt hinter dem alten Haus und wir gehen heute noch durch die kleine Stadt zum Fluss weil es nicht mehr regnet"
LETTERS = {"en": "abcdefghijklmnop", "el": "αβγδεζηθικλμνξοπ", "ru": "абвгдежзиклмнопр"}
STEPS = ["translated", "accepted", "without leaks", "enough for a batch", "for training"]


def words(*about, n=9):
    draw = random.Random(str(about))
    if about[0] == "de":  # a language that the quality checks know by its words
        return " ".join(draw.choices(GERMAN.split(), k=n + 6))
    return " ".join("".join(draw.choices(LETTERS[about[0]], k=6)) for _ in range(n))


def row(language, i):
    return {"id": f"p{i}", "language": language, "question": words(language, i, "?", n=4), "passage": words(language, i)}


class Setup:
    """40 pairs in English, German and Greek, 5 in Russian, and a task of one English question; its files can be changed."""

    def __init__(self, folder):
        self.folder, self.pairs = folder, folder / "faq.jsonl"
        self.rows = {(language, i): row(language, i) for language, n in (("en", 40), ("de", 40), ("el", 40), ("ru", 5)) for i in range(n)}
        self.write()
        self.training = [int(id_[1:]) for id_ in dict.fromkeys(hold_out(read_pairs_jsonl(self.pairs), 0)[0]["id"])]
        self.answer = words("en", "answer", n=12)
        context = f"{self.answer}."
        question = {"id": "q", "question": words("en", "question"), "answers": [{"text": self.answer, "answer_start": 0}]}
        content = {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": [question]}]}]}
        (folder / "task").mkdir()
        (folder / "task" / "en.json").write_text(json.dumps(content), encoding="utf-8")
        self.profile = folder / "tiny.toml"
        self.profile.write_text(
            f'name = "tiny"\nlanguages = ["en", "de", "el", "ru"]\npair_sets = ["jsonl:{self.pairs}"]\ntasks = ["squad:{folder}/task"]\n'
            'bases = ["unaligned"]\nstrategies = ["hybrid"]\nseeds = [1]\nbatch_size = 8\n',
            encoding="utf-8",
        )

    def write(self):
        self.pairs.write_text("\n".join(map(json.dumps, self.rows.values())), encoding="utf-8")

    def change(self, language, i, **values):
        self.rows[language, i] |= values
        self.write()

    def run(self, **changes):
        return open_run(str(self.profile), **changes)


@pytest.fixture
def setup(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    return Setup(tmp_path)


def counts(prepared):
    return prepared.coverage.pivot(index="language", columns="step", values="pairs").reindex(columns=STEPS).fillna(0).astype(int)


def test_clean_pairs_reach_training(setup):
    prepared = prepare_pairs(setup.run())
    assert prepared.rejections.empty and prepared.leaks.empty
    n = len(setup.training)
    assert 30 < n < 40 and counts(prepared).loc[["de", "el", "en"]].eq(n).all(axis=None)
    assert sorted(prepared.train["id"]) == sorted(3 * [f"p{i}" for i in setup.training])
    assert not set(prepared.train["passage_id"]) & set(prepared.validation["passage_id"])
    assert len(set(prepared.validation["id"])) == 40 - n


def test_a_rejected_translation_is_counted_and_the_others_stay(setup):
    i, other = setup.training[:2]
    setup.change("de", i, passage=setup.rows["en", i]["passage"])
    setup.change("el", other, question=words("en", "an untranslated question"))
    prepared = prepare_pairs(setup.run())
    found = prepared.rejections[["id", "language", "field", "check", "split"]].to_numpy().tolist()
    assert found == [[f"p{i}", "de", "passage", "copied", "train"], [f"p{other}", "el", "question", "wrong_script", "train"]]
    table = counts(prepared)
    lost = table["translated"] - table["accepted"]
    assert lost.to_dict() == {"de": 1, "el": 1, "en": 0, "ru": 0}
    rows = set(zip(prepared.train["id"], prepared.train["language"], strict=True))
    assert (f"p{i}", "de") not in rows and {(f"p{i}", "en"), (f"p{i}", "el"), (f"p{other}", "de")} <= rows


def test_a_leaked_pair_goes_in_all_its_languages(setup):
    i = setup.training[3]
    setup.change("en", i, passage=setup.answer.upper())
    prepared = prepare_pairs(setup.run())
    assert prepared.leaks[["task", "kind", "language", "pair", "field"]].to_numpy().tolist() == [
        ["task", "exact", "en", f"p{i}", "passage"]
    ]
    table = counts(prepared)
    lost = table["accepted"] - table["without leaks"]
    assert lost.loc[["de", "el", "en"]].to_dict() == {"de": 1, "el": 1, "en": 1}
    assert f"p{i}" not in prepared.train["id"]


def test_a_task_that_pairs_were_kept_clean_of_is_evaluated_later_on_the_same_pairs(setup):
    i = setup.training[3]
    setup.change("en", i, passage=setup.answer.upper())
    task, other = setup.run().profile.tasks[0], "worldfacts-brief"
    before = prepare_pairs(setup.run(tasks=[other], clean_tasks=[task]))
    assert list(before.leaks["pair"]) == [f"p{i}"] and f"p{i}" not in before.train["id"]
    for tasks in ([other, task], [task, other]):
        assert prepare_pairs(setup.run(tasks=tasks)).folder == before.folder
    assert prepare_pairs(setup.run(tasks=[other])).folder != before.folder


def test_the_threshold_of_the_leak_check_is_the_profiles(setup):
    """One word of twelve differs: near enough for 0.5, not for 0.95."""
    i = setup.training[3]
    setup.change("en", i, passage=" ".join([*setup.answer.split()[:-1], "another"]))
    assert prepare_pairs(setup.run(near_duplicate=0.5)).leaks["kind"].tolist() == ["near"]
    assert prepare_pairs(setup.run(near_duplicate=0.95)).leaks.empty


def test_unseen_languages_are_in_validation_only(setup):
    prepared = prepare_pairs(setup.run(unseen_languages=["el"]))
    assert set(prepared.train["language"]) == {"en", "de"}
    assert "el" in prepared.validation["language"]
    table = counts(prepared)
    assert table.loc["el", "enough for a batch"] == len(setup.training) and table.loc["el", "for training"] == 0


def test_a_language_too_small_for_a_batch_is_dropped_as_a_step_of_the_table(setup):
    prepared = prepare_pairs(setup.run())
    assert "ru" not in prepared.train["language"]
    table = counts(prepared)
    assert list(prepared.coverage["step"].drop_duplicates()) == STEPS
    assert table.loc["ru"].tolist()[2:] == [table.loc["ru", "without leaks"], 0, 0] and table.loc["ru", "without leaks"] >= 3
    assert (table.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert table["for training"].loc[["de", "el", "en"]].sum() == len(prepared.train)


def test_distinct_passages_are_counted_not_questions(setup):
    """A batch holds no passage twice, so twelve questions about two passages cannot fill a batch of eight."""
    for i in range(40):
        setup.rows["en", i] |= {"passage_id": f"home{i % 2}"}
        setup.rows["de", i] |= {"passage_id": f"home{i % 2}"}
        del setup.rows["el", i]
    setup.write()
    with pytest.raises(InputError, match="no language of any data set has 8 different passages, which one batch needs; the largest has"):
        prepare_pairs(setup.run(languages=["en", "de"]))


def test_each_data_set_needs_enough_for_itself():
    sizes = {("a", "en"): 8, ("a", "de"): 3, ("b", "en"): 3, ("b", "de"): 8}
    rows = [(f"{s}{i}", f"{s}{i}", language, f"q{i}", f"t{i}", s) for (s, language), n in sizes.items() for i in range(n)]
    kept = enough_for_a_batch(pairs_from_rows(rows), 8)
    assert Counter(zip(kept["source"], kept["language"], strict=True)) == {("a", "en"): 8, ("b", "de"): 8}


def test_batch_size_too_large_for_the_data(setup):
    largest = len(setup.training)
    with pytest.raises(InputError, match=f"the largest has {largest}. Lower batch_size"):
        prepare_pairs(setup.run(batch_size=largest + 1))
    assert set(prepare_pairs(setup.run(batch_size=largest)).train["language"]) == {"en", "de", "el"}


def test_an_english_only_set_that_the_memory_cannot_translate_keeps_its_english(setup):
    setup.rows = {key: value for key, value in setup.rows.items() if key[0] == "en"}
    setup.write()
    prepared = prepare_pairs(setup.run(languages=["en", "de"]))
    assert set(prepared.train["language"]) == {"en"}
    table = counts(prepared)
    assert table.loc["de", "translated"] == table.loc["en", "translated"] and table.loc["de", "accepted"] == 0
    assert set(prepared.rejections["check"]) == {"copied"} and set(prepared.rejections["language"]) == {"de"}


def test_made_once_and_again_when_the_data_change(setup, monkeypatch):
    first = prepare_pairs(setup.run())
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "source_pairs", None)
        again = prepare_pairs(setup.run())
        assert again.folder == first.folder and again.train[:] == first.train[:]
    setup.change("en", setup.training[0], question=words("en", "a new question"))
    assert prepare_pairs(setup.run()).folder != first.folder
    assert first.folder.is_dir()


def test_quality_is_checked_in_parts_as_on_the_whole(monkeypatch):
    """Every id keeps its translations beside it, and ids that ask the same question in some language are checked together."""
    rows = [[f"p{i}", f"p{i}", code, words(code, i, "?", n=4), words(code, i), "s"] for code in ("en", "de", "el") for i in range(40)]
    rows[43][3] = rows[77][3] = "sage question?"  # of ids 3 and 37, in German
    rows[45][4] = rows[5][4]  # a German passage in English
    pairs = pairs_from_rows(rows)
    whole = rejected(pairs)
    assert set(whole["check"]) >= {"copied", "ambiguous_question"}
    seen = []
    monkeypatch.setattr(quality, "CHECKED_TOGETHER", 30)
    check = quality.check_pairs_quality
    monkeypatch.setattr(quality, "check_pairs_quality", lambda part: seen.append(part) or check(part))
    parts = rejected(pairs)
    assert len(seen) > 3 and max(map(len, seen)) < 60 and sum(map(len, seen)) == len(pairs)
    by = ["check", "language", "id"]
    assert parts.sort_values(by, ignore_index=True).equals(whole.sort_values(by, ignore_index=True))


def test_sets_of_english_only_are_not_translated(setup):
    """Of two English sets one is named: its pairs stay, the other's are translated (here copied, and refused)."""
    setup.rows = {key: value | {"source": "faq"} for key, value in setup.rows.items() if key[0] == "en"}
    setup.write()
    other = setup.folder / "other.jsonl"
    other.write_text("\n".join(json.dumps(row("en", i)) for i in range(100, 140)), encoding="utf-8")
    changes = {"languages": ["en", "de"], "pair_sets": [f"jsonl:{setup.pairs}", f"jsonl:{other}"], "english_only": [f"jsonl:{other}"]}
    prepared = prepare_pairs(setup.run(**changes))
    table, n = counts(prepared), len(setup.training)
    assert table.loc["en", "translated"] > n == table.loc["de", "translated"]
    assert set(prepared.train["source"]) == {"faq", "other"}
    assert prepare_pairs(setup.run(**changes | {"english_only": []})).coverage.query("language == 'de'")["pairs"].iloc[0] > n


def test_a_model_translates_what_is_english_only(setup, tmp_path):
    """An untrained model's words are refused, but they are its own: nothing is copied, and it is part of the recipe."""
    from tiny_mt import m2m100

    setup.rows = {key: value for key, value in setup.rows.items() if key[0] == "en"}
    setup.write()
    (folder := tmp_path / "m2m").mkdir()
    m2m100(folder)
    run = setup.run(languages=["en", "de"], translator=f"mt:{folder}")
    prepared = prepare_pairs(run)
    assert counts(prepared).loc["de", "translated"] == len(setup.training)
    assert set(prepared.rejections["language"]) == {"de"} and "copied" not in set(prepared.rejections["check"])
    assert (run.artefacts / "translations.sqlite").is_file()
    made_of = recipe_of(prepared.folder)["recipe"]["translator"]
    assert made_of["name"] == f"mt:{folder}" and made_of["beams"] == 1 and list(made_of["models"]) == [str(folder)]
    assert len(made_of["models"][str(folder)]) == 64, "a fingerprint of its files"
    assert not list(prepared.folder.glob("work*"))


def test_the_commit_of_a_translator_on_the_hub_is_part_of_the_recipe(setup, tmp_path, monkeypatch):
    """Of a pull request, which moves; None where neither hub nor cache answers, which must not stop a run that needs no translation."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    profile, place = setup.run(translator="m2m100-1.2b").profile, "facebook/m2m100_1.2B@refs/pr/7"
    unknown = preparation.translating_model(profile)
    assert unknown["models"] == {place: None} and unknown["licence"] == "MIT"
    for commit in ("0123456789" * 4, "9876543210" * 4):
        repository = tmp_path / "hub" / "models--facebook--m2m100_1.2B"
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").write_text("{}")
        (repository / "refs" / "refs" / "pr").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "refs" / "pr" / "7").write_text(commit)
        assert preparation.translating_model(profile)["models"] == {place: f"facebook/m2m100_1.2B@{commit}"}


def test_every_model_of_a_translator_by_pairs_is_named():
    places = model_places("opus-mt", ["de", "en", "th"])
    assert places == ["Helsinki-NLP/opus-mt-en-de@main", "Helsinki-NLP/opus-mt-en-mul@main"]


def test_the_pairs_record_their_sets_with_licences(setup, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    squad(tmp_path / "sets" / "squad")
    run = setup.run(pair_sets=["squad", *setup.run().profile.pair_sets], data_dir=str(tmp_path / "sets"), english_only=["squad"])
    (record,) = recipe_of(prepare_pairs(run).folder)["recipe"]["sets"]
    assert (record["set"], record["licence"], record["folder"]) == ("squad", "CC-BY-SA-4.0", "squad")


def test_hard_negatives_reach_training(setup):
    for values in setup.rows.values():
        values["question"] = " ".join(values["passage"].split()[:4])
        values["passage"] += f" {values['passage'].split()[0][0] * 6}"  # a word that some passages share
        values["question"] += f" {values['passage'].split()[-1]}"
    setup.write()
    mined = prepare_pairs(setup.run(hard_negatives="bm25"))
    assert set(mined.train.column_names) == {*PAIR_COLUMNS, *NEGATIVE_COLUMNS} and any(mined.train["negative"])
    assert not {"negative", "negative_id"} & set(prepare_pairs(setup.run()).train.column_names)
    with pytest.raises(InputError, match="mines with the first of `retrievers`, and the profile has none"):
        prepare_pairs(setup.run(hard_negatives="dense"))


def test_dense_negatives_come_from_a_retriever(setup, tiny_base):
    mined = prepare_pairs(setup.run(hard_negatives="dense", retrievers=[f"st:{tiny_base}"]))
    assert any(mined.train["negative"])
    assert all(own != other for own, other in zip(mined.train["passage"], mined.train["negative"], strict=True))


def test_given_negatives_go_where_the_profile_wants_none(setup):
    for values in setup.rows.values():
        values |= {"negative": "No.", "negative_id": "n"}
    setup.write()
    assert "negative" not in prepare_pairs(setup.run()).train.column_names
    assert set(prepare_pairs(setup.run(hard_negatives="given")).train["negative"]) == {"No."}


def test_squadshifts_may_validate(setup):
    """Nothing is held out then, and the validation pairs are the English ones of its four domains."""
    domains = ("new_wiki", "nyt", "reddit", "amazon")
    for number, domain in enumerate(domains):
        place = setup.folder / "data" / "squadshifts" / domain / "test"
        place.mkdir(parents=True)
        context = words("en", domain, n=30)
        answers = {"text": [context.split()[3]], "answer_start": [context.index(context.split()[3])]}
        pd.DataFrame([{"id": f"{number}", "question": words("en", domain, "?"), "context": context, "answers": answers}]).to_parquet(
            place / "0000.parquet"
        )
    prepared = prepare_pairs(setup.run(validation_set="squadshifts", data_dir=str(setup.folder / "data")))
    assert len(prepared.validation) == 4 and set(prepared.validation["language"]) == {"en"}
    assert set(prepared.train["id"]) == {f"p{i}" for i in range(40)}


KILLED_AT_THE_LAST_TABLE = """
import os, signal, sys
from hybridir_utils.experiment import preparation
from hybridir_utils.experiment.run import open_run
from hybridir_utils.data.mt import model_places
preparation._coverage = lambda steps: os.kill(os.getpid(), signal.SIGKILL)
preparation.prepare_pairs(open_run(sys.argv[1]))
"""


def test_a_killed_preparation_leaves_nothing_that_looks_done(setup):
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_LAST_TABLE, str(setup.profile)], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    room = setup.run().artefacts / "pairs"
    assert list(room.glob(".pairs-*/train.parquet")), "killed before anything was written: the test shows nothing"
    assert not [path for path in room.iterdir() if not path.name.startswith(".")]
    prepared = prepare_pairs(setup.run())
    assert prepared.folder.is_dir() and len(prepared.train) == 3 * len(setup.training)


def test_what_the_questions_of_notebook_07_hold_leaves_training_too(setup, tmp_path):
    i = setup.training[3]
    (tmp_path / "mkqa-questions").mkdir()
    for language, texts in {"en": [row("en", i)["question"], "a question"], "el": ["μια ερώτηση", "άλλη ερώτηση"]}.items():
        lines = [json.dumps({"id": f"{n}_{language}", "question": text}) for n, text in enumerate(texts)]
        (tmp_path / "mkqa-questions" / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    prepared = prepare_pairs(setup.run(question_task="mkqa-questions", data_dir=str(tmp_path)))
    assert prepared.leaks[["task", "kind", "pair", "field"]].to_numpy().tolist() == [["mkqa-questions", "exact", f"p{i}", "question"]]
    assert f"p{i}" not in prepared.train["id"]


def test_a_question_task_among_the_tasks_changes_no_pair(setup):
    run = setup.run()
    assert prepare_pairs(setup.run(question_task=run.profile.tasks[0])).folder == prepare_pairs(run).folder
