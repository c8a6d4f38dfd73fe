"""How fast a process trains, as a calibration measures it."""

import time

import pytest

from ablate.mtl.definition import subject
from ablate.mtl.training import speed
from tests.mtl.training.tiny import CPU


def test_steps_are_timed_from_go_on_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    slow = []
    measured = speed.measure(subject.profile("quick"), CPU, lambda: slow.append(time.sleep(1.0)))
    assert len(slow) == 1
    assert 0 < measured["step_s"] < 0.5  # neither the wait for go nor what is compiled in the first step
    assert 0 < measured["evaluation_s"] < 0.5


def test_the_time_of_a_step_is_that_of_all_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 0.0, 0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    stopwatch = speed.Stopwatch(CPU, lambda: None)
    while not stopwatch():
        asked += 1
        now += 60.0 if asked <= speed.WARM_UP_STEPS else 0.5
    assert stopwatch.step_s == 0.5
    assert asked == speed.WARM_UP_STEPS + 4  # two seconds of them
