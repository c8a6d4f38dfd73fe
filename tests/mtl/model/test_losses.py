"""The losses, equations (1) to (3), against sums that a reader can check by hand."""

import math

import pytest
import torch

from ablate.mtl.config import Loss
from ablate.mtl.model.losses import event_loss, losses, scene_loss
from ablate.mtl.model.mtl import Output

# With logit 0 every class has probability 1/2 (sigmoid) or 1/n (softmax), so each term is log 2 or log n.
LOG2, LOG4 = math.log(2), math.log(4)


def test_the_scene_loss_is_the_mean_cross_entropy_of_the_clips() -> None:
    logits = torch.tensor([[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]])  # probabilities 1/4; 3/6, 1/6, 1/6, 1/6
    assert scene_loss(logits, torch.tensor([2, 0])).item() == pytest.approx((LOG4 + LOG2) / 2)


def test_the_event_loss_is_the_mean_over_valid_frames_and_classes() -> None:
    logits = torch.zeros(2, 3, 5)
    logits[:, 2] = 100.0  # padded frames, far off: they must not count
    mask = torch.tensor([[1, 1, 0], [1, 1, 0]], dtype=torch.uint8)
    loss = event_loss(logits, torch.zeros(2, 3, 5, dtype=torch.uint8), mask, "mean")
    assert loss.item() == pytest.approx(LOG2)


def test_the_summed_event_loss_is_over_a_clip_s_frames_and_classes_then_the_mean_of_clips() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.uint8)
    loss = event_loss(torch.zeros(2, 3, 5), torch.ones(2, 3, 5, dtype=torch.uint8), mask, "sum")
    assert loss.item() == pytest.approx((2 + 1) * 5 * LOG2 / 2)


def test_the_event_loss_tells_active_from_inactive() -> None:
    logits = torch.tensor([[[math.log(3), math.log(3)]]])  # probability 3/4
    events = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    loss = event_loss(logits, events, torch.ones(1, 1, dtype=torch.uint8), "sum")
    assert loss.item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_padded_frames_get_no_gradient(reduction: str) -> None:
    logits = torch.zeros(1, 4, 3, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 0]], dtype=torch.uint8)
    event_loss(logits, torch.ones(1, 4, 3, dtype=torch.uint8), mask, reduction).backward()
    assert logits.grad[0, :2].all()
    assert not logits.grad[0, 2:].any()


def test_a_batch_of_padding_alone_has_loss_zero() -> None:
    zeros = torch.zeros(1, 2, dtype=torch.uint8)
    assert event_loss(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3, dtype=torch.uint8), zeros, "mean") == 0


def test_the_total_weighs_the_scene_by_alpha_and_the_events_by_beta() -> None:
    output = Output(torch.zeros(1, 4), torch.zeros(1, 2, 3))
    labels = torch.tensor([1]), torch.zeros(1, 2, 3, dtype=torch.uint8), torch.ones(1, 2, dtype=torch.uint8)
    loss = losses(output, *labels, Loss(alpha=0.5, beta=3.0))
    assert loss.scene.item() == pytest.approx(LOG4)
    assert loss.event.item() == pytest.approx(LOG2)
    assert loss.total.item() == pytest.approx(0.5 * LOG4 + 3 * LOG2)
