"""The network of Table 1."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from ablate.ground.errors import ConfigError, DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.model.mtl import Mtl

TINY = {"model.width": 1 / 32, "kernels": "plain"}


def build(values: dict[str, Any] | None = None) -> Mtl:
    return Mtl(RunConfig().override(values or {}), n_scenes=4, n_events=25)


def n_parameters(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def test_the_network_of_table_1_has_1_25_million_parameters() -> None:
    # Shared: 9 x 128 + 2 x 9 x 128 x 128, and 2 x 128 for each batch norm.
    # Scene: 9 x 128 x 256 + 9 x 256 x 256 + 2 x 512 + 257 x 32 + 33 x 4.
    # Event: 2 x (96 x 256 + 96 x 32 + 2 x 96) + 65 x 32 + 33 x 25.
    model = build()
    assert n_parameters(model.shared) == 296_832
    assert n_parameters(model.scene_convs) + n_parameters(model.scene_head) == 894_116
    assert n_parameters(model.event_gru) + n_parameters(model.event_head) == 58_585
    assert n_parameters(model) == 1_249_533


@pytest.mark.parametrize("kernels", ["plain", "fast"])
def test_the_shapes_are_those_of_table_1(kernels: str) -> None:
    model = build({"kernels": kernels}).eval()
    shapes: list[tuple[int, ...]] = []
    for block in [*model.shared, *model.scene_convs]:
        block.register_forward_hook(lambda _block, _inputs, output: shapes.append(tuple(output.shape)))
    with torch.no_grad():
        output = model(torch.zeros(1, 500, 64))
    shared, scene = [(1, 128, 500, 8), (1, 128, 500, 4), (1, 128, 500, 2)], [(1, 256, 20, 2), (1, 256, 1, 1)]
    assert shapes == shared + scene
    assert output.scene_logits.shape == (1, 4)
    assert output.event_logits.shape == (1, 500, 25)


def test_width_scales_the_channels_of_the_convolutions_alone() -> None:
    model = build({"model.width": 0.125})
    assert [block.conv.out_channels for block in [*model.shared, *model.scene_convs]] == [16, 16, 16, 32, 32]
    assert model.event_gru.hidden_size == 32
    assert model.scene_head[0].out_features == model.event_head[0].out_features == 32


@pytest.mark.parametrize(("tasks", "missing"), [("scene", "event"), ("event", "scene")])
def test_a_network_for_one_task_has_nothing_of_the_other(tasks: str, missing: str) -> None:
    model = build(TINY | {"tasks": tasks})
    output = model(torch.zeros(2, 50, 64))
    assert not [name for name in model.state_dict() if name.startswith(missing)]
    assert getattr(output, f"{missing}_logits") is None
    assert getattr(output, f"{tasks}_logits") is not None


CONDITIONS: list[dict[str, Any]] = [
    {"tasks": "scene"},
    {"tasks": "event"},
    *({"grl.position": position} for position in ("S1", "S2", "E1", "E2")),
    {"labels.shuffle": "both"},
    {"kernels": "fast"},
    {"loss.alpha": 1.0, "optim.lr": 0.1},
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_seed_means_the_same_initial_weights_in_every_condition(condition: dict[str, Any]) -> None:
    baseline = build(TINY).state_dict()
    weights = build(TINY | condition).state_dict()
    assert weights
    for name, tensor in weights.items():
        assert torch.equal(tensor, baseline[name]), name


def test_another_seed_means_other_initial_weights_in_every_layer() -> None:
    one, other = build(TINY | {"seed": 1}), build(TINY | {"seed": 2})
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert "norm" in name or not torch.equal(a, b), name


def test_every_part_draws_from_a_stream_of_its_own() -> None:
    """Uniform draws are scaled by the square root of the inputs; undo that to compare."""
    model = build(TINY)
    firsts = {
        "shared": model.shared[0].conv.weight,
        "scene_convs": model.scene_convs[0].conv.weight,
        "scene_head": model.scene_head[0].weight,
        "event_gru": model.event_gru.weight_ih_l0,
        "event_head": model.event_head[0].weight,
    }
    assert list(firsts) == [name for name, _ in model.named_children() if name != "reversal"]
    draws = [(weights[0].numel() ** 0.5 * weights.flatten()[:4]).tolist() for weights in firsts.values()]
    for position in range(4):
        values = sorted(draw[position] for draw in draws)
        assert min(b - a for a, b in itertools.pairwise(values)) > 1e-4


def test_building_a_network_leaves_torch_s_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build(TINY)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("tasks", "position"), [("event", "S1"), ("event", "S2"), ("scene", "E1")])
def test_a_reversal_in_a_branch_that_is_not_there_is_refused(tasks: str, position: str) -> None:
    with pytest.raises(
        ConfigError, match=f"grl.position = {position} reverses nothing where tasks = {tasks}"
    ):
        build({"tasks": tasks, "grl.position": position})


@pytest.mark.parametrize("frames", [0, 24, 501])
def test_clips_that_do_not_pool_are_refused(frames: int) -> None:
    with pytest.raises(DataError, match=f"clips have {frames} frames.*multiple of 25"):
        build(TINY)(torch.zeros(1, frames, 64))


def test_features_of_another_number_of_bands_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(1, 500, 40\); expected \(n_clips, frames, 64\)"):
        build(TINY)(torch.zeros(1, 500, 40))


def test_other_clip_lengths_work() -> None:
    output = build(TINY)(torch.zeros(2, 75, 64))
    assert output.event_logits.shape == (2, 75, 25)
