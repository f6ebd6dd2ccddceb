"""Files that start the suite elsewhere (GitHub, Binder, Colab), and the citation: well formed, with commands and files of this checkout."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

import nbformat
import pytest
import yaml

import hybridir_utils
from hybridir_utils.__main__ import _parser
from hybridir_utils.base.files import ROOT, output_root
from hybridir_utils.experiment.run import open_run, run_folder

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COLAB = ROOT / "binder" / "colab.ipynb"


def jobs(path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def steps(path) -> list[dict]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def commands() -> list[str]:
    """Every line for a shell in the workflows, Binder's script and Colab's notebook."""
    lines = [line for path in WORKFLOWS for step in steps(path) for line in step.get("run", "").splitlines()]
    cells = "\n".join(cell.source for cell in nbformat.read(COLAB, 4).cells if cell.cell_type == "code")
    return [*lines, *(ROOT / "binder" / "postBuild").read_text().splitlines(), *re.findall(r"^!(.*)$", cells, flags=re.M)]


def test_every_command_is_one_of_the_suites_and_every_file_is_there():
    text = "\n".join(commands())
    suites = re.findall(r"python -m hybridir_utils ([^\n&]*)", text)
    assert {call.split()[0] for call in suites} == {"run", "site"}
    for call in suites:
        _parser().parse_args(call.split())
    files = re.findall(r"-r (\S+)|bash (\S+)", text)
    assert {name for pair in files for name in pair if name} == {"requirements.txt", ".ci/run"}
    assert all((ROOT / name).is_file() for pair in files for name in pair if name)


def test_workflows_run_the_two_commands_of_the_readme_and_publish_the_site():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^    (pip install .* run)$", readme, flags=re.M)[1]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs(WORKFLOWS[1]).items()}
    assert runs == {"tests": ["bash .ci/run"], "suite": [first]}, "the test command is taken out of README by .ci/run"
    (published,) = (step["with"]["path"] for step in steps(WORKFLOWS[0]) if "upload-pages-artifact" in step.get("uses", ""))
    assert output_root() / published == run_folder(open_run("sample").name) / "site"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_have_what_github_asks_for_and_say_that_they_were_not_run(path):
    text = path.read_text(encoding="utf-8")
    read = yaml.safe_load(text)
    assert read["name"] == path.stem and read[True] and read["permissions"]["contents"] == "read", "`on` is True in YAML 1.1"
    for job in read["jobs"].values():
        assert job["runs-on"] and all(("uses" in step) != ("run" in step) for step in job["steps"])
        assert job["steps"][0]["uses"].startswith("actions/checkout@")
    assert "never run by its authors" in text


def test_binders_files_are_repo2dockers_and_take_the_pins_from_the_requirements():
    script, environment = ROOT / "binder" / "postBuild", yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
    assert os.access(script, os.X_OK) and script.read_text().startswith("#!/bin/bash\n") and "set -e" in script.read_text()
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    (inner,) = re.findall(r"\$\((grep [^)]*)\)", script.read_text())
    found = subprocess.run(["bash", "-c", inner], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.fullmatch(r"torch==[\d.]+\n", found)
    assert environment["dependencies"][0] == yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][0]


def test_colabs_notebook_is_valid_and_has_no_outputs():
    notebook = nbformat.read(COLAB, 4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells) and "not run there by its authors" in notebook.cells[0].source
    assert [cell.metadata.get("tags") for cell in notebook.cells].count(["parameters"]) == 1


def test_the_citation_is_this_version_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["cff-version"] == "1.2.0" and cited["message"] and cited["title"] and cited["type"] == "software"
    assert cited["authors"] == [{"name": "The HybridIR authors"}]
    assert (cited["version"], cited["license"]) == (hybridir_utils.__version__, project["license"])
    (paper,) = cited["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Elmahdy", "Lin", "Ahmad"] and paper["doi"].endswith("2408.10536")
    assert paper["title"].startswith("Synergistic Approach for Simultaneous Optimization") and paper["type"] == "article"
