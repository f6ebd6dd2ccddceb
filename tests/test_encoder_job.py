"""One training run as an artefact: what its card and folder hold, and how it goes on after it was stopped."""

import json
import shutil

import numpy as np
import pytest
import torch

from hybridir_utils.encode.opening import Opening, open_model
from hybridir_utils.experiment import encoders
from hybridir_utils.experiment.encoders import encoder_artefact, train_one, validation_plans
from hybridir_utils.provenance.artefacts import recipe_of
from hybridir_utils.train.trainer import PlanTrainer
from hybridir_utils.train.training import TrainingSettings


@pytest.fixture
def root(tmp_path, tiny_pairs, tiny_transformer):
    """A run's artefacts before training: pairs and a base encoder."""
    (tmp_path / "pairs" / "p").mkdir(parents=True)
    for split in ("train", "validation"):
        tiny_pairs.to_parquet(str(tmp_path / "pairs" / "p" / f"{split}.parquet"))
    shutil.copytree(tiny_transformer, tmp_path / "bases" / "b")
    return tmp_path


def recipe(**settings):
    return {
        "base": "mine",
        "strategy": "hybrid",
        "alpha": 0.5,
        "seed": 1,
        "base_folder": "b",
        "base_origin": "owner/name@0123",
        "pairs": "p",
        "steps": 9,
        "batch_size": 6,
        "settings": TrainingSettings(**{"learning_rate": 1e-3, "checkpoint_every": 3, **settings}).model_dump(),
        "opening": Opening(max_query_tokens=5).model_dump(),
    }


def stop_at(step, monkeypatch):
    """Until undone, training is interrupted before that step."""
    usual = PlanTrainer.training_step

    def interrupted(self, *rest):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return usual(self, *rest)

    monkeypatch.setattr(PlanTrainer, "training_step", interrupted)


def test_a_stopped_run_goes_on_from_its_checkpoint_and_then_removes_it(root, monkeypatch, tmp_path_factory):
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stop_at(7, stopped)
        train_one(encoder_artefact(root, "e", recipe()))
    (kept,) = (root / "checkpoints").iterdir()
    assert {path.name for path in kept.iterdir()} == {"checkpoint-3", "checkpoint-6"} and not list((root / "encoders").glob("e-*"))
    steps, usual = [], PlanTrainer.training_step
    monkeypatch.setattr(PlanTrainer, "training_step", lambda self, *rest: steps.append(self.state.global_step) or usual(self, *rest))
    folder = train_one(encoder_artefact(root, "e", recipe()))
    assert steps == [6, 7, 8] and not list((root / "checkpoints").iterdir())
    again = tmp_path_factory.mktemp("again") / "root"
    shutil.copytree(root, again, ignore=shutil.ignore_patterns("encoders"))
    unbroken = train_one(encoder_artefact(again, "e", recipe()))
    one, other = (open_model(place).state_dict() for place in (folder, unbroken))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_less_memory_goes_on_from_the_same_checkpoint_another_rate_does_not(root, monkeypatch):
    """After `out of memory` the advice is a lower mini_batch_size; what was trained is not lost by taking it."""
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stop_at(7, stopped)
        train_one(encoder_artefact(root, "e", recipe()))
    for changes, expected in (({"learning_rate": 2e-3}, 0), ({"mini_batch_size": 2, "gradient_checkpointing": True}, 6)):
        steps, usual = [], PlanTrainer.training_step
        with monkeypatch.context() as counted:
            counted.setattr(
                PlanTrainer, "training_step", lambda self, *rest, s=steps, u=usual: s.append(self.state.global_step) or u(self, *rest)
            )
            train_one(encoder_artefact(root, "e", recipe(**changes)))
        assert steps[0] == expected


def test_folder_and_card_of_an_encoder(root):
    from sentence_transformers import SentenceTransformer

    folder = train_one(encoder_artefact(root, "e", recipe()))
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert {"model.safetensors", "modules.json", "plan.parquet", "loss.csv", "card.json", "README.md"} <= files
    assert SentenceTransformer(str(folder)).encode_query(["fire 3"]).shape == (1, 16)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["base"]["origin"] == "owner/name@0123" and card["base"]["max_query_tokens"] == 5
    assert card["training"]["learning_rate"] == 1e-3 and 0 < card["training"]["seconds"] < 600
    assert 0.05 < card["training"]["peak memory in GB"] < 100 and np.isfinite(card["training"]["last training loss"])
    assert recipe_of(folder)["recipe"] == recipe()
    assert SentenceTransformer(str(folder))[0].query_length == 5


def test_a_card_scores_whole_groups_of_validation_pairs_up_to_a_number(root, tiny_pairs):
    task = encoders._validation_task.__wrapped__(root / "pairs" / "p", 5)
    first = list(dict.fromkeys(tiny_pairs["id"]))
    sizes = np.cumsum([tiny_pairs["id"].count(id_) for id_ in first])
    kept = first[: int(np.argmax(sizes >= 5)) + 1]
    assert set(task.queries["group"]) == set(kept) and len(task.queries) == sizes[len(kept) - 1] < len(tiny_pairs)
    assert len(encoders._validation_task.__wrapped__(root / "pairs" / "p", 10**6).queries) == len(tiny_pairs)


@pytest.mark.parametrize(("steps", "validate_every"), [(40, 10), (40, 1), (9, 3), (150, 50)])
def test_no_more_pairs_are_validated_than_a_tenth_of_the_training_takes(root, monkeypatch, tiny_pairs, steps, validate_every):
    """A pair that is validated takes a third of what one takes that is trained. Each kind has a batch of two at the least."""
    given, scored = [], []
    monkeypatch.setattr(encoders, "train_encoder", lambda *given_, **_: given.append(given_[4]) or (None, None))
    monkeypatch.setattr(encoders, "save_encoder", lambda *_: None)
    monkeypatch.setattr(encoders, "_card", lambda recipe, train, plan, history, model, task, cost: scored.append(len(task.queries)))
    job = recipe(validate_every=validate_every) | {"steps": steps}
    encoders._make_encoder(root, job, root, root / "checkpoints")
    trained, times = steps * job["batch_size"], steps // validate_every
    losses = times * sum(plan.steps * plan.batch_size for _, plan in given[0].values())
    longest = max(tiny_pairs["id"].count(id_) for id_ in tiny_pairs["id"])  # an id is scored in all its languages
    assert losses / 3 <= max(0.05 * trained, times * len(given[0]) * 2 / 3) and (scored[0] - longest) / 3 <= 0.05 * trained


def test_validation_in_one_language_has_no_cross_batches(tiny_pairs):
    german = tiny_pairs.filter(lambda row: row["language"] == "de")
    assert set(validation_plans(tiny_pairs)) == {"mono", "cross"} and set(validation_plans(german)) == {"mono"}


def test_languages_of_which_a_single_passage_is_held_out_are_not_validated(tiny_pairs):
    """A set with few pairs in one language would else stop every training."""
    numbers = np.array([int(id_[1:]) for id_ in tiny_pairs["id"]])
    few = tiny_pairs.select(np.flatnonzero((numbers < 3) & ((np.array(tiny_pairs["language"]) != "th") | (numbers == 0))))
    assert set(validation_plans(few)) == {"mono", "cross"} and "th" not in validation_plans(few)["mono"][0]["language"]
    assert validation_plans(tiny_pairs.select(np.flatnonzero(numbers == 0))) == {}
