"""The one run of an experiment that is no training: the study's report, its tables and its pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.tracking.artifacts import TABLES_TAG
from ablate.tracking.descriptions import description_tags

FILES_TAG = "ablate.files"  # what was shown of the study the last time


@dataclass(frozen=True)
class Summary:
    """``files`` by their names, and which of them MLflow's page shows as tables.

    ``description`` says in Markdown what they are and how fresh.
    """

    files: Mapping[str, bytes]
    tables: Sequence[str]
    description: str

    def write(self, folder: Path) -> list[Path]:
        """The files, in the folder."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return [folder / name for name in self.files]

    def tags(self, shown: Mapping[str, str]) -> dict[str, str]:
        """``shown`` are the tags that MLflow has of the run; a description that is a user's stays."""
        listed = [{"path": name, "type": "table"} for name in self.tables]
        return {
            TABLES_TAG: json.dumps(listed),
            FILES_TAG: json.dumps(list(self.files)),
            **description_tags(self.description, shown),
        }

    def outdated(self, shown: Mapping[str, str]) -> list[str]:
        """The files that were written for an earlier summary, and are not of this one."""
        return [name for name in _names(shown.get(FILES_TAG, "[]")) if name not in self.files]


def _names(text: str) -> list[str]:
    """None where somebody has edited the tag; a name with a folder in it is not ours."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    return [name for name in found if isinstance(name, str) and "/" not in name]
