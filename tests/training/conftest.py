"""Fixtures of the training's tests."""

from collections.abc import Iterator

import pytest
import torch

from ablate.config import RunConfig, override
from ablate.data.prepared import Prepared
from tests.training.tiny import make_data


@pytest.fixture
def data() -> Prepared:
    return make_data()


@pytest.fixture
def config() -> RunConfig:
    """Three epochs of three steps, the last of 3 clips."""
    values = {"model.width": 1 / 32, "optim.epochs": 3, "optim.batch_size": 4, "loss.alpha": 0.1}
    return override(RunConfig(), values)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker. Sums are added in another order by another number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
