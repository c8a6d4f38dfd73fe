"""How many runs are trained at once: what is measured is a GPU's, what follows from it is not."""

import pytest
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.training.capacity import (
    MAX_WIDTH,
    best_width,
    excerpt_of,
    saturation,
    steps_per_second,
    typical,
)
from ablate.mtl.training.loop import upload
from tests.mtl.training.tiny import CPU


@pytest.mark.parametrize(
    ("speeds", "limit", "expected"),
    [
        ({1: 10.0, 2: 20.0, 4: 40.0, 8: 80.0}, 8, 8),  # it still grows
        ({1: 10.0, 2: 20.0, 4: 40.0}, 7, 4),  # 8 would not fit
        ({1: 10.0, 2: 19.0, 4: 19.9}, 8, 2),  # 19.9 / 19 is not worth it
        ({1: 10.0, 2: 10.0}, 8, 1),
        ({1: 10.0, 2: 19.0, 4: 0.0}, 8, 2),  # four do not work together
        ({1: 10.0}, 1, 1),
    ],
)
def test_runs_are_doubled_while_that_makes_them_faster(
    speeds: dict[int, float], limit: int, expected: int
) -> None:
    """Looking up a number that is not there would fail: no more is measured than is needed."""
    assert saturation(speeds.__getitem__, limit) == expected


def test_runs_of_the_same_cost_are_measured_once(config: RunConfig) -> None:
    same = config.override({"seed": 3, "grl.position": "S1", "labels.shuffle": "both", "optim.epochs": 50})
    assert typical(same) == typical(config)
    for name, value in [
        ("tasks", "scene"),
        ("optim.batch_size", 5),
        ("model.width", 1.0),
        ("precision", "tf32"),
    ]:
        assert typical(config.override({name: value})) != typical(config)


def test_a_cpu_trains_one_at_a_time(config: RunConfig, data: Prepared) -> None:
    assert best_width(config, data, device=CPU) == 1


def test_the_speed_is_that_of_runs_that_really_train(config: RunConfig, data: Prepared) -> None:
    shared = upload(data, CPU)
    assert steps_per_second(typical(config), data, shared, 2) > 0
    broken = config.override({"labels.without": "fann"})
    assert steps_per_second(broken, data, shared, 2) == 0


def test_the_excerpt_is_of_the_clips_to_train_on(data: Prepared) -> None:
    excerpt = excerpt_of(data, 5)
    assert len(excerpt.development) == len(excerpt.development.features) == 5
    assert len(excerpt.evaluation) == len(data.evaluation)
    assert len(excerpt_of(data, 100).development) == 11


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_several_small_runs_at_once(config: RunConfig, data: Prepared) -> None:
    device = torch.device("cuda")
    width = best_width(config, data, device=device)
    assert 2 <= width <= MAX_WIDTH
    assert best_width(config, data, device=device, limit=2) == 2
