"""The development recordings in folds: every one once, whole, and spread evenly."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.ground.errors import ConfigError
from ablate.mtl.data.folds import Part, WantedFolds, assign, check_folds

RECORDINGS = st.lists(
    st.tuples(st.sampled_from(["bus", "home", "park"]), st.integers(1, 30)), min_size=1, max_size=40
).map(lambda rows: [Part(f"{place}.wav", scene, n) for place, (scene, n) in enumerate(rows)])
FOLDS = st.integers(2, 6)


def spread(recordings: list[Part], n_folds: int, scene: str) -> tuple[int, int]:
    """By how many clips of the scene two folds differ at most, and the clips of its longest recording."""
    folds, clips = assign(recordings, n_folds), Counter(dict.fromkeys(range(1, n_folds + 1), 0))
    own = [recording for recording in recordings if recording.scene == scene]
    for recording in own:
        clips[folds[recording.name]] += recording.n_clips
    return max(clips.values()) - min(clips.values()), max((each.n_clips for each in own), default=0)


@given(RECORDINGS, FOLDS)
def test_every_recording_is_in_one_fold(recordings: list[Part], n_folds: int) -> None:
    folds = assign(recordings, n_folds)
    assert folds.keys() == {recording.name for recording in recordings}
    assert set(folds.values()) <= set(range(1, n_folds + 1))


@given(RECORDINGS, FOLDS)
def test_no_fold_is_empty_where_there_are_as_many_recordings(recordings: list[Part], n_folds: int) -> None:
    assert len(set(assign(recordings, n_folds).values())) == min(n_folds, len(recordings))


@given(RECORDINGS, FOLDS)
def test_folds_differ_in_no_scene_by_more_than_its_longest_recording(
    recordings: list[Part], n_folds: int
) -> None:
    for scene in ("bus", "home", "park"):
        difference, longest = spread(recordings, n_folds, scene)
        assert difference <= longest


@given(RECORDINGS, FOLDS)
def test_a_scene_is_in_as_many_folds_as_it_can_be(recordings: list[Part], n_folds: int) -> None:
    folds, of_scene = assign(recordings, n_folds), defaultdict(set)
    for recording in recordings:
        of_scene[recording.scene].add(folds[recording.name])
    counts = Counter(recording.scene for recording in recordings)
    assert all(len(of_scene[scene]) == min(n_folds, n) for scene, n in counts.items())


@given(RECORDINGS, FOLDS, st.integers())
def test_their_order_decides_nothing(recordings: list[Part], n_folds: int, seed: int) -> None:
    shuffled = random.Random(seed).sample(recordings, len(recordings))
    assert assign(shuffled, n_folds) == assign(recordings, n_folds)


def test_the_longest_come_first() -> None:
    """Six, then three and three; were the short ones spread first, folds of 9 and 3 clips could come out."""
    recordings = [Part("a", "home", 3), Part("b", "home", 3), Part("c", "home", 6)]
    folds = assign(recordings, 2)
    assert folds["a"] == folds["b"] != folds["c"]


def test_what_is_left_over_of_each_scene_goes_to_the_smallest_fold() -> None:
    """Two scenes of three equal recordings each: two folds of three, not of four and two."""
    recordings = [Part(f"{scene}{place}", scene, 1) for scene in ("bus", "home") for place in range(3)]
    assert sorted(Counter(assign(recordings, 2).values()).values()) == [3, 3]


def test_more_folds_than_recordings_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"--folds 4: the data have 3 development recordings.* 3 folds or fewer"
    ):
        check_folds(WantedFolds(4), ["bus", "home", "home"])


def test_scenes_that_are_not_in_all_folds_are_told() -> None:
    assert check_folds(WantedFolds(3), ["bus", "home", "home", "park", "park", "park"]) == [
        "home has 2 development recordings, and so is in 2 of 3 folds only",
        "bus has one development recording: the run that is scored on it has not been trained on any",
    ]
