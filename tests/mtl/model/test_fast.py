"""The fast layers are the plain layers: outputs, all gradients, running statistics, in both precisions."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ablate.mtl.config import RunConfig
from ablate.mtl.model import compiling, norms
from ablate.mtl.model.choice import kit
from ablate.mtl.model.fast import FastBiGru, FastConvBlock, FastFirstBlock, FastHead
from ablate.mtl.model.layers import BiGru, ConvBlock, Head
from ablate.mtl.model.losses import event_loss, losses
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.step import Clips, make_optimiser, training_step

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}

# Name: plain layer, fast layer, shape of the input, whether the input gets a gradient. 5, 7 and 3 leave
# remainders in every loop that is unrolled.
Build = Callable[[], nn.Module]
LAYERS: dict[str, tuple[Build, Build, tuple[int, ...], bool]] = {
    "first block": (
        lambda: ConvBlock(1, 5, (1, 8)),
        lambda: FastFirstBlock(1, 5, (1, 8)),
        (3, 1, 7, 64),
        False,
    ),
    "pool over bands": (
        lambda: ConvBlock(3, 5, (1, 2)),
        lambda: FastConvBlock(3, 5, (1, 2)),
        (2, 3, 7, 8),
        True,
    ),
    "pool over frames": (
        lambda: ConvBlock(3, 5, (25, 1)),
        lambda: FastConvBlock(3, 5, (25, 1)),
        (2, 3, 50, 2),
        True,
    ),
    "pool over all": (
        lambda: ConvBlock(3, 5, None),
        lambda: FastConvBlock(3, 5, None),
        (2, 3, 20, 2),
        True,
    ),
    "one channel, one clip, six bands": (
        lambda: ConvBlock(1, 1, (1, 2)),
        lambda: FastConvBlock(1, 1, (1, 2)),
        (1, 1, 5, 6),
        True,
    ),
    "odd bands": (
        lambda: ConvBlock(3, 5, (5, 1)),
        lambda: FastConvBlock(3, 5, (5, 1)),
        (2, 3, 10, 3),
        True,
    ),
    "gru": (lambda: BiGru(6, 7), lambda: FastBiGru(6, 7), (3, 11, 6), True),
    "gru of five clips": (lambda: BiGru(6, 8), lambda: FastBiGru(6, 8), (5, 11, 6), True),
    "gru of one frame": (lambda: BiGru(6, 7), lambda: FastBiGru(6, 7), (2, 1, 6), True),
    "head of frames": (lambda: Head(6, 7), lambda: FastHead(6, 7), (3, 131, 6), True),
    "head of clips": (lambda: Head(32, 4), lambda: FastHead(32, 4), (5, 32), True),
}


def test_the_table_names_a_fast_form_of_every_layer() -> None:
    assert {type(plain()) for plain, _, _, _ in LAYERS.values()} == {*kit("plain")[:-1]}
    assert {type(fast()) for _, fast, _, _ in LAYERS.values()} == {*kit("fast")[:-1]}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_a_fast_layer_gives_what_the_plain_layer_gives(name: str, dtype: torch.dtype) -> None:
    build_plain, build_fast, shape, needs_gradient = LAYERS[name]
    plain, fast = build_plain().to(dtype), build_fast().to(dtype)
    randomise(plain)
    fast.load_state_dict(plain.state_dict())
    x = 3 * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) + 1
    for _ in range(2):  # twice: running statistics move from where they are
        expected = outcome(plain, x, needs_gradient)
        assert_same(outcome(fast, x, needs_gradient), expected, TOLERANCE[dtype])
    plain.eval()
    fast.eval()
    with torch.no_grad():
        assert_same({"evaluation": fast(x)}, {"evaluation": plain(x)}, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_fast_loss_of_events_is_the_plain_one(dtype: torch.dtype) -> None:
    """Also of logits far out, in frames that are masked, and beyond a whole number of vectors."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 131, 5, generator=random, dtype=dtype)
    logits[0, :4, 0] = torch.tensor([-1e4, -30, 30, 1e4], dtype=dtype)
    events = (torch.rand(3, 131, 5, generator=random) < 0.3).to(torch.uint8)
    mask = (torch.arange(131) < 100).to(torch.uint8).expand(3, 131)
    results = []
    for name in ("plain", "fast"):
        x = logits.clone().requires_grad_()
        loss = event_loss(x, events, mask, "mean", name)
        loss.backward()
        results.append({"loss": loss.detach(), "gradient": x.grad})
    assert_same(results[1], results[0], TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("position", ["none", "S1", "S2", "E1", "E2"])
def test_the_fast_network_trains_as_the_plain_one_does(position: str, dtype: torch.dtype) -> None:
    """One training step's losses and gradients, whole network, frames padded."""
    results = []
    for name in ("plain", "fast"):
        values = {"kernels": name, "model.width": 1 / 16, "loss.alpha": 1.0, "grl.position": position}
        config = RunConfig().override(values)
        model = Mtl(config, 4, 25).to(dtype)
        random = torch.Generator().manual_seed(1)
        x = torch.randn(3, 50, 64, generator=random, dtype=dtype)
        events = (torch.rand(3, 50, 25, generator=random) < 0.2).to(torch.uint8)
        mask = (torch.arange(50) < 40).to(torch.uint8).expand(3, 50)
        loss = losses(model(x), torch.tensor([0, 1, 3]), events, mask, config.loss, name)
        loss.total.backward()
        results.append({"loss": loss.total.detach()} | state(model))
    assert_same(results[1], results[0], TOLERANCE[dtype])


def test_sixty_steps_end_where_double_precision_ends() -> None:
    """Rounding grows with every step, and sooner or later it turns a maximum over, which
    changes the losses by thousandths; with either layers. Of three trainings that begin a rounding apart, the
    one nearest to double precision is therefore looked at.
    """
    exact = losses_after(60, "plain", torch.float64)
    assert largest(losses_after(60, "fast", torch.float64) - exact) < 1e-6
    plain, fast = (
        min(largest(losses_after(60, layers, torch.float32, start) - exact) for start in range(3))
        for layers in ("plain", "fast")
    )
    assert fast < 5 * max(plain, 5e-6)


def test_weights_trained_with_one_load_into_the_other() -> None:
    plain, fast = (Mtl(RunConfig().override({"kernels": name}), 4, 25) for name in ("plain", "fast"))
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (plain, fast)]
    assert shapes[0] == shapes[1]
    assert list(shapes[0]) == list(shapes[1])


