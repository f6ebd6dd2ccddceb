"""A profile's `encoder_prompts`: what goes before an encoder's texts, trained or as it is, and what is said of one without its family's."""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib

import pytest
from tiny_models import save_tiny_bert

from hybridir_utils.__main__ import main
from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.files import PROFILES
from hybridir_utils.experiment.encoders import EncoderKey, encoder_artefacts
from hybridir_utils.experiment.evaluation import NO_MIX, UNTRAINED, ZERO_SHOT, opening_of
from hybridir_utils.experiment.preparation import pairs_artefact
from hybridir_utils.experiment.profile import load_profile
from hybridir_utils.experiment.run import SET_VARIABLE, changes_of, open_run, run_command, settings_of
from hybridir_utils.experiment.settings import one_run
from hybridir_utils.experiment.sources import prompt_notes
from hybridir_utils.suite.notebook import start

E5 = ("query: ", "passage: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model's folder whose card names e5 and whose settings hold no prompts."""
    made = save_tiny_bert(tmp_path_factory.mktemp("models") / "mine", ["one two", "three four"])
    (made / "README.md").write_text("---\nbase_model: intfloat/multilingual-e5-small\n---\n")
    return made


def opened(profile, base: str, strategy: str):
    return opening_of(profile, EncoderKey(base, strategy, NO_MIX, 0)).prompts


def test_prompts_are_the_profiles_else_the_catalogues_else_the_models_own(folder):
    own = f"st:{folder}"
    profile = load_profile("sample", {"bases": ["aligned", "me5-base", "labse", own], "retrievers": ["me5-large", "bge-m3", own]})
    found = {(base, ZERO_SHOT): opened(profile, base, ZERO_SHOT) for base in profile.retrievers}
    found |= {(base, UNTRAINED): opened(profile, base, UNTRAINED) for base in profile.bases}
    assert found == {
        ("me5-large", ZERO_SHOT): E5,
        ("bge-m3", ZERO_SHOT): ("", ""),
        (own, ZERO_SHOT): None,
        ("aligned", UNTRAINED): None,
        ("me5-base", UNTRAINED): E5,
        ("labse", UNTRAINED): None,
        (own, UNTRAINED): None,
    }
    given = load_profile(
        "sample", {"bases": [own, "me5-base"], "retrievers": [own], "encoder_prompts": {own: list(E5), "me5-base": ["", "p "]}}
    )
    assert opened(given, own, ZERO_SHOT) == opened(given, own, UNTRAINED) == E5
    assert opened(given, "me5-base", UNTRAINED) == ("", "p ") and opened(given, own, "hybrid") is None, "a trained one has its own with it"


def test_a_base_is_trained_with_its_prompts_in_the_profile_else_with_the_profiles_prefixes(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    own = f"st:{folder}"
    plain, given = (open_run("sample", bases=["aligned", own], **more) for more in ({}, {"encoder_prompts": {own: E5}}))
    keys = [EncoderKey(base, "hybrid", 0.5, 1) for base in ("aligned", own)]
    prefixes = [
        [(a.recipe["settings"]["query_prefix"], a.recipe["settings"]["passage_prefix"]) for a in encoder_artefacts(run, keys).values()]
        for run in (plain, given)
    ]
    assert prefixes == [[("Query: ", "Passage: ")] * 2, [("Query: ", "Passage: "), E5]]
    same, other = (a == b for a, b in zip(encoder_artefacts(plain, keys).values(), encoder_artefacts(given, keys).values(), strict=True))
    assert same and not other, "prompts of one encoder make no other stale"
    assert pairs_artefact(plain) == pairs_artefact(given)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ({"me5-bse": ["a", "b"]}, "did you mean 'me5-base'"),
        ({"aligned": ["a", "b"]}, "unknown encoder of `encoder_prompts`"),
        ({"me5-base": ["a"]}, "prompts"),
        ({"me5-base": "query: "}, "prompts"),
        ({"me5-base": [1, 2]}, "prompts"),
        (["query: ", "passage: "], "prompts"),
    ],
)
def test_prompts_of_no_encoder_of_the_profile_or_in_another_form_are_refused(prompts, said):
    with pytest.raises((InputError, UnknownName), match=said):
        load_profile("sample", {"bases": ["aligned", "me5-base"], "encoder_prompts": prompts})


