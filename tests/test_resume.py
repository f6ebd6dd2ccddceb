"""Checkpoints: a killed training ends at the weights of an unbroken one; damaged checkpoints are passed over; the last good one is told."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from training_runs import run_alone

from hybridir_utils.base.errors import InputError
from hybridir_utils.data.batching import plan_batches
from hybridir_utils.data.pairs import pairs_from_rows
from hybridir_utils.encode.opening import open_model
from hybridir_utils.train import losses
from hybridir_utils.train.trainer import EarlyStopping, PlanTrainer, drop_broken, last_whole, seal, step_of
from hybridir_utils.train.training import TrainingSettings, train_encoder

STEPS, EVERY = 14, 4
SETTINGS = {"learning_rate": 1e-3, "validate_every": 3, "checkpoint_every": EVERY}


@pytest.fixture(scope="module")
def given(tiny_transformer, tiny_pairs, tmp_path_factory):
    """What a run in a process of its own needs, as files. The transformer has dropout."""
    folder = tmp_path_factory.mktemp("resume")
    tiny_pairs.to_parquet(str(folder / "pairs.parquet"))
    plan_batches(tiny_pairs, "hybrid", steps=STEPS, batch_size=6, seed=1).save(folder / "plan.parquet")
    return {"base": tiny_transformer, "pairs": folder / "pairs.parquet", "plan": folder / "plan.parquet"}


@pytest.fixture(scope="module")
def unbroken(given, tmp_path_factory):
    """Weights and history of a run that nothing stops, and its checkpoints."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert run_alone(folder / "run", **given, settings=SETTINGS, checkpoints=folder / "checkpoints") == 0
    return folder, dict(np.load(f"{folder / 'run'}-0.npz"))


def test_a_run_killed_twice_ends_like_an_unbroken_one(given, unbroken, tmp_path):
    """Bit for bit, dropout included; the second kill comes before the first step that a checkpoint covers anew."""
    checkpoints = tmp_path / "checkpoints"
    for step in (10, 8):
        assert run_alone(tmp_path / "run", **given, settings=SETTINGS, checkpoints=checkpoints, kill=(0, step)) == -9
        assert not list(tmp_path.glob("*.npz")) and step_of(last_whole(checkpoints)) == 8
    assert run_alone(tmp_path / "run", **given, settings=SETTINGS, checkpoints=checkpoints) == 0
    found, expected = dict(np.load(tmp_path / "run-0.npz")), dict(unbroken[1])
    assert len(found.pop("labels")) == STEPS - 8 and len(expected.pop("labels")) == STEPS  # it went on, it did not begin anew
    assert found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)
    steps = found["history step"][found["history split"] == "train"]
    assert set(range(EVERY, STEPS, EVERY)) <= set(steps.astype(int))


def test_two_checkpoints_are_kept_and_hold_no_pickled_arguments(unbroken):
    names = sorted(path.name for path in (unbroken[0] / "checkpoints").iterdir())
    assert names == ["checkpoint-12", "checkpoint-14"]
    files = {path.name for path in (unbroken[0] / "checkpoints" / "checkpoint-14").iterdir()}
    assert {"model.safetensors", "optimizer.pt", "rng_state.pth", "whole.json"} <= files and "training_args.bin" not in files


def test_a_truncated_checkpoint_is_passed_over_for_the_one_before(given, unbroken, tmp_path):
    shutil.copytree(unbroken[0] / "checkpoints", tmp_path / "checkpoints")
    weights = tmp_path / "checkpoints" / "checkpoint-14" / "optimizer.pt"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert step_of(last_whole(tmp_path / "checkpoints")) == 12
    assert run_alone(tmp_path / "run", **given, settings=SETTINGS, checkpoints=tmp_path / "checkpoints") == 0
    found = dict(np.load(tmp_path / "run-0.npz"))
    assert len(found["labels"]) == 2
    assert all(np.array_equal(found[name], unbroken[1][name]) for name in found if name != "labels")


def test_a_finished_training_resumed_trains_no_step(given, unbroken, tmp_path):
    shutil.copytree(unbroken[0] / "checkpoints", tmp_path / "checkpoints")
    assert run_alone(tmp_path / "run", **given, settings=SETTINGS, checkpoints=tmp_path / "checkpoints") == 0
    found = dict(np.load(tmp_path / "run-0.npz"))
    assert len(found["labels"]) == 0
    assert all(np.array_equal(found[name], unbroken[1][name]) for name in found if name != "labels")


