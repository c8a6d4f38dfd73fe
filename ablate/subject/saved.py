"""The saved state of an unfinished run: a zip of JSON, arrays and tensors, of which nothing is unpickled.

    state.json      nested dicts and lists of text and numbers, with a place for each array and tensor
    0.npy, 1.npy    arrays of numpy's
    tensors.pt      tensors of torch's, read with ``weights_only=True``

Each part has a checksum, so that a damaged file is noticed.
"""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.ground.errors import ConfigError, shown
from ablate.ground.files import replacing

STATE = "state.json"
TENSORS = "tensors.pt"

# The only key of a dict that stands for something that JSON has none of.
_ARRAY, _NUMBER, _TENSOR, _TUPLE, _DICT = "#array", "#number", "#tensor", "#tuple", "#dict"


def check(content: Any) -> None:
    """Raises ConfigError, with where it is, for what cannot be saved."""
    _Writer().encoded(content, "")


def write(path: Path, content: Any) -> None:
    """Writes the file whole or not at all. Raises ConfigError for what cannot be saved, OSError."""
    writer = _Writer()
    text = json.dumps(writer.encoded(content, ""))
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(STATE, text)
        for index, array in enumerate(writer.arrays):
            archive.writestr(f"{index}.npy", _array_bytes(array))
        if writer.tensors:
            archive.writestr(TENSORS, _tensor_bytes(writer.tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as temporary:
        temporary.write_bytes(whole.getbuffer())


def read(path: Path) -> Any:
    """What was written. Raises nearly anything for a damaged file."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise ValueError(f"the checksum of {broken} is wrong")
        names = set(archive.namelist())
        arrays = []
        while (name := f"{len(arrays)}.npy") in names:
            arrays.append(_read_array(archive.read(name)))
        tensors = _read_tensors(archive.read(TENSORS)) if TENSORS in names else []
        return _decoded(json.loads(archive.read(STATE)), arrays, tensors)


class _Writer:
    """Turns nested content into what JSON can hold, and puts arrays and tensors aside."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.tensors: list[Any] = []

    def encoded(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, (str, bool)) or type(value) in (int, float):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            items = [self.encoded(item, f"{where}[{index}]") for index, item in enumerate(value)]
            return items if isinstance(value, list) else {_TUPLE: items}
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return {_TENSOR: len(self.tensors) - 1}
        numpy = sys.modules.get("numpy")
        if (
            numpy is not None
            and isinstance(value, (numpy.ndarray, numpy.generic))
            and not value.dtype.hasobject
        ):
            self.arrays.append(value)
            return {_ARRAY if isinstance(value, numpy.ndarray) else _NUMBER: len(self.arrays) - 1}
        raise ConfigError(
            f"run.epochs(save=...): {where.lstrip('.') or 'the state'} = {shown(value)} cannot be saved; a state is "
            "made of dicts and lists of numbers, text, arrays and tensors"
        )

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        encoded = {key: self.encoded(item, f"{where}.{key}") for key, item in value.items()}
        if all(isinstance(key, str) and not key.startswith("#") for key in encoded):
            return encoded
        pairs = [[self.encoded(key, f"{where} key"), item] for key, item in encoded.items()]
        return {_DICT: pairs}


def _decoded(value: Any, arrays: list[Any], tensors: list[Any]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, arrays, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == _TUPLE:
            return tuple(_decoded(item, arrays, tensors))
        if key == _ARRAY:
            return arrays[item]
        if key == _NUMBER:
            return arrays[item][()]
        if key == _TENSOR:
            return tensors[item]
        if key == _DICT:
            return {_decoded(name, arrays, tensors): _decoded(entry, arrays, tensors) for name, entry in item}
    return {key: _decoded(item, arrays, tensors) for key, item in value.items()}


def _array_bytes(array: Any) -> bytes:
    import numpy as np

    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _read_array(content: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(content), allow_pickle=False)


def _tensor_bytes(tensors: list[Any]) -> bytes:
    import torch

    content = io.BytesIO()  # not into the file: what torch says of a full disk nobody understands
    torch.save(tensors, content)
    return content.getvalue()


def _read_tensors(content: bytes) -> list[Any]:
    import torch

    tensors: list[Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return tensors
