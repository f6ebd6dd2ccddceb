"""What stands where a text belongs: missing values are read as missing where the format allows it, all else is refused with its line; no
reader lets a "None" or a "nan" into a text.
"""

import gzip
import json
import math
from copy import deepcopy

import pytest

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.pairs import read_pairs_jsonl
from hybridir_utils.data.sections import held_out_articles, read_sections
from hybridir_utils.tasks.beir import read_beir
from hybridir_utils.tasks.public_sets import mkqa_questions
from hybridir_utils.tasks.squad import squad_folder

LONG = "A sentence that is long enough for a section of a document, and then some more of it."
PAIR = {
    "id": "a",
    "language": "de",
    "question": "Wo?",
    "passage": "Dort.",
    "passage_id": "p",
    "source": "s",
    "negative": "Da.",
    "negative_id": "n",
}
TEXT = {"_id": "d", "title": "T", "text": "Dort.", "language": "de", "group": "g"}
SECTION = {"id": "x#1", "title": "T", "heading": "Where?", "text": LONG}
ABSENT = object()
VALUES = {
    "absent": ABSENT,
    "null": None,
    "NaN": math.nan,
    "blank": " ",
    "number": 7,
    "decimal": 1.5,
    "true": True,
    "list": ["x"],
    "object": {"x": 1},
}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def pairs(folder, row):
    lines(folder / "pairs.jsonl", row, PAIR | {"id": "b", "passage_id": "q", "passage": "Hier.", "negative": "Nein.", "negative_id": "r"})
    return read_pairs_jsonl(folder / "pairs.jsonl").to_list()


def beir(folder, row, kind):
    rows = {"corpus": [TEXT, TEXT | {"_id": "e", "group": "h"}], "queries": [{k: v for k, v in TEXT.items() if k != "title"}]}
    rows[kind][0] = row
    for name, those in rows.items():
        lines(folder / f"{name}.jsonl", *those)
    (folder / "qrels").mkdir()
    query, document = (rows[name][0].get("_id") for name in ("queries", "corpus"))
    judged = "\n".join(f"{query}\t{id_}\t1" for id_ in (document, "e"))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    task = read_beir(folder)
    return task.queries.to_dict("records") + task.candidates.to_dict("records")


def sections(folder, row):
    lines(folder / "en.jsonl.gz", row, SECTION | {"id": "y#1", "heading": "Who?", "text": LONG[::-1]})
    assert held_out_articles(folder)
    return read_sections(folder, ["en"], "s").to_list()


def questions(folder, row):
    for code in ("de", "en"):
        lines(
            folder / "mkqa-questions" / f"{code}.jsonl",
            row if code == "de" else {"id": "1_en", "question": "A?"},
            *({"id": f"{n}_{code}", "question": f"{n}?"} for n in (2, 3)),
        )
    return mkqa_questions([], str(folder)).texts.to_dict("records")


def squad(folder, row, kind):
    answer = {"text": "Rome", "answer_start": 0}
    paragraph = {"context": "Rome is old. It is large.", "qas": [{"id": "q1", "question": "What?", "answers": [answer]}]}
    paragraph["qas"] += [{"id": "q2", "question": "Where?", "answers": [dict(answer)]}]
    place = {"paragraph": paragraph, "question": paragraph["qas"][0], "answer": answer}[kind]
    place.clear()
    place.update(row)
    folder.mkdir(exist_ok=True)
    (folder / "en.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    task = squad_folder(folder)
    return task.queries.to_dict("records") + task.candidates.to_dict("records")


QUESTION = {"id": "q1", "question": "What?", "answers": [{"text": "Rome", "answer_start": 0}]}
PARAGRAPH = {"context": "Rome is old. It is large.", "qas": [QUESTION]}
# reader -> its call, a good row, the fields that may be missing, the file that is named
READERS = {
    "pairs": (pairs, PAIR, {"passage_id", "source", "negative", "negative_id"}, "pairs.jsonl, line 1"),
    "corpus": (lambda f, r: beir(f, r, "corpus"), TEXT, {"title", "text", "group"}, "corpus.jsonl, line 1"),
    "queries": (lambda f, r: beir(f, r, "queries"), {k: v for k, v in TEXT.items() if k != "title"}, {"group"}, "queries.jsonl, line 1"),
    "sections": (sections, SECTION, {"title", "heading", "text"}, "en.jsonl.gz, line 1"),
    "mkqa": (questions, {"id": "1_de", "question": "A?"}, set(), "de.jsonl, line 1"),
    "squad paragraph": (lambda f, r: squad(f, r, "paragraph"), PARAGRAPH, set(), "en.json"),
    "squad question": (lambda f, r: squad(f, r, "question"), QUESTION, set(), "en.json"),
    "squad answer": (lambda f, r: squad(f, r, "answer"), {"text": "Rome", "answer_start": 0}, set(), "en.json"),
}
CASES = [(reader, field, value) for reader, (_, row, *_) in READERS.items() for field in row for value in VALUES]


@pytest.mark.parametrize("reader, field, value", CASES)
def test_a_value_that_is_no_text_is_missing_or_refused_with_its_line(tmp_path, reader, field, value):
    read, good, optional, place = READERS[reader]
    row = deepcopy(good) | {field: VALUES[value]}
    if value == "absent":
        del row[field]
    try:
        found = read(tmp_path / "x", row)
    except InputError as error:
        assert place in str(error), error
        assert field not in optional or value not in ("null", "NaN", "blank"), "missing where it may be missing"
        return
    texts = [text for each in found for text in each.values()]
    assert all(isinstance(text, str) for text in texts)
    assert not any(word in text for text in texts for word in ("None", "nan", "NaN", "True", "1.5", "['x']", "{'x'")), texts
    if value == "number":
        assert field.endswith(("id", "group")) or field == "answer_start", "a number stands for an id alone"
    elif value in ("null", "NaN", "blank"):
        assert field in optional, "what is needed is refused where it is missing"
        absent = {key: other for key, other in row.items() if key != field}
        if (reader, field) != ("corpus", "text") and reader != "sections":
            assert found == read(tmp_path / "y", absent), "as if it were not there"
    else:
        assert value == "absent" and field in optional, (value, field)
