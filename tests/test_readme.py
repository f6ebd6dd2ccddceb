"""The README's example is run as it is printed; numbers, commands and links of all pages are those of the checkout."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
PAGES = [
    README,
    *(
        README.parent / place / "README.md"
        for place in ("data", "data/results", "notebooks/profiles", "tests", "tests/benchmarks", "hybridir_utils", "binder")
    ),
]
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
    for i, row in enumerate(rows):
        row |= {key: f"{row[key]}{i // 3}" for key in ("id", "passage_id", "passage")}
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
    assert "Mul." in printed and "mAP" in printed and "p_holm" in printed


RESULTS = README.parent / "data" / "results" / "README.md"


FILLED = {"scores", "claims", "order", "mean-tested", "methods", "many-languages", "many-beside-a-mean"}


@pytest.mark.parametrize(("page", "kinds"), [(README, {"scores", "order", "beside-a-mean"}), (RESULTS, FILLED)], ids=["README", "results"])
def test_numbers_of_the_pages_are_the_committed_results(page, kinds):
    from hybridir_utils.suite.reference import BLOCK, filled

    text = page.read_text(encoding="utf-8")
    assert {what for _, _, what, *_ in BLOCK.findall(text)} == kinds
    assert filled(text, saved) == text
    other = filled(text, lambda run, table: saved(run, table).replace({"verdict": "supported"}, "not supported").assign(value=0.5))
    assert "✓ supported" not in other and other.count("0.500") > 8


def test_a_block_names_references_where_it_asks_for_them_and_a_sentence_the_tasks_that_it_asks_for():
    from hybridir_utils.suite.reference import filled

    def block(what: str) -> str:
        return filled(f"<!-- numbers: pretrained {what} -->\n<!-- end -->", saved)

    one, both = (block(f"scores xquad-r me5-small-4bit{reference}") for reference in ("", " reference"))
    assert "| strategy | Mo. mAP |" in one and "BM25" not in one
    assert "| base | strategy | Mo. mAP |" in both and "| reference | BM25 |" in both
    told, every = block("order xquad-r"), block("order")
    assert "xquad-r, from" in told and "mlqa-r" not in told and "mlqa-r, from" in every
    assert "xquad-r, from me5-small-4bit: ahead of X-X-mono (+0.026), not clearly different from X-Y (-0.015)" in told


def saved(run: str, table: str):
    import pandas as pd

    from hybridir_utils.base.files import ROOT

    return pd.read_csv(ROOT / "data" / "results" / run / f"{table}.csv", keep_default_na=False, na_values=[""])


NOTEBOOKS = sorted((README.parent / "notebooks").glob("*.ipynb"))


def words_of(page: Path) -> str:
    """What a page says; of a notebook its Markdown cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: page.stem if page in NOTEBOOKS else page.parent.name)
def test_commands_of_the_pages_and_notebooks_exist(page):
    from hybridir_utils.__main__ import _parser

    for command in re.findall(r"python -m hybridir_utils ([a-z]+[^\n`#&|]*)", words_of(page)):
        _parser().parse_args(shlex.split(command))


def test_commands_of_notebooks_are_read():
    assert "python -m hybridir_utils check" in "".join(map(words_of, NOTEBOOKS))


def test_profiles_that_pages_notebooks_and_catalogues_name_exist():
    from hybridir_utils.base.files import NOTEBOOKS, PROFILES, ROOT

    for place in [*PAGES, *NOTEBOOKS.glob("*.ipynb"), *PROFILES.glob("*.toml"), *(ROOT / "data").glob("*.toml")]:
        for name in re.findall(r"--profile ([a-z]\w*)", place.read_text(encoding="utf-8")):
            assert (PROFILES / f"{name}.toml").is_file(), f"{place.name}: --profile {name}"


def test_the_table_of_profiles_names_the_papers_tasks_that_each_evaluates_on():
    import tomllib

    from hybridir_utils.base.files import PROFILES

    called = {"xquad-r": "XQuAD-R", "mlqa-r": "MLQA-R", "miracl": "MIRACL"}
    for name, cells in re.findall(r"^\| \[(\w+)\]\(\w+\.toml\)(.*)$", (PROFILES / "README.md").read_text(encoding="utf-8"), flags=re.M):
        evaluated = cells.split("|")[2].partition("clean of")[0]
        tasks = tomllib.loads((PROFILES / f"{name}.toml").read_text(encoding="utf-8"))["tasks"]
        assert {task for task, word in called.items() if word in evaluated} == called.keys() & tasks, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_pages_name_only_files_that_exist(page):
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_the_two_commands_stand_on_the_first_screen():
    head = README.read_text(encoding="utf-8").splitlines()[:16]
    assert {"    pip install -r requirements.txt && python -m hybridir_utils run", "    pip install -r requirements.txt && pytest"} <= set(
        head
    )
    assert README.stat().st_size <= 8 * 1024


def test_counts_of_the_readme_are_the_corpus(real_data):
    from hybridir_utils.data.register import Request, read_task
    from hybridir_utils.data.worldfacts import facts, template_languages

    text = README.read_text(encoding="utf-8")
    candidates = len(read_task("mlqa-r", Request(data_dir=str(real_data))).candidates)
    assert f"{len(facts()):,} facts in 12 relations and {len(template_languages())} languages" in text
    sets = (README.parent / "data" / "README.md").read_text(encoding="utf-8")
    assert f"{candidates:,} candidates" in sets and "counts 20,534" in sets
