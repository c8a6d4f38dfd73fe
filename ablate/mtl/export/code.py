"""The code that goes with an exported network: copies of ours, under the name of a package of their own.

So it stands beside any version of ablate, or none. A copy's imports of the other copies are renamed; the
modules import nothing else of ablate, which a test checks.
"""

import importlib.util
import re
from pathlib import Path

from ablate.ground.version import VERSION

PACKAGE = "ablate_network"
LOADER = "loader"
MODULES = {
    "ablate.ground.errors": "errors",
    "ablate.mtl.data.audio": "audio",
    "ablate.mtl.data.features": "features",
    "ablate.mtl.prediction.listening": "listening",
    "ablate.mtl.prediction.detections": "detections",
    "ablate.mtl.export.loader": LOADER,
}


def write_package(parent: Path) -> Path:
    """Writes the package into the folder ``parent``; returns its folder."""
    package = parent / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text(
        f'"""Parts of ablate {VERSION} that an exported network needs."""\n', encoding="utf-8"
    )
    for module, name in MODULES.items():
        (package / f"{name}.py").write_text(_renamed(_source(module)), encoding="utf-8")
    return package


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"{module} is a module of this package"
    return Path(str(spec.origin)).read_text(encoding="utf-8")


def _renamed(source: str) -> str:
    return re.sub(
        r"^from ([\w.]+) import",
        lambda found: f"from {_name(found[1])} import",
        source,
        flags=re.MULTILINE,
    )


def _name(module: str) -> str:
    return f"{PACKAGE}.{MODULES[module]}" if module in MODULES else module
