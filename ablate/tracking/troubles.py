"""What can be wrong with an MLflow server, told from what it answers: in a sentence, and how to mend it."""

import json
import re
from urllib.parse import urlsplit

from ablate.ground.errors import brief
from ablate.tracking.address import VARIABLE
from ablate.tracking.credentials import LOG_IN, Credentials
from ablate.tracking.problems import Trouble, reason

RENAME = f"export {VARIABLE}=http://HOST:5000"
ENDS_AS_IT_STARTS = (
    "it is not running there, or ends as it starts, and then its log says why: no "
    "MLFLOW_FLASK_SERVER_SECRET_KEY, no MLFLOW_AUTH_ADMIN_PASSWORD, a database that is away or of another "
    "version's schema"
)
TEXT_SHOWN = 200  # characters of an answer that we cannot make sense of


# Words in MLflow's messages, of which most are its database's or its system's.
KNOWN = {
    r"too many clients|remaining connection slots|QueuePool limit|too many connections": Trouble(
        "has used up its database's connections",
        (
            "mlflow server --workers 2 ...",
            "export MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=5 MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=5",
            "psql -c 'ALTER SYSTEM SET max_connections = 200'",
        ),
    ),
    r"out-of-date database schema|UndefinedTable|UndefinedColumn|no such (table|column)": Trouble(
        "has a database of another version's schema; once a backup is made and the server stopped",
        ("mlflow db upgrade DATABASE",),
    ),
    r"No space left on device|DiskFull|could not extend file|database or disk is full": Trouble(
        "has a full disk", ("df -h",)
    ),
    r"Artifact serving is (disabled|not configured)": Trouble(
        "does not take files, as it was started with --no-serve-artifacts",
        ("mlflow server --serve-artifacts --artifacts-destination DIR ...",),
    ),
    r"connection to server .* failed|server closed the connection|terminating connection|OperationalError": (
        Trouble("cannot reach its database", ("pg_isready -h HOST",))
    ),
    r"NoSuchBucket|NoCredentialsError|Unable to locate credentials|InvalidAccessKeyId|EndpointConnection": (
        Trouble(
            "cannot reach its artifact store",
            ("export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... MLFLOW_S3_ENDPOINT_URL=...",),
        )
    ),
}


def of_answer(address: str, credentials: Credentials, status: int, text: str) -> Trouble:
    """What is wrong when a server answers with another status than 200."""
    if status == 401:
        return _log_in(credentials)
    if status == 403:
        return _forbidden(address, credentials, text)
    if status in (301, 302, 303, 307, 308):
        return Trouble(f"redirects to {brief(text)}, and is not the address of MLflow itself", (RENAME,))
    if status == 413:
        return Trouble(
            "is behind a proxy that takes no files of this size (413)", ("client_max_body_size 0;",)
        )
    for words, trouble in KNOWN.items():
        if re.search(words, text):
            return trouble
    if status == 404:
        return Trouble("answers, but not as MLflow 2 or 3 does (404)", (RENAME,))
    shown = " ".join(text.split())[:TEXT_SHOWN]
    log = " (its log tells more)" if status >= 500 else ""
    return Trouble(f"the server answers with error {status}{log}" + (f": {shown}" if shown else ""))


def of_page() -> Trouble:
    """When the answer is 200, and not MLflow's."""
    return Trouble(
        "answers with a page of another program, such as a proxy's sign-in page; it is not the address of "
        "MLflow itself",
        (RENAME,),
    )


def of_silence(error: Exception) -> Trouble:
    """When there is no answer."""
    said = reason(error)
    if "refused" in said:
        return Trouble(said, why=ENDS_AS_IT_STARTS)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Trouble(
            "has a certificate that is not trusted here", ("export MLFLOW_TRACKING_SERVER_CERT_PATH=FILE",)
        )
    return Trouble(said)


def not_proxied(location: str) -> Trouble:
    """When a server has its clients write files themselves, to where this one cannot."""
    return Trouble(
        f"has its clients write files to {location} themselves, which is not possible here; start it so that "
        "it takes them, and make the experiment anew",
        ("mlflow server --serve-artifacts --artifacts-destination DIR ...",),
    )


def _log_in(credentials: Credentials) -> Trouble:
    if credentials == Credentials():
        return Trouble("wants a log-in (401)", (LOG_IN,))
    return Trouble(f"does not know {credentials}, or not with this password (401)", (LOG_IN,))


def _forbidden(address: str, credentials: Credentials, text: str) -> Trouble:
    """A host name that the server was not told of, a user's permissions, or somebody on the way."""
    parts = urlsplit(address)
    if "Invalid Host header" in text:
        return Trouble(
            f"does not answer to the host name {parts.netloc} (403)",
            (f"mlflow server --allowed-hosts {parts.netloc},localhost:* ...",),
        )
    if "ermission denied" in text or "PERMISSION_DENIED" in text:
        return Trouble(
            f"does not permit that to {credentials} (403); an admin can", (grant(address, credentials),)
        )
    return Trouble("is behind somebody who forbids that (403), such as a proxy or a firewall")


def grant(address: str, credentials: Credentials) -> str:
    """What an admin types to let a user write to an experiment."""
    asked = {
        "username": credentials.user or "NAME",
        "resource_type": "experiment",
        "resource_id": "ID",
        "permission": "EDIT",
    }
    return f"curl -u admin {address}/api/3.0/mlflow/users/permissions/grant --json '{json.dumps(asked)}'"
