"""The optimiser: torch's numbers, and states that go anywhere."""

import io

import pytest
import torch
from torch import Tensor

from ablate.mtl.training.radam import RAdam


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = ((3, 4), (5,), (2,))
    return [torch.randn(shape, generator=random, dtype=dtype, requires_grad=True) for shape in shapes]


def move(optimiser: RAdam | torch.optim.RAdam, weights: list[Tensor], steps: range) -> None:
    """Steps along noise; the last weights have no gradient at first, as those of a part without a loss."""
    for step in steps:
        random = torch.Generator().manual_seed(step)
        optimiser.zero_grad()
        for weight in weights if step > 3 else weights[:2]:
            weight.grad = torch.randn(weight.shape, generator=random, dtype=weight.dtype)
        optimiser.step()


def torchs(weights: list[Tensor]) -> torch.optim.RAdam:
    return torch.optim.RAdam(weights, lr=0.01, foreach=True)


def test_it_computes_the_bits_of_torchs_own() -> None:
    """Beyond the sixth step, where the rectification begins."""
    mine, its = parameters(), parameters()
    move(RAdam(mine, 0.01, capturable=False), mine, range(12))
    move(torchs(its), its, range(12))
    assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_one_compiled_pass_computes_torchs_numbers(dtype: torch.dtype, tolerance: float) -> None:
    """But for the last bit of torch's square root."""
    mine, its = parameters(dtype), parameters(dtype)
    move(RAdam(mine, 0.01, capturable=False, compiled=True), mine, range(12))
    move(torchs(its), its, range(12))
    for a, b in zip(mine, its, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_a_compiled_pass_takes_gradients_that_lie_transposed() -> None:
    mine, its = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    mine.grad = torch.arange(6.0).view(3, 2).T
    its.grad = mine.grad.contiguous()
    for weights in (mine, its):
        RAdam([weights], 0.01, capturable=False, compiled=True).step()
    assert torch.equal(mine, its)


@pytest.mark.parametrize(("saved_by", "compiled"), [("torch's", False), ("ours", False), ("ours", True)])
def test_a_saved_state_goes_on_with_the_same_bits(saved_by: str, compiled: bool) -> None:
    """Also one of earlier versions, which used torch's own optimiser."""
    whole, halves = parameters(), parameters()
    move(RAdam(whole, 0.01, capturable=False, compiled=compiled), whole, range(12))
    mine = RAdam(halves, 0.01, capturable=False, compiled=compiled)
    first = torchs(halves) if saved_by == "torch's" else mine
    move(first, halves, range(8))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    second = RAdam(halves, 0.01, capturable=False, compiled=compiled)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    move(second, halves, range(8, 12))
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


@pytest.mark.parametrize("on_gpu", [True, False])
def test_the_count_of_steps_lies_on_a_gpu_beside_what_it_moves(on_gpu: bool) -> None:
    """Wherever the state was saved. A device without memory stands for the GPU here."""
    weights = parameters()
    saved = RAdam(weights, 0.01, capturable=not on_gpu)
    saved.load_state_dict(stepped_once(weights))
    there = [torch.empty_like(weight, device="meta") for weight in weights]
    moved = RAdam(there, 0.01, capturable=on_gpu)
    moved.load_state_dict(saved.state_dict())
    for weight in there:
        assert moved.state[weight]["step"].device.type == ("meta" if on_gpu else "cpu")
        assert moved.state[weight]["exp_avg"].device.type == "meta"


def stepped_once(weights: list[Tensor]) -> dict[str, object]:
    optimiser = torchs(weights)
    move(optimiser, weights, range(4, 5))
    return optimiser.state_dict()
