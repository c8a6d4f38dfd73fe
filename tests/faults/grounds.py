"""Where the runs of a study under a barrage train, by name; each is up as long as its context is."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.faults.barrage import LOCAL, Ground

GROUNDS: Mapping[str, Callable[[Path], AbstractContextManager[Ground]]] = {
    LOCAL.name: lambda _: nullcontext(LOCAL),
}
