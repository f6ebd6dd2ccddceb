"""The README's example is run as it is printed, on a small parallel corpus, a small pool and a tiny local model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SUBJECTS = ["Austria", "Bolivia", "Chad", "Denmark", "Estonia", "Fiji", "Ghana", "Haiti"]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files the example names."""
    from hybridir_utils.data.pairs import read_pairs_jsonl
    from hybridir_utils.tasks.beir import write_beir
    from hybridir_utils.tasks.retrieval_task import task_from_pairs
    from hybridir_utils.train.base_encoders import make_unaligned

    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": name, "passage_id": name, "language": language, "question": f"{ask} {name}?", "passage": f"{tell} {name}.", "source": "mine"}
        for name in SUBJECTS * 10
        for language, ask, tell in (("en", "Where is", "Here lies"), ("de", "Wo liegt", "Hier liegt"), ("es", "¿Dónde está", "Aquí está"))
    ]
    rows = [{**row, "id": f"{row['id']}{i // 3}", "passage_id": f"{row['id']}{i // 3}"} for i, row in enumerate(rows)]
    Path("pairs.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    pairs = read_pairs_jsonl(Path("pairs.jsonl"))
    Path("my-pool").mkdir()
    write_beir(task_from_pairs("pool", pairs), Path("my-pool"))
    model = tmp_path / "intfloat" / "multilingual-e5-small"
    model.mkdir(parents=True)
    make_unaligned(model, pairs["passage"], vocabulary=200, dimension=16, seed=0)


def test_library_example_runs_as_printed(workplace, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)
    assert len(example.strip().splitlines()) <= 16
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "multilingual" in printed and "mAP" in printed


@pytest.mark.parametrize("name, task", [("sample", "worldfacts-test"), ("xquad", "xquad-r"), ("xquad", "mlqa-r")])
def test_numbers_of_the_readme_are_the_committed_results(name, task):
    assert readme_table(name, task) in README.read_text(encoding="utf-8")


def test_claims_of_the_readme_are_the_committed_verdicts():
    import pandas as pd

    from hybridir_utils.base.files import ROOT
    from hybridir_utils.studies.claims.judging import claims_markdown

    claims = pd.read_csv(ROOT / "data" / "results" / "sample" / "claims.csv", keep_default_na=False)
    assert claims_markdown(claims) in README.read_text(encoding="utf-8")


def readme_table(name: str, task: str) -> str:
    """The README's table of one task, from the committed results."""
    import pandas as pd

    from hybridir_utils.base.files import ROOT
    from hybridir_utils.results.tables import markdown, score_table

    folder = ROOT / "data" / "results" / name
    table = score_table(*(pd.read_csv(folder / f"{part}.csv", keep_default_na=False, na_values=[""]) for part in ("scores", "bias")))
    return markdown(table.loc[task][["Mo. mAP", "Cr. mAP", "Mul. mAP", "rank distance"]].drop("unaligned"))


def test_commands_of_the_readme_exist():
    from hybridir_utils.__main__ import _parser

    text = README.read_text(encoding="utf-8")
    called = re.findall(r"python -m hybridir_utils ([a-z]+[^\n`#&|]*)", text)
    assert len(called) >= 5
    for command in called:
        _parser().parse_args(command.split())


def test_readme_names_only_files_that_exist():
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / link).exists(), link


def test_counts_of_the_readme_are_the_corpus(real_data):
    from hybridir_utils.data.register import Request, read_task
    from hybridir_utils.data.worldfacts import facts, template_languages

    text = README.read_text(encoding="utf-8")
    candidates = len(read_task("mlqa-r", Request(data_dir=str(real_data))).candidates)
    assert f"{len(facts()):,} facts in 12 relations and {len(template_languages())} languages" in text
    assert f"{candidates:,} candidates" in text and "counts 20,534" in text
