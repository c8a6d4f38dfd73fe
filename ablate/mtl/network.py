"""``network.json``: what a trained network needs besides its weights, kept with its run.

With it the network hears any recording as it heard those that it was trained on, also when they are gone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ablate.ground.errors import DataError
from ablate.ground.files import as_text, read_json
from ablate.ground.records import Record, Text, require
from ablate.mtl.config import RunConfig
from ablate.mtl.data.features import Hearing, Normalisation
from ablate.mtl.data.manifest import Frequency, NormalisationRecord
from ablate.mtl.data.prepared import PARAMETERS, Prepared, open_prepared
from ablate.mtl.training.classes import without_classes
from ablate.subject.interface import Dataset

FILE = "network.json"
FORMAT = "ablate network"
SCHEMA = 1  # raise it whenever an older reader would take its content for something else


@dataclass(frozen=True)
class Network:
    """A trained network without its weights: its configuration, its classes, and how it hears.

    ``scenes`` and ``events`` are in the order of its outputs; a branch that it does not have has none.
    ``data_name`` and ``data_digest`` are those of the data set that it was trained on.
    """

    config: RunConfig
    scenes: tuple[str, ...]
    events: tuple[str, ...]
    hearing: Hearing
    data_name: str
    data_digest: str

    def to_json(self) -> dict[str, Any]:
        normalisation = self.hearing.normalisation
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            "config": self.config.flat(),
            "scenes": list(self.scenes),
            "events": list(self.events),
            "data": {"name": self.data_name, "digest": self.data_digest},
            "parameters": PARAMETERS,
            "top_hz": self.hearing.top_hz,
            "normalisation": {
                "mean_db": normalisation.mean_db.tolist(),
                "std_db": normalisation.std_db.tolist(),
            },
        }


class _Data(Record):
    name: Text
    digest: Text


class _Kept(Record):
    format: Annotated[str, Field(pattern=f"^{FORMAT}$")]
    schema_: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
    config: dict[Text, Any]
    scenes: list[Text]
    events: list[Text]
    data: _Data
    parameters: dict[str, Any]
    top_hz: Frequency
    normalisation: NormalisationRecord


def network_files(config: RunConfig, data: Prepared) -> dict[str, bytes]:
    """The file to keep with a run of ``config`` on ``data``; none where these were never recordings."""
    if data.hearing is None:
        return {}
    return {FILE: as_text(_of_data(config, data, data.hearing).to_json()).encode()}


def read_network(folder: Path, config: RunConfig, dataset: Dataset, place: Path) -> Network:
    """The network of the finished run in ``folder``: as kept with it, else as its data set says.

    ``dataset`` are the data that the run was trained on, and ``place`` is where these should be now. Raises
    DataError where neither tells.
    """
    file = folder / FILE
    if file.exists():
        return _read(file, config)
    try:
        data = open_prepared(place)
    except DataError as error:
        raise DataError(f"{_gone(folder, dataset)}: {error}") from error
    if data.digest != dataset.digest:
        raise DataError(f"{_gone(folder, dataset)}: the data in {place} are others, of digest {data.digest}")
    assert data.hearing is not None
    return _of_data(config, data, data.hearing)


def _of_data(config: RunConfig, data: Prepared, hearing: Hearing) -> Network:
    scenes = data.scenes if config.has_scene else ()
    events = without_classes(data, config).events if config.has_event else ()
    return Network(config, scenes, events, hearing, data.name, data.digest)


def _gone(folder: Path, dataset: Dataset) -> str:
    return (
        f"{folder}: an older version has trained this run, and kept no {FILE} with it; what that says is "
        f"to be had from the data set {dataset.name} (digest {dataset.digest}), which cannot be read"
    )


def _read(file: Path, config: RunConfig) -> Network:
    """Raises DataError when the file is damaged, or of an analysis that is not this version's."""
    try:
        content = require(_Kept, read_json(file))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); train the run again in another store") from error
    different = [name for name, value in PARAMETERS.items() if content["parameters"].get(name) != value]
    if different:
        raise DataError(
            f"{file}: the network was trained on other features than this version of ablate extracts "
            f"({', '.join(different)}); use the version that has trained it"
        )
    mean_db, std_db = (np.array(content["normalisation"][name], np.float64) for name in ("mean_db", "std_db"))
    return Network(
        config,
        tuple(content["scenes"]),
        tuple(content["events"]),
        Hearing(content["top_hz"], Normalisation(mean_db, std_db)),
        content["data"]["name"],
        content["data"]["digest"],
    )
