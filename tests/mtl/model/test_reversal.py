"""The gradient reversal layer, equations (4) and (5)."""

import pytest
import torch

from ablate.mtl.model.reversal import GradientReversal


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 10.0])
def test_forward_is_the_identity_and_backward_multiplies_by_minus_lambda(strength: float) -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = GradientReversal(strength)(x)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    assert torch.equal(x.grad, -strength * torch.tensor([3.0, 5.0]))


@pytest.mark.parametrize("strength", [0.5, 1.0, 10.0])
def test_the_reading_is_of_this_branch_alone(strength: float) -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    shared = 2 * x
    reversal = GradientReversal(strength)
    reversal.measuring = True
    (reversal(shared).square().sum() + (shared * torch.tensor([100.0, 7.0])).sum()).backward()
    reading = reversal.reading()
    assert reading.cosine == pytest.approx(-1)
    assert reading.ratio == pytest.approx(strength)
    assert not reversal.measuring


def test_a_stopped_gradient_has_no_direction() -> None:
    reversal = GradientReversal(0.0)
    reversal.measuring = True
    reversal(torch.ones(2, requires_grad=True)).sum().backward()
    assert reversal.reading() == (None, 0.0)


def test_no_gradient_from_above_is_no_reading() -> None:
    reversal = GradientReversal(1.0)
    reversal.measuring = True
    (0 * reversal(torch.ones(2, requires_grad=True))).sum().backward()
    assert reversal.reading() == (None, None)


def test_the_reading_is_measured_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reversal that forgets its sign is found out."""
    monkeypatch.setattr("ablate.mtl.model.reversal.reverse_gradient", lambda x, strength: strength * x)
    reversal = GradientReversal(2.0)
    reversal.measuring = True
    reversal(torch.ones(2, requires_grad=True)).sum().backward()
    assert reversal.reading() == (pytest.approx(1), 2.0)


def test_without_measuring_nothing_is_kept() -> None:
    reversal = GradientReversal(1.0)
    reversal(torch.ones(2, requires_grad=True)).sum().backward()
    assert not reversal._gradients
