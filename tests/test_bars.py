"""How far long work is: a worker's bars come through to one bar, encodings count texts, in JupyterLab bars are widgets."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import hybridir_utils as hy
from hybridir_utils.__main__ import main
from hybridir_utils.base import progress
from hybridir_utils.base.parallel import run_jobs
from hybridir_utils.base.progress import JobsBar, bars_told, texts_counted, told_while, widget_bars
from hybridir_utils.encode.corpora import kept_vectors
from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.experiment import encoders, preparation
from hybridir_utils.experiment.run import make_missing, open_run
from hybridir_utils.provenance.artefacts import Artefact
from hybridir_utils.rank.lexical import bm25_scores
from hybridir_utils.rank.ranking import rank_task
from hybridir_utils.tasks.retrieval_task import task_from_pairs


@pytest.fixture
def looks(monkeypatch):
    """What the bar over jobs says, look by look."""
    seen = []

    class Seen(JobsBar):
        def look(self, ended, told):
            super().look(ended, told)
            seen.append((self.bar.desc, round(self.bar.n, 2)))

    monkeypatch.setattr("hybridir_utils.base.parallel.JobsBar", Seen)
    return seen


def train_slowly() -> None:
    from tqdm import tqdm

    with tqdm(total=4, desc="training", unit="step", mininterval=0) as bar:
        for _ in range(3):
            bar.update()
            time.sleep(0.7)


def test_the_steps_of_a_workers_training_are_shown_and_its_bar_is_not_drawn(looks, capfd):
    run_jobs(train_slowly, [()], 1, "training")
    words = [said for said, _ in looks]
    assert "training 0/1 · 1/4 steps" in words and "training 0/1 · 3/4 steps" in words
    assert (words[-1], looks[-1][1]) == ("training 1/1", 1)
    assert any(0 < done < 1 for _, done in looks), "the bar itself moves"
    assert "step/s" not in capfd.readouterr().err


def warned() -> list[str]:
    """What this process would print of a library's warning and of one of the package's."""
    own = {"__name__": "hybridir_utils.base.memory"}
    with warnings.catch_warnings(record=True) as found:
        warnings.warn("a library's", FutureWarning, stacklevel=1)
        exec("import warnings; warnings.warn('our own')", own)
    return [str(each.message) for each in found]


def test_workers_print_warnings_of_the_package_alone():
    assert run_jobs(warned, [()], 1, "test") == [["our own"]]


def test_workers_print_a_warning_of_the_package_as_a_line_each_told_once():
    ours, theirs = ("left out", progress.__file__), ("a library's", pytest.__file__)
    ((said, again, other),) = run_jobs(told, [([ours, ours, theirs],)], 1, "test")
    assert (said, again) == ("note: left out\n", "") and "UserWarning: a library's" in other


def told(each: list[tuple[str, str]]) -> list[str]:
    """What this process writes of warnings (message, file)."""
    return [warnings.formatwarning(message, UserWarning, file, 7) for message, file in each]


def test_what_several_workers_note_is_told_once(capfd):
    run_jobs(note, [(), ()], 2, "test")
    assert capfd.readouterr().err.count("note: both say so\n") == 1


def note() -> None:
    exec(compile("import warnings; warnings.warn('both say so')", progress.__file__, "exec"), {"__name__": "hybridir_utils.base.progress"})
    time.sleep(0.5)  # so that the other job is another worker's


def test_many_told_lines_do_not_stop_a_worker(looks):
    """More than a pipe holds, while nobody reads."""
    run_jobs(tell_much, [()], 1, "test")
    assert looks[-1][0] == "test 1/1"


def tell_much() -> None:
    from hybridir_utils.base.parallel import _tell

    for number in range(20_000):
        _tell("encoding", number, 20_000, "text")


def test_a_bar_tells_in_place_of_drawing_within_the_block_only(capsys):
    from tqdm import tqdm

    told = []
    with bars_told(lambda *what: told.append(what)), tqdm(total=2, desc="x", unit="step", mininterval=0) as bar:
        bar.update()
    assert ("x", 1, 2, "step") in told and "x:" not in capsys.readouterr().err
    with tqdm(total=2, desc="y", mininterval=0) as bar:
        bar.update()
    assert "y:" in capsys.readouterr().err


def test_bars_that_tell_leave_nothing_on_the_page_of_an_executed_notebook(capsys):
    """Their ends and moves would be hundreds of empty lines."""
    from tqdm import tqdm

    with progress.new_bar(total=3, delay=60, leave=False) as bar, bars_told(lambda *_: None, but=bar):
        for _ in range(3):
            with tqdm(total=2) as outer, tqdm(total=2) as inner:
                inner.update(2), outer.update(2)
                inner.clear()
            bar.update()
    assert not capsys.readouterr().err.strip("\r ")


@pytest.mark.parametrize("kind", ["tiny_base", "tiny_transformer"])
def test_an_encoding_counts_its_texts_and_changes_no_vector(kind, request, tiny_pairs, monkeypatch):
    bars, new_bar = [], progress.new_bar
    monkeypatch.setattr(progress, "new_bar", lambda **options: bars.append(new_bar(**options)) or bars[-1])
    model, task = open_model(request.getfixturevalue(kind)), task_from_pairs("tiny", tiny_pairs)
    before = hy.rank_task((model.encode_query(list(task.queries["text"])), model.encode_document(list(task.candidates["text"]))), task)
    found = hy.rank_task(model, task)
    counted = [(bar.desc, bar.n, bar.total) for bar in bars]
    assert counted == [("ranking tiny", 96, 96), ("encoding tiny", 2 * 96, 2 * 96), ("ranking tiny", 96, 96)]
    assert not model._forward_hooks
    np.testing.assert_array_equal(found.top, before.top)


def test_what_is_kept_in_shards_is_counted_by_text_too(tiny_transformer, tiny_pairs, tmp_path, monkeypatch):
    bars, new_bar = [], progress.new_bar
    monkeypatch.setattr(progress, "new_bar", lambda **options: bars.append(new_bar(**options)) or bars[-1])
    monkeypatch.setattr("hybridir_utils.encode.corpora.TASK_SHARD", 50)
    texts = task_from_pairs("tiny", tiny_pairs).queries
    how = {"opening": Opening(), "batch_tokens": 200, "precision": "fp32"}
    for encoded in (len(texts), 0):  # the second time all are read
        kept_vectors(tiny_transformer, texts, "query", tmp_path / "queries", **how)
        assert (bars[-1].desc, bars[-1].n, bars[-1].total) == ("encoding queries", encoded, len(texts))


@pytest.fixture
def seen(monkeypatch):
    """As in a terminal, where nothing is quick."""
    monkeypatch.setattr(progress, "TICK", 0)
    monkeypatch.setattr(progress, "SOON", 0)
    monkeypatch.setattr(progress, "_is_seen", lambda: True)


def test_ranking_bm25_and_tests_say_how_far_they_are_and_leave_no_line(seen, tiny_pairs, capsys):
    task = task_from_pairs("tiny", tiny_pairs)
    rank_task(bm25_scores(task), task, block=40)
    shown = capsys.readouterr().err
    assert "words of passages 50/96 texts" in shown
    assert all(f"ranking tiny {done}/96 questions" in shown for done in (40, 80, 96)) and not shown.endswith("\n")
    found = {name: hy.evaluate("random", task) for name in "abc"}
    capsys.readouterr()
    hy.compare(found, baseline="a")
    assert "tests against a 1/2 tests" in capsys.readouterr().err


def test_what_is_quick_draws_no_bar(tiny_pairs, capsys):
    hy.evaluate("BM25", task_from_pairs("tiny", tiny_pairs))
    assert not capsys.readouterr().err


def test_bars_of_libraries_come_late_and_leave_no_line_while_a_command_runs(monkeypatch, capsys):
    """`plan` left four of the data sets' library."""
    from datasets import Dataset

    rows = Dataset.from_dict({"n": range(3000)})

    def command(_) -> None:
        rows.map(lambda row: row, desc="left", keep_in_memory=True, new_fingerprint="other")
        with progress.new_bar(desc="ours", total=1) as bar:
            bar.update()

    command(None)
    assert "left" in capsys.readouterr().err
    monkeypatch.setattr("hybridir_utils.__main__._profiles", command)
    assert main(["profiles"]) == 0
    shown = capsys.readouterr().err
    assert "left" not in shown and shown.endswith("\n") and "ours" in shown


