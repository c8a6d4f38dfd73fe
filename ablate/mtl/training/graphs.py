"""Ways to take one step of several runs at once on a GPU.

One run's step is hundreds of small operations, of which most leave most of the device idle, and which Python
starts one by one. Recorded in a CUDA graph they start as one; recorded as branches of one graph, the
operations of different runs fill the device side by side. Nothing of a model is rewritten for that.

The discipline that all ways keep: work is ordered by the device's current stream. Side streams fork from it
before a step and join it after, so that whatever is not in a step needs no further care.
"""

import contextlib
import functools
import itertools
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch

from ablate.ground.errors import causes
from ablate.mtl.training.loop import Kind, Training

# What is set up at the first time (the optimiser's state, libraries' workspaces) must not be recorded.
WARM_UP = 2  # steps of a kind that are taken one operation at a time before it is recorded
IN_FLIGHT = 4  # steps that Python may be ahead of the device, so that a stop or a save does not wait long

Work = Callable[[], None]
Failures = dict[Training, Exception]


class CaptureFailed(Exception):
    """Steps could not be recorded: one waits for the device, or memory ran out. Nothing was computed."""


class Streams(Protocol):
    """A device that does several things at once, and can record them."""

    def side_by_side(self, works: Sequence[Work]) -> list[Exception | None]:
        """Starts each on a stream of its own; the current stream waits for all. Returns what each raised."""

    def capture(self, works: Sequence[Work], pool: Any, lane: int) -> Work:
        """Records the works as branches beside each other, without computing; returns what repeats them.

        What is repeated at the same time must differ in ``pool``, whose captures share memory, and in
        ``lane``, the number of the first branch's stream: matrix products have a workspace for each stream.
        """

    def new_pool(self) -> Any:
        """A name for memory that captures share."""

    def keep_pace(self) -> None:
        """Waits while Python is too far ahead of the device."""

    def release(self) -> None:
        """Gives memory that nobody uses back to the device."""


