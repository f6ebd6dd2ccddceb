"""How a profile's values are set: what `--set` texts mean, and what of them is refused; `profile new NAME` writes a profile in which every
key is known and explained, and which plans as it is.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from hybridir_utils.__main__ import main
from hybridir_utils.base import files
from hybridir_utils.base.errors import InputError
from hybridir_utils.experiment.profile import Profile, load_profile, make_profile
from hybridir_utils.experiment.settings import one_run, read_settings, template

LINE = re.compile(r"^(# )?(\w+) = (.+?)  # (\w.+)$")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path / "out"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("alpha=0.3", "alpha", 0.3),
        ("seeds=[4, 5]", "seeds", [4, 5]),
        ("seed=4", "seeds", [4]),
        ("train_in_place=false", "train_in_place", False),
        ("query_prefix=", "query_prefix", ""),
        ("name=mine", "name", "mine"),
        ("query_prefix='a=b'", "query_prefix", "a=b"),
        ('query_prefix="Ask, then: "', "query_prefix", "Ask, then: "),
        ("query_prefix=Frage: ", "query_prefix", "Frage: "),
        (" alpha = 1e-1", "alpha", 0.1),
    ],
)
def test_one_value_is_read_as_toml_and_else_as_text(text, key, value):
    assert one_run([text], "train") == {key: value}


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        ("alpha=0,0.25", (0, 0.25), "0 0.25"),
        ("seed=1,2", ([1], [2]), "1 2"),
        ("seeds=[1,2],[3]", ([1, 2], [3]), "[1,2] [3]"),
        ("precision=fp32, bf16", ("fp32", "bf16"), "fp32 bf16"),
        ('query_prefix="a,b","c"', ("a,b", "c"), '"a,b" c'),
        ('query_prefix=a: ,"b, c"', ("a: ", "b, c"), 'a:  "b, c"'),
        ("train_in_place=true,false", (True, False), "true false"),
        ('bases=["aligned"],["unaligned","aligned"]', (["aligned"], ["unaligned", "aligned"]), '["aligned"] ["unaligned","aligned"]'),
        ("alpha=0.1,x", (0.1, "x"), "0.1 x"),
    ],
)
def test_several_values_of_a_key(text, values, shown):
    (setting,) = read_settings([text])
    assert (setting.values, " ".join(setting.texts)) == (values, shown)
    with pytest.raises(InputError, match=r"2 values; `figures` is about one run at a time.*`run` takes several"):
        one_run([text], "figures")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds=1,2,3", "Write seeds=[1,2,3] for one run with all, or seeds=[1],[2],[3] for a run with each (in short seed=1,2,3)."),
        ("seeds=4", "seeds is a list. Write seeds=[4] for one run with all."),
        ("tasks=xquad-r,mlqa-r", 'Write tasks=["xquad-r","mlqa-r"] for one run with all, or tasks=["xquad-r"],["mlqa-r"] for a run with'),
        ("strategies=[hybrid,X-Y]", 'Write strategies=["hybrid","X-Y"] for one run with all'),
        ("seeds=[1],2", "Write seeds=[1,2] for one run with all, or seeds=[1],[2] for a run with each"),
        ("alpha", "expected key=value, for example --set alpha=0.3"),
    ],
)
def test_what_is_refused_says_how_to_write_it(text, said):
    with pytest.raises(InputError) as caught:
        read_settings([text])
    assert said in str(caught.value)


@pytest.mark.parametrize("texts", [["alpha=0", "alpha=1"], ["seeds=[1]", "alpha=0", "seed=2"]])
def test_a_key_is_set_once(texts):
    with pytest.raises(InputError, match=r"is set already. Write all values of a sweep in one"):
        read_settings(texts)


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
        ("Mine!", "expected small letters"),
        ("../mine", "expected small letters"),
        ("there", "there already"),
        ("a" * 300, "expected at most 60 characters"),
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
    plan = [sys.executable, "-m", "hybridir_utils", "plan", "--set", "batch_size=5000"]
    ended = subprocess.run(plan, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ended.returncode == 1 and ended.stdout.startswith("error: ") and "\nRUN    01_" in ended.stdout, "it stands first"
    assert main(["plan", "--set", "batch_size=500"]) == 1, "notebook 08 has fewer pairs"
    assert re.search(r"error: notebook 08 .many_pairs = 400.: .*has 500 different passages.*the largest has \d+", capsys.readouterr().err)
