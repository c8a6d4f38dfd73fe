"""Random streams: functions of seed, purpose and epoch, and of nothing else."""

import numpy as np
import torch

from ablate.mtl.model.seeding import generator, torch_seeded


def test_equal_arguments_give_equal_streams_and_any_other_another() -> None:
    streams = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "ab", 0), (1, "", 0), (0, "", 1)]
    draws = [generator(*arguments).integers(0, 2**62, size=4) for arguments in streams]
    assert len({tuple(draw) for draw in draws}) == len(streams)
    for arguments, draw in zip(streams, draws, strict=True):
        assert np.array_equal(generator(*arguments).integers(0, 2**62, size=4), draw)


def test_torch_draws_from_the_stream_inside_the_block_alone() -> None:
    def inside(seed: int, purpose: str) -> torch.Tensor:
        with torch_seeded(seed, purpose):
            return torch.rand(4)

    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = inside(0, "a")
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(inside(0, "a"), first)
    assert not torch.equal(inside(0, "b"), first)
    assert not torch.equal(inside(1, "a"), first)
