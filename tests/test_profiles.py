"""Profiles are closed and typed: what a run uses is in a file, and a wrong value is refused before anything runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from hybridir_utils.base import files
from hybridir_utils.base.errors import HybridIRError, InputError, UnknownName, did_you_mean
from hybridir_utils.experiment.profile import Profile, load_profile, make_profile
from hybridir_utils.experiment.run import SET_VARIABLE, open_run, save_table
from hybridir_utils.provenance import reads
from hybridir_utils.suite.notebook import _refuse_unknown, start

FILES = sorted(files.PROFILES.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_committed_profile_loads_and_has_its_files_name(path):
    profile = load_profile(path.stem)
    assert profile.name == path.stem
    assert load_profile(str(path)) == profile


@pytest.mark.parametrize(
    ("changes", "found", "nearest"),
    [
        ({"alhpa": 0.3}, "alhpa", "alpha"),
        ({"strategies": ["hybird"]}, "hybird", "hybrid"),
        ({"bases": ["alligned"]}, "alligned", "aligned"),
        ({"tasks": ["xquad"]}, "xquad", "xquad-r"),
        ({"pair_sets": ["world-facts"]}, "world-facts", "worldfacts"),
        ({"languages": ["en", "de"], "unseen_languages": ["dee"]}, "dee", "de"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_and_the_file(changes, found, nearest):
    with pytest.raises(HybridIRError) as caught:
        load_profile("sample", changes)
    message = str(caught.value)
    assert f"{found!r}" in message and re.search(r"changes to \S*sample\.toml", message)
    assert nearest is None or f"did you mean {nearest!r}?" in message


def test_the_known_names_are_listed_where_they_are_few_or_none_is_near():
    """Of the sixty keys and more, the page that documents them is named in place of a screen of text."""
    with pytest.raises(
        UnknownName, match=r"unknown parameter .*'alhpa' .did you mean 'alpha'.*\. All stand in notebooks/profiles/README\.md\.$"
    ):
        load_profile("sample", {"alhpa": 0.3})
    with pytest.raises(HybridIRError, match=r"'hybird' .did you mean 'hybrid'.*Known: .*X-Y"):
        load_profile("sample", {"strategies": ["hybird"]})
    with pytest.raises(UnknownName, match=r"'qqq'\. Known: name, languages, .*compare_with\.$"):
        load_profile("sample", {"qqq": 1})


@pytest.mark.parametrize("key", ["languages", "unseen_languages", "task_languages", "question_languages", "many_languages", "many_unseen"])
def test_languages_may_be_written_in_any_form_and_what_is_no_code_is_refused(key):
    more = {"languages": ["no", "zh", "pt"], "many_languages": ["no", "zh", "pt"]}
    profile = load_profile(
        "sample", {"unseen_languages": [], "many_unseen": [], "many_counts": [], **more, key: ["nob", "zho_Hans", "pt-BR", "nb"]}
    )
    assert getattr(profile, key) == ("no", "zh", "pt")
    with pytest.raises(InputError, match=r"sample\.toml: 'greek' is no code of a language .did you mean 'el'"):
        load_profile("sample", {key: ["greek"]})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": 1.2}, "alpha = 1.2: expected at most 1"),
        ({"alpha": -0.1}, "alpha = -0.1: expected at least 0"),
        ({"alpha": float("nan")}, "alpha = nan"),
        ({"alpha": "half"}, "alpha = 'half': expected a number"),
        ({"steps": 2.5}, "steps = 2.5: expected a whole number"),
        ({"steps": True}, "steps = True"),
        ({"steps": 0}, "steps = 0"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"depth": 20}, "depth = 20"),
        ({"seeds": []}, "seeds = (): expected at least 1"),
        ({"alphas": [0.5]}, "alphas = (0.5,): expected two or more different values"),
        ({"alphas": [0.5, 0.5]}, "alphas = (0.5, 0.5): expected two or more different values"),
        ({"alphas": [0.5, 1.5]}, "alphas.1 = 1.5: expected at most 1"),
        ({"seeds": 1}, "seeds = 1"),
        ({"seeds": ["1"]}, "seeds.0 = '1'"),
        (
            {"languages": "en"},
            "languages = 'en': expected a list, as ['en']; on the command line --set 'languages=[…]', to papermill -y 'languages: […]'",
        ),
        ({"languages": []}, "languages = ()"),
        ({"train_in_place": 1}, "train_in_place = 1"),
        ({"name": "../elsewhere"}, "name = '../elsewhere': expected small letters (a to z), digits and _ alone"),
        ({"name": "a" * 61}, f"name = '{'a' * 61}': expected at most 60 characters"),
        ({"compare_with": ["a" * 300]}, "expected at most 130 characters"),
        ({"learning_rate": 0}, "learning_rate = 0: expected more than 0"),
        ({"precision": "fp8"}, "precision = 'fp8': expected 'fp32' or 'bf16'"),
        ({"compile": "yes"}, "compile = 'yes': expected true or false"),
    ],
)
def test_wrong_types_and_ranges_are_refused_naming_key_value_and_file(changes, said):
    with pytest.raises(InputError) as caught:
        load_profile("sample", changes)
    assert said in str(caught.value) and str(caught.value).startswith("changes to sample.toml: ")


def test_what_a_list_has_twice_counts_once():
    twice = {
        "strategies": ["hybrid", "X-Y"],
        "seeds": [3, 1],
        "alphas": [0.5, 0.0],
        "many_counts": [11, 5],
        "methods": ["crop", "hybrid"],
        "tasks": ["worldfacts-test", "worldfacts-brief"],
        "schedules": ["annealed"],
    }
    profile = load_profile("sample", {key: value * 2 for key, value in twice.items()})
    assert {key: list(getattr(profile, key)) for key in twice} == twice
    assert open_run("sample", seeds=[1, 2, 3, 1]).name == "sample", "no run of its own"


def test_a_wrong_value_of_the_file_is_not_called_a_change(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text((files.PROFILES / "sample.toml").read_text(encoding="utf-8").replace("alpha = 0.5", "alpha = 5"), encoding="utf-8")
    with pytest.raises(InputError, match=rf"^{re.escape(str(mine))}: alpha = 5: "):
        load_profile(str(mine), {"steps": 5})


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(InputError, match=r"alpha = 2.*steps = 0"):
        load_profile("sample", {"alpha": 2, "steps": 0})


def test_a_missing_value_is_named():
    with pytest.raises(InputError, match=r"mine\.toml: .*seeds is missing"):
        make_profile({key: value for key, value in load_profile("sample").model_dump().items() if key != "seeds"}, "mine.toml")


def test_a_profile_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_profile("sample").alpha = 0.1


def test_own_models_and_data_may_be_named_by_place():
    profile = load_profile("sample", {"bases": ["st:some/model"], "tasks": ["beir:/a/folder"], "pair_sets": ["jsonl:mine.jsonl"]})
    assert profile.bases == ("st:some/model",)


def test_an_unknown_profile_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"'sampel' \(did you mean 'sample'\?\)"):
        load_profile("sampel")


def test_a_profile_file_of_ones_own(tmp_path):
    mine = tmp_path / "mine.toml"
    text = (files.PROFILES / "sample.toml").read_text(encoding="utf-8").replace('name = "sample"', 'name = "mine"')
    mine.write_text(text, encoding="utf-8")
    run = open_run(str(mine), alpha=0.25)
    assert (run.name, run.source, run.profile.alpha) == ("mine+alpha=0.25", str(mine), 0.25)


def test_a_value_of_none_is_the_profiles_own(tmp_path, monkeypatch):
    mine = tmp_path / "mine.toml"
    text = (files.PROFILES / "sample.toml").read_text(encoding="utf-8").replace('name = "sample"', 'name = "mine"')
    mine.write_text(text.replace("seeds = [1, 2, 3]", "seeds = [7, 8]"), encoding="utf-8")
    run = open_run(str(mine), alpha=None, seeds=None)
    assert (run.name, run.profile.alpha, run.profile.seeds) == ("mine", 0.5, (7, 8))
    assert open_run(str(mine), alpha=0.3, seeds=None).name == "mine+alpha=0.3"
    monkeypatch.setenv(SET_VARIABLE, '{"alpha": 0.2, "seeds": null}')
    run = open_run(str(mine), alpha=None, seeds=None)
    assert (run.profile.alpha, run.profile.seeds) == (0.2, (7, 8)), "the command's values hold first"
    with pytest.raises(UnknownName, match=r"'alhpa' .did you mean 'alpha'"):
        open_run(str(mine), alhpa=None)


def test_a_profile_file_that_is_not_there():
    with pytest.raises(InputError, match=r"nowhere\.toml: no such profile file"):
        load_profile("nowhere.toml")


@pytest.mark.parametrize("content", [b"alpha = ", b"alpha = 0.5\nalpha = 0.6\n", "name = 'ä'".encode("latin-1"), b"\x00\x01"])
def test_a_file_that_is_no_toml_in_utf8_is_named(tmp_path, content):
    broken = tmp_path / "broken.toml"
    broken.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.toml.*(not readable as UTF-8 TOML|not UTF-8)"):
        load_profile(str(broken))


def test_changed_values_name_the_run_and_unchanged_ones_do_not():
    assert open_run("sample").name == "sample"
    assert open_run("sample", alpha=0.5, seeds=[1, 2, 3]).name == "sample"
    assert open_run("sample", alpha=0.3).name == "sample+alpha=0.3"
    assert open_run("sample", seeds=[4, 5]).name == "sample+seeds=4-5"


def test_what_changes_no_result_gives_a_run_no_name_of_its_own():
    assert open_run("sample", jobs=1, scheduler="tcp://host:8786", batch_tokens=99).name == "sample"
    assert open_run("sample", jobs=1, alpha=0.3).name == "sample+alpha=0.3"


@pytest.mark.parametrize(
    "changes", [{"data_dir": "/a/b"}, {"query_prefix": "ask: "}, {"languages": ["en", "de"], "tasks": ["xquad-r"] * 9}]
)
def test_names_of_runs_are_always_one_safe_folder(changes):
    name = open_run("sample", **changes).name
    assert name.startswith("sample+") and len(name) <= 70
    assert not set(name) & set("/\\: ")
    assert name != open_run("sample", steps=1, **changes).name


def test_runs_of_a_profile_share_artefacts_but_no_results(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    plain, changed = open_run("sample"), open_run("sample", alpha=0.3)
    assert plain.artefacts == changed.artefacts == tmp_path / "data" / "runs" / "sample"
    assert plain.results == plain.artefacts / "results" and plain.figures == plain.artefacts / "figures"
    assert changed.results != plain.results and changed.figures != plain.figures


def test_profile_cannot_be_set_as_a_value_of_itself():
    with pytest.raises(UnknownName, match="'profile'"):
        open_run("sample", **{"profile": "pretrained"})


def test_start_records_every_parameter_and_prints_the_notebooks_own_and_the_versions(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setenv(SET_VARIABLE, '{"steps": 7}')
    run = start("sample", alpha=0.3, seeds=None)
    about = json.loads((run.results / "about.json").read_text(encoding="utf-8"))
    assert about["command"].endswith("--profile sample --set alpha=0.3 --set steps=7")
    assert about["parameters"]["alpha"] == 0.3 and {"data", "code", "machine", "versions", "command"} <= set(about)
    assert set(about["parameters"]) == set(Profile.model_fields)
    printed = capsys.readouterr().out
    shown = "run sample+alpha=0.3+steps=7 · alpha 0.3 (profile: 0.5) · seeds 1 2 3 · steps 7 (profile: 150)\n"
    assert printed.startswith(shown) and "torch 2" in printed


def test_a_notebook_opened_by_hand_says_which_checkout_it_works_with_and_warns_of_another(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    monkeypatch.delenv(reads.FILE, raising=False)
    for name in ("clone/hybridir_utils", "clone/notebooks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "clone" / "hybridir_utils" / "__main__.py").touch()
    about = f"package of {files.ROOT}, results of {tmp_path}/out\n"
    monkeypatch.chdir(files.NOTEBOOKS)
    start("sample")
    assert capsys.readouterr().out.endswith(about), "its own checkout"
    clone = f"{tmp_path}/clone"
    warning = f"warning: this notebook lies in {clone}, and works with another checkout; set PYTHONPATH={clone} for its kernel.\n"
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "clone" / "notebooks" / "01_x.ipynb"))
    start("sample")
    assert capsys.readouterr().out.endswith(about + warning)
    monkeypatch.delenv("JPY_SESSION_NAME")
    monkeypatch.chdir(tmp_path / "clone" / "notebooks")
    start("sample")
    assert capsys.readouterr().out.endswith(about + warning)
    monkeypatch.setenv(reads.FILE, str(tmp_path / "trace"))
    start("sample")
    assert str(tmp_path) not in capsys.readouterr().out, "the suite's own executions are the same on every machine"


def test_start_records_the_public_sets_with_their_licences(monkeypatch, tmp_path):
    """Pinned ones without asking the hub."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.delenv("HYBRIDIR_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    run = start("sample", pair_sets=["worldfacts", "mfaq"], tasks=["worldfacts-test", "miracl"], shifted_tasks=[])
    sets = json.loads((run.results / "about.json").read_text(encoding="utf-8"))["sets"]
    assert [(entry["set"], entry["hub"], entry["licence"], len(entry["commit"])) for entry in sets] == [
        ("mfaq", "clips/mfaq", "CC0-1.0", 40),
        ("miracl", "mteb/MIRACLRetrievalHardNegatives", "CC BY-SA 4.0", 40),
    ]