def test_the_key_is_read_from_a_file_the_command_and_the_environment_and_written_as_the_command_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    sample = (PROFILES / "sample.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(
        f'{sample}\nretrievers = ["me5-base"]\n[encoder_prompts]\n"me5-base" = ["Frage, ", "„p“: "]\n', encoding="utf-8"
    )
    written = {"me5-base": ("Frage, ", "„p“: ")}
    assert load_profile(str(tmp_path / "mine.toml")).encoder_prompts == written
    text = 'encoder_prompts={"me5-base" = ["Frage, ", "„p“: "]}'
    run = open_run("sample", **one_run(['retrievers=["me5-base"]', text], "run"))
    assert run.profile.encoder_prompts == written and run.name != "sample"
    command = run_command("sample", changes_of(run))
    settings = [part for part in shlex.split(command) if part.startswith(("retrievers=", "encoder_prompts="))]
    assert open_run("sample", **one_run(settings, "run")) == run, "the command that records name makes the same run"
    monkeypatch.setenv(SET_VARIABLE, settings_of(run)[SET_VARIABLE])
    assert open_run("sample") == run and json.loads(settings_of(run)[SET_VARIABLE])["encoder_prompts"] == {"me5-base": ["Frage, ", "„p“: "]}
    assert tomllib.loads(text)["encoder_prompts"] == {"me5-base": ["Frage, ", "„p“: "]}


def test_an_encoder_without_its_familys_prompts_is_named_by_the_plan_and_at_a_notebooks_start(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    own = f"st:{folder}"
    wanted = "encoders of its family (e5) want 'query: ' and 'passage: ' (the profile's key `encoder_prompts`)"
    as_it_is, trained = f"note: {own}, as it is: no prompts, but {wanted}", f"in training: prompts 'Query: ' and 'Passage: ', but {wanted}"
    start("sample", retrievers=[own])
    assert as_it_is in capsys.readouterr().out.splitlines()
    assert main(["plan", "--set", f'retrievers=["{own}"]']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == as_it_is
    assert prompt_notes(load_profile("sample", {"bases": [own]})) == [as_it_is, f"note: {own}, {trained}"]
    assert prompt_notes(load_profile("sample", {"bases": ["me5-base"]})) == [f"note: me5-base, {trained}"], "as it is, the catalogue knows"
    (unknown,) = prompt_notes(load_profile("sample", {"retrievers": ["st:nobody/e5-not-fetched"]}))
    assert "as it is, unless its repository brings some: no prompts" in unknown


def test_nothing_is_said_where_the_prompts_are_right_or_the_profile_says_what_it_wants(folder, tmp_path):
    own, saved = f"st:{folder}", shutil.copytree(folder, tmp_path / "e5-saved")
    (saved / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "Q: "}}))
    quiet = [
        {"bases": ["aligned", "unaligned", "labse", "xlm-r"], "retrievers": ["me5-base", "me5-small-4bit", "bge-m3", f"st:{saved}"]},
        {"bases": ["me5-base", "me5-small-4bit"], "query_prefix": E5[0], "passage_prefix": E5[1]},
        {"bases": [own], "retrievers": [own], "encoder_prompts": {own: E5}},
        {"bases": [own], "encoder_prompts": {own: ["", ""]}},
    ]
    for changes in quiet:
        assert prompt_notes(load_profile("sample", changes)) == []
    assert prompt_notes(load_profile("pretrained")) == prompt_notes(load_profile("paper")) == []
