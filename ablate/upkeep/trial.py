"""All that shipping does to MLflow, tried: what works, how long it takes, and the line that mends what fails.

Unlike the other checks this one writes: an experiment of its own, with a run and a file, and deletes them.
"""

import getpass
import shutil
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version

from ablate.ground.leases import lease
from ablate.ground.wording import readable_bytes
from ablate.record.store import Store
from ablate.tracking.address import is_server, tracking_uri, without_password
from ablate.tracking.connection import Connection, Shown, kind_of
from ablate.tracking.credentials import Credentials
from ablate.tracking.database import require_mlflow_database, sqlite_file
from ablate.tracking.problems import ServerTrouble, reason
from ablate.tracking.projection import RUN_ID_TAG, Point
from ablate.upkeep.findings import Finding, Level

STEPS = ("reach", "log-in", "version", "experiment", "run", "artifact", "speed", "clean-up")
LEASE_PATIENCE_S = 20.0
POINTS = 100
FILES = 6
FILE_BYTES = 16_384
SLOW_QUESTION_S = 0.15  # many times that of a server which does not compute a hash for each question
SLOW_RUN_S = 1.0
CACHE = "auth_cache_ttl_seconds = 60"


class Trial:
    """The steps, in their order. Nothing is raised; after a step that fails only what was made is deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uri = tracking_uri(store)
        self._shown_uri = without_password(self._uri)
        self._name = f"ablate-doctor-{Credentials.of(self._uri).user or _user()}"
        self._files = store.artifacts / self._name  # where a database has them
        self._made: list[tuple[str, str]] = []  # "experiment" or "run", and its id

    def findings(self) -> Iterator[Finding]:
        with ExitStack() as stack:
            try:
                if not is_server(self._uri):
                    stack.enter_context(self._alone())
                client = kind_of(self._uri).open(self._uri)
                yield from self._try(client)
            except _Failed as failure:
                yield failure.finding
            except Exception as error:
                yield self._failed("reach", error)
                return
            yield from self._clean_up(client)

    def _try(self, client: Connection) -> Iterator[Finding]:
        yield from self._reach(client)
        question_s = yield from self._log_in(client)
        yield from self._version(client)
        experiment = yield from self._experiment(client)
        shown, run_s = yield from self._run(client, experiment)
        files_s = yield from self._artifact(client, shown)
        yield self._speed(question_s, run_s + files_s)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """As the one writer of the store's own database."""
        self._store.require_writable()
        file = sqlite_file(self._uri)
        if file is not None:
            require_mlflow_database(file)
        with lease(self._store.root / "mlflow.lock", LEASE_PATIENCE_S):
            yield

    def _reach(self, client: Connection) -> Iterator[Finding]:
        """A server tells its health and version to everybody, whatever its log-in and its host names are."""
        from ablate.tracking.rest import Server

        if not isinstance(client, Server):
            yield _ok("reach", f"{self._shown_uri} opens")
            return
        with self._step("reach"):
            started = time.perf_counter()
            said = client.health()
            took_s = time.perf_counter() - started
        if said != "OK":
            raise _Failed(_problem("reach", f"{self._shown_uri} answers, but not as MLflow does"))
        yield _ok("reach", f"{self._shown_uri} answers in {_ms(took_s)}")

    def _version(self, client: Connection) -> Iterator[Finding]:
        from ablate.tracking.rest import Server

        if isinstance(client, Server):
            with self._step("version"):
                theirs = client.version()
            yield _compared(theirs, version("mlflow"))

    def _log_in(self, client: Connection) -> Generator[Finding, None, float]:
        with self._step("log-in"):
            client.experiments_marked("ablate-doctor")
            started = time.perf_counter()
            client.experiments_marked("ablate-doctor")
            took_s = time.perf_counter() - started
        who = Credentials.of(self._uri) if is_server(self._uri) else Credentials()
        text = f"as {who}" if who != Credentials() else "none is wanted"
        yield _ok("log-in", f"{text}; a question takes {_ms(took_s)}")
        return took_s

    def _experiment(self, client: Connection) -> Generator[Finding, None, str]:
        """Always the same one of a user, since MLflow keeps what is deleted in its bin."""
        name = self._name
        with self._step("experiment"):
            started = time.perf_counter()
            found = client.experiment_named(name)
            artifacts = None if is_server(self._uri) else self._files.resolve().as_uri()
            identifier = client.create_experiment(name, artifacts, {}) if found is None else found.identifier
            if found is not None and not found.is_active:
                client.restore_experiment(identifier)
            self._made.append(("experiment", identifier))
            took_s = time.perf_counter() - started
        yield _ok("experiment", f"'{name}' made in {_ms(took_s)}")
        return identifier

    def _run(self, client: Connection, experiment: str) -> Generator[Finding, None, tuple[Shown, float]]:
        """A run as shipping makes it, and what MLflow then shows of it."""
        run_id, now_ms = uuid.uuid4().hex, round(1000 * time.time())
        points = [Point("curves/loss", 1 / step, step, now_ms) for step in range(1, POINTS + 1)]
        with self._step("run"):
            started = time.perf_counter()
            shown = client.create(experiment, "ablate doctor", {RUN_ID_TAG: run_id}, now_ms)
            self._made.append(("run", shown.mlflow_run_id))
            client.log(shown.mlflow_run_id, points, {"condition": "trial"}, {"ablate.kind": "trial"})
            client.set_status(shown.mlflow_run_id, "FINISHED", now_ms)
            found = client.find(experiment, run_id)
            took_s = time.perf_counter() - started
        if len(found) != 1 or any(map(found[0].lacks, points)) or found[0].status != "FINISHED":
            raise _Failed(_problem("run", f"{self._shown_uri} does not show the run that was written to it"))
        yield _ok("run", f"written and read back in {_ms(took_s)}: {POINTS} points, params, tags, status")
        return found[0], took_s

    def _artifact(self, client: Connection, shown: Shown) -> Generator[Finding, None, float]:
        content = uuid.uuid4().bytes * (FILE_BYTES // 16)
        with self._step("artifact"), tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            files = [Path(folder) / f"trial-{number}.bin" for number in range(FILES)]
            for file in files:
                file.write_bytes(content)
            started = time.perf_counter()
            client.upload(shown, files)
            took_s = time.perf_counter() - started
            is_same = all(client.download(shown, file.name) == content for file in files)
            for file in files:
                client.remove(shown, file.name)
        if not is_same:
            raise _Failed(_problem("artifact", f"{self._shown_uri} gives other files back than it was sent"))
        size = f"{FILES} files of {readable_bytes(FILE_BYTES)}"
        yield _ok("artifact", f"{size} sent in {_ms(took_s)}, fetched back and deleted")
        return took_s

    def _speed(self, question_s: float, run_s: float) -> Finding:
        text = f"a run takes {run_s:.2f} s to ship, without what is done to several at once"
        if is_server(self._uri) and question_s > SLOW_QUESTION_S and Credentials.of(self._uri).user:
            text += (
                f"; each question takes {_ms(question_s)}, most of it to check the password, which MLflow "
                "does anew each time unless the file of the server's MLFLOW_AUTH_CONFIG_PATH says so"
            )
            return Finding(Level.WARNING, "speed", text, (CACHE,))
        if run_s > SLOW_RUN_S:
            return Finding(Level.WARNING, "speed", f"{text}; training does not wait for it")
        return _ok("speed", text)

    def _clean_up(self, client: Connection) -> Iterator[Finding]:
        left = []
        for kind, identifier in reversed(self._made):
            try:
                (client.delete if kind == "run" else client.delete_experiment)(identifier)
            except client.failures as error:
                left.append(f"{kind} {identifier} ({reason(error)})")
        if left:
            yield Finding(Level.WARNING, "clean-up", f"not deleted: {', '.join(left)}")
        if not is_server(self._uri):
            shutil.rmtree(self._files, ignore_errors=True)
        if self._made and not left:
            yield _ok("clean-up", "all of it is deleted; MLflow keeps it in its bin until `mlflow gc`")

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise _Failed(self._failed(name, error)) from error

    def _failed(self, step: str, error: Exception) -> Finding:
        if isinstance(error, ServerTrouble):
            trouble = error.trouble
            text = f"{self._shown_uri}: {trouble.what}" + (f"; {trouble.why}" if trouble.why else "")
            return _problem(step, text, *trouble.mend)
        return _problem(step, f"{self._shown_uri}: {reason(error)}")


def _compared(theirs: str, ours: str) -> Finding:
    """A server's version of MLflow with the one here."""
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return _ok("version", f"MLflow {theirs}, as here")
    older = Version(theirs) < Version(ours)
    there = "; upgrade the server, once a backup of its database is made, and then migrate that"
    text = f"MLflow {theirs}, and {ours} here; the steps below tell whether they go together"
    mend = f"python -m pip install mlflow=={ours if older else theirs}"
    commands = (mend, "mlflow db upgrade DATABASE") if older else (mend,)
    return Finding(Level.WARNING, "version", text + (there if older else ""), commands)


class _Failed(Exception):
    """A step has failed, and those after it make no sense."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


def _ok(step: str, text: str) -> Finding:
    return Finding(Level.OK, step, text)


def _problem(step: str, text: str, *commands: str) -> Finding:
    return Finding(Level.PROBLEM, step, text, commands)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "nobody"