def test_data_folders_come_from_the_profile_then_from_the_environment(tmp_path, monkeypatch):
    (tmp_path / "own" / "xquad-r").mkdir(parents=True)
    (tmp_path / "shared" / "xquad-r").mkdir(parents=True)
    monkeypatch.setenv("HYBRIDIR_DATA", str(tmp_path / "shared"))
    assert files.data_folder("xquad-r") == tmp_path / "shared" / "xquad-r"
    assert files.data_folder("xquad-r", str(tmp_path / "own")) == tmp_path / "own" / "xquad-r"
    with pytest.raises(InputError, match=r"mlqa-dev: no such folder; data/README\.md"):
        files.data_folder("mlqa-dev")
    monkeypatch.delenv("HYBRIDIR_DATA")
    with pytest.raises(InputError, match="neither the profile's data_dir nor HYBRIDIR_DATA"):
        files.data_folder("xquad-r")


def test_saved_tables_are_replaced_whole(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    run = open_run("sample")
    save_table(run, "numbers", pd.DataFrame({"value": [1 / 3]}))
    assert (run.results / "numbers.csv").read_bytes() == b"value\n0.333333\n"

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"numbers\.csv.*No space left.*Free some space"):
        patch.setattr(os, "replace", fails)
        save_table(run, "numbers", pd.DataFrame({"value": [2.0]}))
    assert (run.results / "numbers.csv").read_bytes() == b"value\n0.333333\n"


