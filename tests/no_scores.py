"""A result without numbers, for tests that import little."""

from typing import Any

# A finished run that has scored nothing.
NO_SCORES: dict[str, Any] = {
    "metrics": {},
    "matrices": {},
    "tables": {},
    "files": [],
    "facts": {},
    "unread": [],
    "duration_s": 1.0,
    "device": "cpu",
    "versions": {},
}
