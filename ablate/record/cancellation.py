"""The wish to end a study's training, said by one process and heard by all others, on whatever host.

``<store>/studies/<study>/cancelled`` holds a name for the last such wish. Whoever trains the study compares
it with the one that was there when it began, so that no wish needs to be taken back.
"""

import time
import uuid

from ablate.ground.errors import StoreError
from ablate.ground.files import write_text
from ablate.record.store import Store

LOOK_EVERY_S = 1.0


class Cancellation:
    """Heard by who asks ``is_new``; said by ``say``."""

    def __init__(self, store: Store, study: str) -> None:
        self._file = store.study_folder(study) / "cancelled"
        self.last = self._read()  # which is not meant for who begins now
        self._look_at = 0.0
        self._is_new = False

    def say(self) -> None:
        """Raises StoreError."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, uuid.uuid4().hex)
        except OSError as error:
            raise StoreError(f"{self._file}: cannot be written ({error.strerror or error})") from error

    def is_new(self) -> bool:
        """Whether it was said since. The file is read once a second at most."""
        if not self._is_new and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            found = self._read()
            self._is_new = found not in (None, self.last)
        return self._is_new

    def _read(self) -> str | None:
        try:
            return self._file.read_text(encoding="utf-8").strip() or None
        except (OSError, ValueError):
            return None
