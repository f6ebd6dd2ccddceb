"""The profile `paper`, whole: its sets, translation, training, tasks and check, on small files laid out as on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_mt
from hub_folders import make_folders
from hub_sets import retrieval_parts, write_parts
from tiny_models import save_tiny_bert

from hybridir_utils.__main__ import main
from hybridir_utils.experiment.encoders import trained_encoders
from hybridir_utils.experiment.evaluation import REFERENCE, ZERO_SHOT, evaluate
from hybridir_utils.experiment.preparation import prepare_pairs
from hybridir_utils.experiment.run import open_run
from hybridir_utils.results.paper import check
from hybridir_utils.results.tables import reported_bias, reported_scores
from hybridir_utils.suite.running import notebooks, run_suite

TEXTS = {"de": ["Rom liegt in Italien.", "Paris liegt in Frankreich."], "ar": ["تقع روما في إيطاليا.", "تقع باريس في فرنسا."]}
ANSWERS = {"de": ["Italien", "Frankreich"], "ar": ["إيطاليا", "فرنسا"]}


def squad_files(folder: Path) -> None:
    """Two questions to one paragraph of two sentences, in LAReQA's form."""
    folder.mkdir(parents=True)
    for language, sentences in TEXTS.items():
        context = "".join(sentences)
        ends = np.cumsum([len(sentence) for sentence in sentences]).tolist()
        qas = [
            {"id": f"q{i}", "question": f"{answer}?", "answers": [{"text": answer, "answer_start": context.index(answer)}]}
            for i, answer in enumerate(ANSWERS[language])
        ]
        breaks = [[0, ends[0]], [ends[0], ends[1]]]
        paragraph = {"context": context, "qas": qas, "sentences": sentences, "sentence_breaks": breaks}
        (folder / f"{language}.json").write_text(json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": [paragraph]}]}))


MARCO = 60  # triples
PASSAGES = {
    "english": "Passage {}: the water is cold in winter and warm in summer.",
    "german": "Abschnitt {}: das Wasser ist im Winter kalt und im Sommer warm.",
    "arabic": "فقرة {}: الماء بارد في الشتاء ودافئ في الصيف.",
}
QUESTIONS = {"english": "How cold is water {}?", "german": "Wie kalt ist Wasser {}?", "arabic": "ما مدى برودة الماء {}؟"}


def marco_texts(folder: Path) -> None:
    """Sound translations in place of the placeholders, which the quality checks would refuse; more than the untrained translator's."""
    places = {"collections/{}_collection.tsv": PASSAGES, "queries/train/{}_queries.train.tsv": QUESTIONS}
    triples = "".join(f"{i}\t{i}\t{(i + 1) % MARCO}\n" for i in range(MARCO))
    (folder / "data" / "triples.train.ids.small.tsv").write_text(triples, encoding="utf-8")
    for place, texts in places.items():
        for language, text in texts.items():
            lines = "".join(f"{i}\t{text.format(i)}\n" for i in range(MARCO))
            (folder / "data" / "google" / place.format(language)).write_text(lines, encoding="utf-8")


@pytest.fixture(scope="module")
def changes(tmp_path_factory) -> dict:
    """What makes the profile small: local files in place of the hub's, a BERT of one layer, four steps."""
    data, models = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("models")
    make_folders(data)
    marco_texts(data / "mmarco")
    write_parts(data / "miracl", retrieval_parts("de", "dev", "Wasser") | retrieval_parts("ar", "dev", "ماء"))
    for name in ("xquad-r", "mlqa-dev"):
        squad_files(data / name)
    bert = save_tiny_bert(models / "bert", [*TEXTS["de"], *TEXTS["ar"], "Query: Passage: about water fire stone"])
    (models / "m2m").mkdir()
    small = {"data_dir": str(data), "languages": ("ar", "de", "en"), "task_languages": ("ar", "de"), "steps": 4, "batch_size": 2}
    small |= {"translator": f"mt:{tiny_mt.m2m100(models / 'm2m')}", "bases": (f"st:{bert}",), "retrievers": (f"st:{bert}",)}
    return small | {
        "validate_every": 2,
        "checkpoint_every": 2,
        "seeds": (1,),
        "max_passage_tokens": 32,
        "max_query_tokens": 16,
        "alphas": (0.0, 0.5),
        "schedules": (),
        "methods": ("X-X-mono", "hybrid", "distillation"),
        "jobs": 1,
    }


@pytest.fixture(scope="module")
def run(changes, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(tmp_path_factory.mktemp("out")))
        yield open_run("paper", **changes)


@pytest.fixture(scope="module")
def evaluations(run):
    trained_encoders(run)
    return evaluate(run)


def test_its_training_sets_meet_in_one_table_with_hard_negatives(run):
    pairs = prepare_pairs(run).train
    frame = pairs.to_pandas()
    languages = frame.groupby("source")["language"].agg(set)
    assert languages["mmarco"] == {"ar", "de", "en"} and len(languages) >= 4
    for name in ("mfaq", "mr-tydi"):
        assert languages.get(name, {"en"}) == {"en"}, "English-only sets stay English"
    assert (frame["negative"] != "").any()
    assert not frame["source"].eq("squad").any(), "SQuAD is no set of the paper"


def test_translations_are_made_once_by_the_command_and_found_by_the_notebook(changes, tmp_path, monkeypatch, capsys):
    from hybridir_utils.data.mt import ModelTranslator

    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    settings = {
        "languages": ["ar", "de", "en"],
        "pair_sets": ["natural-questions", "mmarco"],
        "tasks": ["xquad-r"],
        "validation_set": "held-out",
    }
    settings |= {"translator": changes["translator"], "data_dir": changes["data_dir"], "task_languages": ["de"], "batch_size": 2}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    assert main(["translate", "--profile", "paper", *arguments]) == 0 and "translations.sqlite" in capsys.readouterr().out
    monkeypatch.setattr(ModelTranslator, "translate", lambda *given: pytest.fail("translated again"))
    changed = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    assert prepare_pairs(open_run("paper", **changed)).coverage.query("step == 'translated' and language == 'de'")["pairs"].item() > 0


def test_its_scores_have_every_task_in_the_papers_measures(run, evaluations):
    scores = evaluations.table("scores")
    trained = scores[scores["strategy"].isin(run.profile.strategies)]
    assert set(trained["task"]) == {"xquad-r", "mlqa-r", "miracl"}
    miracl = trained[trained["task"] == "miracl"]
    assert set(miracl["metric"]) == {"nDCG@10", "R@100"} and set(miracl["setting"]) == {"monolingual"}
    assert set(miracl["query_language"]) == {"ar", "de", "macro"} and miracl["value"].between(0, 1).all()
    assert ZERO_SHOT in set(scores["strategy"]) and set(scores[scores["base"] == REFERENCE]["task"]) == {"xquad-r", "mlqa-r"}


def test_check_finds_its_rows_in_the_papers_tables(run, evaluations):
    scores, bias = reported_scores(evaluations.table("scores")), reported_bias(evaluations.table("bias"))
    table = check(scores, bias, {run.profile.bases[0]: "XLM-R"})
    assert set(table["task"]) == {"xquad-r", "mlqa-r", "miracl"} and set(table["strategy"]) == {"X-X-mono", "X-Y", "hybrid"}
    assert {"mAP", "R@1", "R@10", "rank distance", "nDCG@10", "R@100"} == set(table["metric"])
    assert (table["verdict"] == "off").any(), "four steps of a tiny model are not the paper's"


def test_its_notebooks_run_with_retrievers_and_searched_tasks(run, evaluations):
    import nbformat

    steps = run_suite(run, say=lambda text: None)
    assert [step.notebook.stem[:2] for step in steps] == [path.stem[:2] for path in notebooks()]
    shown = {step.notebook.stem[:2]: nbformat.writes(nbformat.read(step.executed, as_version=4)) for step in steps}
    assert "Mo. nDCG@10" in shown["03"] and "miracl" in shown["03"] and "zero-shot" in shown["03"]
    assert "chrF" in shown["01"] and "lowest validation loss within a language is" in shown["02"]
    assert (run.figures / "03_scores.png").is_file()
