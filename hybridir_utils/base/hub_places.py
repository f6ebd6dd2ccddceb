"""Whether what a run will open lies where it is opened from, asked before anything starts: no weights and no rows are fetched."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from .errors import InputError
from .hub import hub_errors, split_place
from .hub_data import local_folder, matching

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
CONFIGURATIONS = ("config.json", "modules.json")  # of transformers, of sentence-transformers
CONVERSION = ("Adding `safetensors` variant of this model", "SFconvertbot")  # title and author of the pull request that transformers takes

NO_COPY = "no copy of this set lies on the hub. Make the folder <data_dir>/{name}; data/README.md tells how."
NO_CONFIGURATION = "no config.json there. Check the name, or save the whole model again."
NO_WEIGHTS = (
    "no weights in safetensors there, and weights in pickle files are not opened. Name a revision that has them (NAME@refs/pr/N, where the "
    "hub's conversion bot added them), or convert the model and give its folder."
)


def model_fault(name: str) -> str:
    """Why the model of a folder or hub name (`NAME@REVISION`) cannot be opened, with what to do; "" where it has what is needed.

    It needs a configuration, and weights in safetensors of its first module. A folder is listed; the hub is asked for access and for the
    names of the files, and where it does not answer the cache is listed.
    """
    try:
        files = files_of(name)
        if not files & set(CONFIGURATIONS):
            return f"{name}: {NO_CONFIGURATION}"
        return "" if any(_is_first_weights(file) for file in files) or _is_converted(name) else f"{name}: {NO_WEIGHTS}"
    except InputError as error:
        return str(error)


def set_fault(name: str, repo: str, patterns: Sequence[str], revision: str, data_dir: str = "") -> str:
    """Why the files of a data set (`hub_data.load_set`) are not where they are read from, with what to do; "" where they are there."""
    try:
        if folder := local_folder(name, data_dir):
            for pattern in patterns:
                matching(name, folder, [pattern], repo, revision)
            return ""
        if not repo:
            return f"{name}: {NO_COPY.format(name=name)}"
        place = f"{repo}@{revision}" if revision else repo
        files = files_of(place, "dataset")
    except InputError as error:
        return str(error)
    missing = [pattern for pattern in patterns if not fnmatch.filter(files, pattern)]
    return f"{place}: no file {missing[0]}; the set {name!r} is laid out otherwise now. Name another revision." if missing else ""


def files_of(name: str, kind: str = "model") -> set[str]:
    """Names of the files in a folder, or of a repository at a revision; of its copy in the cache where the hub does not answer.

    kind: `model` or `dataset`. Raises InputError as `hub_errors`: not there, gated, out of reach.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    place, revision = split_place(name)
    if Path(place).is_dir():
        return _files(Path(place))
    with hub_errors(name):
        if constants.is_offline_mode():
            return _files(Path(snapshot_download(place, repo_type=kind, revision=revision, local_files_only=True)))
        HfApi().auth_check(place, repo_type=kind)
        return set(HfApi().list_repo_files(place, repo_type=kind, revision=revision))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _is_first_weights(file: str) -> bool:
    """Whether weights of the first module: they lie in the folder itself, or in one that sentence-transformers numbers 0."""
    folder, _, base = file.rpartition("/")
    return base in WEIGHTS and (not folder or folder.startswith("0_"))


def _is_converted(name: str) -> bool:
    """Whether transformers would take the hub's own conversion: of the main branch, from its bot's pull request, if that is up to date."""
    from huggingface_hub import HfApi, constants

    place, revision = split_place(name)
    if Path(place).is_dir() or revision not in (None, "main") or constants.is_offline_mode():
        return False
    from transformers.safetensors_conversion import previous_pr

    title, bot = CONVERSION
    with hub_errors(name):
        found = previous_pr(HfApi(), place, title, token=None)
    return found is not None and found.author == bot
