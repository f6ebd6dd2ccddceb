"""Catalogues: read when first asked for; every fault of a file is named at once."""

import pytest

from hybridir_utils.base import catalogue
from hybridir_utils.base.catalogue import Catalogue
from hybridir_utils.base.errors import InputError
from hybridir_utils.encode.catalogue import KnownEncoder

GOOD = '[a]\nhub = "x/a"\nrevision = "main"\nlicence = "MIT"\nparameters = 1\nwidth = 8\n'


def read(tmp_path, monkeypatch, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "some.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    return Catalogue("some.toml", KnownEncoder)


def test_entries_by_name_each_with_its_name(tmp_path, monkeypatch):
    entries = read(tmp_path, monkeypatch, GOOD)
    assert list(entries) == ["a"] and (entries["a"].name, entries["a"].width) == ("a", 8)


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    entries = read(tmp_path, monkeypatch, "no TOML")
    with pytest.raises(InputError, match=r"some\.toml: not readable as UTF-8 TOML"):
        len(entries)


def test_all_faults_are_named_at_once_with_the_nearest_key(tmp_path, monkeypatch):
    faulty = GOOD + '[b]\nhub = "x/b"\nrevison = "main"\nlicence = "MIT"\nparameters = "many"\n'
    with pytest.raises(InputError) as told:
        read(tmp_path, monkeypatch, faulty).get("a")
    for part in ("some.toml: ", "b: key 'width' is missing", "b: parameters = 'many'"):
        assert part in str(told.value)
    assert "b: unknown key 'revison' (did you mean 'revision'?)" in str(told.value)
