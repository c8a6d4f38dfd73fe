"""What the driver says of the GPUs that are shared: their memory, and who may use them.

It is asked through ``nvidia-smi``, which is there wherever the driver is.
"""

import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.launch.devices import DRIVER_PATIENCE_S

FIELDS = ("index", "uuid", "memory.total", "memory.free", "compute_mode", "mig.mode.current")
READ_EVERY_S = float(os.environ.get("ABLATE_GPU_READ_EVERY_S", "2"))


@dataclass(frozen=True)
class Card:
    """A GPU as the driver describes it; ``free_mib`` is None where it does not tell."""

    index: str
    uuid: str
    total_mib: int | None
    free_mib: int | None
    compute_mode: str  # Default, Exclusive_Process or Prohibited
    is_divided: bool  # by MIG

    @classmethod
    def of(cls, line: str) -> "Card":
        """From a line of ``nvidia-smi``. Raises ValueError for what is none."""
        index, uuid, total, free, mode, mig = (cell.strip() for cell in line.split(","))
        return cls(index, uuid, _mebibytes(total), _mebibytes(free), mode, mig == "Enabled")


def _mebibytes(text: str) -> int | None:
    """None for ``[N/A]``, as where a GPU shares the machine's memory."""
    return int(text) if text.isdecimal() else None


def read_cards(devices: Sequence[str]) -> dict[str, Card]:
    """What is known of ``cuda:0`` and its like, by name; those of which nothing is known are left out."""
    query = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=DRIVER_PATIENCE_S, check=True
        ).stdout
        cards = [Card.of(line) for line in answer.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    visible = _visible(cards)
    places = {device: int(device.removeprefix("cuda:")) for device in devices}
    return {device: visible[place] for device, place in places.items() if place < len(visible)}


def _visible(cards: Sequence[Card]) -> list[Card]:
    """The cards in the order of CUDA_VISIBLE_DEVICES, which names them by their places or UUIDs."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return list(cards)
    found = []
    for name in (name.strip() for name in names.split(",")):
        card = next(
            (card for card in cards if card.index == name or (name and card.uuid.startswith(name))), None
        )
        if card is None:  # as CUDA does: the list ends at the first invalid entry
            break
        found.append(card)
    return found


class Gauge:
    """Reads how much memory of the cards is free, again and again, beside whatever else is done."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = list(devices)
        self._readings: queue.SimpleQueue[dict[str, int]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="gauge", daemon=True)
        self._thread.start()

    def take(self) -> list[Mapping[str, int]]:
        """The readings since the last call: free MiB by device."""
        return [self._readings.get() for _ in range(self._readings.qsize())]

    def end(self) -> None:
        self._ended.set()
        self._thread.join(READ_EVERY_S)

    def _read(self) -> None:
        while not self._ended.is_set():
            cards = read_cards(self._devices)
            self._readings.put(
                {device: card.free_mib for device, card in cards.items() if card.free_mib is not None}
            )
            self._ended.wait(READ_EVERY_S)
