"""What a study asks and what was published: its question, baseline, claims and published scores."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Claim:
    """A directional hypothesis: each condition of ``better`` scores higher than each one of ``worse``.

    With ``than``, the conditions of ``better`` are compared with themselves: their ``metric`` is higher than
    each metric of ``than`` ("this pair of classes is confused more often than any other"). ``margin`` is the
    least difference that counts, in the metric's own unit (a fraction for F-scores). A difference that is
    certainly less than ``interest`` is too small to matter, and not worth more seeds.
    """

    id: str
    text: str
    metric: str
    better: tuple[str, ...]
    worse: tuple[str, ...] = ()
    than: tuple[str, ...] = ()
    margin: float = 0.0
    interest: float | None = None


@dataclass(frozen=True)
class StudyDetails:
    """What a study file says beyond its runs. A grid typed at the prompt has the defaults.

    ``published`` maps a condition's name to its published scores, metric -> fraction; ``source`` says where
    they were published.
    """

    question: str = ""
    baseline: str | None = None
    claims: tuple[Claim, ...] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "StudyDetails":
        return cls(**{**content, "claims": tuple(map(_claim, content["claims"]))})


def _claim(content: Mapping[str, Any]) -> Claim:
    """A claim from JSON, which has lists for tuples."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
    }
    return Claim(**values)
