"""Checkpoints of which bytes were changed: the training starts over, and says so."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.config import RunConfig
from ablate.mtl.training.checkpoint import load_history
from ablate.mtl.training.loop import Interrupted, train
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import mutated
from tests.mtl.training.tiny import CPU, make_data

CONFIG = RunConfig().override(
    {"model.width": 1 / 32, "optim.epochs": 3, "optim.batch_size": 4, "loss.alpha": 0.1}
)
DATA = make_data()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    stops = iter([False] * 4)
    with pytest.raises(Interrupted):
        train(CONFIG, DATA, device=CPU, checkpoint=path, should_stop=lambda: next(stops, True))
    return path


@fuzzed(quick=30)
@given(drawn=st.data())
def test_changed_bytes(drawn: st.DataObject, checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    original = checkpoint.read_bytes()
    place = drawn.draw(
        st.integers(0, max(0, len(original) - 300)) | st.just(0) | st.just(len(original) - 300)
    )
    part = drawn.draw(mutated([original[place : place + 300]]))
    damaged = checkpoint.with_name("damaged.pt")
    damaged.write_bytes(original[:place] + part + original[place + 300 :])
    caplog.clear()
    with caplog.at_level(logging.WARNING), case("checkpoints"):
        rows = load_history(damaged, CONFIG, DATA)
        assert len(rows) == 1 or caplog.records
    damaged.unlink()
