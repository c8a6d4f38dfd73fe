"""Multiply-accumulates, against torch's own count and by hand."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.mtl.config import RunConfig
from ablate.mtl.model.macs import multiply_accumulates
from ablate.mtl.model.mtl import Mtl

FRAMES = 500
SCENES, EVENTS = 4, 25


def network(**settings: Any) -> Mtl:
    return Mtl(RunConfig().override(settings), SCENES, EVENTS)


def test_the_network_of_the_paper_by_hand() -> None:
    """Maps of 500 x 64, 500 x 8 and 500 x 4 positions; then 500 x 2 and, pooled by 25 frames, 20 x 2."""
    shared = 500 * 64 * 9 * 1 * 128 + 500 * 8 * 9 * 128 * 128 + 500 * 4 * 9 * 128 * 128
    scene = 500 * 2 * 9 * 128 * 256 + 20 * 2 * 9 * 256 * 256 + 256 * 32 + 32 * 4
    gru = 500 * 2 * 3 * 32 * (256 + 32)
    event = gru + 500 * (64 * 32 + 32 * 25)
    assert multiply_accumulates(network(), FRAMES) == shared + scene + event == 1_269_185_280
    assert multiply_accumulates(network(tasks="scene"), FRAMES) == shared + scene
    assert multiply_accumulates(network(tasks="event"), FRAMES) == shared + event


@pytest.mark.parametrize("tasks", ["both", "scene", "event"])
@pytest.mark.parametrize("width", [1 / 16, 0.3])
def test_they_are_half_of_what_torch_counts_beside_the_gru(tasks: str, width: float) -> None:
    """Torch counts two operations for each, and none where it hands a GRU to a library."""
    model = network(tasks=tasks, kernels="plain", **{"model.width": width}).eval()
    gru = 0
    if model.has_event:
        inputs = model.event_gru.input_size
        gru = FRAMES * 2 * 3 * 32 * (inputs + 32)
        model.event_gru = _Silent()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, FRAMES, 64))
    counted = counter.get_total_flops() // 2
    assert multiply_accumulates(network(tasks=tasks, **{"model.width": width}), FRAMES) == counted + gru


class _Silent(nn.Module):
    """In the place of the GRU, without a product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(*x.shape[:2], 64)
