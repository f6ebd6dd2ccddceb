"""The training command in several processes: under torchrun, and with processes of its own; all on one disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from test_preparation import Setup

from hybridir_utils.__main__ import main
from hybridir_utils.base.files import ROOT

SMALL = {"steps": 6, "dimension": 8, "vocabulary": 300, "validate_every": 3, "languages": '["en", "de"]'}


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    """`train` of one encoder on 80 pairs."""
    setup = Setup(tmp_path_factory.mktemp("launch"))
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return ["train", "--profile", str(setup.profile), *settings]


def weights(output: Path) -> dict:
    (folder,) = (output / "data" / "runs" / "tiny" / "encoders").glob("unaligned-hybrid-*")
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory) -> dict:
    """What one process trains."""
    output = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDIR_OUTPUT", str(output))
        assert main(command) == 0
    return weights(output)


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(found[name] - value).max() < 1e-5 and value.std() > 0, name


def test_two_processes_of_torchrun_train_what_one_trains(command, alone, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "hybridir_utils"]
    env = {**os.environ, "HYBRIDIR_OUTPUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command], env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unaligned-hybrid-a0.5-s1: ") == 1, "the first process alone tells"
    assert_same(weights(tmp_path), alone)
    assert not list((tmp_path / "data" / "runs").glob(".one-disk-*"))


def test_two_processes_of_its_own_train_what_one_trains(command, alone, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    assert main([*command, "--set", "processes=2"]) == 0
    assert_same(weights(tmp_path), alone)


APART = """
import sys
from hybridir_utils.base.distributed import first_process_first
from hybridir_utils.base.errors import InputError
try:
    with first_process_first():
        print("ran")
except InputError as error:
    sys.exit(str(error))
"""


def test_processes_with_different_output_folders_are_told(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", APART],
            env={**common, "RANK": rank, "LOCAL_RANK": rank, "HYBRIDIR_OUTPUT": str(tmp_path / rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    for rank, process in enumerate(started):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1 and f"process 1 of 2 writes to {tmp_path / '1'} on" in err and "a disk that all hosts share" in err
        assert ("ran" in out) == (rank == 0), "the second would not have found what the first made"