def test_what_has_no_steps_says_what_it_makes_and_for_how_long(monkeypatch, capsys):
    monkeypatch.setattr(progress, "TICK", 0.1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with told_while("making pairs", delay=0.2):
        time.sleep(2.5)
    assert "making pairs … 00:01" in capsys.readouterr().err
    with told_while("making pairs"):
        pass
    assert "making" not in capsys.readouterr().err, "what is quick says nothing"
    assert not [thread for thread in threading.enumerate() if thread.name == "told while pairs"]


def test_a_study_says_what_it_does_before_its_first_bar(monkeypatch, capsys, tmp_path):
    """Notebooks 03 and 05 showed nothing while they read tasks and looked through artefacts, on a busy machine for half a minute."""
    monkeypatch.setenv("HYBRIDIR_OUTPUT", str(tmp_path))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    begun = []
    monkeypatch.setattr(preparation, "read_task", lambda *_: begun.append(capsys.readouterr().err))
    monkeypatch.setattr(preparation, "_check_task_languages", lambda *_: None)
    preparation.evaluation_tasks(open_run("sample"))
    monkeypatch.setattr(Artefact, "is_whole", lambda _: begun.append(capsys.readouterr().err) or True)
    monkeypatch.setattr(encoders, "prepare_pairs", lambda _: None)
    monkeypatch.setattr(encoders, "_base", lambda *_: None)
    encoders.trained_encoders(open_run("sample"), keys=[])
    make_missing({"": Artefact(tmp_path, "a", {}, make_missing)}, lambda _: (), lambda _: None)
    told = "".join(begun)
    assert told.startswith("\rreading the tasks … 00:00") and "looking for pairs and bases … 00:0" in told
    assert "looking for what is made already … 00:0" in begun[-1]


def test_texts_counted_is_undone_after_an_error(tiny_base):
    model = open_model(tiny_base)
    with pytest.raises(ValueError, match="stop"), texts_counted(model, "x", 1):
        raise ValueError("stop")
    assert not model._forward_hooks


def test_in_jupyterlab_a_training_is_a_widget_and_elsewhere_a_line(monkeypatch):
    from tqdm import tqdm

    def train() -> list:
        made, new_bar = [], progress.new_bar
        with monkeypatch.context() as patch:
            patch.setattr(progress, "new_bar", lambda **options: made.append(options) or new_bar(**{**options, "disable": True}))
            with widget_bars(), tqdm(total=3, desc="training", unit="step", mininterval=0) as bar:
                bar.update(2)
        return made

    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert train() == []
    monkeypatch.setitem(os.environ, "JPY_SESSION_NAME", "x.ipynb")
    assert train() == [{"desc": "training", "total": 3, "unit": "step"}]
