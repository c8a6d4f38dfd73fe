"""Networks as MLflow models: folders that MLflow loads and serves wherever it is installed."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ablate.tracking.client  # noqa: F401 - which prepares the environment that MLflow reads


def save_model(
    to: Path,
    *,
    package: Path,
    loader: str,
    data: Path,
    requirements: Sequence[str],
    params: Mapping[str, float],
    metadata: Mapping[str, Any],
) -> None:
    """Writes a pyfunc model into the folder ``to``, which must not be there or be empty.

    ``loader`` is a module within ``package``, a folder of Python modules; its ``_load_pyfunc(path)`` gets the
    folder ``data`` and returns what has ``predict(model_input, params)``. Code and data are copied, so that
    nothing is pickled. ``params`` are what a caller may set, with their defaults.
    """
    with warnings.catch_warnings():
        # Of its own type hints when it is imported, and of models that come without an example of a table.
        warnings.filterwarnings("ignore", category=UserWarning)
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types.schema import DataType, ParamSchema, ParamSpec

        schema = ParamSchema([ParamSpec(name, DataType.double, default) for name, default in params.items()])
        mlflow.pyfunc.save_model(
            str(to),
            loader_module=f"{package.name}.{loader}",
            code_paths=[str(package)],
            data_path=str(data),
            pip_requirements=list(requirements),
            signature=ModelSignature(params=schema),
            metadata=dict(metadata),
        )