def test_gradients_in_evaluation_mode_are_the_plain_ones() -> None:
    plain, fast = ConvBlock(3, 5, (1, 2)).eval(), FastConvBlock(3, 5, (1, 2)).eval()
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 7, 8)
    assert_same(outcome(fast, x, True), outcome(plain, x, True), 0)


def test_a_gradient_to_the_features_is_the_plain_one() -> None:
    plain, fast = ConvBlock(1, 5, (1, 8)), FastFirstBlock(1, 5, (1, 8))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 7, 64)
    assert_same(outcome(fast, x, True), outcome(plain, x, True), 1e-4)


def test_half_precision_takes_the_plain_path() -> None:
    gru = FastBiGru(4, 8).to(torch.bfloat16)
    assert gru(torch.zeros(1, 3, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "layer", [FastBiGru(64, 4), nn.Sequential(nn.Unflatten(1, (1, -1)), FastFirstBlock(1, 4, (1, 8)))]
)
def test_not_a_number_stays_not_a_number(layer: nn.Module) -> None:
    """A training that diverges must be seen to diverge."""
    x = torch.randn(2, 25, 64)
    x[0, 3] = float("nan")
    assert layer(x).isnan().any()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_the_gru_saturates_as_torch_s_does(scale: float) -> None:
    plain, fast = BiGru(4, 8), FastBiGru(4, 8)
    fast.load_state_dict(plain.state_dict())
    x = scale * torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    assert_same({"states": fast(x).detach()}, {"states": plain(x).detach()}, 1e-5)


def test_batch_norm_is_exact_far_from_zero() -> None:
    """Mean 1000, deviation 1: squares would cancel in single precision."""
    x = 1000 + torch.randn(4, 25, 8, 3, generator=torch.Generator().manual_seed(0))
    first, second = np.zeros(3), np.zeros(3)
    for clip in x.numpy():
        norms.add_moments(clip, x[0, 0, 0].numpy(), first, second)
    offset = first / 800
    expected = x.double().flatten(0, 2)
    np.testing.assert_allclose(offset + x[0, 0, 0].numpy(), expected.mean(0), rtol=1e-7)
    np.testing.assert_allclose(second / 800 - offset**2, expected.var(0, correction=0), rtol=1e-5)


@pytest.mark.parametrize("x", [-1e30, -100.0, -3.7, 0.0, 1e-3, 20.0, 1e30, float("nan")])
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_the_logistic_function(x: float, kind: type[np.floating], tolerance: float) -> None:
    """``exp`` is cut off at 80, and exp(-80) = 2e-35."""
    compiled = compiling.compiled(_logistic)
    expected = 1 / (1 + np.exp(-np.clip(x, -80, 80)))
    np.testing.assert_allclose(compiled(kind(x)), expected, rtol=tolerance)


def test_two_processes_that_start_at_once_share_an_empty_cache(tmp_path: Path) -> None:
    """Both compile, both write the cache, and both get the same bits."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", STATES_OF_A_GRU]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert list(tmp_path.rglob("*.nbi"))
    warm = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert warm.stdout == outputs[0]


def test_a_cache_folder_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")}
    subprocess.run([sys.executable, "-c", STATES_OF_A_GRU], env=environment, check=True)


def test_kernels_compile_where_no_cache_can_be_written() -> None:
    namespace: dict[str, Callable[[float], float]] = {}
    exec("def double(x):\n    return 2 * x", namespace)  # without a file, numba has no place for a cache
    assert compiling.compiled(namespace["double"])(4) == 8


def test_the_plain_network_does_without_numba() -> None:
    script = (
        "import sys; from ablate.mtl.config import *; from ablate.mtl.model.mtl import Mtl; "
        "Mtl(RunConfig().override({'kernels': 'plain'}), 4, 25); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_plain_layers_do_the_work() -> None:
    results = []
    for name in ("plain", "fast"):
        model = Mtl(RunConfig().override({"kernels": name, "model.width": 1 / 16}), 4, 25).cuda()
        output = model(torch.ones(2, 50, 64, device="cuda"))
        (output.scene_logits.sum() + output.event_logits.sum()).backward()
        results.append({"scene": output.scene_logits.detach()} | state(model))
    assert_same(results[1], results[0], 1e-4)


# --- helpers ----------------------------------------------------------------------------------------------

STATES_OF_A_GRU = """
import torch
from ablate.mtl.model.fast import FastBiGru

torch.manual_seed(0)
print(FastBiGru(3, 4)(torch.randn(2, 5, 3)).tolist())
"""


def _logistic(x: np.floating) -> np.floating:
    result: np.floating = compiling.logistic(x)
    return result


def losses_after(steps: int, layers: str, dtype: torch.dtype, start: int = 0) -> Tensor:
    """The total losses of the last four steps of a small network on 16 clips of noise, four a step.

    Initial weights of different ``start`` differ by the rounding of float32.
    """
    settings = {"kernels": layers, "model.width": 1 / 16, "loss.alpha": 1.0, "optim.lr": 1e-3}
    config = RunConfig().override(settings)
    model = Mtl(config, 4, 25).to(dtype)
    if start:
        nudge = torch.Generator().manual_seed(start)
        for weights in model.parameters():
            weights.data *= 1 + 6e-8 * torch.randn(weights.shape, generator=nudge)
    optimiser = make_optimiser(model, config, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    clips = Clips(
        torch.randn(16, 25, 64, generator=random).to(dtype),
        torch.randint(4, (16,), generator=random),
        (torch.rand(16, 25, 25, generator=random) < 0.2).to(torch.uint8),
        torch.ones(16, 25, dtype=torch.uint8),
    )
    totals = []
    for step in range(steps):
        batch = clips.at(torch.arange(4) + step % 4 * 4)
        totals.append(training_step(model, optimiser, batch, config)[0].double())
    return torch.stack(totals[-4:])


def largest(differences: Tensor) -> float:
    return float(differences.abs().max())


def randomise(module: nn.Module) -> None:
    """All parameters of order one and of both signs, also batch norm's, which begin as ones and zeros."""
    random = torch.Generator().manual_seed(2)
    for weights in module.parameters():
        weights.data = torch.randn(weights.shape, generator=random, dtype=weights.dtype)


def outcome(layer: nn.Module, x: Tensor, needs_gradient: bool) -> dict[str, Tensor]:
    """Output, every gradient and every buffer after one pass each way."""
    layer.zero_grad()
    x = x.clone().requires_grad_(needs_gradient)
    y = layer(x)
    (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=y.dtype)).sum().backward()
    result = {"output": y.detach()} | state(layer)
    return result | {"input": x.grad} if x.grad is not None else result


def state(module: nn.Module) -> dict[str, Tensor]:
    gradients = {f"gradient of {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert gradients
    return gradients | {name: buffer.clone() for name, buffer in module.named_buffers()}


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Equal to ``tolerance`` of each tensor's largest entry."""
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        largest = tensor.abs().max().item()
        torch.testing.assert_close(
            actual[name],
            tensor,
            rtol=0,
            atol=tolerance * largest,
            check_stride=False,
            msg=lambda text, name=name: f"{name}: {text}",
        )
