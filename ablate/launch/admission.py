"""How many processes may train on one GPU at the same time, by the memory that they are seen to take."""

from ablate.launch.base import Event, Kind

MARGIN = 1.2  # a later run may take more than those before it


class Door:
    """Who is let onto one GPU: first one run, then twice as many as have been seen at work, while all fit.

    What a run takes is what of the card's memory is no longer free since the first one came, divided by the
    processes that are there. The driver's list of processes would say it of each, but in a container it has
    other numbers for them, or none. So a process's own CUDA context counts, and MPS's share; and what others
    have taken meanwhile counts as if it were ours, which admits fewer.

    ``free_mib`` is what was free before the first came; None where the driver does not tell: then as many as
    ``most`` may come.
    """

    def __init__(self, most: int, free_mib: int | None) -> None:
        self._most = most
        self._free_mib = free_mib
        self._each_mib = 0.0
        self._inside: set[str] = set()
        self._told: set[str] = set()  # of an epoch, since the memory was read last
        self._seen: set[str] = set()  # at work

    @property
    def room(self) -> int:
        """How many runs may be inside; never less than one."""
        if self._free_mib is None:
            return self._most
        if not self._seen:
            return 1
        fitting = int(self._free_mib / (self._each_mib * MARGIN))
        return max(1, min(self._most, fitting, 2 * len(self._seen)))

    @property
    def n_inside(self) -> int:
        return len(self._inside)

    def narrow(self, most: int) -> None:
        """Let no more than ``most`` in, from now on."""
        self._most = min(self._most, most)

    def enter(self, run_id: str) -> None:
        self._inside.add(run_id)

    def read(self, free_mib: int, n_processes: int) -> None:
        """The memory that is free now, and how many processes of ours there are."""
        if self._free_mib is None or not self._inside:
            return
        self._each_mib = max(self._each_mib, (self._free_mib - free_mib) / max(1, n_processes))
        if self._each_mib:
            self._seen |= self._told
            self._told.clear()

    def hear(self, event: Event) -> None:
        """What has happened to a run that is inside. One that is over has been seen, if anything has."""
        if event.kind is Kind.NO_MEMORY:
            self.narrow(max(1, len(self._inside) - 1))
        if event.kind is Kind.EPOCH:
            self._told.add(event.run_id)
        if event.kind is Kind.FINISHED and self._each_mib:
            self._seen.add(event.run_id)
        if event.ends:
            self._inside.discard(event.run_id)
            self._told.discard(event.run_id)
