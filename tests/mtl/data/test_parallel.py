import os

import pytest

from ablate.ground.errors import DataError
from ablate.mtl.data.parallel import run_each


def square(number: int) -> int:
    if number < 0:
        raise DataError(f"{number} is negative")
    return number * number


def threads(_number: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def die(_number: int) -> None:
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2, None])
def test_results_come_in_order(workers: int | None) -> None:
    assert list(run_each(square, [3, 1, 2], workers=workers)) == [(0, 9), (1, 1), (2, 4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_failure_is_named_after_everything_has_run(workers: int) -> None:
    results = []
    with pytest.raises(DataError) as error:
        results.extend(run_each(square, [-1, 2, -3], workers=workers))
    assert error.value.problems == ["-1 is negative", "-3 is negative"]


def test_workers_have_one_thread_and_the_caller_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert [result for _, result in run_each(threads, [0, 1], workers=2)] == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_worker_that_dies_is_an_error() -> None:
    with pytest.raises(DataError, match="a worker process died"):
        list(run_each(die, [0, 1], workers=2))


def test_no_tasks_are_no_results() -> None:
    assert list(run_each(square, [])) == []
