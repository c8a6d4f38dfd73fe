"""What can go wrong between us and MLflow, and how it is said."""

import re

from ablate.ground.errors import AblateError


class TrackingUnavailable(AblateError):
    """MLflow cannot be reached or written just now. Nothing is lost: shipping again completes it."""


class TrackingRefused(AblateError):
    """MLflow will never take what one run holds, such as a metric of an impossible name."""


def reason(error: Exception) -> str:
    """The gist: MLflow's messages repeat the address, the retries and the connection pool."""
    text = str(error).strip()
    if "timed out" in text:
        return "no answer in time"
    system = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
    if system is not None:
        return system[1].strip().lower()
    status = re.search(r"too many (\d+) error responses", text)
    if status is not None:
        return f"the server answers with error {status[1]}"
    if "RemoteDisconnected" in text or "IncompleteRead" in text:
        return "the connection was cut"
    database = re.search(r"^\([\w.]+Error\) (.+)$", text, re.MULTILINE)  # as SQLAlchemy says it
    if database is not None:
        return database[1]
    return (text.splitlines() or [type(error).__name__])[0][:300]