def test_what_is_not_sealed_is_no_checkpoint(tmp_path):
    for step in (5, 10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"weights")
    assert last_whole(tmp_path) is None and last_whole(tmp_path / "absent") is None
    seal(tmp_path / "checkpoint-5"), seal(tmp_path / "checkpoint-10")
    assert last_whole(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"weight")
    assert last_whole(tmp_path).name == "checkpoint-5"
    drop_broken(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


@pytest.fixture
def failing(monkeypatch):
    """fail_at(step, outcome): the forward pass of that step raises an error, has a number as its loss, or its `gradient` is none."""

    def fail_at(step, outcome):
        calls = []

        class Failing(losses.MaskedMultipleNegativesRankingLoss):
            def forward(self, features, labels):
                calls.append(1)
                if len(calls) != step:
                    return super().forward(features, labels)
                if isinstance(outcome, Exception):
                    raise outcome
                loss = super().forward(features, labels)
                if outcome == "gradient":
                    loss.register_hook(lambda gradient: gradient * float("nan"))
                    return loss
                return loss * outcome

        monkeypatch.setattr(losses, "MaskedMultipleNegativesRankingLoss", Failing)

    return fail_at


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_out_of_memory_says_what_to_lower_and_what_is_kept(failing, error, tiny_base, tiny_pairs, tmp_path):
    failing(8, error)
    plan = plan_batches(tiny_pairs, "X-X", steps=10, batch_size=6, seed=0)
    with pytest.raises(InputError, match="out of memory at step 8 of 10") as raised:
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(checkpoint_every=3), checkpoints=tmp_path)
    said = str(raised.value)
    assert all(word in said for word in ("mini_batch_size", "gradient_checkpointing", "max_passage_tokens", "batch_size (now 6"))
    assert said.endswith(f"The last good checkpoint is {tmp_path / 'checkpoint-6'}.") and last_whole(tmp_path).name == "checkpoint-6"


def test_other_errors_pass_as_they_are(failing, tiny_base, tiny_pairs):
    failing(2, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train_encoder(tiny_base, tiny_pairs, plan_batches(tiny_pairs, "X-X", steps=4, batch_size=6, seed=0), TrainingSettings())


@pytest.mark.parametrize(("outcome", "said"), [(float("nan"), "loss"), (float("inf"), "loss"), ("gradient", "grad_norm")])
def test_no_checkpoint_is_made_of_what_is_no_number(failing, outcome, said, tiny_base, tiny_pairs, tmp_path):
    """Step 6 spoils the weights that the checkpoint of step 6 would hold; steps are logged at 50, or before saving."""
    failing(6, outcome)
    plan = plan_batches(tiny_pairs, "X-X", steps=600, batch_size=6, seed=0)
    with pytest.raises(
        InputError, match=rf"^{said} was not a number at step 6 of 600\. Lower learning_rate.*checkpoint is .*checkpoint-3\."
    ):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(checkpoint_every=3), checkpoints=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_disk_that_is_full_is_told(tiny_base, tiny_pairs, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    plan = plan_batches(tiny_pairs, "X-X", steps=4, batch_size=6, seed=0)
    with pytest.raises(InputError, match="no space for a checkpoint at step"):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(checkpoint_every=2), checkpoints=tmp_path)
    assert last_whole(tmp_path) is None


def test_a_disk_that_fills_up_keeps_the_last_good_checkpoint_and_says_so(tiny_base, tiny_pairs, tmp_path, monkeypatch):
    """The second checkpoint does not fit; the training goes on from the first."""
    usual, saved = torch.save, []

    def full(thing, path, *rest, **options):
        saved.append(path)
        if "checkpoint-4" in str(path):
            raise OSError(28, "No space left on device")
        usual(thing, path, *rest, **options)

    monkeypatch.setattr("torch.save", full)
    plan = plan_batches(tiny_pairs, "X-X", steps=6, batch_size=6, seed=0)
    settings, checkpoints = TrainingSettings(checkpoint_every=2), tmp_path / "checkpoints"
    with pytest.raises(InputError, match=r"no space for a checkpoint at step \d of 6\. Free some space") as raised:
        train_encoder(tiny_base, tiny_pairs, plan, settings, checkpoints=checkpoints)
    assert str(raised.value).endswith(f"The last good checkpoint is {checkpoints / 'checkpoint-2'}.") and saved
    assert last_whole(checkpoints).name == "checkpoint-2"
    monkeypatch.undo()
    resumed, _ = train_encoder(tiny_base, tiny_pairs, plan, settings, checkpoints=checkpoints)
    unbroken, _ = train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings())
    for name, value in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.fixture(scope="module")
