"""What can go wrong, as one tree. The library raises; only the command line exits.

AblateError                 anything the user can act on; exit code 2
├── ConfigError             a setting, factor or level is unknown or out of range
├── DataError               a recording, annotation or prepared data set is missing or malformed
├── StoreError              the store cannot be read or written
├── StudyError              a study, condition or run is unknown or contradicts itself
├── CalibrationFailed       this machine's speed cannot be measured (defined in ``calibration``)
└── TrackingUnavailable     MLflow cannot be reached just now (defined in ``tracking``)
NotConverged                the loss is no longer a number; fails the run, not the study
"""

from collections.abc import Sequence


class AblateError(Exception):
    """Something the user can mend: every problem at once, each a sentence that says what to do."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class ConfigError(AblateError):
    """A setting, factor or level is unknown or out of range."""


class DataError(AblateError):
    """A recording, an annotation or a prepared data set is missing or malformed."""


class StoreError(AblateError):
    """The store cannot be read or written."""


class StudyError(AblateError):
    """A study, condition or run is unknown or contradicts itself."""


class NotConverged(Exception):
    """The training loss is no longer a finite number. Fails the run; the others go on."""
