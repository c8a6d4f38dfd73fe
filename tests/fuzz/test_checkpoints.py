"""Checkpoints of which bytes were changed: the training starts over, and says so."""

import logging
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.config import RunConfig
from ablate.mtl.training.checkpoint import load_history
from ablate.mtl.training.loop import Interrupted, train
from tests.faults.light import subject as light
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import mutated
from tests.mtl.training.tiny import CPU, make_data
from tests.subject.runs import Runs

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


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of a subject that is a function, interrupted after three epochs."""
    runs = Runs(tmp_path_factory.mktemp("saved") / "run", light)
    assert isinstance(runs.run(stop_after=3, epochs=5, pause=0.0), Interrupted)
    return runs


@fuzzed(quick=30)
@given(drawn=st.data())
def test_changed_bytes_of_a_function(drawn: st.DataObject, saved: Runs) -> None:
    """Whatever is left of a saved state, the run ends with the numbers of one that was never interrupted."""
    checkpoint = saved.folder / "checkpoint.zip"
    original = checkpoint.read_bytes()
    checkpoint.write_bytes(drawn.draw(mutated([original])))
    try:
        with case("saved states"):
            assert saved.scores(epochs=5, pause=0.0).metrics == expected(saved.folder.parent)
    finally:
        checkpoint.write_bytes(original)


@cache
def expected(folder: Path) -> dict[str, float | None]:
    return Runs(folder / "undisturbed", light).scores(epochs=5, pause=0.0).metrics
