"""Which study files there are: the user's own, and those that come with ablate.

A study is asked for by the path of its file, or by its name, and what is the user's own comes first:

    mine.toml                 the path itself
    mine                      mine.toml in the current folder
                              experiments/mine.toml there
                              mine.toml in the package: the paper and its extensions, from any folder
"""

from collections.abc import Iterator
from pathlib import Path

from ablate.design.studypage import read_document
from ablate.ground.errors import ConfigError
from ablate.ground.wording import near_miss
from ablate.subject.registry import built_in

OWN = Path("experiments")
SUFFIX = ".toml"


def packaged() -> Path:
    """The folder of the studies that come with ablate."""
    # A copy of the repository's experiments/: a link would be lost by archives and some file systems.
    folder = built_in().studies
    assert folder is not None
    return folder


def find_study(name: str) -> Path:
    """The study file of a path or a name. Raises ConfigError that lists all studies."""
    stem = name.removesuffix(SUFFIX)
    own = [Path(name), Path(stem + SUFFIX), OWN / name, OWN / (stem + SUFFIX)]
    found = next((path for path in own if path.is_file()), _packaged().get(stem))
    if found is None:
        hint = near_miss(Path(stem).name, available()) or "."
        raise ConfigError(f"no study file '{name}'{hint} {listing()}")
    return found


def available() -> dict[str, Path]:
    """Every study that a name finds here, and the file that it finds."""
    return {**_packaged(), **dict(_in(OWN)), **{stem: path for stem, path in _in(Path()) if _is_study(path)}}


def listing() -> str:
    """All studies in words, one a line with where it comes from."""
    known = available()
    width = max(map(len, known), default=0)
    lines = [f"  {name:<{width}}  {origin(known[name])}" for name in sorted(known)]
    return "\n".join(["There are these, and --init NAME writes a new one:", *lines])


def origin(path: Path) -> str:
    """Where a study file comes from, in words."""
    return "comes with ablate" if path.parent == packaged() else str(path)


def hides_packaged(path: Path) -> bool:
    """Whether a file of the user's own has the name of a study of ablate's, and differs from it."""
    packaged = _packaged().get(path.stem)
    return packaged is not None and packaged.read_bytes() != path.read_bytes()


def _packaged() -> dict[str, Path]:
    return dict(_in(packaged()))


def _in(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.stem, path) for path in sorted(folder.glob(f"*{SUFFIX}")) if path.is_file())


def _is_study(path: Path) -> bool:
    """Whether a file says what varies. In a user's folder lie other files of the kind, as pyproject.toml."""
    try:
        content = read_document(path).content
    except ConfigError:
        return False
    return "conditions" in content or "factors" in content
