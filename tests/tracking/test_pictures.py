"""The confusion matrix as a picture."""

import math

import numpy as np
import pytest
from PIL import Image

from ablate.tracking.pictures import cell_text, matrix_picture

LABELS = ["home", "office"]
GREY = (217, 217, 217)
PALEST, DARKEST = (247, 251, 255), (8, 48, 107)  # of ColorBrewer's Blues


def picture(confusion: list[list[int]], title: str = "mtl seed=0", labels: list[str] = LABELS) -> Image.Image:
    return matrix_picture({"rows": labels, "columns": labels, "counts": confusion}, title)


def colours(drawn: Image.Image) -> set[tuple[int, ...]]:
    """Those of whole areas; letters have few pixels of a colour."""
    found = drawn.getcolors(maxcolors=drawn.width * drawn.height) or []
    return {colour for n, colour in found if n > 5000 and isinstance(colour, tuple)}


def rows_with(colour: tuple[int, int, int], drawn: Image.Image) -> list[int]:
    """The rows of pixels in which some are of the colour."""
    return np.flatnonzero((np.asarray(drawn) == colour).all(axis=2).any(axis=1)).tolist()


def test_a_cell_has_its_recall_over_its_count() -> None:
    assert cell_text(0.75, 3) == "75.0 %\n3"
    assert cell_text(math.nan, 0) == "-"


def test_a_cell_is_as_dark_as_its_recall_is_high() -> None:
    assert colours(picture([[2, 0], [0, 5]])) == {(255, 255, 255), PALEST, DARKEST}


def test_a_class_that_never_occurs_is_grey() -> None:
    assert GREY in colours(picture([[3, 1], [0, 0]]))
    assert GREY not in colours(picture([[3, 1], [0, 2]]))


def test_rows_are_true_and_columns_predicted_classes() -> None:
    drawn = picture([[3, 0], [0, 0]])  # "home" was found three times, "office" never occurs
    assert max(rows_with(DARKEST, drawn)) < min(rows_with(GREY, drawn))


def test_pictures_of_one_study_differ_in_what_their_runs_do() -> None:
    assert picture([[3, 1], [0, 2]]).tobytes() == picture([[3, 1], [0, 2]]).tobytes()
    assert picture([[3, 1], [0, 2]]).tobytes() != picture([[1, 3], [0, 2]]).tobytes()
    assert (
        picture([[3, 1], [0, 2]], "mtl seed=0").tobytes() != picture([[3, 1], [0, 2]], "mtl seed=1").tobytes()
    )


@pytest.mark.parametrize("title", ["", "lambda=0.001 " * 40, "x" * 500])
def test_a_title_of_any_length_stays_above_the_matrix_and_within_the_picture(title: str) -> None:
    drawn, untitled = (np.asarray(picture([[3, 1], [0, 2]], text)) for text in (title, ""))
    changed = np.argwhere((drawn != untitled).any(axis=2))
    if title:
        assert changed[:, 0].min() >= 2
        assert changed[:, 1].min() >= 2
        assert changed[:, 1].max() < drawn.shape[1] - 2
    matrix = np.argwhere((drawn == DARKEST).all(axis=2) | (drawn == PALEST).all(axis=2))
    assert changed[:, 0].max(initial=0) < matrix[:, 0].min()


@pytest.mark.parametrize("label", ["a very long name of a scene", "w" * 300, "$\\frac", "a\nb", ""])
def test_a_label_of_any_kind_leaves_room_for_the_matrix(label: str) -> None:
    assert {PALEST, DARKEST} < colours(picture([[1, 0], [0, 1]], labels=[label, "b"]))
