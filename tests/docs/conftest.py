"""What several pages begin with, made once."""

from pathlib import Path

import pytest

from ablate.mtl.definition import subject as built_in
from tests.command import output_of
from tests.docs.blocks import ROOT


@pytest.fixture(scope="session")
def embedded_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``data`` of a store that has the soundscapes which the built-in subject makes for itself."""
    data = tmp_path_factory.mktemp("embedded") / "data"
    built_in.data.provide(None, data, lambda _: None, [])
    return data


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the study of ``examples/digits.py`` of three factors that two pages are about."""
    store = tmp_path_factory.mktemp("digits") / "mlruns"
    levels = ["C=1,0.001", "scale=true,false", "steps=50,5"]
    varied = [word for level in levels for word in ("--levels", level)]
    module = ROOT / "examples" / "digits.py"
    output_of("grid", "--subject", module, *varied, "--design", "both", "--seeds", "5", store=store)
    return store
