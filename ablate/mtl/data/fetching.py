"""One file by HTTP: resumed after every interruption, and whole only with the published size and MD5.

``file.part`` is what has come so far. A server is believed in nothing: not that it sends the part that was
asked for, nor as much as it says, nor the right bytes. What is wrong at the end is fetched anew, once.
"""

import contextlib
import hashlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, ReadTimeoutError

from ablate.ground.errors import DataError, brief, causes
from ablate.ground.wording import readable_bytes

CHUNK_BYTES = 2**16
CONNECT_S = 20.0
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers of HTTP that may be others soon
PROGRESS = 0.01  # of the file, by which a broken connection was no failure
TOLD_S = 5.0  # the shortest wait that is worth a line
UNREACHED = 3  # tries of a server that has never answered: there is no network, rather than a fault of it
GO_ON = "The same command goes on from here"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as its publisher describes it."""

    url: str
    n_bytes: int
    md5: str

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Patience:
    """How much of a server is borne."""

    failures: int = 10  # in a row, with next to nothing received
    wrong: int = 2  # whole files of other content
    stall_s: float = 60.0  # without a kilobyte
    first_wait_s: float = 1.0  # after a failure; twice as long after the next
    longest_wait_s: float = 60.0
    longest_asked_s: float = 900.0  # for which a server may ask


class Stopped(Exception):
    """The download is not wanted any more."""


class Gate:
    """Where all downloads pass before they ask: closed while a server wants to be left alone, or for good."""

    def __init__(self) -> None:
        self._opens = 0.0
        self._stopped = threading.Event()

    def close(self, seconds: float) -> None:
        self._opens = max(self._opens, time.monotonic() + seconds)

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        if self._stopped.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Some seconds, and until the gate is open. Raises Stopped."""
        until = time.monotonic() + seconds
        while (left_s := max(until, self._opens) - time.monotonic()) > 0:
            self._stopped.wait(left_s)
            self.check()
        self.check()


class _Passing(Exception):
    """A failure that another try may not have."""

    def __init__(self, text: str, asked_s: float = 0.0) -> None:
        super().__init__(text)
        self.asked_s = asked_s


