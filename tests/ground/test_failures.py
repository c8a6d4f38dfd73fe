"""What failures are told by: exceptions, what programs print, how they end."""

import errno
import signal

import pytest

from ablate.ground.failures import Failure, FailureKind, failure_of, failure_said, failure_told, normalised

STEP = """step 3
Traceback (most recent call last):
  File "/home/ada/train.py", line 40, in <module>
    main()
  File "/home/ada/nets/step.py", line 12, in forward
    return torch.matmul(a, b)
  File "/usr/lib/python3/site-packages/torch/functional.py", line 9, in matmul
    raise error
{raised}""".splitlines()


def said(raised: str, code: int = 1, *, no_memory: bool = False) -> Failure:
    lines = [line.format(raised=raised) for line in STEP]
    return failure_said("train.py ended", lines, code, no_memory=no_memory)


def test_an_exception_is_placed_where_the_users_code_was_last() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - int says it in other words in each Python
        int("many")
    failure = failure_of(caught.value)
    assert failure.kind is FailureKind.ERROR
    assert failure.error == "ValueError: invalid literal for int() with base 10: 'many'"
    assert failure.where is not None
    assert failure.where.startswith("test_failures.py:")
    assert failure.where.endswith(" in test_an_exception_is_placed_where_the_users_code_was_last")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("x"), "error"),
        (FileNotFoundError(errno.ENOENT, "no such file"), "error"),
        (MemoryError(), "memory"),
        (OSError(errno.EIO, "Input/output error"), "machine"),
        (OSError(errno.ESTALE, "Stale file handle"), "machine"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "machine"),
    ],
)
def test_the_kind_of_an_exception(error: Exception, kind: str) -> None:
    assert failure_of(error).kind == kind


def test_an_exception_is_of_the_kind_of_what_it_came_from() -> None:
    wrapped = RuntimeError("cannot load the batch")
    wrapped.__cause__ = OSError(errno.EIO, "Input/output error")
    assert failure_of(wrapped).kind is FailureKind.MACHINE
    assert failure_of(RuntimeError("no"), no_memory=True).kind is FailureKind.MEMORY


def test_an_error_that_knows_what_it_failed_of_is_asked() -> None:
    error = RuntimeError("the worker ended")
    error.failure = Failure(FailureKind.MEMORY, "MemoryError", "train.py:3")  # type: ignore[attr-defined]
    assert failure_of(error) == error.failure  # type: ignore[attr-defined]


def test_an_error_of_a_tracking_library_s_own_type_is_the_tracker_s() -> None:
    refused = type("CommError", (Exception,), {"__module__": "wandb.errors"})
    assert failure_of(refused("no")).kind is FailureKind.TRACKER


def test_an_error_of_a_tracking_library_is_told_from_one_that_only_passed_it() -> None:
    library = {"__name__": "mlflow.tracking"}
    exec(
        compile("def call(f):\n    f()\ndef refuse():\n    raise OSError('no')", "/x-packages/m.py", "exec"),
        library,
    )

    def training() -> None:
        raise OSError("no")

    kinds = []
    for call in (library["refuse"], lambda: library["call"](training)):  # type: ignore[operator]
        with pytest.raises(OSError, match="no") as caught:
            call()  # type: ignore[operator]
        kinds.append(failure_of(caught.value).kind)
    assert kinds == ["tracker", "error"]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ValueError: shapes (3,) and (4,)", "error"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "memory"),
        ("OSError: [Errno 5] Input/output error", "machine"),
        ("mlflow.exceptions.MlflowException: API request failed", "tracker"),
    ],
)
def test_a_traceback_that_a_program_printed(raised: str, kind: str) -> None:
    failure = said(raised)
    assert failure == Failure(FailureKind(kind), raised, "step.py:12 in forward")


@pytest.mark.parametrize(
    ("code", "no_memory", "kind"),
    [
        (-signal.SIGTERM, False, "killed"),
        (-signal.SIGKILL, False, "killed"),
        (-signal.SIGKILL, True, "memory"),  # the system has meanwhile killed for want of memory
        (128 + signal.SIGTERM, False, "killed"),  # as a shell says it
        (-signal.SIGSEGV, False, "error"),
        (128 + signal.SIGSEGV, False, "error"),
        (-signal.SIGSYS, False, "error"),
        (-signal.SIGBUS, False, "machine"),
        (3, True, "error"),
    ],
)
def test_the_end_of_a_program_that_says_nothing(code: int, no_memory: bool, kind: str) -> None:
    failure = failure_said("it ended", ["epoch 3"], code, no_memory=no_memory)
    assert failure == Failure(FailureKind(kind), None if code == 3 else "it ended")


def test_a_program_that_fails_outside_of_functions_is_placed_by_its_line() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/home/ada/train.py", line 40, in <module>',
        "KeyError: 3",
    ]
    assert failure_said("it ended", lines, 1, no_memory=False).where == "train.py:40"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("ValueError: no", "error"),
        (None, "error"),
        ("its worker ended by SIGKILL (out of memory?)", "killed"),
        ("CUDA out of memory", "memory"),
        ("Out of Memory", "memory"),
        ("its worker was silent for 60 s, as if frozen, and was killed", "machine"),
        ("its worker died", "killed"),
    ],
)
def test_a_record_that_has_only_words(cause: str | None, kind: str) -> None:
    assert failure_told(cause).kind == kind


def test_what_differs_from_run_to_run_is_no_difference() -> None:
    one = "cannot read /data/a/7.npy: 12 of 80 bytes at 0x7f3a, run 4f6b28f26321ec9f, loss 1e-3"
    two = "cannot read /home/x/b.npy:  9 of 80 bytes at 0xdead, run c228b149385669e5, loss 0.25"
    assert normalised(one) == normalised(two)
    assert normalised("shapes (3,) differ") != normalised("no such layer 3")


def test_lines_may_move_but_functions_and_kinds_tell_errors_apart() -> None:
    at = Failure(FailureKind.ERROR, "ValueError: 3", "train.py:8 in step")
    assert at.key(None) == Failure(FailureKind.ERROR, "ValueError: 4", "train.py:9 in step").key("other")
    assert at.key(None) != Failure(FailureKind.ERROR, "ValueError: 3", "train.py:8 in load").key(None)
    assert at.key(None) != Failure(FailureKind.MACHINE, "ValueError: 3", "train.py:8 in step").key(None)
