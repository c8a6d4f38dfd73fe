"""Training: what is reported, what decides the result, and what stops it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.ground.errors import DataError, NotConverged
from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.labels import training_labels
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.checkpoint import Row
from ablate.mtl.training.loop import batches, train
from ablate.mtl.training.radam import RAdam
from ablate.mtl.training.step import Clips, training_step
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES, weights

ROOT = Path(__file__).parents[3]


def trained(config: RunConfig, data: Prepared, values: dict[str, Any] | None = None) -> tuple[Mtl, list[Row]]:
    rows: list[Row] = []
    model = train(config.override(values or {}), data, device=CPU, on_epoch=rows.append)
    return model, rows


def test_every_epoch_is_reported_and_the_loss_falls(config: RunConfig, data: Prepared) -> None:
    _, rows = trained(config, data, {"optim.epochs": 8, "optim.lr": 0.01})
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    for name in ("loss", "loss_scene", "loss_event"):
        assert rows[-1][name] < rows[0][name]
    for row in rows:
        assert row["loss"] == pytest.approx(0.1 * row["loss_scene"] + row["loss_event"])
        assert row["grl_cosine"] is None
        assert row["grl_ratio"] is None
        assert row["seconds"] > 0


def test_losses_are_means_over_clips(config: RunConfig, data: Prepared) -> None:
    """With a learning rate of nearly nothing, the batches' mean is the scene loss over the whole set."""
    values = {"optim.lr": 1e-12, "tasks": "scene", "optim.epochs": 1, "optim.batch_size": 11}
    _, whole = trained(config, data, values)
    model = Mtl(config.override(values), N_SCENES, N_EVENTS).train()
    logits = model(torch.from_numpy(data.development.features.copy())).scene_logits
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.development.scenes.copy()))
    assert whole[0]["loss_scene"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("tasks", "missing"), [("scene", "loss_event"), ("event", "loss_scene")])
def test_a_task_that_is_not_there_has_no_loss(
    tasks: str, missing: str, config: RunConfig, data: Prepared
) -> None:
    _, rows = trained(config, data, {"tasks": tasks})
    assert [row[missing] for row in rows] == [None] * 3
    assert None not in [row[f"loss_{tasks}"] for row in rows]


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("position", ["S1", "S2", "E1", "E2"])
def test_every_epoch_reports_what_the_reversal_did(
    position: str, strength: float, config: RunConfig, data: Prepared
) -> None:
    _, rows = trained(config, data, {"grl.position": position, "grl.strength": strength})
    for row in rows:
        assert row["grl_ratio"] == pytest.approx(strength, rel=1e-5)
        assert row["grl_cosine"] == (pytest.approx(-1) if strength else None)


def test_each_epoch_takes_every_clip_once_in_an_order_of_its_own() -> None:
    epochs = [torch.cat(batches(11, 4, seed=0, epoch=epoch)).tolist() for epoch in (1, 2)]
    assert [len(batch) for batch in batches(11, 4, seed=0, epoch=1)] == [4, 4, 3]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(11))
    assert epochs[0] != epochs[1]
    assert torch.equal(batches(11, 4, 0, 1)[0], batches(11, 4, 0, 1)[0])
    assert torch.cat(batches(11, 4, seed=1, epoch=1)).tolist() != epochs[0]


def test_a_last_batch_of_one_clip_is_trained_on(config: RunConfig, data: Prepared) -> None:
    _, rows = trained(config, data, {"optim.batch_size": 10})
    assert len(rows) == 3


@pytest.mark.parametrize("kernels", ["plain", "fast"])
def test_a_seed_decides_every_bit(kernels: str, config: RunConfig, data: Prepared) -> None:
    values = {"labels.shuffle": "both", "labels.redraw": "every_epoch", "kernels": kernels}
    torch.manual_seed(1)
    first, _ = trained(config, data, values)
    torch.manual_seed(2)
    np.random.default_rng().random()
    again, _ = trained(config, data, values)
    other, _ = trained(config, data, values | {"seed": 1})
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)


def test_another_process_gets_the_same_bits(config: RunConfig, data: Prepared) -> None:
    """And does not load torch's compiler, which takes a second: see ``radam``."""
    script = (
        "import sys, torch; torch.set_num_threads(1); from tests.mtl.training.tiny import *; "
        "from ablate.mtl.config import RunConfig; from ablate.mtl.training.loop import *; "
        f"print(weights(train(RunConfig.model_validate_json({config.model_dump_json()!r}), make_data(), "
        "device=CPU)), 'torch._dynamo' in sys.modules)"
    )
    expected = weights(trained(config, data)[0])
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout.split() == [expected, "False"]


def test_both_kernels_learn_the_same(config: RunConfig, data: Prepared) -> None:
    (_, plain), (_, fast) = (trained(config, data, {"kernels": name}) for name in ("plain", "fast"))
    assert plain[-1]["loss"] == pytest.approx(fast[-1]["loss"], rel=1e-3)


