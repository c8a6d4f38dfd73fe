"""Which MLflow a store's runs are shown in."""

import os
import re

from ablate.ground.errors import StoreError
from ablate.record.store import Store
from ablate.tracking.owner import is_own

VARIABLE = "MLFLOW_TRACKING_URI"
OWN = "sqlite:///mlflow.db"  # how a run folder notes its store's own database, which moves with the store


def tracking_uri(store: Store) -> str:
    """What ``MLFLOW_TRACKING_URI`` says, else the store's own database. Raises StoreError."""
    uri = os.environ.get(VARIABLE, "").strip()
    if not uri:
        return own_uri(store)
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme == "file":
        raise StoreError(
            f"{VARIABLE}={uri}: MLflow no longer writes to plain folders; name a server "
            "(http://host:5000) or a database (sqlite:////path/mlflow.db), "
            "or unset it to use the store's own database"
        )
    return uri


def own_uri(store: Store) -> str:
    """The address of the store's own database, where the store is now."""
    return f"sqlite:///{store.database.resolve()}"


def as_noted(store: Store, uri: str) -> str:
    """An address as run folders note it: without a password."""
    return OWN if is_own(store, uri) else without_password(uri)


def from_note(store: Store, noted: str) -> str:
    """The address that a run folder has noted, as it is now."""
    return own_uri(store) if noted == OWN else noted


def is_database(uri: str) -> bool:
    """Whether we open the address ourselves, rather than ask another process."""
    return uri.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def is_server(uri: str) -> bool:
    """Whether MLflow answers there over HTTP."""
    return uri.startswith(("http://", "https://"))


def without_password(uri: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", uri)
