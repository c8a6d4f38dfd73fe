"""Work in threads that nobody waits for when the process ends.

Python joins the threads of a ThreadPoolExecutor at its end, also one that waits for a silent server.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def in_background(action: Callable[[], _Outcome], name: str) -> Future[_Outcome]:
    """What becomes of an action in a thread of its own."""
    outcome: Future[_Outcome] = Future()

    def act() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=act, name=name, daemon=True).start()
    return outcome


def at_once(
    action: Callable[[_Item], _Outcome], items: Sequence[_Item], n_threads: int, name: str
) -> list[_Outcome]:
    """What becomes of each item, in their order, with so many under way together.

    The first error of an action is raised, and no more of them are begun.
    """
    if n_threads == 1 or len(items) < 2:
        return [action(item) for item in items]
    waiting = deque(enumerate(items))
    outcomes: dict[int, _Outcome] = {}

    def work() -> None:
        while True:
            try:
                number, item = waiting.popleft()
            except IndexError:
                return
            outcomes[number] = action(item)

    try:
        for thread in [in_background(work, name) for _ in range(min(n_threads, len(items)))]:
            thread.result()
    finally:
        waiting.clear()
    return [outcomes[number] for number in range(len(items))]