# Condition -> the value of its field; each must end with other weights than the baseline.
CONDITIONS: dict[str, dict[str, Any]] = {
    **{position: {"grl.position": position} for position in ("S1", "S2", "E1", "E2")},
    "lambda 0": {"grl.position": "S1", "grl.strength": 0.0},
    "lambda 10": {"grl.position": "S1", "grl.strength": 10.0},
    "fake scenes": {"labels.shuffle": "scene"},
    "fake events": {"labels.shuffle": "event"},
    "fake both": {"labels.shuffle": "both"},
    "alpha": {"loss.alpha": 1.0},
    "beta": {"loss.beta": 0.1},
    "sum": {"loss.event_reduction": "sum"},
    "lr": {"optim.lr": 3e-4},
    "batch size": {"optim.batch_size": 5},
    "epochs": {"optim.epochs": 2},
    "seed": {"seed": 1},
}


def test_no_two_conditions_end_with_the_same_shared_weights(config: RunConfig, data: Prepared) -> None:
    ends = {name: trained(config, data, values)[0] for name, values in {"baseline": {}, **CONDITIONS}.items()}
    assert len({weights(model) for model in ends.values()}) == len(ends)
    assert len({weights(model.shared) for model in ends.values()}) == len(ends)


@pytest.mark.parametrize("kernels", ["fast", "plain"])
@pytest.mark.parametrize(
    ("position", "alone", "parts"),
    [
        ("S1", "event", ("shared", "event_gru", "event_head")),
        ("S2", "event", ("shared", "event_gru", "event_head")),
        ("E1", "scene", ("shared", "scene_convs", "scene_head")),
        ("E2", "scene", ("shared", "scene_convs", "scene_head")),
    ],
)
def test_with_lambda_0_the_other_task_learns_what_it_learns_alone(
    position: str, alone: str, parts: tuple[str, ...], kernels: str, config: RunConfig, data: Prepared
) -> None:
    config = config.override({"kernels": kernels})
    control, _ = trained(config, data, {"grl.position": position, "grl.strength": 0.0})
    single, _ = trained(config, data, {"tasks": alone})
    for part in parts:
        assert weights(getattr(control, part)) == weights(getattr(single, part)), part


@pytest.mark.parametrize("redraw", ["once", "every_epoch"])
@pytest.mark.parametrize("shuffle", ["none", "both"])
def test_every_step_sees_its_clips_with_the_labels_of_its_epoch(
    shuffle: str, redraw: str, config: RunConfig, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Clips] = []

    def step(model: Mtl, optimiser: RAdam, batch: Clips, config: RunConfig) -> torch.Tensor:
        seen.append(batch)
        return training_step(model, optimiser, batch, config)

    monkeypatch.setattr("ablate.mtl.training.loop.training_step", step)
    config = config.override({"labels.shuffle": shuffle, "labels.redraw": redraw})
    trained(config, data)
    split = data.development
    for epoch in (1, 2, 3):
        scenes, events = training_labels(split.scenes, split.events, N_SCENES, config, epoch)
        for batch in batches(len(split), 4, config.seed, epoch):
            actual = seen.pop(0)
            for tensor, array in zip(actual, (split.features, scenes, events, split.mask), strict=True):
                assert np.array_equal(tensor.numpy(), array[batch.numpy()])
    assert not seen


def test_the_data_are_as_they_were_whatever_is_shuffled(config: RunConfig, data: Prepared) -> None:
    before = [array.copy() for split in (data.development, data.evaluation) for array in arrays(split)]
    trained(config, data, {"labels.shuffle": "both"})
    after = [array for split in (data.development, data.evaluation) for array in arrays(split)]
    for a, b in zip(before, after, strict=True):
        assert np.array_equal(a, b)


def arrays(split: Any) -> list[np.ndarray[Any, Any]]:
    return [split.features, split.events, split.scenes, split.mask]


def test_a_loss_that_is_not_a_number_stops_the_run(config: RunConfig, data: Prepared) -> None:
    data.development.features.setflags(write=True)
    data.development.features[0] = np.nan
    with pytest.raises(NotConverged, match=r"no longer finite in epoch 1 .*lower optim.lr"):
        trained(config, data)


def test_weights_that_end_as_no_numbers_stop_the_run(
    config: RunConfig, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step's losses are of the weights before it, so they cannot show what it did."""

    def step(model: Mtl, *_: object) -> torch.Tensor:
        model.event_head[2].bias.data[0] = float("inf")
        return torch.ones(3)

    monkeypatch.setattr("ablate.mtl.training.loop.training_step", step)
    with pytest.raises(NotConverged, match="weight"):
        trained(config, data)


def test_no_clips_to_train_on_is_a_sentence(config: RunConfig, data: Prepared) -> None:
    split = data.development
    empty = type(split)(
        *(array[:0] for array in (*arrays(split), split.recordings)), recording_names=(), annotated=()
    )
    nothing = type(data)(**{**vars(data), "development": empty})
    with pytest.raises(DataError, match="tiny has no development clips"):
        trained(config, nothing)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_as_a_cpu_does(config: RunConfig, data: Prepared) -> None:
    rows: list[Row] = []
    model = train(config, data, device=torch.device("cuda"), on_epoch=rows.append)
    assert next(model.parameters()).is_cuda
    assert rows[-1]["loss"] == pytest.approx(trained(config, data)[1][-1]["loss"], rel=1e-2)
