"""What goes wrong on the way to the hub is said at once, with what to do; sets are read from local folders laid out as on the hub."""

import errno

import httpx2
import pytest
from datasets.exceptions import DatasetNotFoundError
from hub_folders import parquet
from huggingface_hub import errors as hub_library
from huggingface_hub import snapshot_download

from hybridir_utils.base import hub
from hybridir_utils.base.errors import InputError, UnknownName
from hybridir_utils.base.hub import HubSet, hub_errors, split_revision

ANSWER = httpx2.Response(404, request=httpx2.Request("GET", "https://huggingface.co/owner/name"))
UNREACHABLE = "no folder here; the hub cannot be reached.*no copy is in the cache.*path of a local folder.*HF_HOME"


def mine(revision=""):
    return HubSet(name="mine", hub="owner/name", revision=revision, licence="MIT")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "arrow")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub._reachable.cache_clear()
    yield
    hub._reachable.cache_clear()


class Network:
    """Stands for the client of the hub's library and counts what is asked of it."""

    def __init__(self, monkeypatch, error=None):
        self.asked, self.error = [], error
        monkeypatch.setattr("huggingface_hub.get_session", lambda: self)

    def head(self, url, timeout):
        self.asked.append((url, timeout))
        if self.error:
            raise self.error


@pytest.fixture
def no_network(monkeypatch):
    return Network(monkeypatch, httpx2.ConnectError("[Errno -2] Name or service not known"))


@pytest.fixture
def network(monkeypatch):
    return Network(monkeypatch)


def test_a_revision_follows_the_name():
    assert split_revision("owner/name@abc") == ("owner/name", "abc")
    assert split_revision("owner/name") == ("owner/name", None)


def openers():
    from transformers import AutoConfig, AutoTokenizer

    return {
        "transformers": lambda: AutoConfig.from_pretrained("owner/name"),
        "tokenizer": lambda: AutoTokenizer.from_pretrained("owner/name"),
        "data set": lambda: snapshot_download("owner/name", repo_type="dataset"),
    }


@pytest.mark.parametrize("what", ["transformers", "tokenizer", "data set"])
def test_an_unreachable_hub_is_asked_once_and_said_so(what, no_network, monkeypatch):
    """The libraries are put into their offline mode, so that none of their requests, five a file, is sent."""
    sent = []
    monkeypatch.setattr("httpx2.HTTPTransport.handle_request", lambda self, request: sent.append(request.url))
    with pytest.raises(InputError, match=UNREACHABLE), hub_errors("owner/name"):
        openers()[what]()
    assert not sent and len(no_network.asked) == 1 and no_network.asked[0][1] <= 5
    from huggingface_hub import constants

    assert not constants.HF_HUB_OFFLINE  # only inside the block


def test_an_unreachable_hub_is_asked_once_a_minute(no_network):
    for _ in range(3):
        with hub_errors("owner/name"):
            pass
    assert len(no_network.asked) == 1


def test_local_places_and_offline_mode_ask_nothing(no_network, tmp_path, monkeypatch):
    with hub_errors(str(tmp_path)):
        pass
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=UNREACHABLE), hub_errors("owner/name"):
        openers()["data set"]()
    assert not no_network.asked


def test_what_is_in_the_cache_opens_without_a_hub(no_network, tmp_path):
    commit = "0123456789" * 4
    snapshot = tmp_path / "hub" / "datasets--owner--name" / "snapshots" / commit
    parquet(snapshot / "data" / "train-0.parquet", [{"a": 1}])
    rows = mine(commit).load(files="data/train-*.parquet", columns=["a"])
    assert rows["a"][:] == [1]
    assert mine(commit).origin(["data/*"]) == {"hub": "owner/name", "commit": commit}


def test_a_branch_is_recorded_as_its_commit(no_network, tmp_path):
    commit, repository = "0123456789" * 4, tmp_path / "hub" / "datasets--owner--name"
    parquet(repository / "snapshots" / commit / "data" / "train-0.parquet", [{"a": 1}])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert mine("main").origin(["data/*"]) == {"hub": "owner/name", "commit": commit}


