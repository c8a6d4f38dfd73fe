"""How much energy runs take: what a meter reads of this process, divided among the runs that it trains.

The meter is CodeCarbon (https://codecarbon.io), without its network, files and logs.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Protocol

from ablate.ground.errors import ConfigError

INSTALL = "pip install 'ablate[energy]'"
SAMPLE_EVERY_S = 5.0


class Meter(Protocol):
    """Reads kWh that only grow; ``by`` says what measures or estimates them."""

    by: str

    def read(self) -> float: ...


Start = Callable[[str], Meter]  # on a device


class Ledger:
    """What each of the runs of a process has taken, in kWh.

    Runs that train at the same time share what is read meanwhile in equal parts; what only one of them does
    is its own. The meter starts with the first run that is to be measured; runs beside it that are not
    have their shares too, which nobody records. Without a meter that works nothing is known of any run.
    """

    def __init__(self, device: str, start: Start) -> None:
        self._device = device
        self._start = start
        self._meter: Meter | None = None
        self._read_kwh = 0.0
        self._taken_kwh: dict[str, float] = {}  # by run id, of those under way
        self._asked: set[str] = set()

    def enter(self, run_id: str, before_kwh: float, log: logging.Logger) -> None:
        """A run to be measured begins, of which former attempts have taken ``before_kwh``."""
        if self._meter is None:
            try:
                self._meter = self._start(self._device)
                self._read_kwh = self._meter.read()
            except Exception as error:  # of a library that looks at all sorts of hardware
                self._meter = None
                log.warning("the energy of this run is not measured: %s", error)
                return
        self._settle()
        self._asked.add(run_id)
        self._taken_kwh[run_id] = before_kwh

    def join(self, run_id: str) -> None:
        """A run that is not to be measured begins, and takes its share."""
        self._settle()
        self._taken_kwh[run_id] = 0.0

    def leave(self, run_id: str) -> None:
        self._settle()
        self._taken_kwh.pop(run_id, None)
        self._asked.discard(run_id)

    @contextmanager
    def alone(self, run_id: str) -> Iterator[None]:
        """What is taken inside is the run's own."""
        self._settle()
        try:
            yield
        finally:
            self._charge([run_id] if run_id in self._taken_kwh else [])

    def taken(self, run_id: str) -> tuple[float, str] | None:
        """The kWh of a run under way until now, and by what; None when it is not measured."""
        self._settle()
        if self._meter is None or run_id not in self._asked:
            return None
        return self._taken_kwh[run_id], self._meter.by

    def _settle(self) -> None:
        """Divide what was taken since the last time among all runs under way."""
        self._charge(list(self._taken_kwh))

    def _charge(self, run_ids: Sequence[str]) -> None:
        if self._meter is None:
            return
        before = self._read_kwh
        try:
            self._read_kwh = self._meter.read()
        except Exception as error:
            logging.getLogger("ablate").warning("energy is not measured any more: %s", error)
            self._meter = None
            self._asked.clear()
            return
        for run_id in run_ids:
            self._taken_kwh[run_id] += (self._read_kwh - before) / len(run_ids)


def require_codecarbon() -> None:
    """Raises ConfigError when CodeCarbon is not installed. Looks, and imports nothing."""
    from importlib.util import find_spec

    if find_spec("codecarbon") is None:
        raise ConfigError(f"--energy: CodeCarbon, which measures it, is not installed; {INSTALL}")


class CodeCarbon:
    """CodeCarbon for this process, those that it starts, and the GPUs of its device.

    Its CPU's power is estimated from the load that these processes make, also where the machine has counters
    (RAPL): those count all that goes on there, and several workers would each count all of it.

    Raises ConfigError when CodeCarbon is not installed.
    """

    def __init__(self, device: str) -> None:
        require_codecarbon()
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it speaks before it reads log_level
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.output import BaseOutput, EmissionsData

        class Last(BaseOutput):  # type: ignore[misc, unused-ignore] # it is optional
            total: EmissionsData | None = None

            def out(self, total: EmissionsData, delta: EmissionsData) -> None:  # noqa: ARG002
                self.total = total

        self._last = Last()
        # Named are also those that only a user's own configuration of CodeCarbon would set to something else.
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="FRA",  # decides CO2, which is not looked at
            tracking_mode="process",
            force_mode_cpu_load=True,
            gpu_ids=_gpus(device),
            measure_power_secs=SAMPLE_EVERY_S,
            api_call_interval=-1,
            output_methods=[],
            output_handlers=[self._last],
            emissions_endpoint=None,
            allow_multiple_runs=True,
            log_level="critical",
        )
        self._tracker.start()
        self.read()
        self.by = f"codecarbon {version('codecarbon')}: {self._ways(device)}"

    def _ways(self, device: str) -> str:
        """What is measured, and what is estimated."""
        found = self._tracker.get_detected_hardware()
        # A processor whose power it does not know is read from the machine's counters, where there are any.
        by_load = "CPU(Cpu Load)" in self._tracker._conf["hardware"]
        cpu = "estimated by load" if by_load else "of the whole machine"
        gpu = f", {found['gpu_model']} measured" if device != "cpu" else ""
        return f"{found['cpu_model']} {cpu}, memory estimated{gpu}"

    def read(self) -> float:
        """Raises RuntimeError when CodeCarbon has failed, which it keeps to itself."""
        self._last.total = None
        self._tracker.flush()
        if self._last.total is None:
            raise RuntimeError("CodeCarbon gives no reading")
        return float(self._last.total.energy_consumed)


def _gpus(device: str) -> list[str]:
    """What CodeCarbon calls the GPUs of ``cuda:0,cuda:1``; none of a CPU."""
    places = [int(name.partition(":")[2] or 0) for name in device.split(",") if name.startswith("cuda")]
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [visible[place] if place < len(visible) else str(place) for place in places]