def test_did_you_mean_stays_silent_when_nothing_is_near():
    assert did_you_mean("zzz", ["alpha", "steps"]) == "."
    assert did_you_mean("ALPHA", ["alpha"]) == " (did you mean 'alpha'?)."


def test_reading_a_profile_needs_no_heavy_library():
    heavy = "print({'torch', 'transformers', 'sentence_transformers', 'datasets', 'scipy'} & set(sys.modules))"
    code = f"import sys; from hybridir_utils.experiment.run import open_run; open_run('sample'); {heavy}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_profile_file_is_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text((files.PROFILES / "sample.toml").read_text().replace('"sample"', '"mine"'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run = open_run("mine.toml")
    monkeypatch.chdir(tmp_path.parent)
    assert open_run(run.source).profile == run.profile and run.name == "mine"


def test_other_tasks_leave_the_profiles_shifted_ones_behind():
    """A user who names tasks of their own need not know of `shifted_tasks`; who names both is taken at their word."""
    assert load_profile("sample", {"tasks": ["beir:/a/folder"]}).shifted_tasks == ()
    assert load_profile("sample", {"tasks": ["xquad-r", "worldfacts-shifted"]}).shifted_tasks == ("worldfacts-shifted",)
    assert load_profile("sample", {"tasks": ["worldfacts-shifted", "xquad-r"]}).shifted_tasks == (), "the first is in domain"
    own = load_profile("sample", {"tasks": ["worldfacts-test", "beir:/a"], "shifted_tasks": ["beir:/a"]})
    assert own.shifted_tasks == ("beir:/a",)
    with pytest.raises(UnknownName, match=r"unknown shifted task .*'worldfacts-shifted'"):
        load_profile("sample", {"tasks": ["worldfacts-test"], "shifted_tasks": ["worldfacts-shifted"]})


