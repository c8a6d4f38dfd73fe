"""Where the scene of a recording stands, in a corpus that has no list of them."""

import re
from enum import StrEnum
from pathlib import PurePosixPath


class SceneFrom(StrEnum):
    """Nowhere, in the name of its folder, or in its own name up to a number."""

    NONE = "none"
    FOLDER = "folder"
    NAME = "name"


WORDS = {
    SceneFrom.FOLDER: "the folders of the recordings",
    SceneFrom.NAME: "the names of the recordings, up to a number",
}


def scene_of(path: PurePosixPath, where: SceneFrom) -> str:
    """The scene of a recording; by its name, ``cafe_restaurant_00.wav`` is of ``cafe_restaurant``."""
    if where is SceneFrom.FOLDER:
        return path.parent.name
    if where is SceneFrom.NAME:
        return re.sub(r"[\s_-]*\d+$", "", path.stem)
    return ""
