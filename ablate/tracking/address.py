"""Which MLflow a store's runs are shown in."""

import os
import re

from ablate.errors import StoreError
from ablate.store import Store

VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(store: Store) -> str:
    """What ``MLFLOW_TRACKING_URI`` says, else the store's own database. Raises StoreError."""
    uri = os.environ.get(VARIABLE, "").strip()
    if not uri:
        return f"sqlite:///{store.database.resolve()}"
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme == "file":
        raise StoreError(
            f"{VARIABLE}={uri}: MLflow no longer writes to plain folders; name a server "
            "(http://host:5000) or a database (sqlite:////path/mlflow.db), "
            "or unset it to use the store's own database"
        )
    return uri


def is_database(uri: str) -> bool:
    """Whether we open the address ourselves, rather than ask another process."""
    return uri.partition(":")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def without_password(uri: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", uri)
