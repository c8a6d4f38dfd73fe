"""Python's garbage collector, kept away from imported libraries, in which it finds nothing.

torch or MLflow makes some hundred thousand objects, and all of them stay. The collector goes through them
again and again while they come, and twice more before the process ends: together a third of the time of a
process that does little else.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Nothing is collected meanwhile, and what there is afterwards is never looked through again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def resting() -> Iterator[None]:
    """Nothing is collected meanwhile: while many objects are made, all of which stay.

    A command never looks through them afterwards. In a notebook, where other things are alive, it would.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _is_command:
            gc.freeze()
        if was_on:
            gc.enable()


_is_command = False


def begin_command() -> None:
    """This process is one command. Reading 10,000 runs, it makes a hundred thousand objects that all stay.

    So it looks for garbage after as many new ones, not after some hundred.
    """
    global _is_command
    _is_command = True
    gc.set_threshold(100_000, 20, 100)


def leave_the_end_to_the_system() -> None:
    """When this process ends, nothing is collected any more: its memory is the system's in a moment."""
    atexit.unregister(gc.freeze)  # a process of many commands says so once for each
    atexit.register(gc.freeze)
