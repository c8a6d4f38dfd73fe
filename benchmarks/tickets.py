"""What a ticket of a cluster's queue costs by how many wait: CPU milliseconds to write one, and to take one.

Taking is what an element does for a run: list those that wait, take one, and remove it in the end.

    python -m benchmarks.tickets --output benchmarks/results/tickets.json
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ablate.launch.base import Task
from ablate.launch.tickets import Queue, Sheet
from benchmarks.common import Row, context, parser, show, write

WAITING = (100, 1_000, 10_000, 100_000)
TAKEN = 100
MEMBER = "1_0"


def measure(folder: Path, waiting: int) -> Row:
    queue = Queue(folder)
    queue.open(Sheet(str(folder), "study", {}, "0"))

    def put(number: int) -> None:
        queue.put(Task(folder / f"{number:016x}", folder))

    def take(number: int) -> None:
        (ticket,) = queue.take(MEMBER, 1, number)
        queue.done(MEMBER, ticket)

    return {"waiting": waiting, "write_ms": _each_ms(put, waiting), "take_ms": _each_ms(take, TAKEN)}


def _each_ms(action: Callable[[int], None], times: int) -> float:
    begun = time.process_time()
    for number in range(times):
        action(number)
    return round(1000 * (time.process_time() - begun) / times, 3)


def main() -> None:
    given = parser(__doc__).parse_args()
    where, rows = context(), []
    for waiting in WAITING:
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            rows.append(measure(Path(folder), waiting))
        show(rows[-1])
    write(given.output, where, rows)


if __name__ == "__main__":
    main()
