"""``manifest.json``: what prepared data are."""

from typing import Any, Literal

from pydantic import model_validator

from ablate.ground.records import Count, Record, Text


class _PreparedRecording(Record):
    path: Text


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
