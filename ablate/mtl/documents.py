"""What the built-in subject's own commands print with ``--format json``; see ``ground.documents``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict  # which pydantic needs before Python 3.12


class Split(TypedDict):
    """Half of a data set."""

    recordings: int
    events: Annotated[int, "how often any event sounds"]
    minutes: float


class Generated(TypedDict):
    """A data set that was synthesised: `ablate data generate`."""

    schema: Literal["ablate.data-generate/1"]
    folder: str
    created: Annotated[bool, "false where it was there with these very arguments"]
    splits: Mapping[str, Split]
    sources: Annotated[Mapping[str, Sequence[str]], "classes of recordings that an event was made of"]


class Downloaded(TypedDict):
    """A corpus that was downloaded: `ablate data download`."""

    schema: Literal["ablate.data-download/1"]
    corpus: str
    folder: str
    recordings: int
    archives: int
    fetched: Annotated[bool, "false where all was downloaded and verified before"]


class Prepared(TypedDict):
    """Features of a data set: `ablate data prepare`."""

    schema: Literal["ablate.data-prepare/1"]
    folder: str
    created: Annotated[bool, "false where they were up to date"]
    digest: Annotated[str, "of content and parameters, which is part of each run's identity"]
    clips: Annotated[Mapping[str, int], "in each split"]
    recordings: Annotated[Mapping[str, int], "in each split"]
    scenes: Sequence[str]
    events: Sequence[str]
    notes: Sequence[str]


class Checked(TypedDict):
    """A data set without problems; with any, the exit code is 2: `ablate data check`."""

    schema: Literal["ablate.data-check/1"]
    folder: str
    splits: Mapping[str, Split]
    notes: Sequence[str]


class CountedSplit(TypedDict):
    """What a split has, by scene and event."""

    recordings: int
    instances: Mapping[str, Mapping[str, int]]
    active_minutes: Mapping[str, Mapping[str, float]]


class Stats(TypedDict):
    """Event instances per scene: `ablate data stats`."""

    schema: Literal["ablate.data-stats/1"]
    folder: str
    scenes: Sequence[str]
    events: Sequence[str]
    notes: Sequence[str]
    splits: Mapping[str, CountedSplit]
    figure: str | None


class ImportedData(TypedDict):
    """A data set made of a corpus or of labels: `ablate data import`."""

    schema: Literal["ablate.data-import/1"]
    folder: str
    source: str
    corpus: str
    splits: Mapping[str, Split]
    scenes: Sequence[str]
    events: Sequence[str]
    decided: Annotated[Sequence[str], "what was chosen where the source says nothing"]
    notes: Sequence[str]


class ExportedLabels(TypedDict):
    """Label files that were written: `ablate data export`."""

    schema: Literal["ablate.data-export/1"]
    folder: str
    files: Annotated[Mapping[str, Sequence[str]], "of each split"]
    recordings: Mapping[str, int]
    scenes: Annotated[str | None, "the file of the scenes"]


class Rescored(TypedDict):
    """Scores that were computed from what runs have kept: `ablate rescore`."""

    schema: Literal["ablate.rescore/1"]
    study: str
    metrics: Sequence[str]
    scored: Annotated[int, "runs"]
    scored_before: int
    asked_again: Annotated[int, "runs whose network was asked again"]
    unfinished: int
    without_events: int
    problems: Sequence[str]


class Predictions(TypedDict):
    """What a network hears: `ablate predict`."""

    schema: Literal["ablate.predictions/1"]
    run_id: str
    study: str
    name: str
    seed: int
    threshold: float
    scenes: Annotated[Sequence[str], "that the network knows"]
    events: Annotated[Sequence[str], "that the network knows"]
    recordings: Annotated[Sequence[Mapping[str, Any]], "each with its scenes, clips and events"]
    labels: Annotated[Sequence[str], "label files that were written"]
    failed: Annotated[Mapping[str, str], "recordings that could not be read, and why"]
    scores: NotRequired[Mapping[str, Any]]


class Exported(TypedDict):
    """A network that was exported: `ablate export`."""

    schema: Literal["ablate.export/1"]
    run_id: str
    folder: str
    card: str
    program: str
    largest_deviation: Annotated[float, "of a probability from the run's own"]
