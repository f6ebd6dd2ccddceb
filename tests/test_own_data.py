"""A user's own files: every fault of theirs is told by `plan`, and what is done with them is said in a line, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment.preparation import prepare_pairs
from hybridir_utils.experiment.run import open_run

CONTEXTS = {
    "de": "Das Haus {} steht seit {} am Fluss. Es hat zwei Türme.",
    "en": "The house {} has stood by the river since {}. It has two towers.",
}
NOTES = """
import sys, warnings
from hybridir_utils.base.errors import warn_in_lines
from hybridir_utils.base.languages import our_codes
from hybridir_utils.library import read_task
from hybridir_utils.results.reading import task_sizes
warn_in_lines()
for _ in range(2):
    warnings.simplefilter("default")  # forgets what was told, as libraries and IPython do
    our_codes(["xx-YY"])
    task_sizes({"squad": read_task("squad"), "beir": read_task("beir")})
warnings.warn_explicit("a library's", UserWarning, "library.py", 7)
"""


def squad_file(language: str, paragraphs: int, odd: int = 0) -> dict:
    """odd: paragraphs from the first on, of 25, whose answer is elsewhere."""
    found = []
    for n in range(paragraphs):
        context, answer = CONTEXTS[language].format(f"H{n}", 1800 + n), str(1800 + n)
        answers = [{"text": answer, "answer_start": 0 if n < odd else context.index(answer)}]
        found.append({"context": context, "qas": [{"id": f"q-{n}", "question": f"{language}: {n}?", "answers": answers}]})
    return {"data": [{"paragraphs": found}]}


def pairs(count: int, languages=("de", "en")) -> str:
    rows = [
        {"id": f"t{n}", "language": code, "question": f"{code}: {n} or not?", "passage": CONTEXTS[code].format(f"T{n}", 1600 + n)}
        for n in range(count)
        for code in languages
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A function that writes files and a profile of them, and returns the profile's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))

    def write(lines: str, odd: int = 0, paragraphs: int = 25) -> str:
        (tmp_path / "pairs.jsonl").write_text(lines, encoding="utf-8")
        (tmp_path / "squad").mkdir()
        for language in CONTEXTS:
            (tmp_path / "squad" / f"{language}.json").write_text(json.dumps(squad_file(language, paragraphs, odd)), encoding="utf-8")
        values = {
            "name": "mine", "languages": [*CONTEXTS], "pair_sets": ["jsonl:pairs.jsonl"], "tasks": ["squad:squad"], "bases": ["aligned"],
            "strategies": ["hybrid"], "seeds": [1], "batch_size": 8,
        }  # fmt: skip
        (tmp_path / "mine.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
        return str(tmp_path / "mine.toml")

    return write


def said_by_plan(profile: str, capsys) -> str:
    assert main(["plan", "--profile", profile]) == 1
    return capsys.readouterr().err


@pytest.mark.filterwarnings("error")
def test_files_without_a_fault_are_planned(mine, capsys):
    assert main(["plan", "--profile", mine(pairs(20))]) == 0 and not capsys.readouterr().err


def test_plan_tells_the_faults_of_all_own_files_at_once(mine, capsys):
    said = said_by_plan(mine(pairs(20)[:-40], odd=9), capsys)
    assert "pairs.jsonl, line 40" in said and "no valid JSON" in said
    assert "de.json: 9 problem(s)" in said and "not where it is said to start" in said


@pytest.mark.parametrize("languages", [["en"], ["de", "en"]])
def test_pairs_with_one_passage_are_refused_by_plan_and_where_they_are_prepared(languages, mine, capsys):
    """Before, an error of a library about an empty list."""
    profile, said = (
        mine(pairs(1, languages)),
        r"pairs\.jsonl: one passage, which is held out.*Add pairs: a batch wants 8 different passages",
    )
    assert re.search(said, said_by_plan(profile, capsys))
    with pytest.raises(InputError, match=said):
        prepare_pairs(open_run(profile))


def test_plan_tells_pairs_that_have_no_english_to_be_compared_with(mine, capsys):
    assert "20 of 20 training pairs such as 't0' have no row in English" in said_by_plan(mine(pairs(20, ["de"])), capsys)


def test_what_is_done_with_own_files_is_a_line_each_told_once(mine, tmp_path):
    """Of every reader; `plan` reads the folder twice, for notebook 08 as well."""
    profile, pool = mine(pairs(20), odd=1), tmp_path / "beir"
    (pool / "qrels").mkdir(parents=True)
    for name in ("corpus", "queries"):
        rows = [{"_id": f"{name}-{code}", "text": f"{name} {code}", "language": code} for code in CONTEXTS]
        (pool / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    judged = ["query-id\tcorpus-id\tscore", *(f"queries-{code}\tcorpus-en\t{gain}" for code in CONTEXTS for gain in (0, 1))]
    (pool / "qrels" / "test.tsv").write_text("\n".join([*judged, "queries-de\tgone\t1"]), encoding="utf-8")
    expected = ["de.json: left out 1 ×", "en.json: left out 1 ×"]
    for command, notes in (
        (["-m", "hybridir_utils", "plan", "--profile", profile], expected),
        (
            ["-c", NOTES],
            [*expected, "test.tsv, line 5: judged before", "gone", "beir: 2 of 2 queries name no `group`", "'xx-YY' stands in no"],
        ),
    ):
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path)
        lines = [line for line in ended.stderr.splitlines() if line.startswith("note: ")]
        assert ended.returncode == 0 and ".py:" not in ended.stderr.replace("library.py:7: UserWarning", ""), ended.stderr
        assert len(lines) == len(notes) and all(sum(note in line for line in lines) == 1 for note in notes), ended.stderr
    assert "library.py:7: UserWarning: a library's" in ended.stderr


def test_evaluate_takes_a_squad_folder(mine, capsys):
    mine(pairs(20))
    assert main(["evaluate", "BM25", "--task", "squad:squad", "--output", "shown"]) == 0
    assert "squad (squad:squad): 50 questions, 100 candidates, languages de en" in capsys.readouterr().out
