"""What the records of studies, runs and prepared data hold, checked when they are read.

They are files: a full disk, a careless edit or another version can leave anything in them. What is checked
here, whoever reads a record need not check again.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ablate.ground.errors import brief


def _text(text: str) -> str:
    """JSON can hold halves of characters, which can be neither printed nor written."""
    text.encode("utf-8")
    return text


def _plausible(number: float) -> float:
    """Losses can be infinite or no number at all, but none is larger than what can be drawn."""
    if math.isfinite(number) and abs(number) > LARGEST:
        raise ValueError(f"larger than {LARGEST:g}")
    return number


LARGEST = 1e30
MOST_TOLD = 3  # problems of one record

Text = Annotated[str, AfterValidator(_text)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Measured = Annotated[float, AfterValidator(_plausible)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Moment = Annotated[float, Field(ge=0, le=1e11)]  # seconds since the epoch
Level = (
    Text
    | bool
    | Annotated[int, Field(ge=-(10**30), le=10**30)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | None
)
Condition = dict[Text, Level]
FileName = Annotated[
    str, Field(pattern=r"^[^./\\\x00][^/\\\x00]{0,200}$")
]  # of a file in the run's own folder


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Dataset(_Record):
    name: Text
    digest: Text
    path: Text


class _SubjectRef(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    version: Text


class Asked(_Record):
    """``config.json``: what a run is. The values of the settings are the subject's to check."""

    schema_: int = Field(alias="schema")
    name: Text
    condition: Condition
    subject: _SubjectRef
    scoring: list[Text]
    config: Condition
    dataset: _Dataset

    @model_validator(mode="after")
    def _has_a_seed(self) -> "Asked":
        if not isinstance(self.config.get("seed"), int):
            raise ValueError("config has no seed")
        return self


class State(_Record):
    """``state.json``: how far a run is."""

    state: Literal["pending", "running", "finished", "failed", "interrupted"]
    cause: Text | None = None
    attempt: Count = 0
    host: Text | None = None
    pid: Count | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None


class _SealedFile(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Seal(_Record):
    """``seal.json``: what the files of a finished run held."""

    files: dict[FileName, _SealedFile]


class Epoch(_Record):
    """A line of ``history.jsonl``."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Measured | None]

    epoch: Count
    seconds: Number | None = None


class _Matrix(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    rows: list[Text]
    columns: list[Text]
    counts: list[list[Count]]

    @model_validator(mode="after")
    def _has_a_count_for_each_cell(self) -> "_Matrix":
        if [len(row) for row in self.counts] != [len(self.columns)] * len(self.rows):
            raise ValueError(
                f"counts are not {len(self.rows)} x {len(self.columns)}, one for each row and column"
            )
        return self


class _Table(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    columns: list[Text]
    rows: list[list[Level]]

    @model_validator(mode="after")
    def _has_a_cell_for_each_column(self) -> "_Table":
        if {len(row) for row in self.rows} - {len(self.columns)}:
            raise ValueError(f"a row has not {len(self.columns)} cells, one for each column")
        return self


class Result(_Record):
    """``result.json``: what came out of a run."""

    metrics: dict[Text, Number | None]
    matrices: dict[Text, _Matrix]
    tables: dict[Text, _Table]
    files: list[FileName]
    facts: dict[Text, Level]
    unread: list[Text]
    duration_s: Annotated[float, Field(ge=0, le=1e10)]
    device: Text
    versions: dict[Text, Text]


class _Called(_Record):
    name: Text
    condition: Condition
    seed: Count


class _Claim(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: Text
    text: Text
    metric: Text
    better: list[Text]
    worse: list[Text]
    than: list[Text]
    margin: Number


class _Details(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    question: Text
    baseline: Text | None
    claims: list[_Claim]
    published: dict[Text, dict[Text, Number]]
    source: Text


class _Metric(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    best: Literal["max", "min"]
    unit: Text
    label: Text
    headline: bool
    closing: bool
    chart: bool
    selects: bool


class _Card(_Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    version: Text
    spec: dict[Text, Any]
    metrics: list[_Metric]
    settings: dict[Text, Text]
    fields: dict[Text, Text]
    codes: list[Text]


class StudyRecord(_Record):
    """``studies/<study>.json``: which runs belong to a study, its names for them, and whose they are."""

    schema_: int = Field(alias="schema")
    subject: _Card
    base: Condition
    runs: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], _Called]
    commands: list[Text]
    details: _Details


class _PreparedRecording(_Record):
    path: Text


class _PreparedSplit(_Record):
    clips: Count
    recordings: list[_PreparedRecording]


class Manifest(_Record):
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


def require(kind: type[BaseModel], content: Any) -> Any:
    """``content`` as it is. Raises ValueError with a short line when it is no record of this kind."""
    try:
        kind.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:MOST_TOLD]
        raise ValueError("; ".join(brief(_line(each["loc"], each["msg"])) for each in found)) from None
    return content


def _line(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}" if place else message
