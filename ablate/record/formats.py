"""What the records of studies and runs hold; see ``ground.records``."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ablate.ground.records import Condition, Count, FileName, Level, Measured, Moment, Number, Record, Text


class _Dataset(Record):
    name: Text
    digest: Text
    path: Text


class _SubjectRef(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    version: Text


# The names of two settings: into how many folds the training data are divided, and which one is held out.
Folds = Annotated[list[Text], Field(min_length=2, max_length=2)]


class Asked(Record):
    """``config.json``: what a run is. The values of the settings are the subject's to check."""

    schema_: int = Field(alias="schema")
    name: Text
    condition: Condition
    subject: _SubjectRef
    scoring: list[Text]
    folds: Folds | None = None
    config: Condition
    dataset: _Dataset
    lean: bool = False
    metered: bool = False

    @model_validator(mode="after")
    def _has_a_seed(self) -> "Asked":
        if not isinstance(self.config.get("seed"), int):
            raise ValueError("config has no seed")
        return self


class Energy(Record):
    """``energy.json``: what a run under way has taken, in kWh."""

    kwh: Annotated[float, Field(ge=0, le=1e10)]


class _Failure(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    kind: Literal["error", "memory", "killed", "machine", "tracker"]
    error: Text | None
    where: Text | None


class State(Record):
    """``state.json``: how far a run is."""

    state: Literal["pending", "running", "finished", "failed", "interrupted", "pruned"]
    cause: Text | None = None
    attempt: Count = 0
    host: Text | None = None
    pid: Count | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    job: Text | None = None
    failure: _Failure | None = None


class _SealedFile(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Seal(Record):
    """``seal.json``: what the files of a finished run held, and those that a bundle has left out."""

    files: dict[FileName, _SealedFile]
    left_out: dict[FileName, _SealedFile] = Field(default_factory=dict)


class Epoch(Record):
    """A line of ``history.jsonl``."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Measured | None]

    epoch: Count
    seconds: Number | None = None


class _Matrix(Record):
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


class _Table(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    columns: list[Text]
    rows: list[list[Level]]

    @model_validator(mode="after")
    def _has_a_cell_for_each_column(self) -> "_Table":
        if {len(row) for row in self.rows} - {len(self.columns)}:
            raise ValueError(f"a row has not {len(self.columns)} cells, one for each column")
        return self


class Result(Record):
    """``result.json``: what came out of a run."""

    metrics: dict[Text, Number | None]
    matrices: dict[Text, _Matrix]
    tables: dict[Text, _Table]
    files: list[FileName]
    kept: list[FileName] = Field(default_factory=list)
    facts: dict[Text, Level]
    unread: list[Text]
    duration_s: Annotated[float, Field(ge=0, le=1e10)]
    device: Text
    versions: dict[Text, Text]
    made: dict[Text, Level] = Field(default_factory=dict)


class Rescored(Record):
    """``rescored.json``: scores that were asked for after a run had finished."""

    metrics: dict[Text, Number | None]


class _Called(Record):
    name: Text
    condition: Condition
    seed: Count
    fold: Count | None = None


class _Claim(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: Text
    text: Text
    metric: Text
    better: list[Text]
    worse: list[Text]
    than: list[Text]
    margin: Number
    interest: Number | None = None


class _Details(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    question: Text
    baseline: Text | None
    claims: list[_Claim]
    published: dict[Text, dict[Text, Number]]
    source: Text


class _Metric(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    best: Literal["max", "min"]
    unit: Text
    label: Text
    short: Text
    headline: bool
    closing: bool
    chart: bool
    select: bool = False


class _Card(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Text
    version: Text
    spec: dict[Text, Any]
    metrics: list[_Metric]
    settings: dict[Text, Text]
    fields: dict[Text, Text]
    codes: list[Text]
    default: Condition
    profiles: dict[Text, Condition]
    folds: Folds | None = None


class StudyRecord(Record):
    """``studies/<study>.json``: which runs belong to a study, its names for them, and whose they are."""

    schema_: int = Field(alias="schema")
    subject: _Card
    base: Condition
    runs: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], _Called]
    commands: list[Text]
    details: _Details
