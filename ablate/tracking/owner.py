"""Which of MLflow's experiments are a store's.

An experiment is known by its tags, which stay when somebody renames it. In the store's own database every
experiment of a study is the store's, also after both were copied. A database or server elsewhere can hold
experiments of other stores that bear the study's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ablate.record.store import Store
from ablate.tracking.database import sqlite_file
from ablate.tracking.views import CONDITIONS, VIEW_TAG

STUDY_TAG = "ablate.study"
STORE_TAG = "ablate.store"


@dataclass(frozen=True)
class Move:
    """Files that are at ``new`` now, and at ``old`` by MLflow's addresses."""

    old: Path
    new: Path


@dataclass(frozen=True)
class Owner:
    """A store with the database or server that shows it. ``identity`` is None while the store has none."""

    root: Path
    artifacts: Path
    identity: str | None
    has_database: bool

    @classmethod
    def of(cls, store: Store, uri: str) -> "Owner":
        has_database = is_own(store, uri)
        return cls(store.root.resolve(), store.artifacts.resolve(), store.identity(), has_database)

    def tags(self, study: str) -> dict[str, str]:
        """What its experiment of a study is known by."""
        return {STUDY_TAG: study, **({STORE_TAG: self.identity} if self.identity else {})}

    def other_name(self, study: str) -> str:
        """What its experiment is called where another has the study's name."""
        return f"{study} ({(self.identity or '')[:8]})"

    def owns(self, tags: Mapping[str, str], location: str) -> bool:
        """Whether an experiment is one of the store's. ``location`` is where MLflow has its files."""
        if self.has_database:
            return is_marked(tags)
        if STUDY_TAG not in tags or tags.get(STORE_TAG) != self.identity:
            return False
        artifacts = _artifacts_of(tags[STUDY_TAG], location)  # a copy of the store has its identity, too
        return artifacts is None or self._is_here(artifacts) or not artifacts.exists()

    def move(self, tags: Mapping[str, str], name: str, location: str) -> Move | None:
        """From where the store was moved since its experiment was made; None when it was not."""
        if not self.owns(tags, location):
            return None
        artifacts = _artifacts_of(study_of(tags, name), location)
        if artifacts is None or self._is_here(artifacts):
            return None
        if self.artifacts == self.root / artifacts.name:
            return Move(artifacts.parent, self.root)
        return Move(artifacts, self.artifacts)  # they are on another disk, and a link leads there

    def _is_here(self, artifacts: Path) -> bool:
        """Whether that is the store's own folder of artifacts, be it by another way."""
        try:
            return artifacts == self.artifacts or artifacts.samefile(self.artifacts)
        except OSError:
            return False


def is_own(store: Store, uri: str) -> bool:
    """Whether the address is that of the database in the store, which goes wherever the store goes."""
    file = sqlite_file(uri)
    return file is not None and file.resolve() == store.root.resolve() / store.database.name


def is_marked(tags: Mapping[str, str]) -> bool:
    """Whether an experiment was made for a study: by its tag, else by the view that all of them have."""
    return STUDY_TAG in tags or VIEW_TAG + CONDITIONS in tags


def study_of(tags: Mapping[str, str], name: str) -> str:
    """The study that an experiment shows, whatever somebody has called it since."""
    return tags.get(STUDY_TAG, name)


def _artifacts_of(study: str, location: str) -> Path | None:
    """The artifacts of the store that an experiment was made in; None when its files are elsewhere."""
    path = local_folder(location)
    if path is None:
        return None
    return path.parent if path.name == study and path.parent.name == "artifacts" else None


def local_folder(location: str) -> Path | None:
    """The folder at an address of MLflow's artifacts; None for one that is on no file system."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
