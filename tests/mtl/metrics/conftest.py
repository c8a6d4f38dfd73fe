import sys
import types
import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def sed_eval() -> Any:
    # Its dependency dcase_util imports pkg_resources, which setuptools no longer has, for its examples only.
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sed_eval")