class Fetch:
    """A download of ``source`` to ``file``. ``n_here`` bytes have come so far, for whoever watches."""

    def __init__(
        self, source: Source, file: Path, patience: Patience, gate: Gate, say: Callable[[str], None]
    ) -> None:
        self._source, self._file, self._patience, self._gate, self._say = source, file, patience, gate, say
        self._part = file.with_name(f"{file.name}.part")
        self._asks_for_ranges = True
        self._has_answered = False
        self.n_here = _size(self._part)

    def run(self) -> None:
        """Raises DataError when there is no more hope, Stopped, and OSError when it cannot be written."""
        with requests.Session() as session:
            for _ in range(self._patience.wrong):
                self._receive_all(session)
                if md5_of(self._part) == self._source.md5:
                    self._part.replace(self._file)
                    return
                self._part.unlink()
                self.n_here = 0
        raise DataError(
            f"{self._source.url}: what came is not what was published (another MD5 than {self._source.md5}), "
            f"{self._patience.wrong} times; try another network, or --mirror"
        )

    def _receive_all(self, session: requests.Session) -> None:
        failures = 0
        while self.n_here != self._source.n_bytes:
            before = self.n_here
            self._gate.wait(0)
            try:
                self._receive(session)
            except _Passing as passing:
                has_grown = self.n_here - before > PROGRESS * self._source.n_bytes
                failures = 1 if has_grown else failures + 1
                self._bear(passing, failures)
                self._pause(passing, self._backoff_s(failures))

    def _bear(self, passing: _Passing, failures: int) -> None:
        """Raises DataError when it is too much."""
        if not self._has_answered and failures >= min(UNREACHED, self._patience.failures):
            raise DataError(
                f"{self._source.host} cannot be reached: {passing}. Is there a network here, or a proxy to "
                f"be named in HTTPS_PROXY? {GO_ON}"
            ) from passing
        if failures >= self._patience.failures:
            raise DataError(
                f"{self._source.url}: given up after {failures} failures in a row, the last: {passing}. "
                f"{GO_ON}"
            ) from passing
        if passing.asked_s > self._patience.longest_asked_s:
            raise DataError(
                f"{self._source.host} asks to be left alone for {passing.asked_s / 60:.0f} minutes. {GO_ON}: "
                "type it then"
            ) from passing

    def _pause(self, passing: _Passing, backoff_s: float) -> None:
        """As long as the server asks for, or as such a failure makes advisable; a long wait is explained."""
        wait_s = max(passing.asked_s, backoff_s)
        if wait_s >= TOLD_S:
            self._say(f"{self._source.name}: {passing}; trying again in {wait_s:.0f} s")
        self._gate.close(passing.asked_s)
        self._gate.wait(backoff_s)

    def _backoff_s(self, failures: int) -> float:
        """Twice as long after each failure; by chance up to a quarter less, so that not all try at once."""
        wait_s = self._patience.first_wait_s * 2.0 ** (failures - 1)
        return min(wait_s, self._patience.longest_wait_s) * random.uniform(0.75, 1)

    # ---------------------------------------------------------------------------------------- one request

    def _receive(self, session: requests.Session) -> None:
        """One request, and as much as comes. Raises _Passing unless that was all."""
        if self.n_here > self._source.n_bytes:
            self._part.unlink()
            self.n_here = 0
        start = self.n_here if self._asks_for_ranges else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        timeout = (min(CONNECT_S, self._patience.stall_s), self._patience.stall_s)
        with (
            self._judged_errors(),
            session.get(self._source.url, headers=headers, stream=True, timeout=timeout) as response,
        ):
            self._has_answered = True
            self._write(response, self._place_of(response, start))
        if self.n_here < self._source.n_bytes:
            raise _Passing(f"the connection ended after {readable_bytes(self.n_here)}")

    def _place_of(self, response: requests.Response, start: int) -> int:
        """Where in the file the answer's first byte belongs. Raises _Passing when it is no good."""
        status = response.status_code
        if status == 206:
            return self._place_of_part(response, start)
        if status == 200:
            said = response.headers.get("Content-Length", "")
            if said.isdecimal() and int(said) != self._source.n_bytes:
                raise _Passing(f"the server has {said} bytes, but {self._source.n_bytes} were published")
            return 0  # the whole file, though a part of it was asked for: also well
        if status == 416:
            self._asks_for_ranges = False
        if status in PASSING or status == 416:
            raise _Passing(f"HTTP {status} {response.reason}", _asked_s(response.headers.get("Retry-After")))
        raise DataError(
            f"{self._source.url}: HTTP {status} {brief(response.reason or '')}; has the file moved? --mirror "
            "names another place"
        )

    def _place_of_part(self, response: requests.Response, start: int) -> int:
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said.strip())
        if found and int(found[1]) == start and found[2] in ("*", str(self._source.n_bytes)):
            return start
        self._asks_for_ranges = False
        raise _Passing(f"the server sent another part ({brief(said)!r}) than that from byte {start}")

    def _write(self, response: requests.Response, place: int) -> None:
        """Over what is there, from ``place`` on. A repeated beginning shortens nothing."""
        since, n_since = time.monotonic(), 0
        with self._part.open("r+b" if self._part.exists() else "wb") as out:
            out.seek(place)
            while place < self._source.n_bytes:
                chunk = response.raw.read1(CHUNK_BYTES, decode_content=False)
                if not chunk:
                    break
                out.write(chunk[: self._source.n_bytes - place])
                place = min(place + len(chunk), self._source.n_bytes)
                self.n_here = max(self.n_here, place)
                self._gate.check()
                n_since += len(chunk)
                if time.monotonic() - since > self._patience.stall_s:
                    if n_since < 1000:
                        raise _Passing(f"{n_since} bytes came in {self._patience.stall_s:g} s")
                    since, n_since = time.monotonic(), 0

    @contextmanager
    def _judged_errors(self) -> Iterator[None]:
        """Errors of the network become _Passing; those that no other try would mend, DataError."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise DataError(
                f"{self._source.host}: its certificate is not trusted ({brief(str(error))}); where a proxy "
                "re-signs what it passes on, name its certificates in REQUESTS_CA_BUNDLE"
            ) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout, HTTPError) as error:
            raise _Passing(_reason(error, self._patience)) from error
        except requests.exceptions.RequestException as error:
            raise DataError(f"{self._source.url}: cannot be asked for: {brief(str(error))}") from error


def md5_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def is_whole(source: Source, file: Path) -> bool:
    """Whether a file is there and what was published."""
    return _size(file) == source.n_bytes and md5_of(file) == source.md5


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _asked_s(header: str | None) -> float:
    """``Retry-After`` in seconds, which is a number or a date; 0 where it says nothing that can be read."""
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    return 0.0


def _reason(error: Exception, patience: Patience) -> str:
    """An error of the network in a few words."""
    chain = list(causes(error))
    if any(isinstance(cause, NameResolutionError) for cause in chain):
        return "its name is not known"
    for cause in chain:
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return cause.strerror.lower()
    if any(isinstance(cause, ReadTimeoutError) for cause in chain):
        return f"nothing came for {patience.stall_s:g} s"
    if any(isinstance(cause, ConnectTimeoutError) for cause in chain):
        return "it does not answer"
    return "the connection broke off"
