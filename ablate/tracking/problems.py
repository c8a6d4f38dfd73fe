"""What can go wrong between us and MLflow, and how it is said."""

import re
from dataclasses import dataclass

from ablate.ground.errors import AblateError


class TrackingUnavailable(AblateError):
    """MLflow cannot be reached or written just now. Nothing is lost: shipping again completes it."""


class TrackingRefused(AblateError):
    """MLflow will never take what one run holds, such as a metric of an impossible name."""


@dataclass(frozen=True)
class Trouble:
    """``what`` goes on after the server's address; ``mend`` are lines to type, here or on the server.

    ``why`` are causes to look into when it lasts, which only the doctor names.
    """

    what: str
    mend: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        return self.what + (f"; to mend that: `{'`, `'.join(self.mend)}`" if self.mend else "")


class ServerTrouble(OSError):
    """A server did not do what it was asked. ``code`` is MLflow's name of the error, if it gave one."""

    def __init__(self, trouble: Trouble, status: int = 0, code: str = "") -> None:
        super().__init__(str(trouble))
        self.trouble = trouble
        self.status = status
        self.code = code


def reason(error: Exception) -> str:
    """The gist: MLflow's messages repeat the address, the retries and the connection pool."""
    text = str(error).strip()
    if isinstance(error, ServerTrouble):
        return text
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
