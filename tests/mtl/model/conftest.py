"""One thread, as in a worker."""

import pytest


@pytest.fixture(autouse=True)
def _worker_threads(one_thread: None) -> None:
    """Small tensors are slower on two."""
