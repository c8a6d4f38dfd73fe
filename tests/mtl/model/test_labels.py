"""Fake labels, equations (6) and (7)."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.mtl.config import RunConfig
from ablate.mtl.model.labels import fake_events, fake_scenes, kept_events, training_labels
from ablate.subject.scores import slug


@pytest.fixture
def events() -> NDArray[np.uint8]:
    return (np.random.default_rng(0).random((6, 50, 25)) < 0.2).astype(np.uint8)


SCENES = np.arange(2000) % 4


def test_fake_scenes_are_uniform_and_say_nothing_of_the_true_ones() -> None:
    fake = fake_scenes(SCENES, 4, seed=0)
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (SCENES, fake), 1)
    # 500 clips a scene, each lands on each scene 125 times, give or take 5 deviations of 9.7.
    assert np.abs(pairs - 125).max() < 49


def test_each_frame_keeps_its_number_of_active_events(events: NDArray[np.uint8]) -> None:
    fake = fake_events(events, seed=0)
    assert fake.dtype == np.uint8
    assert set(np.unique(fake)) == {0, 1}
    assert np.array_equal(fake.sum(axis=2), events.sum(axis=2))
    assert not np.array_equal(fake, events)


def test_each_frame_is_reordered_on_its_own() -> None:
    """The same event in every frame lands on every class, equally often."""
    events = np.zeros((10, 500, 25), dtype=np.uint8)
    events[:, :, 3] = 1
    counts = fake_events(events, seed=0).sum(axis=(0, 1), dtype=np.int64)
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200)


def test_the_draw_depends_on_seed_and_epoch_alone(events: NDArray[np.uint8]) -> None:
    assert np.array_equal(fake_events(events, 1, 2), fake_events(events, 1, 2))
    assert np.array_equal(fake_scenes(SCENES, 4, 1, 2), fake_scenes(SCENES, 4, 1, 2))
    for seed, epoch in [(2, 2), (1, 3)]:
        assert not np.array_equal(fake_events(events, 1, 2), fake_events(events, seed, epoch))
        assert not np.array_equal(fake_scenes(SCENES, 4, 1, 2), fake_scenes(SCENES, 4, seed, epoch))


@pytest.mark.parametrize(
    ("shuffle", "fakes_scene", "fakes_event"),
    [("none", False, False), ("scene", True, False), ("event", False, True), ("both", True, True)],
)
def test_the_configuration_says_which_labels_are_fake(
    shuffle: str, fakes_scene: bool, fakes_event: bool, events: NDArray[np.uint8]
) -> None:
    config = RunConfig().override({"labels.shuffle": shuffle})
    scenes = SCENES[: len(events)]
    before = scenes.copy(), events.copy()
    new_scenes, new_events = training_labels(scenes, events, 4, config, epoch=1)
    assert (not np.array_equal(new_scenes, scenes)) == fakes_scene
    assert (not np.array_equal(new_events, events)) == fakes_event
    assert np.array_equal(scenes, before[0])
    assert np.array_equal(events, before[1])


@pytest.mark.parametrize(("redraw", "same"), [("once", True), ("every_epoch", False)])
def test_fakes_are_drawn_once_or_every_epoch(redraw: str, same: bool, events: NDArray[np.uint8]) -> None:
    config = RunConfig().override({"labels.shuffle": "both", "labels.redraw": redraw})
    one, two = (training_labels(SCENES, events, 4, config, epoch) for epoch in (1, 2))
    assert np.array_equal(one[0], two[0]) == same
    assert np.array_equal(one[1], two[1]) == same


def test_each_seed_trains_on_fakes_of_its_own(events: NDArray[np.uint8]) -> None:
    for redraw, draw in (("once", 0), ("every_epoch", 2)):
        values = {"labels.shuffle": "both", "labels.redraw": redraw, "seed": 3}
        scenes, fakes = training_labels(SCENES, events, 4, RunConfig().override(values), epoch=2)
        assert np.array_equal(scenes, fake_scenes(SCENES, 4, seed=3, epoch=draw))
        assert np.array_equal(fakes, fake_events(events, seed=3, epoch=draw))


def test_the_one_draw_is_that_of_epoch_0(events: NDArray[np.uint8]) -> None:
    assert np.array_equal(fake_scenes(SCENES, 4, seed=3), fake_scenes(SCENES, 4, seed=3, epoch=0))
    assert np.array_equal(fake_events(events, seed=3), fake_events(events, seed=3, epoch=0))


def test_scene_and_event_fakes_do_not_depend_on_each_other(events: NDArray[np.uint8]) -> None:
    alone = RunConfig().override({"labels.shuffle": "event"})
    both = RunConfig().override({"labels.shuffle": "both"})
    assert np.array_equal(*(training_labels(SCENES, events, 4, config, 1)[1] for config in (alone, both)))


def test_the_full_development_set_takes_seconds() -> None:
    events = np.ones((1150, 500, 25), dtype=np.uint8)
    started = time.process_time()
    fake_events(events, seed=0)
    assert time.process_time() - started < 4


def test_classes_left_out_are_found_by_label_or_slug() -> None:
    events = ["(object) impact", "car", "fan"]
    assert kept_events(events, ["fan"]) == [0, 1]
    assert kept_events(events, ["object_impact"]) == [1, 2]
    assert kept_events(events, []) == [0, 1, 2]
    config = RunConfig().override({"labels.without": "(object) impact"})
    assert config.removed_events == (slug("(object) impact"),)


def test_unknown_classes_are_told_together_with_the_nearest_ones() -> None:
    with pytest.raises(DataError) as caught:
        kept_events(["car", "fan"], ["fann", "cat"])
    assert caught.value.problems == [
        "labels.without: the data have no event class 'fann'; did you mean 'fan'?",
        "labels.without: the data have no event class 'cat'; did you mean 'car'?",
    ]


def test_one_class_must_stay() -> None:
    with pytest.raises(DataError, match="all 2 event classes would be left out"):
        kept_events(["car", "fan"], ["car", "fan"])
