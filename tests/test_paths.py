"""One rule for every path: in a profile, on the command line and in the environment it is below the folder that one works in, unless it
begins with `/` or `~`; what the command accepts, the notebooks find.
"""

import json
import os

import pytest
from made_up_suite import notebook

from hybridir_utils.base.files import data_folder, output_root
from hybridir_utils.data.register import Request, data_fault, pair_set, read_task
from hybridir_utils.encode.catalogue import place_of
from hybridir_utils.encode.opening import encoder_fault
from hybridir_utils.experiment.run import open_run
from hybridir_utils.suite.running import run_suite

NAMES = ("data", "my data", "données für Kåre", "数据")
CELL = """
from hybridir_utils.base.files import data_folder, output_root
from hybridir_utils.data.register import Request, pair_set
name = os.environ["PAIRS"]
pairs = pair_set(name).read(name, Request(("de",)))
print(len(pairs), data_folder("mine"), output_root())
"""


@pytest.fixture(params=["relative", "home", "absolute"])
def spelled(request, tmp_path, monkeypatch):
    """A path of the working folder in one of its spellings; the working folder is tmp_path / work."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work))
    return {"relative": str, "home": "~/{}".format, "absolute": lambda name: str(work / name)}[request.param]


def write_own(folder):
    """Pairs and a pool of one's own, and a data set `mine`, below the folder."""
    (folder / "mine").mkdir(parents=True)
    (folder / "pool" / "qrels").mkdir(parents=True)
    row = {"id": "1", "language": "de", "question": "Wo?", "passage": "Dort."}
    (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    text = json.dumps({"_id": "a", "text": "Dort.", "language": "de"}) + "\n"
    for name in ("corpus", "queries"):
        (folder / "pool" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "pool" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\ta\t1\n", encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_found_in_every_spelling(spelled, name, monkeypatch, tiny_base, tmp_path):
    folder = tmp_path / "work" / name
    write_own(folder)
    (folder / "base").symlink_to(tiny_base)
    place, request = spelled(name), Request(("de",))
    for task in (f"jsonl:{place}/pairs.jsonl", f"beir:{place}/pool"):
        assert data_fault(task, request) == ""
    assert len(pair_set("jsonl:x").read(f"jsonl:{place}/pairs.jsonl", request)) == len(read_task(f"beir:{place}/pool").queries) == 1
    assert encoder_fault(place_of(f"st:{place}/base")) == ""
    assert data_folder("mine", place) == data_folder("mine", str(folder)) or data_folder("mine", place).samefile(folder / "mine")
    monkeypatch.setenv("HYBRIDIR_DATA", place)
    assert data_folder("mine").samefile(folder / "mine")
    monkeypatch.setenv("HYBRIDIR_OUTPUT", place)
    assert output_root() == folder


def test_notebooks_find_what_the_command_finds_and_write_nowhere_else(spelled, workplace, monkeypatch, tmp_path):
    notebooks, _ = workplace
    work = tmp_path / "work"
    write_own(work / NAMES[2])
    for name, value in {"HYBRIDIR_DATA": NAMES[2], "HYBRIDIR_OUTPUT": "out put", "PAIRS": f"{NAMES[2]}/pairs.jsonl"}.items():
        monkeypatch.setenv(name, ("jsonl:" if name == "PAIRS" else "") + spelled(value))
    os.mkdir("out put")
    notebook(notebooks, "01_first", CELL)
    before = sorted(path.name for path in notebooks.iterdir())
    (step,) = run_suite(open_run("sample"), only="01", say=lambda _: None)
    printed = json.loads(step.executed.read_text(encoding="utf-8"))["cells"][-1]["outputs"][0]["text"]
    said = "".join(printed)
    assert said.startswith("1 ") and said.rstrip().endswith(str(work / "out put")), said
    assert sorted(path.name for path in notebooks.iterdir()) == before, "nothing lands beside the notebooks"
    there = {path.name for path in work.iterdir() if not path.name.startswith(".")}  # ~ is here: IPython keeps its own in it
    assert there == {"out put", NAMES[2]}
