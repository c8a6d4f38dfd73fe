"""The arithmetic of training, and that scores do not depend on it."""

from collections.abc import Iterator

import pytest
import torch

from ablate.ground.errors import ConfigError
from ablate.mtl.config import Precision, RunConfig
from ablate.mtl.data.prepared import Prepared
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.checkpoint import Row
from ablate.mtl.training.evaluate import evaluate
from ablate.mtl.training.loop import train
from ablate.mtl.training.precision import arithmetic, logits
from tests.mtl.training.tiny import CPU, N_EVENTS, N_SCENES, weights

CUDA = torch.device("cuda")


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def allow(products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions


@pytest.fixture
def _settings() -> Iterator[None]:
    before = allowed()
    yield
    allow(*before)


@pytest.mark.usefixtures("_settings")
@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True), ("bfloat16", False)])
@pytest.mark.parametrize("before", [(False, True), (True, False)])
def test_a_gpu_may_use_tf32_when_that_is_asked_for_and_only_then(
    before: tuple[bool, bool], precision: Precision, tf32: bool
) -> None:
    """torch's own default is (False, True): convolutions in TF32."""
    allow(*before)
    with arithmetic(precision, CUDA):
        assert allowed() == (tf32, tf32)
    assert allowed() == before


def test_tf32_is_refused_where_there_is_none(config: RunConfig, data: Prepared) -> None:
    with pytest.raises(ConfigError, match="precision = tf32 is an arithmetic of NVIDIA GPUs"):
        train(config.override({"precision": "tf32"}), data, device=CPU)


@pytest.mark.parametrize("tasks", ["both", "scene", "event"])
def test_bfloat16_trains_nearly_the_same_network(tasks: str, config: RunConfig, data: Prepared) -> None:
    rows: dict[str, list[Row]] = {"float32": [], "bfloat16": []}
    models = {
        precision: train(
            config.override({"precision": precision, "tasks": tasks}), data, device=CPU, on_epoch=told.append
        )
        for precision, told in rows.items()
    }
    assert weights(models["float32"]) != weights(models["bfloat16"])
    assert all(weight.dtype == torch.float32 for weight in models["bfloat16"].parameters())
    assert rows["bfloat16"][-1]["loss"] == pytest.approx(rows["float32"][-1]["loss"], rel=0.02)


def test_losses_and_scores_are_computed_in_float32(config: RunConfig, data: Prepared) -> None:
    model = Mtl(config, N_SCENES, N_EVENTS)
    types = []
    model.scene_head.register_forward_hook(lambda _layer, _inputs, output: types.append(output.dtype))
    features = torch.from_numpy(data.development.features.copy())
    output = logits(model, features, "bfloat16")
    assert output.scene_logits.dtype == output.event_logits.dtype == torch.float32
    evaluate(model, data.evaluation, threshold=0.5, device=CPU)
    assert types == [torch.bfloat16, torch.float32]