def opposed(tiny_pairs):
    """Validation pairs whose passages are another id's: what training brings together they want apart, so their loss rises."""
    rows = [tiny_pairs[n] for n in range(len(tiny_pairs))]
    swapped = pairs_from_rows(
        (row["id"], other["passage_id"], row["language"], row["question"], other["passage"], "s")
        for row, other in zip(rows, rows[4:] + rows[:4], strict=True)
    )
    return {
        name: (swapped, plan_batches(swapped, strategy, steps=2, batch_size=12, seed=3))
        for name, strategy in (("mono", "X-X-mono"), ("cross", "X-Y"))
    }


def train_opposed(base, pairs, validation, checkpoints=None, **changes):
    settings = TrainingSettings(**{"learning_rate": 0.05, "validate_every": 2, "patience": 3, **changes})
    plan = plan_batches(pairs, "X-Y", steps=20, batch_size=6, seed=0)
    return train_encoder(base, pairs, plan, settings, validation, checkpoints=checkpoints)


def mean_losses(history: pd.DataFrame) -> pd.Series:
    """Mean over the validation sets, by step."""
    return history[history["split"] != "train"].groupby("step")["loss"].mean()


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss(tiny_base, tiny_pairs, opposed, monkeypatch):
    seen, usual = {}, EarlyStopping.on_evaluate

    def spy(self, args, state, control, metrics, model, **rest):
        seen[state.global_step] = {name: value.clone() for name, value in model.state_dict().items()}
        return usual(self, args, state, control, metrics, model, **rest)

    monkeypatch.setattr(EarlyStopping, "on_evaluate", spy)
    model, history = train_opposed(tiny_base, tiny_pairs, opposed)
    losses_by_step = mean_losses(history)
    best, last = losses_by_step.idxmin(), losses_by_step.index[-1]
    assert last == best + 3 * 2 < 20  # three validations without a lower loss
    assert all(torch.equal(value, seen[best][name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, seen[last][name]) for name, value in model.state_dict().items())


def test_without_patience_the_last_weights_are_kept(tiny_base, tiny_pairs, opposed):
    model, history = train_opposed(tiny_base, tiny_pairs, opposed, patience=0)
    unwatched, _ = train_opposed(tiny_base, tiny_pairs, {}, patience=0)
    assert mean_losses(history).index[-1] == 20
    assert all(torch.equal(value, unwatched.state_dict()[name]) for name, value in model.state_dict().items())


def test_early_stopping_goes_on_from_a_checkpoint(tiny_base, tiny_pairs, opposed, tmp_path, monkeypatch):
    """The best weights and the validations waited for are part of a checkpoint."""
    model, history = train_opposed(tiny_base, tiny_pairs, opposed)
    checkpoint, usual = int(mean_losses(history).idxmin()) + 3, PlanTrainer.training_step

    def step(self, *rest):
        if self.state.global_step > checkpoint:
            raise KeyboardInterrupt
        return usual(self, *rest)

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(PlanTrainer, "training_step", step)
        train_opposed(tiny_base, tiny_pairs, opposed, tmp_path, checkpoint_every=checkpoint)
    assert last_whole(tmp_path).name == f"checkpoint-{checkpoint}"
    resumed, again = train_opposed(tiny_base, tiny_pairs, opposed, tmp_path, checkpoint_every=checkpoint)
    pd.testing.assert_series_equal(mean_losses(again), mean_losses(history))
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_stopped_training_resumed_trains_no_step_more(tiny_base, tiny_pairs, opposed, tmp_path):
    """The step it stops at is no checkpoint: a resumed trainer takes a step before it looks whether to stop."""
    model, history = train_opposed(tiny_base, tiny_pairs, opposed, tmp_path, checkpoint_every=2)
    resumed, again = train_opposed(tiny_base, tiny_pairs, opposed, tmp_path, checkpoint_every=2)
    assert step_of(last_whole(tmp_path)) == mean_losses(history).index[-1] - 2
    pd.testing.assert_series_equal(mean_losses(again), mean_losses(history))
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in model.state_dict().items())


def test_patience_needs_a_validation_set(tiny_base, tiny_pairs):
    plan = plan_batches(tiny_pairs, "X-X", steps=4, batch_size=6, seed=0)
    with pytest.raises(InputError, match="patience is 2, but there is no validation set"):
        train_encoder(tiny_base, tiny_pairs, plan, TrainingSettings(patience=2))


def test_the_best_weights_survive_their_file(tiny_base, tmp_path):
    model, kept, again = open_model(tiny_base), EarlyStopping(2, 1), EarlyStopping(2, 1)
    kept._judge(0.1 + 0.2, model)
    kept._judge(0.4, model)
    kept.save(tmp_path)
    again.load(tmp_path)
    assert (again.lowest, again.waited) == (0.1 + 0.2, 1)
    assert all(torch.equal(value, again.weights[name]) for name, value in model.state_dict().items())
