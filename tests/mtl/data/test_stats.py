from pathlib import Path

import numpy as np
import pytest

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import Event
from ablate.mtl.data.stats import covered_s, read_stats
from tests.mtl.data.folders import SHARED, needs_annotations, write_folder

ROWS = [
    "a.wav\thome\t1.0\t4.0\tdishes",
    "a.wav\thome\t3.0\t7.0\tdishes",
    "b.wav\thome\t3.0\t9.0\tdishes",
    "c.wav\toffice\t0.0\t30.0\tfan",
]


def test_instances_and_active_minutes(tmp_path: Path) -> None:
    found = read_stats(write_folder(tmp_path, ROWS, ["d.wav\thome"]))
    development, evaluation = found.splits["development"], found.splits["evaluation"]
    home, dishes = found.vocabulary.scenes.index("home"), found.vocabulary.events.index("dishes")
    assert development.instances[home, dishes] == 3
    assert development.active_minutes[home, dishes] == pytest.approx((6 + 6) / 60)
    assert (development.n_recordings, development.n_events, development.n_labels) == (3, 4, 2)
    assert (evaluation.n_recordings, evaluation.n_events, evaluation.n_labels) == (1, 0, 0)


def test_no_audio_is_needed(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for file in tmp_path.glob("*.wav"):
        file.unlink()
    assert read_stats(tmp_path).splits["development"].n_events == 2


def test_bad_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a time"):
        read_stats(write_folder(tmp_path, ["a.wav\thome\t1\ttwo\tdishes"]))


def test_covered_time_counts_overlaps_once() -> None:
    assert covered_s([]) == 0
    nested = [Event(1, 9, "car"), Event(2, 3, "car"), Event(8, 10, "car"), Event(20, 21, "car")]
    assert covered_s(nested) == pytest.approx(10)


@needs_annotations
def test_the_studys_counts() -> None:
    found = read_stats(SHARED / "tut_meta" / "meta")
    development, evaluation = found.splits["development"], found.splits["evaluation"]
    assert (development.n_recordings, development.n_events, development.n_labels) == (112, 4674, 25)
    assert (evaluation.n_recordings, evaluation.n_events, evaluation.n_labels) == (136, 1634, 25)
    office = found.vocabulary.scenes.index("office")
    assert development.instances[office].sum() / development.n_events == pytest.approx(0.69, abs=0.01)
    squeaking = found.vocabulary.events.index("(object) squeaking")
    assert development.instances[:, squeaking].tolist() == [0, 0, 3, 0]
    city, bird = found.vocabulary.scenes.index("city_center"), found.vocabulary.events.index("bird singing")
    assert (development.instances[city, bird], evaluation.instances[city, bird]) == (0, 35)
    fan = found.vocabulary.events.index("fan")
    assert np.flatnonzero(development.instances[:, fan]).tolist() == [office]
