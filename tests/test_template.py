"""`profile new NAME` writes a profile in which every key is known and explained, and which plans as it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from hybridir_utils.__main__ import main
from hybridir_utils.base import files
from hybridir_utils.experiment.profile import Profile, load_profile, make_profile
from hybridir_utils.experiment.settings import template

LINE = re.compile(r"^(# )?(\w+) = (.+?)  # (\w.+)$")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    return tmp_path


def test_what_it_writes_loads_and_plans_and_the_next_command_is_said(place, capsys):
    assert main(["profile", "new", "mine"]) == 0
    said = capsys.readouterr().out
    assert said == "mine.toml: fill it in, then see what it would run: python -m hybridir_utils plan --profile mine.toml\n"
    assert load_profile("mine.toml").name == "mine"
    command = [sys.executable, *said.split("python ")[1].split()]
    ended = subprocess.run(command, capture_output=True, text=True, env=None)
    assert ended.returncode == 0 and ended.stdout.startswith("RUN    01_data_translation"), ended.stderr


def test_every_key_stands_once_with_its_meaning_and_default():
    lines = [line for line in template("mine").splitlines()[2:] if line]
    found = [LINE.match(line).groups() for line in lines]
    assert [key for _, key, _, _ in found] == list(Profile.model_fields)
    required = {key for key, field in Profile.model_fields.items() if field.is_required()}
    assert {key for sign, key, _, _ in found if not sign} == required
    values = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines))
    plain = make_profile({key: values[key] for key in required}, "mine")
    assert make_profile(values, "mine") == plain, "a sign taken off changes nothing"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sample", "comes with the suite"),
        ("Mine!", "String should match pattern"),
        ("../mine", "String should match pattern"),
        ("there", "there already"),
    ],
)
def test_a_bad_name_or_a_file_that_is_there_is_refused_and_nothing_is_written(name, said, place, capsys):
    (place / "there.toml").write_text("mine", encoding="utf-8")
    assert main(["profile", "new", name]) == 1
    assert said in capsys.readouterr().err and [path.name for path in place.iterdir()] == ["there.toml"]
    assert (place / "there.toml").read_text(encoding="utf-8") == "mine"


def test_a_disk_that_is_full_leaves_nothing(place, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "write_bytes", full)
    assert main(["profile", "new", "mine"]) == 1
    assert "No space left" in capsys.readouterr().err and not list(place.iterdir())


def test_plan_finds_a_batch_that_no_language_can_fill(capsys):
    """Before, this ended the run after half a minute of work."""
    assert main(["plan", "--set", "batch_size=5000"]) == 1
    assert re.search(r"no language of any data set has 5000 different passages.*the largest has \d+\. Lower", capsys.readouterr().err)
    assert main(["plan", "--set", "batch_size=500"]) == 1, "notebook 08 has fewer pairs"
    assert re.search(r"error: notebook 08 .many_pairs = 400.: .*has 500 different passages.*the largest has \d+", capsys.readouterr().err)
