"""A tiny run that is made once, for the tests that damage what it keeps or the disk that it lies on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fault_pipeline import write_inputs
from made_up import made_up_tables
from made_up_suite import Executions, notebook

from hybridir_utils.experiment import encoders, evaluation
from hybridir_utils.experiment.encoders import trained_encoders
from hybridir_utils.experiment.evaluation import evaluate
from hybridir_utils.experiment.preparation import fill_translations, prepare_pairs
from hybridir_utils.experiment.run import open_run, save_table
from hybridir_utils.results.figures import draw
from hybridir_utils.suite import running
from hybridir_utils.suite.running import run_suite


def here(run_job, jobs, workers, label):
    """Jobs in this process: a worker would import everything anew."""
    return [run_job(*job) for job in jobs]


def everything(run) -> None:
    prepare_pairs(run)
    trained_encoders(run)
    evaluate(run)


def shown(run) -> None:
    """What stands for the work of a notebook."""
    prepare_pairs(run)
    save_table(run, "scores", made_up_tables()["scores"])
    draw(run, "03_scores")


def finish(folder: Path) -> Path:
    """Fill a folder with inputs and, in `out`, the outputs of a run: its encoders, their evaluations, and a suite of one notebook."""
    (folder / "notebooks").mkdir()
    notebook(folder / "notebooks", "01_first")
    write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        in_this_process(patch, folder, folder / "out")
        fill_translations(run := open_run(str(folder / "killed.toml")))
        everything(run)
        running.watch.work = {"01_first": lambda: shown(run)}
        run_suite(run, say=lambda _: None)
    return folder


def in_this_process(patch, folder, out) -> None:
    patch.setenv("HYBRIDIR_OUTPUT", str(out))
    patch.setattr(encoders, "run_jobs", here)
    patch.setattr(encoders, "ready_workers", lambda: None)
    patch.setattr(evaluation, "run_jobs", here)
    patch.setattr(running, "NOTEBOOKS", folder / "notebooks")
    patch.setattr(running, "watch", Executions())


def copied(finished: Path, out: Path, patch):
    """The finished run in a copy of its output folder."""
    shutil.copytree(finished / "out", out, dirs_exist_ok=True)
    in_this_process(patch, finished, out)
    return open_run(str(finished / "killed.toml"))
