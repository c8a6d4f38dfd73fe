"""An ablation harness for audio deep learning, and for any other training.

import ablate
study = ablate.Study("sweep", script="train.py", levels={"lr": [0.1, 0.01]})    # see docs/python.md
study.run()
ablate.compare("sweep")         # as the command of that name
ablate.load("sweep")            # a pandas DataFrame, one row a run; see docs/querying.md

For a subject of your own, see ``ablate.subject.interface``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ablate.ground.version import VERSION

if TYPE_CHECKING:
    from ablate.analysis.load import load
    from ablate.api.answers import claims, compare, effects, layout, report, status
    from ablate.api.noise import noise
    from ablate.api.study import Study
    from ablate.api.verbs import decide, search
    from ablate.ground.errors import AblateError, ConfigError, StoreError, StudyError
    from ablate.subject.factors import Factor, Inert
    from ablate.subject.interface import Interrupted, Subject, Training
    from ablate.subject.items import Items, Overall, Ratios
    from ablate.subject.metrics import Metric
    from ablate.subject.scores import Matrix, Scores, Table
    from ablate.subject.settings import Config, Section, setting

__version__ = VERSION
__all__ = [
    "AblateError",
    "Config",
    "ConfigError",
    "Factor",
    "Inert",
    "Interrupted",
    "Items",
    "Matrix",
    "Metric",
    "Overall",
    "Ratios",
    "Scores",
    "Section",
    "StoreError",
    "Study",
    "StudyError",
    "Subject",
    "Table",
    "Training",
    "__version__",
    "claims",
    "compare",
    "decide",
    "effects",
    "layout",
    "load",
    "noise",
    "report",
    "search",
    "setting",
    "status",
]

# Imported when they are asked for: commands start without what they do not need.
_HOMES = {
    "load": "ablate.analysis.load",
    "Study": "ablate.api.study",
    **dict.fromkeys(("claims", "compare", "effects", "layout", "report", "status"), "ablate.api.answers"),
    "noise": "ablate.api.noise",
    **dict.fromkeys(("decide", "search"), "ablate.api.verbs"),
    **dict.fromkeys(("AblateError", "ConfigError", "StoreError", "StudyError"), "ablate.ground.errors"),
    **dict.fromkeys(("Factor", "Inert"), "ablate.subject.factors"),
    **dict.fromkeys(("Interrupted", "Subject", "Training"), "ablate.subject.interface"),
    **dict.fromkeys(("Items", "Overall", "Ratios"), "ablate.subject.items"),
    "Metric": "ablate.subject.metrics",
    **dict.fromkeys(("Matrix", "Scores", "Table"), "ablate.subject.scores"),
    **dict.fromkeys(("Config", "Section", "setting"), "ablate.subject.settings"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ablate' has no attribute '{name}'")