CASES = [
    (hub_library.GatedRepoError("401", response=ANSWER), "is gated.*Accept its terms.*hf auth login"),
    (hub_library.RepositoryNotFoundError("404", response=ANSWER), "not found on the hub: misspelt, renamed, private or gated"),
    (hub_library.RevisionNotFoundError("404", response=ANSWER), "no such revision.*Leave `@revision` out"),
    (hub_library.HFValidationError("Repo id must be"), "neither a folder here nor a name of the hub's form"),
    (hub_library.OfflineModeIsEnabled("offline"), UNREACHABLE),
    (hub_library.LocalEntryNotFoundError("not cached"), UNREACHABLE),
    (hub_library.HfHubHTTPError("503", response=httpx2.Response(503, request=ANSWER.request)), "answers with error 503. Try again later"),
    (httpx2.ReadTimeout("slow"), UNREACHABLE),
    (DatasetNotFoundError("doesn't exist"), "not found on the hub"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk of the cache is full.*HF_HOME"),
    (OSError("Not enough disk space. Needed: 9 GB"), "disk of the cache is full.*HF_HOME"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message"), CASES, ids=[type(error).__name__ for error, _ in CASES])
@pytest.mark.parametrize("wrapped", ["bare", "as transformers wraps it", "as a block that hides its cause"])
def test_errors_of_the_hub_say_what_to_do(error, message, wrapped, network):
    with pytest.raises(InputError, match=f"owner/name: .*{message}"), hub_errors("owner/name"):
        if wrapped == "bare":
            raise error
        try:
            raise error
        except Exception as inner:
            if wrapped.endswith("cause"):
                raise OSError("something could not be loaded") from None
            raise OSError("something could not be loaded") from inner


def test_other_errors_pass(network):
    with pytest.raises(ZeroDivisionError), hub_errors("owner/name"):
        raise ZeroDivisionError
    with pytest.raises(UnknownName), hub_errors("owner/name"):
        raise UnknownName("task", "a", ["b"])


CARD = """---
configs:
- config_name: de
  data_files:
  - split: dev
    path: de/dev-*
  - split: test
    path: [de/test-0*, de/test-1*]
- config_name: corpus
  data_files: corpus.jsonl
---
"""


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "data"
    for split in ("dev-0", "test-0", "test-1"):
        parquet(base / "mine" / "de" / f"{split}.parquet", [{"_id": split, "text": "a"}])
    (base / "mine" / "corpus.jsonl").write_text('{"_id": "c", "text": "b"}\n')
    (base / "mine" / "README.md").write_text(CARD)
    return str(base)


def test_a_card_says_which_files_a_config_and_split_are(folder):
    assert mine().load("de", "test", data_dir=folder)["_id"][:] == ["test-0", "test-1"]
    assert mine().load("de", "dev", columns=["text"], data_dir=folder).column_names == ["text"]
    assert mine().load("corpus", data_dir=folder)["_id"][:] == ["c"]


def test_a_set_is_memory_mapped(folder):
    assert mine().load("de", "test", data_dir=folder).cache_files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"config": "dee"}, "unknown config of mine 'dee' .did you mean 'de'"),
        ({"config": "de", "split": "tests"}, "unknown split of mine, config de 'tests' .did you mean 'test'"),
        ({"config": "corpus", "columns": ["_id", "txt"]}, r"no column 'txt' .did you mean 'text'.*Found: _id, text; expected: _id, txt"),
        ({"files": "fr/*.parquet"}, r"no file fr/\*.parquet.*found README.md.*hf download owner/name.*--revision v1"),
        ({"files": "README.md"}, "README.md: cannot be read; expected one of parquet, jsonl"),
    ],
)
def test_what_a_set_lacks_is_named(folder, given, message):
    with pytest.raises((InputError, UnknownName), match=message):
        mine("v1").load(data_dir=folder, **given)


def test_a_broken_file_is_named(folder, tmp_path):
    (tmp_path / "data" / "mine" / "de" / "dev-0.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match=r"mine: a file in .*/mine/de .* cannot be read .*fetch it again"):
        mine().load("de", "dev", data_dir=folder)


def test_a_full_disk_while_reading_is_said_as_such(folder, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datasets.arrow_writer.ArrowWriter.write_row", full)
    with pytest.raises(InputError, match="disk of the cache is full"):
        mine().load("de", "dev", data_dir=folder)


def test_the_origin_of_a_local_set_follows_its_files(folder, tmp_path):
    before = mine("main").origin(["de/*"], folder)
    assert before == mine("main").origin(["de/*"], folder) and before["folder"] == "mine"
    parquet(tmp_path / "data" / "mine" / "de" / "dev-0.parquet", [{"_id": "x", "text": "a"}])
    assert before != mine("main").origin(["de/*"], folder)


def test_the_folder_of_the_environment_serves_as_well(folder, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_DATA", folder)
    assert str(mine().folder([]).parent) == folder
