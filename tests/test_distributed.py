"""Two processes (gloo) that share every batch train what one process trains; one that dies ends the other, and the run goes on later."""

import time

import numpy as np
import pytest
import torch
from training_runs import Passing, gathered_losses, run_alone, train_all

from hybridir_utils.base.distributed import launch, processes, rank
from hybridir_utils.base.errors import InputError
from hybridir_utils.data.batching import BatchPlan, plan_batches
from hybridir_utils.train.losses import MaskedMultipleNegativesRankingLoss
from hybridir_utils.train.trainer import last_whole, step_of

STEPS = 9
SETTINGS = {
    "static": {"learning_rate": 1e-2, "validate_every": 4},
    "plain": {"learning_rate": 1e-3, "validate_every": 4},
    "cached": {"learning_rate": 1e-3, "validate_every": 4, "mini_batch_size": 2, "checkpoint_every": 3},
}


@pytest.fixture(scope="module")
def given(tiny_base, tiny_transformer, tiny_pairs, tmp_path_factory):
    """Options of a run by name: the bag of subwords, and a transformer without dropout, with the plain and the cached loss."""
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("distributed")
    tiny_pairs.to_parquet(str(folder / "pairs.parquet"))
    plan_batches(tiny_pairs, "hybrid", steps=STEPS, batch_size=8, seed=1).save(folder / "plan.parquet")
    still = AutoModel.from_pretrained(tiny_transformer, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    still.save_pretrained(folder / "still"), AutoTokenizer.from_pretrained(tiny_transformer).save_pretrained(folder / "still")
    common = {"pairs": folder / "pairs.parquet", "plan": folder / "plan.parquet"}
    return {
        name: {**common, "base": tiny_base if name == "static" else folder / "still", "settings": settings}
        for name, settings in SETTINGS.items()
    }


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    """What one process makes of each, by name."""
    folder = tmp_path_factory.mktemp("alone")
    for name, options in given.items():
        assert run_alone(folder / name, **{**options, "settings": {**options["settings"], "checkpoint_every": 0}}) == 0
    return {name: dict(np.load(folder / f"{name}-0.npz")) for name in given}


@pytest.fixture(scope="module")
def together(given, tmp_path_factory):
    """What two processes make of each, by name: a file for each rank; the cached run with checkpoints."""
    folder = tmp_path_factory.mktemp("together")
    runs = [{**options, "out": folder / name} for name, options in given.items()]
    runs[-1]["checkpoints"] = folder / "checkpoints"
    launch(train_all, (runs,), 2)
    return folder, {name: [dict(np.load(folder / f"{name}-{place}.npz")) for place in range(2)] for name in given}


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_train_what_one_trains(name, alone, together):
    expected = alone[name]
    for found in together[1][name]:
        for key in (key for key in expected if key.startswith("weight") and not key.endswith("key.bias")):  # see test_training
            assert np.abs(found[key] - expected[key]).max() < 1e-5, key
    assert_same_history(together[1][name][0], expected)


def assert_same_history(found, expected):
    """Training and validation losses at the steps both logged."""
    histories = [
        {(split, step): loss for step, split, loss in zip(*(run[f"history {c}"] for c in ("step", "split", "loss")), strict=True)}
        for run in (found, expected)
    ]
    shared = histories[0].keys() & histories[1].keys()
    assert len({split for split, _ in shared}) == 2 and len(shared) >= STEPS
    assert {key: histories[0][key] for key in shared} == pytest.approx({key: histories[1][key] for key in shared}, abs=1e-5)


def test_each_rank_takes_its_slots_of_every_step(given, alone, together):
    """Which are BatchPlan.shard's; so no id stands on both ranks of a step."""
    plan = BatchPlan.load(given["static"]["plan"])
    numbers = {row: label for row, label in zip(plan.passage_rows.ravel(), alone["static"]["labels"].reshape(-1), strict=True)}
    for place in range(2):
        share = plan.shard(place, 2)
        assert together[1]["plain"][place]["labels"][:, :, 0].tolist() == [[numbers[row] for row in step] for step in share.passage_rows]
    first, second = (together[1]["plain"][place]["labels"][:, :, 0] for place in range(2))
    assert all(not set(one) & set(other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("death", [(1, 7)])
def test_a_rank_that_dies_ends_the_other_and_the_same_call_goes_on(death, given, together, tmp_path):
    options = {**given["cached"], "checkpoints": tmp_path / "checkpoints"}
    started = time.monotonic()
    with pytest.raises(InputError, match=r"process \d of the training, or one .* was killed .*run it again.*last checkpoint"):
        launch(train_all, ([{**options, "out": tmp_path / "killed", "kill": death}],), 2)
    assert time.monotonic() - started < 100 and not list(tmp_path.glob("*.npz"))  # long before any timeout of the network
    assert step_of(last_whole(tmp_path / "checkpoints")) == death[1] // 3 * 3
    launch(train_all, ([{**options, "out": tmp_path / "resumed"}],), 2)
    found, expected = dict(np.load(tmp_path / "resumed-0.npz")), together[1]["cached"][0]
    assert len(found["labels"]) == STEPS - death[1] // 3 * 3
    assert all(np.array_equal(found[name], expected[name]) for name in expected if name != "labels")


def test_losses_mask_ids_across_ranks(tmp_path):
    """Ids that collide across ranks, which no plan has: each rank's loss and gradients are its rows' share of the whole batch's."""
    generator = torch.Generator().manual_seed(0)
    embeddings = [torch.randn(8, 5, generator=generator) for _ in range(3)]
    labels = [[4, 9], [7, 4], [5, -1], [9, 7], [4, 5], [8, 20], [7, 4], [6, -1]]
    launch(gathered_losses, (tmp_path / "loss", labels, [part.tolist() for part in embeddings], 4), 2)
    leaves = [part.clone().requires_grad_() for part in embeddings]
    loss = MaskedMultipleNegativesRankingLoss(Passing(), scale=20.0)([{"input_values": leaf} for leaf in leaves], torch.tensor(labels))
    loss.backward()
    found = [dict(np.load(tmp_path / f"loss-{place}.npz")) for place in range(2)]
    for name in ("plain", "cached"):
        assert np.mean([part[name] for part in found]) == pytest.approx(loss.item(), abs=1e-5)
        for column, leaf in enumerate(leaves):
            gradient = np.concatenate([part[f"{name} {column}"] for part in found]) / 2  # the trainer averages over ranks
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-5)


def test_a_batch_that_processes_cannot_share_is_refused(given, tmp_path, tiny_pairs):
    plan_batches(tiny_pairs, "hybrid", steps=2, batch_size=7, seed=1).save(tmp_path / "odd.parquet")
    with pytest.raises(InputError, match=r"process \d of the training failed: .*batches of 7 cannot be shared by 2 processes"):
        launch(train_all, ([{**given["static"], "out": tmp_path / "odd", "plan": tmp_path / "odd.parquet"}],), 2)


def test_alone_there_is_one_process():
    assert (rank(), processes()) == (0, 1)
