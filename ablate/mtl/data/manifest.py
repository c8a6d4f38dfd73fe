"""``manifest.json``: what prepared data are."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ablate.ground.records import Count, Record, Text

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
    scenes: list[Text]
    events: list[Text]
    splits: dict[Literal["development", "evaluation"], _PreparedSplit]
    inputs: dict[str, Any]

    @model_validator(mode="after")
    def _has_both_splits(self) -> "Manifest":
        if len(self.splits) < 2:
            raise ValueError("splits are development and evaluation")
        return self