KNOWN = ["profile", "alpha", "seeds"]


@pytest.mark.parametrize("given, refused", [({"alpha": 0.3}, None), ({"alhpa": 0.3}, "alpha"), ({"steps": 5}, "seeds")])
def test_a_parameter_that_papermill_puts_in_and_the_notebook_does_not_have_is_refused(tmp_path, given, refused):
    """papermill only warns; the value would change nothing. `steps` is a profile's, but not of this notebook's cell."""
    cell = nbformat.v4.new_code_cell('profile = "sample"\nalpha = 0.5  # a share\nseeds = [1]', metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    written = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(written, tmp_path / "x.ipynb")
    book = parameterize_notebook(load_notebook_node(str(tmp_path / "x.ipynb")), given)
    cells = ["", *(cell.source for cell in book.cells), "run = start(profile)"]
    if not refused:
        return _refuse_unknown(cells, KNOWN)
    with pytest.raises(UnknownName, match=rf"unknown parameter of this notebook '{next(iter(given))}'.*{refused}"):
        _refuse_unknown(cells, KNOWN)


@pytest.mark.parametrize("line, refused", [("alhpa = 0.3", "alpha"), ("seed = [7]", "seeds"), ("steps = 5", "seeds"), ("place = 'x'", "")])
def test_a_misspelt_parameter_of_a_person_is_refused_and_not_once_it_is_mended(line, refused):
    """In a kernel that ran the cell before, the right name still has its value: nothing else would tell."""
    right, start = 'profile = "sample"\nalpha = 0.5\nseeds = [1]', "run = start(profile)"
    cells = ["", right, start, f'profile = "sample"\n{line}  # mine', "profile = profile", start]
    _refuse_unknown(cells, KNOWN)
    _refuse_unknown([f'profile = "sample"\n{line}\n{start}'], KNOWN)  # a cell that starts a run itself is none of parameters
    del cells[-2]
    if not refused:
        return _refuse_unknown(cells, KNOWN)
    with pytest.raises(UnknownName, match=rf"'{line.split()[0]}' .did you mean '{refused}'.*Known: profile, alpha, seeds"):
        _refuse_unknown(cells, KNOWN)
    _refuse_unknown([*cells, right, start], KNOWN)