class CudaStreams:
    """The streams of one GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams: list[torch.cuda.Stream] = []
        # torch deals streams out of 32 for each priority: of the other priority, this one is no branch's.
        self._capturing = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
        self._under_way: deque[torch.cuda.Event] = deque()

    def side_by_side(self, works: Sequence[Work]) -> list[Exception | None]:
        with self._forked(len(works)) as streams:
            return [_attempt(work, stream) for work, stream in zip(works, streams, strict=True)]

    def capture(self, works: Sequence[Work], pool: Any, lane: int) -> Work:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            try:
                with (
                    torch.cuda.graph(graph, pool=pool, stream=self._capturing),
                    self._forked(len(works), lane) as streams,
                ):
                    for work, stream in zip(works, streams, strict=True):
                        with torch.cuda.stream(stream):
                            work()
            finally:
                torch.cuda.set_stream(current)  # a capture that fails leaves its own the current one
        return graph.replay

    def new_pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def keep_pace(self) -> None:
        self._under_way.append(torch.cuda.current_stream(self._device).record_event())
        if len(self._under_way) > IN_FLIGHT:
            self._under_way.popleft().synchronize()

    def release(self) -> None:
        # Before torch 2.12 a failed capture leaves an allocator that gives nothing back, but still works.
        with contextlib.suppress(RuntimeError), torch.cuda.device(self._device):
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    @contextlib.contextmanager
    def _forked(self, n: int, lane: int = 0) -> Iterator[list[torch.cuda.Stream]]:
        """n streams that fork from the current one and join it again, whatever happens between."""
        while len(self._streams) < lane + n:
            self._streams.append(torch.cuda.Stream(self._device))  # type: ignore[no-untyped-call]
        streams = self._streams[lane : lane + n]
        current = torch.cuda.current_stream(self._device)
        for stream in streams:  # all at first, as none shall wait for another
            stream.wait_stream(current)
        try:
            yield streams
        finally:
            for stream in streams:
                current.wait_stream(stream)


def _attempt(work: Work, stream: torch.cuda.Stream) -> Exception | None:
    try:
        with torch.cuda.stream(stream):
            work()
    except Exception as error:
        return error
    return None


class Way(ABC):
    """A way to take the next step of each of some trainings, whose clips it also fills in."""

    name: str

    @abstractmethod
    def take(self, trainings: Sequence[Training]) -> Failures:
        """Takes the next step of each. Returns what failed; the others have taken theirs.

        Raises CaptureFailed when no step was taken.
        """

    def forget(self, trainings: Sequence[Training]) -> None:  # noqa: B027 - some ways remember nothing
        """Lets go of whatever was recorded with one of them, and gives its memory back."""


class OneGraph(Way):
    """One graph with a branch for each run."""

    name = "one CUDA graph with a branch for each run"

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._at_first = OnStreams(streams)
        # One pool for all: graphs are repeated one after the other, and nothing in it outlives a step.
        self._pool = streams.new_pool()
        self._seen: Counter[tuple[tuple[Training, Kind], ...]] = Counter()
        self._graphs: dict[tuple[tuple[Training, Kind], ...], Work] = {}

    def take(self, trainings: Sequence[Training]) -> Failures:
        key = tuple((training, training.kind) for training in trainings)
        self._seen[key] += 1
        if self._seen[key] <= WARM_UP:
            return self._at_first.take(trainings)
        for training in trainings:
            training.fill()
        if key not in self._graphs:
            works = [training.compute for training in trainings]
            self._graphs[key] = _captured(self._streams, works, self._pool, lane=0)
        try:
            self._graphs[key]()
        except Exception as error:  # a graph takes memory when it is started at first
            raise CaptureFailed("a recorded step could not be started") from error
        self._streams.keep_pace()
        return {}

    def forget(self, trainings: Sequence[Training]) -> None:
        for key in [key for key in self._seen if any(member in trainings for member, _ in key)]:
            del self._seen[key]
            self._graphs.pop(key, None)
        self._streams.release()


class GraphEach(Way):
    """A graph for each run, on a stream of its own."""

    name = "a CUDA graph for each run"

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._at_first = OnStreams(streams)
        self._places: dict[Training, tuple[Any, int]] = {}  # pool and lane
        self._seen: Counter[tuple[Training, Kind]] = Counter()
        self._graphs: dict[tuple[Training, Kind], Work] = {}

    def take(self, trainings: Sequence[Training]) -> Failures:
        keys = [(training, training.kind) for training in trainings]
        self._seen.update(keys)
        if any(self._seen[key] <= WARM_UP for key in keys):
            return self._at_first.take(trainings)
        for training, key in zip(trainings, keys, strict=True):
            training.fill()
            if key not in self._graphs:
                pool, lane = self._place(training)
                self._graphs[key] = _captured(self._streams, [training.compute], pool, lane)
        raised = self._streams.side_by_side([self._graphs[key] for key in keys])
        self._streams.keep_pace()
        return _failures(trainings, raised)

    def forget(self, trainings: Sequence[Training]) -> None:
        for key in [key for key in self._seen if key[0] in trainings]:
            del self._seen[key]
            self._graphs.pop(key, None)
            self._places.pop(key[0], None)
        self._streams.release()

    def _place(self, training: Training) -> tuple[Any, int]:
        if training not in self._places:
            taken = {lane for _, lane in self._places.values()}
            lane = next(lane for lane in itertools.count() if lane not in taken)
            self._places[training] = self._streams.new_pool(), lane
        return self._places[training]


class OnStreams(Way):
    """Operation by operation, each run on a stream of its own. A step that fails is undone."""

    name = "a stream for each run, without graphs"

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def take(self, trainings: Sequence[Training]) -> Failures:
        for training in trainings:
            training.fill()
        raised = self._streams.side_by_side([_undone_on_failure(training) for training in trainings])
        return _failures(trainings, raised)

    def forget(self, trainings: Sequence[Training]) -> None:  # noqa: ARG002
        self._streams.release()


class OneAtATime(Way):
    """Operation by operation, one run after the other: on a CPU, and when nothing else works."""

    name = "one run at a time, without graphs"

    def take(self, trainings: Sequence[Training]) -> Failures:
        failures: Failures = {}
        for training in trainings:
            training.fill()
            try:
                training.compute()
            except Exception as error:
                failures[training] = error
        return failures


def ways_of(device: torch.device) -> list[Way]:
    """The ways to try on this device, the fastest first."""
    if device.type != "cuda":
        return [OneAtATime()]
    streams = _streams_of(device)
    return [OneGraph(streams), GraphEach(streams), OnStreams(streams), OneAtATime()]


@functools.cache
def _streams_of(device: torch.device) -> CudaStreams:
    """The same for all packs of a process: libraries keep memory for every stream that they have seen."""
    return CudaStreams(device)


def is_out_of_memory(error: BaseException) -> bool:
    """On the host or on a device; also where CUDA itself, or a library on it, says so in its own words."""
    words = ("out of memory", "alloc_failed", "defaultcpuallocator")
    return any(
        isinstance(link, (MemoryError, torch.OutOfMemoryError))
        or any(word in str(link).lower() for word in words)
        for link in causes(error)
    )


def let_go(error: BaseException) -> None:
    """Frees what the failed functions' variables hold on the device; the traceback stays readable."""
    for link in causes(error):
        traceback.clear_frames(link.__traceback__)


def first_cause(error: BaseException) -> BaseException:
    """What went wrong at first, where giving up raised more."""
    return list(causes(error))[-1]


def _captured(streams: Streams, works: Sequence[Work], pool: Any, lane: int) -> Work:
    try:
        return streams.capture(works, pool, lane)
    except Exception as error:
        raise CaptureFailed("a step could not be recorded") from error


def _failures(trainings: Sequence[Training], raised: Sequence[Exception | None]) -> Failures:
    return {training: error for training, error in zip(trainings, raised, strict=True) if error is not None}


def _undone_on_failure(training: Training) -> Work:
    def work() -> None:
        before = training.snapshot()
        try:
            training.compute()
        except Exception:
            training.restore(before)
            raise

    return work
