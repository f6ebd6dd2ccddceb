"""SQuAD-format sets as retrieval tasks: LAReQA's counts on the real files, and every fault of a file named with its place."""

import copy
import json
import unicodedata
import warnings
from functools import partial
from itertools import product

import pandas as pd
import pytest

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError
from hybridir_utils.data.register import read_task
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.tasks.sentences import sentence_spans
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
        r"1 × an answer outside its context .such as paragraph 0, question 'q1': it starts at 35 and has 5",
    ),
    "negative start": (lambda d: qa_of(d)["answers"][0].update(answer_start=-1), "it starts at -1"),
    "wrong offset": (lambda d: qa_of(d)["answers"][0].update(answer_start=2), "count characters, not bytes.*not 'Italy'"),
    "no answer": (lambda d: qa_of(d).update(answers=[]), "no answer .such as paragraph 0, question 'q1'"),
    "blinded answer": (lambda d: qa_of(d)["answers"][0].update(text=""), r"answer whose text is empty \(a blinded test set\?\)"),
    "empty question": (lambda d: qa_of(d).update(question=" "), "empty question .such as paragraph 0, question 'q1'"),
    "id twice": (lambda d: qa_of(d, 1).update(id="q1"), "an id that already stands .such as paragraph 0, question 'q1': in paragraph 0"),
    "no offset": (lambda d: qa_of(d)["answers"][0].update(answer_start="39.5"), "an answer_start that is no whole number.*found '39.5'"),
    "no id": (lambda d: qa_of(d).update(id=None), "a question without an id .such as paragraph 0"),
    "all unanswerable": (lambda d: [qa.update(is_impossible=True) for qa in paragraph_of(d)["qas"]], "2 × marked as unanswerable"),
    "misspelled key": (lambda d: d["data"][0].update(paragraph=d["data"][0].pop("paragraphs")), r"missing .did you mean 'paragraph'"),
    "other sentences": (
        lambda d: paragraph_of(d).update(sentences=["Something else.", "Rome is in Italy."], sentence_breaks=[[0, 19], [20, 37]]),
        "paragraph 0: the sentence 'Something else.' is not between its breaks, where the context has 'Paris is in France.'",
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
    "no number": (
        lambda d: paragraph_of(d).update(sentences=["a", "b"], sentence_breaks=[[0, 19], [20, float("inf")]]),
        "in order, inside the context",
    ),
    "between breaks": (
        lambda d: paragraph_of(d).update(sentences=["Par", "s is"], sentence_breaks=[[0, 3], [4, 8]]),
        r"an answer between two sentence breaks .such as paragraph 0, question 'q1': it starts at 31",
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
    with pytest.raises(InputError, match=r"20 problem\(s\), 0 usable questions; 20 × no answer .such as .*'q0'; .*'q2'"):
        squad_folder(write(tmp_path / "x", "en", english))


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        ({"text": "Italy", "answer_start": "31", "answer_id": 5, "answer_category": None}, 31),
        ({"text": "Italy", "answer_start": 31.0}, 31),
        ({"text": "italy ", "answer_start": 31}, 31),
        ({"text": " Italy", "answer_start": 30}, 31),
        ({"text": "Rome\u00a0is", "answer_start": 20}, 20),
    ],
)
def test_harmless_differences_change_nothing(tmp_path, english, answer, start):
    qa_of(english)["answers"], english["data"][0]["source"] = [answer], "a key of the set's own"
    paragraph = read_squad_json(write(tmp_path / "x", "en", english) / "en.json", bad_share=0)[0]
    assert paragraph.questions[0].answer_starts in [(start,), (start - 1,)] and ENGLISH[start] in "IR"
    assert sentence_of(paragraph, 0) == "Rome is in Italy."


def sentence_of(paragraph, number):
    (start,) = paragraph.questions[number].answer_starts
    return next(paragraph.context[a:b] for a, b in sentence_spans(paragraph.context, "en") if a <= start < b)


FORMS = ("NFC", "NFD", "entities")
ONE_DIFFERENCE = [pair for pair in product(FORMS, FORMS) if pair != ("entities", "NFD")]


