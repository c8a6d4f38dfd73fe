"""``manifest.json``: what prepared data are."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ablate.ground.records import Count, Number, Record, Text
from ablate.mtl.data.features import N_BANDS

Frequency = Annotated[float, Field(gt=0, le=1e6)]


class NormalisationRecord(Record):
    """Mean and deviation of each band in dB."""

    mean_db: Annotated[list[Number], Field(min_length=N_BANDS, max_length=N_BANDS)]
    std_db: Annotated[
        list[Annotated[float, Field(gt=0, le=1e6)]], Field(min_length=N_BANDS, max_length=N_BANDS)
    ]


_Event = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], Text]


class _PreparedRecording(Record):
    model_config = ConfigDict(strict=False)  # JSON has lists and no tuples

    path: Text
    duration_s: Annotated[float, Field(ge=0)]
    annotated: list[_Event]


class _PreparedSplit(Record):
    clips: Count
    recordings: list[_PreparedRecording]


class Manifest(Record):
    """``manifest.json`` of prepared data. Which parameters and inputs are right is for ``data`` to judge."""

    name: Text
    digest: Text
    parameters: dict[str, Any]
    top_hz: Frequency
    normalisation: NormalisationRecord
    scenes: list[Text]
    events: list[Text]
    splits: dict[Literal["development", "evaluation"], _PreparedSplit]
    inputs: dict[str, Any]

    @model_validator(mode="after")
    def _has_both_splits(self) -> "Manifest":
        if len(self.splits) < 2:
            raise ValueError("splits are development and evaluation")
        return self
