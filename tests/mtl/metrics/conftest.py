from typing import Any

import pytest


@pytest.fixture(scope="session")
def sed_eval() -> Any:
    return pytest.importorskip("tests.mtl.metrics.peer").sed_eval
