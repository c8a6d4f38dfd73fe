"""An ablation harness for audio deep learning.

import ablate
runs = ablate.load("paper")     # a pandas DataFrame, one row a run; see docs/querying.md
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.analysis.load import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """``load`` when it is asked for: it needs pandas, which takes half a second that no command spends."""
    if name == "load":
        from ablate.analysis.load import load

        return load
    raise AttributeError(f"module 'ablate' has no attribute '{name}'")
