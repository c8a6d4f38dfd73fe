"""How the fuzz tests run: how many cases of each parser, how long one may take, and what may come of it.

``make test`` runs a few cases of each parser, always the same ones. ``make fuzz`` runs as many as
``ABLATE_FUZZ_CASES`` says, other ones each time, and prints how many cases each parser has seen.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from hypothesis import HealthCheck, settings

from ablate.ground.errors import AblateError

CASES = int(os.environ.get("ABLATE_FUZZ_CASES", "0"))
# Seconds of the processor, far more than any case takes; a busy machine makes none of them longer.
PATIENCE_S = 10.0
LONGEST_SENTENCE = 2000

seen: Counter[str] = Counter()
refused: Counter[str] = Counter()


class Hangs(BaseException):
    """A case takes too long. No Exception, so that nothing in between can swallow it."""


def fuzzed(quick: int, share: float = 1.0) -> settings:
    """Settings of a fuzz test: ``quick`` cases in ``make test``, else a ``share`` of those asked for."""
    return settings(
        max_examples=max(1, round(share * CASES)) if CASES else quick,
        derandomize=not CASES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def case(parser: str) -> Iterator[None]:
    """One case: the block succeeds, or refuses its input in sentences that can be read.

    Any other exception leaves the block, and so does ``Hangs`` when the case takes too long.
    """
    seen[parser] += 1
    with _deadline():
        try:
            yield
        except AblateError as error:
            refused[parser] += 1
            check_refusal(error)


def check_refusal(error: AblateError) -> None:
    """The sentences of an error are some, and each can be printed, shown in a terminal, and read."""
    assert error.problems
    for problem in error.problems:
        assert problem.strip()
        assert "Traceback" not in problem
        assert all(character.isprintable() or character == "\n" for character in problem), repr(problem)
        assert len(problem) < LONGEST_SENTENCE, f"{len(problem)} characters: {problem[:300]}"


@contextmanager
def _deadline() -> Iterator[None]:
    def give_up(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Hangs(f"the case takes more than {PATIENCE_S:g} s")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
