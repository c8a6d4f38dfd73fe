"""The confusion matrix as a picture."""

import numpy as np

from ablate.tracking.pictures import confusion_picture


def texts(confusion: list[list[int]]) -> list[str]:
    figure = confusion_picture(np.array(confusion), ["home", "office"], "mtl seed=0")
    figure.canvas.draw()  # a layout that does not fit is a warning, and so an error
    return [text.get_text() for text in figure.axes[0].texts]


def test_each_cell_has_its_recall_and_its_count() -> None:
    assert texts([[3, 1], [0, 2]]) == ["75.0 %\n3", "25.0 %\n1", "0.0 %\n0", "100.0 %\n2"]


def test_a_class_that_never_occurs_has_no_recall() -> None:
    assert texts([[3, 1], [0, 0]])[2:] == ["-", "-"]
