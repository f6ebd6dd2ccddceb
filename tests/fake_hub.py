"""Stands for the hub of models and data sets, so that tests can count what is asked of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import httpx2
import huggingface_hub
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub import errors as hub_library
from transformers import safetensors_conversion

CONVERSION = "Adding `safetensors` variant of this model"


class Hub:
    """Stands for the hub: repository -> names of its files, and pull requests; counts what is asked."""

    def __init__(self, monkeypatch, files=None, pulls=(), error=None):
        self.files, self.asked, self.error = files or {}, [], error
        monkeypatch.setattr("huggingface_hub.get_session", lambda: self)
        monkeypatch.setattr(huggingface_hub.HfApi, "auth_check", lambda api, name, **_: self.answer("access", name))
        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda api, name, **given: self.answer("files", name, **given))
        commits = [SimpleNamespace(commit_id="head")]
        monkeypatch.setattr(
            huggingface_hub.HfApi, "list_repo_commits", lambda api, name, revision=None, **_: [None, *commits] if revision else commits
        )
        monkeypatch.setattr(safetensors_conversion, "get_repo_discussions", lambda **_: pulls)

    def head(self, url, timeout):
        self.asked.append("hub")
        if self.error:
            raise self.error

    def answer(self, what, name, revision=None, **_):
        self.asked.append((what, name, revision))
        if name not in self.files:
            raise hub_library.RepositoryNotFoundError("404", response=httpx2.Response(404, request=httpx2.Request("GET", "https://a.b")))
        if isinstance(self.files[name], Exception):
            raise self.files[name]
        return self.files[name]


def pull(author="SFconvertbot", title=CONVERSION):
    return SimpleNamespace(title=title, status="open", is_pull_request=True, git_reference="refs/pr/1", author=author)


class Files(DirFileSystem):
    """Stands for the hub's file system: `<root>/datasets/<repository>@<revision>/…`, and notes which files are opened."""

    def __init__(self, root: Path, monkeypatch):
        super().__init__(str(root), LocalFileSystem())
        self.opened = []
        monkeypatch.setattr(huggingface_hub, "HfFileSystem", lambda: self)

    def open(self, path, *rest, **options):
        self.opened.append(path)
        return super().open(path, *rest, **options)
