"""JSON as text."""

import json
import math
from collections.abc import Mapping
from typing import Any


def as_json(content: Any, *, in_a_line: bool = False) -> str:
    """Strict JSON. What a diverging run has measured can be infinite or no number: that is null."""
    return json.dumps(_finite(content), indent=None if in_a_line else 1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
