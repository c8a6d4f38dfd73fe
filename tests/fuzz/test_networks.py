"""What is kept of a trained network, with changes: how it hears, its weights, and what it has said."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from ablate.mtl.config import RunConfig
from ablate.mtl.data.features import N_BANDS, Hearing, Normalisation
from ablate.mtl.keeping import FILE as KEPT
from ablate.mtl.keeping import keep, read
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.network import FILE, Network, read_network
from ablate.mtl.prediction.network import load_model
from ablate.subject.interface import Dataset
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.fuzz.test_run_folders import as_json
from tests.mtl.test_keeping import CLIPS, DATA, outputs

CONFIG = RunConfig().override({"model.width": 1 / 32})
NETWORK = Network(
    CONFIG,
    ("home", "office"),
    ("car", "dog"),
    Hearing(4000.0, Normalisation(np.full(N_BANDS, -50.0), np.full(N_BANDS, 10.0))),
    "tiny",
    "0" * 16,
)
DATASET = Dataset("tiny", "0" * 16, Path("nowhere"))


@fuzzed(quick=60)
@given(content=mutated([as_json(NETWORK.to_json())]) | changed(NETWORK.to_json()).map(as_json))
def test_how_networks_hear(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with case("network.json"):
        network = read_network(tmp_path, CONFIG, DATASET, tmp_path)
        assert np.isfinite(network.hearing.top_hz)
        assert network.hearing.normalisation.mean_db.shape == (N_BANDS,)
        json.dumps(network.to_json(), allow_nan=False).encode("utf-8")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(as_json(NETWORK.to_json()))
    assert read_network(tmp_path, CONFIG, DATASET, tmp_path).to_json() == NETWORK.to_json()


def test_what_is_unknown_in_it_is_left_alone(tmp_path: Path) -> None:
    content = NETWORK.to_json()
    content["normalisation"]["more"] = "x"
    (tmp_path / FILE).write_bytes(as_json(content))
    assert read_network(tmp_path, CONFIG, DATASET, tmp_path).to_json() == NETWORK.to_json()


@pytest.fixture(scope="module")
def weights() -> bytes:
    return save(Mtl(CONFIG, 2, 2).state_dict())


@fuzzed(quick=20)
@given(drawn=st.data())
def test_weights(drawn: st.DataObject, weights: bytes, tmp_path: Path) -> None:
    """Of other bytes in the header; what numbers the tensors hold a checksum elsewhere tells."""
    head = drawn.draw(mutated([weights[:3000]]))
    (tmp_path / "weights.safetensors").write_bytes(head + weights[3000:])
    with case("weights.safetensors"):
        load_model(NETWORK, tmp_path / "weights.safetensors")


SAID = keep(outputs(), DATA.evaluation, CLIPS, DATA)


@fuzzed(quick=60)
@given(content=mutated([SAID]))
def test_what_networks_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(content)
    with case("outputs.npz"):
        kept = read(tmp_path)
        assert kept is not None
        for recording in kept.recordings:
            assert recording.log_odds is None or recording.log_odds.shape[1] == len(kept.events)
            assert recording.scene_scores is None or recording.scene_scores.shape[1] == len(kept.scenes)
