"""SQuAD-format sets as retrieval tasks: LAReQA's counts on the real files, and every fault of a file named with its place."""

import copy
import json

import pandas as pd
import pytest

from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.tasks.squad import mlqa_r, read_squad_json, squad_folder, xquad_r

XQUAD_R_CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244, "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
# LAReQA's README of 2020 (google-research-datasets/lareqa, commit 343180b) counts MLQA-R so; its file was withdrawn later.
MLQA_R_CANDIDATES = {"ar": 2545, "de": 2362, "en": 6264, "es": 1787, "hi": 2426, "vi": 2828, "zh": 2322}
MLQA_QUESTIONS = {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}


def question(id_, text, answer, context):
    return {"id": id_, "question": text, "answers": [{"text": answer, "answer_start": context.index(answer)}]}


ENGLISH = "Paris is in France. Rome is in Italy."
GERMAN = "Paris liegt in Frankreich. Rom liegt in Italien. Rom ist alt."


def document(context, qas, **keys):
    return {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas, **keys}]}]}


@pytest.fixture
def english():
    return document(ENGLISH, [question("q1", "Where is Rome?", "Italy", ENGLISH), question("q2", "Where is Paris?", "France", ENGLISH)])


def write(folder, language, content):
    folder.mkdir(exist_ok=True)
    (folder / f"{language}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_relevance_joins_the_languages_by_question_id(tmp_path, english):
    folder = write(tmp_path / "mine", "en", english)
    write(folder, "de", document(GERMAN, [question("q1", "Wo liegt Rom?", "Italien", GERMAN)]))
    task = squad_folder(folder)
    assert task.name == "mine"
    assert dict(zip(task.candidates["id"], task.candidates["text"], strict=True)) == {
        "de:0:0": "Paris liegt in Frankreich.",
        "de:0:1": "Rom liegt in Italien.",
        "de:0:2": "Rom ist alt.",
        "en:0:0": "Paris is in France.",
        "en:0:1": "Rome is in Italy.",
    }
    assert set(task.relevance.itertuples(index=False, name=None)) == {
        ("de:q1", "de:0:1"), ("de:q1", "en:0:1"), ("en:q1", "de:0:1"), ("en:q1", "en:0:1"), ("en:q2", "en:0:0"),
    }  # fmt: skip
    assert dict(zip(task.queries["id"], task.queries["group"], strict=True)) == {"de:q1": "q1", "en:q1": "q1", "en:q2": "q2"}


def test_an_answer_belongs_to_the_sentence_whose_break_starts_at_it(tmp_path):
    """[start, end): an answer that starts just at a break is in the sentence that begins there."""
    content = document("AB", [question("q", "?", "B", "AB")], sentences=["A", "B"], sentence_breaks=[[0, 1], [1, 2]])
    task = squad_folder(write(tmp_path / "x", "en", content))
    assert list(task.relevance["candidate"]) == ["en:0:1"]


def test_published_sentences_are_taken_as_they_are(tmp_path):
    """Two Turkish sentences of XQuAD-R are longer than their break; the sentence is what LAReQA ranks."""
    content = document("Ab. c", [question("q", "?", "c", "Ab. c")], sentences=["Ab. ", "cd"], sentence_breaks=[[0, 4], [4, 5]])
    assert list(squad_folder(write(tmp_path / "x", "tr", content)).candidates["text"]) == ["Ab. ", "cd"]


def test_several_answers_make_several_sentences_relevant(tmp_path):
    qa = question("q", "Which is a city?", "Paris", ENGLISH)
    qa["answers"].append({"text": "Rome", "answer_start": ENGLISH.index("Rome")})
    task = squad_folder(write(tmp_path / "x", "en", document(ENGLISH, [qa])))
    assert list(task.relevance["candidate"]) == ["en:0:0", "en:0:1"]


def qa_of(content, n=0):
    return content["data"][0]["paragraphs"][0]["qas"][n]


def paragraph_of(content):
    return content["data"][0]["paragraphs"][0]


FAULTS = {
    "answer outside": (
        lambda d: qa_of(d)["answers"][0].update(answer_start=35),
        r"question 'q1': the answer starts at 35 and has 5",
    ),
    "negative start": (lambda d: qa_of(d)["answers"][0].update(answer_start=-1), "the answer starts at -1"),
    "wrong offset": (lambda d: qa_of(d)["answers"][0].update(answer_start=2), "not the answer 'Italy'; count characters, not bytes"),
    "no answer": (lambda d: qa_of(d).update(answers=[]), "question 'q1': no answer; drop"),
    "blinded answer": (lambda d: qa_of(d)["answers"][0].update(text=""), r"answer's text is empty \(a blinded test set\?\)"),
    "empty question": (lambda d: qa_of(d).update(question=" "), "question 'q1': empty question"),
    "id twice": (lambda d: qa_of(d, 1).update(id="q1"), "question 'q1': this id already stands in paragraph 0"),
    "unknown key": (
        lambda d: paragraph_of(d).update(sentence=["x"]),
        r"0: unknown key 'sentence' \(did you mean 'sentences'\?\)",
    ),
    "missing key": (lambda d: paragraph_of(d).pop("qas"), "paragraph 0: key 'qas' is missing"),
    "empty context": (lambda d: paragraph_of(d).update(context=""), "paragraph 0: empty context"),
    "no paragraphs": (lambda d: d.update(data=[]), "no paragraphs at all"),
    "no list": (lambda d: d.update(data={}), "file: 'data' must be a list"),
    "breaks alone": (lambda d: paragraph_of(d).update(sentence_breaks=[[0, 3]]), "'sentences' and 'sentence_breaks' must be equally long"),
    "breaks outside": (
        lambda d: paragraph_of(d).update(sentences=["a", "b"], sentence_breaks=[[0, 19], [20, 99]]),
        "in order, inside the context",
    ),
    "between breaks": (
        lambda d: paragraph_of(d).update(sentences=["a", "b"], sentence_breaks=[[0, 3], [4, 8]]),
        r"question 'q1': the answer starts at 31, between two sentence breaks",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_paragraph_and_question(tmp_path, english, fault):
    spoil, message = FAULTS[fault]
    spoil(english)
    folder = write(tmp_path / "x", "en", english)
    with pytest.raises(InputError, match=message) as error:
        squad_folder(folder)
    assert str(folder / "en.json") in str(error.value)


def test_many_faults_are_counted_and_the_first_shown(tmp_path, english):
    paragraph_of(english)["qas"] = [copy.deepcopy(qa_of(english)) | {"id": f"q{n}", "answers": []} for n in range(20)]
    with pytest.raises(InputError, match=r"20 problem\(s\).*'q0'.*'q4': no answer; drop questions without one …$"):
        squad_folder(write(tmp_path / "x", "en", english))


def test_no_files_and_unknown_language(tmp_path, english):
    with pytest.raises(InputError, match=r"no <language>\.json file"):
        squad_folder(tmp_path)
    with pytest.raises(UnknownName, match="unknown language 'xxyy'"):
        squad_folder(write(tmp_path / "x", "xxyy", english))


def test_xquad_without_sentences_is_refused(tmp_path, english):
    with pytest.raises(InputError, match="expected LAReQA's XQuAD-R, not XQuAD"):
        xquad_r(write(tmp_path / "x", "en", english), languages=["en"])


def test_xquad_r_has_the_published_counts(real_data):
    task = xquad_r(real_data / "xquad-r")
    summary = task.summary()
    assert summary["candidates"].to_dict() == XQUAD_R_CANDIDATES
    assert (len(task.candidates), len(task.queries)) == (13_014, 13_090)
    assert set(summary["questions"]) == {1190}
    language = task.candidates.set_index("id")["language"]
    per_language = task.relevance.assign(language=language.loc[task.relevance["candidate"]].to_numpy()).value_counts(["query", "language"])
    assert len(per_language) == 13_090 * 11 and set(per_language) == {1}


def test_mlqa_r_is_near_lareqas_counts(real_data):
    task = mlqa_r(real_data / "mlqa-dev")
    summary = task.summary()
    assert summary["questions"].to_dict() == MLQA_QUESTIONS
    difference = summary["candidates"] / pd.Series(MLQA_R_CANDIDATES) - 1
    assert difference.drop("zh").abs().max() < 0.03 and abs(difference["zh"]) < 0.08
    assert set(task.relevance.groupby("query").size()) == {2, 3, 4}


def test_blinded_real_file_is_refused(real_data):
    """XTREME's TyDi QA dev files carry empty answers."""
    with pytest.raises(InputError, match=r"440 problem\(s\).*a blinded test set"):
        read_squad_json(real_data / "tydiqa-goldp" / "tydiqa.goldp.en.dev.json")
