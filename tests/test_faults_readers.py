"""Every reader, fuzzed: a spoilt file gives a value or an error that says what to do, never a traceback of another kind.

The examples are mutations of valid files (`fault_bytes.spoilt`), the same at every run.
"""

from __future__ import annotations

import pytest
from fault_bytes import spoilt
from fault_readers import READERS, prepared, read
from hypothesis import HealthCheck, given, settings

from hybridir_utils.base.errors import HybridIRError

FUZZED = settings(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.filterwarnings("ignore:translation cache .* were altered", "ignore:.*all shards are encoded again")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", READERS)
def test_what_is_fuzzed_is_valid_to_begin_with(kind, folder):
    prepared(kind, folder)
    read(kind, folder)


@pytest.mark.parametrize("kind", READERS)
def test_a_spoilt_file_gives_a_value_or_an_error_of_ours(kind, folder):
    name, valid = prepared(kind, folder)

    @FUZZED
    @given(spoilt(valid))
    def check(content: bytes) -> None:
        (folder / name).write_bytes(content)
        try:
            read(kind, folder)
        except HybridIRError as error:
            assert str(error).strip()

    check()
