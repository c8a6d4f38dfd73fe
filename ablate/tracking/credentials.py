"""How we log in to an MLflow server: by what MLflow's own variables say, and by nothing on disk."""

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

USERNAME = "MLFLOW_TRACKING_USERNAME"
PASSWORD = "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"
INSECURE = "MLFLOW_TRACKING_INSECURE_TLS"
CERTIFICATES = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CLIENT_CERTIFICATE = "MLFLOW_TRACKING_CLIENT_CERT_PATH"

# What only MLflow's own client knows how to do: log in by its plugins or by Amazon's signatures, and work in
# one of several workspaces.
OTHER_WAYS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_WORKSPACE")

LOG_IN = f"export {USERNAME}=NAME {PASSWORD}=..."


@dataclass(frozen=True, repr=False)
class Credentials:
    """A user with a password, or a token, or neither. It has no text that could be logged."""

    user: str | None = None
    password: str | None = None
    token: str | None = None

    @classmethod
    def of(cls, uri: str) -> "Credentials":
        """By the environment, else by ``user:password@`` in the address, which is never shown or noted."""
        parts = urlsplit(uri)
        user, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
        if user and password:
            return cls(user, password)
        if token := os.environ.get(TOKEN):
            return cls(token=token)
        if parts.username and parts.password:
            return cls(unquote(parts.username), unquote(parts.password))
        return cls()

    def __str__(self) -> str:
        if self.user is not None:
            return f"user '{self.user}'"
        return "the token" if self.token is not None else "nobody"


def needs_other_way() -> bool:
    """Whether MLflow's own client has to log in."""
    return any(os.environ.get(name, "").lower() not in ("", "false", "0") for name in OTHER_WAYS)


def verification() -> bool | str:
    """How the server's certificate is checked: by a file of certificates, by the system's, or not at all."""
    if os.environ.get(INSECURE, "").lower() in ("true", "1"):
        return False
    return next((file for name in CERTIFICATES if (file := os.environ.get(name))), True)