@pytest.mark.parametrize(("form", "counted"), ONE_DIFFERENCE)
def test_an_answer_is_found_whatever_form_its_offset_was_counted_in(tmp_path, form, counted):
    """The context in one form, answer and offset in another, as files are that went through several tools."""
    forms = {"NFC": partial(unicodedata.normalize, "NFC"), "NFD": partial(unicodedata.normalize, "NFD"), "entities": lambda t: t}
    context = "Hà Nội & Huế là hai thành phố. Thành phố nằm bên sông Hồng & sông Đuống. Sông Hồng dài."
    stored = context.replace("&", "&amp;") if form == "entities" else forms[form](context)
    start = forms[counted](context).index(forms[counted]("sông Hồng"))
    answer = {"text": forms[counted]("sông Hồng"), "answer_start": start}
    content = document(stored, [{"id": "1", "question": "?", "answers": [answer]}])
    paragraph = read_squad_json(write(tmp_path / "x", "vi", content) / "vi.json", bad_share=0)[0]
    assert unicodedata.normalize("NFC", paragraph.context[paragraph.questions[0].answer_starts[0] :]).startswith("sông Hồng &")


def test_unanswerable_and_a_few_unusable_questions_are_left_out_and_counted(tmp_path):
    """A third unanswerable, as SQuAD 2.0 has them; two of forty others are not where they are said to be."""
    qas = [question(f"q{n}", "Where?", "Italy", ENGLISH) for n in range(40)]
    qas[3]["answers"][0]["answer_start"], qas[7]["answers"] = 2, []
    qas += [{"id": f"u{n}", "question": "Who?", "answers": [], "is_impossible": True} for n in range(20)]
    folder = write(tmp_path / "x", "en", document(ENGLISH, qas))
    with pytest.warns(
        UserWarning, match=r"left out 1 × .*count characters.*'q3'.*1 × no answer.*'q7'.*20 × marked as unanswerable; 38 ques"
    ):
        assert len(squad_folder(folder).queries) == 38
    with pytest.raises(InputError, match=r"22 problem.s., 38 usable questions; 1 × "):
        squad_folder(folder, bad_share=0.04)


def test_a_question_keeps_the_answers_that_are_where_they_should_be(tmp_path, english):
    qa_of(english)["answers"].append({"text": "Italy", "answer_start": 3})
    assert read_squad_json(write(tmp_path / "x", "en", english) / "en.json", bad_share=0)[0].questions[0].answer_starts == (31,)


def test_running_numbers_as_ids_of_two_languages_are_warned_of(tmp_path, english):
    for number, qa in enumerate(paragraph_of(english)["qas"], start=1):
        qa["id"] = number
    folder = write(tmp_path / "x", "en", english)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        squad_folder(folder)
        long = write(tmp_path / "long", "en", document(ENGLISH, [question("9" * 5000, "Where is Rome?", "Italy", ENGLISH)]))
        assert squad_folder(long).queries["group"][0] == "9" * 5000, "longer than Python reads a number"
    with pytest.warns(UserWarning, match=r"the ids of de, en look like running numbers.*put the language before each id \(de-1\)"):
        squad_folder(write(folder, "de", document(GERMAN, [question(1, "Wo liegt Rom?", "Italien", GERMAN)])))


def test_no_files_and_unknown_language(tmp_path, english):
    with pytest.raises(InputError, match=r"no <language>\.json file"):
        squad_folder(tmp_path)
    with pytest.warns(UserWarning, match="passed over.*: dev"), pytest.raises(InputError, match=r"no <language>\.json file"):
        squad_folder(write(tmp_path / "x", "dev", english))


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
    with pytest.raises(InputError, match=r"440 problem\(s\).*440 × .*a blinded test set"):
        read_squad_json(real_data / "tydiqa-goldp" / "tydiqa.goldp.en.dev.json")


def test_the_bound_on_unusable_questions_is_a_value_of_a_profile_and_of_the_command(tmp_path, english, capsys):
    """It stands in the recipes of what depends on it, and of nothing else."""
    qas = english["data"][0]["paragraphs"][0]["qas"]
    qas.append({**qas[0], "id": "lost", "answers": [{"text": "nowhere", "answer_start": 0}]})
    folder, share = write(tmp_path / "mine", "en", english), 1 / 3  # one of three questions
    values = {"tasks": (f"squad:{folder}", "worldfacts-test"), "bad_share": share}
    with pytest.warns(UserWarning, match="left out 1"):
        assert read_task(f"squad:{folder}", load_profile("sample", values).request).queries.shape[0] > 0
    with pytest.raises(InputError, match=r"At most 0% of a file's questions are left out \(`bad_share`\)"):
        read_task(f"squad:{folder}", load_profile("sample", values | {"bad_share": 0.0}).request)
    profile = load_profile("sample", values)
    assert profile.reading(f"squad:{folder}") == {"bad_share": share} and profile.reading("worldfacts-test") == {}
    assert main(["evaluate", "BM25", "--task", str(folder), "--bad-share", "0"]) == 1 and "bad_share" in capsys.readouterr().err
