"""Fixtures of the training's tests."""

import pytest

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared
from tests.mtl.training.tiny import make_data


@pytest.fixture
def data() -> Prepared:
    return make_data()


@pytest.fixture
def config() -> RunConfig:
    """Three epochs of three steps, the last of 3 clips."""
    values = {"model.width": 1 / 32, "optim.epochs": 3, "optim.batch_size": 4, "loss.alpha": 0.1}
    return RunConfig().override(values)


@pytest.fixture(autouse=True)
def _worker_threads(one_thread: None) -> None:
    """Results are compared bit for bit."""
