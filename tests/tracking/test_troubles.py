"""What is said of servers that answer something else, or nothing."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ablate.record.store import Store
from ablate.tracking import Tracker, TrackingUnavailable
from ablate.tracking.connection import Shown
from ablate.tracking.credentials import Credentials
from ablate.tracking.problems import Trouble
from ablate.tracking.rest import Server
from ablate.tracking.troubles import not_proxied, of_answer, of_silence
from ablate.upkeep.findings import Level
from ablate.upkeep.trial import Trial
from tests.tracking.proxy import HOST
from tests.tracking.runs import finished

Answer = Callable[[str], tuple[int, dict[str, str], bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that answers each path so: status, headers and content."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.headers.get("Authorization"))
            status, headers, content = answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - the base class's names

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    asked.clear()
    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


asked: list[str | None] = []  # what each request said of its sender


def said(store: Store, url: str) -> str:
    with pytest.raises(TrackingUnavailable) as problem:
        Tracker(store, "study", url).ship(finished(store))
    return str(problem.value).removeprefix(f"MLflow at {url}: ")


@pytest.mark.parametrize(
    ("answer", "words", "mend"),
    [
        (
            (302, {"Location": "https://sign-in.example/?back=mlflow"}, b""),
            "redirects to https://sign-in.example/?back=mlflow, and is not the address of MLflow itself",
            "export MLFLOW_TRACKING_URI=http://HOST:5000",
        ),
        (
            (302, {"Location": f"https://sign-in.example/?back={'mlflow' * 1000}"}, b""),
            "redirects to https://sign-in.example/?back=mlflow",
            "export MLFLOW_TRACKING_URI=http://HOST:5000",
        ),
        (
            (200, {"Content-Type": "text/html"}, b"<html>Sign in</html>"),
            "answers with a page of another program, such as a proxy's sign-in page",
            "export MLFLOW_TRACKING_URI=http://HOST:5000",
        ),
        (
            (404, {}, b"<html>Not Found</html>"),
            "answers, but not as MLflow 2 or 3 does (404)",
            "export MLFLOW_TRACKING_URI=http://HOST:5000",
        ),
        ((403, {}, b"blocked by policy"), "is behind somebody who forbids that (403)", ""),
        (
            (500, {}, b"Internal Server Error"),
            "the server answers with error 500 (its log tells more): Internal Server Error",
            "",
        ),
    ],
    ids=["a redirect", "a long redirect", "a sign-in page", "another program", "a firewall", "a defect"],
)
def test_a_sentence_and_the_line_that_mends_it(
    store: Store, answer: tuple[int, dict[str, str], bytes], words: str, mend: str
) -> None:
    with answering(lambda _path: answer) as url:
        sentence = said(store, url)
    assert words in sentence
    assert f"`{mend}`" in sentence or not mend
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("status", "text", "words", "mend"),
    [  # the texts are those of MLflow 3.17 on PostgreSQL 15 and on S3
        (
            503,
            '(psycopg.OperationalError) connection failed: connection to server at "127.0.0.1", port 5432 '
            "failed: FATAL:  sorry, too many clients already",
            "has used up its database's connections",
            "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=5",
        ),
        (
            500,
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
            "has used up its database's connections",
            "max_connections",
        ),
        (
            503,
            '(psycopg.OperationalError) connection failed: connection to server at "127.0.0.1", port 5432 '
            "failed: Connection refused",
            "cannot reach its database",
            "pg_isready",
        ),
        (
            400,
            "(psycopg.errors.UndefinedColumn) column experiments.workspace does not exist",
            "has a database of another version's schema",
            "mlflow db upgrade DATABASE",
        ),
        (
            400,
            "(psycopg.errors.DiskFull) could not extend file: No space left on device",
            "has a full disk",
            "df -h",
        ),
        (
            503,
            "Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable.",
            "does not take files",
            "--artifacts-destination DIR",
        ),
        (
            500,
            "An error occurred (NoSuchBucket) when calling the PutObject operation",
            "cannot reach its artifact store",
            "MLFLOW_S3_ENDPOINT_URL",
        ),
        (413, "Request Entity Too Large", "takes no files of this size (413)", "client_max_body_size 0;"),
    ],
)
def test_what_a_server_says_of_its_own_troubles(status: int, text: str, words: str, mend: str) -> None:
    trouble = of_answer("http://host:5000", Credentials(), status, text)
    assert words in trouble.what
    assert mend in " ".join(trouble.mend)


KNOWN_SCHEMA = Trouble(
    "has a database of another version's schema; once a backup is made and the server stopped",
    ("mlflow db upgrade DATABASE",),
)
BOB = Credentials("bob", "secret")
RENAMED = ("export MLFLOW_TRACKING_URI=http://HOST:5000",)
LOG_IN = ("export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=...",)


@pytest.mark.parametrize(
    ("status", "text", "credentials", "trouble"),
    [
        (401, "", Credentials(), Trouble("wants a log-in (401)", LOG_IN)),
        (401, "", BOB, Trouble("does not know user 'bob', or not with this password (401)", LOG_IN)),
        (
            403,
            "Invalid Host header - possible DNS rebinding attack detected",
            BOB,
            Trouble(
                "does not answer to the host name host:5000 (403)",
                ("mlflow server --allowed-hosts host:5000,localhost:* ...",),
            ),
        ),
        (403, "no", BOB, Trouble("is behind somebody who forbids that (403), such as a proxy or a firewall")),
        *(
            (status, "/a", BOB, Trouble("redirects to /a, and is not the address of MLflow itself", RENAMED))
            for status in (301, 302, 303, 307, 308)
        ),
        (404, "", BOB, Trouble("answers, but not as MLflow 2 or 3 does (404)", RENAMED)),
        (404, "no such table: runs", BOB, KNOWN_SCHEMA),
        (418, "I am  a\nteapot ", BOB, Trouble("the server answers with error 418: I am a teapot")),
        (499, "", BOB, Trouble("the server answers with error 499")),
        (500, " ", BOB, Trouble("the server answers with error 500 (its log tells more)")),
        (
            500,
            "x" * 300,
            BOB,
            Trouble(f"the server answers with error 500 (its log tells more): {'x' * 200}"),
        ),
    ],
)
def test_all_that_is_said_of_an_answer(
    status: int, text: str, credentials: Credentials, trouble: Trouble
) -> None:
    assert of_answer("http://host:5000", credentials, status, text) == trouble


@pytest.mark.parametrize("text", ["Permission denied", "permission denied", "PERMISSION_DENIED"])
@pytest.mark.parametrize(("credentials", "user"), [(BOB, "bob"), (Credentials(token="t"), "NAME")])
def test_who_may_not_is_told_what_an_admin_types(text: str, credentials: Credentials, user: str) -> None:
    trouble = of_answer("http://host:5000", credentials, 403, text)
    assert trouble.what == f"does not permit that to {credentials} (403); an admin can"
    (line,) = trouble.mend
    start, _, asked = line.partition(" --json ")
    assert start == "curl -u admin http://host:5000/api/3.0/mlflow/users/permissions/grant"
    assert json.loads(asked.strip("'")) == {
        "username": user,
        "resource_type": "experiment",
        "resource_id": "ID",
        "permission": "EDIT",
    }


def test_what_is_said_of_silence() -> None:
    refused = of_silence(OSError("[Errno 111] Connection refused"))
    assert (refused.what, refused.mend) == ("connection refused", ())
    assert refused.why.startswith("it is not running there, or ends as it starts")
    certificate = of_silence(OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))
    assert certificate == Trouble(
        "has a certificate that is not trusted here", ("export MLFLOW_TRACKING_SERVER_CERT_PATH=FILE",)
    )
    assert of_silence(OSError("Read timed out. (read timeout=5)")) == Trouble("no answer in time")


def test_what_mends_a_server_that_has_its_clients_write_files() -> None:
    trouble = not_proxied("/srv/artifacts")
    assert "has its clients write files to /srv/artifacts themselves" in trouble.what
    assert trouble.mend == ("mlflow server --serve-artifacts --artifacts-destination DIR ...",)
    assert str(Trouble("is away", ("a", "b"))) == "is away; to mend that: `a`, `b`"


def test_the_doctor_says_what_keeps_a_server_from_starting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        url = f"http://{HOST}:{taken.getsockname()[1]}"
    assert said(store, url) == "connection refused"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    (finding,) = Trial(store).findings()
    assert finding.text.startswith(
        f"{url}: connection refused; it is not running there, or ends as it starts"
    )
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY" in finding.text


def test_files_are_not_written_where_no_server_looks_for_them(store: Store) -> None:
    """A server of another machine that has its clients write files to a folder which only it has."""
    location = "/srv/none/of/this/machine/artifacts"
    shown = Shown("5" * 32, "RUNNING", 0, location, {}, {}, {}, ())
    with pytest.raises(OSError, match=f"has its clients write files to {location}"):
        Server("http://mlflow.example:5000").upload(shown, [store.database])


class TestLogIn:
    @pytest.fixture(autouse=True)
    def nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in list(os.environ):
            if name.startswith("MLFLOW_TRACKING_"):
                monkeypatch.delenv(name)

    def sent(self, address: str = "http://host") -> str | None:
        """The log-in of a request to a server."""
        with answering(lambda _path: (200, {}, b"OK")) as url:
            Server(url.replace("http://", address.removesuffix("host"))).health()
        return asked[0]

    def test_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.sent() is None
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
        assert self.sent() == "Bearer t0ken"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        assert self.sent() == "Basic Ym9iOnNlY3JldA=="  # bob:secret

    def test_by_the_address(self) -> None:
        assert self.sent("http://bob:secret@host") == "Basic Ym9iOnNlY3JldA=="

    def test_it_has_no_text(self) -> None:
        assert "secret" not in f"{Credentials('bob', 'secret')!r} {Credentials('bob', 'secret')}"
        assert "t0ken" not in f"{Credentials(token='t0ken')!r} {Credentials(token='t0ken')}"


def test_the_doctor_names_the_step_that_fails_and_the_line_that_mends_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b"OK") if path == "/health" else (401, {}, b"You are not authenticated.")

    with answering(answer) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        reach, log_in = Trial(store).findings()
    assert (reach.level, log_in.level, log_in.check) == (Level.OK, Level.PROBLEM, "log-in")
    assert log_in.text == f"{url}: wants a log-in (401)"
    assert log_in.commands == ("export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=...",)


def test_the_doctor_tries_the_store_s_own_database_and_leaves_nothing(store: Store) -> None:
    findings = list(Trial(store).findings())
    assert [finding.check for finding in findings] == [
        "reach",
        "log-in",
        "experiment",
        "run",
        "artifact",
        "speed",
        "clean-up",
    ]
    assert {finding.level for finding in findings} == {Level.OK}
    assert not list(store.artifacts.glob("*"))
