"""Pools of any shape through all nine notebooks, the report, `plan` and `check`: what a pool lacks is left out with a sentence.

The matrix is generated: each shape says which languages ask, which answer, and whether texts are parallel. Encoders take two steps, since
what they find does not matter here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from fault_run import here
from one_process import shown_by

from hybridir_utils.__main__ import main
from hybridir_utils.experiment import encoders, evaluation
from hybridir_utils.experiment.run import open_run
from hybridir_utils.studies import questions
from hybridir_utils.suite.running import notebooks

SENTENCES = {  # language -> question, answer
    "de": ("Wann wurde das Museum von {} gebaut?", "Das Museum von {} wurde im Jahr {} gebaut und hat zwei Türme."),
    "en": ("When was the museum of {} built?", "The museum of {} was built in the year {} and has two towers."),
    "nb": ("Når ble museet i {} bygget?", "Museet i {} ble bygget i året {} og har to tårn."),
}
PLACES = [
    first + second for first in ("North", "South", "Old", "Lower", "East", "Stone") for second in ("field", "wick", "ham", "bury", "stead")
]
BROKEN = re.compile(r"\b(nan|NaN|inf|None)\b|[:,;(]\s*[.)]")  # what no sentence may have
SLOW = pytest.mark.slow


@dataclass(frozen=True)
class Pool:
    """asking, answering: languages. facts: numbers of what is asked; parallel: translations share their group."""

    asking: tuple[str, ...]
    answering: tuple[str, ...]
    facts: range = range(20, 30)
    parallel: bool = True

    def write(self, folder) -> str:
        """As a BEIR folder; returns the task's name."""
        (folder / "qrels").mkdir(parents=True)
        sides = {"queries": (self.asking, self._query), "corpus": (self.answering, self._answer)}
        for name, (languages, text) in sides.items():
            rows = [self._row(n, language, text(n, language)) for language in languages for n in self._of(language)]
            (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        pairs = [
            (f"{asks}{n}", f"{has}{n}") for asks in self.asking for has in self.answering for n in {*self._of(asks)} & {*self._of(has)}
        ]
        lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{answer}\t1" for query, answer in pairs)]
        (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"beir:{folder}"

    def _of(self, language: str) -> list[int]:
        """The facts of a language: all of them, or its own third where texts are not parallel."""
        return list(self.facts) if self.parallel else list(self.facts)[sorted(SENTENCES).index(language) :: 3]

    def _row(self, n: int, language: str, text: str) -> dict:
        return {"_id": f"{language}{n}", "title": "", "text": text, "language": language} | ({"group": f"f{n}"} if self.parallel else {})

    def _query(self, n: int, language: str) -> str:
        return SENTENCES[language][0].format(PLACES[n])

    def _answer(self, n: int, language: str) -> str:
        return SENTENCES[language][1].format(PLACES[n], 1500 + n)


ALL = tuple(SENTENCES)
SHAPES = {
    "one language": [Pool(("en",), ("en",))],
    "questions in a language the pool lacks": [Pool(("en",), ("de",))],
    "one language beside parallel ones": [Pool(("en",), ("en",)), Pool(ALL, ALL)],
    "parallel ones beside one language": [Pool(ALL, ALL), Pool(("en",), ("en",))],
    "two question languages on one pool language": [Pool(("de", "nb"), ("en",))],
    "nothing parallel": [Pool(ALL, ALL, parallel=False)],
    "one question": [Pool(("en",), ALL, range(20, 21))],
    "one candidate": [Pool(("en",), ("en",), range(20, 21))],
    "no hybrid batches": [Pool(ALL, ALL), Pool(ALL, ALL, range(10, 18))],
}
NO_HYBRID = {"strategies": ["X-X-mono", "X-Y"], "methods": ["X-Y", "distillation"], "seeds": [1, 2]}
QUICK = ("questions in a language the pool lacks", "one question")  # about twelve CPU seconds each


@pytest.fixture
def run(tmp_path, monkeypatch, request):
    """The run of a shape: its pools, tiny encoders, everything in this process."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    for module in (encoders, evaluation, questions):
        monkeypatch.setattr(module, "run_jobs", here)
    monkeypatch.setattr(encoders, "ready_workers", lambda: None)
    tasks = [pool.write(tmp_path / f"pool_{n}") for n, pool in enumerate(SHAPES[request.param])]
    rows = [
        {"id": f"t{n}", "language": code, "question": question.format(PLACES[n]), "passage": answer.format(PLACES[n], 1700 + n)}
        for n in range(20)
        for code, (question, answer) in SENTENCES.items()
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    values = {
        "name": "shape", "languages": [*ALL], "pair_sets": [f"jsonl:{tmp_path / 'pairs.jsonl'}"], "tasks": tasks,
        "shifted_tasks": tasks[1:], "bases": ["aligned"],
        "strategies": ["X-X-mono", "X-Y", "hybrid"], "seeds": [1], "steps": 2, "batch_size": 8, "vocabulary": 300,
        "dimension": 8, "alignment_steps": 2, "validate_every": 2, "resamples": 20, "alphas": [0.0, 0.5, 1.0], "schedules": [],
        "methods": ["X-X-mono", "X-Y", "hybrid"],
    } | (NO_HYBRID if request.param == "no hybrid batches" else {})  # fmt: skip
    (tmp_path / "shape.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
    return open_run(str(tmp_path / "shape.toml"))


@pytest.mark.parametrize("run", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in SHAPES], indirect=True)
def test_every_notebook_and_the_commands_show_what_there_is_and_say_what_there_is_not(run, capsys):
    for notebook in notebooks():
        values = run.profile.model_dump(mode="json") | {"profile": run.source}
        for source, displayed, said in shown_by(notebook, values):
            where = f"{notebook.stem}: {source}"
            assert "Warning" not in said, where + said
            for shown in displayed:
                assert_sound(shown, where)
    assert main(["report", "--profile", run.source]) == 0
    page = re.sub(r"<(style|script|svg).*?</\1>|<[^>]*>", " ", run.report.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"\bnan\b", page, flags=re.IGNORECASE)
    assert main(["plan", "--profile", run.source]) == main(["figures", "--profile", run.source]) == 0
    for table in run.figures.glob("*.md"):
        assert "|" in table.read_text(encoding="utf-8") and not re.search(r"\bnan\b|<NA>|\| *\|", table.read_text(encoding="utf-8")), table
    capsys.readouterr()
    assert main(["check", "--profile", run.source]) == 1 and "nothing to compare" in capsys.readouterr().err


def assert_sound(shown: dict, where: str) -> None:
    """No table without rows, no sentence with a hole."""
    assert not re.search(r"<tbody>\s*</tbody>", shown.get("text/html", "")), where
    assert not re.search(r"Empty DataFrame|Index: \[\]|<NA>", shown.get("text/plain", "")), where
    assert "no two trained strategies" not in shown.get("text/html", ""), where
    sentences = [line for line in shown.get("text/markdown", "").splitlines() if line.startswith("- ")]
    found = {line: match[0] for line in sentences if (match := BROKEN.search(line))}
    assert not found, (where, found)
