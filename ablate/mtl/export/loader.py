"""Loads an exported network, and asks it about recordings: the code that MLflow runs.

It needs torch, librosa, soundfile and pandas. With plain torch and arrays, the network alone is
``torch.export.load("data/network/network.pt2").module()``: standardised log-mel energies
(n_clips, 500, 64) -> ``{"scenes": (n_clips, n_scenes), "events": (n_clips, 500, n_events)}``, probabilities.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ablate.ground.errors import DataError
from ablate.mtl.data.features import Features, Hearing, Normalisation
from ablate.mtl.prediction.detections import COLUMNS, Tally, rows
from ablate.mtl.prediction.listening import Classify, Probabilities, Sound, listen, opened_file, sound_of

PROGRAM, DESCRIPTION = "network.pt2", "network.json"


class ExportedNetwork:
    """A network that hears recordings. ``description`` is its ``network.json``."""

    def __init__(self, description: Mapping[str, Any], classify: Classify) -> None:
        bands = {name: np.array(each) for name, each in description["normalisation"].items()}
        self.description = description
        self.hearing = Hearing(description["top_hz"], Normalisation(bands["mean_db"], bands["std_db"]))
        self.classify = classify

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The scenes and events of recordings: a row each, with their times and probabilities.

        ``model_input`` is the path of a recording, several of them (a list, an array, or the first column of
        a DataFrame), or ``{"samples": ..., "sample_rate_hz": ...}`` with (n_samples,) or
        (n_samples, n_channels) within -1 and 1. Each scene has a row for the whole recording, the most
        probable one first. ``params`` may set the ``threshold`` that an event's probability must exceed.
        Raises DataError, an exception, for a recording that cannot be read.
        """
        default = self.description["config"]["scoring.threshold"]
        threshold = float((params or {}).get("threshold", default))
        found = [
            row for sound in _sounds(model_input) for row in rows(self._tally(sound, threshold).prediction())
        ]
        return pd.DataFrame(found, columns=list(COLUMNS))

    def _tally(self, sound: Sound, threshold: float) -> Tally:
        scenes, events = self.description["scenes"], self.description["events"]
        tally = Tally(sound.title, sound.info, scenes, events, threshold)
        for heard in listen(sound, self.hearing, self.classify):
            tally.add(heard)
        return tally


def _load_pyfunc(path: str) -> ExportedNetwork:
    """What MLflow calls with the folder of the data."""
    description = json.loads((Path(path) / DESCRIPTION).read_text(encoding="utf-8"))
    return ExportedNetwork(description, _classifier(Path(path) / PROGRAM))


def _classifier(file: Path) -> Classify:
    program = torch.export.load(file).module()

    @torch.inference_mode()
    def classify(features: Features) -> tuple[Probabilities | None, Probabilities | None]:
        found = program(torch.from_numpy(features))
        scenes, events = (found[name].numpy() if name in found else None for name in ("scenes", "events"))
        return scenes, events

    return classify


def _sounds(model_input: Any) -> Iterator[Sound]:
    """The recordings that are meant, each open while it is heard."""
    if isinstance(model_input, Mapping):
        if not {"samples", "sample_rate_hz"} <= set(model_input):
            raise DataError("a recording in memory is {'samples': ..., 'sample_rate_hz': ...}")
        yield sound_of(model_input["samples"], int(model_input["sample_rate_hz"]))
        return
    if isinstance(model_input, pd.DataFrame):
        model_input = model_input.iloc[:, 0]
    paths = [model_input] if isinstance(model_input, str | Path) else list(model_input)
    for path in paths:
        with opened_file(Path(path)) as sound:
            yield sound
