"""A small corpus under the real names of the study's archives, and a bad server of it on loopback.

    python -m tests.mtl.data.publisher ADDRESS ...

is ``ablate ...`` with that corpus in the place of ``tut``.
"""

import hashlib
import io
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import soundfile

from ablate.mtl.data.download import CORPORA, Corpus
from ablate.mtl.data.fetching import Source

RATE_HZ = 8000
# Archives, and the recordings in each: those that are annotated, and one more that is not.
RECORDINGS = {
    "TUT-acoustic-scenes-2016-development.audio.1.zip": ("a099_0_30", "a099_60_90", "b001_0_30"),
    "TUT-acoustic-scenes-2016-development.audio.2.zip": ("b052_0_30", "b002_0_30"),
    "TUT-acoustic-scenes-2016-evaluation.audio.1.zip": ("101", "7"),
    "TUT-acoustic-scenes-2017-evaluation.audio.4.zip": ("1003", "1290", "8"),
}
NOT_ANNOTATED = {"b001_0_30", "b002_0_30", "7", "8"}
STALL_S = 0.4


def path_of(archive: str, name: str) -> str:
    return f"{archive.partition('.')[0]}/audio/{name}.wav"


def recordings() -> dict[str, dict[str, bytes]]:
    """Of each archive, the audio by path: noise, which no archive makes smaller."""
    noise = np.random.default_rng(0)
    made: dict[str, dict[str, bytes]] = {}
    for archive, names in RECORDINGS.items():
        for name in names:
            audio = io.BytesIO()
            soundfile.write(audio, 0.1 * noise.standard_normal(RATE_HZ), RATE_HZ, format="WAV")
            made.setdefault(archive, {})[path_of(archive, name)] = audio.getvalue()
    return made


def annotated() -> dict[str, bytes]:
    """The audio of the annotated recordings by path."""
    return {
        path: audio
        for audios in recordings().values()
        for path, audio in audios.items()
        if Path(path).stem not in NOT_ANNOTATED
    }


def published() -> dict[str, bytes]:
    """All files by name: two of annotations, and the archives."""
    rows: dict[str, list[str]] = {"development": [], "evaluation": []}
    for path in annotated():
        scene = "city_center" if "2017" in path else "office"
        event = "car" if "2017" in path else "fan"
        split = "development" if "development" in path else "evaluation"
        rows[split].append(f"{path}\t{scene}\t0.0\t0.5\t{event}")
    files = {f"meta_{split}.txt": "\n".join([*lines, ""]).encode() for split, lines in rows.items()}
    return files | {name: zipped(audios) for name, audios in recordings().items()}


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name, (2017, 1, 1, 0, 0, 0)), content)
    return archive.getvalue()


def corpus_of(files: dict[str, bytes], address: str) -> Corpus:
    """What the publisher says of its files."""
    sources = {
        name: Source(
            f"{address}/{name}", len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
        )
        for name, content in files.items()
    }
    return Corpus(
        "tut",
        tuple(source for name, source in sources.items() if name.endswith(".txt")),
        tuple(source for name, source in sources.items() if name.endswith(".zip")),
        unpacked_bytes=sum(map(len, annotated().values())),
    )


# ------------------------------------------------------------------------------------------------ server


@dataclass(frozen=True)
class Request:
    path: str
    start: int  # of the part that is asked for; 0 also where none is
    asks_for_part: bool
    time_s: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Answer:
    """What a fault needs to answer a request: the file, and the connection."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request, content: bytes) -> None:
        self.handler, self.request, self.content = handler, request, content

    def head(self, status: int, length: int, **headers: str) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def begin(self) -> bytes:
        """The right head, and the body that should follow."""
        body = self.content[self.request.start :]
        if self.request.asks_for_part:
            total = len(self.content)
            self.head(206, len(body), Content_Range=f"bytes {self.request.start}-{total - 1}/{total}")
        else:
            self.head(200, len(body))
        return body

    def send(self, body: bytes) -> None:
        self.handler.wfile.write(body)


Fault = Callable[[Answer], None]


def well(answer: Answer) -> None:
    answer.send(answer.begin())


def slow(answer: Answer) -> None:
    body = answer.begin()
    for place in range(0, len(body), 2000):
        answer.send(body[place : place + 2000])
        time.sleep(0.02)


def cut(answer: Answer) -> None:
    body = answer.begin()
    answer.send(body[: len(body) // 3])


def stall(answer: Answer) -> None:
    body = answer.begin()
    answer.send(body[: len(body) // 2])
    time.sleep(2 * STALL_S)


def drip(answer: Answer) -> None:
    body = answer.begin()
    for place in range(8):
        answer.send(body[place : place + 1])
        time.sleep(STALL_S / 3)


def no_parts(answer: Answer) -> None:
    """The whole file, whatever was asked for."""
    answer.head(200, len(answer.content))
    answer.send(answer.content)


def another_part(answer: Answer) -> None:
    """As it says itself."""
    start, total = len(answer.content) // 4, len(answer.content)
    answer.head(206, total - start, Content_Range=f"bytes {start}-{total - 1}/{total}")
    answer.send(answer.content[start:])


def lying_part(answer: Answer) -> None:
    """Under the right head the file's beginning."""
    answer.send(answer.content[: len(answer.begin())])


def wrong_bytes(answer: Answer) -> None:
    body = bytearray(answer.begin())
    body[len(body) // 2] ^= 1
    answer.send(bytes(body))


def longer(answer: Answer) -> None:
    answer.head(200, len(answer.content) + 100)
    answer.send(answer.content + bytes(100))


def sign_in_page(answer: Answer) -> None:
    """What many networks answer in another's place."""
    page = b"<html>Please sign in</html>"
    answer.head(200, len(page), Content_Type="text/html")
    answer.send(page)


def hang_up(answer: Answer) -> None:
    answer.handler.close_connection = True


def status(code: int, **headers: str) -> Fault:
    def answer_with(answer: Answer) -> None:
        answer.head(code, 0, **headers)

    return answer_with


def busy_until_a_date(answer: Answer) -> None:
    status(503, Retry_After=formatdate(time.time(), usegmt=True))(answer)


FAULTS: dict[str, Fault] = {
    "cut": cut,
    "stall": stall,
    "drip": drip,
    "no parts": no_parts,
    "another part": another_part,
    "lying part": lying_part,
    "wrong bytes": wrong_bytes,
    "longer": longer,
    "sign in": sign_in_page,
    "hang up": hang_up,
    "429": status(429, Retry_After="0"),
    "503": status(503),
    "503 until a date": busy_until_a_date,
    "500": status(500, Retry_After="soon"),
    "416": status(416),
}


class Publisher:
    """A server of ``files``. ``plan`` chooses how a request is answered; ``requests`` are all that came."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.plan: Callable[[Request], Fault] = lambda _request: well
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.corpus = corpus_of(files, self.address)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher._answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        request = Request(handler.path, int(asked or 0), bool(asked))
        self.requests.append(request)
        if request.name not in self.files:
            handler.send_error(404)
            return
        try:
            self.plan(request)(Answer(handler, request, self.files[request.name]))
        except OSError:  # whoever asked has gone
            handler.close_connection = True


@contextmanager
def publisher(files: dict[str, bytes] | None = None) -> Iterator[Publisher]:
    made = Publisher(published() if files is None else files)
    try:
        yield made
    finally:
        made.close()


def main() -> None:
    from ablate.cli.app import main as ablate

    address = sys.argv.pop(1)
    CORPORA["tut"] = lambda: corpus_of(published(), address)
    ablate()


if __name__ == "__main__":
    main()
