"""The start of MLflow's server in its container.

    server.py check                  exit 2 with a sentence for each secret that is missing
    server.py serve OPTION ...       check, wait for the database, compare schemas, become `mlflow server`
    server.py upgrade                bring the database's schema to this version of MLflow
    server.py health PORT            exit 1 unless a server of this machine answers

Secrets come from the environment, which has DATABASE_URI without the password, and never reach a file or the
arguments of a process.
"""

import os
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PATIENCE_S = 60.0
PASSWORD, SECRET_KEY = "openssl rand -hex 24", "openssl rand -hex 32"
SECRETS = {
    "POSTGRES_PASSWORD": ("the password of MLflow in its database", PASSWORD),
    "MLFLOW_AUTH_ADMIN_PASSWORD": ("the password of the first user, who adds the others", PASSWORD),
    "MLFLOW_FLASK_SERVER_SECRET_KEY": ("the key that protects the page for new users", SECRET_KEY),
}
MIN_PASSWORD_LENGTH = 12  # MLflow's own rule
PERMISSIONS = ("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS")
WRONG_PASSWORD = (
    "the database refuses POSTGRES_PASSWORD: it keeps the one of its first start; write that to docker/.env, "
    "or change it in the database (docker/README.md says how)"
)
# Without its last line MLflow computes a password's hash anew for each request: 0.25 s of a core.
LOG_IN = """[mlflow]
database_uri = {uri}
default_permission = {permission}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def check() -> None:
    """Exit with every problem that the secrets have."""
    problems = [
        f"{name} is not set: it is {what}; make one with `{command}` and write it to docker/.env"
        for name, (what, command) in SECRETS.items()
        if not os.environ.get(name)
    ]
    password = os.environ.get("MLFLOW_AUTH_ADMIN_PASSWORD", "")
    if password and len(password) < MIN_PASSWORD_LENGTH:
        problems.append(
            f"MLFLOW_AUTH_ADMIN_PASSWORD has {len(password)} characters: "
            f"MLflow wants {MIN_PASSWORD_LENGTH} or more"
        )
    permission = os.environ.get("DEFAULT_PERMISSION") or PERMISSIONS[0]
    if permission not in PERMISSIONS:
        problems.append(f"DEFAULT_PERMISSION={permission}: name one of {', '.join(PERMISSIONS)}")
    if problems:
        _refuse(*problems)


def serve(*options: str) -> None:
    """Become the server. ``options`` are those of `mlflow server`."""
    check()
    uri = _database()
    if _behind(_schema_of(uri)):
        _refuse(
            "the database has the schema of an older MLflow: make a backup, then type "
            "`docker compose -f docker/compose.yaml run --rm server upgrade`"
        )
    _write_log_in(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]), uri)
    command = ["mlflow", "server", "--app-name", "basic-auth", "--backend-store-uri", uri, *options]
    os.execvp(sys.executable, [sys.executable, "-m", *command])


def upgrade() -> None:
    """Migrate the runs' tables. Those of the log-in are migrated by the server as it starts."""
    check()
    uri = _database()
    os.execvp(sys.executable, [sys.executable, "-m", "mlflow", "db", "upgrade", uri])


def health(port: str) -> None:
    """Exit unless the server answers; of its database this says nothing, which has a check of its own."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=4).close()
    except OSError as error:
        sys.exit(f"no server answers at port {port}: {error}")


def _database() -> str:
    """The address of the database, which answers. Who connects to it takes the password from PGPASSWORD."""
    import psycopg

    for name in [name for name, value in os.environ.items() if not value]:
        del os.environ[name]  # compose hands over as empty what docker/.env does not set
    uri = os.environ["DATABASE_URI"]
    os.environ["PGPASSWORD"] = os.environ["POSTGRES_PASSWORD"]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(uri, connect_timeout=5).close()
            return uri
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                _refuse(WRONG_PASSWORD)
            if time.monotonic() > deadline:
                _refuse(f"no database answers at {uri} within {PATIENCE_S:.0f} s: {error}")
            time.sleep(0.5)


def _schema_of(uri: str) -> str | None:
    """The revision of the runs' tables; None in a new database, whose tables the server makes."""
    import psycopg

    with psycopg.connect(uri) as database:
        found = database.execute("SELECT to_regclass('alembic_version')").fetchone()
        if found is None or found[0] is None:
            return None
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else str(row[0])


def _behind(revision: str | None) -> bool:
    """Whether the schema is older than this MLflow's. Exit when this MLflow does not know it."""
    from importlib.util import find_spec

    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    package = find_spec("mlflow")
    assert package is not None
    assert package.origin is not None
    known = ScriptDirectory(str(Path(package.origin).parent / "store" / "db_migrations"))
    if revision is None or revision in known.get_heads():
        return False
    try:
        known.get_revision(revision)
    except CommandError:
        _refuse(
            f"the database has schema {revision}, which this MLflow does not know: "
            "a newer one has written it; start that image, or restore a backup"
        )
    return True


def _write_log_in(file: Path, uri: str) -> None:
    """MLflow's settings for log-in. Its users are in the same database as its runs."""
    permission = os.environ.get("DEFAULT_PERMISSION", PERMISSIONS[0])
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
        sink.write(LOG_IN.format(uri=uri, permission=permission))


def _refuse(*problems: str) -> NoReturn:
    print(*(f"server: {problem}" for problem in problems), sep="\n", file=sys.stderr)
    sys.exit(2)


VERBS: dict[str, Callable[..., None]] = {"check": check, "serve": serve, "upgrade": upgrade, "health": health}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in VERBS:
        _refuse(f"name one of {', '.join(VERBS)}")
    VERBS[sys.argv[1]](*sys.argv[2:])
